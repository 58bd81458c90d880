/* SPDX-License-Identifier: MIT */
/*
 * The mailbox between a device process and the VMM: src/mailbox/mailbox.h, look.c and vmirq/mailbox_client.h. The
 * device sets a bit and loads LOOKING; where nobody looks it writes to the doorbell. Two of the VMM's threads look.
 * How many do is the VMM's own truth, which is not in the page; the first stores that it looks, the last that it does
 * not, fences, and takes once more what is there, no looker any longer, before it waits for the doorbell. Count and
 * word change together under a lock: NO_LOCK shows why. That the first fences before it looks is not needed: the last
 * finds what it missed.
 * ONCE: as the code, the word is a turn number, odd while somebody looks; the device rings once for each even value.
 * TWO: two threads of the device share what was rung for, which is stored after the ring. One of them may end
 * anywhere, and take its own signal with it, but no other. One of the VMM's threads looks; BOTH: two.
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
 * right: ONCE TWO
 * large: ONCE TWO BOTH
 * large: ONCE HOSTILE
 * wrong: NO_FENCE         the last looker does not fence
 * wrong: NO_DEVICE_FENCE  the device's set is no fence
 * wrong: NO_SCAN          the last looker does not scan again
 * wrong: SCAN_FIRST       it scans, then says that nobody looks
 * wrong: ONCE ONE_BIT    and the word only says whether somebody looks
 * wrong: ONCE TWO RUNG_FIRST it is stored before the ring
 * wrong: ONCE TWO NO_DEVICE_FENCE
 * wrong: ONCE TWO NO_SCAN
 * wrong: STAYS EACH_PARKS one that is not the last says that nobody looks
 * wrong: STAYS NO_LOCK    the count changes first, the word some time after
 * wrong: HOSTILE TRUST    the VMM takes from a page whether somebody looks
 */
#define DEVICE     0
#define SECOND     3 /* the device's other thread */
#define PROCS      4 /* and two lookers, 1 and 2 */
#define WORDS      8
#define BITS(d)    (d) /* device d's page; the hostile one's is 1 */
#define LOOKING(d) (2 + (d))
#define DATA       4
#define LOCK       5
#define RUNG       6
#define DATA2      7
#include "tso.pml"

#if defined(HOSTILE) || defined(TWO)
#define TIMES 1
#else
#define TIMES 2
#endif

bool bell[2];
byte lookers, turn; /* under LOCK */
byte seen;    /* of DATA */
byte seen2;   /* of DATA2 */
bool ended;   /* the second has, before it was through */
bool stays;   /* somebody looks, and will */

#ifdef TWO
inline may_end()
{
	if
	:: me == SECOND -> ended = true; goto out
	:: true
	fi
}

inline look_at_page()
{
	value = LOAD(me, LOOKING(0));
	rung = LOAD(me, RUNG)
}

inline set_rung()
{
	STORE(me, RUNG, value)
}
#else
#define may_end()      skip
/* Nobody else looks at what was rung for. */
#define look_at_page() d_step { value = LOAD(me, LOOKING(0)); rung = mem[RUNG] }
#define set_rung()     mem[RUNG] = value
#endif

proctype device(byte me; byte data)
{
	byte sent, value, rung;

#ifdef STAYS
	stays;
#endif
	do
	:: sent < TIMES ->
		sent++;
		STORE(me, data, sent);
#ifdef NO_DEVICE_FENCE
		STORE(me, BITS(0), 1);
#else
		atomic { LOCKED(me); mem[BITS(0)] = 1 }
#endif
		look_at_page();
		if
		:: (value & 1) == 0 && value != rung ->
			assert(!stays);
			may_end();
#if defined(ONCE) && defined(RUNG_FIRST)
			set_rung();
			may_end();
#endif
			/* A system call. */
			atomic { FENCE(me); bell[0] = true };
#if defined(ONCE) && !defined(RUNG_FIRST)
			may_end();
			set_rung()
#endif
		:: else
		fi
	:: else -> break
	od;
out:
	skip
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

inline see()
{
	seen = LOAD(me, DATA);
#ifdef TWO
	seen2 = LOAD(me, DATA2)
#endif
}

/* An exchange where something is seen. */
inline sweep()
{
	if
	:: LOAD(me, BITS(0)) -> atomic { LOCKED(me); mem[BITS(0)] = 0; see() }
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
		/* look_again(): and no scan after it. */
		:: some -> some = false; sweep()
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
	assert(seen == TIMES);
	/* A bit of one that has ended may stay: nobody has rung for it. */
	assert(ended || mem[BITS(0)] == 0);
#ifdef TWO
	assert(ended || seen2 == TIMES);
#endif
#ifndef STAYS
	assert((mem[LOOKING(0)] & 1) == 0)
#endif
}

init {
	atomic {
		mem[RUNG] = 255;
		run device(DEVICE, DATA);
#ifdef TWO
		run device(SECOND, DATA2);
		run drain(SECOND);
#endif
		run looker(1);
#if !defined(TWO) || defined(BOTH)
		run looker(2);
#endif
#ifdef HOSTILE
		run hostile();
#endif
		run judge();
		run drain(0);
		run drain(1);
		run drain(2)
	}
}
