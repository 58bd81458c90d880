/* SPDX-License-Identifier: MIT */
/* What the boot machine's files know of each other. */
#ifndef BOOT_INTERNAL_H
#define BOOT_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot.h"
#include "pc/multiboot.h"
#include "vmm_internal.h"

struct vmirq_vm;
struct vmirq_vcpu;
struct pc;

#define BOOT_KICK_SIGNAL SIGUSR1
#define BOOT_WHY_SIZE	 160

struct boot_vcpu {
	struct boot *boot;
	uint32_t index; /* and its APIC id */
	int fd;
	struct kvm_run *run;
	struct vmirq_vcpu *vcpu; /* soft only */
	pthread_t thread;
	bool has_thread;
	atomic_bool done; /* the thread runs no guest any more */
};

/* The interrupt controllers. What returns int returns 0 or -errno. */
struct boot_chips {
	/* The VM exists and has no vCPU yet; sets *why. */
	int (*open)(struct boot *boot, const char **why);
	int (*vcpu_open)(struct boot_vcpu *v);
	/* With all vCPUs there: starts what runs beside them. */
	int (*start)(struct boot *boot);
	/* What stops vCPU threads; returns once none runs the guest. */
	void (*stop)(struct boot *boot);
	/* On the vCPU's thread, around its runs. */
	int (*bind)(struct boot_vcpu *v);
	void (*unbind)(struct boot_vcpu *v);
	/* Until an exit that is the VMM's. -EINTR: again; -ECANCELED: stopped. */
	int (*run)(struct boot_vcpu *v);
	/* `who`: 0 = pc-testdev, 1 = the serial port. Any vCPU's thread. */
	void (*line)(struct boot *boot, uint32_t who, uint32_t gsi, bool level);
	/* The KVM calls of these names; vCPUs' while they do not run. */
	int (*get_irqchip)(struct boot *boot, struct kvm_irqchip *state);
	int (*set_irqchip)(struct boot *boot, const struct kvm_irqchip *state);
	int (*get_pit)(struct boot *boot, struct kvm_pit_state2 *state);
	int (*set_pit)(struct boot *boot, const struct kvm_pit_state2 *state);
	int (*get_lapic)(struct boot_vcpu *v, struct kvm_lapic_state *state);
	int (*set_lapic)(struct boot_vcpu *v, const struct kvm_lapic_state *state);
	int (*get_mp_state)(struct boot_vcpu *v, struct kvm_mp_state *state);
	/* What the report says more of a vCPU, or NULL. */
	void (*report)(struct boot_vcpu *v, FILE *to);
	void (*close)(struct boot *boot);
};

extern const struct boot_chips boot_chips_soft;
extern const struct boot_chips boot_chips_kvm;

struct boot {
	struct boot_config config;
	const struct boot_chips *chips;
	struct vmm_memory memory;
	struct multiboot_entry entry;
	struct pc *pc;
	int kvm_fd;
	int vm_fd;
	int run_size;

	/* soft */
	struct vmirq_vm *vm;
	uint32_t source[2]; /* of lines, by who */
	bool pump_runs;

	/* kernel */
	atomic_bool stopping;

	/* The first end of the run, under its lock. */
	pthread_mutex_t end_lock;
	pthread_cond_t ended_cond;
	bool ended;
	enum boot_end end;
	int status;
	char why[BOOT_WHY_SIZE];

	struct boot_vcpu vcpus[BOOT_VCPUS_MAX];
};

/* machine.c */
void boot_end_with(struct boot *boot, enum boot_end end, int status, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* cpu.c: what a CPU says of itself, and how the first one starts (Multiboot 0.6.96, 3.2). */
int boot_set_cpuid(struct boot_vcpu *v);
int boot_set_entry(struct boot_vcpu *v);

/* firmware.c: chips as a PC's firmware leaves them. */
int boot_firmware(struct boot *boot);

/* exit.c: an exit that is the VMM's. False: the vCPU cannot go on. */
bool boot_exit(struct boot_vcpu *v);

#endif
