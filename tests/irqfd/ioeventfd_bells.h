/* SPDX-License-Identifier: MIT */
/* Doorbells of a soft VM, assigned and rung. */
#ifndef TESTS_IRQFD_IOEVENTFD_BELLS_H
#define TESTS_IRQFD_IOEVENTFD_BELLS_H

#include "ioeventfd_cases.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/ioeventfd.h>

#define BELL UINT64_C(0xd0000000)

static inline int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline int say(void *vm, const struct kvm_ioeventfd *args)
{
	return vmirq_ioeventfd(vm, args);
}

static inline int say_trusted(void *vm, const struct kvm_ioeventfd *args)
{
	struct vmirq_ioeventfd_config config = { .size = sizeof(config),
						 .kernel = *args,
						 .flags = VMIRQ_IOEVENTFD_TRUSTED };

	return vmirq_ioeventfd_config(vm, &config);
}

static inline bool guest_writes(void *vm, bool pio, uint64_t addr, uint32_t len, uint64_t data)
{
	int error = pio ? vmirq_vm_pio(vm, (uint16_t)addr, &data, len, true)
			: vmirq_vm_mmio(vm, addr, &data, len, true);

	assert_true(!error || error == -ENOENT);
	return !error;
}

static inline int assign(struct soft *s, int (*how)(void *, const struct kvm_ioeventfd *),
			 uint64_t addr, int fd)
{
	struct kvm_ioeventfd args = { .addr = addr, .len = 4, .fd = fd };

	return how(s->vm, &args);
}

static inline int deassign(struct soft *s, uint64_t addr, int fd)
{
	struct kvm_ioeventfd args = { .addr = addr, .len = 4, .fd = fd, .flags = DEASSIGN };

	return vmirq_ioeventfd(s->vm, &args);
}

static inline bool write_bell(struct soft *s)
{
	return guest_writes(s->vm, false, BELL, 4, 0);
}

#endif
