// SPDX-License-Identifier: MIT
/*
 * Rows whose part of the library is not there yet. They stand in the output all the same.
 */
#include <errno.h>

#include "bench_rows.h"

int bench_mask_pending(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_PEER_MIN, "kvm_irqfd_deassign_assign", 50);
	bench_target(c, BENCH_VALUE_MAX, "lost", 0);
	bench_not_there(c, "MSI-X tables");
	return 0;
}

int bench_bypass_register(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_VALUE_MAX, "growth_from_10_to_1000000", 8);
	bench_target(c, BENCH_PEER_MAX, "port_list", 3);
	bench_not_there(c, "bypass manager");
	return 0;
}

int bench_dirq(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_PEER_MIN, "eventfd_epoll", 10);
	bench_target(c, BENCH_VALUE_MAX, "growth_from_16_to_65536", 2);
	bench_not_there(c, "passthrough of host interrupts");
	return 0;
}
