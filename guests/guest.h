/* SPDX-License-Identifier: MIT */
/* What the guest's files know of each other. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest_page.h"

#define GUEST_PAGE    ((struct guest_page *)GUEST_PAGE_GPA)

#define MSR_APIC_BASE 0x1b
#define MSR_GS_BASE   0xc0000101

/* What an exception's stub and the CPU leave on the stack. */
struct exception_frame {
	uint64_t vector;
	uint64_t error_code;
	uint64_t rip;
	uint64_t cs;
	uint64_t rflags;
	uint64_t rsp;
	uint64_t ss;
};

/* idt.c: CPU 0 builds the table that all of them load. */
void idt_build(const struct guest_page *page);
void idt_load(void);

/* lapic.c: select by CPU 0, before the others enable theirs. */
void lapic_select(bool x2apic);
void lapic_enable(void);
void lapic_send_ipi(uint32_t apic_id, uint32_t vector);

/* level.c: by CPU 0. */
void level_open_pins(const struct guest_page *page);

/* device.c: the part of a handler that not every vector has. */
bool device_has_part(const struct guest_page *page, uint32_t vector);
void device_handle(uint64_t vector);

/* disk.c. False: no disk of this CPU had an interrupt since the last look. Else one was driven, and
 * interrupts are on. */
bool disks_drive(uint64_t cpu, struct guest_page *page);

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (uint64_t)high << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

#endif
