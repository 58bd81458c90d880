/* SPDX-License-Identifier: MIT */
/* Operations on vCPUs, by their numbers. */
#include "guest.h"

#include <errno.h>

#include "check.h"

/* Those of a vCPU's own. */
static void step_cpu(struct cpu *cpu, struct stream *s, enum guest_op op)
{
	uint32_t word;

	switch (op) {
	case OP_REGISTER:
		word = take8(s);
		guest_put_register(cpu, (word & 0x3f) << 4, take32(s));
		break;
	case OP_MMIO:
		guest_mmio(cpu, s);
		break;
	case OP_RDMSR:
		guest_rdmsr(cpu, s);
		break;
	case OP_WRMSR:
		guest_wrmsr(cpu, s);
		break;
	case OP_APIC_BASE:
		guest_apic_base(cpu, s);
		break;
	case OP_CR8:
		word = take8(s);
		check(vmirq_vcpu_set_cr8(cpu->vcpu, word) == (word > 15 ? -EINVAL : 0));
		check(vmirq_vcpu_cr8(cpu->vcpu) <= 15);
		break;
	case OP_IPI:
		guest_ipi(cpu, s);
		break;
	case OP_STEP:
		guest_step_once(cpu, take8(s));
		break;
	case OP_RUN:
		guest_run(cpu, take8(s));
		break;
	case OP_ACK:
	case OP_UNACK:
		word = take16(s);
		guest_ack(cpu, word, op == OP_UNACK);
		break;
	case OP_NEXT:
		guest_next(cpu);
		break;
	case OP_PARK:
		guest_park(cpu);
		break;
	case OP_LEAVE:
		guest_leave(cpu);
		break;
	case OP_CLOCK_DUE:
		guest_clock_due(cpu);
		break;
	case OP_SAVE_LOAD:
		guest_save_load(cpu);
		break;
	case OP_SET_LAPIC:
		guest_set_lapic(cpu, s);
		break;
	case OP_MP_STATE:
		guest_mp_state(cpu, s);
		break;
	case OP_NMI:
		vmirq_vcpu_nmi(cpu->vcpu);
		break;
	case OP_ASK:
		guest_ask(cpu, take8(s));
		break;
	case OP_RESET_CPU:
		check(!vmirq_vcpu_reset(cpu->vcpu));
		break;
	case OP_DESTROY_CPU:
		machine_destroy_cpu(cpu);
		break;
	default:
		break;
	}
}

bool guest_step(struct machine *m, uint8_t op)
{
	struct stream *s = m->stream;
	struct cpu *cpu;
	int error;

	if (op >= GUEST_OPS)
		return false;
	switch ((enum guest_op)op) {
	case OP_MSI:
		guest_msi(m, s);
		break;
	case OP_CLOCK:
		machine_go_on(m, take_scaled(s));
		break;
	case OP_RESET_VM:
		/* Refused while a vCPU has its thread. */
		error = vmirq_vm_reset(m->vm);
		check(!error || error == -EBUSY);
		break;
	case OP_CREATE_CPU:
		cpu = &m->cpu[take8(s) % MACHINE_VCPUS];
		machine_create_cpu(m, (uint32_t)(cpu - m->cpu), take8(s));
		break;
	default:
		cpu = &m->cpu[take8(s) % MACHINE_VCPUS];
		/* What is left of an operation on nobody is taken as others. */
		if (cpu->alive)
			step_cpu(cpu, s, (enum guest_op)op);
		break;
	}
	return true;
}
