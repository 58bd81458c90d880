/* SPDX-License-Identifier: MIT */
/*
 * The routing table's memory: a slot per GSI, in pages that are made when first used and found by
 * directories that double, so that a slot is found without a search and never moves, and one high GSI
 * does not cost the memory of all below it. Readers copy a slot under its latch; writers hold the
 * slot's lock, one of a few that GSIs share.
 *
 * Lock order: whole_mutex, alloc_mutex, then a slot's lock. No signal takes either.
 */
#ifndef ROUTE_TABLE_H
#define ROUTE_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chunk.h"
#include "base/counts.h"
#include "base/lock.h"
#include "base/seqcount.h"
#include "chip/deliver.h"
#include "chip/irqchip.h"
#include "msi/message.h"

#define PAGE_SLOTS  64u
#define FIRST_PAGES 64u
#define DIRECTORIES 21u
#define SLOT_LOCKS  16u
#define MAX_IOAPICS 8u
/* To be free with the commit of the open transaction: until then nobody else may have it, or the commit
 * would clear his route. */
#define GSI_LEAVING 2u
/* A vector's of some device's (src/msix), which routes it and gives it back: not in a VM's saved state, nor
 * touched by a load, nor by a whole new table. */
#define GSI_VECTORS 3u

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
	struct counts counts; /* of lines, and of irqfds that are gone */
	uint64_t sources;     /* that assert the line */
};

/* A latch: readers use one copy while the other is written, so a signal handler that interrupts the
 * writer, or a thread that has preempted it, need not wait. */
struct route_slot {
	_Atomic uint32_t latch;
	uint32_t gsi;
	struct route_copy copy[2];
	/* Taken by vmirq_gsi_alloc(): 1, or GSI_LEAVING; or GSI_VECTORS. */
	_Atomic uint8_t allocated;
	/* Under the slot's lock. */
	bool moving; /* its line is off the kernel's pins while the kernel changes its route; see below */
	bool devid_valid;
	uint32_t devid;
	struct route_watcher *watchers; /* with the kernel's irqchips under the whole_mutex, too */
	struct route_more *_Atomic more;
} __attribute__((aligned(CACHE_LINE)));

/* A page of slots. Devices bind their vectors one after the other, so the things that watch a page's slots
 * mostly lie in a row: where the first slot's is, if so. Only ever fetched by, beside the slot itself. */
struct route_page {
	struct route_slot *_Atomic slots; /* or NULL */
	_Atomic uintptr_t row;
};

/* Of the slots that share it. */
struct slot_lock {
	struct lock lock;
	_Atomic uint32_t settled; /* futex: how often one has ceased to be `moving` */
} __attribute__((aligned(CACHE_LINE)));

struct vmirq_vm;
struct route_transaction;

struct route_table {
	uint32_t max_gsis;
	/* Everything from 24 up to here is taken: a hint that is never too high. Bits 63:32 count the
	 * GSIs that became free, so that an allocation that looked before does not raise it. */
	_Atomic uint64_t lowest_free;
	struct route_page *_Atomic directory[DIRECTORIES];
	pthread_mutex_t whole_mutex; /* replacing the whole table */
	/* Under the whole_mutex: what a change of many tells the kernel. */
	struct kernel_route *for_kernel;
	size_t for_kernel_room;
	pthread_mutex_t alloc_mutex;
	struct chunks pages; /* under the alloc_mutex */
	struct slot_lock slot_lock[SLOT_LOCKS];
	/* Which pins there are to go to; constant once the VM is made. */
	uint32_t pic_pins; /* 16 or 0 */
	uint32_t ioapics;
	uint32_t ioapic_pins[MAX_IOAPICS];
	/* A slot's lines follow its route: called under the slot's lock before and after a change. */
	void (*moved)(void *opaque, const struct route_slot *slot, const struct route *route,
		      bool on);
	void *moved_opaque;
	/* A watcher's slot has another route; under the slot's lock, must not block. It is in a thing of so many
	 * bytes, so far in; `changed` needs the line it is in and the thing's first. */
	void (*changed)(struct route_watcher *watcher);
	size_t watched_by, watcher_at;
	/* The slot's watchers are about to get this route, which no signal sees yet; under the slot's
	 * lock. NULL: nobody watches. */
	void (*coming)(struct route_slot *slot, const struct route *next);
	/* With the kernel's irqchips, under whole_mutex and no slot's lock: the slot is about to get
	 * this route; and it has got one. */
	void (*replacing)(void *opaque, struct route_slot *slot, const struct route *next);
	void (*replaced)(void *opaque, struct route_slot *slot);
	void *replace_opaque;
	/* Whose thread has a transaction open, or 0; and that thread's alone, what is in it. */
	_Atomic uintptr_t transaction_owner;
	struct route_transaction *transaction;
};

