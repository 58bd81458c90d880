/* SPDX-License-Identifier: MIT */
#include "route/table.h"

#include <errno.h>
#include <stdlib.h>

/* Directory 0 holds the first 64 pages, directory k the 64 << (k - 1) that follow. */
static uint32_t directory_of(uint32_t page)
{
	return page < FIRST_PAGES ? 0 : 32 - (uint32_t)__builtin_clz(page / FIRST_PAGES);
}

static uint32_t first_page(uint32_t directory)
{
	return directory ? FIRST_PAGES << (directory - 1) : 0;
}

static uint32_t pages_in(uint32_t directory)
{
	return directory ? FIRST_PAGES << (directory - 1) : FIRST_PAGES;
}

int vmirq_route_table_create(uint32_t max_gsis, struct route_table **out)
{
	struct route_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->max_gsis = max_gsis;
	pthread_mutex_init(&table->alloc_mutex, NULL);
	for (uint32_t i = 0; i < SLOT_LOCKS; i++)
		pthread_mutex_init(&table->slot_mutex[i], NULL);
	*out = table;
	return 0;
}

static void free_page(struct route_slot *page)
{
	for (uint32_t i = 0; page && i < PAGE_SLOTS; i++)
		free(atomic_load_explicit(&page[i].retired, memory_order_relaxed));
	free(page);
}

void vmirq_route_table_destroy(struct route_table *table)
{
	if (!table)
		return;
	for (uint32_t d = 0; d < DIRECTORIES; d++) {
		route_page *directory =
			atomic_load_explicit(&table->directory[d], memory_order_relaxed);

		for (uint32_t i = 0; directory && i < pages_in(d); i++)
			free_page(atomic_load_explicit(&directory[i], memory_order_relaxed));
		free(directory);
	}
	for (uint32_t i = 0; i < SLOT_LOCKS; i++)
		pthread_mutex_destroy(&table->slot_mutex[i]);
	pthread_mutex_destroy(&table->alloc_mutex);
	free(table);
}

struct route_slot *vmirq_route_find(struct route_table *table, uint32_t gsi)
{
	uint32_t page = gsi / PAGE_SLOTS, d = directory_of(page);
	struct route_slot *slots;
	route_page *directory;

	if (gsi >= table->max_gsis)
		return NULL;
	/* Acquire, both: pairs with the releases that published them. */
	directory = atomic_load_explicit(&table->directory[d], memory_order_acquire);
	if (!directory)
		return NULL;
	slots = atomic_load_explicit(&directory[page - first_page(d)], memory_order_acquire);
	return slots ? &slots[gsi % PAGE_SLOTS] : NULL;
}

uint64_t vmirq_route_skip(struct route_table *table, uint32_t gsi)
{
	uint32_t page = gsi / PAGE_SLOTS, d = directory_of(page);
	uint64_t next = (uint64_t)page + 1;

	if (!atomic_load_explicit(&table->directory[d], memory_order_relaxed))
		next = (uint64_t)first_page(d) + pages_in(d);
	return next * PAGE_SLOTS;
}

/* The alloc_mutex is held. */
static struct route_slot *new_page(uint32_t page)
{
	struct route_slot *slots = aligned_alloc(CACHE_LINE, PAGE_SLOTS * sizeof(*slots));

	for (uint32_t i = 0; slots && i < PAGE_SLOTS; i++)
		slots[i] = (struct route_slot){ .gsi = page * PAGE_SLOTS + i };
	return slots;
}

static int make_page(struct route_table *table, uint32_t page)
{
	uint32_t d = directory_of(page);
	route_page *directory, *at;
	struct route_slot *slots;
	int error = 0;

	pthread_mutex_lock(&table->alloc_mutex);
	directory = atomic_load_explicit(&table->directory[d], memory_order_relaxed);
	if (!directory) {
		directory = calloc(pages_in(d), sizeof(*directory));
		atomic_store_explicit(&table->directory[d], directory, memory_order_release);
	}
	at = directory ? &directory[page - first_page(d)] : NULL;
	if (at && !atomic_load_explicit(at, memory_order_relaxed)) {
		slots = new_page(page);
		atomic_store_explicit(at, slots, memory_order_release);
	}
	if (!at || !atomic_load_explicit(at, memory_order_relaxed))
		error = -ENOMEM;
	pthread_mutex_unlock(&table->alloc_mutex);
	return error;
}

int vmirq_route_slot(struct route_table *table, uint32_t gsi, struct route_slot **out)
{
	int error;

	if (gsi >= table->max_gsis)
		return -EINVAL;
	*out = vmirq_route_find(table, gsi);
	if (*out)
		return 0;
	error = make_page(table, gsi / PAGE_SLOTS);
	if (!error)
		*out = vmirq_route_find(table, gsi);
	return error;
}

static pthread_mutex_t *mutex_of(struct route_table *table, const struct route_slot *slot)
{
	return &table->slot_mutex[slot->gsi % SLOT_LOCKS];
}

void vmirq_route_lock(struct route_table *table, const struct route_slot *slot)
{
	pthread_mutex_lock(mutex_of(table, slot));
}

void vmirq_route_unlock(struct route_table *table, const struct route_slot *slot)
{
	pthread_mutex_unlock(mutex_of(table, slot));
}

void vmirq_route_watch(struct route_slot *slot, struct route_watcher *watcher)
{
	watcher->next = slot->watchers;
	slot->watchers = watcher;
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

struct route vmirq_route_read(const struct route_slot *slot)
{
	struct route route;
	uint32_t seq;

	do {
		seq = seq_read_begin(&slot->seq);
		route = (struct route){
			.kind = atomic_load_explicit(&slot->kind, memory_order_relaxed),
			.msi.address_lo =
				atomic_load_explicit(&slot->word[0], memory_order_relaxed),
			.msi.address_hi =
				atomic_load_explicit(&slot->word[1], memory_order_relaxed),
			.msi.data = atomic_load_explicit(&slot->word[2], memory_order_relaxed),
			.devid = atomic_load_explicit(&slot->word[3], memory_order_relaxed),
			.devid_valid =
				atomic_load_explicit(&slot->devid_valid, memory_order_relaxed),
		};
	} while (seq_read_retry(&slot->seq, seq));
	return route;
}

void vmirq_route_write(struct route_slot *slot, const struct route *route)
{
	seq_write_begin(&slot->seq);
	atomic_store_explicit(&slot->kind, route->kind, memory_order_relaxed);
	atomic_store_explicit(&slot->word[0], route->msi.address_lo, memory_order_relaxed);
	atomic_store_explicit(&slot->word[1], route->msi.address_hi, memory_order_relaxed);
	atomic_store_explicit(&slot->word[2], route->msi.data, memory_order_relaxed);
	atomic_store_explicit(&slot->word[3], route->devid, memory_order_relaxed);
	atomic_store_explicit(&slot->devid_valid, route->devid_valid, memory_order_relaxed);
	seq_write_end(&slot->seq);
	for (struct route_watcher *w = slot->watchers; w; w = w->next)
		w->changed(w);
}

void vmirq_route_lower_hint(struct route_table *table, uint32_t gsi)
{
	uint32_t hint = atomic_load_explicit(&table->lowest_free, memory_order_relaxed);

	while (gsi < hint &&
	       !atomic_compare_exchange_weak_explicit(&table->lowest_free, &hint, gsi,
						      memory_order_relaxed, memory_order_relaxed))
		;
}
