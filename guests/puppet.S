/* SPDX-License-Identifier: MIT */
/*
 * A guest that does what it is told; see puppet_page.h. A dozen instructions for an operation:
 * where /dev/kvm emulates them, each costs a microsecond or two.
 *
 * rbx = the operation, r13 = this CPU's page, r14 = 1 if it faulted, r15 = where to go on then.
 */
#include "puppet_page.h"

	.section .text.start, "ax"
	.globl	_start
_start:
	movq	%rsi, %r13
	movq	$done, %r15
again:
	leaq	PUPPET_OPS(%r13), %rbx
next:
	movl	PUPPET_OP_KIND(%rbx), %eax
	movq	PUPPET_OP_WHERE(%rbx), %rdx
	xorl	%r14d, %r14d
	jmp	*table(, %rax, 8)

finish:
	movb	$PUPPET_SAYS_DONE, %al
	outb	%al, $PUPPET_PORT
	jmp	again

	/* Exceptions come here; the host knows where. */
	.org	PUPPET_GP
	movl	$1, %r14d
	movq	%r15, 8(%rsp)
	addq	$8, %rsp
	iretq

	.org	PUPPET_NMI
	incl	PUPPET_NMIS(%r13)
	iretq

	.org	PUPPET_BAD
	movb	$PUPPET_SAYS_BAD, %al
	outb	%al, $PUPPET_PORT
	jmp	.

	.text
done_value:
	movq	%rax, PUPPET_OP_VALUE(%rbx)
done:
	movl	%r14d, PUPPET_OP_FAULT(%rbx)
	addq	$PUPPET_OP_SIZE, %rbx
	jmp	next

read_1:
	movzbl	(%rdx), %eax
	jmp	done_value
read_2:
	movzwl	(%rdx), %eax
	jmp	done_value
read_4:
	movl	(%rdx), %eax
	jmp	done_value
read_8:
	movq	(%rdx), %rax
	jmp	done_value

write_1:
	movb	PUPPET_OP_VALUE(%rbx), %al
	movb	%al, (%rdx)
	jmp	done
write_2:
	movw	PUPPET_OP_VALUE(%rbx), %ax
	movw	%ax, (%rdx)
	jmp	done
write_4:
	movl	PUPPET_OP_VALUE(%rbx), %eax
	movl	%eax, (%rdx)
	jmp	done
write_8:
	movq	PUPPET_OP_VALUE(%rbx), %rax
	movq	%rax, (%rdx)
	jmp	done

in_1:
	xorl	%eax, %eax
	inb	%dx, %al
	jmp	done_value
in_2:
	xorl	%eax, %eax
	inw	%dx, %ax
	jmp	done_value
in_4:
	xorl	%eax, %eax
	inl	%dx, %eax
	jmp	done_value

out_1:
	movb	PUPPET_OP_VALUE(%rbx), %al
	outb	%al, %dx
	jmp	done
out_2:
	movw	PUPPET_OP_VALUE(%rbx), %ax
	outw	%ax, %dx
	jmp	done
out_4:
	movl	PUPPET_OP_VALUE(%rbx), %eax
	outl	%eax, %dx
	jmp	done

read_msr:
	movl	%edx, %ecx
	rdmsr
	shlq	$32, %rdx
	orq	%rdx, %rax
	jmp	done_value
write_msr:
	movl	%edx, %ecx
	movl	PUPPET_OP_VALUE(%rbx), %eax
	movl	PUPPET_OP_VALUE + 4(%rbx), %edx
	wrmsr
	jmp	done

read_cr8:
	movq	%cr8, %rax
	jmp	done_value
write_cr8:
	movq	PUPPET_OP_VALUE(%rbx), %rax
	movq	%rax, %cr8
	jmp	done

	.section .rodata
	.balign	8
table:
	.quad	finish
	.quad	read_1, read_2, read_4, read_8
	.quad	write_1, write_2, write_4, write_8
	.quad	in_1, in_2, in_4
	.quad	out_1, out_2, out_4
	.quad	read_msr, write_msr, read_cr8, write_cr8

	.section .note.GNU-stack, "", @progbits
