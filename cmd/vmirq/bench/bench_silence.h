/* SPDX-License-Identifier: MIT */
#ifndef VMIRQ_BENCH_SILENCE_H
#define VMIRQ_BENCH_SILENCE_H

#include <stdint.h>

/* How many system calls `fn` makes on this thread, or -errno. Calls that it makes fail. */
int bench_silence(uint32_t (*fn)(void *opaque), void *opaque, uint32_t *result);

#endif
