/* SPDX-License-Identifier: MIT */
/*
 * The IOAPIC (82093AA data sheet; the EOI register of version 0x20 from the ICH data sheets). What
 * the data sheets leave open is as /dev/kvm 6.18 does it; each such place says so.
 *
 * One lock, handed in. Every function may be called from any thread, and may block on the lock for
 * as long as another one computes; nothing is called out while it is held, so a callback may call
 * back in. Two numbers of a pin keep what happens meanwhile straight:
 *
 *   episode	names the delivery that has set Remote-IRR, later ones by higher numbers, all pins
 *		together. Who wants to clear Remote-IRR after a callback (an EOI, or a delivery that
 *		nobody accepted) does so only for what was set before: a later episode is somebody
 *		else's delivery, which will have its own EOI. A write to the RTE that leaves
 *		Remote-IRR set is no new episode, or an EOI that crosses with a guest's masking
 *		would leave the pin stuck.
 *   generation	counts the reasons to try again a delivery that nobody accepted: writes of the RTE,
 *		and assertions that were refused because that delivery had Remote-IRR set.
 */
#ifndef CHIP_IOAPIC_H
#define CHIP_IOAPIC_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chip/deliver.h"
#include "chip/line_result.h"
#include "chip/rtc_tick.h"

#define IOAPIC_MIN_PINS	     24u
#define IOAPIC_MAX_PINS	     240u
#define IOAPIC_MMIO_SIZE     0x100u
#define IOAPIC_VERSION_82093 0x11u
#define IOAPIC_VERSION_EOI   0x20u
/* For ioapic_config.rtc_pin: no pin reports lost ticks. Also where deliver cannot note who gets them. */
#define IOAPIC_NO_PIN UINT32_MAX
/* For vmirq_ioapic_eoi(): every local APIC. */
#define IOAPIC_ANY_VCPU UINT32_MAX

/* What an IOAPIC calls, all with no lock held. All but deliver may be NULL. */
struct ioapic_calls {
	void *opaque;
	/* Send it; how many accepted decides Remote-IRR. Also for ExtINT, which /dev/kvm accepts
	 * nowhere (0). irq->tick: note there who gets it. */
	struct delivery (*deliver)(void *opaque, const struct interrupt *irq);
	/* What it resolves to, where config.map is given. */
	struct target (*resolve)(void *opaque, const struct interrupt *irq);
	/* An interrupt of this pin's vector has had its EOI. Before Remote-IRR clears: what the
	 * callback does to the line is seen when it is decided whether to deliver again. */
	void (*ack)(void *opaque, uint32_t pin);
	/* The RTE's mask bit has become this. */
	void (*mask_changed)(void *opaque, uint32_t pin, bool masked);
	/* A write to the RTE is about to deliver a level that has been high for a while: the callback
	 * may lower the line of a device that no longer wants it. /dev/kvm 6.18 asks resamplers here. */
	void (*stands)(void *opaque, uint32_t pin);
	/* What the pin sends has changed. */
	void (*changed)(void *opaque, uint32_t pin);
	/* For a state that was loaded: what has this vCPU of an RTE's vector? Without it ticks are
	 * forgotten where a state is loaded. */
	enum holding (*holds)(void *opaque, uint32_t vcpu, const struct interrupt *irq);
	/* An EOI storm: call vmirq_ioapic_retry() at this time of chip_host.now(). */
	void (*throttled)(void *opaque, uint32_t pin, uint64_t deadline_ns);
};

/* What an RTE's message came to. */
struct ioapic_known {
	uint64_t rte; /* with all its bits, as it was sent */
	/* The vector's, of the one descriptor that gets it; NULL: nothing is known, or it is not one. */
	_Atomic uint64_t *word;
	uint64_t generation; /* of the map, which that holds for */
};

