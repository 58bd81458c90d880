/* SPDX-License-Identifier: MIT */
/* Puts a VM's interrupt domain together. */
#include <vmirq/state.h>
#include <vmirq/vm.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/lock.h"
#include "base/options.h"
#include "base/reader.h"
#include "base/vm.h"
#include "chip/chip.h"
#include "irqfd/bypass.h"
#include "irqfd/deferred.h"
#include "irqfd/ioeventfd.h"
#include "irqfd/irqfd.h"
#include "kvm/irqchip.h"
#include "line/line.h"
#include "passthrough/pirq.h"
#include "pump/guard.h"
#include "route/table.h"
#include "state/blob.h"
#include "vcpu/vcpu.h"

/* vmirq_vm_config as it was in the first release. */
#define CONFIG_LEAST  sizeof(struct vmirq_vm_config)

#define DEFAULT_VCPUS 256u
#define DEFAULT_GSIS  (1u << 20)

#define ALL_FLAGS                                                                               \
	(VMIRQ_VM_MSI_32BIT_IDS | VMIRQ_VM_MSI_EXT_DEST_ID | VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT | \
	 VMIRQ_VM_PIT_DISCARD | VMIRQ_VM_PROFILE_SPEC)

#define ALL_CAPS \
	(VMIRQ_CAP_SIGNAL_MSI | VMIRQ_CAP_IRQFD | VMIRQ_CAP_IRQFD_RESAMPLE | VMIRQ_CAP_IOEVENTFD)

/* All that is of one VM and not in a part of its own. */
struct whole_vm {
	struct vmirq_vm vm;
	struct chip chip;
	struct counts msi;
	struct lock map_mutex;
	struct fd_guard guard;
};

static uint64_t monotonic_now(void *opaque)
{
	struct timespec t;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t host_now(void *opaque)
{
	const struct vmirq_vm *vm = opaque;

	return vm->clock.now(vm->clock.opaque);
}

static void host_lock(void *mutex)
{
	lock_take(mutex);
}

static void host_unlock(void *mutex)
{
	lock_give(mutex);
}

static int create_chip(struct whole_vm *whole, uint32_t vcpus, uint32_t flags)
{
	struct chip_host host = {
		.opaque = &whole->vm,
		.wake = vmirq_vcpu_host_wake,
		.kick = vmirq_vcpu_host_kick,
		.now = host_now,
		.tsc = vmirq_vcpu_host_tsc,
		.lock = host_lock,
		.unlock = host_unlock,
	};
	struct msi_format format = {
		.ids_32bit = flags & VMIRQ_VM_MSI_32BIT_IDS,
		.ext_dest_id = flags & VMIRQ_VM_MSI_EXT_DEST_ID,
	};
	size_t size = vmirq_chip_size(vcpus);
	void *memory =
		aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));

	if (!memory)
		return -ENOMEM;
	memset(memory, 0, size);
	vmirq_chip_init(&whole->chip, &host, vcpus, format, &whole->map_mutex, memory);
	whole->chip.profile_spec = flags & VMIRQ_VM_PROFILE_SPEC;
	whole->vm.chip = &whole->chip;
	return 0;
}

/* Everything is calloc'ed, so what was not made is NULL. */
static void free_vm(struct whole_vm *whole)
{
	vmirq_pirq_domain_destroy(whole->vm.pirqs);
	vmirq_ioeventfd_table_destroy(whole->vm.ioeventfds);
	vmirq_irqfd_table_destroy(whole->vm.irqfds);
	vmirq_guard_fini(&whole->guard);
	vmirq_lines_destroy(whole->vm.lines);
	vmirq_vcpu_table_free(whole->vm.vcpus);
	vmirq_pump_destroy(whole->vm.pump);
	vmirq_route_table_destroy(whole->vm.routes);
	if (whole->vm.irqchip)
		whole->vm.irqchip->ops->destroy(whole->vm.irqchip);
	if (whole->vm.chip)
		free(whole->chip.posted);
	free(whole);
}

/* What only means something with something else. */
static bool flags_agree(uint32_t flags)
{
	return (!(flags & VMIRQ_VM_PIT) || (flags & VMIRQ_VM_PC_CHIPS)) &&
	       (!(flags & VMIRQ_VM_PIT_DISCARD) || (flags & VMIRQ_VM_PIT));
}

