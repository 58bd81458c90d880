/* SPDX-License-Identifier: MIT */
/* Creation, reset, and what of it the kernel's struct kvm_ioapic_state holds. */
#include "chip/ioapic_pin.h"

#define KERNEL_PINS KVM_IOAPIC_NUM_PINS

static void collect_vectors(const struct ioapic *a, uint64_t vectors[4])
{
	for (uint32_t w = 0; w < 4; w++)
		vectors[w] = 0;
	for (uint32_t n = 0; n < a->config.count; n++) {
		uint64_t rte = a->config.pins[n].rte;
		uint8_t vector = rte & RTE_VECTOR;

		if (rte & RTE_LEVEL)
			vectors[vector / 64] |= bit64(vector);
	}
}

/* Of eight pins. */
static uint64_t collect_pin_vectors(const struct ioapic *a, uint32_t first)
{
	uint64_t word = 0;

	for (uint32_t i = 0; i < PINS_PER_WORD && first + i < a->config.count; i++)
		word |= (a->config.pins[first + i].rte & RTE_VECTOR) << 8 * i;
	return word;
}

void vmirq_ioapic_update_vectors(struct ioapic *a)
{
	uint64_t vectors[4];

	collect_vectors(a, vectors);
	for (uint32_t w = 0; w < 4; w++)
		atomic_store_explicit(&a->level_vectors[w], vectors[w], memory_order_relaxed);
	for (uint32_t n = 0; n < a->config.count; n += PINS_PER_WORD)
		atomic_store_explicit(&a->pin_vectors[n / PINS_PER_WORD], collect_pin_vectors(a, n),
				      memory_order_relaxed);
}

void vmirq_ioapic_vectors(const struct ioapic *a, uint64_t vectors[4])
{
	for (uint32_t w = 0; w < 4; w++)
		vectors[w] = atomic_load_explicit(&a->level_vectors[w], memory_order_relaxed);
}

static void put_pin(struct ioapic *a, uint32_t n, uint64_t rte, bool irr)
{
	struct ioapic_pin *p = &a->config.pins[n];

	p->rte = rte;
	p->irr = irr;
	p->delivered = false;
	p->eois = 0;
	/* What is under way or has its EOI under way belongs to the state before. */
	p->episode = ioapic_next_episode(a);
}

static void put_power_up(struct ioapic *a)
{
	for (uint32_t n = 0; n < a->config.count; n++)
		put_pin(a, n, RTE_MASKED, a->config.pins[n].asserters > 0);
	a->ioregsel = 0;
	a->id = a->config.id;
	rtc_tick_clear(&a->rtc);
	atomic_store_explicit(&a->base, a->config.base, memory_order_relaxed);
	vmirq_ioapic_update_vectors(a);
}

bool vmirq_ioapic_init(struct ioapic *a, const struct ioapic_config *config)
{
	if (config->count < IOAPIC_MIN_PINS || config->count > IOAPIC_MAX_PINS ||
	    (config->version != IOAPIC_VERSION_82093 && config->version != IOAPIC_VERSION_EOI) ||
	    config->id > IOAPIC_ID_MAX || !ioapic_base_valid(config->base) ||
	    !config->calls.deliver)
		return false;
	a->config = *config;
	atomic_store_explicit(&a->episodes, 0, memory_order_relaxed);
	atomic_store_explicit(&a->sent, 0, memory_order_relaxed);
	a->rtc = (struct rtc_tick){ .sending = false };
	for (uint32_t n = 0; n < config->count; n++)
		config->pins[n] = (struct ioapic_pin){ .asserters = 0 };
	put_power_up(a);
	return true;
}

void vmirq_ioapic_reset(struct ioapic *a)
{
	ioapic_lock(a);
	put_power_up(a);
	ioapic_unlock(a);
	for (uint32_t n = 0; n < a->config.count; n++)
		ioapic_tell_changed(a, n);
}

bool vmirq_ioapic_validate(const struct ioapic *a)
{
	uint64_t vectors[4], published[4];
	bool good;

	ioapic_lock(a);
	collect_vectors(a, vectors);
	vmirq_ioapic_vectors(a, published);
	good = a->id <= IOAPIC_ID_MAX && a->ioregsel <= ioapic_select_bits(a) &&
	       ioapic_base_valid(a->base);
	for (uint32_t w = 0; w < 4; w++)
		good = good && vectors[w] == published[w];
	for (uint32_t n = 0; n < a->config.count; n++)
		good = good && rte_valid(a->config.pins[n].rte);
	for (uint32_t n = 0; n < a->config.count; n += PINS_PER_WORD)
		good = good && a->pin_vectors[n / PINS_PER_WORD] == collect_pin_vectors(a, n);
	ioapic_unlock(a);
	return good;
}

/* /dev/kvm 6.18: an edge that was sent is not shown, so that whoever loads it does not send it again,
 * and this holds until the next edge on this pin, also while it is a level in between. */
static bool shown_irr(const struct ioapic_pin *p)
{
	return p->irr && !p->delivered;
}

void vmirq_ioapic_save_all(struct ioapic *a, struct ioapic_state *state)
{
	ioapic_lock(a);
	state->base = a->base;
	state->ioregsel = a->ioregsel;
	state->id = a->id;
	state->count = a->config.count;
	for (uint32_t n = 0; n < a->config.count; n++)
		state->pin[n] = (struct ioapic_pin_state){
			.rte = a->config.pins[n].rte,
			.irr = shown_irr(&a->config.pins[n]),
		};
	ioapic_unlock(a);
}

