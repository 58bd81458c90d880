/* SPDX-License-Identifier: MIT */
/* What the guest sees: the register window, and through it the registers (82093AA 3.1, 3.2). */
#include "chip/ioapic_pin.h"

/* Offsets in the window. */
#define WINDOW_SELECT 0x00u
#define WINDOW_DATA   0x10u
#define WINDOW_EOI    0x40u

/* What IOREGSEL selects. */
#define REG_ID		0x00u
#define REG_VERSION	0x01u
#define REG_ARBITRATION 0x02u
#define REG_RTE		IOAPIC_REG_RTE

#define ID_SHIFT	24
#define ID_BITS		0xfu

/* The pin whose RTE is selected, or one out of range. Lock held. */
static uint32_t selected_pin(const struct ioapic *a)
{
	return a->ioregsel < REG_RTE ? UINT32_MAX : (a->ioregsel - REG_RTE) / 2;
}

static uint32_t read_register(const struct ioapic *a)
{
	uint32_t n = selected_pin(a);
	/* /dev/kvm 6.18: what is not there reads as ones, though its offsets in the window read 0. */
	uint64_t rte = n < a->config.count ? a->config.pins[n].rte : UINT64_MAX;

	switch (a->ioregsel) {
	case REG_VERSION:
		return (a->config.count - 1) << 16 | a->config.version;
	case REG_ID:
	case REG_ARBITRATION:
		return (uint32_t)a->id << ID_SHIFT;
	default:
		return (uint32_t)(a->ioregsel & 1 ? rte >> 32 : rte);
	}
}

/* What a write to half of an RTE makes of it. /dev/kvm 6.18: all bits but the two read-only ones are
 * kept as they are written, reserved ones too. */
static uint64_t rte_after(uint64_t old, bool high, uint32_t value)
{
	uint64_t rte;

	if (high)
		rte = (old & UINT32_MAX) | (uint64_t)value << 32;
	else
		rte = (old & ~(uint64_t)UINT32_MAX) | (value & ~RTE_READ_ONLY) |
		      (old & RTE_READ_ONLY);
	/* Linux and Xen rely on it to unstick a pin whose EOI they never got through. */
	return rte & RTE_LEVEL ? rte : rte & ~RTE_REMOTE_IRR;
}

/* Lock held, and let go of for the callbacks. */
static void write_rte(struct ioapic *a, uint32_t n, bool high, uint32_t value)
{
	const struct ioapic_calls *calls = &a->config.calls;
	struct ioapic_pin *p = &a->config.pins[n];
	uint64_t old = p->rte, rte = rte_after(old, high, value);

	p->rte = rte;
	p->generation++;
	vmirq_ioapic_update_vectors(a);

	ioapic_unlock(a);
	if (((old ^ rte) & RTE_MASKED) && calls->mask_changed)
		calls->mask_changed(calls->opaque, n, rte & RTE_MASKED);
	if ((old ^ rte) & ~RTE_READ_ONLY)
		ioapic_tell_changed(a, n);
	ioapic_lock(a);

	if (pin_wants(p) && calls->stands) {
		ioapic_unlock(a);
		calls->stands(calls->opaque, n);
		ioapic_lock(a);
	}
	/* Any write, not only the one that unmasks: it may have made the destination one that is
	 * there. As /dev/kvm 6.18. */
	if (pin_wants(p))
		vmirq_ioapic_serve(a, n, false);
}

static void write_register(struct ioapic *a, uint32_t value)
{
	uint32_t n = selected_pin(a);

	if (a->ioregsel == REG_ID)
		a->id = value >> ID_SHIFT & ID_BITS;
	else if (n < a->config.count)
		write_rte(a, n, a->ioregsel & 1, value);
}

bool vmirq_ioapic_claims(const struct ioapic *a, uint64_t gpa, uint32_t len)
{
	uint64_t base = atomic_load_explicit(&a->base, memory_order_relaxed);

	return gpa >= base && len <= IOAPIC_MMIO_SIZE && gpa - base <= IOAPIC_MMIO_SIZE - len;
}

/* /dev/kvm 6.18: a register answers at its own offset only, and with as much of it as was asked;
 * more than its four bytes are 0. */
uint64_t vmirq_ioapic_read(struct ioapic *a, uint64_t gpa, uint32_t len)
{
	uint32_t value = 0;

	ioapic_lock(a);
	switch (gpa % IOAPIC_MMIO_SIZE) {
	case WINDOW_SELECT:
		value = a->ioregsel;
		break;
	case WINDOW_DATA:
		value = read_register(a);
		break;
	default:
		break;
	}
	ioapic_unlock(a);
	switch (len) {
	case 1:
		return value & 0xff;
	case 2:
		return value & 0xffff;
	case 4:
	case 8:
		return value;
	default:
		return 0;
	}
}

/* /dev/kvm 6.18: a narrow write is zero-extended, of a wide one the low four bytes count. False: it is
 * no write at all. */
static bool write_value(uint32_t len, uint64_t wide, uint32_t *value)
{
	switch (len) {
	case 1:
		*value = wide & 0xff;
		return true;
	case 2:
		*value = wide & 0xffff;
		return true;
	case 4:
	case 8:
		*value = (uint32_t)wide;
		return true;
	default:
		return false;
	}
}

uint32_t vmirq_ioapic_foresee(struct ioapic *a, uint64_t gpa, uint32_t len, uint64_t wide,
			      struct interrupt *irq)
{
	uint32_t value, n = UINT32_MAX;
	uint64_t rte = 0;

	if (gpa % IOAPIC_MMIO_SIZE != WINDOW_DATA || !write_value(len, wide, &value))
		return IOAPIC_NO_PIN;
	ioapic_lock(a);
	n = selected_pin(a);
	if (n < a->config.count)
		rte = rte_after(a->config.pins[n].rte, a->ioregsel & 1, value);
	ioapic_unlock(a);
	if (n >= a->config.count)
		return IOAPIC_NO_PIN;
	vmirq_ioapic_decode(a, rte, irq);
	return n;
}

void vmirq_ioapic_write(struct ioapic *a, uint64_t gpa, uint32_t len, uint64_t wide)
{
	uint32_t value;

	if (!write_value(len, wide, &value))
		return;
	switch (gpa % IOAPIC_MMIO_SIZE) {
	case WINDOW_SELECT:
		ioapic_lock(a);
		a->ioregsel = value & ioapic_select_bits(a);
		ioapic_unlock(a);
		break;
	case WINDOW_DATA:
		ioapic_lock(a);
		write_register(a, value);
		ioapic_unlock(a);
		break;
	case WINDOW_EOI:
		if (a->config.version >= IOAPIC_VERSION_EOI)
			vmirq_ioapic_eoi(a, IOAPIC_ANY_VCPU, (uint8_t)value, true);
		break;
	default:
		break;
	}
}
