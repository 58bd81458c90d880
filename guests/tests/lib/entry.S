/* SPDX-License-Identifier: MIT */
/*
 * From multiboot's 32-bit protected mode, and from a SIPI's real mode, to C in 64-bit mode.
 */
#include "layout.h"

#define MAGIC	0x1badb002
#define FLAGS	0

#define CR0_PE	0x1
#define CR0_PG	0x80000000
#define CR4_PAE 0x20
#define EFER	0xc0000080
#define LME	0x100

#define PRESENT_WRITE	    0x3
#define PRESENT_WRITE_LARGE 0x83

	.section .text.start, "ax"
	.code32
	.balign	4
	.long	MAGIC, FLAGS, -(MAGIC + FLAGS)
	.ascii	"\0vmirq test guest\0" /* `vmirq boot` looks for it */

	.globl	_start
_start:
	cli
	cld
	movl	%ebx, boot_information
	lgdt	gdt_register
	ljmp	$CODE32_SELECTOR, $1f
1:
	xorl	%esi, %esi
	jmp	to_long_mode

/* Where application processors come, in protected mode. */
ap_start:
	cld
	movl	$1, %eax
	cpuid
	shrl	$24, %ebx
	movl	%ebx, %esi

/* esi = the CPU's number, which is its initial APIC id. */
to_long_mode:
	movw	$DATA_SELECTOR, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$EFER, %ecx
	rdmsr
	orl	$LME, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PG | CR0_PE, %eax
	movl	%eax, %cr0
	ljmp	$CODE64_SELECTOR, $1f

	.code64
1:
	movl	%esi, %edi
	leal	1(%rsi), %eax
	shll	$STACK_SHIFT, %eax
	leaq	stacks(%rax), %rsp
	xorl	%ebp, %ebp
	call	cpu_main
	ud2

	/* Copied to TRAMPOLINE, a page below 1 MiB, whose number a SIPI carries. */
	.text
	.code16
	.globl	trampoline
	.globl	trampoline_end
trampoline:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	trampoline_gdt - trampoline
	movl	%cr0, %eax
	orl	$CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	$CODE32_SELECTOR, $ap_start
	.balign	8
trampoline_gdt:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.data
	.balign	16
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* CODE64_SELECTOR */
	.quad	0x00cf93000000ffff	/* DATA_SELECTOR */
	.quad	0x00cf9b000000ffff	/* CODE32_SELECTOR */
gdt_end:
gdt_register:
	.word	gdt_end - gdt - 1
	.long	gdt

	/* The first 4 GiB, one to one, in pages of 2 MiB. */
	.balign	4096
pml4:
	.quad	pdpt + PRESENT_WRITE
	.fill	511, 8, 0
pdpt:
	.set	table, 0
	.rept	4
	.quad	directories + table * 4096 + PRESENT_WRITE
	.set	table, table + 1
	.endr
	.fill	508, 8, 0
directories:
	.set	page, 0
	.rept	4 * 512
	.quad	(page << 21) + PRESENT_WRITE_LARGE
	.set	page, page + 1
	.endr

	.bss
	.balign	4096
stacks:
	.skip	CPUS_MAX << STACK_SHIFT

	.section .note.GNU-stack, "", @progbits
