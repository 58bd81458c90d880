/* SPDX-License-Identifier: MIT */
/*
 * Masking, and switching between bypass and irqfd: the design's "Mask and switch". A producer's handle
 * has a state: POST (to the target itself), FALLBACK (through the eventfd) or MASKED. Two signallers; one
 * thread, by a lock of its own, masks and opens it again as one or the other, or switches between the two
 * without masking. The target lives only while it may be posted to.
 *
 *	signaller, met MASKED			who opens
 *	A: set pending (locked)			C: store the state
 *	B: load the state again; open:		   full fence
 *	   exchange pending, deliver		D: load pending; set: exchange it, deliver
 *
 * (On x86 an unconditional exchange at D would be the fence.) A signal is a read section, and mask or
 * switch away waits for those: base/reader.h, reader.pml.
 *
 * Checked: in the end, open, nothing is pending, and each signal was followed by a delivery; pending that
 * was set once is delivered once; nothing is delivered between mask's return and the opening; nothing is
 * posted to a target that is gone.
 *
 * right:
 * wrong: NO_SECOND_LOOK    the signaller does not load the state again
 * wrong: NO_SIGNAL_FENCE   its set of pending is no fence
 * wrong: NO_OPEN_FENCE     who opens does not fence
 * wrong: PENDING_FIRST     who opens looks at pending first
 * wrong: NO_EXCHANGE       pending is looked at, then stored
 * wrong: NO_GRACE          masking and switching do not wait for signals
 */
#define OPENER 2 /* after two signallers */
#define PROCS  3
#define WORDS  2
#define STATE  0
#define SET    1 /* pending */
#include "tso.pml"

#define POST     0
#define FALLBACK 1
#define MASKED   2
#define ROUNDS   2

byte sent;	/* signals begun */
byte handled;	/* those that the last delivery comes after */
byte sets, takes; /* of pending */
bool section[2];
bool target = true;
bool silent; /* mask has returned */
bool through; /* the opener is */

inline deliver(how)
{
	atomic {
		assert(!silent);
		assert(how != POST || target);
		handled = sent
	}
}

inline take_pending(how)
{
#ifdef NO_EXCHANGE
	if
	:: LOAD(me, SET) ->
		atomic { takes++; STORE(me, SET, 0) };
		deliver(how)
	:: else
	fi
#else
	atomic {
		LOCKED(me);
		took = mem[SET];
		mem[SET] = 0;
		takes = takes + took
	};
	if
	:: took -> deliver(how)
	:: else
	fi;
	took = false
#endif
}

proctype signaller(byte me; byte times)
{
	byte state;
	bool took;

	do
	:: times > 0 ->
		atomic { times--; sent++; section[me] = true };
		state = LOAD(me, STATE);
		if
		:: state != MASKED -> deliver(state)
		:: else ->
			/* A */
#ifdef NO_SIGNAL_FENCE
			atomic { sets = sets + !LOAD(me, SET); STORE(me, SET, 1) };
#else
			atomic { LOCKED(me); sets = sets + !mem[SET]; mem[SET] = 1 };
#endif
#ifndef NO_SECOND_LOOK
			state = LOAD(me, STATE);	/* B */
			if
			:: state != MASKED -> take_pending(state)
			:: else
			fi
#endif
		fi;
		state = 0;
		section[me] = false
	:: else -> break
	od
}

inline wait()
{
	FENCE(me);
#ifndef NO_GRACE
	!section[0];
	!section[1]
#endif
}

inline open(how)
{
	silent = false;
#ifdef PENDING_FIRST
	take_pending(how);
	STORE(me, STATE, how);
	FENCE(me)
#else
	STORE(me, STATE, how);	/* C */
#ifndef NO_OPEN_FENCE
	FENCE(me);
#endif
	if
	:: LOAD(me, SET) -> take_pending(how)	/* D */
	:: else
	fi
#endif
}

proctype opener()
{
	byte me = OPENER;
	byte round, how; /* it is now */
	bool took;

	do
	:: round < ROUNDS ->
		round++;
		if
		:: /* mask, and open as either */
			STORE(me, STATE, MASKED);
			wait();
			silent = true;
			if
			:: how = POST
			:: how = FALLBACK
			fi;
			target = (how == POST);
			open(how)
		:: how == POST ->
			how = FALLBACK;
			STORE(me, STATE, FALLBACK);
			wait();
			target = false
		:: how == FALLBACK ->
			how = POST;
			target = true;
			STORE(me, STATE, POST)
		fi
	:: else -> break
	od;
	through = true
}

/* When nothing else can move. */
proctype judge()
{
	timeout;
	assert(through && mem[SET] == 0 && handled == sent);
#ifndef NO_SIGNAL_FENCE /* which cannot count */
	assert(takes == sets)
#endif
}

init {
	atomic {
		run signaller(0, 2);
		run signaller(1, 1);
		run opener();
		run judge();
		run drain(0);
		run drain(1);
		run drain(2)
	}
}
