/* SPDX-License-Identifier: MIT */
/* QEMU's pc-testdev: interrupt lines by port, a register to echo, memory that exits. No lock of its
 * own. */
#ifndef PC_TESTDEV_H
#define PC_TESTDEV_H

#include <stdbool.h>
#include <stdint.h>

#define TESTDEV_LINES	   0x2000 /* and up: byte = level of GSI (port - 0x2000) */
#define TESTDEV_LINE_COUNT 24
#define TESTDEV_ECHO	   0xe0 /* ..0xe3: a 32-bit register, any width at its byte */
#define TESTDEV_FLUSH	   0xe4 /* ..0xe7: writes have no effect a guest can see */
#define TESTDEV_ECHO_BYTES 0xe8 /* ..0xeb: the same register, a byte at a time */
#define TESTDEV_MEMORY	   UINT64_C(0xff000000)
#define TESTDEV_MEMORY_LEN 0x10000u

struct testdev {
	uint32_t echo;
	uint8_t memory[TESTDEV_MEMORY_LEN];
};

struct testdev_line {
	int gsi; /* -1: no line was written */
	bool level;
};

void testdev_init(struct testdev *t);
/* False: not ours, or of a width QEMU's refuses. */
bool testdev_pio(struct testdev *t, uint16_t port, void *data, uint32_t len, bool is_write,
		 struct testdev_line *line);
bool testdev_mmio(struct testdev *t, uint64_t gpa, void *data, uint32_t len, bool is_write);

#endif
