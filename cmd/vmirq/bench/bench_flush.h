/* SPDX-License-Identifier: MIT */
/*
 * A peer, our own port of an algorithm: dynamic MSI routes that are all flushed when GSIs run out. 256
 * buckets by data & 0xff, the lowest free GSI, a commit for each new route.
 */
#ifndef VMIRQ_BENCH_FLUSH_H
#define VMIRQ_BENCH_FLUSH_H

#include <linux/kvm.h>
#include <stdint.h>

struct bench_flush {
	int vm;
	uint32_t first, gsis;
	struct kvm_irq_routing *table;
	/* By entry of the table. */
	int32_t *next;
	int32_t bucket[256];
};

/* GSIs from `first` on, so many, of a KVM VM whose table is otherwise empty. */
int bench_flush_open(struct bench_flush *f, int vm, uint32_t first, uint32_t gsis);
void bench_flush_close(struct bench_flush *f);
/* 0, or -errno. */
int bench_flush_send(struct bench_flush *f, const struct kvm_msi *msi);

#endif
