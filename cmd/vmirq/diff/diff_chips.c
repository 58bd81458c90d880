// SPDX-License-Identifier: MIT
/* Saved states of IOAPIC, 8259s and PIT: changing a field, crossing over, comparing, healing. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "diff_session.h"

static const uint32_t chip_ids[] = { KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
				     KVM_IRQCHIP_IOAPIC };

static int64_t ioapic_set(struct side *side, const struct op *op)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	uint64_t keep = op->arg[1], set = op->arg[2];
	int error = side->ops->get_irqchip(side, &chip);

	if (error)
		return error;
	switch (op->arg[0]) {
	case FIELD_BASE:
		return 0;
	case FIELD_SELECT:
		chip.chip.ioapic.ioregsel = (uint32_t)((chip.chip.ioapic.ioregsel & keep) | set);
		break;
	case FIELD_ID:
		chip.chip.ioapic.id = (uint32_t)((chip.chip.ioapic.id & keep) | set);
		break;
	case FIELD_IRR:
		chip.chip.ioapic.irr = (uint32_t)((chip.chip.ioapic.irr & keep) | set);
		break;
	default: {
		uint64_t pin = (op->arg[0] - FIELD_PIN_0) % KVM_IOAPIC_NUM_PINS;
		uint64_t bits = chip.chip.ioapic.redirtbl[pin].bits;

		chip.chip.ioapic.redirtbl[pin].bits = (bits & keep) | set;
		break;
	}
	}
	return side->ops->set_irqchip(side, &chip);
}

static int64_t pic_set(struct side *side, const struct op *op)
{
	struct kvm_irqchip chip = { .chip_id = (uint32_t)op->arg[0] & 1 };
	int error = side->ops->get_irqchip(side, &chip);

	if (error)
		return error;
	((uint8_t *)&chip.chip.pic)[op->arg[1] % sizeof(chip.chip.pic)] = (uint8_t)op->arg[2];
	return side->ops->set_irqchip(side, &chip);
}

static int64_t pit_set(struct side *side, const struct op *op)
{
	struct kvm_pit_state2 pit;
	struct kvm_pit_channel_state *c = &pit.channels[op->arg[0] % 3];
	int error = side->ops->get_pit(side, &pit);

	if (error)
		return error;
	switch (op->arg[1] % 3) {
	case 0:
		c->count = (uint32_t)op->arg[2] & 0xffff;
		break;
	case 1:
		c->mode = (uint8_t)op->arg[2] % 6;
		break;
	default:
		c->gate = op->arg[2] & 1;
		break;
	}
	return side->ops->set_pit(side, &pit);
}

int64_t session_chip_call(struct side *side, const struct op *op)
{
	switch (op->kind) {
	case OP_IOAPIC_SET:
		return ioapic_set(side, op);
	case OP_PIC_SET:
		return pic_set(side, op);
	default:
		return pit_set(side, op);
	}
}

int session_chips_cross(struct session *s, size_t index)
{
	for (size_t i = 0; i < sizeof(chip_ids) / sizeof(chip_ids[0]); i++) {
		struct kvm_irqchip ours = { .chip_id = chip_ids[i] };
		struct kvm_irqchip theirs = ours;
		int error = s->soft.ops->get_irqchip(&s->soft, &ours), soft, kernel;

		if (!error)
			error = s->kernel.ops->get_irqchip(&s->kernel, &theirs);
		if (error)
			return error;
		soft = s->soft.ops->set_irqchip(&s->soft, &theirs);
		kernel = s->kernel.ops->set_irqchip(&s->kernel, &ours);
		if (soft != kernel)
			session_differs(s, OBJ_RETURN, 0, chip_ids[i], (uint64_t)(int64_t)soft,
					(uint64_t)(int64_t)kernel, index);
	}
	return 0;
}

static void compare_ioapics(struct session *s, const struct kvm_ioapic_state *ours,
			    const struct kvm_ioapic_state *theirs)
{
	const uint64_t soft[] = { ours->base_address, ours->ioregsel, ours->id, ours->irr };
	const uint64_t kernel[] = { theirs->base_address, theirs->ioregsel, theirs->id,
				    theirs->irr };

	for (uint32_t i = FIELD_BASE; i <= FIELD_IRR; i++)
		if (soft[i] != kernel[i])
			session_differs(s, OBJ_IOAPIC, 0, i, soft[i], kernel[i], s->last_op);
	for (uint32_t pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		if (ours->redirtbl[pin].bits != theirs->redirtbl[pin].bits)
			session_differs(s, OBJ_IOAPIC, 0, FIELD_PIN_0 + pin,
					ours->redirtbl[pin].bits, theirs->redirtbl[pin].bits,
					s->last_op);
}

static void compare_pics(struct session *s, uint32_t chip, const struct kvm_pic_state *ours,
			 const struct kvm_pic_state *theirs)
{
	const uint8_t *soft = (const uint8_t *)ours, *kernel = (const uint8_t *)theirs;

	for (uint32_t i = 0; i < sizeof(*ours); i++)
		if (soft[i] != kernel[i])
			session_differs(s, OBJ_PIC, chip, i, soft[i], kernel[i], s->last_op);
}

static void compare_pits(struct session *s, const struct kvm_pit_state2 *ours,
			 const struct kvm_pit_state2 *theirs)
{
	for (uint32_t i = 0; i < 3; i++) {
		const uint8_t *soft = (const uint8_t *)&ours->channels[i];
		const uint8_t *kernel = (const uint8_t *)&theirs->channels[i];

		if (ours->channels[i].count != theirs->channels[i].count)
			session_differs(s, OBJ_PIT, i, 0, ours->channels[i].count,
					theirs->channels[i].count, s->last_op);
		/* What was latched depends on the moment, and so does the load time. */
		for (uint32_t at = offsetof(struct kvm_pit_channel_state, count_latched);
		     at < offsetof(struct kvm_pit_channel_state, count_load_time); at++) {
			uint8_t mask = 0xff;

			/* The output's level does, too. */
			if (at == offsetof(struct kvm_pit_channel_state, status))
				mask = 0x7f;
			if ((soft[at] & mask) != (kernel[at] & mask))
				session_differs(s, OBJ_PIT, i, at, soft[at], kernel[at],
						s->last_op);
		}
	}
	if (ours->flags != theirs->flags)
		session_differs(s, OBJ_PIT, 3, 0, ours->flags, theirs->flags, s->last_op);
}

