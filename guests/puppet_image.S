/* SPDX-License-Identifier: MIT */
/* The puppet's flat image inside the VMM, and its size in bytes. */
	.section .rodata
	.globl	puppet_image
	.globl	puppet_image_size
	.hidden	puppet_image
	.hidden	puppet_image_size
	.balign	16
puppet_image:
	.incbin "puppet.bin"
1:
	.balign	8
puppet_image_size:
	.quad	1b - puppet_image

	.section .note.GNU-stack, "", @progbits
