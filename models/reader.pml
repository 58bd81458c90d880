/* SPDX-License-Identifier: MIT */
/*
 * Read sections and their grace period: src/base/reader.h (A, B, C, D) and vmirq_reader_wait() in
 * reader.c. A thread with two sections, each like a signal: it loads what is published, then comes the
 * section's fence (the signal's counter), then it looks again. A signal handler of that thread, which
 * has a section too, comes between any two steps of it. Another thread unpublishes, waits, frees;
 * publishes something else, and does it again.
 *
 * Checked: nothing is used once it is freed; the waiter gets through.
 *
 * right:
 * wrong: NO_FENCE        the section's counter is no locked operation
 * wrong: NO_SECOND_LOOK  what was loaded before the fence is used
 * wrong: NO_WAITER_FENCE the waiter does not fence
 * wrong: NO_NESTING      the handler's section ends the one that it interrupts
 * wrong: WAIT_BEFORE     the waiter waits, then unpublishes
 */
#define THREAD 0 /* and its signal handler: one processor, one buffer */
#define WAITER 1
#define PROCS  2
#define WORDS  2
#define STATE  0 /* the thread's record */
#define PUBLIC 1 /* which object is published; 0: none */
#include "tso.pml"

bool freed[3];
bool handling; /* the handler runs: its thread does not */

/* reader_begin(), or READER_INNER. `state` stays in a register until the end. */
inline mark()
{
	state = LOAD(THREAD, STATE);
#ifndef NO_NESTING
	inner = state & 1;
#endif
	if
	:: inner
	:: else -> STORE(THREAD, STATE, state + 1)
	fi
}

/* reader_end() */
inline leave()
{
	if
	:: inner
	:: else -> STORE(THREAD, STATE, state + 2)
	fi;
	inner = false;
	state = 0
}

inline signal()
{
	mark();	/* A */
	object = LOAD(THREAD, PUBLIC);
#ifndef NO_FENCE
	LOCKED(THREAD);
#endif
#ifndef NO_SECOND_LOOK
	object = LOAD(THREAD, PUBLIC);	/* B */
#endif
	/* It uses it twice: the second time may be late. */
	assert(!freed[object]);
	assert(!freed[object]);
	object = 0;
	leave()
}

proctype thread() provided (!handling)
{
	byte state, object;
	bool inner;

	signal();
	signal()
}

/* Once, at any moment. */
proctype handler()
{
	byte state, object;
	bool inner;

	handling = true;
	signal();
	handling = false
}

inline wait()
{
#ifndef NO_WAITER_FENCE
	FENCE(WAITER);
#endif
	state = LOAD(WAITER, STATE);	/* D */
	if
	:: state & 1 -> LOAD(WAITER, STATE) != state
	:: else
	fi;
	state = 0
}

inline take_away(object)
{
#ifdef WAIT_BEFORE
	wait();
	STORE(WAITER, PUBLIC, 0);
	FENCE(WAITER);
#else
	STORE(WAITER, PUBLIC, 0);	/* C */
	wait();
#endif
	freed[object] = true
}

proctype waiter()
{
	byte state;

	take_away(1);
	STORE(WAITER, PUBLIC, 2);
	take_away(2)
}

init {
	atomic {
		mem[PUBLIC] = 1;
		run thread();
		run handler();
		run waiter();
		run drain(THREAD);
		run drain(WAITER)
	}
}
