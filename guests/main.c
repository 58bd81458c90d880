// SPDX-License-Identifier: MIT
/*
 * A guest that counts its interrupts: sets up each CPU and waits, in HLT or spinning.
 */
#include "guest.h"

void guest_main(uint64_t cpu, struct guest_page *page);
_Noreturn void guest_panic(const struct exception_frame *frame);

/* CPU 0 has made what all CPUs use. */
static _Atomic uint32_t tables_ready;

static _Noreturn void wait_for_interrupts(uint64_t cpu, struct guest_page *page, bool busy)
{
	if (busy) {
		__asm__ volatile("sti");
		for (;;) {
			if (atomic_load_explicit(&page->has_disk[cpu], memory_order_relaxed))
				disks_drive(cpu, page);
			__asm__ volatile("pause" : : : "memory");
		}
	}
	for (;;) {
		/* Off, so that none comes between the look and the HLT. */
		__asm__ volatile("cli" : : : "memory");
		if (!atomic_load_explicit(&page->has_disk[cpu], memory_order_relaxed) ||
		    !disks_drive(cpu, page))
			__asm__ volatile("sti; hlt" : : : "memory");
	}
}

void guest_main(uint64_t cpu, struct guest_page *page)
{
	/* The row of counters is also how a handler knows its CPU. */
	wrmsr(MSR_GS_BASE, (uint64_t)page->handled[cpu]);
	if (cpu == 0) {
		idt_build(page);
		lapic_select(page->flags & GUEST_X2APIC);
		/* release: pairs with the acquire of the other CPUs below */
		atomic_store_explicit(&tables_ready, 1, memory_order_release);
	}
	while (!atomic_load_explicit(&tables_ready, memory_order_acquire))
		__asm__ volatile("pause");
	idt_load();
	if (page->magic != GUEST_PAGE_MAGIC || cpu >= page->cpus)
		__builtin_trap(); /* a VMM of another make: reported as an exception */
	lapic_enable();
	if (cpu == 0)
		level_open_pins(page);
	/* release: pairs with the acquire in the VMM's wait for this CPU */
	atomic_store_explicit(&page->ready[cpu], 1, memory_order_release);
	wait_for_interrupts(cpu, page, page->flags & GUEST_BUSY);
}

_Noreturn void guest_panic(const struct exception_frame *frame)
{
	uint64_t row = rdmsr(MSR_GS_BASE) - (uint64_t)GUEST_PAGE->handled;
	struct guest_panic *panic =
		&GUEST_PAGE->panic[row / sizeof(GUEST_PAGE->handled[0]) % GUEST_MAX_CPUS];
	uint64_t address;

	__asm__ volatile("movq %%cr2, %0" : "=r"(address));
	atomic_store_explicit(&panic->vector, frame->vector, memory_order_relaxed);
	atomic_store_explicit(&panic->error_code, frame->error_code, memory_order_relaxed);
	atomic_store_explicit(&panic->rip, frame->rip, memory_order_relaxed);
	atomic_store_explicit(&panic->address, address, memory_order_relaxed);
	/* release: pairs with the acquire where the VMM handles the port */
	atomic_store_explicit(&panic->valid, 1, memory_order_release);
	for (;;)
		outb(GUEST_PORT_PANIC, (uint8_t)frame->vector);
}
