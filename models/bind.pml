/* SPDX-License-Identifier: MIT */
/*
 * A mailbox's bit on its way from the page to an irqfd, while that is bound, unbound and another one bound: G to J in
 * src/mailbox/mailbox.h, sweep.c and bind.c. A sweep is a read section; it takes the bit from the page into KEPT, and
 * from there, where an irqfd is bound, to that. Bind stores the irqfd, then sweeps itself. Unbind sweeps, stores
 * none, and waits for the other's section; then the irqfd may go. The device raises twice.
 *
 * Checked: nothing signals an irqfd that is gone; when nothing moves any more nothing is left, and what was raised
 * was signalled or coalesced, once.
 *
 * right:
 * wrong: NO_SWEEP_FENCE   the sweep's G is no fence, nor follows one
 * wrong: NO_BIND_FENCE    bind's store is none, nor what it sweeps with
 * wrong: NO_LOOK          bind does not sweep
 * wrong: LOOK_FIRST       it sweeps, then stores
 * wrong: NO_WAIT          unbind does not wait for sections
 * wrong: TAKE_FIRST       a sweep takes the bit, then looks what it is bound to
 * wrong: TAKE_UNLOCKED    it takes the bit by a load and a store
 */
#define SWEEPER 0
#define BINDER	1
#define DEVICE	2
#define PROCS	3
#define PAGE	0
#define KEPT	1
#define IRQFD	2 /* 0: none */
#define SECTION 3 /* the sweeper's record */
#define WORDS	4
#include "tso.pml"

#define TIMES 2

byte raised, signalled, coalesced;
bool gone[3];

/* G; and the fence before H, which on x86 it is itself. */
inline gather(me)
{
	if
	:: LOAD(me, PAGE) ->
		atomic { LOCKED(me); got = mem[PAGE]; mem[PAGE] = 0 }
		if
		:: got ->
#ifdef NO_SWEEP_FENCE
			coalesced = coalesced + LOAD(me, KEPT);
			STORE(me, KEPT, 1)
#else
			atomic { LOCKED(me); coalesced = coalesced + mem[KEPT]; mem[KEPT] = 1 }
#endif
		:: else
		fi;
		got = 0
	:: else
	fi
}

inline take(me)
{
#ifdef TAKE_UNLOCKED
	taken = LOAD(me, KEPT);
	STORE(me, KEPT, 0)
#else
	atomic { LOCKED(me); taken = mem[KEPT]; mem[KEPT] = 0 }
#endif
}

/* H and J. */
inline serve(me)
{
	if
	:: LOAD(me, KEPT) ->
#ifdef TAKE_FIRST
		take(me);
		to = LOAD(me, IRQFD);
#else
		to = LOAD(me, IRQFD);
		if
		:: to -> take(me)
		:: else
		fi;
#endif
		if
		:: to && taken ->
			assert(!gone[to]);
			signalled++
		:: else
		fi;
		to = 0;
		taken = 0
	:: else
	fi
}

/* What is rung for is not modelled (mailbox.pml): while there is a bit somebody sweeps. */
proctype sweeper()
{
	byte got, to, taken;

end:	do
	:: mem[PAGE] ->
		atomic { LOCKED(SWEEPER); mem[SECTION] = 1 }
		gather(SWEEPER);
#ifndef NO_SWEEP_FENCE
		FENCE(SWEEPER);
#endif
		serve(SWEEPER);
		STORE(SWEEPER, SECTION, 0)
	od
}

inline look()
{
#ifndef NO_BIND_FENCE
	FENCE(BINDER);
#endif
	gather(BINDER);
#ifndef NO_BIND_FENCE
	FENCE(BINDER);
#endif
	serve(BINDER)
}

inline bind(irqfd)
{
#ifdef LOOK_FIRST
	look();
#endif
	STORE(BINDER, IRQFD, irqfd);
#if !defined(NO_LOOK) && !defined(LOOK_FIRST)
	look()
#endif
}

inline unbind(irqfd)
{
	look();
	atomic { LOCKED(BINDER); mem[IRQFD] = 0 }
#ifndef NO_WAIT
	/* Its section, or one that has begun later. */
	LOAD(BINDER, SECTION) == 0;
#endif
	gone[irqfd] = true
}

proctype binder()
{
	byte got, to, taken;

	bind(1);
	unbind(1);
	bind(2)
}

proctype device()
{
	byte left = TIMES;

	do
	:: left > 0 ->
		left--;
		/* The client is told 0 where it is one with the last. */
		atomic { raised = raised + 1 - mem[PAGE]; mem[PAGE] = 1 }
	:: else -> break
	od
}

/* When nothing else can move. */
proctype judge()
{
	timeout;
	assert(mem[PAGE] == 0 && mem[KEPT] == 0);
#ifndef NO_SWEEP_FENCE
	assert(signalled + coalesced == raised)
#endif
}

init {
	atomic {
		run sweeper();
		run binder();
		run device();
		run judge();
		run drain(SWEEPER);
		run drain(BINDER)
	}
}
