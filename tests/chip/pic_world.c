// SPDX-License-Identifier: MIT
#include "pic_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void lock(void *mutex)
{
	struct world *w = mutex;

	assert_int_equal(w->held++, 0);
}

static void unlock(void *mutex)
{
	struct world *w = mutex;

	assert_int_equal(w->held--, 1);
}

static void do_meanwhile(struct world *w)
{
	void (*meanwhile)(struct world *) = w->meanwhile;

	w->meanwhile = NULL;
	if (meanwhile)
		meanwhile(w);
}

static void output_changed(void *opaque)
{
	struct world *w = opaque;

	assert_int_equal(w->held, 0);
	w->outputs++;
}

static void ack(void *opaque, uint32_t pin)
{
	struct world *w = opaque;

	assert_int_equal(w->held, 0);
	assert_in_range(pin, 0, 15);
	w->acks |= 1u << pin;
	w->ack_calls++;
	do_meanwhile(w);
}

static void mask_changed(void *opaque, uint32_t pin, bool masked)
{
	struct world *w = opaque;

	assert_int_equal(w->held, 0);
	assert_in_range(pin, 0, 15);
	w->unmasked = (w->unmasked & ~(1u << pin)) | (masked ? 0 : 1u << pin);
	do_meanwhile(w);
}

void start_raw(struct world *w, bool data_sheet)
{
	struct i8259_config config = {
		.host = { .lock = lock, .unlock = unlock },
		.mutex = w,
		.calls = { .opaque = w,
			   .output_changed = output_changed,
			   .ack = ack,
			   .mask_changed = mask_changed },
		.poll_is_inta = data_sheet,
		.special_mask_works = data_sheet,
	};

	memset(w, 0, sizeof(*w));
	vmirq_i8259_init(&w->pic, &config);
}

void initialize(struct world *w, uint8_t icw4)
{
	out(w, 0x20, 0x11);
	out(w, 0x21, MASTER_BASE);
	out(w, 0x21, 0x04);
	out(w, 0x21, icw4);
	out(w, 0xa0, 0x11);
	out(w, 0xa1, SLAVE_BASE);
	out(w, 0xa1, 0x02);
	out(w, 0xa1, icw4);
	out(w, 0x21, 0);
	out(w, 0xa1, 0);
}

void start(struct world *w)
{
	start_raw(w, true);
	initialize(w, 0x01);
}

void out(struct world *w, uint32_t port, uint8_t value)
{
	vmirq_i8259_write(&w->pic, port, 1, value);
	assert_int_equal(w->held, 0);
	assert_true(vmirq_i8259_validate(&w->pic));
}

uint8_t in(struct world *w, uint32_t port)
{
	uint32_t value = vmirq_i8259_read(&w->pic, port, 1);

	assert_in_range(value, 0, 0xff);
	assert_int_equal(w->held, 0);
	return (uint8_t)value;
}

uint8_t read_register(struct world *w, uint32_t port, uint8_t what)
{
	out(w, port, what);
	return in(w, port);
}

void up(struct world *w, uint32_t pin)
{
	vmirq_i8259_set_line(&w->pic, pin, true);
}

void down(struct world *w, uint32_t pin)
{
	vmirq_i8259_set_line(&w->pic, pin, false);
}

void pulse(struct world *w, uint32_t pin)
{
	up(w, pin);
	down(w, pin);
}

void assert_line(struct world *w, uint32_t pin, bool level, enum vmirq_verdict verdict, int status)
{
	struct line_result r = vmirq_i8259_set_line(&w->pic, pin, level);

	assert_int_equal(r.verdict, verdict);
	assert_int_equal(r.status, status);
}

void assert_interrupt(struct world *w, uint8_t vector)
{
	uint32_t outputs = w->outputs;

	assert_true(vmirq_i8259_output(&w->pic));
	assert_int_equal(vmirq_i8259_acknowledge(&w->pic), vector);
	/* The receiver is told to look again, whatever it will see. */
	assert_true(w->outputs > outputs);
	assert_int_equal(w->held, 0);
	assert_true(vmirq_i8259_validate(&w->pic));
}

void assert_quiet(struct world *w)
{
	assert_false(vmirq_i8259_output(&w->pic));
}
