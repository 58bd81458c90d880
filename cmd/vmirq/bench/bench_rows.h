/* SPDX-License-Identifier: MIT */
/*
 * The rows, one function each; bench_rows.c has their table.
 */
#ifndef VMIRQ_BENCH_ROWS_H
#define VMIRQ_BENCH_ROWS_H

#include "bench.h"
#include "bench_kvm.h"

int bench_msi_post(struct bench *b);
int bench_msi_post_pending(struct bench *b);
int bench_msi_post_batch(struct bench *b);
int bench_msi_post_contended(struct bench *b);
int bench_cross_core(struct bench *b);
int bench_wake_parked(struct bench *b);
int bench_eventfd_path(struct bench *b);
int bench_route_update(struct bench *b);
int bench_route_update_fire(struct bench *b);
int bench_bring_up(struct bench *b);
int bench_mask_pending(struct bench *b);
int bench_bypass_register(struct bench *b);
int bench_dirq(struct bench *b);
int bench_level_cycle(struct bench *b);
int bench_state(struct bench *b);
int bench_ipi(struct bench *b);
int bench_dynamic_msi(struct bench *b);
int bench_kvm_inject(struct bench *b);
int bench_guest_round_trip(struct bench *b);
int bench_scale(struct bench *b);

/* bench_floor.c: what every row stands on. Opaque: struct bench_floor. */
struct bench_floor {
	_Alignas(64) uint64_t word[8];
	uint32_t next;
	uint8_t copy[3][1024];
};
/* `batch` locked ORs, of one line. */
void bench_floor_rmw(void *opaque, uint32_t batch);
/* 1 KiB twice. */
void bench_floor_copy(void *opaque, uint32_t batch);

/* Lines at random. */
struct bench_lines {
	uint64_t *word; /* a line each */
	uint32_t n;
	uint64_t random;
	uint64_t sum;
};
int bench_lines_open(struct bench_lines *lines, uint32_t n);
void bench_lines_close(struct bench_lines *lines);
/* `batch` loads, each when the one before has come. */
void bench_floor_miss(void *opaque, uint32_t batch);
uint64_t bench_random(uint64_t *state);

/* The peers of a post: opaque is struct bench_kvm. */
void bench_kvm_write_irqfds(void *opaque, uint32_t batch);
void bench_kvm_signal_msis(void *opaque, uint32_t batch);
void bench_kvm_clean_first(void *opaque);
/* The note for a row without its peer. */
void bench_no_kvm(struct bench_case *c, const struct bench_kvm *k);

#endif
