/* SPDX-License-Identifier: MIT */
/* Lines: asserted by a pirq, held until the guest has ended the interrupt on the GSI. */
#include <errno.h>
#include <stdlib.h>

#include "base/vm.h"
#include "line/line.h"
#include "passthrough/pirq.h"
#include "route/table.h"

static enum vmirq_verdict set_line(const struct pirq_gsi *g, bool level)
{
	return vmirq_line_change(g->domain->vm, g->gsi, SOURCE_PIRQ, level);
}

static enum vmirq_verdict pulse_line(const struct pirq_gsi *g)
{
	enum vmirq_verdict verdict = set_line(g, true);

	/* For others it stays up, also while a message has its route. */
	if (!g->asserted)
		set_line(g, false);
	return verdict;
}

static bool goes_to_message(const struct pirq_gsi *g)
{
	struct route_slot *slot = vmirq_route_find(g->domain->vm->routes, g->gsi);

	return slot && vmirq_route_read(slot).kind == ROUTE_MSI;
}

/* Its lock is held; the line is the caller's to move. */
static void end_link(struct pirq_gsi *g, struct pirq_link *link)
{
	struct vmirq_pirq *pirq = link->pirq;

	if (!link->asserted)
		return;
	link->asserted = false;
	link->again = false;
	link->late = false;
	g->asserted--;
	/* Release and acquire: who ends the last sees what the others did. */
	if (atomic_fetch_sub_explicit(&pirq->pending, 1, memory_order_acq_rel) == 1)
		link->owes = pirq->waits && pirq->unmask;
}

/* Its lock is held. */
static enum vmirq_verdict raise_line(struct pirq_gsi *g, struct pirq_link *link)
{
	bool masks = link->pirq->remasks;
	/* Looked at first: who handles what is delivered after it finds the device raised. */
	bool in_service = !masks && vmirq_line_in_service(g->domain->vm, g->gsi);
	enum vmirq_verdict verdict = set_line(g, true);

	link->late = !masks && (in_service || verdict == VMIRQ_COALESCED);
	return verdict;
}

/* Its lock is held. */
static enum vmirq_verdict assert_link(struct pirq_gsi *g, struct pirq_link *link, uint64_t overdue)
{
	struct vmirq_pirq *pirq = link->pirq;
	enum vmirq_verdict verdict;
	bool first;

	if (goes_to_message(g)) {
		/* Asserted by the route that it had before: of that EOI nobody is told. */
		end_link(g, link);
		verdict = pulse_line(g);
		/* Else it may have been a pin's, under another interrupt: it is asserted, too. */
		if (goes_to_message(g))
			return verdict;
	}
	if (link->asserted) {
		link->again = !pirq->remasks;
		return VMIRQ_COALESCED;
	}
	link->asserted = true;
	/* 1: the run's own. */
	first = atomic_fetch_add_explicit(&pirq->pending, 1, memory_order_relaxed) == 1;
	vmirq_pirq_watch(link, overdue, first);
	if (!g->asserted++)
		return raise_line(g, link);
	link->late = !pirq->remasks;
	return VMIRQ_COALESCED;
}

/* Of two GSIs' outcomes, the one that it is said to have come to. */
static enum vmirq_verdict better(enum vmirq_verdict a, enum vmirq_verdict b)
{
	if (a == VMIRQ_DELIVERED || b == VMIRQ_DELIVERED)
		return VMIRQ_DELIVERED;
	return a == VMIRQ_COALESCED ? a : b;
}

enum vmirq_verdict vmirq_pirq_assert(struct vmirq_pirq *pirq)
{
	enum vmirq_verdict verdict = VMIRQ_NO_ROUTE;
	uint64_t overdue = vmirq_pirq_overdue(pirq);

	for (uint32_t i = 0; i < pirq->n_links; i++) {
		struct pirq_gsi *g = pirq->link[i].gsi;

		pthread_mutex_lock(&g->mutex);
		verdict = better(verdict, assert_link(g, &pirq->link[i], overdue));
		pthread_mutex_unlock(&g->mutex);
	}
	return verdict;
}

enum vmirq_verdict vmirq_pirq_pulse(struct vmirq_pirq *pirq)
{
	struct pirq_gsi *g = pirq->link[0].gsi;
	enum vmirq_verdict verdict = VMIRQ_COALESCED;

