/* SPDX-License-Identifier: MIT */
/*
 * Lines, and the chips of a PC that they go to.
 *
 * A GSI's sources are bits in its route slot, under the slot's lock, which is held until the pins
 * have been told: two changes of one line reach the chips in their order. Chips' own locks are taken
 * inside it and are the last; the chips call back without them.
 *
 * An EOI, an RTE's change and a timer come the other way, on a vCPU's or the pump's thread with no lock
 * held: from the chip's pin to the GSIs that go there.
 */
#ifndef LINE_LINE_H
#define LINE_LINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/reader.h"
#include "base/vm.h"
#include "chip/chip.h"
#include "chip/deliver.h"
#include "chip/i8259.h"
#include "chip/ioapic.h"
#include "chip/pit.h"
#include "pump/timer.h"
#include "route/table.h"

#include <vmirq/line.h>

#define LINE_SOURCES 64u
/* From here on they are the library's own, and not handed out. */
#define FIRST_OWN_SOURCE 61u
#define SOURCE_RESAMPLE	 61u
#define SOURCE_PIT	 62u
#define SOURCE_PIRQ	 63u

struct line_ioapic {
	struct ioapic ioapic;
	struct line_domain *lines;
	uint32_t number;
	struct lock *lock, own_lock; /* the first's is the chips' lock */
	struct ioapic_pin pin[IOAPIC_MAX_PINS];
	/* When a throttled pin is tried again; 0: it is not throttled. */
	_Atomic uint64_t retry_at[IOAPIC_MAX_PINS];
};

/* Beside enum vmirq_notice, for resamplers: struct ioapic_calls.stands. */
#define NOTICE_STANDS ((enum vmirq_notice)(VMIRQ_NOTICE_MASK + 1))

struct vmirq_notifier {
	struct vmirq_notifier *_Atomic next;
	struct line_domain *lines;
	struct vmirq_notifier_config config;
	struct route_slot *_Atomic slot; /* of config.gsi, once it is there */
	_Atomic uint32_t unnamed;	 /* calls that no thread's record names */
	_Atomic bool leaving;		 /* is being removed: no more of them */
};

/* A VM's lines and chips. */
struct line_domain {
	struct vmirq_vm *vm;
	struct line_ioapic *ioapic[MAX_IOAPICS];
	uint32_t ioapics;
	bool has_pic, has_pit;
	bool pit_reinjects;
	struct i8259 pic;
	struct pit pit;
	/* Of the 8259s and the first IOAPIC: what an ISA interrupt goes to, at one go. */
	struct lock chips_lock;
	struct lock pit_mutex;

	/* Who is told: read in sections, written under the mutex, which is taken with nothing else held; nothing
	 * is taken under it. */
	struct vmirq_notifier *_Atomic notifiers;
	struct lock notifier_mutex;

	/* The kernel's table is to follow the RTEs; a leaf but for chips' locks and that table's. */
	pthread_mutex_t split_mutex;
	pthread_mutex_t source_mutex;
	uint64_t sources; /* allocated */

	pthread_mutex_t timer_mutex; /* of timer; a chip's lock may be taken under it */
	struct pump_timer timer;
	_Atomic uint32_t throttled; /* pins that wait for their retry_at */
};

struct line_config {
	bool pc_chips, pit, pit_discard, spec;
	const struct vmirq_ioapic_config *ioapics;
	uint32_t n_ioapics;
};

int vmirq_lines_create(struct vmirq_vm *vm, const struct line_config *config,
		       struct line_domain **out);
void vmirq_lines_destroy(struct line_domain *lines);
int vmirq_lines_reset(struct line_domain *lines);

/* access.c. A guest's access to a chip; false: none has it. */
bool vmirq_lines_mmio(struct line_domain *lines, uint64_t gpa, void *data, uint32_t len,
		      bool is_write);
bool vmirq_lines_pio(struct line_domain *lines, uint16_t port, void *data, uint32_t len,
		     bool is_write);