int session_compare_chips(struct session *s)
{
	struct kvm_pit_state2 our_pit, their_pit;
	int error = 0;

	for (size_t i = 0; i < sizeof(chip_ids) / sizeof(chip_ids[0]) && !error; i++) {
		struct kvm_irqchip ours = { .chip_id = chip_ids[i] };
		struct kvm_irqchip theirs = ours;

		error = s->soft.ops->get_irqchip(&s->soft, &ours);
		if (!error)
			error = s->kernel.ops->get_irqchip(&s->kernel, &theirs);
		if (error)
			return error;
		if (chip_ids[i] == KVM_IRQCHIP_IOAPIC)
			compare_ioapics(s, &ours.chip.ioapic, &theirs.chip.ioapic);
		else
			compare_pics(s, chip_ids[i], &ours.chip.pic, &theirs.chip.pic);
	}
	error = s->soft.ops->get_pit(&s->soft, &our_pit);
	if (!error)
		error = s->kernel.ops->get_pit(&s->kernel, &their_pit);
	if (!error)
		compare_pits(s, &our_pit, &their_pit);
	return error;
}

/* Into both: loading makes an IOAPIC deliver again what stands. */
int session_heal_chips(struct session *s)
{
	struct kvm_pit_state2 pit;
	int error = 0;

	for (size_t i = 0; i < sizeof(chip_ids) / sizeof(chip_ids[0]) && !error; i++) {
		struct kvm_irqchip chip = { .chip_id = chip_ids[i] };

		error = s->kernel.ops->get_irqchip(&s->kernel, &chip);
		if (!error)
			error = s->soft.ops->set_irqchip(&s->soft, &chip);
		if (!error)
			error = s->kernel.ops->set_irqchip(&s->kernel, &chip);
	}
	if (!error)
		error = s->kernel.ops->get_pit(&s->kernel, &pit);
	return error ? error : s->soft.ops->set_pit(&s->soft, &pit);
}
