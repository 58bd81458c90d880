/* SPDX-License-Identifier: MIT */
/*
 * The PC's interval timer: an 8254 (Intel 231164) at ports 0x40..0x43, the gate, speaker and refresh
 * bits of port 0x61, and counter 0's output on IRQ 0.
 *
 * One lock; nothing is called while it is held. The owner sleeps until vmirq_pit_deadline() and then
 * calls vmirq_pit_expire(); a deadline that a guest's access moved is announced by deadline_changed.
 * Every call but init may run on any thread; each is bounded, however far the clock has gone.
 */
#ifndef CHIP_PIT_H
#define CHIP_PIT_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "chip/host.h"
#include "chip/pit_channel.h"

#define PIT_FREQUENCY	 1193182u
#define PIT_CHANNELS	 3
#define PIT_PORT	 0x40
#define PIT_PORT_CONTROL 0x43
#define PIT_PORT_SPEAKER 0x61

/* The shortest period the kernel's PIT gives a guest (kvm.min_timer_period_us). */
#define PIT_SHORTEST_KVM 200000u

/* What becomes of ticks that come while the one before has not been acknowledged. */
enum pit_policy {
	PIT_DISCARD,  /* they merge with it */
	PIT_REINJECT, /* they are counted, and raised one at each acknowledgement; KVM's default */
};

struct pit_config {
	enum pit_policy policy;
	/* ns; a faster periodic output raises IRQ 0 only each so many-th time. 0: each time. */
	uint64_t shortest;
	void *opaque;
	/* No lock held; from any thread that calls in. Two calls a tick: high, low. */
	void (*set_irq)(void *opaque, bool level);
	/* No lock held; vmirq_pit_deadline() is another one now. May be NULL. */
	void (*deadline_changed)(void *opaque);
};

struct pit {
	struct chip_host host;
	struct pit_config config; /* set_irq, deadline_changed and opaque never change */
	void *mutex;		  /* guards all below, and config.policy */
	uint32_t shortest;	  /* in pulses */
	uint64_t tick;		  /* pulse of the last call */
	struct pit_channel channel[PIT_CHANNELS];
	bool speaker;
	bool hpet_legacy; /* the HPET has taken IRQ 0 (KVM_PIT_FLAGS_HPET_LEGACY) */
	/* PIT_REINJECT: ticks not acknowledged. The first of them is raised, the others wait. */
	uint32_t pending;
	uint64_t due;	 /* ticks that are over and not looked at; 0 outside the lock */
	uint64_t ticks;	 /* all, since init */
	uint64_t raised; /* of them, on IRQ 0 */
};

/* What struct kvm_pit_state2 cannot say, so that a counter goes on where it stood: from one
 * vmirq_pit_save() to the vmirq_pit_load() of its other half. Times are pulses before the save. */
struct pit_extra {
	struct {
		uint64_t elapsed; /* since run.start; as int64_t -1 if that is the next pulse */
		uint32_t until_next;
		uint32_t count_before;
		uint32_t run_count;
		uint32_t run_phase;
		uint32_t next_count;
		uint32_t next_phase;
		uint8_t counting;
		uint8_t held;
		uint8_t has_next;
		uint8_t unloaded;
		uint8_t fresh;
		uint8_t out_before;
		uint8_t reserved[2];
	} channel[PIT_CHANNELS];
	uint32_t pending;
};

/* The state after power-up. `host` and `config` are copied; of the host lock, unlock and now are
 * called. */
void vmirq_pit_init(struct pit *pit, const struct chip_host *host, void *mutex,
		    const struct pit_config *config);
void vmirq_pit_reset(struct pit *pit);
void vmirq_pit_set_policy(struct pit *pit, enum pit_policy policy);

/* A guest's access. False: not all of it is ours, as with the kernel's. A wider access than a byte
 * is one of its first byte, and what is read above that is 0 (seen on /dev/kvm). */
bool vmirq_pit_pio(struct pit *pit, uint16_t port, void *data, uint32_t len, bool is_write);

/* When IRQ 0 rises next, in ns of the host's clock; UINT64_MAX: never. */
uint64_t vmirq_pit_deadline(struct pit *pit);
/* The clock is at `now`: raise what is due. */
void vmirq_pit_expire(struct pit *pit, uint64_t now);
/* The guest has acknowledged IRQ 0: from an ack notifier, never from inside set_irq. */
void vmirq_pit_acked(struct pit *pit);
/* The guest has unmasked IRQ 0: what was raised before was lost, so nothing waits for its ack. */
void vmirq_pit_unmasked(struct pit *pit);

/* pit_state.c. In the kernel's own struct. `extra` may be NULL; without it a load starts every
 * count anew, as the kernel does. False: not a state a PIT can be in; nothing has changed. */
void vmirq_pit_save(struct pit *pit, struct kvm_pit_state2 *state, struct pit_extra *extra);
bool vmirq_pit_load(struct pit *pit, const struct kvm_pit_state2 *state,
		    const struct pit_extra *extra);
/* Would it load? */
bool vmirq_pit_loadable(struct pit *pit, const struct kvm_pit_state2 *state,
			const struct pit_extra *extra);

/* A check of what must always hold; the tests, fuzzers and debug builds call it. */
bool vmirq_pit_validate(struct pit *pit);

/* For pit.c and pit_state.c; under the lock. */
struct pit_outcome {
	bool raise;
	bool moved; /* the deadline */
};
void vmirq_pit_advance(struct pit *pit, uint64_t now);
/* No lock held. */
void vmirq_pit_announce(struct pit *pit, struct pit_outcome outcome);
uint64_t vmirq_pit_time_of(uint64_t tick);

#endif
