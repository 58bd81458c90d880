/* SPDX-License-Identifier: MIT */
/* Reading the counters. */
#include <vmirq/observe.h>

#include <errno.h>
#include <string.h>

#include "base/vm.h"
#include "irqfd/deferred.h"
#include "irqfd/mask.h"
#include "vcpu/vcpu.h"

/* Clear what the caller's release knows; what is longer than ours stays as it is. */
static int start(void *out, size_t ours, size_t size)
{
	if (size < ours)
		return -EINVAL;
	memset((char *)out + sizeof(size_t), 0, ours - sizeof(size_t));
	return 0;
}

/* The slot's lock keeps it from being deassigned, or the caller does. */
static void add_irqfd(const struct vmirq_irqfd *irqfd, struct vmirq_route_counts *out)
{
	/* Acquire: pairs with the release in vmirq_irqfd_make_deferred(). */
	const struct deferred *d = atomic_load_explicit(&irqfd->deferred, memory_order_acquire);
	uint64_t held = d ? atomic_load_explicit(&d->held, memory_order_relaxed) : 0;

	held += irqfd_pending(irqfd);
	out->held += held;
	out->raised += held;
	counts_read(&irqfd->counts, out);
	out->unobserved += irqfd->place == IRQFD_IN_KERNEL;
}

int vmirq_irqfd_counts(struct vmirq_irqfd *irqfd, struct vmirq_route_counts *out)
{
	if (!irqfd || !out || start(out, sizeof(*out), out->size))
		return -EINVAL;
	add_irqfd(irqfd, out);
	return 0;
}

int vmirq_gsi_counts(struct vmirq_vm *vm, uint32_t gsi, struct vmirq_route_counts *out)
{
	const struct route_more *more;
	struct route_slot *slot;

	if (!vm || !out || gsi >= vm->routes->max_gsis || start(out, sizeof(*out), out->size))
		return -EINVAL;
	slot = vmirq_route_find(vm->routes, gsi);
	if (!slot)
		return 0;
	vmirq_route_lock(vm->routes, slot);
	for (struct route_watcher *w = slot->watchers; w; w = w->next)
		add_irqfd((struct vmirq_irqfd *)((char *)w - offsetof(struct vmirq_irqfd, watcher)),
			  out);
	vmirq_route_unlock(vm->routes, slot);
	/* Acquire: pairs with the release in vmirq_route_make_more(). */
	more = atomic_load_explicit(&slot->more, memory_order_acquire);
	if (more) {
		uint64_t late = atomic_load_explicit(&more->late, memory_order_relaxed);

		counts_read(&more->counts, out);
		out->verdict[VMIRQ_DEASSIGNED] += late;
		out->raised += late;
	}
	return 0;
}

int vmirq_msi_counts(struct vmirq_vm *vm, struct vmirq_route_counts *out)
{
	if (!vm || !out || start(out, sizeof(*out), out->size))
		return -EINVAL;
	counts_read(vm->msi, out);
	return 0;
}

int vmirq_ipi_counts(struct vmirq_vm *vm, struct vmirq_route_counts *out)
{
	if (!vm || !out || start(out, sizeof(*out), out->size))
		return -EINVAL;
	/* Also of those that are destroyed: a slot's object stays. */
	for (uint32_t i = 0; i < vm->chip->vcpus; i++) {
		/* Acquire: pairs with the release in vmirq_lapic_init(). */
		const struct lapic *l =
			atomic_load_explicit(&vm->chip->lapic[i], memory_order_acquire);

		if (l)
			counts_read(&l->ipi, out);
	}
	return 0;
}

int vmirq_vcpu_counts(struct vmirq_vcpu *vcpu, struct vmirq_route_counts *out)
{
	if (!vcpu || !out || start(out, sizeof(*out), out->size))
		return -EINVAL;
	counts_read(&vcpu->masks, out);
	return 0;
}

int vmirq_vector_counts(struct vmirq_vcpu *vcpu, uint32_t vector, struct vmirq_vector_counts *out)
{
	const struct vector_count *count;
	bool unfolded;

	if (!vcpu || vector > 255 || !out || start(out, sizeof(*out), out->size))
		return -EINVAL;
	if (vcpu->vm->irqchip)
		return -EOPNOTSUPP;
	count = &vcpu->lapic.count[vector];
	unfolded = vecset_test(&vcpu->posted->vectors, (uint8_t)vector);
	out->posted = atomic_load_explicit(&count->posted, memory_order_relaxed) + unfolded;
	out->merged = atomic_load_explicit(&count->merged, memory_order_relaxed);
	out->taken = atomic_load_explicit(&count->taken, memory_order_relaxed);
	out->reset = atomic_load_explicit(&count->reset, memory_order_relaxed);
	out->pending = (uint64_t)unfolded + lapic_test(&vcpu->lapic, LAPIC_IRR, (uint8_t)vector);
	return 0;
}
