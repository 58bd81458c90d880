/* SPDX-License-Identifier: MIT */
/*
 * Work that is put off: src/defer/{defer.h,work.c,worker.c}. One item; raisers; a server per worker; and
 * the item's owner, who cancels, leaves the worker and frees the item, perhaps after it was run.
 * AGAIN: the item's run may raise it once more. FLUSH: the owner flushes, while the item is raised.
 * DESTROY: the first worker's server ends and destroys it, and the second is the heir.
 *
 * Every step of a protocol here is one read-modify-write or taken under a lock, so all is sequentially
 * consistent: fences are reader.pml's. A push onto the stack of what was raised is one step. Orders of
 * several items are not modelled.
 *
 * Checked: neither item nor worker is touched once it is freed; the item hangs in one list, once; one
 * run at a time; whatever was raised is run, also where nobody else moves; a flush returns after a run
 * that saw what was raised before it; raises that returned true = runs + what cancel threw away; nobody
 * waits for ever.
 *
 * right: AGAIN RAISERS=3
 * right: FLUSH
 * right: FLUSH AGAIN RAISERS=1
 * right: DESTROY AGAIN RAISERS=1
 * large: DESTROY FLUSH RAISERS=1
 * large: DESTROY AGAIN
 * wrong: FLUSH AGAIN RAISERS=1 MISS_ON_LIST cancel waits for SCHED and RUN only
 * wrong: MISS_RUN  cancel waits for SCHED and ON_LIST only
 * wrong: OFF_FIRST pop turns ON_LIST off, then takes the item off the list
 * wrong: FLUSH AGAIN RAISERS=1 SCHED_STAYS the end of a run leaves SCHED without a list
 * wrong: FLUSH AGAIN RAISERS=1 END_IN_TWO  the end of a run looks at SCHED, then turns RUN off
 * wrong: FLUSH AGAIN RAISERS=1 RUN_TWICE   pop does not look at RUN
 * wrong: FLUSH AGAIN RAISERS=1 FLUSH_ONE   flush waits for one run, not for all that was raised
 * wrong: NO_LOOK   a worker sleeps without looking again
 * wrong: DESTROY RAISERS=1 NO_GRACE_1 raisers may still append while the list is spliced
 * wrong: DESTROY RAISERS=1 NO_GRACE_2 who looks into the list is not waited for
 */
#ifndef RAISERS
#define RAISERS 2
#endif

/* Threads, by their read sections: two raisers, then */
#define OWNER	2
#define SERVER	3 /* and 4 */
#define THREADS 5 /* with sections that count: where we DESTROY, two raisers at most */
#define NONE	2 /* no worker */

/* The item. */
bool sched, run_, on_list;
byte ended;
byte home, at = NONE;
bool in_items = true; /* its home's */
bool freed;
/* Workers; `pushed` and `ready`: the item hangs in it. */
bool pushed[2], ready[2];
bool locked[2], awake[2], woken[2], gone[2];
byte servers[2];

byte section[THREADS]; /* odd: inside */
byte owed; /* raises that returned true, less runs and what cancel threw away */
byte raisers = RAISERS;
bool running;
#ifdef AGAIN
bool once_more = true;
#endif
#ifdef FLUSH
byte raises; /* begun */
byte raised; /* the newest of those that have returned */
byte done;   /* those that ended runs have seen */
#endif

#define ITEM	  assert(!freed)
#define WORKER(w) assert(!gone[w])

#ifdef DESTROY
#define ENTER atomic { section[me] = (section[me] + 1) % 4 }
#define EXIT  ENTER
#else
#define ENTER skip
#define EXIT  skip
#endif

inline lock(w)
{
	atomic { WORKER(w); !locked[w] -> locked[w] = true }
}

inline unlock(w)
{
	atomic { WORKER(w); locked[w] = false }
}

/* worker_ring(): B */
inline ring(w)
{
	if
	:: atomic { !awake[w] -> WORKER(w) };
		if
		:: atomic { !awake[w] -> awake[w] = true; WORKER(w) };
			atomic { WORKER(w); woken[w] = true }
		:: atomic { awake[w] -> WORKER(w) }
		fi
	:: atomic { awake[w] -> WORKER(w) }
	fi
}

