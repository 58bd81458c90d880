// SPDX-License-Identifier: MIT
#include "debug_exit.h"

#include <string.h>

bool debug_exit_pio(uint16_t port, void *data, uint32_t len, bool is_write, int *status)
{
	uint32_t value = 0;

	*status = -1;
	if (port < DEBUG_EXIT_PORT || port >= DEBUG_EXIT_PORT + DEBUG_EXIT_SIZE || !len ||
	    len > sizeof(value))
		return false;
	if (!is_write) {
		memset(data, 0, len);
		return true;
	}
	memcpy(&value, data, len);
	/* The low bits are what an exit status keeps; so it is never negative. */
	*status = (int)((value << 1 | 1) & 0x7fffffff);
	return true;
}
