/* SPDX-License-Identifier: MIT */
/* A blob into a VM, in the order that each part wants: routes while no line is high, lines without
 * telling the pins, vCPUs, and then the chips as they stood, with their asserters counted anew. */
#include <errno.h>

#include "base/vm.h"
#include "line/line.h"
#include "state/blob.h"
#include "vcpu/vcpu.h"

static void set_sources(struct vmirq_vm *vm, struct route_slot *slot, uint64_t sources)
{
	struct route_more *more;

	vmirq_route_lock(vm->routes, slot);
	more = atomic_load_explicit(&slot->more, memory_order_relaxed);
	if (more)
		more->sources = sources;
	vmirq_route_unlock(vm->routes, slot);
}

static void put_gsis(struct vmirq_vm *vm, const struct parsed *p)
{
	for (uint32_t i = 0; i < p->head.gsis; i++) {
		struct route_slot *slot = vmirq_route_find(vm->routes, p->gsi[i].gsi);

		atomic_store_explicit(&slot->allocated, (uint8_t)p->gsi[i].allocated,
				      memory_order_relaxed);
		set_sources(vm, slot, p->gsi[i].sources);
	}
	vmirq_route_lower_hint(vm->routes, 0);
	pthread_mutex_lock(&vm->lines->source_mutex);
	vm->lines->sources = p->head.sources;
	pthread_mutex_unlock(&vm->lines->source_mutex);
}

static void clear_gsis(struct vmirq_vm *vm)
{
	struct route_slot *slot = NULL;

	while ((slot = vmirq_route_next(vm->routes, slot))) {
		set_sources(vm, slot, 0);
		if (atomic_load_explicit(&slot->allocated, memory_order_relaxed) != GSI_OWNED)
			atomic_store_explicit(&slot->allocated, 0, memory_order_relaxed);
	}
}

/* The GSIs that hold each pin of this chip high. */
static void count_asserters(const struct vmirq_vm *vm, const struct parsed *p, enum pin_of chip,
			    uint32_t first, uint32_t pins, uint32_t *asserters)
{
	for (uint32_t n = 0; n < pins; n++)
		asserters[n] = 0;
	for (uint32_t i = 0; i < p->head.gsis; i++) {
		struct route route;

		if (!p->gsi[i].sources)
			continue;
		route = vmirq_route_read(vmirq_route_find(vm->routes, p->gsi[i].gsi));
		if (route.kind == ROUTE_PINS && route.pin[chip] != NO_PIN &&
		    route.pin[chip] - first < pins)
			asserters[route.pin[chip] - first]++;
	}
}

static void put_retries(struct line_ioapic *io, const uint64_t *retry_in)
{
	uint64_t now = io->lines->vm->clock.now(io->lines->vm->clock.opaque);

	vmirq_line_forget_retries(io);
	for (uint32_t n = 0; n < io->ioapic.config.count; n++) {
		if (!retry_in[n])
			continue;
		/* 0 would be none. */
		atomic_store_explicit(&io->retry_at[n],
				      now + retry_in[n] > 1 ? now + retry_in[n] - 1 : 1,
				      memory_order_relaxed);
		atomic_fetch_add_explicit(&io->lines->throttled, 1, memory_order_relaxed);
	}
}

static void put_chips(struct vmirq_vm *vm, const struct parsed *p)
{
	struct line_domain *lines = vm->lines;
	uint32_t asserters[IOAPIC_MAX_PINS];

	for (uint32_t i = 0; i < lines->ioapics; i++) {
		struct line_ioapic *io = lines->ioapic[i];

		count_asserters(vm, p, PIN_IOAPIC, IOAPIC_PIN(i, 0), io->ioapic.config.count,
				asserters);
		vmirq_ioapic_put_image(&io->ioapic, &p->ioapic[i].image, asserters);
		put_retries(io, p->ioapic[i].retry_in);
	}
	if (lines->has_pic) {
		count_asserters(vm, p, PIN_MASTER, 0, 8, asserters);
		count_asserters(vm, p, PIN_SLAVE, 0, 8, asserters + 8);
		vmirq_i8259_put_image(&lines->pic, p->pic.chip, asserters);
	}
	if (lines->has_pit)
		vmirq_pit_load(&lines->pit, &p->pit.state, &p->pit.extra);
	vmirq_lines_rearm(lines);
}

static void put_vcpus(struct vmirq_vm *vm, const struct parsed *p)
{
	for (uint32_t i = 0; i < p->head.vcpus; i++)
		vmirq_state_put_vcpu(vmirq_state_next_vcpu(vm, (int64_t)p->vcpu[i].index - 1),
				     &p->vcpu[i]);
}

static void apply(struct vmirq_vm *vm, struct parsed *p)
{
	clear_gsis(vm);
	vmirq_route_put_all(vm, p->table);
	put_gsis(vm, p);
	put_chips(vm, p);
	/* After the IOAPIC, which forgets who has its RTC's tick. */
	put_vcpus(vm, p);
}

int vmirq_state_load(struct vmirq_vm *vm, const void *buffer, size_t size)
{
	struct parsed parsed;
	int error;

	error = vmirq_state_hold_vcpus(vm);
	if (error)
		return error;
	error = vmirq_state_parse(vm, buffer, size, &parsed);
	if (!error)
		apply(vm, &parsed);
	vmirq_state_parsed_free(&parsed);
	vmirq_state_let_go_vcpus(vm);
	return error;
}
