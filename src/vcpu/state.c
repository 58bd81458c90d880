/* SPDX-License-Identifier: MIT */
/* A vCPU's saved state. */
#include <vmirq/state.h>

#include <errno.h>

#include "base/reader.h"
#include "chip/lapic_state.h"
#include "vcpu/kernel.h"

/* Hold the vCPU still; -EBUSY: its thread runs. */
static int hold(struct vmirq_vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->run_mutex);
	if (vcpu->run_state != RUNNING || pthread_equal(vcpu->run_thread, pthread_self()))
		return 0;
	pthread_mutex_unlock(&vcpu->run_mutex);
	return -EBUSY;
}

static int let_go_error(struct vmirq_vcpu *vcpu, int error)
{
	pthread_mutex_unlock(&vcpu->run_mutex);
	return error;
}

static int let_go(struct vmirq_vcpu *vcpu, bool done)
{
	return let_go_error(vcpu, done ? 0 : -EINVAL);
}

int vmirq_vcpu_get_lapic(struct vmirq_vcpu *vcpu, struct kvm_lapic_state *state)
{
	int error;

	if (!vcpu || !state)
		return -EINVAL;
	error = hold(vcpu);
	if (error)
		return error;
	if (vcpu_in_kernel(vcpu))
		return let_go_error(vcpu, vmirq_kernel_get_lapic(vcpu, state));
	/* A timer that has run out unseen: its interrupt belongs to the state, which shows only that
	 * nothing is left to count. */
	if (lapic_timer_deadline(&vcpu->lapic.timer) != TIMER_NEVER) {
		struct reader *section = reader_enter();

		vcpu_run_timer(vcpu);
		reader_exit(section);
	}
	vmirq_lapic_save(&vcpu->lapic, state->regs);
	return let_go(vcpu, true);
}

int vmirq_vcpu_set_lapic(struct vmirq_vcpu *vcpu, const struct kvm_lapic_state *state)
{
	int error;

	if (!vcpu || !state)
		return -EINVAL;
	error = hold(vcpu);
	if (error)
		return error;
	if (vcpu_in_kernel(vcpu))
		return let_go_error(vcpu, vmirq_kernel_set_lapic(vcpu, state));
	return let_go(vcpu, vmirq_lapic_load(&vcpu->lapic, state->regs));
}

int vmirq_vcpu_set_apic_base_state(struct vmirq_vcpu *vcpu, uint64_t value)
{
	int error;

	if (!vcpu)
		return -EINVAL;
	error = hold(vcpu);
	if (error)
		return error;
	if (vcpu_in_kernel(vcpu))
		return let_go_error(vcpu, vmirq_kernel_set_apic_base(vcpu, value));
	return let_go(vcpu, vmirq_lapic_load_base(&vcpu->lapic, value));
}

int vmirq_vcpu_get_mp_state(struct vmirq_vcpu *vcpu, struct kvm_mp_state *state)
{
	int error;

	if (!vcpu || !state)
		return -EINVAL;
	error = hold(vcpu);
	if (error)
		return error;
	if (vcpu_in_kernel(vcpu))
		return let_go_error(vcpu, vmirq_kernel_get_mp_state(vcpu, state));
	state->mp_state = vcpu->wait_for_sipi ? KVM_MP_STATE_UNINITIALIZED
			  : vcpu->kvm_halted  ? KVM_MP_STATE_HALTED
					      : KVM_MP_STATE_RUNNABLE;
	return let_go(vcpu, true);
}

int vmirq_vcpu_set_mp_state(struct vmirq_vcpu *vcpu, const struct kvm_mp_state *state)
{
	int error;

	if (!vcpu || !state)
		return -EINVAL;
	error = hold(vcpu);
	if (error)
		return error;
	if (vcpu_in_kernel(vcpu))
		return let_go_error(vcpu, vmirq_kernel_set_mp_state(vcpu, state));
	if (state->mp_state > KVM_MP_STATE_HALTED)
		return let_go(vcpu, false);
	vcpu->kvm_halted = state->mp_state == KVM_MP_STATE_HALTED;
	vcpu->wait_for_sipi = state->mp_state == KVM_MP_STATE_UNINITIALIZED ||
			      state->mp_state == KVM_MP_STATE_INIT_RECEIVED;
	return let_go(vcpu, true);
}
