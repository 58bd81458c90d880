/* SPDX-License-Identifier: MIT */
/* The guest's flat image inside the VMM, and its size in bytes. */
	.section .rodata
	.globl	guest_image
	.globl	guest_image_size
	.hidden	guest_image
	.hidden	guest_image_size
	.balign	16
guest_image:
	.incbin "guest.bin"
1:
	.balign	8
guest_image_size:
	.quad	1b - guest_image

	.section .note.GNU-stack, "", @progbits
