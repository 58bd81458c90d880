/* SPDX-License-Identifier: MIT */
/* What the thread of a vCPU does, and others to it. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "guest.h"

#define EOI 0xb0u

/* At most so many interrupts in one OP_RUN. */
#define MOST_RUNS 8

static void left(struct cpu *cpu)
{
	cpu->inside = cpu->parked = false;
}

/* It neither enters nor sleeps past its timer. The end of the clock is the end of that. */
static void check_timer(const struct cpu *cpu)
{
	uint64_t now = cpu->machine->now;

	check(vmirq_vcpu_deadline(cpu->vcpu) > now || now >= UINT64_MAX - 1);
}

/* As the contract in vcpu.h has it. The vector where there is one to inject, else -1. */
int guest_step_once(struct cpu *cpu, uint8_t flags)
{
	uint32_t vector = UINT32_MAX;
	int answer;

	left(cpu);
	answer = vmirq_vcpu_step(cpu->vcpu, flags & 7, &vector);
	switch (answer) {
	case VMIRQ_STEP_ENTER:
	case VMIRQ_STEP_WINDOW:
		check(!(flags & VMIRQ_CPU_HALTED));
		check_timer(cpu);
		cpu->inside = true;
		return -1;
	case VMIRQ_STEP_PARK:
		check_timer(cpu);
		cpu->parked = cpu->wakes;
		return -1;
	case VMIRQ_STEP_INJECT:
		check((flags & VMIRQ_CPU_INTERRUPTIBLE) && vector < 256);
		return (int)vector;
	case VMIRQ_STEP_NMI:
		check(!(flags & VMIRQ_CPU_NMI_BLOCKED));
		return -1;
	case VMIRQ_STEP_SIPI:
		check(vector < 256);
		return -1;
	default:
		check(answer == VMIRQ_STEP_SMI || answer == VMIRQ_STEP_INIT ||
		      answer == -ECANCELED || answer == -EINTR);
		return -1;
	}
}

/* The 8259s' vectors are counted apart: what the library counts says which it was. */
static uint64_t taken(const struct cpu *cpu, uint32_t vector)
{
	struct vmirq_vector_counts c = { .size = sizeof(c) };

	check(!vmirq_vector_counts(cpu->vcpu, vector, &c));
	return c.taken;
}

int guest_ack(struct cpu *cpu, uint32_t vector, bool take_back)
{
	uint64_t before = vector < 256 ? taken(cpu, vector) : 0;
	uint64_t change;
	int error = take_back ? vmirq_vcpu_unack(cpu->vcpu, vector)
			      : vmirq_vcpu_ack(cpu->vcpu, vector);

	check(!error || error == -EINVAL);
	if (vector > 255) {
		check(error);
		return error;
	}
	change = taken(cpu, vector) - before;
	check(change == 0 || (!error && change == (take_back ? UINT64_MAX : 1)));
	cpu->taken[vector] += change;
	return error;
}

/* A guest that takes and ends what it is given. */
void guest_run(struct cpu *cpu, uint8_t flags)
{
	for (int i = 0; i < MOST_RUNS; i++) {
		int vector = guest_step_once(cpu, flags | VMIRQ_CPU_INTERRUPTIBLE);

		if (vector < 0)
			return;
		check(!guest_ack(cpu, (uint32_t)vector, false));
		guest_put_register(cpu, EOI, 0);
	}
}

void guest_next(struct cpu *cpu)
{
	int vector = vmirq_vcpu_next_vector(cpu->vcpu);

	check(vector == -1 || (vector >= 16 && vector < 256));
	/* A vector of the 8259s that waits to be taken comes first. */
	if (vector >= 0)
		guest_ack(cpu, (uint32_t)vector, false);
}

void guest_park(struct cpu *cpu)
{
	int end;

	left(cpu);
	end = vmirq_vcpu_park(cpu->vcpu, 0);
	check(end >= VMIRQ_PARK_RUNNABLE && end <= VMIRQ_PARK_TIMEOUT);
}

void guest_leave(struct cpu *cpu)
{
	left(cpu);
	vmirq_vcpu_leave(cpu->vcpu);
}

void guest_clock_due(struct cpu *cpu)
{
	uint64_t deadline = vmirq_vcpu_deadline(cpu->vcpu);

	if (deadline != UINT64_MAX && deadline > cpu->machine->now)
		cpu->machine->now = deadline;
	/* With a clock of the VMM's own, the VMM does this. */
	vmirq_vcpu_kick(cpu->vcpu);
}

/* With one thread only: nobody else runs it, so nothing here waits. */
void guest_ask(struct cpu *cpu, uint8_t what)
{
	int error = 0;

	switch (what % 6) {
	case 0:
		vmirq_vcpu_interrupt(cpu->vcpu);
		break;
	case 1:
		vmirq_vcpu_kick(cpu->vcpu);
		break;
	case 2:
		error = vmirq_vcpu_stop(cpu->vcpu);
		check(!error || error == -EDEADLK);
		break;
	case 3:
		error = vmirq_vcpu_start(cpu->vcpu);
		check(!error);
		break;
	case 4:
		error = vmirq_vcpu_bind_thread(cpu->vcpu);
		check(!error);
		break;
	default:
		error = vmirq_vcpu_unbind_thread(cpu->vcpu);
		check(!error || error == -EPERM);
		/* Which leaves the guest. */
		if (!error)
			left(cpu);
		break;
	}
}
