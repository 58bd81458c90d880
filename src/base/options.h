/* SPDX-License-Identifier: MIT */
/* Structs that carry their size: a caller built for another release is read as far as both know. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* No struct of ours will grow past this: a size that says so is a mistake, and not read. */
#define OPTIONS_SIZE_MAX 4096u

/* Copy a caller's struct of `size` bytes into ours of `ours`, of which `least` were there in the
 * first release. -EINVAL: shorter than that. -E2BIG: it says something we do not know. */
static inline int options_copy(void *to, size_t ours, size_t least, const void *from, size_t size)
{
	const unsigned char *tail = (const unsigned char *)from + ours;

	if (size < least)
		return -EINVAL;
	if (size > OPTIONS_SIZE_MAX)
		return -E2BIG;
	for (size_t i = 0; i + ours < size; i++)
		/* The caller said that there is so much. */
		/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Branch) */
		if (tail[i])
			return -E2BIG;
	memset(to, 0, ours);
	memcpy(to, from, size < ours ? size : ours);
	return 0;
}

#endif
