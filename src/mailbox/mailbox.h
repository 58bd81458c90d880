/* SPDX-License-Identifier: MIT */
/*
 * A mailbox: the page that it shares with a device, and all that is the VMM's own.
 *
 * Nothing is ever believed that the page says but which bits are set. `turn` is the truth about who looks;
 * the page's `looking` is its copy for the device. Odd: there is a looker.
 *
 *	device (mailbox_client.h)		last looker leaves (look.c)
 *	A: set the bit (locked)			C: looking = even
 *	   (sequentially consistent)		   full fence
 *	B: load looking; even: ring		D: load the bits, take them
 *
 * Either B sees C and rings, or D sees A.
 *
 * The device rings once for each even value. That it has rung for B's value says that a turn of the pump is
 * still to come, which looks so:
 *
 *	device					first looker comes
 *	A: set the bit				E: looking = odd
 *	B: load looking; the even value that	   full fence
 *	   it has rung for: nothing		F: load the bits, take them
 *
 * Either B sees E, or F sees A. B then saw an odd value: there is a looker, and the last one does C and D.
 *
 * Taking: bits go from the page into `kept`, and from there to the irqfds they are bound to. What is bound to
 * nothing, or is over the rate, stays in `kept`.
 *
 *	sweep (sweep.c)				bind (bind.c)
 *	G: kept |= bits (locked)		I: store the irqfd
 *	   full fence				   full fence
 *	H: load the irqfd; none: leave it	J: load kept, take it and signal
 *
 * Either H sees I or J sees G. Whoever clears a bit of `kept` (locked) signals it. A sweep is a read section;
 * unbind stores NULL and waits for those: see base/reader.h.
 *
 * Over the rate: the throttle is a looker itself, from when it begins to when its timer ends it and looks.
 * So a device that behaves does not ring; for one that does, its doorbell is not listened to.
 *
 * Locks: config_mutex, then mutex. Nothing is waited for under mutex, which read sections take.
 */
#ifndef MAILBOX_MAILBOX_H
#define MAILBOX_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arch.h"
#include "base/rate.h"
#include "pump/timer.h"

#include <vmirq/mailbox.h>

struct mailbox_bit {
	struct vmirq_irqfd *_Atomic irqfd; /* NULL: bound to nothing */
	bool own;			   /* we assigned it; under config_mutex */
};

struct vmirq_mailbox {
	struct vmirq_vm *vm;
	struct vmirq_pump *pump;
	struct vmirq_mailbox_page *page;
	uint32_t bytes, count, words;
	int memfd, doorbell;
	uint32_t entry; /* the doorbell's, in the pump */
	struct pump_timer timer;
	_Atomic uint64_t *kept; /* words */
	struct mailbox_bit *bit;

	pthread_mutex_t mutex; /* of the next five */
	uint64_t turn;	       /* as in the page */
	uint32_t lookers;
	uint32_t pollers; /* of them: by vmirq_mailbox_start_looking() */
	struct rate rate;
	bool closing;
	_Atomic bool throttled; /* these three: relaxed, read also without it */
	_Atomic uint64_t resume_at;
	_Atomic uint32_t next; /* who is served first where not all can be */

	pthread_mutex_t config_mutex; /* of what is bound, and of the watched socket */
	int peer;		      /* -1: none */
	uint32_t peer_entry;
	void (*peer_dead)(void *opaque);
	void *peer_opaque;
	_Atomic bool dead;

	/* Relaxed. */
	_Atomic uint64_t raised, signalled, coalesced, dropped, doorbells, throttles;
};

/* sweep.c: is there anything in the page? */
bool vmirq_mailbox_filled(const struct vmirq_mailbox *mailbox);
/* sweep.c: take what is in the page, and pass on what can be; how many were. */
uint32_t vmirq_mailbox_look(struct vmirq_mailbox *mailbox);
/* sweep.c: throw away what is there of a word. */
void vmirq_mailbox_drop(struct vmirq_mailbox *mailbox, uint32_t w);

/* look.c: one more looker; one less, who looks again if it was the last, and says how many it passed on. */
void vmirq_mailbox_enter(struct vmirq_mailbox *mailbox);
uint32_t vmirq_mailbox_leave(struct vmirq_mailbox *mailbox);
/* look.c: a look by who need not look already. */
uint32_t vmirq_mailbox_turn(struct vmirq_mailbox *mailbox);
/* look.c: the doorbell's callback; the timer's. */
bool vmirq_mailbox_rung(void *opaque);
void vmirq_mailbox_expired(void *opaque);
/* look.c: it is over its rate; or was, and may go on. */
void vmirq_mailbox_throttle(struct vmirq_mailbox *mailbox);
uint32_t vmirq_mailbox_resume(struct vmirq_mailbox *mailbox);
/* look.c: of `want` signals, how many the rate allows; and those that were not used, back. */
uint32_t vmirq_mailbox_allow(struct vmirq_mailbox *mailbox, uint32_t want);
void vmirq_mailbox_give_back(struct vmirq_mailbox *mailbox, uint32_t n);

/* bind.c: everything, at the end. */
void vmirq_mailbox_unbind_all(struct vmirq_mailbox *mailbox);
/* peer.c: config_mutex is held, or nobody else is left. */
void vmirq_mailbox_unwatch(struct vmirq_mailbox *mailbox);

#endif
