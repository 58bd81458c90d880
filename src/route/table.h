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
#include "base/lock.h"
#include "base/reader.h"
#include "base/vm.h"
#include "base/wait.h"
#include "chip/deliver.h"
#include "chip/irqchip.h"
#include "route/slot.h"

#define PAGE_SLOTS  64u
#define FIRST_PAGES 64u
#define DIRECTORIES 21u
#define SLOT_LOCKS  16u
#define MAX_IOAPICS 8u

/* A page of slots. Devices bind their vectors one after the other, so the things that watch a page's slots
 * mostly lie in a row: where the first slot's is, if so. Only ever fetched by, beside the slot itself. */
struct route_page {
	struct route_slot *_Atomic slots; /* or NULL */
	_Atomic uintptr_t row;
};

/* Of the slots that share it. */
struct slot_lock {
	struct lock lock;
	struct waiters settling; /* until one has ceased to be `moving` */
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
/* In a read section with a kernel's irqchip: who has the whole_mutex may be waiting for it to end. */
static inline bool route_must_not_change(const struct vmirq_vm *vm)
{
	return vm->irqchip && reader_inside();
}

/* The whole_mutex is held. */
int vmirq_route_make_changes_locked(struct vmirq_vm *vm, const struct route_change *changes,
				    size_t n);
/* transaction.c: where to write down one change: in the calling thread's transaction, or here. NULL: no memory.
 * And what is written there is part of it. */
struct route_change *vmirq_route_new_change(struct vmirq_vm *vm, struct route_change *alone);
void vmirq_route_join_transaction(struct vmirq_vm *vm);
/* It joins that transaction, or is made at once. */
static inline int vmirq_route_change(struct vmirq_vm *vm, const struct route_change *change,
				     const struct route_change *alone)
{
	if (likely(change == alone))
		return vmirq_route_make_changes(vm, change, 1);
	vmirq_route_join_transaction(vm);
	return 0;
}
/* transaction.c: has the calling thread one open? */
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

/* Is its route its owner's? A moment's. */
static inline bool route_owned(const struct route_slot *slot)
{
	return atomic_load_explicit(&slot->allocated, memory_order_relaxed) == GSI_OWNED;
}

/* This GSI became free: vmirq_gsi_alloc() looks from here again. */
void vmirq_route_lower_hint(struct route_table *table, uint32_t gsi);
/* gsi.c: one for an owner of its route (GSI_OWNED). Errors as vmirq_gsi_alloc(). And back: it is routed nowhere, and free
 * at once, also where its thread has a transaction open. */
int vmirq_gsi_take(struct vmirq_vm *vm, struct route_slot **slot);
void vmirq_gsi_release(struct route_table *table, struct route_slot *slot);

#endif
