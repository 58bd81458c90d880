/* SPDX-License-Identifier: MIT */
/* One entry of KVM_RUN and what its exit asks for, whoever has the local APIC. */
#ifndef KVM_EXIT_H
#define KVM_EXIT_H

#include "vcpu/vcpu.h"

#define VMM_EXIT 1 /* the exit is the VMM's */

/* 0: something happened that is the loop's to see; -errno of KVM_RUN, -EINTR among them. */
int vmirq_kvm_enter(struct vmirq_vcpu *vcpu);
/* Do what the exit asks for. 0: go on; VMM_EXIT. */
int vmirq_kvm_do_exit(struct vmirq_vcpu *vcpu);
/* Let the kernel end the instruction that an exit stands in the middle of, without running on: before
 * the VMM may look at the registers, or INIT changes them. 0: done. VMM_EXIT: the instruction has
 * exited again, for the VMM. */
int vmirq_kvm_complete(struct vmirq_vcpu *vcpu);
/* The VMM gets its turn, at an instruction's end. `why`: -EINTR or -ECANCELED; returned, or VMM_EXIT. */
int vmirq_kvm_give_turn(struct vmirq_vcpu *vcpu, int why);

/* kernel_run.c: vmirq_kvm_run() where the kernel has the local APIC: before an entry. 0: enter. */
int vmirq_kernel_prepare(struct vmirq_vcpu *vcpu);

#endif
