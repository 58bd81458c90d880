/* SPDX-License-Identifier: MIT */
/* From an interrupt to the descriptors of the vCPUs that it means. */
#ifndef CHIP_DELIVER_H
#define CHIP_DELIVER_H

#include "chip/chip.h"

/* Below it a vector is illegal for fixed delivery (SDM vol. 3A 11.5.2). */
#define FIRST_LEGAL_VECTOR 16

/* What became of one interrupt. */
struct delivery {
	enum vmirq_verdict verdict;
	uint32_t
		accepted; /* local APICs that took it, also where it was pending: the kernel's count */
};

/* Post it to everybody it means. Inside a read section; lock-free, async-signal-safe. */
struct delivery vmirq_deliver(struct chip *chip, const struct interrupt *irq);

/* By the one local APIC's physical id, as most go: false, and nothing is done, where it is not such a one. */
bool vmirq_deliver_to_one(struct chip *chip, const struct interrupt *irq, struct delivery *out);

/* The same for the shorthands: the slots in `to`, of which `enabled` are. */
struct delivery vmirq_deliver_set(struct chip *chip, const struct interrupt *irq,
				  const struct vcpu_set *to, const struct vcpu_set *enabled);

/* What a vCPU has of an interrupt's vector. */
enum holding {
	HOLDS_UNMEANT, /* it does not mean this vCPU; may have it all the same */
	HOLDS_NOT,
	HOLDS, /* pending or in service */
};

/* Exact while the vCPU stands still. */
enum holding vmirq_chip_holds(const struct chip *chip, uint32_t vcpu, const struct interrupt *irq);

/* What an interrupt resolves to, as long as the map's generation stays. */
enum target_kind {
	TARGET_DELIVER, /* vmirq_deliver() each time: several targets, or no plain vector */
	TARGET_POST,	/* one vCPU, one vector */
	TARGET_VERDICT, /* nobody: this verdict */
};

struct target {
	enum target_kind kind;
	enum vmirq_verdict verdict;
	struct posted *posted;
	uint64_t generation;
	uint8_t vector;
	bool level;
};

/* Inside a read section. */
struct target vmirq_resolve(struct chip *chip, const struct interrupt *irq);

/* Wake or kick as the vCPU's mode asks for what is of this class; posts nothing. False: nobody is there. */
bool vmirq_notify(struct chip *chip, struct posted *p, uint32_t class);

/* The vector was put in the descriptor: do what its vCPU's mode asks, B in posted.h. `pending`: it was
 * there already. */
static inline enum vmirq_verdict tell_vcpu(struct chip *chip, struct posted *p, uint8_t vector,
					   bool pending)
{
	/* Outside the guest it looks by itself. */
	if (unlikely(atomic_load(&p->mode) != MODE_OUTSIDE) &&
	    !vmirq_notify(chip, p, class_of(vector))) {
		/* Not posted then: only what is delivered may be counted so. Unless the vCPU has found it
		 * in its last moment, and has counted it. */
		return pending || vecset_test_and_clear(&p->vectors, vector) ? VMIRQ_NO_TARGET
									     : VMIRQ_DELIVERED;
	}
	return pending ? VMIRQ_COALESCED : VMIRQ_DELIVERED;
}

/* Put one vector in one descriptor and do what its vCPU's mode asks. */
static inline enum vmirq_verdict post_vector(struct chip *chip, struct posted *p, uint8_t vector,
					     bool level)
{
	return tell_vcpu(chip, p, vector, posted_set(p, vector, level));
}

/* Edges of all these vectors. `fresh`: those that were not pending. False: nobody is there, and `fresh` is only
 * what it found before it went. Inside a read section; lock-free. */
bool vmirq_post_mask(struct chip *chip, struct posted *p, const uint64_t vectors[4],
		     uint64_t fresh[4]);

/* Put an event in a descriptor, and do what its vCPU's mode asks. */
enum vmirq_verdict vmirq_post_event(struct chip *chip, struct posted *p, enum vcpu_event event);
enum vmirq_verdict vmirq_post_nmi(struct chip *chip, struct posted *p);

#endif
