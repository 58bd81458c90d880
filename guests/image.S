/* SPDX-License-Identifier: MIT */
/* The guest's flat image inside the VMM: guest_image .. guest_image_end. */
	.section .rodata
	.balign	16
	.globl	guest_image
	.globl	guest_image_end
	.hidden	guest_image
	.hidden	guest_image_end
guest_image:
	.incbin "guest.bin"
guest_image_end:

	.section .note.GNU-stack, "", @progbits
