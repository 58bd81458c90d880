// SPDX-License-Identifier: MIT
/* The interrupt descriptor table (SDM vol. 3A 6.14.1), one for all CPUs. */
#include "guest.h"

#define STUB_SIZE      16

#define GATE_PRESENT   0x80
#define GATE_INTERRUPT 0x0e /* clears RFLAGS.IF: handlers do not nest */

struct gate {
	uint16_t offset_15_0;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_31_16;
	uint32_t offset_63_32;
	uint32_t reserved;
};

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

extern const char vector_stubs[], device_stubs[];

static _Alignas(16) struct gate idt[256];

static void set_gate(uint32_t vector, uint64_t handler)
{
	idt[vector] = (struct gate){
		.offset_15_0 = (uint16_t)handler,
		.selector = GUEST_CODE_SELECTOR,
		.type = GATE_PRESENT | GATE_INTERRUPT,
		.offset_31_16 = (uint16_t)(handler >> 16),
		.offset_63_32 = (uint32_t)(handler >> 32),
	};
}

void idt_build(const struct guest_page *page)
{
	for (uint32_t vector = 0; vector < 256; vector++)
		set_gate(vector, (uint64_t)vector_stubs + (uint64_t)vector * STUB_SIZE);
	for (uint32_t vector = GUEST_FIRST_VECTOR; vector < GUEST_SPURIOUS_VECTOR; vector++) {
		if (device_has_part(page, vector))
			set_gate(vector,
				 (uint64_t)device_stubs +
					 (uint64_t)(vector - GUEST_FIRST_VECTOR) * STUB_SIZE);
	}
}

void idt_load(void)
{
	const struct table_register idtr = {
		.limit = sizeof(idt) - 1,
		.base = (uint64_t)idt,
	};

	__asm__ volatile("lidt %0" : : "m"(idtr), "m"(idt));
}
