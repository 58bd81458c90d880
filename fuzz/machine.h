/* SPDX-License-Identifier: MIT */
/*
 * A VM under test: its vCPUs with what they were told and what they did, counted apart from the
 * library, and a clock turned by hand. All of it on one thread, so an input always does the same.
 */
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "stream.h"

#include <vmirq/irqfd.h>
#include <vmirq/line.h>
#include <vmirq/msi.h>
#include <vmirq/observe.h>
#include <vmirq/route.h>
#include <vmirq/state.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define MACHINE_VCPUS 5u
#define MACHINE_GSIS  64u

struct machine;

struct cpu {
	struct machine *machine;
	uint32_t index;
	struct vmirq_vcpu *vcpu; /* stays here when destroyed: its counters are still looked at */
	bool alive;
	bool wakes;  /* parks by other means than vmirq_vcpu_park() */
	bool inside; /* in the guest, as its last step said, and not kicked since */
	bool parked; /* parked elsewhere, and not woken since */
	uint32_t kicks;
	uint64_t taken[256]; /* acknowledged less taken back: what the guest's handlers count */
};

struct machine {
	struct vmirq_vm *vm;
	struct stream *stream;
	struct cpu cpu[MACHINE_VCPUS];
	uint64_t now;
	uint64_t messages; /* sent */
};

/* By two bytes of the stream: what the VM and its vCPUs are like. */
void machine_create(struct machine *m, struct stream *s, uint32_t vm_flags);
void machine_destroy(struct machine *m);

/* After each step: what must always hold of its parts. */
void machine_validate(struct machine *m);
/* The laws of observe.h. */
void machine_check_laws(struct machine *m);

void machine_create_cpu(struct machine *m, uint32_t index, uint8_t how);
void machine_destroy_cpu(struct cpu *cpu);
/* On by so many ns. A 64-bit clock stands at its end. */
void machine_go_on(struct machine *m, uint64_t ns);
/* A message that may be any; half of them are good ones. */
struct kvm_msi take_msi(struct stream *s);

/* guest.c: operations on a vCPU. The numbers of its own come first, those of a target after. */
enum guest_op {
	OP_REGISTER,  /* cpu, register's number, value: as its mode asks for */
	OP_MMIO,      /* cpu, flags, address, length, data: any of it */
	OP_RDMSR,     /* cpu, flags, number: any */
	OP_WRMSR,     /* cpu, flags, number, value: any */
	OP_APIC_BASE, /* cpu, bits 15:8, flags: of the guest or of a restore */
	OP_CR8,	      /* cpu, value */
	OP_IPI,	      /* cpu, low half, destination */
	OP_MSI,	      /* a message */
	OP_STEP,      /* cpu, flags */
	OP_RUN,	      /* cpu, flags: step, take it and end it, so many times */
	OP_ACK,	      /* cpu, vector: whatever it says */
	OP_UNACK,     /* cpu, vector */
	OP_NEXT,      /* cpu: ack and leave in service */
	OP_PARK,      /* cpu: not for long */
	OP_LEAVE,     /* cpu */
	OP_CLOCK,     /* on by so many ns, scaled */
	OP_CLOCK_DUE, /* cpu: to its deadline, and kick it */
	OP_SAVE_LOAD, /* cpu: must change nothing */
	OP_SET_LAPIC, /* cpu, flags, patches to its state or to zeros */
	OP_MP_STATE,  /* cpu, state */
	OP_NMI,	      /* cpu */
	OP_ASK,	      /* cpu, what: interrupt, kick, stop, start, bind, unbind */
	OP_RESET_CPU, /* cpu */
	OP_RESET_VM,
	OP_CREATE_CPU,	/* cpu, how */
	OP_DESTROY_CPU, /* cpu */
	GUEST_OPS = 32, /* room for more */
};

/* False: none of the above. */
bool guest_step(struct machine *m, uint8_t op);

#endif
