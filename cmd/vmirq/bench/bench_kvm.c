// SPDX-License-Identifier: MIT
#include "bench_kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_soft.h"

#define SVR	    0xf0
#define SVR_ENABLE  0x1ff
#define IRR	    0x200
#define MEMORY_SIZE 0x10000
#define CODE	    0x1000
#define HANDLER	    0x2000
#define STACK	    0x8000
#define TSS_ADDRESS 0xfffbd000ul

static int fail(struct bench_kvm *k, const char *what)
{
	int error = errno ? errno : EIO;

	snprintf(k->why, sizeof(k->why), "%s: %s", what, strerror(error));
	return -error;
}

int bench_kvm_open_bare(struct bench_kvm *k)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY_SIZE };
	int size;

	*k = (struct bench_kvm){ .vm = -1, .vcpu = { -1, -1 }, .memory = MAP_FAILED };
	k->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (k->kvm < 0)
		return fail(k, "no /dev/kvm");
	k->vm = ioctl(k->kvm, KVM_CREATE_VM, 0);
	if (k->vm < 0)
		return fail(k, "KVM_CREATE_VM");
	ioctl(k->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS);
	size = ioctl(k->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < 0)
		return fail(k, "KVM_GET_VCPU_MMAP_SIZE");
	k->run_size = (size_t)size;
	k->memory =
		mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (k->memory == MAP_FAILED)
		return fail(k, "memory");
	region.userspace_addr = (uintptr_t)k->memory;
	if (ioctl(k->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return fail(k, "KVM_SET_USER_MEMORY_REGION");
	return 0;
}

int bench_kvm_add_vcpus(struct bench_kvm *k, uint32_t vcpus)
{
	const struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };

	for (uint32_t i = 0; i < vcpus; i++) {
		uint32_t svr = SVR_ENABLE;
		void *run;

		k->vcpu[i] = ioctl(k->vm, KVM_CREATE_VCPU, (unsigned long)i);
		if (k->vcpu[i] < 0)
			return fail(k, "KVM_CREATE_VCPU");
		k->vcpus = i + 1;
		run = mmap(NULL, k->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, k->vcpu[i], 0);
		if (run == MAP_FAILED)
			return fail(k, "kvm_run");
		k->run[i] = run;
		if (ioctl(k->vcpu[i], KVM_SET_MP_STATE, &runnable) < 0 ||
		    ioctl(k->vcpu[i], KVM_GET_LAPIC, &k->clean[i]) < 0)
			return fail(k, "KVM_GET_LAPIC");
		memcpy(k->clean[i].regs + SVR, &svr, sizeof(svr));
		bench_kvm_clean(k, i);
	}
	return 0;
}

int bench_kvm_open(struct bench_kvm *k, uint32_t vcpus)
{
	int ret = bench_kvm_open_bare(k);

	if (!ret && ioctl(k->vm, KVM_CREATE_IRQCHIP, 0) < 0)
		ret = fail(k, "KVM_CREATE_IRQCHIP");
	if (!ret)
		ret = bench_kvm_add_vcpus(k, vcpus);
	if (ret) {
		char why[sizeof(k->why)];

		memcpy(why, k->why, sizeof(why));
		bench_kvm_close(k);
		memcpy(k->why, why, sizeof(why));
	}
	return ret;
}

void bench_kvm_close(struct bench_kvm *k)
{
	for (uint32_t i = 0; i < k->eventfds; i++)
		close(k->eventfd[i]);
	for (uint32_t i = 0; i < k->vcpus; i++) {
		if (k->run[i])
			munmap(k->run[i], k->run_size);
		close(k->vcpu[i]);
	}
	if (k->vm >= 0)
		close(k->vm);
	if (k->kvm >= 0)
		close(k->kvm);
	if (k->memory != MAP_FAILED)
		munmap(k->memory, MEMORY_SIZE);
	free(k->eventfd);
	free(k->table);
	*k = (struct bench_kvm){ .kvm = -1, .vm = -1, .vcpu = { -1, -1 }, .memory = MAP_FAILED };
}

