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

/* Where our devices' registers are, in the local APIC's 2 MiB page: disk n's doorbell is a 32-bit
 * register, or a port. */
#define GUEST_DOORBELL_GPA  0xfef00000
#define GUEST_DOORBELL_PORT 0xd000
#define GUEST_DOORBELL_SIZE 4

/* Network card n's registers, as much of them as the guest needs. */
#define GUEST_CARD_GPA	  0xfef10000
#define GUEST_CARD_SIZE	  0x1000

#define GUEST_IOAPIC_PINS 24

/* Disks the guest drives itself, and how many requests each has outstanding at most: three descriptors
 * each, the n-th at 3 * n. */
#define GUEST_DISKS_MAX	    32
#define GUEST_DISK_REQUESTS 16
#define GUEST_DISK_SECTOR   512

/* guest_disk.flags */
#define GUEST_DISK_PORT (1u << 0) /* the doorbell is a port */

/* guest_disk.error */
#define GUEST_DISK_OK	  0
#define GUEST_DISK_RING	  1 /* the used ring names what is not outstanding */
#define GUEST_DISK_STATUS 2
#define GUEST_DISK_LENGTH 3
#define GUEST_DISK_DATA	  4

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

/*
 * A virtio disk (virtio 1.2, 5.2) that the guest reads all over, checking what it gets. Its first CPU
 * interrupt sets it going. From then on the guest looks for completions only after its handler has run.
 */
struct guest_disk {
	/* Written by the VMM before `cpu` is told of it. */
	uint32_t cpu;
	uint32_t vector;
	uint32_t flags;
	uint32_t window; /* requests outstanding at most */
	uint64_t doorbell;
	uint64_t desc; /* the rings, by guest physical address */
	uint64_t avail;
	uint64_t used;
	uint32_t ring_size;
	uint32_t sectors;	/* of a request */
	uint64_t capacity;	/* sectors of the disk */
	uint64_t slots;		/* a guest_disk_slot for each request outstanding */
	uint64_t data;		/* and its data */
	_Atomic uint64_t count; /* requests to do; less ends it early */

	/* Written by the guest. */
	_Atomic uint64_t submitted;
	_Atomic uint64_t completed; /* and good */
	_Atomic uint64_t idle;	    /* times the handler had run, but nothing was there */
	_Atomic uint64_t bad_sector;
	_Atomic uint32_t error; /* stored last: the disk is left alone from then on */

	/* The guest's own. */
	uint32_t free_slots; /* bits */
	uint64_t seen;	     /* how often the handler had run */
	uint16_t avail_index;
	uint16_t used_index;
	uint64_t sector[GUEST_DISK_REQUESTS];
};

/* A request's header (5.2.6), and its status byte. 64 bytes. */
struct guest_disk_slot {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
	uint8_t status;
	uint8_t padding[47];
};

/* The disk's content: each word of a sector tells which sector it is. */
static inline uint64_t guest_disk_word(uint64_t sector)
{
	return (sector + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* A vector of a level-triggered source: before it counts and ends the interrupt, its handler reads the
 * register that says why, and thereby clears it. */
struct guest_level {
	/* Written by the VMM before the first CPU starts. */
	uint64_t cause; /* a 32-bit register, 0 = not such a vector */
	uint64_t mask;	/* its bits that count */
	/* Written by the one CPU that has the vector: how often there was a cause, and how often none. */
	_Atomic uint64_t found;
	_Atomic uint64_t idle;
};

/* A vector of a ring of IPIs: before it counts and ends the interrupt, its handler sends the next one. */
struct guest_ipi {
	/* Written by the VMM before the first CPU starts. */
	uint32_t vector;	/* of the next, 0 = not such a vector */
	uint32_t cpu;		/* its APIC id */
	_Atomic uint64_t limit; /* to be sent at most; less ends it early */
	/* Written by the one CPU that has the vector. */
	_Atomic uint64_t sent;
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
	/* What CPU 0 writes to the IOAPIC's redirection entries, 0 = it leaves this one; written by the
	 * VMM before the first CPU starts. */
	uint64_t rte[GUEST_IOAPIC_PINS];
	struct guest_level level[256];
	struct guest_ipi ipi[256];
	/* How many disks there are, and for each CPU whether it has one; written by the VMM. */
	_Atomic uint32_t disks;
	_Atomic uint32_t has_disk[GUEST_MAX_CPUS];
	struct guest_disk disk[GUEST_DISKS_MAX];
	/* How often the handler of a vector has run, counted before its EOI. Each row is written by
	 * its own CPU only. */
	_Alignas(4096) _Atomic uint64_t handled[GUEST_MAX_CPUS][256];
};

_Static_assert(GUEST_PAGE_GPA + sizeof(struct guest_page) <= GUEST_STACKS_GPA, "overlap");
_Static_assert(GUEST_STACKS_GPA + GUEST_MAX_CPUS * GUEST_STACK_SIZE <= GUEST_DEVICE_GPA, "overlap");
#endif
#endif
