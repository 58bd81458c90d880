/* SPDX-License-Identifier: MIT */
/* Loads a Multiboot 1 image (Multiboot Specification 0.6.96) that is an ELF32 executable. */
#ifndef PC_MULTIBOOT_H
#define PC_MULTIBOOT_H

#include <stddef.h>
#include <stdint.h>

#define MULTIBOOT_LOADER_MAGIC	0x2badb002u
#define MULTIBOOT_MEMORY_LEAST	(UINT32_C(1) << 20)
#define MULTIBOOT_MEMORY_MOST	(UINT64_C(3) << 30) /* above are the PCI hole and the APICs */
#define MULTIBOOT_CMDLINE_MOST	4096		    /* with its NUL */
#define MULTIBOOT_SEGMENTS_MOST 64

/* Registers of the boot processor, which is in 32-bit flat protected mode, paging off, A20 on,
 * interrupts off (3.2). */
struct multiboot_entry {
	uint32_t eip;
	uint32_t eax; /* MULTIBOOT_LOADER_MAGIC */
	uint32_t ebx; /* guest physical address of the information structure */
};

/* `memory` is guest physical 0 and up; `cmdline` may be NULL. The file is not trusted. 0, or with
 * *why one static line and memory in no particular state:
 * -EINVAL   size is not within MULTIBOOT_MEMORY_*
 * -ENOEXEC  no Multiboot image, or a broken one
 * -ENOTSUP  one that wants what this loader has not
 * -EFBIG    it does not fit into memory
 * -E2BIG    the command line is too long
 * -ENOSPC   the image leaves no room in low memory */
int multiboot_load(void *memory, size_t size, const void *file, size_t len, const char *cmdline,
		   struct multiboot_entry *out, const char **why);

/* multiboot_info.c. What of memory is taken, as [start, end). */
struct multiboot_range {
	uint32_t start;
	uint64_t end;
};

/* Lays out the information structure (3.3) in memory below 640 KiB that no range takes. */
int multiboot_write_info(uint8_t *memory, uint64_t size, const struct multiboot_range *taken,
			 size_t count, const char *cmdline, uint32_t *address, const char **why);

#endif
