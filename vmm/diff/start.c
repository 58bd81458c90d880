// SPDX-License-Identifier: MIT
/* What the puppet's CPUs find in memory and in their registers. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest_page.h"
#include "side.h"

/* SDM vol. 3A 4.5: page table entries; 2.5: control registers; 3.4.5: descriptors; 6.14.1: gates. */
#define PTE_TABLE	  0x3ull
#define PTE_LARGE	  0x83ull
#define PTE_NO_CACHE	  0x10ull
#define CR0_START	  0x80010033ull /* PG, WP, NE, ET, MP, PE */
#define CR4_PAE		  0x20ull
#define EFER_LONG	  0x500ull
#define DESCRIPTOR_CODE64 0x00af9b000000ffffull
#define DESCRIPTOR_DATA	  0x00cf93000000ffffull
#define GATE_INTERRUPT	  0x8e00ull

#define LARGE_PAGE	  (2ull << 20)
#define VECTOR_NMI	  2
#define VECTOR_GP	  13

static uint64_t *table_at(uint8_t *memory, uint64_t gpa)
{
	return (uint64_t *)(void *)(memory + gpa);
}

static void write_idt(uint8_t *memory)
{
	uint64_t *idt = table_at(memory, PUPPET_IDT_GPA);

	for (unsigned int vector = 0; vector < 256; vector++) {
		uint64_t handler = PUPPET_IMAGE_GPA + (vector == VECTOR_GP    ? PUPPET_GP
						       : vector == VECTOR_NMI ? PUPPET_NMI
									      : PUPPET_BAD);

		idt[2 * vector] = (handler & 0xffff) | (uint64_t)GUEST_CODE_SELECTOR << 16 |
				  GATE_INTERRUPT << 32 | (handler >> 16 & 0xffff) << 48;
		idt[2 * vector + 1] = handler >> 32;
	}
}

void side_write_tables(uint8_t *memory)
{
	uint64_t *gdt = table_at(memory, GUEST_GDT_GPA);
	uint64_t *tables = table_at(memory, GUEST_TABLES_GPA);

	gdt[GUEST_CODE_SELECTOR / 8] = DESCRIPTOR_CODE64;
	gdt[GUEST_DATA_SELECTOR / 8] = DESCRIPTOR_DATA;
	tables[0] = (GUEST_TABLES_GPA + 0x1000) | PTE_TABLE;
	tables[512] = (GUEST_TABLES_GPA + 0x2000) | PTE_TABLE;
	tables[512 + 3] = (GUEST_TABLES_GPA + 0x3000) | PTE_TABLE;
	/* The first GiB, and the fourth: there are the APICs, wherever the guest moves them. */
	for (uint64_t i = 0; i < 512; i++) {
		tables[1024 + i] = i * LARGE_PAGE | PTE_LARGE;
		tables[1536 + i] = (0xc0000000ull + i * LARGE_PAGE) | PTE_LARGE | PTE_NO_CACHE;
	}
	write_idt(memory);
}

static void start_segments(struct kvm_sregs *sregs)
{
	sregs->cs = (struct kvm_segment){ .limit = 0xffffffff,
					  .selector = GUEST_CODE_SELECTOR,
					  .type = 11,
					  .present = 1,
					  .s = 1,
					  .l = 1,
					  .g = 1 };
	sregs->ds = (struct kvm_segment){ .limit = 0xffffffff,
					  .selector = GUEST_DATA_SELECTOR,
					  .type = 3,
					  .present = 1,
					  .s = 1,
					  .db = 1,
					  .g = 1 };
	sregs->es = sregs->fs = sregs->gs = sregs->ss = sregs->ds;
	sregs->tr = (struct kvm_segment){ .limit = 0xffff, .type = 11, .present = 1 };
}

int side_set_registers(struct side *side, struct side_vcpu *v)
{
	uint64_t index = (uint64_t)(v - side->vcpu);
	const struct kvm_regs regs = {
		.rip = PUPPET_IMAGE_GPA,
		.rsp = PUPPET_STACKS_GPA + (index + 1) * 0x1000,
		.rsi = PUPPET_PAGES_GPA + index * 4096,
		.rflags = 2,
	};
	struct kvm_sregs sregs;

	if (ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	start_segments(&sregs);
	sregs.gdt.base = GUEST_GDT_GPA;
	sregs.gdt.limit = GUEST_DATA_SELECTOR + 7;
	sregs.idt.base = PUPPET_IDT_GPA;
	sregs.idt.limit = 256 * 16 - 1;
	sregs.cr0 = CR0_START;
	sregs.cr3 = GUEST_TABLES_GPA;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LONG;
	/* An interrupt that was injected and not taken is not to be seen twice. */
	memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
	if (ioctl(v->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(v->fd, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}
