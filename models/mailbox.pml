/* SPDX-License-Identifier: MIT */
/*
 * The mailbox between a device process and the VMM, by the design's "Mailbox". The device sets a bit and
 * loads LOOKING; where nobody looks it writes to the doorbell. Two of the VMM's threads look. How many do
 * is the VMM's own truth, which is not in the page; the first stores that it looks, the last that it does
 * not, fences, and scans again before it waits for the doorbell. Count and word change together under a
 * lock: NO_LOCK shows why. That the first fences before it looks is not needed: the last finds what it
 * missed.
 * ONCE: the word is a turn number, odd while somebody looks; the device rings once for each even value.
 * HOSTILE: a second device process, with a page and a doorbell of its own, writes anything into them.
 * STAYS: one of the two looks for ever once it has begun, and only then does the device signal.
 *
 * Checked: when nothing moves any more, no bit is set in the first device's page, what it stored before
 * was seen, and its LOOKING is even. While somebody STAYS the doorbell is silent, and a bit is seen.
 *
 * right:
 * right: HOSTILE
 * right: STAYS
 * right: ONCE
 * large: ONCE HOSTILE
 * wrong: NO_FENCE         the last looker does not fence
 * wrong: NO_DEVICE_FENCE  the device's set is no fence
 * wrong: NO_SCAN          the last looker does not scan again
 * wrong: SCAN_FIRST       it scans, then says that nobody looks
 * wrong: ONCE ONE_BIT    and the word only says whether somebody looks
 * wrong: STAYS EACH_PARKS one that is not the last says that nobody looks
 * wrong: STAYS NO_LOCK    the count changes first, the word some time after
 * wrong: HOSTILE TRUST    the VMM takes from a page whether somebody looks
 */
#define DEVICE     0
#define PROCS      3 /* and two lookers, 1 and 2 */
#define WORDS      6
#define BITS(d)    (d) /* device d's page; the hostile one's is 1 */
#define LOOKING(d) (2 + (d))
#define DATA       4
#define LOCK       5
#include "tso.pml"

#ifdef HOSTILE
#define TIMES 1
#else
#define TIMES 2
#endif

bool bell[2];
byte lookers, turn; /* under LOCK */
byte seen;    /* of DATA */
bool stays;   /* somebody looks, and will */

proctype device()
{
	byte sent, value, rung = 255;

#ifdef STAYS
	stays;
#endif
	do
	:: sent < TIMES ->
		sent++;
		STORE(DEVICE, DATA, sent);
#ifdef NO_DEVICE_FENCE
		STORE(DEVICE, BITS(0), 1);
#else
		atomic { LOCKED(DEVICE); mem[BITS(0)] = 1 }
#endif
		value = LOAD(DEVICE, LOOKING(0));
		if
		:: (value & 1) == 0 && value != rung ->
#ifdef ONCE
			rung = value;
#endif
			assert(!stays);
			/* A system call. */
			atomic { FENCE(DEVICE); bell[0] = true }
		:: else
		fi
	:: else -> break
	od
}

#ifdef HOSTILE
proctype hostile()
{
	byte left = 2;

	do
	:: left > 0 ->
		left--;
		if
		:: mem[BITS(1)] = 1
		:: mem[LOOKING(1)] = 1
		:: mem[LOOKING(1)] = 0
		:: bell[1] = true
		fi
	:: break
	od
}
#endif

inline lock()
{
	atomic { LOCKED(me) && mem[LOCK] == 0 -> mem[LOCK] = 1 }
}

inline unlock()
{
	STORE(me, LOCK, 0)
}

inline next_turn()
{
#if defined(ONCE) && !defined(ONE_BIT)
	turn++;
#else
	turn = 1 - turn;
#endif
	STORE(me, LOOKING(0), turn);
#ifdef HOSTILE
	STORE(me, LOOKING(1), turn)
#endif
}

inline begin()
{
#ifdef NO_LOCK
	atomic { LOCKED(me); lookers++; first = (lookers == 1) }
#else
	lock();
	atomic { lookers++; first = (lookers == 1) }
#endif
	if
	:: first -> next_turn()
	:: else
	fi;
#ifndef NO_LOCK
	unlock();
#endif
	first = false
}

inline end()
{
#ifdef NO_LOCK
	atomic { LOCKED(me); lookers--; last = (lookers == 0) }
#else
	lock();
	atomic { lookers--; last = (lookers == 0) }
#endif
#ifdef TRUST
	last = LOAD(me, LOOKING(1)) & 1;
#endif
	if
#ifdef EACH_PARKS
	:: true -> next_turn()
#else
	:: last -> next_turn()
	:: else
#endif
	fi;
#ifndef NO_LOCK
	unlock()
#endif
}

inline scan()
{
	some = false;
	if
	:: LOAD(me, BITS(0)) -> some = true
	:: else
	fi;
#ifdef HOSTILE
	if
	:: LOAD(me, BITS(1)) -> some = true
	:: else
	fi
#endif
}

/* An exchange where something is seen. */
inline sweep()
{
	if
	:: LOAD(me, BITS(0)) -> atomic { LOCKED(me); mem[BITS(0)] = 0; seen = LOAD(me, DATA) }
	:: else
	fi;
#ifdef HOSTILE
	if
	:: LOAD(me, BITS(1)) -> atomic { LOCKED(me); mem[BITS(1)] = 0 }
	:: else
	fi
#endif
}

proctype looker(byte me)
{
	bool first, last, some;

look:
	begin();
#ifdef STAYS
	if
	:: me == 2 ->
		FENCE(me);
		stays = true;
end_stays:	do
		:: LOAD(me, BITS(0)) -> sweep()
		od
	:: else
	fi;
#endif
	sweep();
	if
	:: sweep()
	:: true
	fi;
#ifdef SCAN_FIRST
	scan();
#endif
	end();
	if
	:: last ->
		last = false;
#ifndef NO_FENCE
		FENCE(me);
#endif
#ifndef SCAN_FIRST
		scan();
#endif
#ifdef NO_SCAN
		some = false;
#endif
		if
		:: some -> some = false; goto look
		:: else
		fi
	:: else -> some = false
	fi;
	/* Both wait on both doorbells; one of them is woken, and reads. */
end_wait:
	atomic { bell[0] || bell[1] -> bell[0] = false; bell[1] = false };
	goto look
}

/* When nothing else can move. */
proctype judge()
{
	timeout;
	assert(mem[BITS(0)] == 0 && seen == TIMES);
#ifndef STAYS
	assert((mem[LOOKING(0)] & 1) == 0)
#endif
}

init {
	atomic {
		run device();
		run looker(1);
		run looker(2);
#ifdef HOSTILE
		run hostile();
#endif
		run judge();
		run drain(0);
		run drain(1);
		run drain(2)
	}
}
