// SPDX-License-Identifier: MIT
#include "diff_area.h"

#include <errno.h>
#include <string.h>

#include "diff_op.h"

static const struct area *const of_kvm[] = { &area_lapic, &area_ioapic,	 &area_pic,  &area_pit,
					     &area_msi,	  &area_routing, &area_irqfd };
static const struct area *const of_qemu[] = { &area_qemu_ioapic, &area_qemu_pic };

const struct area_set areas_kvm = { "kvm", of_kvm, sizeof(of_kvm) / sizeof(of_kvm[0]) };
const struct area_set areas_qemu = { "qemu", of_qemu, sizeof(of_qemu) / sizeof(of_qemu[0]) };

uint64_t dice_roll(struct dice *dice)
{
	uint64_t n = dice->state += UINT64_C(0x9e3779b97f4a7c15);

	n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
	return n ^ n >> 31;
}

uint32_t dice_below(struct dice *dice, uint32_t n)
{
	return (uint32_t)((dice_roll(dice) >> 32) * n >> 32);
}

bool dice_one_in(struct dice *dice, uint32_t n)
{
	return dice_below(dice, n) == 0;
}

const struct area *area_find(const struct area_set *set, const char *name, size_t len)
{
	for (size_t i = 0; i < set->n; i++)
		if (strlen(set->area[i]->name) == len &&
		    strncmp(set->area[i]->name, name, len) == 0)
			return set->area[i];
	return NULL;
}

bool area_has_irqfds(const char *name)
{
	return strcmp(name, area_irqfd.name) == 0 || strcmp(name, area_routing.name) == 0;
}

/* APIC ids that are near each other, in other clusters, and past eight bits. */
static void throw_ids(struct thrower *t)
{
	static const uint32_t ids[][SIDE_VCPUS] = {
		{ 0, 1, 2 }, { 0, 1, 2 }, { 0, 3, 8 }, { 0, 16, 17 }, { 0, 4, 254 }, { 0, 2, 300 },
	};
	uint32_t from = dice_below(&t->dice, sizeof(ids) / sizeof(ids[0]));

	memcpy(t->script->apic_id, ids[from], sizeof(ids[from]));
	t->script->ids_32bit = ids[from][2] > 255 || dice_one_in(&t->dice, 3);
}

int area_throw(const struct area *area, uint64_t seed, size_t n, struct script *script)
{
	struct thrower t = { .dice = { seed }, .script = script };

	script->area = area->name;
	script->chips = area->chips;
	script->kernel = area->split_too && dice_one_in(&t.dice, 2) ? SIDE_SPLIT : SIDE_FULL;
	if (area->qemu)
		script->kernel = SIDE_QEMU;
	throw_ids(&t);
	area->begin(&t);
	while (script->n < n && !t.no_memory)
		area->throw(&t);
	return t.no_memory ? -ENOMEM : 0;
}
