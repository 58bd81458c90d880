// SPDX-License-Identifier: MIT
#include "fw_cfg.h"

#include <string.h>

/* Bit 14 of a selector asks for write access, which QEMU gave up with 2.4. */
#define SELECTOR_WRITE 0x4000u

enum {
	KEY_SIGNATURE = 0x00,
	KEY_ID = 0x01,
	KEY_RAM_SIZE = 0x03,
	KEY_NB_CPUS = 0x05,
	KEY_MAX_CPUS = 0x0f,
};

#define ID_TRADITIONAL 1u

void fw_cfg_init(struct fw_cfg *f, uint32_t cpus, uint64_t memory)
{
	*f = (struct fw_cfg){
		.cpus = (uint16_t)(cpus < UINT16_MAX ? cpus : UINT16_MAX),
		.memory = memory,
	};
}

/* An item is a little-endian number, or text, that ends in zeroes. */
static uint64_t item(const struct fw_cfg *f)
{
	uint64_t value = 0;

	switch (f->selector & ~SELECTOR_WRITE) {
	case KEY_SIGNATURE:
		memcpy(&value, "QEMU", 4);
		return value;
	case KEY_ID:
		return ID_TRADITIONAL;
	case KEY_RAM_SIZE:
		return f->memory;
	case KEY_NB_CPUS:
	case KEY_MAX_CPUS: /* of x86: the APIC ids' end, which is the same here */
		return f->cpus;
	default:
		return 0;
	}
}

static uint8_t next_byte(struct fw_cfg *f)
{
	uint64_t value = item(f);

	if (f->offset >= sizeof(value))
		return 0;
	return (uint8_t)(value >> 8 * f->offset++);
}

bool fw_cfg_pio(struct fw_cfg *f, uint16_t port, void *data, uint32_t len, bool is_write)
{
	uint8_t *byte = data;

	if ((port != FW_CFG_PORT && port != FW_CFG_PORT + 1) || !len)
		return false;
	if (!is_write) {
		/* The data port; QEMU answers at the selector's too. */
		for (uint32_t i = 0; i < len; i++)
			byte[i] = next_byte(f);
	} else if (port == FW_CFG_PORT && len >= 2) {
		f->selector = (uint16_t)(byte[0] | byte[1] << 8);
		f->offset = 0;
	}
	return true;
}
