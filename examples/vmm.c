// SPDX-License-Identifier: MIT
/*
 * A whole VMM: one vCPU in real mode that sleeps in HLT, and an eventfd that interrupts it ten times.
 * Say "soft", "split" or "kvm" to choose where the interrupt controller is; the rest stays the same.
 *
 *	cc vmm.c $(pkg-config --cflags --libs libvmirq) && ./a.out split
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmirq/irqfd.h>
#include <vmirq/kvm_run.h>
#include <vmirq/route.h>
#include <vmirq/state.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define MEMORY	   0x10000u
#define CODE	   0x1000u
#define HANDLER	   0x2000u
#define VECTOR	   0x41u
#define PORT	   0x80u
#define SVR	   0xf0u /* of the local APIC: spurious vector, and bit 8 enables it */
#define INTERRUPTS 10

/* sti; hlt; jmp to the hlt */
static const unsigned char code[] = { 0xfb, 0xf4, 0xeb, 0xfd };
/* out 0x80, al; mov dword [0xfee000b0], 0 (the end of the interrupt); iret */
static const unsigned char handler[] = { 0xe6, PORT, 0x67, 0x66, 0xc7, 0x05, 0xb0, 0x00,
					 0xe0, 0xfe, 0x00, 0x00, 0x00, 0x00, 0xcf };

/* Every call here returns a negative number where it fails. */
static int must(const char *what, int result)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "%s: %s\n", what, strerror(result == -1 ? errno : -result));
	exit(1);
}

static void kicked(int signal)
{
	(void)signal;
}

static int open_kvm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm >= 0)
		return kvm;
	fprintf(stderr, "SKIP: /dev/kvm: %s\n", strerror(errno));
	exit(77);
}

static enum vmirq_irqchip irqchip_named(const char *name)
{
	if (strcmp(name, "soft") == 0)
		return VMIRQ_IRQCHIP_SOFT;
	if (strcmp(name, "kvm") == 0)
		return VMIRQ_IRQCHIP_KVM;
	if (strcmp(name, "split") == 0)
		return VMIRQ_IRQCHIP_SPLIT;
	fprintf(stderr, "'%s': say soft, split or kvm\n", name);
	exit(2);
}

static void give_memory(int vm_fd)
{
	unsigned char *memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY,
						      .userspace_addr = (unsigned long)memory };
	const unsigned short entry[2] = { HANDLER, 0 };

	must("mmap", memory == MAP_FAILED ? -1 : 0);
	memcpy(memory + CODE, code, sizeof(code));
	memcpy(memory + HANDLER, handler, sizeof(handler));
	memcpy(memory + 4 * VECTOR, entry, sizeof(entry));
	must("KVM_SET_USER_MEMORY_REGION", ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region));
}

/* At CODE in real mode, with data segments that reach the local APIC. */
static void set_registers(int vcpu_fd)
{
	struct kvm_regs regs = { .rip = CODE, .rsp = 0x8000, .rflags = 2 };
	struct kvm_sregs sregs;

	must("KVM_GET_SREGS", ioctl(vcpu_fd, KVM_GET_SREGS, &sregs));
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.limit = 0xffffffff;
	sregs.ds.g = 1;
	must("KVM_SET_SREGS", ioctl(vcpu_fd, KVM_SET_SREGS, &sregs));
	must("KVM_SET_REGS", ioctl(vcpu_fd, KVM_SET_REGS, &regs));
}

/* What a guest does first, done for it. */
static void enable_apic(struct vmirq_vcpu *vcpu)
{
	const unsigned int svr = 0x1ff;
	struct kvm_lapic_state state;

	must("vmirq_vcpu_get_lapic", vmirq_vcpu_get_lapic(vcpu, &state));
	memcpy(state.regs + SVR, &svr, sizeof(svr));
	must("vmirq_vcpu_set_lapic", vmirq_vcpu_set_lapic(vcpu, &state));
}

int main(int argc, char **argv)
{
	struct vmirq_vm_config config = { .size = sizeof(config) };
	struct vmirq_vcpu_config cpu = { .size = sizeof(cpu), .kick_signal = SIGUSR1 };
	struct vmirq_irqfd_config source = { .size = sizeof(source), .gsi = 24 };
	const struct sigaction on_kick = { .sa_handler = kicked };
	int kvm = open_kvm(), vm_fd, handled = 0;
	struct vmirq_vm *vm;
	struct vmirq_vcpu *vcpu;
	struct vmirq_irqfd *irqfd;

	/* The VM and, where it is the kernel's, its interrupt controller. */
	sigaction(SIGUSR1, &on_kick, NULL);
	vm_fd = must("KVM_CREATE_VM", ioctl(kvm, KVM_CREATE_VM, 0));
	ioctl(vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	give_memory(vm_fd);
	config.irqchip = irqchip_named(argc > 1 ? argv[1] : "soft");
	config.kvm_vm_fd = vm_fd;
	if (config.irqchip == VMIRQ_IRQCHIP_SOFT)
		must("vmirq_kvm_prepare_vm", vmirq_kvm_prepare_vm(vm_fd));
	must("vmirq_vm_create", vmirq_vm_create(&config, &vm));

	/* Its vCPU. */
	cpu.kvm_vcpu_fd = must("KVM_CREATE_VCPU", ioctl(vm_fd, KVM_CREATE_VCPU, 0));
	cpu.kvm_run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0),
			   PROT_READ | PROT_WRITE, MAP_SHARED, cpu.kvm_vcpu_fd, 0);
	must("mmap", cpu.kvm_run == MAP_FAILED ? -1 : 0);
	set_registers(cpu.kvm_vcpu_fd);
	must("vmirq_vcpu_create", vmirq_vcpu_create(vm, &cpu, &vcpu));
	enable_apic(vcpu);

	/* A device: its eventfd is vector 0x41 on this vCPU. */
	source.eventfd = must("eventfd", eventfd(0, EFD_CLOEXEC));
	must("vmirq_route_set_msi", vmirq_route_set_msi(vm, source.gsi, 0xfee00000, VECTOR));
	must("vmirq_irqfd_assign", vmirq_irqfd_assign(vm, &source, &irqfd));
	must("vmirq_pump_start", vmirq_pump_start(vmirq_vm_pump(vm)));

	/* The guest runs until it has been interrupted often enough. */
	must("vmirq_vcpu_bind_thread", vmirq_vcpu_bind_thread(vcpu));
	must("eventfd_write", eventfd_write(source.eventfd, 1));
	while (handled < INTERRUPTS) {
		int error = vmirq_kvm_run(vcpu);

		if (error == -EINTR)
			continue;
		must("vmirq_kvm_run", error);
		if (cpu.kvm_run->exit_reason != KVM_EXIT_IO || cpu.kvm_run->io.port != PORT) {
			fprintf(stderr, "exit %u\n", cpu.kvm_run->exit_reason);
			return 1;
		}
		if (++handled < INTERRUPTS)
			must("eventfd_write", eventfd_write(source.eventfd, 1));
	}
	must("vmirq_vcpu_unbind_thread", vmirq_vcpu_unbind_thread(vcpu));
	must("vmirq_vm_destroy", vmirq_vm_destroy(vm));
	printf("%d interrupts handled\n", handled);
	return 0;
}
