/* SPDX-License-Identifier: MIT */
/* The guest's accesses to the PC's chips, their time and their saved states. */
#include <errno.h>
#include <string.h>

#include <vmirq/state.h>

#include "base/vm.h"
#include "check.h"
#include "chip/ioapic_pin.h"
#include "line/line.h"
#include "vm.h"

#define ROOM 16u
/* EOIs in a row that find the line high: a few short of too many. */
#define LONG	 9998u
#define BLOB_MAX 65536

static uint64_t ioapic_base(const struct world *w)
{
	return w->machine.vm->lines->ioapic[0]->ioapic.base;
}

/* Of any length, at the end of its room, so that AddressSanitizer sees an access past it. */
static uint8_t *take_data(struct stream *s, uint8_t *room, uint32_t *len)
{
	uint8_t *data;

	*len = take8(s) % (ROOM + 1);
	data = &room[ROOM - *len];
	memset(room, 0, ROOM);
	take_bytes(s, data, *len < 8 ? *len : 8);
	return data;
}

static void mmio(struct world *w)
{
	static const uint8_t windows[] = { 0x00, 0x10, 0x20, 0x40 };
	struct stream *s = w->machine.stream;
	uint8_t flags = take8(s), which = take8(s), room[ROOM];
	uint64_t gpa = ioapic_base(w) + (flags & 2 ? which : windows[which & 3]);
	uint32_t len;
	uint8_t *data;
	int error;

	if (flags & 4)
		gpa = take64(s);
	data = take_data(s, room, &len);
	error = vmirq_vm_mmio(w->machine.vm, gpa, data, len, flags & 1);
	check(!error || error == -ENOENT);
}

static void pio(struct world *w)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1,  0x40, 0x41,
					  0x42, 0x43, 0x61, 0x4d0, 0x4d1 };
	struct stream *s = w->machine.stream;
	uint8_t flags = take8(s), room[ROOM];
	uint16_t port = flags & 2 ? take16(s) : take8(s);
	uint32_t len;
	uint8_t *data = take_data(s, room, &len);
	int error;

	if (!(flags & 2))
		port = ports[port % (sizeof(ports) / sizeof(ports[0]))];
	if (flags & 4 && len > 1) {
		data += len - 1;
		len = 1;
	}
	error = vmirq_vm_pio(w->machine.vm, port, data, len, flags & 1);
	check(!error || error == -ENOENT);
}

static void put_ioapic(struct world *w, uint32_t selector, uint32_t value)
{
	check(!vmirq_vm_mmio(w->machine.vm, ioapic_base(w), &selector, 4, true));
	/* The callbacks of the first half may have moved it. */
	vmirq_vm_mmio(w->machine.vm, ioapic_base(w) + 0x10, &value, 4, true);
}

static void put_rte(struct world *w)
{
	struct stream *s = w->machine.stream;
	uint32_t pin = take8(s) % 24, low = take32(s), dest = take8(s);

	put_ioapic(w, 0x11 + 2 * pin, dest << 24);
	put_ioapic(w, 0x10 + 2 * pin, low & 0x1ffff);
}

static void out(struct world *w, uint16_t port, uint8_t value)
{
	check(!vmirq_vm_pio(w->machine.vm, port, &value, 1, true));
}

/* As firmware does it. */
static void init_pic(struct world *w)
{
	struct stream *s = w->machine.stream;
	uint8_t base = take8(s) & 0xf0, icw4 = take8(s);

	for (uint16_t port = 0x20; port <= 0xa0; port += 0x80) {
		out(w, port, 0x11);
		out(w, port + 1, port == 0x20 ? base : base + 8);
		out(w, port + 1, port == 0x20 ? 4 : 2);
		out(w, port + 1, icw4 & 0x13);
		out(w, port + 1, take8(s));
	}
}

static void program_pit(struct world *w)
{
	uint8_t what = take8(w->machine.stream);
	uint16_t count = take16(w->machine.stream), counter = what >> 6;

	out(w, 0x43, (what & 0xc0) | 0x30 | (what & 0xf));
	if (counter == 3)
		return;
	out(w, 0x40 + counter, (uint8_t)count);
	out(w, 0x40 + counter, (uint8_t)(count >> 8));
}

