/* SPDX-License-Identifier: MIT */
/* Lines with their sources, and notifiers that do things of their own. */
#include <errno.h>

#include "check.h"
#include "vm.h"

/* Those above are the library's own. */
#define SOURCES 61u

/* What a source counts: its own 0 -> 1, and each assertion where that sends a message. */
static void count_line(struct world *w, uint32_t gsi, uint32_t source, bool level)
{
	uint64_t bit = UINT64_C(1) << source;

	if (level && (!(w->sources[gsi] & bit) || route_is_msi(w, gsi)))
		w->raised[gsi]++;
	if (level)
		w->sources[gsi] |= bit;
	else
		w->sources[gsi] &= ~bit;
}

static void set_line(struct world *w, uint32_t gsi, uint8_t which)
{
	uint32_t source = which & 0x7f;
	int error = 1;
	int status;

	if (gsi < MACHINE_GSIS && source < SOURCES)
		count_line(w, gsi, source, which & 0x80);
	status = vmirq_line_set(w->machine.vm, gsi, source, which & 0x80, &error);
	check(error == (gsi < MACHINE_GSIS && source < SOURCES ? 0 : -EINVAL));
	check(error ? status == VMIRQ_LINE_NOBODY : status >= VMIRQ_LINE_NOBODY);
}

static void pulse(struct world *w, uint32_t gsi, uint8_t source)
{
	int error = 1;

	if (gsi < MACHINE_GSIS && source < SOURCES) {
		count_line(w, gsi, source, true);
		count_line(w, gsi, source, false);
	}
	vmirq_line_pulse(w->machine.vm, gsi, source, &error);
	check(error == (gsi < MACHINE_GSIS && source < SOURCES ? 0 : -EINVAL));
}

static void free_source(struct world *w, uint8_t source)
{
	if (vmirq_line_source_free(w->machine.vm, source))
		return;
	check(source && source < SOURCES);
	for (uint32_t gsi = 0; gsi < MACHINE_GSIS; gsi++)
		w->sources[gsi] &= ~(UINT64_C(1) << source);
}

/* May call anything but the removal of itself. Its first byte says whether anything. */
static void notified(void *opaque, uint32_t gsi, uint32_t value)
{
	struct notifier_slot *slot = opaque;
	struct world *w = slot->world;

	check(slot->notifier && gsi < MACHINE_GSIS && value <= 1);
	if (w->depth >= DEEPEST || !take_bool(w->machine.stream))
		return;
	w->depth++;
	slot->running++;
	world_step_device(w, take8(w->machine.stream));
	slot->running--;
	w->depth--;
}

static void released(void *opaque)
{
	struct notifier_slot *slot = opaque;

	check(slot->notifier && !slot->running);
	slot->notifier = NULL;
}

static void change_notifier(struct world *w)
{
	struct stream *s = w->machine.stream;
	struct notifier_slot *slot = &w->notifier[take8(s) % NOTIFIERS];
	struct vmirq_notifier_config config = {
		.size = sizeof(config),
		.fn = notified,
		.release = released,
		.opaque = slot,
	};
	bool valid;
	int error;

	config.gsi = take_gsi(s);
	config.notice = take8(s) & 3;
	valid = config.gsi < MACHINE_GSIS && config.notice <= VMIRQ_NOTICE_MASK;
	if (slot->running)
		return;
	if (slot->notifier) {
		check(!vmirq_notifier_remove(slot->notifier));
		check(!slot->notifier);
		return;
	}
	slot->world = w;
	error = vmirq_notifier_add(w->machine.vm, &config, &slot->notifier);
	check(error == (valid ? 0 : -EINVAL));
}

bool lines_step(struct world *w, enum vm_op op)
{
	struct stream *s = w->machine.stream;
	uint32_t gsi;

	switch (op) {
	case OP_LINE:
		gsi = take_gsi(s);
		set_line(w, gsi, take8(s));
		return true;
	case OP_PULSE:
		gsi = take_gsi(s);
		pulse(w, gsi, take8(s) & 0x7f);
		return true;
	case OP_SOURCE_ALLOC:
		vmirq_line_source_alloc(w->machine.vm, &gsi);
		return true;
	case OP_SOURCE_FREE:
		free_source(w, take8(s) & 0x7f);
		return true;
	case OP_NOTIFIER:
		change_notifier(w);
		return true;
	default:
		return false;
	}
}
