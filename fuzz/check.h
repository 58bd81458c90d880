/* SPDX-License-Identifier: MIT */
/* What every target has, and how it says that something is wrong. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* libFuzzer's name for the one function of a target. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_check(int holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

/* Not assert(): it must not depend on how the build is configured. */
#define check(condition) fuzz_check(!!(condition), #condition, __FILE__, __LINE__)

#endif
