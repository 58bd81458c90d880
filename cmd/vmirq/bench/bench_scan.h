/* SPDX-License-Identifier: MIT */
/*
 * Our own port of one work item for all host interrupts of a VM: it looks at each, from 0 up.
 */
#ifndef VMIRQ_BENCH_SCAN_H
#define VMIRQ_BENCH_SCAN_H

#include <stdint.h>
#include <vmirq/irqfd.h>

struct bench_scan {
	uint8_t *pending;
	uint32_t n;
	uint32_t scheduled;
	struct vmirq_irqfd *irqfd; /* what its deliveries post to */
};

void bench_scan_raise(struct bench_scan *s, uint32_t i);
/* At most `max`, from the lowest on; how many. `served` counts each, or is NULL. */
uint32_t bench_scan_run(struct bench_scan *s, uint32_t max, uint64_t *served);

#endif
