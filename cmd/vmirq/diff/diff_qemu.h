/* SPDX-License-Identifier: MIT */
/*
 * diff --against qemu: IOAPIC and 8259s of a VM of ours and of a QEMU that qtest moves. There is no
 * guest and no /dev/kvm in it: registers and ports are accessed by both VMMs.
 *
 * GSIs of these scripts: 0..23 the IOAPIC's pins, QEMU_PIC_GSI + n the 8259s'.
 */
#ifndef VMIRQ_DIFF_QEMU_H
#define VMIRQ_DIFF_QEMU_H

#include "diff_session.h"
#include "qtest.h"

#define QEMU_PIC_GSI 32u
/* Our one local APIC has id 0, and this logical one (flat). */
#define QEMU_LDR       1u
#define IOAPIC_GPA     0xfec00000u
#define IOAPIC_SELECT  0x00u
#define IOAPIC_WINDOW  0x10u
#define IOAPIC_EOI     0x40u
#define RTE_LOGICAL    (1u << 11)
#define RTE_REMOTE_IRR (1u << 14)
#define RTE_LEVEL      (1u << 15)
/* What is written to an 8259 (8259A data sheet, "Programming the 8259A"). */
#define ICW1	      0x10u
#define ICW1_IC4      0x01u
#define ICW1_SNGL     0x02u
#define OCW2_ROTATE   0x80u /* in automatic EOI mode, if neither of the two below it */
#define OCW3	      0x08u
#define OCW3_READ     0x02u
#define OCW3_READ_IRR 0x0au
#define OCW3_READ_ISR 0x0bu
#define OCW3_POLL     0x04u
#define OCW3_ESMM     0x40u

/* Of 8259 registers, as `reg` of an OBJ_PIC_REGISTER; `vcpu` is the chip. */
enum pic_register { PIC_REG_IRR, PIC_REG_ISR, PIC_REG_IMR, PIC_REG_ELCR, PIC_REG_INT };

/* An 8259, by what was written to it. */
struct pic_view {
	uint8_t init; /* ICWs that are awaited */
	bool single;  /* by SNGL of ICW1, there is one less */
	bool reads_isr;
	bool polled;	      /* the next read is a poll */
	bool forgot_poll;     /* or was until an ICW1 */
	bool icw1;	      /* since it was last looked at */
	bool rotates;	      /* in automatic EOI mode */
	bool forgot_rotation; /* or did until an ICW1 */
	/* Ours, as of the last look: */
	uint8_t irr, isr, imr;
};

struct ioapic_view {
	uint8_t select;
	uint32_t high; /* lines: a bit each */
	/* and rose, or fell, while their RTE was edge-triggered */
	uint32_t rose_as_edge, fell_as_edge;
	/* Ours, as of the look before: */
	uint64_t rte[KVM_IOAPIC_NUM_PINS];
};

struct qemu_pair {
	struct qtest_names names;
	struct qtest qemu;
	struct vmirq_vm *vm;
	struct vmirq_vcpu *vcpu;
	struct pic_view pic[2];
	struct ioapic_view ioapic;
};

/* -errno, with s->why. */
int qemu_open(struct session *s);
void qemu_close(struct session *s);
/* All of the script, or up to the first difference. */
int qemu_execute(struct session *s);

/* diff_qemu_ours.c: our side. */
int ours_open(struct qemu_pair *pair);
void ours_close(struct qemu_pair *pair);
/* What a guest reads, or what a call returns; -errno of a script that asks for what is not there. */
int ours_do(struct qemu_pair *pair, const struct op *op, uint64_t *value);
/* INT of the pair of 8259s. */
int ours_int(struct qemu_pair *pair);

/* diff_qemu_look.c: all that a guest can read without changing anything, and INT. */
int qemu_look(struct session *s);
/* What the chips now want to be written, or read, next. */
void qemu_note(struct qemu_pair *pair, const struct op *op);

/* The command for an operation; -EINVAL: there is none. */
int qemu_put(struct qemu_pair *pair, const struct op *op);

#endif
