/* SPDX-License-Identifier: MIT */
/*
 * Posting, parking, waking and kicking: src/chip/posted.h (A, B: posted_set(), posted_duty()),
 * src/vcpu/{step,park}.c (C, D), src/vcpu/kick.c, src/kvm/kvm_run.c (immediate_exit), and destroy in
 * src/vcpu/table.c. Two posters, a vector each; the first posts twice. Both vectors are of one class; the
 * guest may be in a handler of that class (ppr_class), out of which it comes by itself, to EOI.
 *
 * Checked: when nothing moves any more, nothing is posted that the vCPU has not taken, and what a device
 * stored before its signal is seen by the handler; at most one poster wakes or kicks for one park or
 * entry; no wake or kick once the vCPU is destroyed and its callbacks released.
 *
 * right:
 * wrong: NO_FENCE_A   the poster's set is no fence: its look at the mode passes it
 * wrong: NO_FENCE_C   the vCPU stores its mode instead of exchanging it
 * wrong: NO_LOOK      the vCPU does not look again (D)
 * wrong: SKIP_IF_SET  the poster does not set a bit that it sees set
 * wrong: NO_CAS       the poster stores WAKING and KICKED
 * wrong: CLEAR_LATE   immediate_exit is cleared after the mode says "in the guest"
 * wrong: SIGNAL_FIRST a kick sends the signal, then sets immediate_exit
 * wrong: NO_GRACE     destroy does not wait for read sections
 * wrong: CLASS_LATE   ppr_class is stored when the mode says "in the guest" already
 * wrong: CLASS_STAYS  ppr_class is stored only where something is in service
 */
#define POSTERS 2
#define VCPU    POSTERS
#define PROCS   3
#define WORDS   7
#define MODE    0
#define EXIT    1 /* kvm_run->immediate_exit */
#define VEC(p)  (2 + (p))
#define DATA(p) (4 + (p)) /* what a device stored, without a lock, before it raised */
#define CLASS   6	  /* ppr_class: 1 = both vectors wait for the next exit */
#include "tso.pml"

#define DEAD     0
#define OUTSIDE  1
#define IN_GUEST 2
#define KICKED   3
#define PARKED   4
#define WAKING   5

byte seen[POSTERS]; /* of DATA, by the vector's handler */
byte sent[POSTERS];
bool section[POSTERS];
byte told;     /* who were told to wake or kick since the last park or entry */
bool asleep;   /* in the futex */
bool in_guest; /* in KVM_RUN */
bool kicked;   /* a signal has come while in the guest, or on its way into it */
bool released; /* the callbacks */

/* A thread outside KVM_RUN handles the signal, which does nothing. */
inline send_signal()
{
	atomic { kicked = in_guest }
}

inline set_exit()
{
	/* An exchange, as __ATOMIC_SEQ_CST compiles to. */
	atomic { LOCKED(me); mem[EXIT] = 1 }
}

inline act(from, to)
{
	bool won = false;
#ifdef NO_CAS
	atomic { STORE(me, MODE, to); told++; assert(told <= 1); won = true };
#else
	atomic {
		LOCKED(me);
		if
		:: mem[MODE] == from -> mem[MODE] = to; told++; assert(told <= 1); won = true
		:: else
		fi
	}
#endif
	if
	:: won ->
		assert(!released);
		if
		:: from == PARKED -> asleep = false
		:: else ->
#ifdef SIGNAL_FIRST
			send_signal();
			set_exit()
#else
			set_exit();
			send_signal()
#endif
		fi
	:: else
	fi;
	won = false
}

proctype poster(byte me; byte times)
{
	byte mode;

	do
	:: times > 0 ->
		times--;
		atomic { sent[me]++; STORE(me, DATA(me), sent[me]) }
		section[me] = true; /* with its fence: reader.pml */
		/* A */
#if defined(NO_FENCE_A)
		STORE(me, VEC(me), 1);
#elif defined(SKIP_IF_SET)
		if
		:: LOAD(me, VEC(me)) == 1
		:: else -> atomic { LOCKED(me); mem[VEC(me)] = 1 }
		fi;
#else
		atomic { LOCKED(me); mem[VEC(me)] = 1 }
#endif
		/* B */
		mode = LOAD(me, MODE);
		if
		:: mode == IN_GUEST ->
			if
			:: LOAD(me, CLASS) == 1
			:: else -> act(IN_GUEST, KICKED)
			fi
		:: mode == PARKED -> act(PARKED, WAKING)
		:: else
		fi;
		mode = 0;
		section[me] = false
	:: else -> break
	od
}

