/* SPDX-License-Identifier: MIT */
/* The vectors follow the registers: who is masked now, who opens, and where to. */
#include <errno.h>

#include "base/reader.h"
#include "base/vm.h"
#include "msix/msix.h"

#include <vmirq/route.h>

static bool wants_open(const struct vmirq_msix *msix, const struct msix_vector *v)
{
	return msix->enabled && !msix->function_mask && !v->masked;
}

static void mask_closing(struct vmirq_msix *msix, uint32_t first, uint32_t n)
{
	bool any = false;

	for (uint32_t i = first; i < first + n; i++) {
		struct msix_vector *v = &msix->vector[i];

		if (!v->open || wants_open(msix, v))
			continue;
		vmirq_irqfd_mask(v->irqfd);
		v->open = false;
		any = true;
	}
	/* Whoever saw one open is through. */
	if (any)
		vmirq_reader_wait();
}

/* A message that no route can be (its address has bits that this VM's format leaves no room for) reaches
 * nobody. */
static struct route route_of(const struct vmirq_msix *msix, const struct msix_vector *v)
{
	struct kvm_irq_routing_entry entry = { .type = KVM_IRQ_ROUTING_MSI };
	struct route route;

	entry.u.msi.address_lo = v->message.address_lo;
	entry.u.msi.address_hi = v->message.address_hi;
	entry.u.msi.data = v->message.data;
	if (vmirq_route_from_entries(msix->vm, &entry, 1, &route))
		route = (struct route){ .kind = ROUTE_NONE };
	return route;
}

static bool same_route(const struct route *a, const struct route *b)
{
	return a->kind == b->kind &&
	       (a->kind == ROUTE_NONE ||
		(a->msi.address_lo == b->msi.address_lo && a->msi.address_hi == b->msi.address_hi &&
		 a->msi.data == b->msi.data));
}

static int take_gsi(struct vmirq_msix *msix, struct msix_vector *v)
{
	struct route_slot *slot;
	int error = vmirq_gsi_take(msix->vm, &slot);

	if (error)
		return error;
	vmirq_irqfd_move(v->irqfd, slot);
	v->slot = slot;
	v->route = (struct route){ .kind = ROUTE_NONE };
	v->fresh = true;
	return 0;
}

/* It has never been open since: no signal has seen the GSI. */
static void give_gsi_back(struct vmirq_msix *msix, struct msix_vector *v)
{
	struct route_slot *slot = v->slot;

	vmirq_irqfd_move(v->irqfd, msix->vm->irqfds->unrouted);
	v->slot = NULL;
	vmirq_gsi_release(msix->vm->routes, slot);
}

/* GSIs for those that have none, and every message that has changed in one go. */
static int route_open(struct vmirq_msix *msix, uint32_t first, uint32_t n, size_t *changes)
{
	int error = 0;

	*changes = 0;
	for (uint32_t i = first; i < first + n && !error; i++) {
		struct msix_vector *v = &msix->vector[i];
		struct route route;

		if (!wants_open(msix, v))
			continue;
		if (!v->slot)
			error = take_gsi(msix, v);
		route = route_of(msix, v);
		if (!error && !same_route(&route, &v->route))
			msix->changes[(*changes)++] =
				(struct route_change){ .slot = v->slot, .route = route };
	}
	if (!error && *changes)
		error = vmirq_route_make_changes(msix->vm, msix->changes, *changes);
	return error;
}

static void settle_routes(struct vmirq_msix *msix, uint32_t first, uint32_t n, size_t changes,
			  bool made)
{
	for (uint32_t i = first, next = 0; i < first + n; i++) {
		struct msix_vector *v = &msix->vector[i];

		/* They stand in the vectors' order. */
		if (made && next < changes && msix->changes[next].slot == v->slot)
			v->route = msix->changes[next++].route;
		if (!made && v->fresh)
			give_gsi_back(msix, v);
		v->fresh = false;
	}
}

static int unmask_opening(struct vmirq_msix *msix, uint32_t first, uint32_t n)
{
	int error = 0;

	for (uint32_t i = first; i < first + n; i++) {
		struct msix_vector *v = &msix->vector[i];
		int own;

		if (v->open || !wants_open(msix, v))
			continue;
		own = vmirq_irqfd_unmask(v->irqfd);
		v->open = !own;
		if (own)
			error = own;
	}
	return error;
}

int vmirq_msix_apply(struct vmirq_msix *msix, uint32_t first, uint32_t n)
{
	size_t changes;
	int error;

	mask_closing(msix, first, n);
	error = route_open(msix, first, n, &changes);
	settle_routes(msix, first, n, changes, !error);
	return error ? error : unmask_opening(msix, first, n);
}

/* In one change: each by itself would be a table to the kernel. Where that fails, it will be. Not in the
 * caller's transaction, which may come to nothing. */
void vmirq_msix_free_gsis(struct vmirq_msix *msix)
{
	size_t n = 0;
	int error = 0;

	for (uint32_t i = 0; i < msix->n; i++)
		if (msix->vector[i].slot)
			msix->changes[n++] =
				(struct route_change){ .slot = msix->vector[i].slot,
						       .route = { .kind = ROUTE_NONE } };
	if (n)
		error = vmirq_route_make_changes(msix->vm, msix->changes, n);
	for (size_t i = 0; i < n; i++)
		/* One that stays routed stays taken. */
		if (!error || !vmirq_route_make_changes(msix->vm, &msix->changes[i], 1))
			vmirq_gsi_release(msix->vm->routes, msix->changes[i].slot);
}
