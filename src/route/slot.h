/* SPDX-License-Identifier: MIT */
/*
 * A GSI's slot: its route, twice, under a latch; who watches it; and what few have besides. What the
 * slot's lock is, the table knows.
 */
#ifndef ROUTE_SLOT_H
#define ROUTE_SLOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arch.h"
#include "base/counts.h"
#include "msi/message.h"

/* To be free with the commit of the open transaction: until then nobody else may have it, or the commit
 * would clear his route. */
#define GSI_LEAVING 2u
/* A device's vector's (src/msix), or a pirq's message's, which routes it and gives it back: nobody else may
 * change its route, and it is not in a VM's saved state, nor touched by a load, nor by a whole new table. */
#define GSI_OWNED 3u

enum route_kind { ROUTE_NONE, ROUTE_MSI, ROUTE_PINS };

/* Pins that one GSI may go to; NO_PIN where it does not. */
enum pin_of { PIN_MASTER, PIN_SLAVE, PIN_IOAPIC, PIN_CHIPS };
#define NO_PIN UINT32_MAX
/* A pin of the n-th IOAPIC. */
#define IOAPIC_PIN(n, pin) ((n) << 16 | (pin))

/* A GSI's route, taken apart. */
struct route {
	enum route_kind kind;
	struct msi_message msi;
	uint32_t pin[PIN_CHIPS];
	bool devid_valid;
	uint32_t devid;
};

/* Its table is told when its slot's route has changed. */
struct route_watcher {
	struct route_watcher *next;
};

/* One of a slot's two copies of its route: relaxed-atomic, under the latch. */
struct route_copy {
	_Atomic uint32_t kind;	  /* enum route_kind */
	_Atomic uint32_t word[3]; /* address_lo, _hi, data; or a pin by chip */
};

/* What few slots have: made when it is first needed, kept until the VM goes. */
struct route_more {
	/* Written under the slot's lock: */
	struct counts counts;  /* of lines, and of irqfds that are gone */
	uint64_t sources;      /* that assert the line */
	_Atomic uint64_t late; /* signals that found their irqfd gone; without the lock */
};

/* A latch: readers use one copy while the other is written, so a signal handler that interrupts the
 * writer, or a thread that has preempted it, need not wait. */
struct route_slot {
	_Atomic uint32_t latch;
	uint32_t gsi;
	struct route_copy copy[2];
	/* Taken by vmirq_gsi_alloc(): 1, or GSI_LEAVING; or GSI_OWNED. From 0 under the slot's lock. */
	_Atomic uint8_t allocated;
	/* Under the slot's lock. */
	bool linked; /* a pirq has it, whether it has a route or not */
	bool moving; /* its line is off the kernel's pins while the kernel changes its route */
	bool devid_valid;
	uint32_t devid;
	struct route_watcher *watchers; /* with the kernel's irqchips under the whole_mutex, too */
	struct route_more *_Atomic more;
} __attribute__((aligned(CACHE_LINE)));

/* See struct route_more; -ENOMEM. The slot's lock is held. */
int vmirq_route_make_more(struct route_slot *slot);

/* The sources that assert its line; the slot's lock is held. */
static inline uint64_t route_sources(const struct route_slot *slot)
{
	const struct route_more *more = atomic_load_explicit(&slot->more, memory_order_relaxed);

	return more ? more->sources : 0;
}

/* False: it was not watching. */
bool vmirq_route_unwatch(struct route_slot *slot, struct route_watcher *watcher);

/* A route as a slot's copies have it, but for the devid. */
struct route_words {
	uint32_t kind;
	uint32_t word[3];
};

static inline struct route_words route_words(const struct route *route)
{
	bool pins = route->kind == ROUTE_PINS;

	return (struct route_words){
		.kind = route->kind,
		.word = { pins ? route->pin[0] : route->msi.address_lo,
			  pins ? route->pin[1] : route->msi.address_hi,
			  pins ? route->pin[2] : route->msi.data },
	};
}

/* Of ROUTE_MSI. */
static inline struct msi_message route_message(const struct route_words *words)
{
	return (struct msi_message){ .address_lo = words->word[0],
				     .address_hi = words->word[1],
				     .data = words->word[2] };
}

