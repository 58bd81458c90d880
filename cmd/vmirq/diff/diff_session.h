/* SPDX-License-Identifier: MIT */
/*
 * A script being executed on two fresh VMs, and what differs.
 */
#ifndef VMIRQ_DIFF_SESSION_H
#define VMIRQ_DIFF_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diff_op.h"
#include "side.h"

#define DIFF_KNOWN_MAX	  64
#define DIFF_REASONS_MAX  8
#define DIFF_EVENTFDS	  7 /* of these, the first */
#define DIFF_FD_DUPLICATE 13
/* Eventfds of throw_resample() alone: two that are told, two that signal. */
#define DIFF_FD_TOLD  14
#define DIFF_FD_LEVEL 16
#define DIFF_FDS      18 /* see open_fds() */
#define DIFF_ROUTES   4200

enum object {
	OBJ_VALUE,	  /* what the guest read */
	OBJ_FAULT,	  /* whether it got #GP */
	OBJ_RETURN,	  /* what the VMM's call returned */
	OBJ_LAPIC,	  /* reg: offset */
	OBJ_BASE,	  /* IA32_APIC_BASE */
	OBJ_EVENTS,	  /* reg: enum event_reg */
	OBJ_IOAPIC,	  /* reg: enum ioapic_field, or that of pin 0 plus the pin */
	OBJ_PIC,	  /* vcpu: chip; reg: offset in struct kvm_pic_state */
	OBJ_PIT,	  /* vcpu: channel; reg: offset in struct kvm_pit_channel_state */
	OBJ_STUCK,	  /* a puppet died; soft, kernel: 1 = this side's */
	OBJ_PIC_REGISTER, /* QEMU: vcpu: chip; reg: enum pic_register */
};

enum event_reg { EVENT_REG_NMI, EVENT_REG_SMI, EVENT_REG_INIT, EVENT_REG_WAITS };
enum ioapic_field { FIELD_BASE, FIELD_SELECT, FIELD_ID, FIELD_IRR, FIELD_PIN_0 };

struct difference {
	enum object object;
	uint32_t vcpu;
	uint32_t reg;
	uint64_t soft;
	uint64_t kernel;
	size_t op; /* index in the script */
};

/* What became of each operation. */
enum mark { MARK_NONE, MARK_COMPARED, MARK_NOT_COMPARABLE, MARK_KNOWN };

struct tally {
	uint64_t ops;
	uint64_t compared;
	uint64_t not_comparable;
	uint64_t mismatches;
	uint64_t known_ops;
	uint64_t known[DIFF_KNOWN_MAX];
	uint64_t reason[DIFF_REASONS_MAX]; /* of not_comparable */
};

struct qemu_pair;

/* `kernel` of a field or a difference is QEMU's with SIDE_QEMU. */
struct session {
	const struct script *script;
	struct side soft;
	struct side kernel;
	struct qemu_pair *pair; /* SIDE_QEMU, in place of both */
	int fd[2][DIFF_FDS];	/* soft's, kernel's */
	struct kvm_irq_routing *table;
	uint32_t batch_max;
	uint64_t started; /* ns */
	uint8_t *mark;
	struct tally *tally;
	/* The batch of a CPU that is being gathered: op indices. */
	uint32_t batch_vcpu;
	uint32_t batched;
	size_t batch[PUPPET_BATCH];
	size_t last_op;
	uint32_t last_batch;	      /* how many of `batch` ran last; 0: last_op is a call */
	uint32_t nmis[2][SIDE_VCPUS]; /* soft's and kernel's puppets', as of the last look */
	bool was_enabled[SIDE_VCPUS]; /* by IA32_APIC_BASE, when it last ran */
	bool lags[SIDE_VCPUS];	      /* loaded while disabled, and its PPR not right since */
	bool ran[SIDE_VCPUS];	      /* since its saved state was last written */
	/* What some known differences depend on: of the kernel's CPUs, as of the last look. */
	uint32_t lvtt[2][SIDE_VCPUS]; /* and the one before */
	uint32_t lapic[SIDE_VCPUS][KVM_APIC_REG_SIZE / 4];
	uint32_t svr[SIDE_VCPUS];	/* as of the look before */
	bool ever_disabled[SIDE_VCPUS]; /* by IA32_APIC_BASE */
	bool short_timer[SIDE_VCPUS];	/* was ever started */
	bool unread;			/* by an irqfd that was then deassigned */
	bool resamples;			/* ours can */
	bool undrained[DIFF_FDS];	/* readable when it was bound, and not written to since */
	/* Objects to load from the kernel after a known difference: bit per CPU. */
	uint32_t heal_lapics;
	bool heal_chips;
	bool quiet; /* only whether there is any */
	bool found;
	struct difference difference;
	char why[400];
};

