/* SPDX-License-Identifier: MIT */
/*
 * Where CPUs start, and where interrupts and exceptions come in.
 *
 * Where /dev/kvm emulates every instruction one costs a microsecond or two, so the way of an
 * interrupt is short: no C, no registers saved that it does not use.
 */
#include "guest_page.h"

#define APIC_EOI   0xfee000b0
#define X2APIC_EOI 0x80b

	.section .text.start, "ax"
	.globl	_start
_start:
	/* rdi, rsi and rsp are set; guest_main() does not return. */
	xorl	%ebp, %ebp
	call	guest_main
	ud2

	.text

/*
 * A stub per vector, all of 16 bytes, so that idt.c can compute their addresses.
 * Exceptions leave (vector, error code) on the stack; where the CPU pushes no error code
 * (SDM vol. 3A 6.3.1, table 6-1) the stub pushes 0.
 */
	.balign	16
	.globl	vector_stubs
vector_stubs:
	.set	vector, 0
	.rept	GUEST_FIRST_VECTOR
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || \
		  vector == 29 || vector == 30)
	pushq	$0
	.endif
	pushq	$vector
	jmp	exception
	.set	vector, vector + 1
	.endr

	.rept	256 - GUEST_FIRST_VECTOR
	.balign	16
	pushq	%rax
	movl	$vector, %eax
	.if	vector == GUEST_SPURIOUS_VECTOR
	jmp	spurious
	.else
	jmp	interrupt
	.endif
	.set	vector, vector + 1
	.endr

/* Those whose handlers have a part in C, from the first vector that is not an exception. */
	.balign	16
	.globl	device_stubs
device_stubs:
	.set	vector, GUEST_FIRST_VECTOR
	.rept	256 - GUEST_FIRST_VECTOR
	.balign	16
	pushq	%rax
	movl	$vector, %eax
	jmp	device
	.set	vector, vector + 1
	.endr

exception:
	movq	%rsp, %rdi
	andq	$-16, %rsp
	call	guest_panic
	ud2

/* What C may change is saved, and the stack aligned: the CPU has done so before it pushed five words
 * (SDM vol. 3A 6.14.2). */
device:
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rax
	subq	$8, %rsp
	movl	%eax, %edi
	cld
	call	device_handle
	addq	$8, %rsp
	popq	%rax
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	jmp	interrupt

/* eax = vector, the guest's rax is on the stack; the base of GS is this CPU's row of counters. */
	.balign	16
interrupt:
	incq	%gs:(, %rax, 8)
	cmpb	$0, lapic_x2apic
	jne	1f
	movl	$APIC_EOI, %eax
	movl	$0, (%rax)
	popq	%rax
	iretq
1:
	pushq	%rcx
	pushq	%rdx
	movl	$X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

/* Nothing is in service for it, so it has no EOI (SDM vol. 3A 11.9). */
spurious:
	incq	%gs:(, %rax, 8)
	popq	%rax
	iretq

	.section .note.GNU-stack, "", @progbits