/* There, and of a number that there is room for; each is checked when it is made. */
static bool ioapics_agree(const struct vmirq_vm_config *config)
{
	return config->n_ioapics <= MAX_IOAPICS &&
	       (!config->n_ioapics || (config->ioapics && (config->flags & VMIRQ_VM_PC_CHIPS)));
}

static struct line_config line_config(const struct vmirq_vm_config *config)
{
	uint32_t flags = config->flags;

	return (struct line_config){
		.pc_chips = flags & VMIRQ_VM_PC_CHIPS,
		.pit = flags & VMIRQ_VM_PIT,
		.pit_discard = flags & VMIRQ_VM_PIT_DISCARD,
		.spec = flags & VMIRQ_VM_PROFILE_SPEC,
		.ioapics = config->ioapics,
		.n_ioapics = config->n_ioapics,
	};
}

/* What the irqchip is, and for the kernel's the VM that it is in. */
static bool irqchip_agrees(const struct vmirq_vm_config *config)
{
	switch (config->irqchip) {
	case VMIRQ_IRQCHIP_SOFT:
		return !config->kernel_gsis;
	case VMIRQ_IRQCHIP_KVM:
	case VMIRQ_IRQCHIP_SPLIT:
		/* Its local APICs do as the kernel does. */
		return config->kvm_vm_fd && !(config->flags & VMIRQ_VM_PROFILE_SPEC);
	default:
		return false;
	}
}

static uint32_t ioapic_pins(const struct vmirq_vm_config *config)
{
	uint32_t pins = 0;

	if (!(config->flags & VMIRQ_VM_PC_CHIPS))
		return 0;
	for (uint32_t i = 0; i < config->n_ioapics; i++)
		pins += config->ioapics[i].pins;
	return config->n_ioapics ? pins : IOAPIC_MIN_PINS;
}

static int create_irqchip(const struct vmirq_vm_config *config, struct irqchip **out)
{
	if (config->irqchip == VMIRQ_IRQCHIP_SOFT)
		return 0;
	return vmirq_kernel_irqchip_create(
		&(struct kernel_irqchip_config){
			.vm_fd = config->kvm_vm_fd,
			.full = config->irqchip == VMIRQ_IRQCHIP_KVM,
			.pit = config->flags & VMIRQ_VM_PIT,
			.pit_discard = config->flags & VMIRQ_VM_PIT_DISCARD,
			.ids_32bit = config->flags & VMIRQ_VM_MSI_32BIT_IDS,
			.ioapic_pins = ioapic_pins(config),
			.limit = config->kernel_gsis,
			.without = config->without,
		},
		out);
}

static int check_config(struct vmirq_vm_config *config)
{
	if (!config->max_vcpus)
		config->max_vcpus = DEFAULT_VCPUS;
	if (!config->max_gsis)
		config->max_gsis = DEFAULT_GSIS;
	if (!irqchip_agrees(config) || config->max_vcpus > MAX_VCPUS ||
	    (config->flags & ~ALL_FLAGS) || !flags_agree(config->flags) || !ioapics_agree(config) ||
	    (config->clock && !config->clock->now) || config->kvm_vm_fd < 0 ||
	    (config->without & ~ALL_CAPS))
		return -EINVAL;
	return 0;
}

