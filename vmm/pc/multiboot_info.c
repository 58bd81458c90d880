// SPDX-License-Identifier: MIT
/* What the image is told (Multiboot Specification 0.6.96, 3.3). */
#include "multiboot.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define INFO_MEMORY  (1u << 0)
#define INFO_CMDLINE (1u << 2)
#define INFO_MODULES (1u << 3)
#define INFO_MAP     (1u << 6)
#define INFO_LOADER  (1u << 9)

/* A PC's firmware leaves these: the extended BIOS data area, and its ROM. */
#define LOW_END	     0x9fc00u
#define LOW_RESERVED 0xa0000u
#define ROM_START    0xf0000u
#define HIGH_START   0x100000u

/* The first page keeps the real mode's vectors, and what APs are started with. */
#define INFO_LOWEST 0x1000u
#define INFO_ALIGN  16u

struct info {
	uint32_t flags;
	uint32_t mem_lower; /* KiB from 0 */
	uint32_t mem_upper; /* KiB from 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count;
	uint32_t mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length;
	uint32_t mmap_addr;
	uint32_t drives_length;
	uint32_t drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
};

_Static_assert(sizeof(struct info) == 88, "as in 3.3");

struct map_entry {
	uint32_t size; /* of what follows */
	uint32_t base[2];
	uint32_t length[2];
	uint32_t type;
};

enum { MAP_RAM = 1, MAP_RESERVED = 2 };

#define MAP_ENTRIES 4

struct layout {
	struct info info;
	struct map_entry map[MAP_ENTRIES];
	char loader[8];
	char cmdline[MULTIBOOT_CMDLINE_MOST];
};

static struct map_entry map_entry(uint64_t start, uint64_t end, uint32_t type)
{
	return (struct map_entry){
		.size = sizeof(struct map_entry) - sizeof(uint32_t),
		.base = { (uint32_t)start, (uint32_t)(start >> 32) },
		.length = { (uint32_t)(end - start), (uint32_t)((end - start) >> 32) },
		.type = type,
	};
}

/* The highest place below LOW_END. Goes down past one range each time, so it ends. */
static bool find_place(const struct multiboot_range *taken, size_t count, uint32_t need,
		       uint32_t *place)
{
	uint64_t start = (LOW_END - need) / INFO_ALIGN * INFO_ALIGN;
	size_t i = 0;

	while (i < count) {
		if (taken[i].start >= start + need || taken[i].end <= start) {
			i++;
			continue;
		}
		if (taken[i].start < INFO_LOWEST + need)
			return false;
		start = (taken[i].start - need) / INFO_ALIGN * INFO_ALIGN;
		i = 0;
	}
	*place = (uint32_t)start;
	return start >= INFO_LOWEST;
}

int multiboot_write_info(uint8_t *memory, uint64_t size, const struct multiboot_range *taken,
			 size_t count, const char *cmdline, uint32_t *address, const char **why)
{
	size_t length = strnlen(cmdline, MULTIBOOT_CMDLINE_MOST);
	uint32_t need = (uint32_t)(offsetof(struct layout, cmdline) + length + 1);
	struct layout layout = { .loader = "vmirq" };
	uint32_t at;

	if (length == MULTIBOOT_CMDLINE_MOST) {
		*why = "the command line is longer than 4095 bytes";
		return -E2BIG;
	}
	if (!find_place(taken, count, need, &at)) {
		*why = "the image leaves no room below 640 KiB for the boot information";
		return -ENOSPC;
	}
	layout.info = (struct info){
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MAP | INFO_LOADER,
		.mem_lower = LOW_END / 1024,
		.mem_upper = (uint32_t)((size - HIGH_START) / 1024),
		.cmdline = at + (uint32_t)offsetof(struct layout, cmdline),
		.mmap_length = sizeof(layout.map),
		.mmap_addr = at + (uint32_t)offsetof(struct layout, map),
		.boot_loader_name = at + (uint32_t)offsetof(struct layout, loader),
	};
	layout.map[0] = map_entry(0, LOW_END, MAP_RAM);
	layout.map[1] = map_entry(LOW_END, LOW_RESERVED, MAP_RESERVED);
	layout.map[2] = map_entry(ROM_START, HIGH_START, MAP_RESERVED);
	layout.map[3] = map_entry(HIGH_START, size, MAP_RAM);
	memcpy(layout.cmdline, cmdline, length);
	memcpy(memory + at, &layout, need);
	*address = at;
	return 0;
}
