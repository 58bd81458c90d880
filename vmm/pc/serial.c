// SPDX-License-Identifier: MIT
/* Registers as in the PC16550D data sheet, section 8. */
#include "serial.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH, REGS };

#define IER_RECEIVED 0x01u
#define IER_SENT     0x02u

#define IIR_NONE     0x01u
#define IIR_SENT     0x02u
#define IIR_RECEIVED 0x04u
#define IIR_FIFOS    0xc0u

#define FCR_ENABLE   0x01u
#define LCR_DLAB     0x80u

#define MCR_DTR	     0x01u
#define MCR_RTS	     0x02u
#define MCR_OUT1     0x04u
#define MCR_OUT2     0x08u
#define MCR_LOOP     0x10u

#define LSR_RECEIVED 0x01u
#define LSR_READY    0x60u

#define MSR_CTS	     0x10u
#define MSR_DSR	     0x20u
#define MSR_RI	     0x40u
#define MSR_DCD	     0x80u

void serial_init(struct serial *s, int fd)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->divisor[0] = 12; /* 9600 baud */
}

void serial_flush(struct serial *s)
{
	size_t at = 0;

	while (s->fd >= 0 && at < s->used) {
		ssize_t n = write(s->fd, s->buffer + at, s->used - at);

		if (n >= 0) {
			at += (size_t)n;
		} else if (errno == EAGAIN) {
			/* Whoever reads us may have made the pipe so. */
			struct pollfd writable = { .fd = s->fd, .events = POLLOUT };

			poll(&writable, 1, -1);
		} else if (errno != EINTR) {
			s->fd = -1;
		}
	}
	s->used = 0;
}

static void send_byte(struct serial *s, uint8_t byte)
{
	s->sent = true;
	if (s->mcr & MCR_LOOP) {
		s->received = byte;
		s->has_received = true;
		return;
	}
	s->buffer[s->used++] = (char)byte;
	if (byte == '\n' || s->used == sizeof(s->buffer))
		serial_flush(s);
}

static uint8_t iir_source(const struct serial *s)
{
	if (s->has_received && (s->ier & IER_RECEIVED))
		return IIR_RECEIVED;
	if (s->sent && (s->ier & IER_SENT))
		return IIR_SENT;
	return IIR_NONE;
}

bool serial_irq(const struct serial *s)
{
	return (s->mcr & MCR_OUT2) && !(s->mcr & MCR_LOOP) && iir_source(s) != IIR_NONE;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t source = iir_source(s);

	if (source == IIR_SENT)
		s->sent = false;
	return (uint8_t)(source | (s->fcr & FCR_ENABLE ? IIR_FIFOS : 0));
}

static uint8_t read_msr(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static uint8_t read_register(struct serial *s, unsigned int reg)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			return s->divisor[0];
		s->has_received = false;
		return s->received;
	case REG_IER:
		return dlab ? s->divisor[1] : s->ier;
	case REG_IIR:
		return read_iir(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return LSR_READY | (s->has_received ? LSR_RECEIVED : 0);
	case REG_MSR:
		return read_msr(s);
	default:
		return s->scratch;
	}
}

static void write_ier(struct serial *s, uint8_t value)
{
	/* Enabled while empty, it interrupts at once. */
	if ((value & IER_SENT) && !(s->ier & IER_SENT))
		s->sent = true;
	s->ier = value & 0x0f;
}

static void write_register(struct serial *s, unsigned int reg, uint8_t value)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			s->divisor[0] = value;
		else
			send_byte(s, value);
		break;
	case REG_IER:
		if (dlab)
			s->divisor[1] = value;
		else
			write_ier(s, value);
		break;
	case REG_IIR:
		s->fcr = value & 0xc9;
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		s->mcr = value & 0x1f;
		break;
	case REG_SCRATCH:
		s->scratch = value;
		break;
	default: /* status is read only */
		break;
	}
}

bool serial_pio(struct serial *s, uint16_t port, void *data, uint32_t len, bool is_write)
{
	uint8_t *byte = data;

	if (port < SERIAL_PORT || port >= SERIAL_PORT + REGS || len > REGS)
		return false;
	for (uint32_t i = 0; i < len; i++) {
		unsigned int reg = port - SERIAL_PORT + i;

		if (reg >= REGS) {
			if (!is_write)
				byte[i] = 0xff;
		} else if (is_write) {
			write_register(s, reg, byte[i]);
		} else {
			byte[i] = read_register(s, reg);
		}
	}
	return true;
}