void vmirq_ioapic_save(struct ioapic *a, struct kvm_ioapic_state *state)
{
	struct ioapic_state all = { .count = 0 };

	vmirq_ioapic_save_all(a, &all);
	*state = (struct kvm_ioapic_state){
		.base_address = all.base,
		.ioregsel = all.ioregsel,
		.id = all.id,
	};
	for (uint32_t n = 0; n < KERNEL_PINS; n++) {
		state->redirtbl[n].bits = all.pin[n].rte;
		state->irr |= all.pin[n].irr ? bit32(n) : 0;
	}
}

/* What is loaded as pending is sent, as the kernel does it: an edge, or a level without Remote-IRR. */
static void serve_loaded(struct ioapic *a, uint32_t n)
{
	const struct ioapic_pin *p = &a->config.pins[n];

	if (p->irr && !(p->rte & RTE_REMOTE_IRR))
		vmirq_ioapic_serve(a, n, n == a->config.rtc_pin && !rtc_tick_outstanding(&a->rtc));
}

/* /dev/kvm 6.18: whoever has the RTC's vector now is waited for, also for what was just sent. */
static void restore_ticks(struct ioapic *a)
{
	ioapic_lock(a);
	rtc_tick_clear(&a->rtc);
	ioapic_unlock(a);
	for (uint32_t i = 0; i < a->config.vcpus; i++)
		vmirq_ioapic_restore_tick(a, i);
}

static bool state_valid(const struct ioapic *a, const struct ioapic_state *state)
{
	if (state->id > IOAPIC_ID_MAX || state->ioregsel > ioapic_select_bits(a) ||
	    !ioapic_base_valid(state->base) || state->count > a->config.count)
		return false;
	for (uint32_t n = 0; n < state->count; n++)
		if (!rte_valid(state->pin[n].rte))
			return false;
	return true;
}

bool vmirq_ioapic_load_all(struct ioapic *a, const struct ioapic_state *state)
{
	if (!state_valid(a, state))
		return false;
	ioapic_lock(a);
	atomic_store_explicit(&a->base, state->base, memory_order_relaxed);
	a->ioregsel = state->ioregsel;
	a->id = (uint8_t)state->id;
	rtc_tick_clear(&a->rtc);
	for (uint32_t n = 0; n < state->count; n++)
		put_pin(a, n, state->pin[n].rte, state->pin[n].irr);
	vmirq_ioapic_update_vectors(a);
	ioapic_unlock(a);
	for (uint32_t n = 0; n < state->count; n++)
		ioapic_tell_changed(a, n);
	ioapic_lock(a);
	for (uint32_t n = 0; n < state->count; n++)
		serve_loaded(a, n);
	ioapic_unlock(a);
	restore_ticks(a);
	return true;
}

bool vmirq_ioapic_load(struct ioapic *a, const struct kvm_ioapic_state *state)
{
	struct ioapic_state all = {
		.base = state->base_address,
		.ioregsel = state->ioregsel,
		.id = state->id,
		.count = KERNEL_PINS,
	};

	for (uint32_t n = 0; n < KERNEL_PINS; n++)
		all.pin[n] = (struct ioapic_pin_state){ .rte = state->redirtbl[n].bits,
							.irr = state->irr & bit32(n) };
	return !(state->irr >> KERNEL_PINS) && vmirq_ioapic_load_all(a, &all);
}

bool vmirq_ioapic_save_pin(struct ioapic *a, uint32_t pin, struct ioapic_pin_state *state)
{
	if (pin >= a->config.count)
		return false;
	ioapic_lock(a);
	state->rte = a->config.pins[pin].rte;
	state->irr = shown_irr(&a->config.pins[pin]);
	ioapic_unlock(a);
	return true;
}

bool vmirq_ioapic_load_pin(struct ioapic *a, uint32_t pin, const struct ioapic_pin_state *state)
{
	if (pin >= a->config.count || !rte_valid(state->rte))
		return false;
	ioapic_lock(a);
	put_pin(a, pin, state->rte, state->irr);
	vmirq_ioapic_update_vectors(a);
	ioapic_unlock(a);
	ioapic_tell_changed(a, pin);
	ioapic_lock(a);
	serve_loaded(a, pin);
	ioapic_unlock(a);
	return true;
}

uint32_t vmirq_ioapic_asserters(struct ioapic *a, uint32_t pin)
{
	uint32_t asserters;

	if (pin >= a->config.count)
		return 0;
	ioapic_lock(a);
	asserters = a->config.pins[pin].asserters;
	ioapic_unlock(a);
	return asserters;
}

bool vmirq_ioapic_set_asserters(struct ioapic *a, uint32_t pin, uint32_t asserters)
{
	struct ioapic_pin *p;

	if (pin >= a->config.count)
		return false;
	p = &a->config.pins[pin];
	ioapic_lock(a);
	p->asserters = asserters;
	if (asserters && !p->irr) {
		/* An edge that was sent before the save is not one again. */
		p->irr = true;
		p->delivered = !(p->rte & RTE_LEVEL);
		if (pin_wants(p))
			vmirq_ioapic_serve(a, pin, false);
	}
	ioapic_unlock(a);
	return true;
}
