/* SPDX-License-Identifier: MIT */
#ifndef CHIP_LINE_RESULT_H
#define CHIP_LINE_RESULT_H

#include <vmirq/observe.h>

/* What became of a change of an interrupt line. */
struct line_result {
	/* Of an assertion; a de-assertion that found the line low says DELIVERED and means nothing. */
	enum vmirq_verdict verdict;
	/* The number that KVM_IRQ_LINE_STATUS has for it: negative = nothing took it, 0 = coalesced,
	 * positive = delivered to that many. */
	int status;
};

#endif
