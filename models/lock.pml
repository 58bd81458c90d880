/* SPDX-License-Identifier: MIT */
/*
 * The one-word lock: src/base/lock.[ch] (A, B, C, D). Three threads, the first of which takes it twice. Who gives
 * it only looks and stores, so that a waiter may come in between; a nap ends its sleep, but only where that has
 * happened: each other sleeper must be woken.
 *
 * The store of "free" is the only one that may be late, so it alone has a buffer: late[], until it is seen.
 *
 * Checked: two never hold it; all get through; a nap for each waiter that was missed is enough.
 *
 * right:
 * wrong: NO_NAP      a sleep has no end
 * wrong: NOT_LOCKED  who takes it looks, then stores
 * wrong: NO_WAKE     who gives it wakes nobody
 * wrong: NO_LOOK     who gives it takes it for not waited for
 * wrong: TAKES_HELD  who has slept takes it as held: others who sleep are forgotten
 * wrong: NO_COMPARE  the sleeper does not look whether the word is still so
 */
#define THREADS 3

#define FREE	   0
#define HELD	   1
#define WAITED_FOR 2

byte word = FREE;
bool late[THREADS];   /* its "free" is on the way */
bool waited[THREADS]; /* at A, whether it looks or not, somebody waits */
bool asleep[THREADS];
byte missed; /* waiters that came between A and B, less the naps that ended for it */
byte inside;

/* Nobody else writes the word while it is held, but to say that it is waited for. */
inline seen(me)
{
	atomic {
		late[me] ->
		if
		:: word == WAITED_FOR && !waited[me] -> missed++
		:: else
		fi;
		word = FREE;
		late[me] = false
	}
}

proctype buffer(byte me)
{
end:	do
	:: seen(me)
	od
}

inline take(me)
{
#ifdef NOT_LOCKED
	was = word;
	if
	:: was == FREE -> atomic { !late[me] -> word = HELD }
	:: else
	fi;
#else
	/* A locked operation: what is late is through. The same in spin(). */
	atomic {
		!late[me] ->
		was = word;
		if
		:: was == FREE -> word = HELD
		:: else
		fi
	};
#endif
	do
	:: was == FREE -> break
	:: else ->
		/* C */
		atomic {
			!late[me] ->
			was = word;
#ifdef TAKES_HELD
			word = (was == FREE -> HELD : WAITED_FOR)
#else
			word = WAITED_FOR
#endif
		};
		if
		:: was == FREE
		:: else ->
			/* D */
			atomic {
				if
#ifndef NO_COMPARE
				:: word != WAITED_FOR
#endif
				:: else -> asleep[me] = true
				fi
			};
			if
			:: !asleep[me]
#ifndef NO_NAP
			:: atomic { asleep[me] && missed -> missed--; asleep[me] = false }
#endif
			fi
		fi
	od
}

inline give(me)
{
	/* A: nothing of its own is late here, or it had not got the lock. */
	waited[me] = (word == WAITED_FOR);
	late[me] = true; /* B */
#ifndef NO_WAKE
	if
#ifndef NO_LOOK
	:: waited[me] ->
		atomic {
			/* The system call. */
			!late[me] ->
			if
			:: asleep[0] -> asleep[0] = false
			:: asleep[1] -> asleep[1] = false
			:: asleep[2] -> asleep[2] = false
			:: !asleep[0] && !asleep[1] && !asleep[2]
			fi
		}
#endif
	:: else
	fi
#endif
}

proctype thread(byte me; byte times)
{
	byte was;

	do
	:: times > 0 ->
		times--;
		take(me);
		inside++;
		assert(inside == 1);
		inside--;
		give(me)
	:: else -> break
	od
}

init {
	atomic {
		run buffer(0);
		run buffer(1);
		run buffer(2);
		run thread(0, 2);
		run thread(1, 1);
		run thread(2, 1)
	}
}