/* line.c. vmirq_line_set() for the library's own sources too. */
int vmirq_line_set_any(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, bool level, int *error);
/* line.c. The same, and what an assertion came to; the slot has been used with this before. */
enum vmirq_verdict vmirq_line_change(struct vmirq_vm *vm, uint32_t gsi, uint32_t source,
				     bool level);
/* What the next two say where the route is a message's by now: resolve it again. */
#define ROUTE_CHANGED VMIRQ_VERDICTS
/* line.c. Raise an edge on a slot whose route goes to pins: assert and de-assert. */
enum vmirq_verdict vmirq_line_pulse_slot(struct line_domain *lines, struct route_slot *slot);
/* line.c. Raise a level on it for SOURCE_RESAMPLE. */
enum vmirq_verdict vmirq_line_assert_slot(struct line_domain *lines, struct route_slot *slot);
/* line.c. Is the line held by this source? */
bool vmirq_line_asserted_by(struct vmirq_vm *vm, uint32_t gsi, uint32_t source);
/* pins.c. Has the guest an interrupt of this GSI's pins still to end? True, too, where it is routed to a message: to
 * which pin it goes next is not known. Not where the pins are the kernel's. */
bool vmirq_line_in_service(struct vmirq_vm *vm, uint32_t gsi);
/* A route with pins is left or entered while its line is high; route_table.moved. */
void vmirq_line_moved(void *opaque, const struct route_slot *slot, const struct route *route,
		      bool on);

/* chips.c. Messages of the IOAPICs that were delivered, also where a standing level was so again. */
uint64_t vmirq_line_delivered(const struct line_domain *lines);

/* A read section around what an IOAPIC sends. Its own, with a fence; or within that of the line's change, for
 * which taking the IOAPIC's lock was the fence. */
static inline struct reader *line_enter(void)
{
	if (likely(reader_inside())) {
		fence_after_rmw();
		return READER_INNER;
	}
	return reader_enter();
}

/* split.c. A guest's write, with the kernel's table kept in step. */
void vmirq_line_write_ioapic(struct line_domain *lines, struct line_ioapic *io, uint64_t gpa,
			     uint32_t len, uint64_t value);
/* split.c. A pin's RTE has changed; nothing is sent by it yet. */
void vmirq_line_commit_pin(struct line_domain *lines, struct line_ioapic *io, uint32_t pin);
/* split.c. All of them have, or what they come to. */
void vmirq_line_commit_ioapics(struct line_domain *lines);

/* notifier.c. vmirq_notifier_add() for the library's own, with NOTICE_STANDS too. */
int vmirq_notifier_add_any(struct vmirq_vm *vm, const struct vmirq_notifier_config *config,
			   struct vmirq_notifier **out);
/* notifier.c. Tell those whose GSI goes to this pin of this chip. */
void vmirq_line_notify(struct line_domain *lines, enum vmirq_notice notice, enum pin_of chip,
		       uint32_t pin, uint32_t value);
/* notifier.c. Is the calling thread in a notifier's callback? */
bool vmirq_line_calls_here(void);
/* Does this GSI go there? */
bool vmirq_line_goes_to(struct line_domain *lines, uint32_t gsi, enum pin_of chip, uint32_t pin);

/* kernel.c. The chips are the kernel's; and their state there. */
static inline bool vmirq_line_in_kernel(const struct vmirq_vm *vm)
{
	return unlikely(vm->irqchip) && vm->irqchip->full;
}
int vmirq_kernel_get_irqchip(const struct vmirq_vm *vm, struct kvm_irqchip *state);
int vmirq_kernel_set_irqchip(const struct vmirq_vm *vm, const struct kvm_irqchip *state);
int vmirq_kernel_get_pit2(const struct vmirq_vm *vm, struct kvm_pit_state2 *state);
int vmirq_kernel_set_pit2(const struct vmirq_vm *vm, const struct kvm_pit_state2 *state);
int vmirq_kernel_reset_chips(const struct vmirq_vm *vm);

/* timer.c. No pin of it is throttled any more. */
void vmirq_line_forget_retries(struct line_ioapic *io);
/* timer.c. Something's deadline has moved. */
void vmirq_lines_rearm(struct line_domain *lines);
int vmirq_lines_start_timer(struct line_domain *lines);

#endif