/* append(): in a section. */
inline append()
{
	atomic { ITEM; to = home };
	atomic { ITEM; at = to };
	atomic { /* A */
		ITEM; WORKER(to);
		assert(!pushed[0] && !pushed[1] && !ready[0] && !ready[1]);
		pushed[to] = true
	};
	ring(to);
	to = NONE
}

inline raise()
{
#ifdef FLUSH
	atomic { raises++; mine = raises };
#endif
	ENTER;
	atomic {
		ITEM;
		was = on_list;
		if
		:: !sched -> owed++
		:: else
		fi;
		sched = true;
		on_list = true
	};
	if
	:: !was -> append()
	:: else
	fi;
	was = false;
#ifdef FLUSH
	atomic {
		if
		:: mine > raised -> raised = mine
		:: else
		fi;
		mine = 0
	};
#endif
	EXIT
}

/* vmirq_work_take(), one step */
inline take(off)
{
	ITEM;
#ifdef RUN_TWICE
	taken = sched;
#else
	taken = sched && !run_;
#endif
	if
	:: off -> on_list = false
	:: else
	fi;
	if
	:: taken -> sched = false; run_ = true; assert(owed == 1); owed--
	:: else
	fi
}

/* vmirq_work_run() with end_run() */
inline run_it()
{
	atomic { ITEM; assert(!running); running = true };
#ifdef FLUSH
	saw = raises;
#endif
#ifdef AGAIN
	if
	:: once_more -> once_more = false; raise()
	:: true
	fi;
#endif
#ifdef FLUSH
	done = saw;
	saw = 0;
#endif
	running = false;
	ENTER;
#if defined(END_IN_TWO)
	atomic { ITEM; again = sched && !on_list };
	atomic { ITEM; run_ = false; ended++; on_list = on_list || again };
#else
	atomic {
		ITEM;
		again = sched && !on_list;
#ifdef SCHED_STAYS
		again = false;
#endif
		run_ = false;
		ended++;
		on_list = on_list || again
	};
#endif
	if
	:: again -> again = false; append()
	:: else
	fi;
	EXIT
}

/* The mutex of w is held. */
inline gather(w)
{
	atomic {
		WORKER(w);
		if
		:: pushed[w] -> ITEM; pushed[w] = false; ready[w] = true
		:: else
		fi
	}
}

proctype raiser(byte me)
{
	byte mine, to = NONE;
	bool was;

	raise();
	raisers--
}

/* D: vmirq_reader_wait() */
inline grace()
{
	i = 0;
	do
	:: i < THREADS ->
		state = section[i];
		if
		:: state & 1 -> section[i] != state
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0;
	state = 0
}

proctype server(byte w)
{
	byte me = SERVER + w;
	byte mine, to = NONE, saw, i, state;
	bool was, taken, again, any;

sleep:
end:	if
	:: woken[w] -> woken[w] = false
#ifdef DESTROY
	:: w == 0 -> goto destroy
#endif
	fi;
serve:	/* vmirq_defer_worker_run() */
	atomic { WORKER(w); !locked[w] -> locked[w] = true; servers[w]++; awake[w] = true };
	do
	:: true ->
		/* pop() */
		if
		:: !ready[w] -> gather(w)
		:: else
		fi;
		if
		:: !ready[w] -> break
		:: else
		fi;
#ifdef OFF_FIRST
		atomic { take(true) };
		atomic { ITEM; ready[w] = false; at = NONE };
#else
		atomic { ITEM; ready[w] = false; at = NONE };
		atomic { take(true) };
#endif
		if
		:: taken ->
			taken = false;
			unlock(w);
			run_it();
			lock(w)
		:: else
		fi
	:: true -> break /* as many as it was to run */
	od;
	/* has_more() */
	any = ready[w];
#ifndef NO_LOOK
	if
	:: !any ->
		awake[w] = false;	/* C */
		any = pushed[w]		/* D */
	:: else
	fi;
	if
	:: any -> awake[w] = true
	:: else
	fi;
#else
	if
	:: !any -> any = pushed[w]; awake[w] = any
	:: else
	fi;
#endif
	atomic { WORKER(w); servers[w]--; locked[w] = false };
	if
	:: any -> any = false; goto serve
	:: else -> goto sleep
	fi;

#ifdef DESTROY
destroy:
	/* unpublish(): C */
	lock(0);
	assert(servers[0] == 0);
	lock(1);
	atomic {
		if
		:: in_items -> ITEM; home = 1
		:: else
		fi
	};
	unlock(1);
	unlock(0);
#ifndef NO_GRACE_1
	grace();
#endif
	/* splice() */
	lock(0);
	lock(1);
	gather(0);
	gather(1);
	atomic {
		if
		:: ready[0] -> ITEM; ready[0] = false; ready[1] = true; at = 1; any = true
		:: else
		fi
	};
	unlock(1);
	unlock(0);
	if
	:: any -> any = false; ring(1)
	:: else
	fi;
#ifndef NO_GRACE_2
	grace();
#endif
	atomic { assert(!locked[0]); gone[0] = true }
#else
	skip
#endif
}

