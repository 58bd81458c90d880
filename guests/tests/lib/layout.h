/* SPDX-License-Identifier: MIT */
/* What the assembly and C of the test guests agree on. */
#ifndef LAYOUT_H
#define LAYOUT_H

#define CODE64_SELECTOR	 0x08
#define DATA_SELECTOR	 0x10
#define CODE32_SELECTOR	 0x18

#define TRAMPOLINE	 0x8000
#define CPUS_MAX	 16
#define STACK_SHIFT	 14

#define EXCEPTIONS	 32
#define VECTOR_STUB_SIZE 16

#endif
