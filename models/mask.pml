/* SPDX-License-Identifier: MIT */
/*
 * Masking an irqfd: src/irqfd/mask.h (A, B) with the copy of its target in signal.c, and deassign. Two
 * signallers, or one that signals twice; one owner, who masks it, routes it elsewhere, opens it, and at
 * last may deassign it.
 *
 *	signaller				owner
 *	enter a section; load head, posted	mask: gate |= MASKED (locked); resolve; wait for
 *	a post: the count's fence,		  sections
 *	  load head again, the same: post	unmask:
 *	else: fence; load head, gate, route;	B: old = gate, gate = 0 (locked); resolve; old had
 *	  store what it came to, if the head	  PENDING: raise
 *	  is the same (compare and swap);	deassign: head = GONE; wait for sections; drop what
 *	  post, or				  is pending
 *	A: gate: MASKED -> MASKED | PENDING
 *	   (locked); is open: begin again
 *
 * resolve: load gate and route, then be the copy's only writer (compare and swap) and store what it came to.
 * The head has a number that each write changes.
 *
 * Checked: nothing is posted between mask's return and the opening, nor after deassign; a post after that
 * goes by the route of that time; in the end, open, nothing is pending and each signal was followed by a
 * post; each signal has one outcome, or is the one that is pending.
 *
 * right: ONE            one signaller
 * right: ONE MASKED_LAST it is masked when it is deassigned
 * right: ONE TWICE      it signals again
 * right: ONE TWICE MASKED_LAST
 * large:
 * large: MASKED_LAST
 * wrong: ONE TWICE NO_COUNT_FENCE  the count is no locked operation
 * wrong: ONE TWICE NO_SECOND_LOOK  the head is not loaded again
 * wrong: ONE TWICE NO_NUMBER       nor does it tell two posts apart
 * wrong: ONE TWICE STORES_BLINDLY  a signal's copy is stored whatever the head is by now
 * wrong: ONE TWICE ROUTE_FIRST     a signal loads gate and route, then the head that it compares with
 * wrong: ONE TWICE COPY_FIRST      mask resolves, then sets the gate
 * wrong: ONE TWICE NO_EXCHANGE     who opens looks at the gate, then stores it
 * wrong: ONE TWICE SETS_PENDING    the signaller sets PENDING also where the gate is open
 * wrong: ONE TWICE NO_GRACE        mask and deassign do not wait for signals
 */
#define OWNER   2 /* after two signallers */
#define PROCS	3
#define WORDS	6
#define SECTION 0 /* and 1 */
#define HEAD	2
#define POSTED	3
#define GATE	4
#define ROUTE	5
#include "tso.pml"

/* The head: what kind, whether it is being written, and a number. */
#define HELD	0
#define POST	1
#define GONE	2
#define UNKNOWN 3 /* as HELD: the next signal resolves it */
#define KIND(h) ((h) & 3)
#define WRITTEN 4
#ifdef NO_NUMBER
#define NEXT(h) 0
#else
#define NEXT(h) (((h) & 248) + 8)
#endif

/* The gate. */
#define MASKED	1
#define PENDING 2


byte sent;	  /* signals begun */
byte outcomes;	  /* of them */
byte handled;	  /* those that the last post comes after */
byte current = 1; /* the route */
bool silent;	  /* mask has returned, or deassign */
bool gone;
bool through; /* the owner is */

inline post(target)
{
	atomic {
		LOCKED(me);
		assert(!silent);
		assert(target == current);
		outcomes++;
		handled = sent
	}
}

inline look_at_route()
{
	if
	:: LOAD(me, GATE) & MASKED -> target = 0
	:: else -> target = LOAD(me, ROUTE)
	fi
}

/* put_target() */
inline put(h)
{
	if
	:: target -> STORE(me, POSTED, target); STORE(me, HEAD, NEXT(h) | POST)
	:: else -> STORE(me, HEAD, NEXT(h) | HELD)
	fi
}

