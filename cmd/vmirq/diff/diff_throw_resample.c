// SPDX-License-Identifier: MIT
/* A level by irqfd, from its route to its end (KVM API 4.75, RESAMPLE): raised, taken, ended by EOI or
 * while it is masked, and the eventfds that are told. */
#include "diff_area.h"
#include "diff_lapic.h"
#include "diff_op.h"
#include "diff_session.h"

/* Nobody else binds to it. */
#define GSI	   20u
#define PIN	   7u
#define IOAPIC_GPA 0xfec00000u
#define RTE_LEVEL  (1u << 15)
#define RTE_MASKED (1u << 16)
#define TYPE_PIN   1u

static void write_rte(struct thrower *t, uint32_t low)
{
	throw_guest(t, OP_WRITE, 4, IOAPIC_GPA, 0x10 + 2 * PIN);
	throw_guest(t, OP_WRITE, 4, IOAPIC_GPA + 0x10, low);
}

/* What a guest does that has taken it: in service, then EOI. */
static void serve(struct thrower *t, uint32_t vector)
{
	uint32_t word = vector / 32 * 0x10, bit = 1u << vector % 32;
	const struct {
		uint32_t reg;
		uint64_t keep, set;
	} words[] = { { LAPIC_IRR, (uint32_t)~bit, 0 },
		      { LAPIC_ISR, 0, bit },
		      { LAPIC_TMR, (uint32_t)~bit, bit } };

	for (int i = 0; i < 3; i++)
		throw_op(t, &(struct op){ .kind = OP_LAPIC_SET,
					  .arg = { t->vcpu, words[i].reg + word, words[i].keep,
						   words[i].set } });
	throw_lapic_write(t, LAPIC_EOI, 0);
}

static void bind(struct thrower *t, uint32_t fd, uint32_t flags, uint32_t resamplefd)
{
	throw_op(t, &(struct op){ .kind = OP_IRQFD, .arg = { fd, GSI, flags, resamplefd } });
}

static void read_all(struct thrower *t)
{
	for (uint32_t fd = DIFF_FD_TOLD; fd < DIFF_FD_LEVEL; fd++)
		throw_op(t, &(struct op){ .kind = OP_EVENTFD_READ, .arg = { fd } });
}

static void throw_signal(struct thrower *t)
{
	throw_op(t, &(struct op){ .kind = OP_EVENTFD_WRITE,
				  .arg = { DIFF_FD_LEVEL + dice_below(&t->dice, 2), 1 } });
}

/* Unmasked after the EOI only, and no other writes of the RTE: there the kernel goes by Remote-IRR, ours
 * by the mask alone. */
static void throw_step(struct thrower *t, uint32_t rte)
{
	switch (dice_below(&t->dice, 7)) {
	case 0:
	case 1:
	case 2:
		throw_signal(t);
		break;
	case 3:
	case 4:
	case 5:
		serve(t, rte & 0xff);
		break;
	default:
		/* A handler that masks while it works. */
		write_rte(t, rte | RTE_MASKED);
		serve(t, rte & 0xff);
		if (dice_one_in(&t->dice, 2))
			throw_signal(t);
		write_rte(t, rte);
		break;
	}
	read_all(t);
}

void throw_resample(struct thrower *t)
{
	uint32_t rte = RTE_LEVEL | (0x40 + dice_below(&t->dice, 0x80));
	uint32_t steps = 2 + dice_below(&t->dice, 10);

	t->vcpu = 0;
	throw_op(t, &(struct op){ .kind = OP_ROUTE,
				  .arg = { GSI, TYPE_PIN, 0, KVM_IRQCHIP_IOAPIC, PIN } });
	throw_op(t, &(struct op){ .kind = OP_COMMIT });
	throw_guest(t, OP_WRITE, 4, IOAPIC_GPA, 0x11 + 2 * PIN);
	throw_guest(t, OP_WRITE, 4, IOAPIC_GPA + 0x10, 0);
	write_rte(t, rte);
	bind(t, DIFF_FD_LEVEL, KVM_IRQFD_FLAG_RESAMPLE, DIFF_FD_TOLD);
	if (dice_one_in(&t->dice, 2))
		bind(t, DIFF_FD_LEVEL + 1, KVM_IRQFD_FLAG_RESAMPLE, DIFF_FD_TOLD + 1);
	for (uint32_t i = 0; i < steps; i++)
		throw_step(t, rte);
	bind(t, DIFF_FD_LEVEL, KVM_IRQFD_FLAG_DEASSIGN, 0);
	bind(t, DIFF_FD_LEVEL + 1, KVM_IRQFD_FLAG_DEASSIGN, 0);
	write_rte(t, RTE_MASKED);
	read_all(t);
}
