/* SPDX-License-Identifier: MIT */
/* The parts of a VM, each laid out and owned by its room: so that a public call, which is given the
 * VM, finds its room's part without the room knowing the others'. Constant after creation. */
#ifndef BASE_VM_H
#define BASE_VM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <vmirq/vm.h>

struct chip;
struct vcpu_table;
struct route_table;
struct irqfd_table;
struct ioeventfd_table;
struct pirq_domain;
struct line_domain;
struct counts;
struct irqchip;
struct fd_guard;

struct vmirq_vm {
	struct chip *chip;
	struct irqchip *irqchip; /* the kernel's; NULL: soft */
	struct vcpu_table *vcpus;
	struct route_table *routes;
	struct line_domain *lines;
	struct irqfd_table *irqfds;
	struct ioeventfd_table *ioeventfds;
	struct pirq_domain *pirqs;
	struct vmirq_pump *pump;
	struct fd_guard *guard; /* of the eventfds that it writes to */
	struct counts *msi;	/* messages sent directly */
	struct vmirq_clock clock;
	bool own_clock;	  /* the VMM's: nothing here can sleep by it */
	int kvm_fd;	  /* the KVM VM, or -1 */
	uint32_t without; /* VMIRQ_CAP_* */
	/* Mailboxes and MSI-X devices: they must go first. */
	_Atomic uint32_t devices;
};

static inline void vm_device_made(struct vmirq_vm *vm)
{
	atomic_fetch_add_explicit(&vm->devices, 1, memory_order_relaxed);
}

/* The VM may be gone from here on. */
static inline void vm_device_gone(struct vmirq_vm *vm)
{
	/* Release: pairs with the acquire in vmirq_vm_destroy(). */
	atomic_fetch_sub_explicit(&vm->devices, 1, memory_order_release);
}

#endif