struct ioapic_pin {
	uint64_t rte;
	struct ioapic_known known;
	uint64_t episode;    /* see above */
	uint32_t asserters;  /* sources that hold the line */
	uint32_t generation; /* see above */
	uint32_t eois;	     /* in a row that found the line high */
	bool irr;	     /* the line, as struct kvm_ioapic_state has it */
	bool delivered;	     /* and it was an edge that was sent already; see ioapic_state.c */
} __attribute__((aligned(CACHE_LINE)));

struct ioapic_config {
	struct chip_host host;
	void *mutex;
	struct ioapic_calls calls;
	struct ioapic_pin *pins; /* storage for `count` pins, as long as the IOAPIC lives */
	uint32_t count;
	uint32_t rtc_pin; /* see vmirq_ioapic_set_line_status() */
	uint32_t vcpus;	  /* how many there may be, for calls.holds */
	uint64_t base;
	uint8_t id;
	uint8_t version;
	struct msi_format format; /* ext_dest_id: RTE bits 55:49 are destination bits 14:8 */
	/* Of the local APICs that it posts to itself where that is known, and has calls.resolve for; or NULL. */
	const struct dest_map *map;
};

struct ioapic {
	struct ioapic_config config; /* constant */
	_Atomic uint64_t base;
	/* Written under the lock, read without. Vectors of level RTEs: */
	_Atomic uint64_t level_vectors[4];
	_Atomic uint64_t pin_vectors[IOAPIC_MAX_PINS / 8]; /* a byte a pin, masked or not */
	_Atomic uint64_t episodes;			   /* the last one named */
	_Atomic uint64_t sent;				   /* messages, whatever came of them */
	/* Under the lock, as are the pins: */
	uint32_t ioregsel;
	uint8_t id;
	struct rtc_tick rtc; /* see there for what needs no lock */
};

/* False, and nothing done: pins out of range, no such version, an id of more than four bits, a base
 * that is no multiple of 0x100, or no deliver. */
bool vmirq_ioapic_init(struct ioapic *ioapic, const struct ioapic_config *config);

/* The state after power-up. Lines stay as their sources hold them. */
void vmirq_ioapic_reset(struct ioapic *ioapic);

/* A debug check of what must always hold. */
bool vmirq_ioapic_validate(const struct ioapic *ioapic);

/*
 * Registers: ioapic_access.c.
 */

/* Does the whole access fall into its window? Without the lock. */
bool vmirq_ioapic_claims(const struct ioapic *ioapic, uint64_t gpa, uint32_t len);
/* An access of any width at any offset. `value` and the result: the low 8 * len bits. */
uint64_t vmirq_ioapic_read(struct ioapic *ioapic, uint64_t gpa, uint32_t len);
void vmirq_ioapic_write(struct ioapic *ioapic, uint64_t gpa, uint32_t len, uint64_t value);

/* The pin whose RTE this write would change, and what it would then send; IOAPIC_NO_PIN: none. */
uint32_t vmirq_ioapic_foresee(struct ioapic *ioapic, uint64_t gpa, uint32_t len, uint64_t value,
			      struct interrupt *irq);

/*
 * Lines.
 */

/* One source's own change, 0 -> 1 or 1 -> 0: sources of a line are counted. A pin out of range is
 * NO_ROUTE, -1. */
struct line_result vmirq_ioapic_set_line(struct ioapic *ioapic, uint32_t pin, bool level);

/* The same for a caller that wants to know whether a tick of the RTC got lost (as KVM_IRQ_LINE_STATUS
 * does; KVM_IRQ_LINE and an irqfd do not): on config.rtc_pin an assertion is coalesced until every
 * local APIC that accepted the tick before has made its EOI. */
struct line_result vmirq_ioapic_set_line_status(struct ioapic *ioapic, uint32_t pin, bool level);

/* A source has set the level that its line has already: nothing changes, but a level that could be
 * delivered is, as on /dev/kvm. status: as above. */
struct line_result vmirq_ioapic_look_at_line(struct ioapic *ioapic, uint32_t pin, bool status);

