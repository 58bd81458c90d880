/* SPDX-License-Identifier: MIT */
/* A VM into a blob. */
#include <vmirq/state.h>

#include <errno.h>
#include <string.h>

#include <vmirq/route.h>

#include "base/vm.h"
#include "line/line.h"
#include "state/blob.h"
#include "vcpu/vcpu.h"

/* What does not fit is counted and dropped. */
struct writer {
	unsigned char *at;
	uint64_t room, size;
};

static void put(struct writer *w, const void *from, size_t size)
{
	if (w->size + size <= w->room)
		memcpy(w->at + w->size, from, size);
	w->size += size;
}

static uint32_t put_vcpus(struct vmirq_vm *vm, struct writer *w)
{
	struct blob_vcpu blob;
	struct vmirq_vcpu *vcpu;
	uint32_t n = 0;

	for (vcpu = vmirq_state_next_vcpu(vm, -1); vcpu;
	     vcpu = vmirq_state_next_vcpu(vm, vcpu->index)) {
		vmirq_state_get_vcpu(vcpu, &blob);
		put(w, &blob, sizeof(blob));
		n++;
	}
	return n;
}

static void put_ioapic(struct line_ioapic *io, struct writer *w)
{
	uint64_t now = io->lines->vm->clock.now(io->lines->vm->clock.opaque);
	struct ioapic_image image;
	struct blob_ioapic head;

	vmirq_ioapic_get_image(&io->ioapic, &image);
	head = (struct blob_ioapic){
		.base = image.base,
		.ioregsel = image.ioregsel,
		.id = image.id,
		.endless_ticks = image.endless_ticks,
		.pins = image.count,
		.version = io->ioapic.config.version,
	};
	put(w, &head, sizeof(head));
	for (uint32_t n = 0; n < image.count; n++) {
		struct blob_pin pin = { .pin = image.pin[n] };
		uint64_t at = atomic_load_explicit(&io->retry_at[n], memory_order_relaxed);

		if (at)
			pin.retry_in = at > now ? at - now + 1 : 1;
		put(w, &pin, sizeof(pin));
	}
}

static void put_chips(struct line_domain *lines, struct writer *w)
{
	for (uint32_t i = 0; i < lines->ioapics; i++)
		put_ioapic(lines->ioapic[i], w);
	if (lines->has_pic) {
		struct blob_pic pic;

		vmirq_i8259_get_image(&lines->pic, pic.chip);
		put(w, &pic, sizeof(pic));
	}
	if (lines->has_pit) {
		struct blob_pit pit;

		memset(&pit, 0, sizeof(pit));
		vmirq_pit_save(&lines->pit, &pit.state, &pit.extra);
		/* A moment of the other clock. */
		for (unsigned int i = 0; i < PIT_CHANNELS; i++)
			pit.state.channels[i].count_load_time = 0;
		put(w, &pit, sizeof(pit));
	}
}

static uint32_t put_routes(struct vmirq_vm *vm, struct writer *w)
{
	struct kvm_irq_routing_entry entry[ENTRIES_PER_GSI];
	struct route_slot *slot = NULL;
	uint32_t routes = 0;

	while ((slot = vmirq_route_next(vm->routes, slot))) {
		uint8_t allocated = atomic_load_explicit(&slot->allocated, memory_order_relaxed);
		int n = allocated == GSI_OWNED
				? 0
				: vmirq_route_get(vm, slot->gsi, entry, ENTRIES_PER_GSI);

		for (int i = 0; i < n; i++)
			put(w, &entry[i], sizeof(entry[i]));
		routes += n > 0 ? (uint32_t)n : 0;
	}
	return routes;
}

static uint32_t put_gsis(struct vmirq_vm *vm, struct writer *w)
{
	struct route_slot *slot = NULL;
	uint32_t n = 0;

	while ((slot = vmirq_route_next(vm->routes, slot))) {
		struct blob_gsi gsi = { .gsi = slot->gsi };

		gsi.allocated = atomic_load_explicit(&slot->allocated, memory_order_relaxed);
		/* Not another device's in the other VM. */
		gsi.allocated = gsi.allocated && gsi.allocated != GSI_OWNED;
		vmirq_route_lock(vm->routes, slot);
		gsi.sources = route_sources(slot);
		vmirq_route_unlock(vm->routes, slot);
		if (!gsi.allocated && !gsi.sources)
			continue;
		put(w, &gsi, sizeof(gsi));
		n++;
	}
	return n;
}

static uint64_t allocated_sources(struct line_domain *lines)
{
	uint64_t sources;

	pthread_mutex_lock(&lines->source_mutex);
	sources = lines->sources;
	pthread_mutex_unlock(&lines->source_mutex);
	return sources;
}

static int64_t save(struct vmirq_vm *vm, void *buffer, size_t size)
{
	struct writer w = { .at = buffer,
			    .room = buffer ? size : 0,
			    .size = sizeof(struct blob_head) };
	struct blob_head head = {
		.magic = BLOB_MAGIC,
		.version = BLOB_VERSION,
		.config = vmirq_state_config(vm),
		.ioapics = vm->lines->ioapics,
		.sources = allocated_sources(vm->lines),
	};

	head.vcpus = put_vcpus(vm, &w);
	put_chips(vm->lines, &w);
	head.routes = put_routes(vm, &w);
	head.gsis = put_gsis(vm, &w);
	head.size = w.size;
	if (buffer && w.size <= w.room)
		memcpy(buffer, &head, sizeof(head));
	return (int64_t)w.size;
}

int64_t vmirq_state_save(struct vmirq_vm *vm, void *buffer, size_t size)
{
	int64_t taken;

	/* What is due by now is raised before; and the PIT's counts are as of now. */
	vmirq_vm_expire(vm);
	taken = vmirq_state_hold_vcpus(vm);
	if (taken)
		return taken;
	taken = save(vm, buffer, size);
	vmirq_state_let_go_vcpus(vm);
	return taken;
}