/* lock_unlinked(): in a section; `from`: the worker, locked. */
inline lock_unlinked()
{
	atomic { ITEM; from = at };
	if
	:: from != NONE ->
		lock(from);
		if
		:: at == from -> gather(from)
		:: else
		fi;
		if
		:: atomic { at == from && ready[from] -> ITEM; ready[from] = false; at = NONE }
		:: else -> unlock(from); from = NONE
		fi
	:: else
	fi
}

/* A loop of the code that waits goes again when another turn may do something. */
#define FOUND (at != NONE && (pushed[at] || ready[at]) && !locked[at])

inline flush()
{
	want = raised;
	atomic { ITEM; goal = ended + run_ + sched };
#ifdef FLUSH_ONE
	goal = ended + 1;
#endif
	do
	:: true ->
		atomic { ITEM; s = sched; r = run_; o = on_list; e = ended };
		if
		:: !s && !r && !o -> break
		:: e >= goal && (s || r) -> break
		:: else
		fi;
		if
		:: !r ->
			ENTER;
			lock_unlinked();
			atomic { take(from != NONE) };
			if
			:: from != NONE -> unlock(from); from = NONE
			:: else
			fi;
			EXIT;
			if
			:: taken -> taken = false; run_it(); goto again_flush
			:: else
			fi
		:: else
		fi;
		sched != s || run_ != r || on_list != o || ended != e || (!r && FOUND);
again_flush:	skip
	od;
	assert(done >= want);
	want = 0; goal = 0; s = 0; r = 0; o = 0; e = 0
}

inline cancel()
{
	do
	:: true ->
		ENTER;
		lock_unlinked();
		atomic {
			ITEM;
			if
			:: sched -> assert(owed == 1); owed--
			:: else
			fi;
			r = run_;
			o = on_list && from == NONE;
			sched = false;
			on_list = o
		};
		if
		:: from != NONE -> unlock(from); from = NONE
		:: else
		fi;
		EXIT;
#if defined(MISS_ON_LIST)
		o = false;
#elif defined(MISS_RUN)
		r = false;
#endif
		if
		:: !r && !o -> break
		:: else
		fi;
		sched || run_ != r || on_list != o || FOUND
	od;
	r = false;
	o = false
}

inline leave_home()
{
	ENTER;
	do
	:: true ->
		atomic { ITEM; from = home };
		lock(from);
		if
		:: home == from -> in_items = false; unlock(from); break
		:: else -> unlock(from)
		fi
	od;
	EXIT;
	from = NONE
}

proctype owner()
{
	byte me = OWNER;
	byte mine, to = NONE, from = NONE, saw, want, goal, e;
	bool was, taken, again, s, r, o;

#ifdef FLUSH
	flush();
#endif
	if
	:: raisers == 0 -> !sched && !run_ && !on_list /* the servers' work */
	:: raisers == 0
	fi;
	cancel();
	leave_home();
	assert(owed == 0);
	freed = true
}

init {
	atomic {
		run raiser(0);
#if RAISERS > 1
		run raiser(1);
#endif
#if RAISERS > 2
		run raiser(SERVER + 2);
#endif
		run server(0);
#ifdef DESTROY
		run server(1);
#endif
		run owner()
	}
}
