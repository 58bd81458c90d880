/* SPDX-License-Identifier: MIT */
/*
 * A pirq: src/passthrough/{pirq.h,deliver.c,domain.c,bind.c}. Raisers; the worker that runs its work item; the
 * timer, where the rate allows so many; and who unbinds it and binds it again. The work item is defer.pml's:
 * here it is one that is raised, taken, cancelled and waited for in one step each.
 *
 * Every change of the word is one read-modify-write, so all is sequentially consistent.
 *
 * Checked: nothing is delivered while it is not bound; no item is raised that is gone; every raise has one outcome;
 * and when nothing moves any more, nothing that was raised is left over.
 *
 * right:
 * large: RATE=1
 * right: RATE=1 REBIND
 * large: REBIND
 * wrong: NO_GRACE           unbind does not wait for raisers
 * wrong: NO_CANCEL          it leaves the item queued
 * wrong: NO_WAIT            it does not wait for a run
 * wrong: READ_LATE          it reads how often it was raised after it has closed
 * wrong: TWO_STEPS          a raiser looks whether it is open, then adds
 * wrong: REBIND GOES_ON     bind goes on counting where unbind has left off
 * wrong: RATE=1 NO_UNLIST   the timer may still find it
 * wrong: RATE=1 RAISE_FIRST the timer raises the item, then turns THROTTLED off
 * wrong: RATE=1 TIMER_FIRST a run has the timer set, then turns THROTTLED on
 * wrong: RATE=1 NO_RAISE    the timer does not raise the item
 */
#ifndef RAISERS
#define RAISERS 2
#endif
#define TIMES 2 /* each */

/* The word. */
byte raised;
bool open, throttled;

byte served;
bool section[RAISERS];
/* The work item. */
bool item, sched, run_;
bool listed, list_lock;
bool resume; /* the timer is to come */
#ifdef RATE
byte tokens = RATE;
#endif

bool bound;
byte no_route, delivered, coalesced, deassigned, raises;

proctype raiser(byte me)
{
	byte n;
	bool was_open, was_throttled;

	do
	:: n < TIMES ->
		n++;
		section[me] = true;
#ifdef TWO_STEPS
		was_open = open;
		atomic { was_throttled = throttled; raised++; raises++ };
#else
		atomic { /* A */
			was_open = open;
			was_throttled = throttled;
			raised++;
			raises++
		};
#endif
		if
		:: !was_open -> no_route++
		:: was_open && !was_throttled -> atomic { assert(item); sched = true } /* B */
		:: else
		fi;
		section[me] = false
	:: else -> break
	od
}

/* vmirq_pirq_run() */
proctype worker()
{
	byte n;
	bool now_open, now_throttled, over;

end:	do
	:: atomic { item && sched && !run_ -> sched = false; run_ = true };
		atomic { n = raised - served; now_open = open; now_throttled = throttled };
		over = false;
		if
		:: n && now_open && !now_throttled ->
#ifdef RATE
			if
			:: tokens -> tokens--
			:: else -> over = true
			fi;
#endif
			if
			:: over ->
#ifdef TIMER_FIRST
				resume = true;
				throttled = true
#else
				throttled = true;
				resume = true
#endif
			:: else ->
				served = served + n;
				coalesced = coalesced + n - 1;
				atomic { assert(bound); delivered++ }
			fi
		:: else
		fi;
		n = 0;
		run_ = false
	od
}

#ifdef RATE
/* resume(): under list_mutex */
proctype timer()
{
end:	do
	:: atomic { resume && listed && !list_lock -> list_lock = true };
		if
		:: resume ->
			resume = false;
			tokens = RATE;
#if defined(RAISE_FIRST)
			atomic { assert(item); sched = true };
			throttled = false
#elif defined(NO_RAISE)
			throttled = false
#else
			throttled = false;
			atomic { assert(item); sched = true }
#endif
		:: else
		fi;
		list_lock = false
	od
}
#endif

proctype binder()
{
	byte closed, i;

	bound = true;
	item = true;
	listed = true;
	atomic { open = true; throttled = false; raised = 0 };

	if
	:: goto quiet /* it stays bound */
	:: true
	fi;
	/* Unbind. */
	atomic { open = false; throttled = false; closed = raised }; /* C */
#ifndef NO_UNLIST
	atomic { !list_lock -> list_lock = true };
	listed = false;
	list_lock = false;
#endif
#ifndef NO_GRACE
	do
	:: i < RAISERS -> !section[i]; i++ /* D */
	:: else -> break
	od;
#endif
	/* E */
#ifndef NO_CANCEL
	sched = false;
#endif
#ifndef NO_WAIT
	!run_;
#endif
	atomic { assert(!sched && !run_); item = false };
#ifdef READ_LATE
	closed = raised;
#endif
	if
	:: closed != served ->
		deassigned++;
		coalesced = coalesced + closed - served - 1
	:: else
	fi;
	bound = false;
#ifdef REBIND
#ifndef GOES_ON
	served = 0;
#endif
	resume = false;
	bound = true;
	item = true;
	listed = true;
#ifdef GOES_ON
	atomic { open = true; throttled = false };
#else
	atomic { open = true; throttled = false; raised = 0 };
#endif
#endif
quiet:	skip; /* When nothing moves any more. */
end:	timeout ->
	assert(!open || raised == served);
	assert(raises == no_route + delivered + coalesced + deassigned)
}

init {
	atomic {
		byte i;

		do
		:: i < RAISERS -> run raiser(i); i++
		:: else -> break
		od;
		run worker();
#ifdef RATE
		run timer();
#endif
		run binder()
	}
}
