/* SPDX-License-Identifier: MIT */
/**
 * @file guest_page.h
 * What our guest and the VMM agree on: the map of guest memory and the page they share.
 *
 * Freestanding: the guest, its assembly, the VMM and the C handlers of the threads back end
 * include it. All of it lies below GUEST_DEVICE_GPA; what is above belongs to devices.
 *
 * How a CPU starts: 64-bit mode, identity map of the first GiB and of the local APIC's 2 MiB page,
 * code segment GUEST_CODE_SELECTOR, interrupts off, rdi = CPU index, rsi = GUEST_PAGE_GPA,
 * rsp = top of its stack, rip = GUEST_IMAGE_GPA.
 */
#ifndef GUEST_PAGE_H
#define GUEST_PAGE_H

#define GUEST_MAX_CPUS	    64

#define GUEST_GDT_GPA	    0x008000
#define GUEST_TABLES_GPA    0x009000 /* four pages: PML4, PDPT, PD of GiB 0, PD of GiB 3 */
#define GUEST_IMAGE_GPA	    0x100000
#define GUEST_PAGE_GPA	    0x200000
#define GUEST_STACKS_GPA    0x300000
#define GUEST_STACK_SIZE    0x004000 /* times GUEST_MAX_CPUS ends at GUEST_DEVICE_GPA */
#define GUEST_DEVICE_GPA    0x400000

#define GUEST_CODE_SELECTOR 0x08
#define GUEST_DATA_SELECTOR 0x10

/* The first vector that is not an exception (SDM vol. 3A 6.2), and the one in the SVR: counted,
 * but without EOI, so no device may use it. */
#define GUEST_FIRST_VECTOR    32
#define GUEST_SPURIOUS_VECTOR 255

/* A write to this port, a byte of any value: this CPU cannot go on, see its guest_panic. */
#define GUEST_PORT_PANIC 0xf4
/* Text for people: a 16550's transmit register. */
#define GUEST_PORT_SERIAL 0x3f8

/* guest_page.flags */
#define GUEST_BUSY	 (1u << 0) /* spin in place of HLT */
#define GUEST_X2APIC	 (1u << 1) /* switch the local APICs to x2APIC mode */

#define GUEST_PAGE_MAGIC 0x71726d76 /* "vmrq" */

#ifndef __ASSEMBLER__
#include <stdatomic.h>
#include <stdint.h>

/* Written by its CPU before the write to GUEST_PORT_PANIC. */
struct guest_panic {
	_Atomic uint64_t vector; /* of the exception */
	_Atomic uint64_t error_code;
	_Atomic uint64_t rip;
	_Atomic uint64_t address; /* CR2 */
	_Atomic uint64_t valid;	  /* stored last: the rest is there */
};

struct guest_page {
	/* Written by the VMM before the first CPU starts. */
	uint32_t magic;
	uint32_t cpus;
	uint32_t flags;
	uint32_t reserved;
	/* 1 once the CPU's local APIC is set up and it is about to wait for interrupts. */
	_Atomic uint32_t ready[GUEST_MAX_CPUS];
	struct guest_panic panic[GUEST_MAX_CPUS];
	/* How often the handler of a vector has run, counted before its EOI. Each row is written by
	 * its own CPU only. */
	_Alignas(4096) _Atomic uint64_t handled[GUEST_MAX_CPUS][256];
};

_Static_assert(GUEST_PAGE_GPA + sizeof(struct guest_page) <= GUEST_STACKS_GPA, "overlap");
_Static_assert(GUEST_STACKS_GPA + GUEST_MAX_CPUS * GUEST_STACK_SIZE <= GUEST_DEVICE_GPA, "overlap");
#endif
#endif
