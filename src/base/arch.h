/* SPDX-License-Identifier: MIT */
/* What the memory model of C11 cannot say, or says too dearly: fences beside locked operations. */
#ifndef BASE_ARCH_H
#define BASE_ARCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CACHE_LINE  64

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* On a path whose instructions are counted (tests/perf): one frame, and what is seldom called is out of it. */
#define in_path	 inline __attribute__((always_inline))
#define off_path __attribute__((noinline))

/* A store before it and a load after it do not change places. */
static inline void fence_full(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}

/* The same, where an atomic read-modify-write stands directly before: on x86 that one is locked and
 * is the fence already, so only the compiler has to be held. */
static inline void fence_after_rmw(void)
{
#if defined(__x86_64__) || defined(__i386__)
	atomic_signal_fence(memory_order_seq_cst);
#else
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Has this processor an instruction that counts bits, which no compiler may assume? */
static inline bool has_popcnt(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("popcnt");
#else
	return false;
#endif
}

/* Only where it has. */
static inline uint64_t popcnt(uint64_t v)
{
#if defined(__x86_64__)
	__asm__("popcnt %0, %0" : "+r"(v) : : "cc");
#endif
	return v;
}

/* In a loop that waits for another processor. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

#endif
