// SPDX-License-Identifier: MIT
/* Calls to count the instructions of: each in a loop of a function by the case's name, which
 * count_instructions.py has valgrind look at and at nothing else. As a user links it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <vmirq/irqfd.h>
#include <vmirq/line.h>
#include <vmirq/msi.h>
#include <vmirq/route.h>
#include <vmirq/state.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define CALLS	     200u
#define VCPUS	     16u
#define FIRST_GSI    32u
#define FIRST_VECTOR 0x20u
#define X2APIC_EOI   0x80bu
#define X2APIC_SVR   0x80fu
#define X2APIC_ICR   0x830u
#define IOAPIC	     0xfec00000u
#define LEVEL_GSI    5u
#define RTE_LEVEL    0x8000u

static struct vmirq_vm *vm;
static struct vmirq_vcpu *vcpu[VCPUS];
static struct vmirq_irqfd *irqfd[CALLS], *bound[CALLS];
static uint32_t gsi[CALLS];
static int fd[CALLS];

#define MEASURED __attribute__((noinline)) void

MEASURED measure_signal(void);
MEASURED measure_signal(void)
{
	for (uint32_t i = 0; i < CALLS; i++)
		vmirq_irqfd_signal(irqfd[i]);
}

MEASURED measure_post_mask(void);
MEASURED measure_post_mask(void)
{
	const uint64_t vectors[4] = { UINT64_C(0xffff00000000), 0xffff, 0xffff, 0xffff };

	vmirq_vcpu_post_mask(vcpu[1], vectors, NULL);
}

MEASURED measure_route(void);
MEASURED measure_route(void)
{
	for (uint32_t i = 0; i < CALLS; i++)
		vmirq_route_set_msi(vm, FIRST_GSI + i, 0xfee00000, FIRST_VECTOR + (i + 1) % CALLS);
}

MEASURED measure_message(void);
MEASURED measure_message(void)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 };

	for (uint32_t i = 0; i < CALLS; i++) {
		msi.data = FIRST_VECTOR + i;
		vmirq_msi_send(vm, &msi);
	}
}

MEASURED measure_ipi(void);
MEASURED measure_ipi(void)
{
	for (uint32_t i = 0; i < CALLS; i++)
		vmirq_vcpu_wrmsr(vcpu[0], X2APIC_ICR, UINT64_C(1) << 32 | (FIRST_VECTOR + i));
}

/* To all 16 of cluster 0. */
MEASURED measure_cluster(void);
MEASURED measure_cluster(void)
{
	for (uint32_t i = 0; i < CALLS; i++)
		vmirq_vcpu_wrmsr(vcpu[0], X2APIC_ICR,
				 UINT64_C(0xffff) << 32 | 1u << 11 | (FIRST_VECTOR + i));
}

MEASURED measure_state(void);
MEASURED measure_state(void)
{
	struct kvm_lapic_state state;

	for (uint32_t i = 0; i < CALLS; i++) {
		vmirq_vcpu_get_lapic(vcpu[1], &state);
		vmirq_vcpu_set_lapic(vcpu[1], &state);
	}
}

/* A device's vectors: allocate, route, bind. */
static void bind_all(void)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config), .eventfd = -1 };

	for (uint32_t i = 0; i < CALLS; i++) {
		vmirq_gsi_alloc(vm, &gsi[i]);
		vmirq_route_set_msi(vm, gsi[i], 0xfee00000, FIRST_VECTOR + i);
	}
	for (uint32_t i = 0; i < CALLS; i++) {
		config.gsi = gsi[i];
		vmirq_irqfd_assign(vm, &config, &bound[i]);
	}
}

MEASURED measure_bind(void);
MEASURED measure_bind(void)
{
	bind_all();
}

static void unbind_all(void)
{
	for (uint32_t i = 0; i < CALLS; i++) {
		vmirq_irqfd_deassign(bound[i]);
		vmirq_gsi_free(vm, gsi[i]);
	}
}

static void open_eventfds(void)
{
	for (uint32_t i = 0; i < CALLS; i++)
		fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* The same in the kernel: in one transaction, with descriptors that are taken. */
static int bind_all_in_kernel(void)
{
	static struct vmirq_irqfd_config config[CALLS];
	int error = vmirq_route_begin(vm);

	for (uint32_t i = 0; i < CALLS; i++) {
		vmirq_gsi_alloc(vm, &gsi[i]);
		vmirq_route_set_msi(vm, gsi[i], 0xfee00000, FIRST_VECTOR + i);
		config[i] = (struct vmirq_irqfd_config){ .size = sizeof(config[i]),
							 .gsi = gsi[i],
							 .flags = VMIRQ_IRQFD_TAKE,
							 .eventfd = fd[i] };
	}
	if (!error)
		error = vmirq_route_commit(vm);
	return error ? error : vmirq_irqfd_assign_many(vm, config, CALLS, bound);
}

MEASURED measure_bind_kernel(void);
MEASURED measure_bind_kernel(void)
{
	bind_all_in_kernel();
}

/* In place of the other VM. */
static int set_up_kernel(void)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .irqchip = VMIRQ_IRQCHIP_KVM,
					  .max_vcpus = 1 };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	vmirq_vm_destroy(vm);
	vm = NULL;
	config.kvm_vm_fd = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (config.kvm_vm_fd < 0)
		return 77;
	if (vmirq_vm_create(&config, &vm))
		return 1;
	for (uint32_t i = 0; i < FIRST_GSI; i++)
		vmirq_gsi_alloc(vm, &gsi[0]);
	open_eventfds();
	for (int i = 0; i < 2; i++) {
		if (bind_all_in_kernel())
			return 1;
		unbind_all();
		open_eventfds();
	}
	return 0;
}

