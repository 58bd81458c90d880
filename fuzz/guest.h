/* SPDX-License-Identifier: MIT */
/* What can be done to one vCPU; see enum guest_op. */
#ifndef FUZZ_GUEST_H
#define FUZZ_GUEST_H

#include "machine.h"

/* guest_access.c */
void guest_put_register(struct cpu *cpu, uint32_t reg, uint32_t value);
void guest_mmio(struct cpu *cpu, struct stream *s);
void guest_rdmsr(struct cpu *cpu, struct stream *s);
void guest_wrmsr(struct cpu *cpu, struct stream *s);
void guest_apic_base(struct cpu *cpu, struct stream *s);
void guest_ipi(struct cpu *cpu, struct stream *s);
void guest_msi(struct machine *m, struct stream *s);
void guest_save_load(struct cpu *cpu);
void guest_set_lapic(struct cpu *cpu, struct stream *s);
void guest_mp_state(struct cpu *cpu, struct stream *s);

/* guest_run.c. The vector that the step gives to inject, or -1. */
int guest_step_once(struct cpu *cpu, uint8_t flags);
/* Acknowledge, or take it back; 0 or -EINVAL. */
int guest_ack(struct cpu *cpu, uint32_t vector, bool take_back);
void guest_run(struct cpu *cpu, uint8_t flags);
void guest_next(struct cpu *cpu);
void guest_park(struct cpu *cpu);
void guest_leave(struct cpu *cpu);
void guest_clock_due(struct cpu *cpu);
void guest_ask(struct cpu *cpu, uint8_t what);

#endif
