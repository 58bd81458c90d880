/* SPDX-License-Identifier: MIT */
/*
 * What a thread holds, named in its record: reader_hold(), reader_let_go() and vmirq_reader_wait_use() in
 * src/base/reader.[ch], as src/kvm/dynamic.c uses them for the kernel's table: whoever sends a message holds
 * it from the look until the system call is done; who changes it closes it, waits, changes, opens it. Two
 * senders, of whom the second finds nothing and makes what it lacks under the mutex; one changer, twice.
 *
 * Checked: nobody holds what is being changed; what a sender found is what the table says when it sends;
 * all get through.
 *
 * right:
 * wrong: NO_FENCE        a sender does not fence between the name and the look
 * wrong: NO_WAITER_FENCE the changer does not
 * wrong: NO_LOOK         a sender does not look whether it is closed
 * wrong: KEEPS_NAME      a sender that finds it closed waits without letting go
 * wrong: LOCK_FIRST      a sender waits for the mutex without letting go
 * wrong: OPEN_FIRST      the changer opens it, then changes
 */
#define SENDERS 2
#define CHANGER SENDERS
#define PROCS	3
#define WORDS	5
#define CLOSED	2
#define TABLE	3 /* what it says */
#define MUTEX	4
#include "tso.pml"

#define HELD(p) (p) /* is its record naming the table? */

bool changing;

inline hold(me)
{
	STORE(me, HELD(me), 1);
#ifndef NO_FENCE
	FENCE(me)
#endif
}

inline let_go(me)
{
	STORE(me, HELD(me), 0)
}

proctype sender(byte me; bool makes)
{
	byte found;

	hold(me);
#ifndef NO_LOOK
	do
	:: LOAD(me, CLOSED) ->
#ifdef KEEPS_NAME
		!LOAD(me, CLOSED)
#else
		let_go(me);
		!LOAD(me, CLOSED);
		hold(me)
#endif
	:: else -> break
	od;
#endif
	if
	:: makes ->
#ifndef LOCK_FIRST
		let_go(me);
#endif
		atomic { LOCKED(me) && mem[MUTEX] == 0 -> mem[MUTEX] = 1 };
		/* Nobody closes it now. */
		found = LOAD(me, TABLE);
		STORE(me, HELD(me), 1);
		STORE(me, MUTEX, 0) /* lock_give(): a plain store */
	:: else ->
		found = LOAD(me, TABLE)
	fi;
	/* The system call. */
	assert(!changing);
	assert(found == LOAD(me, TABLE));
	assert(!changing);
	let_go(me)
}

inline change(to)
{
	atomic { LOCKED(CHANGER) && mem[MUTEX] == 0 -> mem[MUTEX] = 1 };
	STORE(CHANGER, CLOSED, 1);
#ifndef NO_WAITER_FENCE
	FENCE(CHANGER);
#endif
	LOAD(CHANGER, HELD(0)) == 0;
	LOAD(CHANGER, HELD(1)) == 0;
#ifdef OPEN_FIRST
	STORE(CHANGER, CLOSED, 0);
#endif
	changing = true;
	STORE(CHANGER, TABLE, to);
	FENCE(CHANGER);
	changing = false;
#ifndef OPEN_FIRST
	STORE(CHANGER, CLOSED, 0);
#endif
	STORE(CHANGER, MUTEX, 0)
}

proctype changer()
{
	change(1);
	change(2)
}

init {
	atomic {
		run sender(0, false);
		run sender(1, true);
		run changer();
		run drain(0);
		run drain(1);
		run drain(CHANGER)
	}
}