static inline struct route_words route_words_in(const struct route_copy *copy)
{
	struct route_words words;

	words.kind = atomic_load_explicit(&copy->kind, memory_order_relaxed);
	for (int i = 0; i < 3; i++)
		words.word[i] = atomic_load_explicit(&copy->word[i], memory_order_relaxed);
	return words;
}

/* All but the devid. Lock-free; async-signal-safe. */
static inline struct route_words vmirq_route_words(const struct route_slot *slot)
{
	struct route_words words;
	uint32_t latch;

	do {
		/* Acquire: that copy is whole; pairs with the release store in put_copies(). */
		latch = atomic_load_explicit(&slot->latch, memory_order_acquire);
		words = route_words_in(&slot->copy[latch & 1]);
		/* The loads before the look; pairs with the fence in put_copies(). */
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load_explicit(&slot->latch, memory_order_relaxed) != latch);
	return words;
}

/* Taken apart. */
static inline struct route route_of_words(const struct route_words *words)
{
	struct route route = { .kind = (enum route_kind)words->kind,
			       .pin = { NO_PIN, NO_PIN, NO_PIN } };

	if (words->kind == ROUTE_PINS)
		for (int i = 0; i < PIN_CHIPS; i++)
			route.pin[i] = words->word[i];
	else
		route.msi = route_message(words);
	return route;
}

static inline struct route vmirq_route_read(const struct route_slot *slot)
{
	const struct route_words words = vmirq_route_words(slot);

	return route_of_words(&words);
}

/* These where the slot's lock is held: nobody writes meanwhile. */
static inline const struct route_copy *route_copy_locked(const struct route_slot *slot)
{
	return &slot->copy[atomic_load_explicit(&slot->latch, memory_order_relaxed) & 1];
}

static inline struct route route_read_locked(const struct route_slot *slot)
{
	const struct route_words words = route_words_in(route_copy_locked(slot));

	return route_of_words(&words);
}

/* A moment's: no lock held, it may be another by now. */
static inline enum route_kind route_kind_now(const struct route_slot *slot)
{
	return (enum route_kind)atomic_load_explicit(&route_copy_locked(slot)->kind,
						     memory_order_relaxed);
}

/* The slot's lock is held. */
static inline enum route_kind route_kind_locked(const struct route_slot *slot)
{
	return route_kind_now(slot);
}

/* A pin's number, where it has pins. */
static inline uint32_t route_copy_pin(const struct route_copy *copy, enum pin_of chip)
{
	return atomic_load_explicit(&copy->word[chip], memory_order_relaxed);
}

/* Does it go to this pin of this chip? Lock-free. */
static inline bool route_has_pin(const struct route_slot *slot, enum pin_of chip, uint32_t pin)
{
	uint32_t latch, kind, word;

	do {
		/* As in vmirq_route_words(). */
		latch = atomic_load_explicit(&slot->latch, memory_order_acquire);
		kind = atomic_load_explicit(&slot->copy[latch & 1].kind, memory_order_relaxed);
		word = atomic_load_explicit(&slot->copy[latch & 1].word[chip],
					    memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load_explicit(&slot->latch, memory_order_relaxed) != latch);
	return kind == ROUTE_PINS && word == pin;
}

/* Is it another route than the slot's? The slot's lock is held, or else whatever keeps it as it is. */
static inline bool vmirq_route_differs(const struct route_slot *slot, const struct route *route)
{
	const struct route_words next = route_words(route);
	/* Nobody writes them. */
	const struct route_copy *copy = &slot->copy[0];
	uint32_t differs = atomic_load_explicit(&copy->kind, memory_order_relaxed) ^ next.kind;

	if (differs)
		return true;
	if (next.kind == ROUTE_NONE)
		return false;
	for (int i = 0; i < 3; i++)
		differs |= atomic_load_explicit(&copy->word[i], memory_order_relaxed) ^
			   next.word[i];
	return differs || (next.kind == ROUTE_MSI && (slot->devid_valid != route->devid_valid ||
						      slot->devid != route->devid));
}

#endif