/* Assert, take, end: the notifier lowers the line. The GSI goes to an 8259, too, as on a PC. */
MEASURED measure_level(void);
MEASURED measure_level(void)
{
	for (uint32_t i = 0; i < CALLS; i++) {
		vmirq_line_set(vm, LEVEL_GSI, 0, true, NULL);
		vmirq_vcpu_ack(vcpu[0], (uint32_t)vmirq_vcpu_next_vector(vcpu[0]));
		vmirq_vcpu_wrmsr(vcpu[0], X2APIC_EOI, 0);
	}
}

static uint32_t lowered;

static void lower(void *opaque, uint32_t line, uint32_t value)
{
	(void)opaque;
	(void)value;
	lowered++;
	vmirq_line_set(vm, line, 0, false, NULL);
}

static void write_ioapic(uint32_t reg, uint32_t value)
{
	vmirq_vm_mmio(vm, IOAPIC, &reg, sizeof(reg), true);
	vmirq_vm_mmio(vm, IOAPIC + 0x10, &value, sizeof(value), true);
}

static int count_level(void)
{
	struct vmirq_notifier_config config = {
		.size = sizeof(config), .gsi = LEVEL_GSI, .notice = VMIRQ_NOTICE_ACK, .fn = lower
	};
	struct vmirq_notifier *notifier;
	int error = vmirq_notifier_add(vm, &config, &notifier);

	if (error)
		return error;
	write_ioapic(0x10 + 2 * LEVEL_GSI, RTE_LEVEL | FIRST_VECTOR);
	measure_level();
	vmirq_notifier_remove(notifier);
	return lowered != CALLS;
}

static int set_up(uint32_t flags)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = VCPUS,
					  .flags = flags };
	int error = vmirq_vm_create(&config, &vm);

	for (uint32_t i = 0; i < VCPUS && !error; i++) {
		struct vmirq_vcpu_config one = {
			.size = sizeof(one), .index = i, .apic_id = i, .flags = VMIRQ_VCPU_X2APIC
		};

		error = vmirq_vcpu_create(vm, &one, &vcpu[i]);
		if (!error)
			error = vmirq_vcpu_wrmsr(vcpu[i], X2APIC_SVR, 0x1ff);
	}
	for (uint32_t i = 0; i < CALLS && !error; i++) {
		struct vmirq_irqfd_config one = { .size = sizeof(one),
						  .gsi = FIRST_GSI + i,
						  .eventfd = -1 };

		error = vmirq_route_set_msi(vm, one.gsi, 0xfee00000, FIRST_VECTOR + i);
		if (!error)
			error = vmirq_irqfd_assign(vm, &one, &irqfd[i]);
	}
	return error;
}

static void take_all(struct vmirq_vcpu *v)
{
	int vector;

	while ((vector = vmirq_vcpu_next_vector(v)) >= 0) {
		vmirq_vcpu_ack(v, (uint32_t)vector);
		vmirq_vcpu_wrmsr(v, X2APIC_EOI, 0);
	}
}

/* Once before it counts: a thread's first call finds it a record. */
int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int error;

	if (set_up(strcmp(what, "level") == 0 ? VMIRQ_VM_PC_CHIPS : 0))
		return 1;
	vmirq_irqfd_signal(irqfd[0]);
	if (strcmp(what, "fresh") == 0) {
		take_all(vcpu[0]);
		measure_signal();
	} else if (strcmp(what, "pending") == 0) {
		/* The first finds them fresh, the second learns that they are not. */
		for (int turn = 0; turn < 2; turn++)
			for (uint32_t i = 0; i < CALLS; i++)
				vmirq_irqfd_signal(irqfd[i]);
		measure_signal();
	} else if (strcmp(what, "post_mask") == 0) {
		for (uint32_t i = 0; i < CALLS; i++) {
			measure_post_mask();
			take_all(vcpu[1]);
		}
	} else if (strcmp(what, "route") == 0) {
		measure_route();
	} else if (strcmp(what, "message") == 0) {
		measure_message();
	} else if (strcmp(what, "ipi") == 0) {
		measure_ipi();
	} else if (strcmp(what, "cluster") == 0) {
		measure_cluster();
	} else if (strcmp(what, "state") == 0) {
		measure_state();
	} else if (strcmp(what, "level") == 0) {
		if (count_level())
			return 1;
	} else if (strcmp(what, "bind") == 0) {
		/* The memory is there, also for those that rest a while when they are put back, and the free GSIs are
		 * behind the routes of set_up(). */
		for (uint32_t i = 0; i < FIRST_GSI; i++)
			vmirq_gsi_alloc(vm, &gsi[0]);
		for (int i = 0; i < 2; i++) {
			bind_all();
			unbind_all();
		}
		measure_bind();
	} else if (strcmp(what, "bind_kernel") == 0) {
		error = set_up_kernel();
		if (error)
			return error;
		measure_bind_kernel();
	} else {
		fputs("calls: of what?\n", stderr);
		return 2;
	}
	return vmirq_vm_destroy(vm) ? 1 : 0;
}