/* Pins whose throttle is over, and whose level one vCPU would take: a bit for each. */
static uint32_t throttled_till_now(const struct machine *m)
{
	struct line_ioapic *io = m->vm->lines->ioapic[0];
	uint32_t pins = 0;

	for (uint32_t n = 0; n < 24; n++) {
		uint64_t at = atomic_load(&io->retry_at[n]);
		struct interrupt irq;

		if (!at || at > m->now || !pin_wants(&io->pin[n]))
			continue;
		vmirq_ioapic_decode(&io->ioapic, io->pin[n].rte, &irq);
		if (vmirq_resolve(m->vm->chip, &irq).kind == TARGET_POST)
			pins |= 1u << n;
	}
	return pins;
}

/* Once, and nothing is due any more. */
static void expire(struct world *w)
{
	struct machine *m = &w->machine;
	uint32_t pins = throttled_till_now(m);

	vmirq_vm_expire(m->vm);
	check(vmirq_vm_deadline(m->vm) > m->now || m->now >= UINT64_MAX - 1);
	for (uint32_t n = 0; n < 24; n++)
		check(!(pins & 1u << n) || !pin_wants(&m->vm->lines->ioapic[0]->pin[n]));
}

static void expire_when_due(struct world *w)
{
	uint64_t deadline = vmirq_vm_deadline(w->machine.vm);

	if (deadline != UINT64_MAX && deadline > w->machine.now)
		w->machine.now = deadline;
	expire(w);
}

static void set_irqchip(struct world *w, bool patched)
{
	struct stream *s = w->machine.stream;
	struct kvm_irqchip state;
	int error;

	memset(&state, 0, sizeof(state));
	state.chip_id = take8(s) & 3;
	error = vmirq_vm_get_irqchip(w->machine.vm, &state);
	check(error == (state.chip_id > KVM_IRQCHIP_IOAPIC ? -EINVAL : 0));
	if (patched)
		take_patches(s, &state.chip, sizeof(state.chip));
	error = vmirq_vm_set_irqchip(w->machine.vm, &state);
	check(!error || error == -EINVAL);
	if (!patched)
		check(!error || state.chip_id > KVM_IRQCHIP_IOAPIC);
}

static void set_pit2(struct world *w, bool patched)
{
	struct kvm_pit_state2 state;
	int error;

	memset(&state, 0, sizeof(state));
	check(!vmirq_vm_get_pit2(w->machine.vm, &state));
	if (patched)
		take_patches(w->machine.stream, &state, sizeof(state));
	error = vmirq_vm_set_pit2(w->machine.vm, &state);
	check(!error || (patched && error == -EINVAL));
}

/* The throttle is many EOIs away: a short cut. */
static void storm(struct world *w)
{
	struct ioapic_pin *pin =
		&w->machine.vm->lines->ioapic[0]->pin[take8(w->machine.stream) % 24];

	if (pin->eois < LONG)
		pin->eois = LONG;
}

/* A VM's own blob: nothing changes that is in one, and the books stay good. */
static void save_load_vm(struct world *w)
{
	static uint8_t saved[BLOB_MAX], again[BLOB_MAX];
	struct vmirq_vm *vm = w->machine.vm;
	int64_t size = vmirq_vm_save(vm, saved, sizeof(saved));

	check(size > 0 && size <= BLOB_MAX);
	check(!vmirq_vm_load(vm, saved, (size_t)size));
	check(vmirq_vm_save(vm, again, sizeof(again)) == size);
	check(!memcmp(saved, again, (size_t)size));
}

bool chips_step(struct world *w, enum vm_op op)
{
	switch (op) {
	case OP_VM_MMIO:
		mmio(w);
		return true;
	case OP_VM_PIO:
		pio(w);
		return true;
	case OP_IOAPIC_RTE:
		put_rte(w);
		return true;
	case OP_PIC_INIT:
		init_pic(w);
		return true;
	case OP_PIT_PROGRAM:
		program_pit(w);
		return true;
	case OP_VM_DUE:
		expire_when_due(w);
		return true;
	case OP_EXPIRE:
		expire(w);
		return true;
	case OP_SET_IRQCHIP:
		set_irqchip(w, true);
		return true;
	case OP_SET_PIT2:
		set_pit2(w, true);
		return true;
	case OP_SAVE_LOAD_CHIPS:
		set_irqchip(w, false);
		set_pit2(w, false);
		return true;
	case OP_SAVE_LOAD_VM:
		save_load_vm(w);
		return true;
	case OP_STORM:
		storm(w);
		return true;
	case OP_QUIESCE:
		check(!vmirq_vm_quiesce(w->machine.vm));
		return true;
	default:
		return false;
	}
}
