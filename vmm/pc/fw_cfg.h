/* SPDX-License-Identifier: MIT */
/* QEMU's firmware configuration device at 0x510 (docs/specs/fw_cfg of QEMU), without DMA and files.
 * No lock of its own. */
#ifndef PC_FW_CFG_H
#define PC_FW_CFG_H

#include <stdbool.h>
#include <stdint.h>

#define FW_CFG_PORT 0x510

struct fw_cfg {
	uint64_t memory; /* bytes */
	uint16_t cpus;
	uint16_t selector;
	uint32_t offset;
};

void fw_cfg_init(struct fw_cfg *f, uint32_t cpus, uint64_t memory);
bool fw_cfg_pio(struct fw_cfg *f, uint16_t port, void *data, uint32_t len, bool is_write);

#endif
