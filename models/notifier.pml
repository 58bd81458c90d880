/* SPDX-License-Identifier: MIT */
/*
 * Who is told of EOIs: vmirq_line_notify() and vmirq_notifier_remove() in src/line/notifier.c, with the sections
 * and the names of src/base/reader.[ch]. A list of three. A thread tells all of them, twice; two others remove the
 * first and the second.
 *
 * Checked: what is freed is neither walked over nor called; the third, which stays, is called each time; all get
 * through.
 *
 * right:
 * wrong: NO_FENCE       a section does not fence
 * wrong: NO_LOOK        who walks does not look whether one leaves
 * wrong: NAMED_LATE     it is named when the section has ended
 * wrong: UNNAMED_EARLY  it is not named any more when its successor is looked for
 * wrong: NO_FIRST_WAIT  who removes it does not wait for those who may have found it
 * wrong: NO_NAME_WAIT   nor for who calls it
 * wrong: NO_LAST_WAIT   nor for those who may stand on it
 * wrong: UNLINKED_EARLY it is unlinked before its call has ended, and does not lead to the next any more
 */
#define CALLER	0
#define PROCS	3
#define WORDS	8
#define STATE	0 /* the caller's record */
#define NAME	1
#define NEXT(n) (2 + (n)) /* 0: of the list's head */
#define LEAVES(n) (5 + (n)) /* 1, 2 */
#include "tso.pml"

#define ROUNDS 2

bool freed[4];
bool mutex;
byte calls;

#define LEAVING(n) ((n) < 3 && LOAD(CALLER, LEAVES(n)))

inline enter()
{
	STORE(CALLER, STATE, state + 1);
#ifndef NO_FENCE
	FENCE(CALLER);
#endif
	state++
}

inline leave()
{
	STORE(CALLER, STATE, state + 1);
	state++
}

/* From this one's successor on. */
inline find(from)
{
	assert(!freed[from]);
	next = (from == 3 -> 0 : LOAD(CALLER, NEXT(from)));
	do
	:: next == 0 -> break
	:: else ->
		assert(!freed[next]);
#ifndef NO_LOOK
		if
		:: LEAVING(next) ->
			assert(!freed[next]);
			next = LOAD(CALLER, NEXT(next))
		:: else -> break
		fi
#else
		break
#endif
	od
}

proctype caller()
{
	byte state, it, next, rounds;

	do
	:: rounds < ROUNDS ->
		calls = 0;
		enter();
		find(0);
		it = next;
		do
		:: it == 0 -> break
		:: else ->
#ifdef NAMED_LATE
			leave();
			STORE(CALLER, NAME, it);
#else
			STORE(CALLER, NAME, it);
			leave();
#endif
			/* The callback: its end may be late. */
			assert(!freed[it]);
			if
			:: it == 3 -> calls++
			:: else
			fi;
			assert(!freed[it]);
#ifdef UNNAMED_EARLY
			STORE(CALLER, NAME, 0);
			enter();
			find(it);
#else
			enter();
			find(it);
			STORE(CALLER, NAME, 0);
#endif
			it = next
		od;
		leave();
		assert(calls == 1);
		rounds++
	:: else -> break
	od
}

inline wait_for_sections(me)
{
	FENCE(me);
	seen = LOAD(me, STATE);
	if
	:: seen & 1 -> LOAD(me, STATE) != seen
	:: else
	fi;
	seen = 0
}

inline unlink_it(me)
{
	atomic { !mutex && FENCE(me) -> mutex = true };
	after = LOAD(me, NEXT(me));
	if
	:: LOAD(me, NEXT(0)) == me -> STORE(me, NEXT(0), after)
	:: else -> STORE(me, NEXT(1), after)
	fi;
	after = 0;
	atomic { LOCKED(me); mutex = false }
}

/* Who removes a notifier has its number. */
proctype remover(byte me)
{
	byte seen, after;

	STORE(me, LEAVES(me), 1);
#ifdef UNLINKED_EARLY
	unlink_it(me);
#endif
#ifndef NO_FIRST_WAIT
	wait_for_sections(me);
#endif
#ifndef NO_NAME_WAIT
	FENCE(me);
	LOAD(me, NAME) != me;
#endif
#ifndef UNLINKED_EARLY
	unlink_it(me);
#endif
#ifndef NO_LAST_WAIT
	wait_for_sections(me);
#endif
	freed[me] = true
}

init {
	atomic {
		mem[NEXT(0)] = 1;
		mem[NEXT(1)] = 2;
		mem[NEXT(2)] = 3;
		run caller();
		run remover(1);
		run remover(2);
		run drain(CALLER);
		run drain(1);
		run drain(2)
	}
}