	pthread_mutex_lock(&g->mutex);
	/* Where another pirq holds it up there is no edge, but a message. */
	if (!g->asserted || goes_to_message(g))
		verdict = pulse_line(g);
	pthread_mutex_unlock(&g->mutex);
	return verdict;
}

/* The lock is held. The next of its pirqs that is to be unmasked: counted in `calls`. */
static struct vmirq_pirq *next_owing(struct pirq_gsi *g)
{
	for (struct pirq_link *link = g->links; link; link = link->next) {
		if (!link->owes)
			continue;
		link->owes = false;
		atomic_fetch_add_explicit(&link->pirq->calls, 1, memory_order_relaxed);
		return link->pirq;
	}
	return NULL;
}

static void pay(struct pirq_gsi *g)
{
	struct vmirq_pirq *pirq;

	for (;;) {
		pthread_mutex_lock(&g->mutex);
		pirq = next_owing(g);
		pthread_mutex_unlock(&g->mutex);
		if (!pirq)
			return;
		vmirq_pirq_unmask_outside(pirq);
		/* Release: pairs with the acquire in wait_for_calls(). */
		atomic_fetch_sub_explicit(&pirq->calls, 1, memory_order_release);
	}
}

/* In place of its end, its lock held; the line is the caller's to move. */
static void assert_again(struct pirq_link *link)
{
	struct vmirq_pirq *pirq = link->pirq;

	link->again = false;
	link->late = false;
	atomic_fetch_add_explicit(&pirq->reasserted, 1, memory_order_relaxed);
	vmirq_pirq_watch(link, vmirq_pirq_overdue(pirq), false);
}

/* The guest has ended the interrupt: all pirqs of this GSI. */
static void acked(void *opaque, uint32_t gsi, uint32_t value)
{
	struct pirq_gsi *g = opaque;

	(void)gsi;
	(void)value;
	pthread_mutex_lock(&g->mutex);
	if (g->asserted) {
		set_line(g, false);
		for (struct pirq_link *link = g->links; link; link = link->next)
			if (link->again || link->late)
				assert_again(link);
			else
				end_link(g, link);
		if (g->asserted)
			set_line(g, true);
	} else if (vmirq_line_asserted_by(g->domain->vm, g->gsi, SOURCE_PIRQ)) {
		/* It has come with a saved state: asserted where that was saved, and by nobody here. */
		set_line(g, false);
	}
	pthread_mutex_unlock(&g->mutex);
	pay(g);
}

/* Of one pirq only; others may hold the line up. Was there anything to end? */
static bool end_here(struct pirq_gsi *g, struct pirq_link *link, uint64_t now, bool all)
{
	bool ends;

	pthread_mutex_lock(&g->mutex);
	ends = link->asserted && link->overdue <= now;
	if (!ends) {
		/* Not here, or not yet: the next look is for the latter. */
		if (link->asserted)
			vmirq_pirq_watch(link, link->overdue, false);
		else if (all && !g->asserted)
			set_line(g, false);
	} else if (link->again && !all) {
		/* An interrupt of its own, also where the pin takes edges. */
		assert_again(link);
		set_line(g, false);
		raise_line(g, link);
	} else {
		end_link(g, link);
		if (!g->asserted)
			set_line(g, false);
	}
	pthread_mutex_unlock(&g->mutex);
	return ends;
}

bool vmirq_pirq_end(struct vmirq_pirq *pirq, uint64_t now, bool all)
{
	bool ended = false;

	for (uint32_t i = 0; i < pirq->n_links; i++)
		ended |= end_here(pirq->link[i].gsi, &pirq->link[i], now, all);
	for (uint32_t i = 0; i < pirq->n_links; i++)
		pay(pirq->link[i].gsi);
	return ended;
}

void vmirq_pirq_forget(struct vmirq_pirq *pirq)
{
	for (uint32_t i = 0; i < pirq->n_links; i++) {
		struct pirq_link *link = &pirq->link[i];

		pthread_mutex_lock(&link->gsi->mutex);
		end_link(link->gsi, link);
		pthread_mutex_unlock(&link->gsi->mutex);
	}
	for (uint32_t i = 0; i < pirq->n_links; i++)
		pay(pirq->link[i].gsi);
}

