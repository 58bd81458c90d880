/* SPDX-License-Identifier: MIT */
/* A whole VM: its chips, lines, routes and irqfds, and what its sources count for themselves. */
#ifndef FUZZ_VM_H
#define FUZZ_VM_H

#include "guest.h"

/* Operations beside those of a vCPU. Their numbers stay: the corpus is written in them. */
enum vm_op {
	OP_LINE = GUEST_OPS, /* GSI, source with bit 7: level */
	OP_PULSE,	     /* GSI, source */
	OP_SOURCE_ALLOC,
	OP_SOURCE_FREE, /* source */
	OP_ROUTE_MSI,	/* GSI, message */
	OP_ROUTE_PINS,	/* GSI, chips, a pin for each */
	OP_ROUTE_ANY,	/* how many, entries of any kind */
	OP_ROUTE_ALL,	/* how many, entries of any kind: the whole table */
	OP_ROUTE_CLEAR, /* GSI */
	OP_ROUTE_PC,	/* the PC's */
	OP_GSI_ALLOC,
	OP_GSI_FREE, /* GSI */
	OP_ASSIGN,   /* irqfd's number, GSI, flags: with an eventfd or without */
	OP_DEASSIGN, /* number */
	OP_SIGNAL,   /* number */
	OP_EVENTFD,  /* number, count to be written */
	OP_DISPATCH,
	OP_KVM_IRQFD,	/* number, GSI, flags: in the kernel's words */
	OP_NOTIFIER,	/* number, GSI, notice: add, or remove what is there */
	OP_VM_MMIO,	/* flags, offset or address, length, data */
	OP_VM_PIO,	/* flags, which port or its number, length, data */
	OP_IOAPIC_RTE,	/* pin, low half, destination */
	OP_PIC_INIT,	/* base, ICW4, masks */
	OP_PIT_PROGRAM, /* counter and mode, count */
	OP_VM_DUE,	/* to the VM's deadline, and expire */
	OP_EXPIRE,
	OP_SET_IRQCHIP, /* chip, patches to its state */
	OP_SET_PIT2,	/* patches to its state */
	OP_SAVE_LOAD_CHIPS,
	OP_QUIESCE,
	OP_STORM, /* pin: as if its level had had many EOIs in a row */
	OP_SAVE_LOAD_VM,
	VM_OPS,
};

#define IRQFDS	  4u
#define NOTIFIERS 4u
/* A notifier that does something of which a notifier is told, and so on. */
#define DEEPEST 2

struct world;

struct irqfd_slot {
	struct vmirq_irqfd *irqfd; /* NULL: not assigned */
	uint32_t gsi;
	bool on_eventfd, own_token;
	int eventfd;	 /* its own, for as long as the process lives */
	uint64_t unread; /* written and not read yet */
};

struct notifier_slot {
	struct world *world;
	struct vmirq_notifier *notifier;
	unsigned int running;
};

struct world {
	struct machine machine;
	struct irqfd_slot irqfd[IRQFDS];
	struct notifier_slot notifier[NOTIFIERS];
	int depth;
	/* By GSI: what its sources have raised, and which hold it. */
	uint64_t raised[MACHINE_GSIS];
	uint64_t sources[MACHINE_GSIS];
};

/* False: none of its operations. */
bool lines_step(struct world *w, enum vm_op op); /* vm_lines.c: lines, notifiers */
bool routes_step(struct world *w, enum vm_op op);
bool irqfds_step(struct world *w, enum vm_op op);
bool chips_step(struct world *w, enum vm_op op);

/* One operation that a notifier may do. */
void world_step_device(struct world *w, uint8_t op);

void irqfds_start(struct world *w);
/* Everything that was written is read. */
void irqfds_drain(struct world *w);
void irqfds_end(struct world *w);
bool route_is_msi(struct world *w, uint32_t gsi);

/* Half of what is taken is past the limit of a byte's. */
static inline uint32_t take_gsi(struct stream *s)
{
	return take8(s) & (2 * MACHINE_GSIS - 1);
}

#endif
