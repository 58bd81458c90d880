// SPDX-License-Identifier: MIT
/* A difference in words. */
#include <inttypes.h>
#include <stdio.h>

#include "diff_qemu.h"

static const char *event_name(uint32_t reg)
{
	static const char *const names[] = { "a pending NMI", "a pending SMI", "an INIT",
					     "waiting for a SIPI" };

	return reg <= EVENT_REG_WAITS ? names[reg] : "?";
}

static void format_ioapic(const struct difference *d, char *buf, size_t size)
{
	static const char *const names[] = { "base address", "register select", "id", "irr" };

	if (d->reg < FIELD_PIN_0)
		snprintf(buf, size, "IOAPIC %s", names[d->reg]);
	else
		snprintf(buf, size, "IOAPIC pin %u", d->reg - FIELD_PIN_0);
}

static const char *pic_register_name(uint32_t reg)
{
	static const char *const names[] = { "IRR", "ISR", "IMR", "ELCR", "INT" };

	return reg <= PIC_REG_INT ? names[reg] : "?";
}

static void format_what(const struct difference *d, char *buf, size_t size)
{
	switch (d->object) {
	case OBJ_VALUE:
		snprintf(buf, size, "vCPU %u reads", d->vcpu);
		break;
	case OBJ_FAULT:
		snprintf(buf, size, "vCPU %u gets #GP", d->vcpu);
		break;
	case OBJ_RETURN:
		snprintf(buf, size, "the call returns");
		break;
	case OBJ_LAPIC:
		snprintf(buf, size, "vCPU %u LAPIC register 0x%03x", d->vcpu, d->reg);
		break;
	case OBJ_BASE:
		snprintf(buf, size, "vCPU %u IA32_APIC_BASE", d->vcpu);
		break;
	case OBJ_EVENTS:
		snprintf(buf, size, "vCPU %u %s", d->vcpu, event_name(d->reg));
		break;
	case OBJ_IOAPIC:
		format_ioapic(d, buf, size);
		break;
	case OBJ_PIC:
		snprintf(buf, size, "8259 %u state byte %u", d->vcpu, d->reg);
		break;
	case OBJ_PIT:
		snprintf(buf, size, "PIT channel %u state byte %u", d->vcpu, d->reg);
		break;
	case OBJ_PIC_REGISTER:
		snprintf(buf, size, "8259 %u %s", d->vcpu, pic_register_name(d->reg));
		break;
	case OBJ_STUCK:
		snprintf(buf, size, "vCPU %u's puppet died", d->vcpu);
		break;
	}
}

void difference_format(const struct script *script, const struct difference *d, char *buf,
		       size_t size)
{
	const char *other = script->kernel == SIDE_QEMU ? "qemu" : "kernel";
	char what[80] = "";

	format_what(d, what, sizeof(what));
	if (d->object == OBJ_RETURN)
		snprintf(buf, size, "%s: soft %" PRId64 ", %s %" PRId64, what, (int64_t)d->soft,
			 other, (int64_t)d->kernel);
	else
		snprintf(buf, size, "%s: soft 0x%" PRIx64 ", %s 0x%" PRIx64, what, d->soft, other,
			 d->kernel);
}
