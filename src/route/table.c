/* SPDX-License-Identifier: MIT */
#include "route/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t pages_in(uint32_t directory)
{
	return directory ? FIRST_PAGES << (directory - 1) : FIRST_PAGES;
}

int vmirq_route_table_create(uint32_t max_gsis, struct route_table **out)
{
	struct route_table *table = aligned_alloc(CACHE_LINE, sizeof(*table));

	if (!table)
		return -ENOMEM;
	memset(table, 0, sizeof(*table));
	table->max_gsis = max_gsis;
	table->pages =
		(struct chunks){ .size = PAGE_SLOTS * sizeof(struct route_slot), .first = 1 };
	pthread_mutex_init(&table->whole_mutex, NULL);
	pthread_mutex_init(&table->alloc_mutex, NULL);
	*out = table;
	return 0;
}

static void free_more_of(struct route_slot *page)
{
	for (uint32_t i = 0; page && i < PAGE_SLOTS; i++)
		free(atomic_load_explicit(&page[i].more, memory_order_relaxed));
}

void vmirq_route_table_destroy(struct route_table *table)
{
	if (!table)
		return;
	for (uint32_t d = 0; d < DIRECTORIES; d++) {
		struct route_page *directory =
			atomic_load_explicit(&table->directory[d], memory_order_relaxed);

		for (uint32_t i = 0; directory && i < pages_in(d); i++)
			free_more_of(
				atomic_load_explicit(&directory[i].slots, memory_order_relaxed));
		free(directory);
	}
	vmirq_chunks_free(&table->pages);
	vmirq_route_drop_transaction(table);
	free(table->for_kernel);
	pthread_mutex_destroy(&table->alloc_mutex);
	pthread_mutex_destroy(&table->whole_mutex);
	free(table);
}

uint64_t vmirq_route_skip(struct route_table *table, uint32_t gsi)
{
	uint32_t page = gsi / PAGE_SLOTS, d = route_directory_of(page);
	uint64_t next = (uint64_t)page + 1;

	if (!atomic_load_explicit(&table->directory[d], memory_order_relaxed))
		next = (uint64_t)route_first_page(d) + pages_in(d);
	return next * PAGE_SLOTS;
}

/* The alloc_mutex is held. */
static struct route_slot *new_page(struct route_table *table, uint32_t page)
{
	struct route_slot *slots = vmirq_chunks_take(&table->pages);

	for (uint32_t i = 0; slots && i < PAGE_SLOTS; i++)
		slots[i] = (struct route_slot){ .gsi = page * PAGE_SLOTS + i };
	return slots;
}

static int make_page(struct route_table *table, uint32_t page)
{
	uint32_t d = route_directory_of(page);
	struct route_page *directory;
	struct route_slot *_Atomic *at = NULL;
	struct route_slot *slots;
	int error = 0;

	pthread_mutex_lock(&table->alloc_mutex);
	directory = atomic_load_explicit(&table->directory[d], memory_order_relaxed);
	if (!directory) {
		directory = calloc(pages_in(d), sizeof(*directory));
		atomic_store_explicit(&table->directory[d], directory, memory_order_release);
	}
	if (directory)
		at = &directory[page - route_first_page(d)].slots;
	if (at && !atomic_load_explicit(at, memory_order_relaxed)) {
		slots = new_page(table, page);
		atomic_store_explicit(at, slots, memory_order_release);
	}
	if (!at || !atomic_load_explicit(at, memory_order_relaxed))
		error = -ENOMEM;
	pthread_mutex_unlock(&table->alloc_mutex);
	return error;
}

int vmirq_route_make_slot(struct route_table *table, uint32_t gsi, struct route_slot **out)
{
	int error;

	if (gsi >= table->max_gsis)
		return -EINVAL;
	error = make_page(table, gsi / PAGE_SLOTS);
	if (!error)
		*out = vmirq_route_find(table, gsi);
	return error;
}

struct route_slot *vmirq_route_next(struct route_table *table, struct route_slot *slot)
{
	uint64_t gsi = slot ? (uint64_t)slot->gsi + 1 : 0;

