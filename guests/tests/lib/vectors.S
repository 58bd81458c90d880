/* SPDX-License-Identifier: MIT */
/* A stub per vector, then C: struct frame in interrupt.h is what they leave on the stack. */
#include "layout.h"

	.text
	.balign	16
	.globl	vector_stubs
vector_stubs:
	.set	vector, 0
	.rept	256
	.balign	VECTOR_STUB_SIZE
	/* Where the CPU pushes no error code (SDM vol. 3A 6.3.1, table 6-1). */
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || \
		  vector == 29 || vector == 30)
	pushq	$0
	.endif
	pushq	$vector
	jmp	1f
	.set	vector, vector + 1
	.endr
1:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	movq	%rsp, %rdi
	/* The CPU has put its frame on 16 bytes; 7 words of it, the stub's and ours are 16. */
	call	interrupt
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	iretq

	.section .note.GNU-stack, "", @progbits
