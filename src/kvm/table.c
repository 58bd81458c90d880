/* SPDX-License-Identifier: MIT */
/* The kernel's routing table and its transactions: what is to change is staged, the table that
 * comes of it is built and given to the kernel, and only then is it ours. */
#include "kvm/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/slots.h"

const struct kernel_route vmirq_kernel_route_none;

static void free_memory(struct kernel_table *t)
{
	free(t->slot);
	free(t->bucket);
	free(t->staged);
	free(t->changed);
	free(t->flat);
	free(t);
}

/* All there will ever be. One more than none, so that NULL is always a failure; slots in whole lines. */
static int allocate(struct kernel_table *t)
{
	size_t n = ((size_t)t->config.limit + 2) & ~(size_t)1;

	t->slot = aligned_alloc(CACHE_LINE, n * sizeof(*t->slot));
	if (!t->slot)
		return -ENOMEM;
	memset(t->slot, 0, n * sizeof(*t->slot));
	/* Pointers are what is wanted. NOLINTNEXTLINE(bugprone-sizeof-expression) */
	t->staged = calloc(n, sizeof(*t->staged));
	t->changed = calloc(n, sizeof(*t->changed));
	t->flat = calloc(1, sizeof(*t->flat) +
				    (size_t)t->config.entries * sizeof(t->flat->entries[0]));
	return t->staged && t->changed && t->flat ? vmirq_dynamic_create(t) : -ENOMEM;
}

int vmirq_kernel_table_create(const struct kernel_table_config *config, struct kernel_table **out)
{
	struct kernel_table *t;
	int error;

	if (config->reserved > config->limit)
		return -EINVAL;
	t = aligned_alloc(CACHE_LINE, sizeof(*t));
	if (!t)
		return -ENOMEM;
	memset(t, 0, sizeof(*t));
	t->config = *config;
	if (!config->entries)
		t->config.entries = config->limit;
	error = allocate(t);
	if (error)
		free_memory(t);
	else
		*out = t;
	return error;
}

void vmirq_kernel_table_destroy(struct kernel_table *t)
{
	if (!t)
		return;
	free_memory(t);
}

static inline void stage(struct kernel_table *t, uint32_t gsi, const struct kernel_route *route)
{
	t->n_entries -= t->staged[gsi] ? t->staged[gsi]->has.n : t->slot[gsi].has.n;
	t->n_entries += route->has.n;
	if (!t->staged[gsi])
		t->changed[t->n_changed++] = gsi;
	t->staged[gsi] = route;
}

void vmirq_kernel_table_stage(struct kernel_table *t, uint32_t gsi,
			      const struct kernel_route *route)
{
	stage(t, gsi, route);
}

void vmirq_kernel_table_unstage(struct kernel_table *t)
{
	while (t->n_changed)
		t->staged[t->changed[--t->n_changed]] = NULL;
	t->n_entries = t->counts.entries;
}

static bool same_entries(const struct kernel_entries *a, const struct kernel_entries *b)
{
	uint32_t differs = (uint32_t)(a->n ^ b->n) | (uint32_t)(a->type ^ b->type) |
			   (uint32_t)(a->flags ^ b->flags);

	for (int i = 0; i < 4; i++)
		differs |= a->word[i] ^ b->word[i];
	return !differs;
}

static bool same_route(const struct kernel_slot *slot, const struct kernel_route *route)
{
	return !slot->dynamic && same_entries(&slot->has, &route->has);
}

static bool changes_anything(const struct kernel_table *t)
{
	for (uint32_t i = 0; i < t->n_changed; i++)
		if (!same_route(&t->slot[t->changed[i]], t->staged[t->changed[i]]))
			return true;
	return false;
}

/* As the table has a message: of an entry the rest is never written, and 0. */
static inline void put_entry(struct kvm_irq_routing_entry *entry, uint32_t gsi,
			     const struct kernel_entries *has)
{
	entry->gsi = gsi;
	entry->type = has->type;
	entry->flags = has->flags;
	entry->u.msi.address_lo = has->word[0];
	entry->u.msi.address_hi = has->word[1];
	entry->u.msi.data = has->word[2];
	entry->u.msi.devid = has->word[3];
}

static void put_pins(struct kvm_irq_routing_entry *entry, uint32_t gsi,
		     const struct kernel_entries *has)
{
	for (uint32_t i = 0; i < has->n; i++) {
		put_entry(&entry[i], gsi, &(struct kernel_entries){ .type = has->type });
		entry[i].u.irqchip.irqchip = has->word[i] >> 16;
		entry[i].u.irqchip.pin = has->word[i] & 0xffff;
	}
}

static void build(struct kernel_table *t)
{
	struct kvm_irq_routing_entry *entry = t->flat->entries, *end = entry + t->n_entries;

	/* The last one that has any is not far: most of the table is empty. */
	for (uint32_t gsi = 0; gsi < t->config.limit && entry < end; gsi++) {
		const struct kernel_route *next = t->staged[gsi];
		const struct kernel_entries *has = next ? &next->has : &t->slot[gsi].has;

		if (is_message(has))
			put_entry(entry, gsi, has);
		else
			put_pins(entry, gsi, has);
		entry += has->n;
	}
	t->flat->nr = (uint32_t)(entry - t->flat->entries);
}

/* Take out of the hash, or put back, what is being evicted. It must not be found any more when
 * the kernel gets its table, and whoever has found it must be done. */