/* The same for whoever has the lock's type, and has taken it: one source more (1), fewer (-1), or none; the pin
 * is in range. Returns without the lock. What happens most is ioapic_raise() and ioapic_lower() in ioapic_pin.h. */
struct line_result vmirq_ioapic_change_unlock(struct ioapic *ioapic, uint32_t pin, int sources,
					      bool status);

/* This vCPU's local APIC has ended this vector. level: its TMR bit. Of an edge only acks are told, and
 * the RTC's tick. */
void vmirq_ioapic_eoi(struct ioapic *ioapic, uint32_t vcpu, uint8_t vector, bool level);

/* A local APIC was reset or is gone: the EOI that the last tick waits for does not come. */
void vmirq_ioapic_forget_tick(struct ioapic *ioapic, uint32_t vcpu);
/* A local APIC was loaded: it has the RTC's vector or has not. */
void vmirq_ioapic_restore_tick(struct ioapic *ioapic, uint32_t vcpu);

/* The deadline of `throttled` is over. Harmless at any other time. */
void vmirq_ioapic_retry(struct ioapic *ioapic, uint32_t pin);

/* The vectors that level RTEs have, masked or not. Without the lock. */
void vmirq_ioapic_vectors(const struct ioapic *ioapic, uint64_t vectors[4]);

/* What the pin would send; false if it is masked or there is no such pin. */
bool vmirq_ioapic_route(struct ioapic *ioapic, uint32_t pin, struct interrupt *irq);

/*
 * State: ioapic_state.c. Loading delivers what is pending, so it wants vCPUs that may be posted to.
 */

/* The kernel's own structure, of the first 24 pins. */
void vmirq_ioapic_save(struct ioapic *ioapic, struct kvm_ioapic_state *state);
/* False, and nothing done: no IOAPIC can be in this state. */
bool vmirq_ioapic_load(struct ioapic *ioapic, const struct kvm_ioapic_state *state);

struct ioapic_pin_state {
	uint64_t rte;
	bool irr;
};

/* The same of all pins. A load takes the first `count` and leaves the others. */
struct ioapic_state {
	uint64_t base;
	uint32_t ioregsel, id, count;
	struct ioapic_pin_state pin[IOAPIC_MAX_PINS];
};
void vmirq_ioapic_save_all(struct ioapic *ioapic, struct ioapic_state *state);
bool vmirq_ioapic_load_all(struct ioapic *ioapic, const struct ioapic_state *state);

/* One pin. */
bool vmirq_ioapic_save_pin(struct ioapic *ioapic, uint32_t pin, struct ioapic_pin_state *state);
bool vmirq_ioapic_load_pin(struct ioapic *ioapic, uint32_t pin,
			   const struct ioapic_pin_state *state);

/* How many sources hold the line: not in the kernel's structure, restored after the load. A line
 * that is high and that the loaded state did not know so rises. */
uint32_t vmirq_ioapic_asserters(struct ioapic *ioapic, uint32_t pin);
bool vmirq_ioapic_set_asserters(struct ioapic *ioapic, uint32_t pin, uint32_t asserters);

/*
 * All there is, but for the asserters, the RTC's holders and who waits for a retry: ioapic_image.c. To
 * put it sends nothing and calls nothing but `changed`: the IOAPIC goes on where the other stood.
 */
struct ioapic_image {
	uint64_t base;
	uint32_t ioregsel, id, endless_ticks, count;
	struct ioapic_pin_image {
		uint64_t rte;
		uint32_t eois;
		uint8_t irr, delivered;
		uint8_t reserved[2];
	} pin[IOAPIC_MAX_PINS];
};
void vmirq_ioapic_get_image(struct ioapic *ioapic, struct ioapic_image *image);
bool vmirq_ioapic_image_valid(const struct ioapic *ioapic, const struct ioapic_image *image);
/* A valid one; `asserters` of each pin. */
void vmirq_ioapic_put_image(struct ioapic *ioapic, const struct ioapic_image *image,
			    const uint32_t *asserters);

#endif
