// SPDX-License-Identifier: MIT
#include "guest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROOM	     0x10000u
#define HIGH_ROOM    0xffff0000u
#define CR0_PE	     1u
#define CPUID_X2APIC (1u << 21)
#define CPUID_APIC   (1u << 9)

#define KICK	     SIGUSR1
#define PATIENCE_S   5

static void nothing(int signal)
{
	(void)signal;
}

static void gave_up(int signal)
{
	static const char why[] = "a guest has not come to its next exit\n";

	(void)signal;
	_exit(write(STDERR_FILENO, why, sizeof(why) - 1) > 0 ? 1 : 2);
}

int guest_unavailable(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	bool able;

	if (kvm < 0) {
		printf("SKIP: /dev/kvm: %s\n", strerror(errno));
		return 77;
	}
	able = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER) > 0 &&
	       ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) > 0;
	close(kvm);
	if (!able)
		printf("SKIP: this kernel cannot give MSRs to user space\n");
	return able ? 0 : 77;
}

void guest_put(struct guest *g, uint32_t address, const uint8_t *code, size_t size)
{
	assert_true(address + size <= ROOM);
	memcpy(g->memory + address, code, size);
}

static void put_handlers(struct guest *g)
{
	static const uint8_t handler[] = { OUT(HANDLED), 0xfe,	     0x06,
					   COUNT & 0xff, COUNT >> 8, STORE(0xfee000b0u, 0),
					   0xcf };
	static const uint8_t gp_handler[] = { OUT(FAULTED), HLT };
	static const uint8_t reset[] = { OUT(RESET_OUT), HLT };

	for (uint32_t vector = 0; vector < 256; vector++) {
		uint16_t entry[2] = { vector == 13 ? GP_HANDLER : HANDLER, 0 };

		memcpy(g->memory + vector * 4ul, entry, sizeof(entry));
	}
	guest_put(g, HANDLER, handler, sizeof(handler));
	guest_put(g, GP_HANDLER, gp_handler, sizeof(gp_handler));
	memcpy(g->memory + ROOM + 0xfff0, reset, sizeof(reset));
}