int vmirq_route_table_create(uint32_t max_gsis, struct route_table **out);
void vmirq_route_table_destroy(struct route_table *table);

/* Directory 0 holds the first 64 pages, directory k the 64 << (k - 1) that follow. */
static inline uint32_t route_directory_of(uint32_t page)
{
	return page < FIRST_PAGES ? 0 : 32 - (uint32_t)__builtin_clz(page / FIRST_PAGES);
}

static inline uint32_t route_first_page(uint32_t directory)
{
	return directory ? FIRST_PAGES << (directory - 1) : 0;
}

/* NULL: this GSI's page's directory was never used. Wait-free. */
static inline struct route_page *route_page_of(struct route_table *table, uint32_t gsi)
{
	uint32_t page = gsi / PAGE_SLOTS, d = route_directory_of(page);
	struct route_page *directory;

	if (gsi >= table->max_gsis)
		return NULL;
	/* Acquire: pairs with the release that published it. */
	directory = atomic_load_explicit(&table->directory[d], memory_order_acquire);
	return directory ? &directory[page - route_first_page(d)] : NULL;
}

static inline struct route_slot *route_slot_in(const struct route_page *page, uint32_t gsi)
{
	/* Acquire: pairs with the release that published it. */
	struct route_slot *slots = atomic_load_explicit(&page->slots, memory_order_acquire);

	return slots ? &slots[gsi % PAGE_SLOTS] : NULL;
}

/* NULL: this GSI was never used. Wait-free. */
static inline struct route_slot *vmirq_route_find(struct route_table *table, uint32_t gsi)
{
	const struct route_page *page = route_page_of(table, gsi);

	return page ? route_slot_in(page, gsi) : NULL;
}

/* Have the processor fetch what watches it, most likely, while its slot is still on the way. */
static inline void route_fetch_watcher(const struct route_table *table,
				       const struct route_page *page, uint32_t gsi)
{
	uintptr_t row = atomic_load_explicit(&page->row, memory_order_relaxed);
	/* What it fetches may be another's by now, or nobody's. NOLINTNEXTLINE(performance-no-int-to-ptr) */
	const char *thing = (const char *)(row + gsi % PAGE_SLOTS * table->watched_by);

	if (!row)
		return;
	__builtin_prefetch(thing, 1);
	__builtin_prefetch((const char *)((uintptr_t)thing + table->watcher_at), 1);
}
/* vmirq_route_find() says NULL for `gsi`: the next one that it may not. */
uint64_t vmirq_route_skip(struct route_table *table, uint32_t gsi);
/* Make it if need be: -EINVAL (past the limit), -ENOMEM. */
int vmirq_route_make_slot(struct route_table *table, uint32_t gsi, struct route_slot **out);
static inline int vmirq_route_slot(struct route_table *table, uint32_t gsi, struct route_slot **out)
{
	*out = vmirq_route_find(table, gsi);
	return likely(*out != NULL) ? 0 : vmirq_route_make_slot(table, gsi, out);
}