/* What is linked vmirq_gsi_alloc() does not give out, routed or not. domain.mutex is held. */
static int set_linked(struct route_table *routes, uint32_t gsi, bool linked)
{
	struct route_slot *slot;
	bool frees;
	int error = vmirq_route_slot(routes, gsi, &slot);

	if (error)
		return error;
	vmirq_route_lock(routes, slot);
	slot->linked = linked;
	frees = !linked && route_kind_locked(slot) == ROUTE_NONE;
	vmirq_route_unlock(routes, slot);
	if (frees)
		vmirq_route_lower_hint(routes, gsi);
	return 0;
}

static void end_gsi(struct pirq_gsi *g)
{
	set_linked(g->domain->vm->routes, g->gsi, false);
	vmirq_notifier_remove(g->ack);
	pthread_mutex_destroy(&g->mutex);
	free(g);
}

static int make_gsi(struct pirq_domain *domain, uint32_t gsi, struct pirq_gsi **out)
{
	struct vmirq_notifier_config config = {
		.size = sizeof(config), .gsi = gsi, .notice = VMIRQ_NOTICE_ACK, .fn = acked
	};
	struct pirq_gsi *g = calloc(1, sizeof(*g));
	int error = 0;

	if (!g)
		return -ENOMEM;
	g->domain = domain;
	g->gsi = gsi;
	pthread_mutex_init(&g->mutex, NULL);
	config.opaque = g;
	error = set_linked(domain->vm->routes, gsi, true);
	/* Has the line its memory, so that it cannot fail later. One that has come with a saved state has, and stays. */
	if (!error && !vmirq_line_asserted_by(domain->vm, gsi, SOURCE_PIRQ))
		vmirq_line_set_any(domain->vm, gsi, SOURCE_PIRQ, false, &error);
	if (!error && !vmirq_line_in_kernel(domain->vm))
		error = vmirq_notifier_add_any(domain->vm, &config, &g->ack);
	if (error) {
		end_gsi(g);
		return error;
	}
	g->next = domain->gsis;
	domain->gsis = g;
	*out = g;
	return 0;
}

/* domain.mutex is held. */
static int find_gsi(struct pirq_domain *domain, uint32_t gsi, struct pirq_gsi **out)
{
	for (struct pirq_gsi *g = domain->gsis; g; g = g->next)
		if (g->gsi == gsi) {
			*out = g;
			return 0;
		}
	return make_gsi(domain, gsi, out);
}

int vmirq_pirq_join(struct pirq_domain *domain, struct vmirq_pirq *pirq, uint32_t gsi)
{
	struct pirq_link *link = &pirq->link[pirq->n_links];
	struct pirq_gsi *g = NULL;
	int error;

	pthread_mutex_lock(&domain->mutex);
	error = find_gsi(domain, gsi, &g);
	if (!error) {
		pthread_mutex_lock(&g->mutex);
		*link = (struct pirq_link){ .pirq = pirq, .gsi = g, .next = g->links };
		g->links = link;
		pthread_mutex_unlock(&g->mutex);
		pirq->n_links++;
	}
	pthread_mutex_unlock(&domain->mutex);
	return error;
}

/* domain.mutex is held. */
static void unlink_gsi(struct pirq_domain *domain, struct pirq_gsi *g)
{
	struct pirq_gsi **at = &domain->gsis;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
}

static void leave(struct pirq_link *link)
{
	struct pirq_gsi *g = link->gsi;
	struct pirq_link **at = &g->links;
	bool asserted;

	pthread_mutex_lock(&g->mutex);
	asserted = link->asserted;
	/* It has ended, and who owes it will not find it any more: unbind does it. */
	if (link->owes)
		atomic_fetch_add_explicit(&link->pirq->unmasks_due, 1, memory_order_relaxed);
	end_link(g, link);
	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	/* The last one's also goes if it came with a saved state. */
	if (!g->asserted && (asserted || !g->links))
		set_line(g, false);
	pthread_mutex_unlock(&g->mutex);
}

void vmirq_pirq_leave(struct vmirq_pirq *pirq)
{
	for (uint32_t i = 0; i < pirq->n_links; i++) {
		struct pirq_gsi *g = pirq->link[i].gsi;
		struct pirq_domain *domain = g->domain;

		pthread_mutex_lock(&domain->mutex);
		leave(&pirq->link[i]);
		if (!g->links) {
			unlink_gsi(domain, g);
			end_gsi(g);
		}
		pthread_mutex_unlock(&domain->mutex);
	}
	pirq->n_links = 0;
}
