/* SPDX-License-Identifier: MIT */
/* QEMU's isa-debug-exit at 0xf4..0xf7: a write ends the machine. */
#ifndef PC_DEBUG_EXIT_H
#define PC_DEBUG_EXIT_H

#include <stdbool.h>
#include <stdint.h>

#define DEBUG_EXIT_PORT 0xf4
#define DEBUG_EXIT_SIZE 4

/* False: not ours. *status: -1, or the exit status a write asks for, (value << 1) | 1, of which a
 * shell sees the low byte. */
bool debug_exit_pio(uint16_t port, void *data, uint32_t len, bool is_write, int *status);

#endif
