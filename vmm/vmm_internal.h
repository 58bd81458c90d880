/* SPDX-License-Identifier: MIT */
/* What the VMM's files know of each other. */
#ifndef VMM_INTERNAL_H
#define VMM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#include "guest_page.h"
#include "vmm.h"

struct kvm_run;

struct vmm_vcpu {
	struct vmm *vmm;
	struct vmirq_vcpu *vcpu;
	uint32_t index;
	pthread_t thread;
	bool has_thread; /* created and not joined; the thread of vmm_start() and vmm_stop() only */

	/* threads back end: set by the kick callback, cleared by the vCPU before each step. */
	atomic_bool kicked;

	/* KVM back end. */
	int fd;
	struct kvm_run *run;
};

struct vmm_handler {
	void (*fn)(void *opaque, uint32_t vcpu);
	void *opaque;
};

struct vmm_mmio {
	uint64_t gpa;
	uint64_t size;
	vmm_mmio_fn *fn;
	void *opaque;
};

#define VMM_MMIO_MAX 32

struct vmm_memory {
	int fd;
	size_t size;
	uint8_t *base;
};

/* A CPU back end. Functions that return int return 0 or -errno, with *why set. */
struct vmm_cpu_ops {
	int (*open)(struct vmm *vmm, const char **why);
	int (*vcpu_open)(struct vmm_vcpu *v, const char **why);
	/* The body of the vCPU's thread, bound to it: until -ECANCELED or vmm_fail(). */
	void (*vcpu_run)(struct vmm_vcpu *v);
	void (*vcpu_close)(struct vmm_vcpu *v);
	void (*close)(struct vmm *vmm);
};

#define VMM_WHY_SIZE	160
#define VMM_SERIAL_LINE 256

struct vmm {
	struct vmm_config config;
	const struct vmm_cpu_ops *ops;
	struct vmirq_vm *vm;
	struct vmm_memory memory;
	struct guest_page *page;
	struct vmm_handler handlers[256];
	/* The first `mmios` are there; stored last. */
	struct vmm_mmio mmio[VMM_MMIO_MAX];
	_Atomic uint32_t mmios;
	bool started;
	bool pump_running;

	/* KVM back end. */
	int kvm_fd;
	int vm_fd;
	int run_size;

	/* Text of the guest's serial port up to the next end of line, under its lock. */
	pthread_mutex_t serial_lock;
	char serial[VMM_SERIAL_LINE];
	size_t serial_length;

	/* The first failure: `why` is written once, under the lock, before `failed` is set. */
	pthread_mutex_t fail_lock;
	atomic_int failed;
	char why[VMM_WHY_SIZE];
	char start_why[VMM_WHY_SIZE]; /* of vmm_start()'s time-out */

	struct vmm_vcpu vcpus[GUEST_MAX_CPUS];
};

extern const struct vmm_cpu_ops vmm_cpu_kvm;
extern const struct vmm_cpu_ops vmm_cpu_threads;

/* memory.c */
int vmm_memory_open(struct vmm_memory *memory, size_t size);
void vmm_memory_close(struct vmm_memory *memory);

/* boot.c: what a guest finds in its memory, and in its registers. */
int vmm_load_guest(struct vmm *vmm, const char **why);
void vmm_write_guest_page(struct vmm *vmm);
int vmm_set_boot_registers(struct vmm_vcpu *v);

/* kvm_exit.c: the exits of vmirq_kvm_run() that are the VMM's. False: the vCPU has failed. */
bool vmm_kvm_exit(struct vmm_vcpu *v);

/* fail.c: the first call is what vmm_failed() reports; any vCPU's thread. */
void vmm_fail(struct vmm *vmm, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