static void map_memory(struct guest *g)
{
	struct kvm_userspace_memory_region region = { .memory_size = ROOM };

	g->memory = mmap(NULL, (size_t)ROOM * 2, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(g->memory, MAP_FAILED);
	region.userspace_addr = (uint64_t)(uintptr_t)g->memory;
	assert_int_equal(ioctl(g->vm_fd, KVM_SET_USER_MEMORY_REGION, &region), 0);
	region.slot = 1;
	region.guest_phys_addr = HIGH_ROOM;
	region.userspace_addr += ROOM;
	assert_int_equal(ioctl(g->vm_fd, KVM_SET_USER_MEMORY_REGION, &region), 0);
}

/* At CODE, with data segments that reach everywhere. */
static void set_registers(int fd)
{
	struct kvm_regs regs = { .rip = CODE, .rsp = 0x8000, .rflags = 2 };
	struct kvm_sregs sregs;

	assert_int_equal(ioctl(fd, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.limit = sregs.es.limit = UINT32_MAX;
	sregs.ds.g = sregs.es.g = 1;
	sregs.idt.base = 0;
	sregs.idt.limit = 0x3ff;
	sregs.cr0 &= ~(uint64_t)CR0_PE;
	assert_int_equal(ioctl(fd, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(ioctl(fd, KVM_SET_REGS, &regs), 0);
}

/* Without it in CPUID the kernel refuses the guest x2APIC mode. */
static void give_x2apic(int vcpu_fd)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[2];
	} cpuid = {
		.head.nent = 2,
		.entry = { { .function = 0, .eax = 1 },
			   { .function = 1, .ecx = CPUID_X2APIC, .edx = CPUID_APIC } },
	};

	assert_int_equal(ioctl(vcpu_fd, KVM_SET_CPUID2, &cpuid), 0);
}

static void add_vcpu(struct guest *g, unsigned int i)
{
	struct vmirq_vcpu_config config = {
		.size = sizeof(config),
		.index = i,
		.apic_id = i,
		.flags = i ? VMIRQ_VCPU_WAIT_FOR_SIPI : 0,
		.kick_signal = KICK,
	};

	g->fd[i] = ioctl(g->vm_fd, KVM_CREATE_VCPU, (long)i);
	assert_true(g->fd[i] >= 0);
	give_x2apic(g->fd[i]);
	g->run[i] = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd[i], 0);
	assert_ptr_not_equal(g->run[i], MAP_FAILED);
	config.kvm_run = g->run[i];
	config.kvm_vcpu_fd = g->fd[i];
	assert_int_equal(vmirq_vcpu_create(g->s.vm, &config, &g->s.vcpu[i]), 0);
	assert_int_equal(vmirq_vcpu_bind_thread(g->s.vcpu[i]), 0);
	apic_enable(g->s.vcpu[i]);
	g->s.n++;
	if (i == 0)
		set_registers(g->fd[i]);
}

struct guest *guest_new(unsigned int n, uint32_t vm_flags, const uint8_t *code, size_t size)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_gsis = SOFT_GSIS,
					  .flags = vm_flags };
	struct guest *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	signal(KICK, nothing);
	signal(SIGALRM, gave_up);
	alarm(PATIENCE_S);
	g->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	g->vm_fd = ioctl(g->kvm, KVM_CREATE_VM, 0);
	assert_true(g->vm_fd >= 0);
	g->run_size = (size_t)ioctl(g->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	assert_int_equal(vmirq_kvm_prepare_vm(g->vm_fd), 0);
	ioctl(g->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	map_memory(g);
	put_handlers(g);
	guest_put(g, CODE, code, size);
	g->s.max_gsis = SOFT_GSIS;
	assert_int_equal(vmirq_vm_create(&config, &g->s.vm), 0);
	for (unsigned int i = 0; i < n; i++)
		add_vcpu(g, i);
	return g;
}

void guest_free(struct guest *g)
{
	soft_check(&g->s);
	for (unsigned int i = 0; i < g->s.n; i++) {
		assert_int_equal(vmirq_vcpu_unbind_thread(g->s.vcpu[i]), 0);
		munmap(g->run[i], g->run_size);
		close(g->fd[i]);
	}
	assert_int_equal(vmirq_vm_destroy(g->s.vm), 0);
	munmap(g->memory, (size_t)ROOM * 2);
	close(g->vm_fd);
	close(g->kvm);
	alarm(0);
	free(g);
}

static void *io_data(struct guest *g, unsigned int vcpu)
{
	return (uint8_t *)g->run[vcpu] + g->run[vcpu]->io.data_offset;
}

static void *run_to_io(struct guest *g, unsigned int vcpu, uint8_t port, uint8_t direction)
{
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[vcpu]), 0);
	assert_int_equal(g->run[vcpu]->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g->run[vcpu]->io.port, port);
	assert_int_equal(g->run[vcpu]->io.direction, direction);
	assert_int_equal(g->run[vcpu]->io.count, 1);
	return io_data(g, vcpu);
}

uint32_t guest_out(struct guest *g, unsigned int vcpu, uint8_t port)
{
	const void *data = run_to_io(g, vcpu, port, KVM_EXIT_IO_OUT);
	uint32_t value = 0;

	memcpy(&value, data, g->run[vcpu]->io.size);
	return value;
}

uint8_t *guest_in(struct guest *g, unsigned int vcpu, uint8_t port)
{
	return run_to_io(g, vcpu, port, KVM_EXIT_IO_IN);
}

uint8_t *guest_read(struct guest *g, unsigned int vcpu, uint64_t gpa)
{
	struct kvm_run *run = g->run[vcpu];

	assert_int_equal(vmirq_kvm_run(g->s.vcpu[vcpu]), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(run->mmio.phys_addr, gpa);
	assert_false(run->mmio.is_write);
	return run->mmio.data;
}

struct kvm_regs guest_regs(struct guest *g, unsigned int vcpu)
{
	struct kvm_regs regs;

	assert_int_equal(ioctl(g->fd[vcpu], KVM_GET_REGS, &regs), 0);
	return regs;
}

void guest_msi(struct guest *g, uint8_t vector)
{
	send(&g->s, msi_to(0, vector), VMIRQ_DELIVERED);
}
