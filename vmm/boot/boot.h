/* SPDX-License-Identifier: MIT */
/**
 * @file boot.h
 * The machine of `vmirq boot`: QEMU's `-machine pc` with pc-testdev and isa-debug-exit, as far as
 * a multiboot image of a test needs it. Devices are vmm/pc's, the interrupt controller is
 * libvmirq's or the kernel's.
 */
#ifndef BOOT_H
#define BOOT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <vmirq/vm.h>

struct boot;

#define BOOT_VCPUS_MAX 64

struct boot_config {
	enum vmirq_irqchip irqchip;
	uint32_t vcpus;	   /* 1..BOOT_VCPUS_MAX */
	size_t memory;	   /* bytes; see multiboot.h */
	int output;	   /* of the serial port */
	const void *image; /* the file */
	size_t image_size;
	const char *cmdline;
};

/* How a run ended. */
enum boot_end {
	/* The guest wrote to isa-debug-exit; *status is QEMU's exit status, (value << 1) | 1. */
	BOOT_EXITED,
	/* The time was over first. */
	BOOT_HUNG,
	/* A vCPU cannot go on: triple fault, an exit nobody handles. */
	BOOT_DIED,
};

/* 0 or -errno with *why, a line for the user that is static or the boot's.
 * -ENODEV: this machine lacks what it takes. Of the image: as multiboot_load(). */
int boot_create(const struct boot_config *config, struct boot **out, const char **why);

/* Runs it once, at most so many seconds. When it returns no vCPU runs any more; that may take
 * for ever where nobody reads the serial port's output. 0, or -errno with *why: it did not
 * start. */
int boot_run(struct boot *boot, uint32_t seconds, enum boot_end *end, int *status,
	     const char **why);

/* After a run that did not end well: why it died, where each vCPU is, what is pending on it. */
void boot_report(struct boot *boot, FILE *to);

void boot_destroy(struct boot *boot);

#endif
