/* SPDX-License-Identifier: MIT */
/* The world around an IOAPIC under test: who is there, what was sent, what happens in a callback.
 * Its lock asserts that it is not taken twice, and every callback that it is not held. */
#ifndef IOAPIC_WORLD_H
#define IOAPIC_WORLD_H

#include "chip/ioapic.h"

#define BASE	    UINT64_C(0xfec00000)
#define PIN	    5u
#define LEVEL	    0x8000u
#define MASKED	    0x10000u
#define REMOTE_IRR  0x4000u
#define LOGICAL	    0x800u
#define DEST(id)    ((uint64_t)(id) << 56)
#define RTC_PIN	    8u
#define WORLD_VCPUS 4u

struct world {
	struct ioapic ioapic;
	struct ioapic_pin pins[IOAPIC_MAX_PINS];
	int held;
	uint64_t now;
	uint32_t present; /* how many accept */
	struct interrupt sent[8];
	uint32_t sents, acks, throttles, masks, changes;
	uint32_t acked_pin, masked_pin;
	bool masked;
	uint64_t deadline;
	/* What happens inside the callback of that number, counted from 1; 0 = never. */
	uint32_t in_deliver, in_ack, in_mask;
	void (*meanwhile)(struct world *w);
	/* Who has the RTC's vector, and the vector that was asked for. */
	enum holding holding[WORLD_VCPUS];
	uint8_t asked_vector;
};

struct ioapic_config ioapic_config_of(struct world *w, uint32_t count, uint8_t version);
void start(struct world *w, uint32_t count, uint8_t version);
uint32_t get_register(struct world *w, uint32_t selector);
void put_register(struct world *w, uint32_t selector, uint32_t value);
void put_low(struct world *w, uint32_t pin, uint32_t low);
/* As a guest does it: masked, destination, then the rest. */
void put_rte(struct world *w, uint32_t pin, uint64_t rte);
uint32_t low(struct world *w, uint32_t pin);
bool in_service(struct world *w, uint32_t pin);
void assert_line(struct world *w, uint32_t pin, bool level, enum vmirq_verdict verdict, int status);
void up(struct world *w);
void down(struct world *w);
void eoi(struct world *w, uint8_t vector);
/* So many were sent in all, and the last was this. */
void assert_sent(struct world *w, uint32_t sents, uint8_t vector, uint32_t dest,
		 enum delivery_mode mode, bool level);
/* A level pin with vector 0x51 to APIC 3, its line high and delivered. */
void start_level(struct world *w);

#endif
