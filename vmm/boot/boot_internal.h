/* SPDX-License-Identifier: MIT */
/* What the boot machine's files know of each other. */
#ifndef BOOT_INTERNAL_H
#define BOOT_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot.h"
#include "pc/multiboot.h"
#include "vmm_internal.h"

struct vmirq_vcpu;
struct pc;

#define BOOT_KICK_SIGNAL SIGUSR1
#define BOOT_WHY_SIZE	 160

struct boot_vcpu {
	struct boot *boot;
	uint32_t index; /* and its APIC id */
	int fd;
	struct kvm_run *run;
	struct vmirq_vcpu *vcpu;
	pthread_t thread;
	bool has_thread;
};

struct boot {
	struct boot_config config;
	struct vmm_memory memory;
	struct multiboot_entry entry;
	struct pc *pc;
	int kvm_fd;
	int vm_fd;
	int run_size;

	struct vmirq_vm *vm;
	uint32_t source[2]; /* of lines, by who */
	bool pump_runs;

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

/* chips.c. What returns int returns 0 or -errno. The VM exists and has no vCPU yet; sets *why. */
int boot_chips_open(struct boot *boot, const char **why);
int boot_chips_vcpu_open(struct boot_vcpu *v);
/* With all vCPUs there: starts what runs beside them. */
int boot_chips_start(struct boot *boot);
/* Returns once no vCPU's thread runs the guest. */
void boot_chips_stop(struct boot *boot);
/* `who`: 0 = pc-testdev, 1 = the serial port. Any vCPU's thread. */
void boot_line(struct boot *boot, uint32_t who, uint32_t gsi, bool level);
/* What else there is to say of a vCPU. */
void boot_chips_report(struct boot_vcpu *v, FILE *to);
void boot_chips_close(struct boot *boot);

/* exit.c: an exit that is the VMM's. False: the vCPU cannot go on. */
bool boot_exit(struct boot_vcpu *v);

#endif
