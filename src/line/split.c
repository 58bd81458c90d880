/* SPDX-License-Identifier: MIT */
/*
 * split: the kernel's local APICs tell of an EOI only for vectors that stand as level messages in the
 * kernel's routing table, under the GSIs that were set aside for pins (KVM API, KVM_CAP_SPLIT_IRQCHIP). So each
 * level RTE is put there *before* the guest's write of it takes effect: the line may be high, and the EOI soon.
 * After the write what the RTE says is put there again, in case that two vCPUs wrote its halves at once, or that
 * one has selected another register meanwhile. Whatever else changes an RTE (a load, a reset) puts it there
 * before anything is sent by it.
 *
 * These messages are never sent by the kernel, so an edge can be put there as a level, too: that is how
 * its EOI is heard of where somebody wants to be told (notifiers, and the PIT for what it owes).
 */
#include "base/vm.h"
#include "line/line.h"

static bool is_split(const struct line_domain *lines)
{
	return lines->vm->irqchip && !vmirq_line_in_kernel(lines->vm);
}

static uint32_t gsi_of(const struct line_domain *lines, const struct line_ioapic *io, uint32_t pin)
{
	uint32_t gsi = pin;

	for (uint32_t i = 0; i < io->number; i++)
		gsi += lines->ioapic[i]->ioapic.config.count;
	return gsi;
}

static bool edges_are_acked(struct line_domain *lines)
{
	return lines->pit_reinjects ||
	       atomic_load_explicit(&lines->notifiers, memory_order_relaxed);
}

static struct kernel_route route_of(struct line_domain *lines, uint32_t gsi, struct interrupt irq)
{
	struct kernel_route route = { .gsi = gsi };
	struct msi_message msg;

	if (irq.level || edges_are_acked(lines)) {
		irq.level = true;
		vmirq_msi_encode(&irq, lines->vm->chip->format, &msg);
		route.has = kernel_message(&msg);
	}
	return route;
}

/* The split_mutex is held: a later look is committed later. Should the kernel refuse, then that pin's EOIs
 * will not come; but it has had what it needs when the table was made. */
static void commit_pin(struct line_domain *lines, const struct line_ioapic *io, uint32_t pin,
		       const struct interrupt *irq)
{
	struct irqchip *irqchip = lines->vm->irqchip;
	struct kernel_route route = route_of(lines, gsi_of(lines, io, pin), *irq);

	irqchip->ops->commit_pins(irqchip, &route, 1);
}

static void commit_as_is(struct line_domain *lines, struct line_ioapic *io, uint32_t pin)
{
	struct interrupt irq;

	vmirq_ioapic_route(&io->ioapic, pin, &irq);
	commit_pin(lines, io, pin, &irq);
}

void vmirq_line_write_ioapic(struct line_domain *lines, struct line_ioapic *io, uint64_t gpa,
			     uint32_t len, uint64_t value)
{
	uint32_t pin = IOAPIC_NO_PIN;
	struct interrupt irq;

	if (is_split(lines)) {
		pthread_mutex_lock(&lines->split_mutex);
		pin = vmirq_ioapic_foresee(&io->ioapic, gpa, len, value, &irq);
		if (pin != IOAPIC_NO_PIN)
			commit_pin(lines, io, pin, &irq);
		pthread_mutex_unlock(&lines->split_mutex);
	}
	vmirq_ioapic_write(&io->ioapic, gpa, len, value);
	if (pin != IOAPIC_NO_PIN) {
		pthread_mutex_lock(&lines->split_mutex);
		commit_as_is(lines, io, pin);
		pthread_mutex_unlock(&lines->split_mutex);
	}
}

void vmirq_line_commit_pin(struct line_domain *lines, struct line_ioapic *io, uint32_t pin)
{
	if (!is_split(lines))
		return;
	pthread_mutex_lock(&lines->split_mutex);
	commit_as_is(lines, io, pin);
	pthread_mutex_unlock(&lines->split_mutex);
}

void vmirq_line_commit_ioapics(struct line_domain *lines)
{
	if (!is_split(lines))
		return;
	pthread_mutex_lock(&lines->split_mutex);
	for (uint32_t i = 0; i < lines->ioapics; i++)
		for (uint32_t pin = 0; pin < lines->ioapic[i]->ioapic.config.count; pin++)
			commit_as_is(lines, lines->ioapic[i], pin);
	pthread_mutex_unlock(&lines->split_mutex);
}
