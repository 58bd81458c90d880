/* SPDX-License-Identifier: MIT */
/*
 * Switching between bypass and eventfd: src/irqfd/trigger.c, and bypass.c with assign.c and deassign.c on
 * the other side. Two signallers of one trigger; the VMM, which takes the irqfd away and binds another to
 * the same eventfd; the pump, which reads the eventfd whenever an irqfd is bound.
 *
 *	signaller				who deassigns
 *	A: enter a section; the count's fence	C: target = NULL
 *	B: load target;				   full fence
 *	   look at the irqfd: which way is it,	D: wait for sections
 *	   and does the kernel read it?		   drain the eventfd, and the irqfd goes,
 *	   to the irqfd, in the section;	   and its VM with it
 *	   or leave, and write
 *
 * Who reads a bound irqfd's eventfd changes at any moment, and the look at it is ordered by nothing: so any answer
 * is tried. (The reader here is one, whoever it is; that none of what is written is lost or read twice when it goes
 * from one to the other is said in src/irqfd/mask.h and place.c.)
 *
 * Checked: no signal is given to an irqfd that has gone, or is not there yet, nor is its memory looked at;
 * in the end each signal was raised once, by whichever way, but for what is unread in the eventfd.
 *
 * right:
 * wrong: NO_FENCE        the count is no locked operation
 * wrong: LOOKS_FIRST     the target is loaded and looked at before the fence, then loaded again
 * wrong: NO_SECOND_LOOK  the target of before the fence is used
 * wrong: NO_GRACE        who deassigns does not wait
 * wrong: NO_WAITER_FENCE he does not fence
 * wrong: WAIT_BEFORE     he waits, then takes the target away
 * wrong: TARGET_FIRST    the target is given before the irqfd is bound
 * wrong: CHOOSES_TWICE   whether to write is decided after the section
 */
#define VMM    2 /* after two signallers */
#define PROCS  3
#define WORDS  3
#define STATE  0 /* and 1: who is in a section */
#define TARGET 2 /* which irqfd; 0: none */
#include "tso.pml"

bool bound[3];
byte sent, raised, unread;
bool through;

proctype signaller(byte me; byte times)
{
	byte target;

	do
	:: times > 0 ->
		times--;
		STORE(me, STATE + me, 1);	/* A */
#ifdef LOOKS_FIRST
		target = LOAD(me, TARGET);
		assert(!target || bound[target]);
#endif
#ifdef NO_SECOND_LOOK
		target = LOAD(me, TARGET);
#endif
#ifndef NO_FENCE
		LOCKED(me);
#endif
#ifndef NO_SECOND_LOOK
		target = LOAD(me, TARGET);	/* B */
		assert(!target || bound[target]);
#endif
		if
		:: target -> assert(bound[target]); target = 0	/* the kernel reads it */
		:: target -> atomic { assert(bound[target]); sent++; raised++ }
		:: else
		fi;
		STORE(me, STATE + me, 0);
#ifdef CHOOSES_TWICE
		sent = sent + !target;
		if
		:: !LOAD(me, TARGET) -> unread++
		:: else
		fi;
#else
		if
		:: !target -> atomic { sent++; unread++ }
		:: else
		fi;
#endif
		target = 0
	:: else -> break
	od
}

inline drain_eventfd()
{
	atomic { raised = raised + unread; unread = 0 }
}

proctype pump()
{
end:	do
	:: atomic { (bound[1] || bound[2]) && unread -> raised = raised + unread; unread = 0 }
	od
}

inline wait()
{
#ifndef NO_WAITER_FENCE
	FENCE(VMM);
#endif
#ifndef NO_GRACE
	LOAD(VMM, STATE) == 0;	/* D */
	LOAD(VMM, STATE + 1) == 0
#endif
}

inline deassign(irqfd)
{
#ifdef WAIT_BEFORE
	wait();
	STORE(VMM, TARGET, 0);
	FENCE(VMM);
#else
	STORE(VMM, TARGET, 0);	/* C */
	wait();
#endif
	drain_eventfd();
	bound[irqfd] = false
}

inline assign(irqfd)
{
#ifdef TARGET_FIRST
	STORE(VMM, TARGET, irqfd);
	bound[irqfd] = true
#else
	bound[irqfd] = true;
	STORE(VMM, TARGET, irqfd)
#endif
}

proctype vmm()
{
	assign(1);
	deassign(1);
	assign(2);
	deassign(2);
	through = true
}

/* When nothing else can move. */
proctype judge()
{
	timeout;
	assert(through && raised + unread == sent && sent == 3)
}

init {
	atomic {
		run signaller(0, 2);
		run signaller(1, 1);
		run vmm();
		run pump();
		run judge();
		run drain(0);
		run drain(1);
		run drain(2)
	}
}
