// SPDX-License-Identifier: MIT
#include "ioapic_world.h"

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

static uint64_t now(void *opaque)
{
	return ((struct world *)opaque)->now;
}

static struct delivery deliver(void *opaque, const struct interrupt *irq)
{
	struct world *w = opaque;
	uint32_t present = w->present;

	assert_int_equal(w->held, 0);
	w->sent[w->sents++ % 8] = *irq;
	if (irq->tick)
		for (uint32_t i = 0; i < present && irq->mode == DELIVERY_FIXED; i++)
			rtc_tick_note(irq->tick, i, irq->vector);
	assert_true(w->sents < 100000); /* nothing here goes on for ever */
	if (w->sents == w->in_deliver)
		w->meanwhile(w);
	return (struct delivery){ .verdict = present ? VMIRQ_DELIVERED : VMIRQ_NO_TARGET,
				  .accepted = present };
}

static enum holding holds(void *opaque, uint32_t vcpu, const struct interrupt *irq)
{
	struct world *w = opaque;

	assert_int_equal(w->held, 0);
	assert_true(vcpu < WORLD_VCPUS);
	w->asked_vector = irq->vector;
	return w->holding[vcpu];
}

static void ack(void *opaque, uint32_t pin)
{
	struct world *w = opaque;

	assert_int_equal(w->held, 0);
	w->acked_pin = pin;
	if (++w->acks == w->in_ack)
		w->meanwhile(w);
}

static void mask_changed(void *opaque, uint32_t pin, bool masked)
{
	struct world *w = opaque;

	assert_int_equal(w->held, 0);
	w->masked_pin = pin;
	w->masked = masked;
	if (++w->masks == w->in_mask)
		w->meanwhile(w);
}

static void changed(void *opaque, uint32_t pin)
{
	struct world *w = opaque;

	(void)pin;
	assert_int_equal(w->held, 0);
	w->changes++;
}

static void throttled(void *opaque, uint32_t pin, uint64_t deadline)
{
	struct world *w = opaque;

	assert_int_equal(w->held, 0);
	assert_int_equal(pin, PIN);
	w->throttles++;
	w->deadline = deadline;
}

struct ioapic_config ioapic_config_of(struct world *w, uint32_t count, uint8_t version)
{
	return (struct ioapic_config){
		.host = { .opaque = w, .now = now, .lock = lock, .unlock = unlock },
		.mutex = w,
		.calls = { .opaque = w,
			   .deliver = deliver,
			   .ack = ack,
			   .mask_changed = mask_changed,
			   .changed = changed,
			   .holds = holds,
			   .throttled = throttled },
		.pins = w->pins,
		.count = count,
		.rtc_pin = RTC_PIN,
		.vcpus = WORLD_VCPUS,
		.base = BASE,
		.version = version,
	};
}

void start(struct world *w, uint32_t count, uint8_t version)
{
	struct ioapic_config config;

	memset(w, 0, sizeof(*w));
	w->present = 1;
	config = ioapic_config_of(w, count, version);
	assert_true(vmirq_ioapic_init(&w->ioapic, &config));
}

uint32_t get_register(struct world *w, uint32_t selector)
{
	vmirq_ioapic_write(&w->ioapic, BASE, 4, selector);
	return (uint32_t)vmirq_ioapic_read(&w->ioapic, BASE + 0x10, 4);
}

void put_register(struct world *w, uint32_t selector, uint32_t value)
{
	vmirq_ioapic_write(&w->ioapic, BASE, 4, selector);
	vmirq_ioapic_write(&w->ioapic, BASE + 0x10, 4, value);
}

void put_low(struct world *w, uint32_t pin, uint32_t low)
{
	put_register(w, 0x10 + 2 * pin, low);
}

/* As a guest does it: masked, destination, then the rest. */
void put_rte(struct world *w, uint32_t pin, uint64_t rte)
{
	put_low(w, pin, MASKED);
	put_register(w, 0x11 + 2 * pin, (uint32_t)(rte >> 32));
	put_low(w, pin, (uint32_t)rte);
}

uint32_t low(struct world *w, uint32_t pin)
{
	return get_register(w, 0x10 + 2 * pin);
}

bool in_service(struct world *w, uint32_t pin)
{
	return low(w, pin) & REMOTE_IRR;
}

void assert_line(struct world *w, uint32_t pin, bool level, enum vmirq_verdict verdict, int status)
{
	struct line_result r = vmirq_ioapic_set_line(&w->ioapic, pin, level);

	assert_int_equal(r.verdict, verdict);
	assert_int_equal(r.status, status);
}

void up(struct world *w)
{
	vmirq_ioapic_set_line(&w->ioapic, PIN, true);
}

void down(struct world *w)
{
	vmirq_ioapic_set_line(&w->ioapic, PIN, false);
}

void eoi(struct world *w, uint8_t vector)
{
	vmirq_ioapic_eoi(&w->ioapic, 0, vector, true);
}

/* So many were sent in all, and the last was this. */
void assert_sent(struct world *w, uint32_t sents, uint8_t vector, uint32_t dest,
		 enum delivery_mode mode, bool level)
{
	const struct interrupt *irq = &w->sent[(sents - 1) % 8];

	assert_int_equal(w->sents, sents);
	assert_int_equal(irq->vector, vector);
	assert_int_equal(irq->dest, dest);
	assert_int_equal(irq->mode, mode);
	assert_int_equal(irq->level, level);
	assert_false(irq->logical);
	assert_true(irq->interrupt);
	assert_false(irq->ipi || irq->redirect);
	assert_true(vmirq_ioapic_validate(&w->ioapic));
	assert_int_equal(w->held, 0);
}

/* A level pin with vector 0x51 to APIC 3, its line high and delivered. */
void start_level(struct world *w)
{
	start(w, 24, 0x11);
	put_rte(w, PIN, DEST(3) | LEVEL | 0x51);
	up(w);
	assert_sent(w, 1, 0x51, 3, DELIVERY_FIXED, true);
	assert_true(in_service(w, PIN));
}
