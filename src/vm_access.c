/* SPDX-License-Identifier: MIT */
/* The guest's accesses that are the VM's: each room is asked in turn, chips before doorbells. */
#include <vmirq/vm.h>

#include <errno.h>

#include "base/vm.h"
#include "irqfd/ioeventfd.h"
#include "line/line.h"

int vmirq_vm_mmio(struct vmirq_vm *vm, uint64_t gpa, void *data, uint32_t len, bool is_write)
{
	if (vmirq_lines_mmio(vm->lines, gpa, data, len, is_write) ||
	    (is_write && vmirq_ioeventfd_write(vm->ioeventfds, BUS_MMIO, gpa, data, len)))
		return 0;
	return -ENOENT;
}

int vmirq_vm_pio(struct vmirq_vm *vm, uint16_t port, void *data, uint32_t len, bool is_write)
{
	if (vmirq_lines_pio(vm->lines, port, data, len, is_write) ||
	    (is_write && vmirq_ioeventfd_write(vm->ioeventfds, BUS_PIO, port, data, len)))
		return 0;
	return -ENOENT;
}
