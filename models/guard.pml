/* SPDX-License-Identifier: MIT */
/*
 * A guarded write: src/pump/guard.[ch] (A, B, C, D, E; look_at(), make_room()). Two ringers of one eventfd,
 * the first twice; whoever else holds it, who fills it twice, so that a write may block; with READER one who reads
 * it, also between the guard's look whether it is full and its read, which is then of what was rung since; and
 * the guard, which looks, or wants to sleep, whenever it likes.
 *
 * Checked: when nothing moves any more nobody is stuck in a write; for each time that the guard reads something, somebody
 * has filled it: of who only rings and reads it takes nothing.
 *
 * right:
 * right: READER
 * wrong: READER STILL_FULL what the guard reads is full still
 * wrong: NO_FENCE_A   entering is no locked operation: the look at the guard's state passes it
 * wrong: NO_FENCE_C   the guard stores that it sleeps
 * wrong: NO_LOOK      the guard does not look again (D)
 * wrong: RUNG_ONLY    it sleeps where nothing was rung since, with somebody inside
 * wrong: LEAVE_EARLY  the ringer leaves, then writes
 * wrong: NO_WAKE      the ringer does not look at the guard's state
 * wrong: NOT_IF_FULL  the guard reads it without a look whether it is full
 */
#define RINGERS 2
#define GUARD   RINGERS
#define PROCS   3
#define WORDS   2
#define RINGS   0 /* guarded_fd.rings: RING for each, and who is inside */
#define STATE   1
#include "tso.pml"

#define ASLEEP 0
#define AWAKE  1

#define RING   4
#define INSIDE 3

#define FULL   4 /* the eventfd's: 2^64-2; more than is rung */

byte count; /* in the eventfd */
byte fills = 2;
bool filled; /* since the guard has read it */
bool slept; /* in the futex */

/* Blocks while it is full. */
inline write_one()
{
	atomic { count < FULL -> count++ }
}

inline leave()
{
	atomic { LOCKED(me); mem[RINGS] = mem[RINGS] - 1 }	/* E */
}

proctype ringer(byte me; byte times)
{
	byte rings;

	do
	:: times > 0 ->
		times--;
		/* A */
#ifdef NO_FENCE_A
		d_step { rings = LOAD(me, RINGS) + RING + 1; STORE(me, RINGS, rings); rings = 0 }
#else
		atomic { LOCKED(me); mem[RINGS] = mem[RINGS] + RING + 1 };
#endif
		/* B */
#ifndef NO_WAKE
		if
		:: LOAD(me, STATE) == ASLEEP ->
			atomic {
				LOCKED(me);
				if
				:: mem[STATE] == ASLEEP -> mem[STATE] = AWAKE; slept = false
				:: else
				fi
			}
		:: else
		fi;
#endif
#ifdef LEAVE_EARLY
		leave();
		write_one()
#else
		write_one();
		leave()
#endif
	:: else -> break
	od
}

proctype peer()
{
end:	do
	:: atomic { fills > 0 && count < FULL -> fills--; count = FULL; filled = true }
	od
}

#ifdef READER
proctype reader()
{
	byte n;

end:	do
	:: atomic { n < 2 && count > 0 -> n++; count = 0 }
	od
}
#endif

/* vmirq_fd_drain() */
inline drain_it()
{
	atomic {
#ifdef STILL_FULL
		assert(count == FULL);
#endif
		if
		:: count > 0 -> assert(filled); filled = false; count = 0
		:: else
		fi
	}
}

inline read_it()
{
#ifdef NOT_IF_FULL
	drain_it()
#else
	if
	:: count == FULL -> drain_it() /* is_full() */
	:: else
	fi
#endif
}

/* look_at(), at any look: that the code waits for a second one, and looks sooner after it, only says when. What
 * it reads in one look, it reads here in several. */
inline look()
{
	rings = LOAD(GUARD, RINGS);	/* D */
	busy = rings != seen;
#ifndef RUNG_ONLY
	busy = busy || (rings & INSIDE);
#endif
	seen = rings;
	if
	:: (rings & INSIDE) ->
		read_it()
	:: else
	fi;
	rings = 0
}

proctype guard()
{
	byte rings, seen;
	bool busy;

awake:
	/* A tick is not a step that is waited for: there is one only where it would do something. */
	if
	:: LOAD(GUARD, RINGS) != seen || ((LOAD(GUARD, RINGS) & INSIDE) && count == FULL) ->
		look();
		busy = false;
		goto awake
	:: true
	fi;
	/* C */
#ifdef NO_FENCE_C
	STORE(GUARD, STATE, ASLEEP);
#else
	atomic { LOCKED(GUARD); mem[STATE] = ASLEEP };
#endif
#ifndef NO_LOOK
	look();
#endif
	if
	:: busy -> atomic { LOCKED(GUARD); mem[STATE] = AWAKE }
	:: else ->
		/* The kernel compares under its lock, then sleeps. */
		atomic { LOCKED(GUARD); slept = mem[STATE] == ASLEEP };
end:		!slept
	fi;
	busy = false;
	goto awake
}

init {
	atomic {
		mem[STATE] = AWAKE;
		run ringer(0, 2);
		run ringer(1, 1);
		run peer();
#ifdef READER
		run reader();
#endif
		run guard();
		run drain(0);
		run drain(1);
		run drain(GUARD)
	}
}
