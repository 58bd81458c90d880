/* SPDX-License-Identifier: MIT */
/* The library's allocations fail when a test wants them to: by the linker's --wrap (tests/meson.build). */
#ifndef TESTS_FAILING_MALLOC_H
#define TESTS_FAILING_MALLOC_H

/* The n-th allocation from now on fails, and all after it. */
void fail_after(int n);
void fail_no_more(void);

#endif