/* In split the kernel's chips are nowhere. */
static inline bool session_has_chips(const struct session *s)
{
	return s->script->chips && s->script->kernel == SIDE_FULL;
}

/* 0: soft's, 1: the kernel's. */
static inline struct side *session_side(struct session *s, int which)
{
	return which ? &s->kernel : &s->soft;
}

/* Executes all of it or up to the first difference. 1: there is one, in *difference; 0: none.
 * -ENODEV: no /dev/kvm or no such irqchip; `why` (of `size`) says which. Else -errno. */
int session_execute(const struct script *script, struct tally *tally, struct difference *difference,
		    char *why, size_t size);

/* diff_setup.c. -errno, with s->why. */
int session_open(struct session *s);
void session_close(struct session *s);
/* diff_call.c: one that is not the guest's. */
int session_call(struct session *s, size_t index);
void session_compare_returns(struct session *s, size_t index, int64_t soft, int64_t kernel);
/* diff_bind.c: routes, irqfds, ioeventfds, and their eventfds. */
int session_bind_call(struct session *s, size_t index);
/* diff_state.c: all that the VMM can see; and the kernel's state into what differs in a known way. */
int session_compare_states(struct session *s);
/* NMI, SMI, INIT, SIPI only: a CPU that has got one of the last two cannot run the puppet until then. */
int session_take_events(struct session *s);
int session_heal(struct session *s);
/* diff_chips.c: IOAPIC, 8259s, PIT. */
int64_t session_chip_call(struct side *side, const struct op *op);
int session_chips_cross(struct session *s, size_t index);
int session_compare_chips(struct session *s);
int session_heal_chips(struct session *s);

/* Says what differs. Known ones are counted and dropped. */
void session_differs(struct session *s, enum object object, uint32_t vcpu, uint32_t reg,
		     uint64_t soft, uint64_t kernel, size_t op);

/* diff_known.c */
enum known_kind {
	KERNEL_STAYS,
	KERNEL_PASSES, /* by itself: the operation counts as compared, and nothing is healed */
	QEMU_STAYS,
	QEMU_PASSES,
};

struct known {
	const char *name;
	const char *reason;
	bool (*is)(const struct session *s, const struct difference *d);
	enum known_kind kind;
};
extern const struct known known_differences[];
extern const size_t known_count;

/* Why what an operation reads cannot be compared. */
enum reason {
	REASON_NO_REGISTER,
	REASON_PART_OF_COUNT,
	REASON_PIT_COUNTS,
	REASON_REFRESH,
	REASON_NOT_YET,
};
enum comparison { COMPARE_EXACTLY, COMPARE_WITHIN, COMPARE_NOT };
extern const char *const not_comparable_reasons[DIFF_REASONS_MAX];
enum comparison op_comparison(const struct op *op, unsigned int *reason);

/* It starts a local APIC's timer that runs out at once, or nearly. */
bool op_starts_short_timer(const struct op *op);

/* A line for people. */
void difference_format(const struct script *script, const struct difference *d, char *buf,
		       size_t size);

uint64_t diff_now(void);

#endif