/* C */
inline set_mode(m)
{
#ifdef NO_FENCE_C
	atomic { STORE(VCPU, MODE, m); told = 0 }
#else
	atomic { LOCKED(VCPU); mem[MODE] = m; told = 0 }
#endif
}

/* D */
inline look(found)
{
	found = false;
#ifndef NO_LOOK
	if
	:: LOAD(VCPU, VEC(0)) == 1 -> found = true
	:: else
	fi;
	if
	:: LOAD(VCPU, VEC(1)) == 1 -> found = true
	:: else
	fi
#endif
}

/* vmirq_lapic_fold(); the handler runs at once. */
inline fold()
{
	v = 0;
	do
	:: v < POSTERS ->
		if
		:: atomic { LOAD(VCPU, VEC(v)) == 1 -> LOCKED(VCPU) }; mem[VEC(v)] = 0; seen[v] = LOAD(VCPU, DATA(v))
		:: LOAD(VCPU, VEC(v)) == 0
		fi;
		v++
	:: else -> break
	od;
	v = 0
}

proctype vcpu()
{
	byte own_exits = 1; /* exits that nobody asked for */
	byte v;
	bool found;
	bool handler; /* the guest is in one of the vectors' class */

step:
#ifndef CLEAR_LATE
	atomic { LOCKED(VCPU); mem[EXIT] = 0 }
#endif
again:
	if
	:: LOAD(VCPU, MODE) != OUTSIDE -> set_mode(OUTSIDE)
	:: else
	fi;
	fold();
	if
	:: goto park
	:: goto enter
	:: goto destroy
	fi;

park:
	set_mode(PARKED);
	look(found);
	if
	:: found -> goto again
	:: else
	fi;
	do
	:: LOAD(VCPU, MODE) == PARKED ->
		/* The kernel compares under its lock, then sleeps. */
		atomic { LOCKED(VCPU); asleep = (mem[MODE] == PARKED) };
end_park:	!asleep
	:: else -> break
	od;
	goto again;

enter:
	if
	:: handler = true
	:: handler = false
	fi;
#if defined(CLASS_STAYS)
	if
	:: handler -> STORE(VCPU, CLASS, 1)
	:: else
	fi;
#elif !defined(CLASS_LATE)
	STORE(VCPU, CLASS, handler);
#endif
	set_mode(IN_GUEST);
#ifdef CLASS_LATE
	STORE(VCPU, CLASS, handler);
#endif
	look(found);
	if
	:: found -> goto again
	:: else
	fi;
#ifdef CLEAR_LATE
	atomic { LOCKED(VCPU); mem[EXIT] = 0 };
#endif
	/* From here on a signal stays pending until KVM_RUN. */
	in_guest = true;
	if
	:: LOAD(VCPU, EXIT) == 1
	:: else ->
end_guest:	if
		:: kicked
		:: handler
		:: own_exits > 0 -> own_exits--
		fi
	fi;
	atomic { in_guest = false; kicked = false };
	goto step;

destroy:
	set_mode(DEAD);
#ifndef NO_GRACE
	!section[0];
	!section[1];
#endif
	released = true
}

/* When nothing else can move. */
proctype judge()
{
	timeout;
	assert(mem[MODE] == DEAD || (mem[VEC(0)] == 0 && mem[VEC(1)] == 0));
	assert(mem[MODE] == DEAD || (seen[0] == sent[0] && seen[1] == sent[1]))
}

init {
	atomic {
		mem[MODE] = OUTSIDE;
		run poster(0, 2);
		run poster(1, 1);
		run vcpu();
		run judge();
		run drain(0);
		run drain(1);
		run drain(2)
	}
}
