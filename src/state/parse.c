/* SPDX-License-Identifier: MIT */
/* A blob taken apart and checked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vm.h"
#include "line/line.h"
#include "route/table.h"
#include "state/blob.h"
#include "vcpu/vcpu.h"

/* Ten times what a throttled pin waits. */
#define RETRY_MAX UINT64_C(100000000)

struct reader_at {
	const unsigned char *at;
};

/* It was seen to be there by the sizes. */
static void take(struct reader_at *r, void *to, size_t size)
{
	memcpy(to, r->at, size);
	r->at += size;
}

static bool take_vcpus(struct vmirq_vm *vm, struct reader_at *r, struct parsed *p)
{
	const struct vmirq_vcpu *vcpu = vmirq_state_next_vcpu(vm, -1);

	for (uint32_t i = 0; i < p->head.vcpus; i++) {
		take(r, &p->vcpu[i], sizeof(p->vcpu[i]));
		if (!vcpu || !vmirq_state_vcpu_valid(vcpu, &p->vcpu[i]))
			return false;
		vcpu = vmirq_state_next_vcpu(vm, vcpu->index);
	}
	return !vcpu;
}

static bool take_ioapic(const struct line_ioapic *io, struct reader_at *r,
			struct parsed_ioapic *out)
{
	struct ioapic_image *image = &out->image;
	struct blob_ioapic head;

	take(r, &head, sizeof(head));
	if (head.pins != io->ioapic.config.count || head.version != io->ioapic.config.version ||
	    head.reserved)
		return false;
	image->base = head.base;
	image->ioregsel = head.ioregsel;
	image->id = head.id;
	image->endless_ticks = head.endless_ticks;
	image->count = head.pins;
	for (uint32_t n = 0; n < head.pins; n++) {
		struct blob_pin pin;

		take(r, &pin, sizeof(pin));
		image->pin[n] = pin.pin;
		out->retry_in[n] = pin.retry_in;
		if (pin.retry_in > RETRY_MAX)
			return false;
	}
	return vmirq_ioapic_image_valid(&io->ioapic, image);
}

static bool take_chips(struct line_domain *lines, struct reader_at *r, struct parsed *p)
{
	for (uint32_t i = 0; i < p->head.ioapics; i++)
		if (!take_ioapic(lines->ioapic[i], r, &p->ioapic[i]))
			return false;
	if (lines->has_pic) {
		take(r, &p->pic, sizeof(p->pic));
		if (!vmirq_i8259_image_valid(p->pic.chip))
			return false;
	}
	if (lines->has_pit) {
		take(r, &p->pit, sizeof(p->pit));
		if (!vmirq_pit_loadable(&lines->pit, &p->pit.state, &p->pit.extra))
			return false;
	}
	return true;
}

static bool gsi_valid(const struct vmirq_vm *vm, const struct blob_gsi *gsi, int64_t before)
{
	return gsi->gsi > before && gsi->gsi < vm->routes->max_gsis && gsi->allocated <= 1 &&
	       (gsi->allocated || gsi->sources);
}

/* Slots and what they need are made now. */
static int prepare_gsi(struct vmirq_vm *vm, const struct blob_gsi *gsi)
{
	struct route_slot *slot;
	int error = vmirq_route_slot(vm->routes, gsi->gsi, &slot);

	if (!error && atomic_load_explicit(&slot->allocated, memory_order_relaxed) == GSI_OWNED)
		error = -EBUSY;
	if (error || !gsi->sources)
		return error;
	vmirq_route_lock(vm->routes, slot);
	error = vmirq_route_make_more(slot);
	vmirq_route_unlock(vm->routes, slot);
	return error;
}

static int take_routes(struct vmirq_vm *vm, struct reader_at *r, struct parsed *p)
{
	int64_t before = -1;
	int error = 0;

	if (p->head.routes)
		take(r, p->route, p->head.routes * sizeof(p->route[0]));
	for (uint32_t i = 0; i < p->head.gsis; i++) {
		take(r, &p->gsi[i], sizeof(p->gsi[i]));
		if (!gsi_valid(vm, &p->gsi[i], before))
			return -EINVAL;
		before = p->gsi[i].gsi;
	}
	for (uint32_t i = 0; i < p->head.gsis && !error; i++)
		error = prepare_gsi(vm, &p->gsi[i]);
	if (!error)
		error = vmirq_route_prepare_all(vm, p->route, p->head.routes, &p->table);
	return error && error != -ENOMEM && error != -EBUSY ? -EINVAL : error;
}

/* Sources that vmirq_line_source_alloc() gives out. */
static bool sources_valid(uint64_t sources)
{
	return !(sources & 1) && !(sources >> FIRST_OWN_SOURCE);
}

static bool head_valid(const struct vmirq_vm *vm, const struct blob_head *head, size_t size)
{
	uint64_t body;

	return head->magic == BLOB_MAGIC && head->version == BLOB_VERSION &&
	       head->config == vmirq_state_config(vm) && sources_valid(head->sources) &&
	       vmirq_state_body_size(vm, head, &body) && head->size == size &&
	       size == sizeof(*head) + body;
}

/* calloc(0) may be NULL. */
static void *array(size_t n, size_t size)
{
	return calloc(n ? n : 1, size);
}

int vmirq_state_parse(struct vmirq_vm *vm, const void *buffer, size_t size, struct parsed *p)
{
	struct reader_at r = { .at = buffer };

	memset(p, 0, sizeof(*p));
	if (size < sizeof(p->head))
		return -EINVAL;
	take(&r, &p->head, sizeof(p->head));
	if (!head_valid(vm, &p->head, size))
		return -EINVAL;
	p->vcpu = array(p->head.vcpus, sizeof(p->vcpu[0]));
	p->ioapic = array(p->head.ioapics, sizeof(p->ioapic[0]));
	p->route = array(p->head.routes, sizeof(p->route[0]));
	p->gsi = array(p->head.gsis, sizeof(p->gsi[0]));
	if (!p->vcpu || !p->ioapic || !p->route || !p->gsi)
		return -ENOMEM;
	if (!take_vcpus(vm, &r, p) || !take_chips(vm->lines, &r, p))
		return -EINVAL;
	return take_routes(vm, &r, p);
}

void vmirq_state_parsed_free(struct parsed *p)
{
	free(p->vcpu);
	free(p->ioapic);
	free(p->route);
	free(p->gsi);
	vmirq_route_free_new_table(p->table);
}
