/* SPDX-License-Identifier: MIT */
/* irqfds: with an eventfd or without, by our words or the kernel's. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"
#include "vm.h"

static struct irqfd_slot *take_slot(struct world *w)
{
	return &w->irqfd[take8(w->machine.stream) % IRQFDS];
}

/* What stands in its eventfd is raised now: one, and the others merged with it. */
static void was_read(struct world *w, struct irqfd_slot *slot)
{
	w->raised[slot->gsi] += slot->unread;
	slot->unread = 0;
}

static void assign(struct world *w, struct irqfd_slot *slot, uint32_t gsi, uint8_t flags)
{
	struct vmirq_irqfd_config config = {
		.size = sizeof(config),
		.gsi = gsi,
		/* Flags that nobody knows. */
		.flags = (uint32_t)(flags >> 4) << 28,
		.eventfd = flags & 1 ? slot->eventfd : -1,
		/* Asking /proc takes long: rarely. */
		.token = flags & 2 ? 0 : (uint64_t)(slot - w->irqfd) + 1,
	};
	struct vmirq_irqfd *irqfd = NULL;
	int error;

	if (slot->irqfd)
		return;
	error = vmirq_irqfd_assign(w->machine.vm, &config, &irqfd);
	check(error == (gsi >= MACHINE_GSIS || flags >> 4 ? -EINVAL : 0));
	if (error)
		return;
	check(vmirq_irqfd_gsi(irqfd) == gsi);
	slot->irqfd = irqfd;
	slot->gsi = gsi;
	slot->on_eventfd = flags & 1;
	slot->own_token = config.token != 0;
}

static void deassign(struct world *w, struct irqfd_slot *slot)
{
	if (!slot->irqfd)
		return;
	check(!vmirq_irqfd_deassign(slot->irqfd));
	slot->irqfd = NULL;
	if (slot->on_eventfd)
		was_read(w, slot);
}

static void signal_once(struct world *w, struct irqfd_slot *slot)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };
	enum vmirq_verdict verdict;
	uint64_t before;

	if (!slot->irqfd)
		return;
	check(!vmirq_irqfd_counts(slot->irqfd, &c));
	verdict = vmirq_irqfd_signal(slot->irqfd);
	w->raised[slot->gsi]++;
	if (verdict == VMIRQ_HELD) {
		before = c.raised;
		check(!vmirq_irqfd_counts(slot->irqfd, &c));
		check(c.held == 1 && c.raised == before + 1);
		return;
	}
	check(verdict < VMIRQ_VERDICTS && verdict != VMIRQ_DEASSIGNED);
	before = c.verdict[verdict];
	check(!vmirq_irqfd_counts(slot->irqfd, &c));
	check(c.verdict[verdict] == before + 1);
}

static void write_eventfd(struct irqfd_slot *slot, uint64_t n)
{
	if (n && write(slot->eventfd, &n, sizeof(n)) == sizeof(n))
		slot->unread += n;
}

static void dispatch(struct world *w)
{
	check(vmirq_pump_dispatch(vmirq_vm_pump(w->machine.vm), 0) >= 0);
	for (uint32_t i = 0; i < IRQFDS; i++)
		if (w->irqfd[i].irqfd && w->irqfd[i].on_eventfd)
			was_read(w, &w->irqfd[i]);
}

/* The kernel's call does not say which irqfd it made: it is deassigned by the same call at once. */
static void kvm_irqfd(struct world *w, struct irqfd_slot *slot, uint32_t gsi, uint8_t flags)
{
	struct kvm_irqfd args = {
		.fd = flags & 4 ? (uint32_t)-1 : (uint32_t)slot->eventfd,
		.gsi = gsi,
		.flags = flags & 3,
	};
	int error;

	/* Who has a number of his own for an eventfd calls it by that always. */
	if (slot->irqfd && slot->own_token && !(flags & KVM_IRQFD_FLAG_DEASSIGN))
		return;
	error = vmirq_irqfd(w->machine.vm, &args);
	if (args.flags & KVM_IRQFD_FLAG_DEASSIGN) {
		if (!error && slot->irqfd && slot->on_eventfd && slot->gsi == gsi) {
			slot->irqfd = NULL;
			was_read(w, slot);
		}
		return;
	}
	if (error)
		return;
	check(!(slot->irqfd && slot->on_eventfd) && gsi < MACHINE_GSIS);
	args.flags = KVM_IRQFD_FLAG_DEASSIGN;
	check(!vmirq_irqfd(w->machine.vm, &args));
	w->raised[gsi] += slot->unread;
	slot->unread = 0;
}

bool irqfds_step(struct world *w, enum vm_op op)
{
	struct stream *s = w->machine.stream;
	struct irqfd_slot *slot;
	uint32_t gsi;

	switch (op) {
	case OP_ASSIGN:
		slot = take_slot(w);
		gsi = take_gsi(s);
		assign(w, slot, gsi, take8(s));
		return true;
	case OP_DEASSIGN:
		deassign(w, take_slot(w));
		return true;
	case OP_SIGNAL:
		signal_once(w, take_slot(w));
		return true;
	case OP_EVENTFD:
		slot = take_slot(w);
		write_eventfd(slot, take16(s));
		return true;
	case OP_DISPATCH:
		dispatch(w);
		return true;
	case OP_KVM_IRQFD:
		slot = take_slot(w);
		gsi = take_gsi(s);
		kvm_irqfd(w, slot, gsi, take8(s));
		return true;
	default:
		return false;
	}
}

/* The eventfds are made once: two system calls less for each input. */
void irqfds_start(struct world *w)
{
	static bool made;

	for (uint32_t i = 0; i < IRQFDS; i++) {
		struct irqfd_slot *slot = &w->irqfd[i];
		uint64_t stale;

		if (!made)
			slot->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		check(slot->eventfd >= 0 && !slot->irqfd);
		if (slot->unread)
			check(read(slot->eventfd, &stale, sizeof(stale)) == sizeof(stale));
		slot->unread = 0;
	}
	made = true;
}

void irqfds_drain(struct world *w)
{
	dispatch(w);
}

void irqfds_end(struct world *w)
{
	for (uint32_t i = 0; i < IRQFDS; i++)
		deassign(w, &w->irqfd[i]);
}
