/* SPDX-License-Identifier: MIT */
/*
 * The routing table's memory: a slot per GSI, in pages that are made when first used and found by
 * directories that double, so that a slot is found without a search and never moves, and one high GSI
 * does not cost the memory of all below it. Readers copy a slot under its sequence counter; writers hold the slot's
 * lock, one of a few that GSIs share.
 *
 * Lock order: alloc_mutex, then a slot's lock. No signal takes either.
 */
#ifndef ROUTE_TABLE_H
#define ROUTE_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/counts.h"
#include "base/seqcount.h"
#include "msi/message.h"

#define PAGE_SLOTS  64u
#define FIRST_PAGES 64u
#define DIRECTORIES 21u
#define SLOT_LOCKS  16u

enum route_kind { ROUTE_NONE, ROUTE_MSI, ROUTE_PINS };

/* A GSI's route, taken apart. */
struct route {
	enum route_kind kind;
	struct msi_message msi;
	bool devid_valid;
	uint32_t devid;
};

/* Told when its slot's route has changed; holds the slot's lock, must not block. */
struct route_watcher {
	struct route_watcher *next;
	void (*changed)(struct route_watcher *watcher);
};

struct route_slot {
	struct seqcount seq;
	/* The route: relaxed, under seq. */
	_Atomic uint32_t kind; /* enum route_kind */
	_Atomic uint32_t word[4];
	_Atomic uint32_t devid_valid;
	/* Taken by vmirq_gsi_alloc(). */
	_Atomic uint32_t allocated;
	uint32_t gsi;
	/* Under the slot's lock. */
	struct route_watcher *watchers;
	/* Of irqfds that are gone; NULL until there was one. Under the slot's lock to set. */
	struct counts *_Atomic retired;
} __attribute__((aligned(CACHE_LINE)));

/* A page of slots, or NULL. */
typedef struct route_slot *_Atomic route_page;

struct route_table {
	uint32_t max_gsis;
	/* Everything from 24 up to here is taken; a hint that is only ever too low. */
	_Atomic uint32_t lowest_free;
	route_page *_Atomic directory[DIRECTORIES];
	pthread_mutex_t alloc_mutex;
	pthread_mutex_t slot_mutex[SLOT_LOCKS];
};

int vmirq_route_table_create(uint32_t max_gsis, struct route_table **out);
void vmirq_route_table_destroy(struct route_table *table);

/* NULL: this GSI was never used. Wait-free. */
struct route_slot *vmirq_route_find(struct route_table *table, uint32_t gsi);
/* vmirq_route_find() says NULL for `gsi`: the next one that it may not. */
uint64_t vmirq_route_skip(struct route_table *table, uint32_t gsi);
/* Make it if need be: -EINVAL (past the limit), -ENOMEM. */
int vmirq_route_slot(struct route_table *table, uint32_t gsi, struct route_slot **out);

void vmirq_route_lock(struct route_table *table, const struct route_slot *slot);
void vmirq_route_unlock(struct route_table *table, const struct route_slot *slot);

/* The slot's lock is held. */
void vmirq_route_watch(struct route_slot *slot, struct route_watcher *watcher);
/* False: it was not watching. */
bool vmirq_route_unwatch(struct route_slot *slot, struct route_watcher *watcher);

/* Lock-free; async-signal-safe. */
struct route vmirq_route_read(const struct route_slot *slot);
/* The slot's lock is held; tells the watchers. */
void vmirq_route_write(struct route_slot *slot, const struct route *route);

/* This GSI became free: vmirq_gsi_alloc() looks from here again. */
void vmirq_route_lower_hint(struct route_table *table, uint32_t gsi);

#endif
