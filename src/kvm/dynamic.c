/* SPDX-License-Identifier: MIT */
/* Dynamic routes: a message finds its own by a hash, or is given one; and which go when all
 * numbers are taken. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "kvm/slots.h"

/* splitmix64's finaliser. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* The kernel has put 16 random bytes into every process: no system call for them. */
static void make_keys(struct kernel_table *t)
{
	const void *random =
		(const void *)getauxval(AT_RANDOM); /* NOLINT(performance-no-int-to-ptr) */
	uint64_t seed[2] = { (uintptr_t)t, 0 };

	if (random)
		memcpy(seed, random, sizeof(seed));
	for (uint64_t i = 0; i < 4; i++)
		t->key[i] = mix(seed[i % 2] + (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

int vmirq_dynamic_create(struct kernel_table *t)
{
	uint32_t bits = 1;

	while (bits < 31 && UINT32_C(1) << bits < t->config.limit)
		bits++;
	t->bucket = malloc((size_t)1 << bits << 2);
	if (!t->bucket)
		return -ENOMEM;
	memset(t->bucket, 0xff, (size_t)1 << bits << 2); /* NO_GSI */
	t->bucket_shift = 64 - bits;
	make_keys(t);
	return 0;
}

static uint32_t *bucket_of_gsi(struct kernel_table *t, uint32_t gsi)
{
	const uint32_t *word = t->slot[gsi].has.word;

	return kernel_table_bucket(t, &(struct msi_message){ .address_lo = word[0],
							     .address_hi = word[1],
							     .data = word[2] });
}

void vmirq_dynamic_close(struct kernel_table *t)
{
	uint32_t closed = atomic_load_explicit(&t->closed, memory_order_relaxed);

	atomic_store_explicit(&t->closed, closed + 1, memory_order_relaxed);
	/* Fences first: who is not waited for sees that it is closed. */
	vmirq_reader_wait_use(READER_HOLDS, t);
}

void vmirq_dynamic_open(struct kernel_table *t)
{
	uint32_t closed = atomic_load_explicit(&t->closed, memory_order_relaxed);

	/* Pairs with the acquires in kernel_table_is_open() and wait_open(). */
	atomic_store_explicit(&t->closed, closed + 1, memory_order_release);
}

void vmirq_dynamic_link(struct kernel_table *t, uint32_t gsi)
{
	uint32_t *bucket = bucket_of_gsi(t, gsi);

	t->slot[gsi].chain = *bucket;
	*bucket = gsi;
}

void vmirq_dynamic_unlink(struct kernel_table *t, uint32_t gsi)
{
	uint32_t *link = bucket_of_gsi(t, gsi);

	while (*link != gsi)
		link = &t->slot[*link].chain;
	*link = t->slot[gsi].chain;
}

/* The lock is held, or the table. */
static inline uint32_t find(const struct kernel_table *t, const struct msi_message *msg)
{
	return kernel_table_look(t, *kernel_table_bucket(t, msg), msg);
}

/* The library's message that no irqfd is on. Staged or not: one that is about to come may stay
 * away. */
static bool is_idle(const struct kernel_table *t, uint32_t gsi)
{
	const struct kernel_route *next = t->staged[gsi];
	const struct kernel_slot *slot = &t->slot[gsi];

	if (slot->users)
		return false;
	return next ? is_message(&next->has) : !slot->dynamic && is_message(&slot->has);
}

static bool is_dynamic(const struct kernel_table *t, uint32_t gsi)
{
	return t->slot[gsi].dynamic && !t->staged[gsi];
}

static void evict_idle(struct kernel_table *t, uint32_t n)
{
	for (uint32_t gsi = t->config.limit; n && gsi-- > t->config.reserved;)
		if (is_idle(t, gsi)) {
			vmirq_kernel_table_stage(t, gsi, &vmirq_kernel_route_none);
			n--;
		}
}

/* Second chance. Messages may be hit meanwhile, so that a turn does not suffice; in the third
 * turn none is spared. */
static void evict_cold(struct kernel_table *t, uint32_t n)
{
	uint32_t first = t->config.reserved, span = t->config.limit - first;

	for (uint64_t step = 0; n && step < 3 * (uint64_t)span; step++) {
		uint32_t gsi = first + t->hand;
		struct kernel_slot *slot = &t->slot[gsi];

		t->hand = t->hand ? t->hand - 1 : span - 1;
		if (!is_dynamic(t, gsi))
			continue;
		if (atomic_exchange_explicit(&slot->hit, false, memory_order_relaxed) &&
		    step < 2 * (uint64_t)span)
			continue;
		vmirq_kernel_table_stage(t, gsi, &vmirq_kernel_route_none);
		n--;
	}
}

/* Three quarters of the cold ones: a commit costs by the routes that are left, so that few cold ones should
 * be, where messages do not come again; where nearly all fit, most should stay. The library's messages without
 * an irqfd go first while they are more, or a few dynamic routes would have to evict each other beside many
 * that nobody needs. */
bool vmirq_kernel_table_evict(struct kernel_table *t)
{
	uint32_t dynamic = 0, cold = 0, idle = 0;

	for (uint32_t gsi = t->config.reserved; gsi < t->config.limit; gsi++) {
		idle += is_idle(t, gsi);
		if (is_dynamic(t, gsi)) {
			dynamic++;
			cold += !atomic_load_explicit(&t->slot[gsi].hit, memory_order_relaxed);
		}
	}
	if (idle > dynamic)
		evict_idle(t, (idle + 1) / 2);
	else
		evict_cold(t, (3 * (cold ? cold : dynamic) + 3) / 4);
	return idle || dynamic;
}

/* From the top down: the library takes its own from below. */
static uint32_t free_gsi(const struct kernel_table *t)
{
	for (uint32_t gsi = t->config.limit; gsi-- > t->config.reserved;)
		if (!(t->staged[gsi] ? t->staged[gsi]->has.n : t->slot[gsi].has.n) &&
		    !t->slot[gsi].users)
			return gsi;
	return NO_GSI;
}

/* The lock is held. */
static int make(struct kernel_table *t, const struct msi_message *msg, uint32_t *gsi)
{
	const struct kernel_route route = { .has = kernel_message(msg) };
	int error;

	*gsi = free_gsi(t);
	if (*gsi == NO_GSI || t->n_entries >= t->config.entries) {
		if (!vmirq_kernel_table_evict(t))
			return -ENOSPC;
		*gsi = free_gsi(t);
	}
	vmirq_kernel_table_stage(t, *gsi, &route);
	error = vmirq_kernel_table_transact(t, *gsi);
	if (!error)
		atomic_store_explicit(&t->slot[*gsi].hit, false, memory_order_relaxed);
	return error;
}

void vmirq_kernel_table_leave(struct kernel_table *t)
{
	lock_give(&t->lock);
}

/* With the lock held nobody closes the hash, so it is held without a look; without a record the lock
 * itself is kept. */
static __attribute__((noinline)) int find_or_make(struct kernel_table *t, struct reader *section,
						  const struct msi_message *msg)
{
	int error = 0;
	uint32_t gsi;

	lock_take(&t->lock);
	gsi = find(t, msg);
	if (gsi == NO_GSI)
		error = make(t, msg, &gsi);
	if (!error && section)
		reader_hold_unfenced(section, t);
	if (error || section)
		lock_give(&t->lock);
	return error ? error : (int)gsi;
}

static __attribute__((noinline)) void wait_open(struct kernel_table *t, struct reader *section)
{
	/* Acquire: as in kernel_table_is_open(). */
	for (unsigned int turn = 0; atomic_load_explicit(&t->closed, memory_order_acquire) & 1;
	     turn++) {
		reader_let_go(section);
		vmirq_back_off(turn);
		reader_hold(section, t);
	}
}

int vmirq_kernel_table_find(struct kernel_table *t, struct reader *section,
			    const struct msi_message *msg)
{
	uint32_t gsi;

	if (unlikely(!section))
		return find_or_make(t, NULL, msg);
	if (unlikely(!kernel_table_is_open(t)))
		wait_open(t, section);
	gsi = find(t, msg);
	if (unlikely(gsi == NO_GSI)) {
		reader_let_go(section);
		return find_or_make(t, section, msg);
	}
	kernel_slot_note_hit(&t->slot[gsi]);
	return (int)gsi;
}
