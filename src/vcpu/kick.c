/* SPDX-License-Identifier: MIT */
/* Reaching a vCPU's thread from elsewhere. Everything here is lock-free and async-signal-safe. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/reader.h"
#include "base/vm.h"
#include "chip/deliver.h"
#include "vcpu/vcpu.h"

static struct vmirq_vcpu *at(struct vmirq_vm *vm, uint32_t index)
{
	/* Acquire: pairs with the release in table.c. */
	return atomic_load_explicit(&vm->vcpus->vcpu[index], memory_order_acquire);
}

void vmirq_vcpu_host_wake(void *vm, uint32_t index, bool elsewhere)
{
	struct vmirq_vcpu *vcpu = at(vm, index);
	int saved = errno;

	if (vcpu->wake.fn)
		vcpu->wake.fn(vcpu->wake.opaque);
	if (!elsewhere)
		syscall(SYS_futex, &vcpu->posted->mode, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}

void vmirq_vcpu_host_kick(void *vm, uint32_t index)
{
	struct vmirq_vcpu *vcpu = at(vm, index);
	int saved = errno;

	/* First the flag, then the signal: either the thread is in KVM_RUN and the signal ends it, or
	 * it is on its way and the flag does. */
	if (vcpu->kvm_run)
		__atomic_store_n(&vcpu->kvm_run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (vcpu->kick.fn) {
		vcpu->kick.fn(vcpu->kick.opaque);
	} else {
		pid_t thread = atomic_load(&vcpu->thread);

		/* The thread cannot be gone: unbinding waits for this section. */
		if (vcpu->kick_signal && thread)
			syscall(SYS_tgkill, atomic_load(&vcpu->process), thread, vcpu->kick_signal);
	}
	errno = saved;
}

void vmirq_vcpu_kick(struct vmirq_vcpu *vcpu)
{
	struct reader *section = reader_enter();

	vmirq_notify(vcpu->chip, vcpu->posted, CLASS_EVENT);
	reader_exit(section);
}

void vmirq_vcpu_interrupt(struct vmirq_vcpu *vcpu)
{
	struct reader *section = reader_enter();

	vmirq_post_event(vcpu->chip, vcpu->posted, EVENT_INTERRUPT);
	reader_exit(section);
}

void vmirq_vcpu_nmi(struct vmirq_vcpu *vcpu)
{
	struct reader *section = reader_enter();

	vmirq_post_nmi(vcpu->chip, vcpu->posted);
	reader_exit(section);
}