/* The slot after this one that was ever made, or the first (NULL); NULL at the end. */
struct route_slot *vmirq_route_next(struct route_table *table, struct route_slot *slot);

static inline struct slot_lock *route_lock_of(struct route_table *table,
					      const struct route_slot *slot)
{
	return &table->slot_lock[slot->gsi % SLOT_LOCKS];
}

static inline void vmirq_route_lock(struct route_table *table, const struct route_slot *slot)
{
	lock_take(&route_lock_of(table, slot)->lock);
}

static inline void vmirq_route_unlock(struct route_table *table, const struct route_slot *slot)
{
	lock_give(&route_lock_of(table, slot)->lock);
}

/* Until it is not `moving`; the slot's lock is held, but not while it waits. */
void vmirq_route_settle(struct route_table *table, const struct route_slot *slot);

/* To change its line: while it is `moving` there are no pins to tell. That ends without a grace period, so
 * a read section may wait for it. */
static inline void vmirq_route_lock_line(struct route_table *table, const struct route_slot *slot)
{
	vmirq_route_lock(table, slot);
	if (unlikely(slot->moving))
		vmirq_route_settle(table, slot);
}

/* The slot's lock is held. */
void vmirq_route_set_moving(struct route_table *table, struct route_slot *slot, bool moving);

/* See struct route_more; -ENOMEM. The slot's lock is held. */
int vmirq_route_make_more(struct route_slot *slot);

/* The sources that assert its line; the slot's lock is held. */
static inline uint64_t route_sources(const struct route_slot *slot)
{
	const struct route_more *more = atomic_load_explicit(&slot->more, memory_order_relaxed);

	return more ? more->sources : 0;
}

/* The slot's lock is held. */
static inline void vmirq_route_watch(struct route_table *table, struct route_slot *slot,
				     struct route_watcher *watcher)
{
	struct route_page *page = route_page_of(table, slot->gsi);
	uintptr_t thing = (uintptr_t)watcher - table->watcher_at;