	while (gsi < table->max_gsis) {
		struct route_slot *found = vmirq_route_find(table, (uint32_t)gsi);

		if (found)
			return found;
		gsi = vmirq_route_skip(table, (uint32_t)gsi);
	}
	return NULL;
}

void vmirq_route_settle(struct route_table *table, const struct route_slot *slot)
{
	struct slot_lock *l = route_lock_of(table, slot);

	while (slot->moving)
		vmirq_wait(&l->settling, &l->lock);
}

void vmirq_route_set_moving(struct route_table *table, struct route_slot *slot, bool moving)
{
	if (slot->moving && !moving)
		waiters_wake(&route_lock_of(table, slot)->settling);
	slot->moving = moving;
}

bool vmirq_route_unwatch(struct route_slot *slot, struct route_watcher *watcher)
{
	struct route_watcher **at = &slot->watchers;

	while (*at && *at != watcher)
		at = &(*at)->next;
	if (!*at)
		return false;
	*at = watcher->next;
	return true;
}

static inline void put_copy(struct route_copy *copy, const struct route_words *words)
{
	atomic_store_explicit(&copy->kind, words->kind, memory_order_relaxed);
	atomic_store_explicit(&copy->word[0], words->word[0], memory_order_relaxed);
	atomic_store_explicit(&copy->word[1], words->word[1], memory_order_relaxed);
	atomic_store_explicit(&copy->word[2], words->word[2], memory_order_relaxed);
}

/* As vmirq_dest_map_set(): one copy while readers use the other. */
static inline void put_copies(struct route_slot *slot, const struct route *route)
{
	const struct route_words words = route_words(route);
	uint32_t latch = atomic_load_explicit(&slot->latch, memory_order_relaxed);

	/* Release, both: readers are sent to a whole copy. One writer, so no locked add. */
	atomic_store_explicit(&slot->latch, latch + 1, memory_order_release);
	atomic_thread_fence(memory_order_release);
	put_copy(&slot->copy[0], &words);
	atomic_store_explicit(&slot->latch, latch + 2, memory_order_release);
	atomic_thread_fence(memory_order_release);
	put_copy(&slot->copy[1], &words);
	slot->devid_valid = route->devid_valid;
	slot->devid = route->devid;
}

/* It has watchers, or its line is asserted or being moved. */
static __attribute__((noinline)) void write_followed(struct route_table *table,
						     struct route_slot *slot,
						     const struct route *route)
{
	bool moves = route_sources(slot) && table->moved;
	struct route old;

	if (slot->watchers && table->coming)
		table->coming(slot, route);
	if (moves && !slot->moving) {
		old = vmirq_route_read(slot);
		table->moved(table->moved_opaque, slot, &old, false);
	}
	if (slot->moving)
		vmirq_route_set_moving(table, slot, false);
	put_copies(slot, route);
	if (moves)
		table->moved(table->moved_opaque, slot, route, true);
	for (struct route_watcher *w = slot->watchers; w; w = w->next)
		table->changed(w);
}

void vmirq_route_write(struct route_table *table, struct route_slot *slot,
		       const struct route *route)
{
	if (unlikely(slot->watchers || slot->moving || route_sources(slot)))
		write_followed(table, slot, route);
	else
		put_copies(slot, route);
}

int vmirq_route_make_more(struct route_slot *slot)
{
	struct route_more *more;

	if (atomic_load_explicit(&slot->more, memory_order_relaxed))
		return 0;
	more = calloc(1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	/* Release: pairs with the acquires in vmirq_gsi_counts() and lock_slot() of line.c. */
	atomic_store_explicit(&slot->more, more, memory_order_release);
	return 0;
}

void vmirq_route_lower_hint(struct route_table *table, uint32_t gsi)
{
	uint64_t old = atomic_load_explicit(&table->lowest_free, memory_order_relaxed), new;

	do {
		uint32_t hint = (uint32_t)old;

		new = ((old >> 32) + 1) << 32 | (gsi < hint ? gsi : hint);
		/* Release: what has become free is seen to be; pairs with the acquire in take(). */
	} while (!atomic_compare_exchange_weak_explicit(
		&table->lowest_free, &old, new, memory_order_release, memory_order_relaxed));
}
