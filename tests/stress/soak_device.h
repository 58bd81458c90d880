/* SPDX-License-Identifier: MIT */
/* What the device of test_soak.c shares with it, beside its mailbox: its own count. */
#ifndef TESTS_STRESS_SOAK_DEVICE_H
#define TESTS_STRESS_SOAK_DEVICE_H

#include <stdatomic.h>
#include <stdint.h>

#define SOAK_INTERRUPTS 8u

struct soak_counts {
	/* Raises; of those that are over, how many were newly set. A device that is killed is in the middle of
	 * one at most. */
	_Atomic uint64_t begun, over, newly;
	_Atomic uint32_t stop;
};

#endif
