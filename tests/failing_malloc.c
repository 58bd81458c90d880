// SPDX-License-Identifier: MIT
#include "failing_malloc.h"

#include <stdbool.h>
#include <stddef.h>

static int allocations_left;
static bool allocations_fail;

static bool fails(void)
{
	return allocations_fail && (!allocations_left || !--allocations_left);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void fail_after(int n)
{
	allocations_left = n;
	allocations_fail = true;
}

void fail_no_more(void)
{
	allocations_fail = false;
}
