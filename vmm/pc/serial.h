/* SPDX-License-Identifier: MIT */
/* A 16550A at 0x3f8 that sends at once and never receives, but for its own loop. No lock of its
 * own. */
#ifndef PC_SERIAL_H
#define PC_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_PORT   0x3f8
#define SERIAL_GSI    4
#define SERIAL_BUFFER 512

struct serial {
	int fd; /* -1: the text is thrown away */
	uint8_t ier;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t fcr;
	uint8_t scratch;
	uint8_t divisor[2];
	uint8_t received;
	bool has_received; /* loop mode only */
	bool sent;	   /* the transmitter has become empty and IIR has not said so */
	char buffer[SERIAL_BUFFER];
	size_t used;
};

void serial_init(struct serial *s, int fd);
/* False: not ours. Each byte of a wider access goes to its own port, as on the ISA bus. */
bool serial_pio(struct serial *s, uint16_t port, void *data, uint32_t len, bool is_write);
/* The level of the interrupt line. */
bool serial_irq(const struct serial *s);
/* Text goes out at each end of line; this sends the rest of one. */
void serial_flush(struct serial *s);

#endif
