/* SPDX-License-Identifier: MIT */
/* Which thread runs a vCPU, and stopping it. */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/reader.h"
#include "chip/deliver.h"
#include "vcpu/kernel.h"

int vmirq_vcpu_bind_thread(struct vmirq_vcpu *vcpu)
{
	int error = 0;

	/* It has its record before it gets its filter. */
	reader_exit(reader_enter());
	pthread_mutex_lock(&vcpu->run_mutex);
	if (vcpu->run_state != NO_THREAD) {
		error = pthread_equal(vcpu->run_thread, pthread_self()) ? 0 : -EBUSY;
	} else {
		vcpu->run_state = RUNNING;
		vcpu->run_thread = pthread_self();
		atomic_store(&vcpu->process, getpid());
		atomic_store(&vcpu->thread, (pid_t)syscall(SYS_gettid));
	}
	pthread_mutex_unlock(&vcpu->run_mutex);
	return error;
}

static bool is_own(const struct vmirq_vcpu *vcpu)
{
	return vcpu->run_state != NO_THREAD && pthread_equal(vcpu->run_thread, pthread_self());
}

bool vmirq_vcpu_is_own(struct vmirq_vcpu *vcpu)
{
	bool own;

	pthread_mutex_lock(&vcpu->run_mutex);
	own = is_own(vcpu);
	pthread_mutex_unlock(&vcpu->run_mutex);
	return own;
}

int vmirq_vcpu_unbind_thread(struct vmirq_vcpu *vcpu)
{
	if (!vmirq_vcpu_is_own(vcpu))
		return -EPERM;
	if (reader_inside())
		return -EDEADLK;
	vmirq_vcpu_leave(vcpu);
	atomic_store(&vcpu->thread, 0);
	/* Kicks that have read the thread's id are sent before it may end. */
	vmirq_reader_wait();
	pthread_mutex_lock(&vcpu->run_mutex);
	vcpu->run_state = NO_THREAD;
	waiters_wake(&vcpu->run_changes);
	pthread_mutex_unlock(&vcpu->run_mutex);
	return 0;
}

void vmirq_vcpu_saw_stop(struct vmirq_vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->run_mutex);
	/* start() may have come between. */
	if ((vcpu_events(vcpu) & bit32(EVENT_STOP)) && vcpu->run_state == RUNNING) {
		vcpu->run_state = STOPPED;
		waiters_wake(&vcpu->run_changes);
	}
	pthread_mutex_unlock(&vcpu->run_mutex);
}

int vmirq_vcpu_stop(struct vmirq_vcpu *vcpu)
{
	struct reader *section;

	if (reader_inside() || vmirq_vcpu_is_own(vcpu))
		return -EDEADLK;
	section = reader_enter();
	vmirq_post_event(vcpu->chip, vcpu->posted, EVENT_STOP);
	reader_exit(section);
	pthread_mutex_lock(&vcpu->run_mutex);
	while (vcpu->run_state == RUNNING && (vcpu_events(vcpu) & bit32(EVENT_STOP)))
		vmirq_wait_mutex(&vcpu->run_changes, &vcpu->run_mutex);
	pthread_mutex_unlock(&vcpu->run_mutex);
	return 0;
}

int vmirq_vcpu_start(struct vmirq_vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->run_mutex);
	vcpu_take_events(vcpu, bit32(EVENT_STOP));
	if (vcpu->run_state == STOPPED)
		vcpu->run_state = RUNNING;
	waiters_wake(&vcpu->run_changes);
	pthread_mutex_unlock(&vcpu->run_mutex);
	return 0;
}

/* All that was under way, but for the VMM's own requests. */
static void reset(struct vmirq_vcpu *vcpu)
{
	vcpu_take_events(vcpu, ~(bit32(EVENT_STOP) | bit32(EVENT_INTERRUPT)));
	vmirq_lapic_reset(&vcpu->lapic, false);
	vcpu->wait_for_sipi = vcpu->starts_waiting;
	vcpu->extint = vcpu->extint_taken = -1;
	vcpu->kvm_halted = vcpu->kvm_incomplete = false;
	if (vcpu->kvm_run) {
		vcpu->kvm_run->if_flag = 0;
		vcpu->kvm_run->ready_for_interrupt_injection = 0;
	}
}

int vmirq_vcpu_reset(struct vmirq_vcpu *vcpu)
{
	int error = 0;

	pthread_mutex_lock(&vcpu->run_mutex);
	if (vcpu->run_state == RUNNING && !is_own(vcpu))
		error = -EBUSY;
	else
		reset(vcpu);
	if (!error && vcpu_in_kernel(vcpu))
		error = vmirq_kernel_reset(vcpu);
	pthread_mutex_unlock(&vcpu->run_mutex);
	return error;
}
