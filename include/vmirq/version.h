/* SPDX-License-Identifier: MIT */
/*
 * Version of the library, and the mark of what it exports.
 */
#ifndef VMIRQ_VERSION_H
#define VMIRQ_VERSION_H

#define VMIRQ_VERSION_MAJOR 0
#define VMIRQ_VERSION_MINOR 1
#define VMIRQ_VERSION_PATCH 0

/* The library is built with hidden symbols; only what is marked so leaves it. */
#if defined(__GNUC__)
#define VMIRQ_API __attribute__((visibility("default")))
#else
#define VMIRQ_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vmirq_version() - version of the library that runs, as "MAJOR.MINOR.PATCH"
 *
 * May differ from the VMIRQ_VERSION_* macros, which say what the caller was
 * compiled against. The string is constant and is not to be freed.
 *
 * Thread safety: any thread. Progress: wait-free, async-signal-safe, no system call.
 */
VMIRQ_API const char *vmirq_version(void);

#ifdef __cplusplus
}
#endif

#endif