int bench_kvm_set_routes(struct bench_kvm *k, uint32_t n)
{
	if (!k->table)
		k->table = calloc(1, sizeof(*k->table) + n * sizeof(k->table->entries[0]));
	if (!k->table)
		return -ENOMEM;
	k->table->nr = n;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t address = bench_msi_address(i / BENCH_VECTORS % BENCH_KVM_VCPUS);

		k->table->entries[i] = (struct kvm_irq_routing_entry){
			.gsi = i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi.address_lo = (uint32_t)address,
			.u.msi.address_hi = (uint32_t)(address >> 32),
			.u.msi.data = bench_vector(i),
		};
	}
	return ioctl(k->vm, KVM_SET_GSI_ROUTING, k->table) < 0 ? fail(k, "KVM_SET_GSI_ROUTING") : 0;
}

int bench_kvm_irqfd(struct bench_kvm *k, uint32_t gsi, int eventfd, int resamplefd, uint32_t flags)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd,
		.gsi = gsi,
		.flags = flags,
		.resamplefd = (uint32_t)resamplefd,
	};

	return ioctl(k->vm, KVM_IRQFD, &irqfd) < 0 ? fail(k, "KVM_IRQFD") : 0;
}

int bench_kvm_add_irqfds(struct bench_kvm *k, uint32_t n)
{
	int ret = bench_kvm_set_routes(k, n);

	k->eventfd = calloc(n, sizeof(int));
	if (!k->eventfd)
		return -ENOMEM;
	for (uint32_t i = 0; i < n && !ret; i++) {
		int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

		if (fd < 0)
			return fail(k, "eventfd");
		k->eventfd[k->eventfds++] = fd;
		ret = bench_kvm_irqfd(k, i, fd, 0, 0);
	}
	return ret;
}

void bench_kvm_clean(struct bench_kvm *k, uint32_t vcpu)
{
	if (ioctl(k->vcpu[vcpu], KVM_SET_LAPIC, &k->clean[vcpu]) < 0)
		k->failed++;
}

static uint32_t irr_word(const struct kvm_lapic_state *state, uint32_t n)
{
	uint32_t word;

	memcpy(&word, state->regs + IRR + n * 0x10, sizeof(word));
	return word;
}

bool bench_kvm_pending(struct bench_kvm *k, uint32_t vcpu, uint32_t vector)
{
	struct kvm_lapic_state state;

	if (ioctl(k->vcpu[vcpu], KVM_GET_LAPIC, &state) < 0)
		return false;
	return irr_word(&state, vector / 32) >> vector % 32 & 1;
}

uint32_t bench_kvm_pending_count(struct bench_kvm *k, uint32_t vcpu)
{
	struct kvm_lapic_state state;
	uint32_t n = 0;

	if (ioctl(k->vcpu[vcpu], KVM_GET_LAPIC, &state) < 0)
		return 0;
	for (uint32_t i = 0; i < 8; i++)
		n += (uint32_t)__builtin_popcount(irr_word(&state, i));
	return n;
}

int bench_kvm_load(struct bench_kvm *k, const uint8_t *code, size_t size, const uint8_t *handler,
		   size_t handler_size)
{
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };
	uint16_t *vectors = k->memory;
	struct kvm_sregs sregs;

	memcpy((uint8_t *)k->memory + CODE, code, size);
	memcpy((uint8_t *)k->memory + HANDLER, handler, handler_size);
	for (uint32_t i = 0; i < 256; i++) {
		vectors[2 * i] = HANDLER;
		vectors[2 * i + 1] = 0;
	}
	if (ioctl(k->vcpu[0], KVM_GET_SREGS, &sregs) < 0)
		return fail(k, "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	sregs.ds.base = 0xfee00000; /* an unreal segment: [0xb0] is EOI */
	sregs.ds.limit = 0xffff;
	if (ioctl(k->vcpu[0], KVM_SET_SREGS, &sregs) < 0 ||
	    ioctl(k->vcpu[0], KVM_SET_REGS, &regs) < 0)
		return fail(k, "KVM_SET_SREGS");
	return 0;
}