	watcher->next = slot->watchers;
	slot->watchers = watcher;
	atomic_store_explicit(&page->row, thing - slot->gsi % PAGE_SLOTS * table->watched_by,
			      memory_order_relaxed);
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

/* All but the devid. Lock-free; async-signal-safe. */
static inline struct route_words vmirq_route_words(const struct route_slot *slot)
{
	struct route_words words;
	uint32_t latch;

	do {
		/* Acquire: that copy is whole; pairs with the release store in put_copies(). */
		latch = atomic_load_explicit(&slot->latch, memory_order_acquire);

		const struct route_copy *copy = &slot->copy[latch & 1];

		words.kind = atomic_load_explicit(&copy->kind, memory_order_relaxed);
		for (int i = 0; i < 3; i++)
			words.word[i] = atomic_load_explicit(&copy->word[i], memory_order_relaxed);
		/* The loads before the look; pairs with the fence in put_copies(). */
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load_explicit(&slot->latch, memory_order_relaxed) != latch);
	return words;
}

/* Taken apart. */
static inline struct route vmirq_route_read(const struct route_slot *slot)
{
	const struct route_words words = vmirq_route_words(slot);
	struct route route = { .kind = (enum route_kind)words.kind,
			       .pin = { NO_PIN, NO_PIN, NO_PIN } };

	if (words.kind == ROUTE_PINS)
		for (int i = 0; i < PIN_CHIPS; i++)
			route.pin[i] = words.word[i];
	else
		route.msi = (struct msi_message){ .address_lo = words.word[0],
						  .address_hi = words.word[1],
						  .data = words.word[2] };
	return route;
}

static inline struct route route_in_copy(const struct route_copy *copy)
{
	struct route route = {
		.kind = (enum route_kind)atomic_load_explicit(&copy->kind, memory_order_relaxed),
		.pin = { NO_PIN, NO_PIN, NO_PIN },
	};
	uint32_t word[3];

	for (int i = 0; i < 3; i++)
		word[i] = atomic_load_explicit(&copy->word[i], memory_order_relaxed);
	if (route.kind == ROUTE_PINS)
		for (int i = 0; i < 3; i++)
			route.pin[i] = word[i];
	else
		route.msi = (struct msi_message){ .address_lo = word[0],
						  .address_hi = word[1],
						  .data = word[2] };
	return route;
}

/* The same where the slot's lock is held: nobody writes meanwhile. */
static inline struct route route_read_locked(const struct route_slot *slot)
{
	uint32_t latch = atomic_load_explicit(&slot->latch, memory_order_relaxed);

	return route_in_copy(&slot->copy[latch & 1]);
}

static inline const struct route_copy *route_copy_locked(const struct route_slot *slot)
{
	return &slot->copy[atomic_load_explicit(&slot->latch, memory_order_relaxed) & 1];
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
/* The slot's lock is held; tells the watchers. */
void vmirq_route_write(struct route_table *table, struct route_slot *slot,
		       const struct route *route);

/* msi_send.c: by the kernel's local APICs or by ours. Inside a read section. */
struct delivery vmirq_route_send(struct vmirq_vm *vm, const struct msi_message *msg);

/* One route of a change. */
struct route_change {
	struct route_slot *slot;
	struct route route;
};

/* commit.c: make these changes, of slots that are all different: all or, on error, none. */
int vmirq_route_make_changes(struct vmirq_vm *vm, const struct route_change *changes, size_t n);
/* The whole_mutex is held. */
int vmirq_route_make_changes_locked(struct vmirq_vm *vm, const struct route_change *changes,
				    size_t n);
/* commit.c: where to write down one change: in the calling thread's transaction, or here. NULL: no memory. And
 * when it is written: it joins that transaction, or is made at once. */
struct route_change *vmirq_route_new_change(struct vmirq_vm *vm, struct route_change *alone);
int vmirq_route_change(struct vmirq_vm *vm, const struct route_change *change,
		       const struct route_change *alone);
/* commit.c: has the calling thread one open? */
bool vmirq_route_in_transaction(struct route_table *table);
void vmirq_route_drop_transaction(struct route_table *table);
/* route.c: the entries of one GSI, as a route: -EINVAL, -EOPNOTSUPP. */
int vmirq_route_from_entries(const struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries,
			     size_t n, struct route *route);
/* route.c: the kernel's words for a route; returns how many entries, and stores no others. */
uint32_t vmirq_route_describe(const struct route *route, uint32_t gsi,
			      struct kvm_irq_routing_entry entries[ENTRIES_PER_GSI]);
/* What the kernel is to have of it: in split, only messages. */
void vmirq_route_for_kernel(const struct irqchip *irqchip, const struct route *route, uint32_t gsi,
			    struct kernel_route *kernel);
/* whole_table.c: a new table, checked and with its slots in place. vmirq_route_set_all() in two steps:
 * without an irqchip in the kernel errors come from the first only. */
struct route_new_table {
	size_t n, room;
	struct route_change *change;
};
int vmirq_route_prepare_all(struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries,
			    size_t n, struct route_new_table **out);
int vmirq_route_put_all(struct vmirq_vm *vm, const struct route_new_table *table);
void vmirq_route_free_new_table(struct route_new_table *table);

/* This GSI became free: vmirq_gsi_alloc() looks from here again. */
void vmirq_route_lower_hint(struct route_table *table, uint32_t gsi);
/* gsi.c: one for a vector (GSI_VECTORS). Errors as vmirq_gsi_alloc(). And back: it is routed nowhere, and free
 * at once, also where its thread has a transaction open. */
int vmirq_gsi_take(struct vmirq_vm *vm, struct route_slot **slot);
void vmirq_gsi_release(struct route_table *table, struct route_slot *slot);

#endif
