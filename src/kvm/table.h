/* SPDX-License-Identifier: MIT */
/*
 * The kernel's routing table of one VM: the library's own routes, split's pins, and *dynamic*
 * routes, made and evicted as messages need them where there is no KVM_SIGNAL_MSI. The kernel is
 * reached through a function, so that all of this runs without one.
 *
 * Every function but create and destroy may be called from any thread beside all others. Its locks
 * are leaves: `set` is called under them and must not call back. A message that has a
 * route waits for no commit, unless that commit evicts the route; all else waits for the commit
 * under way.
 *
 * Kept here is what the kernel has, not what the caller wants it to have: a message without an
 * irqfd on it may be evicted, and comes back with vmirq_kernel_table_use(). What is handed in has
 * been validated.
 */
#ifndef KVM_TABLE_H
#define KVM_TABLE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/reader.h"
#include "chip/irqchip.h"

struct kernel_table;

struct kernel_table_config {
	uint32_t limit;	   /* GSIs to use: 0 .. limit - 1 */
	uint32_t reserved; /* the lowest, for vmirq_kernel_table_commit_pins() alone */
	/* What the kernel takes in one table (KVM_CAP_IRQ_ROUTING), which counts entries, of
	 * which a GSI with pins of two chips has two; 0 = limit. */
	uint32_t entries;
	/* KVM_SET_GSI_ROUTING: 0 or -errno, and then the old table stands. */
	int (*set)(void *opaque, const struct kvm_irq_routing *table);
	void *opaque;
};

struct kernel_table_counts {
	uint64_t commits;  /* that the kernel took */
	uint64_t evicted;  /* dynamic routes, since it was made */
	uint64_t set_back; /* the library's messages that had no irqfd, likewise */
	uint32_t dynamic;  /* routes there are now */
	uint32_t entries;  /* in the kernel's table */
};

/* An empty table, which the kernel is not told. -EINVAL: more reserved than there are. -ENOMEM. */
int vmirq_kernel_table_create(const struct kernel_table_config *config, struct kernel_table **out);
void vmirq_kernel_table_destroy(struct kernel_table *t);

/* Replace the routes of these GSIs, all or nothing: one `set`, none if the kernel's table stays
 * as it is. GSIs that are reserved or not below the limit are passed over. A dynamic route gives
 * up its number to a chip's pins, and to a message that an irqfd is on; another message is passed
 * over. `set`'s error, or -ENOSPC: more entries than the kernel takes, with all evicted that may
 * be. */
int vmirq_kernel_table_commit(struct kernel_table *t, const struct kernel_route *changes, size_t n);
/* The same for the reserved ones, all others being passed over. */
int vmirq_kernel_table_commit_pins(struct kernel_table *t, const struct kernel_route *changes,
				   size_t n);

/* One irqfd more on this GSI: its route is in the kernel's table from now on, and stays. -ENOSPC:
 * the number cannot be had. Else as commit. On error there is not one more. */
int vmirq_kernel_table_use(struct kernel_table *t, const struct kernel_route *route);
/* The same for the GSIs of the first so many of these where the kernel has the library's own route of each,
 * whichever it is. */
size_t vmirq_kernel_table_use_as_is(struct kernel_table *t, const struct kvm_irqfd *irqfds,
				    size_t n);
/* One less. */
void vmirq_kernel_table_unuse(struct kernel_table *t, uint32_t gsi);

/* A message by a dynamic route: seek, and a full fence of the caller's; find the GSI to raise, or an error,
 * which ends it; raise it, in whatever way; it has been found. The route stays in between. In a section of the
 * calling thread's, with its record, NULL if it has none; not nested, nor in a signal handler. */
static inline void vmirq_kernel_table_seek(struct kernel_table *t, struct reader *section)
{
	if (likely(section != NULL))
		reader_hold_unfenced(section, t);
}

/* -ENOSPC: every GSI has pins or an irqfd. Or `set`'s error. */
int vmirq_kernel_table_find(struct kernel_table *t, struct reader *section,
			    const struct msi_message *msg);
void vmirq_kernel_table_leave(struct kernel_table *t);

static inline void vmirq_kernel_table_found(struct kernel_table *t, struct reader *section)
{
	if (likely(section != NULL))
		reader_let_go(section);
	else
		vmirq_kernel_table_leave(t);
}

struct kernel_table_counts vmirq_kernel_table_counts(struct kernel_table *t);

#endif