static void hide(struct kernel_table *t, bool hidden)
{
	bool closed = false;

	if (!t->counts.dynamic)
		return;
	for (uint32_t i = 0; i < t->n_changed; i++) {
		uint32_t gsi = t->changed[i];

		if (!t->slot[gsi].dynamic)
			continue;
		if (!closed)
			vmirq_dynamic_close(t);
		closed = true;
		if (hidden)
			vmirq_dynamic_unlink(t, gsi);
		else
			vmirq_dynamic_link(t, gsi);
	}
	if (closed)
		vmirq_dynamic_open(t);
}

static bool was_set_back(const struct kernel_slot *slot, const struct kernel_route *next,
			 bool becomes_dynamic)
{
	return is_message(&slot->has) && (becomes_dynamic || next == &vmirq_kernel_route_none);
}

static void take_over(struct kernel_table *t, uint32_t gsi, bool dynamic)
{
	const struct kernel_route *next = t->staged[gsi];
	struct kernel_slot *slot = &t->slot[gsi];

	if (slot->dynamic) {
		t->counts.evicted++;
		t->counts.dynamic--;
	} else if (was_set_back(slot, next, dynamic)) {
		t->counts.set_back++;
	}
	if (dynamic)
		vmirq_dynamic_close(t);
	slot->has = next->has;
	slot->dynamic = dynamic;
	if (dynamic) {
		t->counts.dynamic++;
		vmirq_dynamic_link(t, gsi);
		vmirq_dynamic_open(t);
	}
}

int vmirq_kernel_table_transact(struct kernel_table *t, uint32_t dynamic)
{
	int error = 0;

	while (t->n_entries > t->config.entries && !error)
		if (!vmirq_kernel_table_evict(t))
			error = -ENOSPC;
	if (!error && changes_anything(t)) {
		build(t);
		hide(t, true);
		error = t->config.set(t->config.opaque, t->flat);
		if (error) {
			hide(t, false);
		} else {
			for (uint32_t i = 0; i < t->n_changed; i++)
				take_over(t, t->changed[i], t->changed[i] == dynamic);
			t->counts.commits++;
			t->counts.entries = t->n_entries;
		}
	}
	vmirq_kernel_table_unstage(t);
	return error;
}

/* A dynamic route's number is wanted back only for what the kernel itself will look up there. */
static bool passed_over(const struct kernel_slot *slot, const struct kernel_route *route)
{
	return slot->dynamic && (!route->has.n || is_message(&route->has));
}

static int commit(struct kernel_table *t, const struct kernel_route *changes, size_t n,
		  uint32_t from, uint32_t to)
{
	int error;

	lock_take(&t->lock);
	for (size_t i = 0; i < n; i++) {
		uint32_t gsi = changes[i].gsi;

		if (gsi < from || gsi >= to)
			continue;
		if (t->staged[gsi] || !passed_over(&t->slot[gsi], &changes[i]))
			stage(t, gsi, &changes[i]);
	}
	error = vmirq_kernel_table_transact(t, NO_GSI);
	lock_give(&t->lock);
	return error;
}

int vmirq_kernel_table_commit(struct kernel_table *t, const struct kernel_route *changes, size_t n)
{
	return commit(t, changes, n, t->config.reserved, t->config.limit);
}

int vmirq_kernel_table_commit_pins(struct kernel_table *t, const struct kernel_route *changes,
				   size_t n)
{
	return commit(t, changes, n, 0, t->config.reserved);
}

int vmirq_kernel_table_use(struct kernel_table *t, const struct kernel_route *route)
{
	uint32_t gsi = route->gsi;
	int error = 0;

	if (gsi < t->config.reserved || gsi >= t->config.limit)
		return -ENOSPC;
	lock_take(&t->lock);
	/* Counted first: it must not be evicted to make room for itself. */
	t->slot[gsi].users++;
	if (!same_route(&t->slot[gsi], route)) {
		vmirq_kernel_table_stage(t, gsi, route);
		error = vmirq_kernel_table_transact(t, NO_GSI);
	}
	if (error)
		t->slot[gsi].users--;
	lock_give(&t->lock);
	return error;
}

/* The lock is held. */
static bool has_own(const struct kernel_table *t, uint32_t gsi)
{
	return gsi >= t->config.reserved && gsi < t->config.limit && t->slot[gsi].has.n &&
	       !t->slot[gsi].dynamic;
}

size_t vmirq_kernel_table_use_as_is(struct kernel_table *t, const struct kvm_irqfd *irqfds,
				    size_t n)
{
	size_t used;

	lock_take(&t->lock);
	for (used = 0; used < n && has_own(t, irqfds[used].gsi); used++)
		t->slot[irqfds[used].gsi].users++;
	lock_give(&t->lock);
	return used;
}

void vmirq_kernel_table_unuse(struct kernel_table *t, uint32_t gsi)
{
	if (gsi >= t->config.limit)
		return;
	lock_take(&t->lock);
	if (t->slot[gsi].users)
		t->slot[gsi].users--;
	lock_give(&t->lock);
}

struct kernel_table_counts vmirq_kernel_table_counts(struct kernel_table *t)
{
	struct kernel_table_counts counts;

	lock_take(&t->lock);
	counts = t->counts;
	lock_give(&t->lock);
	return counts;
}