int vmirq_vm_create(const struct vmirq_vm_config *caller, struct vmirq_vm **out)
{
	struct vmirq_vm_config config;
	struct line_config lines;
	struct whole_vm *whole;
	int error;

	if (!caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (!error)
		error = check_config(&config);
	if (error)
		return error;
	whole = calloc(1, sizeof(*whole));
	if (!whole)
		return -ENOMEM;
	lines = line_config(&config);
	whole->vm.msi = &whole->msi;
	vmirq_guard_init(&whole->guard);
	whole->vm.guard = &whole->guard;
	whole->vm.kvm_fd = config.kvm_vm_fd ? config.kvm_vm_fd : -1;
	whole->vm.without = config.without;
	whole->vm.own_clock = config.clock != NULL;
	whole->vm.clock = config.clock ? *config.clock
				       : (struct vmirq_clock){ .now = monotonic_now };
	error = create_chip(whole, config.max_vcpus, config.flags);
	if (!error)
		error = vmirq_vcpu_table_create(config.max_vcpus, &whole->vm.vcpus);
	if (!error)
		error = vmirq_route_table_create(config.max_gsis, &whole->vm.routes);
	if (!error)
		error = create_irqchip(&config, &whole->vm.irqchip);
	if (!error)
		error = vmirq_pump_create(&whole->vm.pump);
	if (!error)
		error = vmirq_lines_create(&whole->vm, &lines, &whole->vm.lines);
	if (!error)
		error = vmirq_irqfd_table_create(&whole->vm, config.bypass, &whole->vm.irqfds);
	if (!error)
		error = vmirq_ioeventfd_table_create(
			config.without & VMIRQ_CAP_IOEVENTFD ? -1 : whole->vm.kvm_fd, &whole->guard,
			&whole->vm.ioeventfds);
	if (!error)
		error = vmirq_pirq_domain_create(&whole->vm, &whole->vm.pirqs);
	if (error)
		free_vm(whole);
	else
		*out = &whole->vm;
	return error;
}

int vmirq_vm_destroy(struct vmirq_vm *vm)
{
	int error;

	if (!vm)
		return 0;
	if (pirq_must_not_wait() || vmirq_line_calls_here() ||
	    vmirq_irqfd_in_callback_of_table(vm->irqfds))
		return -EDEADLK;
	/* Acquire: pairs with the release in vm_device_gone(). */
	if (atomic_load_explicit(&vm->devices, memory_order_acquire) ||
	    vmirq_irqfd_bypass_used(vm->irqfds))
		return -EBUSY;
	error = vmirq_vcpu_table_destroy_all(vm->vcpus);
	if (error)
		return error;
	vmirq_pump_stop(vm->pump);
	free_vm((struct whole_vm *)vm);
	return 0;
}

int vmirq_vm_reset(struct vmirq_vm *vm)
{
	int of_vcpus, of_chips;

	if (!vm)
		return -EINVAL;
	if (reader_inside())
		return -EDEADLK;
	if (vmirq_vcpu_table_runs(vm->vcpus))
		return -EBUSY;
	/* What was signalled before is raised before. */
	vmirq_irqfds_flush(vm->irqfds);
	of_vcpus = vmirq_vcpu_table_reset_all(vm->vcpus);
	of_chips = vmirq_lines_reset(vm->lines);
	if (!of_chips)
		vmirq_pirq_domain_reset(vm->pirqs, false);
	return of_vcpus ? of_vcpus : of_chips;
}

/* May its state be saved or loaded now, as one? What signals have queued is raised: it is in what is saved, and
 * with what a load throws away. */
static int prepare_blob(struct vmirq_vm *vm)
{
	if (vm->irqchip)
		return -EOPNOTSUPP;
	if (reader_inside())
		return -EDEADLK;
	vmirq_irqfds_flush(vm->irqfds);
	return 0;
}

int64_t vmirq_vm_save(struct vmirq_vm *vm, void *buffer, size_t size)
{
	int error;

	if (!vm || (size && !buffer))
		return -EINVAL;
	error = prepare_blob(vm);
	return error ? error : vmirq_state_save(vm, buffer, size);
}

int vmirq_vm_load(struct vmirq_vm *vm, const void *buffer, size_t size)
{
	int error;

	if (!vm || !buffer)
		return -EINVAL;
	error = prepare_blob(vm);
	if (!error)
		error = vmirq_state_load(vm, buffer, size);
	if (!error)
		vmirq_pirq_domain_reset(vm->pirqs, true);
	return error;
}

int vmirq_vm_quiesce(struct vmirq_vm *vm)
{
	return vm ? vmirq_reader_wait() : -EINVAL;
}

int vmirq_thread_prepare(void)
{
	struct reader *section = reader_enter();
	bool has = section != NULL;

	reader_exit(section);
	return has ? 0 : -ENOMEM;
}

struct vmirq_pump *vmirq_vm_pump(struct vmirq_vm *vm)
{
	return vm->pump;
}

struct vmirq_vcpu *vmirq_vm_vcpu(struct vmirq_vm *vm, uint32_t index)
{
	struct vmirq_vcpu *vcpu;

	if (!vm || index >= vm->vcpus->max)
		return NULL;
	/* Acquire: pairs with the release in vcpu/table.c. */
	vcpu = atomic_load_explicit(&vm->vcpus->vcpu[index], memory_order_acquire);
	return vcpu && vcpu->used ? vcpu : NULL;
}