/* try_route(), until it is through */
inline slowly()
{
	FENCE(me);
	again = true;
	do
	:: again ->
#ifdef ROUTE_FIRST
		look_at_route();
		head = LOAD(me, HEAD);
#else
		head = LOAD(me, HEAD);
#endif
		if
		:: KIND(head) == GONE -> atomic { outcomes++; again = false }
		:: else ->
#ifndef ROUTE_FIRST
			look_at_route();
#endif
			atomic {
				LOCKED(me);
				if
#ifdef STORES_BLINDLY
				:: !(mem[HEAD] & WRITTEN) && KIND(mem[HEAD]) != GONE ->
					head = mem[HEAD];
#else
				:: !(head & WRITTEN) && mem[HEAD] == head ->
#endif
					mem[HEAD] = head | WRITTEN;
					writer = true
				:: else
				fi
			};
			if
			:: writer -> put(head); writer = false
			:: else
			fi;
			if
			:: target -> post(target); again = false
			:: else ->	/* A */
				atomic {
					LOCKED(me);
					if
#ifndef SETS_PENDING
					:: !(mem[GATE] & MASKED)
					:: else ->
#else
					:: true ->
#endif
						if
						:: mem[GATE] & PENDING -> outcomes++
						:: else -> mem[GATE] = mem[GATE] | PENDING
						fi;
						again = false
					fi
				}
			fi
		fi
	:: else -> break
	od
}

proctype signaller(byte me)
{
	byte head, target;
	bool again, writer;
#ifdef TWICE
	bool before;

more:
#endif
	sent++;
	STORE(me, SECTION + me, 1);
	head = LOAD(me, HEAD);
	target = LOAD(me, POSTED);
	if
	:: KIND(head) == POST && !(head & WRITTEN) ->
#ifndef NO_COUNT_FENCE
		LOCKED(me);
#endif
#ifndef NO_SECOND_LOOK
		again = LOAD(me, HEAD) != head
#endif
	:: else -> again = true
	fi;
	if
	:: again -> slowly()
	:: else -> post(target)
	fi;
	head = 0;
	target = 0;
	again = false;
	STORE(me, SECTION + me, 0);
#ifdef TWICE
	if
	:: !before -> before = true; goto more
	:: else
	fi
#endif
}

inline lock_copy()
{
	atomic {
		LOCKED(me) && !(mem[HEAD] & WRITTEN);
		head = mem[HEAD];
		mem[HEAD] = head | WRITTEN
	}
}

inline resolve()
{
	look_at_route();
	lock_copy();
	put(head);
	head = 0;
	target = 0
}

inline wait()
{
	FENCE(me);
#ifndef NO_GRACE
	LOAD(me, SECTION) == 0;
	LOAD(me, SECTION + 1) == 0
#endif
}

inline set_masked()
{
	atomic { LOCKED(me); mem[GATE] = mem[GATE] | MASKED }
}

inline mask()
{
#ifdef COPY_FIRST
	lock_copy();
	put(head); /* no target */
	head = 0;
	set_masked();
#else
	set_masked();
	resolve();
#endif
	wait();
	silent = true
}

/* Of a masked one. */
inline reroute()
{
	current = 3 - current;
	STORE(me, ROUTE, current)
}

inline unmask()
{
	silent = false;
#ifdef NO_EXCHANGE
	old = LOAD(me, GATE);
	STORE(me, GATE, 0);
	FENCE(me);
#else
	atomic { LOCKED(me); old = mem[GATE]; mem[GATE] = 0 };	/* B */
#endif
	resolve();
	if
	:: old & PENDING -> post(current)
	:: else
	fi;
	old = 0
}

inline deassign()
{
	lock_copy();
	STORE(me, HEAD, NEXT(head) | GONE);
	head = 0;
	gone = true;
	wait();
	silent = true;
	atomic {
		LOCKED(me);
		if
		:: mem[GATE] & PENDING -> outcomes++; mem[GATE] = mem[GATE] & MASKED
		:: else
		fi
	}
}

proctype owner()
{
	byte me = OWNER;
	byte head, target, old;

	mask();
	if
	:: reroute()
	:: true
	fi;
	unmask();
#ifdef MASKED_LAST
	mask();
	deassign();
#else
	if
	:: deassign()
	:: true
	fi;
#endif
	through = true
}

/* When nothing else can move. */
proctype judge()
{
	timeout;
	assert(through && !(mem[GATE] & PENDING) && sent == outcomes);
	assert(gone || handled == sent)
}

init {
	atomic {
		mem[HEAD] = NEXT(0) | UNKNOWN;
		mem[POSTED] = current;
		mem[ROUTE] = current;
		run signaller(0);
#ifndef ONE
		run signaller(1);
#endif
		run owner();
		run judge();
		run drain(0);
		run drain(1);
		run drain(2)
	}
}
