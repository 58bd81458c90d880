/* SPDX-License-Identifier: MIT */
/**
 * @file puppet_page.h
 * What the puppet guest and its VMM agree on: the page of operations each CPU executes, one after
 * the other, up to PUPPET_END, which exits to the VMM and begins again with the first.
 *
 * How a CPU starts: as in guest_page.h, but for rsi = its own page, and an interrupt descriptor table
 * that the VMM has made of the handlers at PUPPET_GP, PUPPET_NMI and PUPPET_BAD.
 * Interrupts stay off: what is pending stays pending, and can be looked at.
 */
#ifndef PUPPET_PAGE_H
#define PUPPET_PAGE_H

#define PUPPET_IMAGE_GPA 0x100000
/* Offsets in the image. */
#define PUPPET_GP	  0x200 /* a faulted operation is marked, the next one runs */
#define PUPPET_NMI	  0x240 /* counted */
#define PUPPET_BAD	  0x280 /* anything else: the puppet gives up */

#define PUPPET_IDT_GPA	  0x00d000
#define PUPPET_PAGES_GPA  0x200000 /* a page for each CPU */
#define PUPPET_STACKS_GPA 0x300000

/* Bytes written to this port end a batch. */
#define PUPPET_PORT	 0xf5
#define PUPPET_SAYS_DONE 0
#define PUPPET_SAYS_BAD	 1

/* puppet_op.kind. */
#define PUPPET_END	 0
#define PUPPET_READ_1	 1
#define PUPPET_READ_2	 2
#define PUPPET_READ_4	 3
#define PUPPET_READ_8	 4
#define PUPPET_WRITE_1	 5
#define PUPPET_WRITE_2	 6
#define PUPPET_WRITE_4	 7
#define PUPPET_WRITE_8	 8
#define PUPPET_IN_1	 9
#define PUPPET_IN_2	 10
#define PUPPET_IN_4	 11
#define PUPPET_OUT_1	 12
#define PUPPET_OUT_2	 13
#define PUPPET_OUT_4	 14
#define PUPPET_RDMSR	 15
#define PUPPET_WRMSR	 16
#define PUPPET_READ_CR8	 17
#define PUPPET_WRITE_CR8 18

/* Offsets in puppet_op and puppet_page. */
#define PUPPET_OP_KIND	0
#define PUPPET_OP_FAULT 4
#define PUPPET_OP_WHERE 8
#define PUPPET_OP_VALUE 16
#define PUPPET_OP_SIZE	24
#define PUPPET_NMIS	0
#define PUPPET_OPS	64

#define PUPPET_BATCH	64

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct puppet_op {
	uint32_t kind;
	uint32_t fault; /* 1: it raised #GP */
	uint64_t where; /* address, port or MSR */
	uint64_t value; /* to write, or what was read */
};

struct puppet_page {
	uint32_t nmis; /* taken so far */
	uint32_t unused_[15];
	struct puppet_op op[PUPPET_BATCH + 1];
};

_Static_assert(offsetof(struct puppet_op, fault) == PUPPET_OP_FAULT, "as puppet.S has it");
_Static_assert(offsetof(struct puppet_op, where) == PUPPET_OP_WHERE, "as puppet.S has it");
_Static_assert(offsetof(struct puppet_op, value) == PUPPET_OP_VALUE, "as puppet.S has it");
_Static_assert(sizeof(struct puppet_op) == PUPPET_OP_SIZE, "as puppet.S has it");
_Static_assert(offsetof(struct puppet_page, op) == PUPPET_OPS, "as puppet.S has it");
_Static_assert(sizeof(struct puppet_page) <= 4096, "a page for each CPU");
#endif
#endif
