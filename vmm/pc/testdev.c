// SPDX-License-Identifier: MIT
#include "testdev.h"

#include <string.h>

void testdev_init(struct testdev *t)
{
	memset(t, 0, sizeof(*t));
}

/* The part of an access that lies beyond the register reads 0 and is not written. */
static void echo(struct testdev *t, uint32_t offset, uint8_t *data, uint32_t len, bool is_write)
{
	for (uint32_t i = 0; i < len; i++) {
		uint32_t shift = (offset + i) * 8;

		if (shift >= 32) {
			if (!is_write)
				data[i] = 0;
		} else if (is_write) {
			t->echo = (t->echo & ~(0xffu << shift)) | (uint32_t)data[i] << shift;
		} else {
			data[i] = (uint8_t)(t->echo >> shift);
		}
	}
}

static bool within(uint16_t port, uint16_t first, uint32_t count)
{
	return port >= first && (uint32_t)(port - first) < count;
}

bool testdev_pio(struct testdev *t, uint16_t port, void *data, uint32_t len, bool is_write,
		 struct testdev_line *line)
{
	uint8_t *byte = data;

	line->gsi = -1;
	if (within(port, TESTDEV_LINES, TESTDEV_LINE_COUNT) && len == 1) {
		if (is_write) {
			line->gsi = port - TESTDEV_LINES;
			line->level = byte[0];
		} else {
			byte[0] = 0;
		}
		return true;
	}
	if (len < 1 || len > 4)
		return false;
	if (within(port, TESTDEV_ECHO, 4) || within(port, TESTDEV_ECHO_BYTES, 4)) {
		echo(t, port & 3, byte, len, is_write);
		return true;
	}
	if (within(port, TESTDEV_FLUSH, 4)) {
		if (!is_write)
			memset(data, 0, len);
		return true;
	}
	return false;
}

bool testdev_mmio(struct testdev *t, uint64_t gpa, void *data, uint32_t len, bool is_write)
{
	uint64_t offset = gpa - TESTDEV_MEMORY;

	if (gpa < TESTDEV_MEMORY || offset >= TESTDEV_MEMORY_LEN ||
	    len > TESTDEV_MEMORY_LEN - offset)
		return false;
	if (is_write)
		memcpy(t->memory + offset, data, len);
	else
		memcpy(data, t->memory + offset, len);
	return true;
}
