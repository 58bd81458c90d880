// SPDX-License-Identifier: MIT
/*
 * dirq: its part of the library is not there yet. It stands in the output all the same.
 */
#include <errno.h>

#include "bench_rows.h"

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
