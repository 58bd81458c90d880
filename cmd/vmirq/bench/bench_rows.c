// SPDX-License-Identifier: MIT
#include "bench_rows.h"

#include <string.h>

const struct bench_row bench_rows[] = {
	{ "msi_post", "signal of an in-process irqfd, its vector not pending", bench_msi_post },
	{ "msi_post_pending", "the same, its vector pending already", bench_msi_post_pending },
	{ "msi_post_batch", "64 vectors of one vCPU in one call", bench_msi_post_batch },
	{ "msi_post_contended", "two producers post to one vCPU", bench_msi_post_contended },
	{ "cross_core", "post to a vCPU that polls on another core, one way", bench_cross_core },
	{ "wake_parked", "post to a parked vCPU until it runs", bench_wake_parked },
	{ "eventfd_path", "write to an eventfd until the idle vCPU has its vector",
	  bench_eventfd_path },
	{ "route_update", "change one route, at random among many", bench_route_update },
	{ "route_update_fire", "change a route while another core signals through it",
	  bench_route_update_fire },
	{ "bring_up", "1024 vectors: allocate, route, bind", bench_bring_up },
	{ "mask_pending", "MSI-X: mask, signal, unmask", bench_mask_pending },
	{ "bypass_register", "register and unregister a pair among many", bench_bypass_register },
	{ "dirq", "host interrupts: raise, assist, fairness", bench_dirq },
	{ "level_cycle", "assert a level, EOI, resample", bench_level_cycle },
	{ "state", "save and load one local APIC", bench_state },
	{ "ipi", "IPIs to 1 ... 1024 vCPUs, for each target", bench_ipi },
	{ "dynamic_msi", "messages by dynamic routes", bench_dynamic_msi },
	{ "kvm_inject", "a message through the kernel's irqchip", bench_kvm_inject },
	{ "guest_round_trip", "raise until the handler of a HLT guest has run",
	  bench_guest_round_trip },
	{ "scale", "1000 VMs of 64 sources: memory, signals at random, fairness", bench_scale },
};

const uint32_t bench_rows_count = sizeof(bench_rows) / sizeof(bench_rows[0]);

_Static_assert(sizeof(bench_rows) / sizeof(bench_rows[0]) < BENCH_ROWS_MAX, "a bit each");

const struct bench_row *bench_row_find(const char *name, size_t len)
{
	for (uint32_t i = 0; i < bench_rows_count; i++) {
		if (strlen(bench_rows[i].name) == len &&
		    strncmp(bench_rows[i].name, name, len) == 0)
			return &bench_rows[i];
	}
	return NULL;
}
