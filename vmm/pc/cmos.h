/* SPDX-License-Identifier: MIT */
/* The RTC (MC146818A) with its memory, at 0x70 and 0x71. It keeps time, and interrupts nobody. No
 * lock of its own. */
#ifndef PC_CMOS_H
#define PC_CMOS_H

#include <stdbool.h>
#include <stdint.h>

#define CMOS_PORT 0x70

struct cmos {
	/* ns since 1970, UTC */
	int64_t (*now)(void *opaque);
	void *opaque;
	int64_t offset; /* seconds that the guest has set it ahead */
	int64_t frozen; /* seconds since 1970, while the guest sets it (register B, SET) */
	uint8_t index;
	uint8_t ram[128];
};

/* now == NULL: the host's clock. */
void cmos_init(struct cmos *c, uint32_t cpus, uint64_t memory, int64_t (*now)(void *opaque),
	       void *opaque);
bool cmos_pio(struct cmos *c, uint16_t port, void *data, uint32_t len, bool is_write);

#endif
