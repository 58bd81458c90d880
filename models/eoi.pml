/* SPDX-License-Identifier: MIT */
/*
 * EOIs of pirqs: src/passthrough/{intx,deliver,unmask,bind}.c. Two on one GSI; 0's source nobody masks, 1's masks itself
 * until its unmask. A vCPU, which begins with an interrupt of the VMM's own on this line: its handler asks all
 * devices, then ends the interrupt. The worker that runs the work items (see pirq.pml: here raised and
 * taken in one step each). Who ends one in the guest's stead (ENDER; LEFT: in a read section, so that the worker is
 * left the unmask), who moves the GSI to a message and back (ROUTER), who unbinds one (UNBIND).
 *
 * The pin is a level RTE's: in service until its Remote-IRR is cleared, which is after acked(). PIC: an 8259's, where
 * the ISR bit goes before acked().
 *
 * Checked: pending is never under 0; the line is up while something is asserted, and only then; unmask is called once
 * for each run whose interrupt has ended, and not when unbind has returned; nobody uses a link that is gone. And when nothing moves any more,
 * the handler has asked each device after its last raise (unless that was ended in the guest's stead), and nothing
 * is pending.
 *
 * right:
 * right: ENDER=0
 * large: ENDER=1
 * right: ROUTER
 * right: PIC
 * right: UNBIND=0
 * right: UNBIND=1 ENDER=1
 * right: UNBIND=1 ENDER=1 LEFT
 * large: PIC ENDER=0
 * wrong: NO_AGAIN           what is raised while it is asserted is taken to be served
 * wrong: NO_LATE            the EOI of another's interrupt ends it
 * wrong: NO_EXTRA           a run counts nothing of its own while it asserts
 * wrong: ENDER=0 NO_LATE_END what is asserted again in the guest's stead is ended by the EOI that it overtook
 * wrong: ROUTER PULSE_LOWERS a message lowers the line that another holds
 * wrong: ROUTER ONE_LOOK    a message that went to a pin by then is thought to have been one
 * wrong: ROUTER FREE       what goes to a message when it is looked at has nothing in service
 * wrong: PIC NO_ENDING      an 8259's pin is thought free before its EOI was told
 * wrong: UNBIND=1 UNCOUNTED who calls unmask is counted after the lock is gone
 * wrong: UNBIND=1 NO_WAIT   unbind does not wait for it
 * wrong: UNBIND=1 ENDER=1 NO_WAIT_BEFORE it does not wait for who goes by the link
 * wrong: UNBIND=1 ENDER=1 LEFT NO_CLOSE it does not call what is left
 * wrong: UNBIND=1 OWED      it drops what an EOI owes already
 * wrong: UNBIND=1 STAYS_UP  the last that leaves does not lower the line
 */
#define PIRQS 2
#define MASKS(p) ((p) == 1) /* its source, until the unmask */
/* Raised. */
#if defined(UNBIND) && defined(ENDER)
#define TIMES(p) 1
#else
#define TIMES(p) (2 - MASKS(p))
#endif

/* The GSI. */
bool mutex, sources, message_route;
byte asserted;
/* The pin; and messages on their way. */
bool others, in_service, posted, ending, message;

/* The pirqs and their links. */
bool linked[PIRQS], link_asserted[PIRQS], again[PIRQS], late[PIRQS], owes[PIRQS];
byte pending[PIRQS], calls[PIRQS];
bool due[PIRQS]; /* a run's unmask */
bool bound[PIRQS], open[PIRQS], queued[PIRQS], running[PIRQS];
bool left, leftover; /* its unmask, to the worker; that is at it */
bool coming[PIRQS]; /* in a run that has asserted nothing yet */
/* Their devices. */
bool wants[PIRQS], masked[PIRQS];

#define HIGH ((sources && !message_route) || others)

/* Each is one step with what is done first, or last, under the lock. */
#define LOCK !mutex -> mutex = true
#define UNLOCK assert(sources == (asserted > 0)); mutex = false

/* Within an atomic. */
inline look_at_pin()
{
#ifdef PIC
	skip
#else
	if
	:: HIGH && !in_service -> in_service = true; posted = true
	:: else
	fi
#endif
}

inline set_line(up)
{
	atomic {
		sources = up;
		if
		:: up && message_route -> message = true
		:: else
		fi;
		look_at_pin()
	}
}

/* The handler, in one step: what matters is what is raised after it, and before the EOI. */
inline ask_devices()
{
	wants[0] = false;
	wants[1] = false
}

inline end_link(p)
{
	if
	:: link_asserted[p] ->
		link_asserted[p] = false;
		again[p] = false;
		late[p] = false;
		assert(asserted > 0 && pending[p] > 0);
		asserted--;
		pending[p]--;
		if
		:: pending[p] == 0 && MASKS(p) -> owes[p] = true
		:: else
		fi
	:: else
	fi
}

inline unmask(p)
{
	atomic {
		assert(bound[p] && due[p]);
		due[p] = false;
		masked[p] = wants[p];
		queued[p] = queued[p] || (wants[p] && open[p])
	}
}

/* vmirq_line_in_service() */
#ifdef FREE
#define IN_SERVICE(p) (!MASKS(p) && !message_route && (in_service || ending))
#else
#define IN_SERVICE(p) (!MASKS(p) && (message_route || in_service || ending))
#endif

/* assert_link() */
inline assert_link(p)
{
	atomic { LOCK; coming[p] = false; to_message = message_route };
	if
	:: to_message ->
		atomic { end_link(p); set_line(true) };
#ifdef PULSE_LOWERS
		set_line(false);
#else
		if
		:: !asserted -> set_line(false)
		:: else
		fi;
#endif
#ifndef ONE_LOOK
		to_message = message_route
#endif
	:: else
	fi;
	if
	:: to_message -> UNLOCK
	:: !to_message && link_asserted[p] ->
		atomic {
#ifndef NO_AGAIN
			again[p] = !MASKS(p);
#endif
			UNLOCK
		}
	:: else ->
		atomic {
			link_asserted[p] = true;
			pending[p]++;
			asserted++;
			busy = asserted > 1 && !MASKS(p) || IN_SERVICE(p)
		};
		atomic {
			if
			:: asserted == 1 -> set_line(true)
			:: else
			fi;
#ifndef NO_LATE
			late[p] = busy;
#endif
			busy = false;
			UNLOCK
		}
	fi;
	to_message = false
}

proctype worker()
{
	byte p;
	bool busy, to_message, ended;

end:	do
	:: atomic {
			if
			:: queued[0] -> p = 0
			:: queued[1] -> p = 1
			fi;
			queued[p] = false;
			running[p] = true;
			coming[p] = true;
			assert(!due[p]);
			due[p] = MASKS(p)
		};
#ifndef NO_EXTRA
		pending[p]++;
#endif
		assert_link(p);
#ifdef NO_EXTRA
		ended = pending[p] == 0;
#else
		atomic { assert(pending[p] > 0); pending[p]--; ended = pending[p] == 0 };
#endif
		if
		:: ended && MASKS(p) -> unmask(p)
		:: else
		fi;
		atomic { running[p] = false; ended = false; p = 0 }
	od
}

#define OWES(p) (linked[p] && owes[p])

/* vmirq_pirq_unmask_outside(); `inside` a read section. */
inline pay(inside)
{
	do
	:: atomic { !mutex && (OWES(0) || OWES(1)) ->
			q = (OWES(0) -> 0 : 1);
			owes[q] = false;
#ifndef UNCOUNTED
			calls[q]++
#endif
		};
#ifdef UNCOUNTED
		calls[q]++;
#endif
		if
		:: inside -> atomic { assert(!left); left = true }
		:: else -> unmask(q)
		fi;
		atomic { calls[q]--; q = 0 }
	:: atomic { !mutex && !OWES(0) && !OWES(1) -> break }
	od
}

inline end_or_keep(p)
{
	if
	:: linked[p] && link_asserted[p] && (again[p] || late[p]) -> again[p] = false; late[p] = false
	:: linked[p] && !(link_asserted[p] && (again[p] || late[p])) -> end_link(p)
	:: else
	fi
}

/* A notifier is told of the pins that its GSI goes to. */
inline acked()
{
	if
	:: !message_route ->
		if
		:: atomic { !mutex && asserted ->
				LOCK;
				set_line(false);
				end_or_keep(0);
				end_or_keep(1)
			};
			atomic {
				if
				:: asserted -> set_line(true)
				:: else
				fi;
				UNLOCK
			}
		:: !mutex && !asserted
		fi;
		pay(false)
	:: else
	fi
}

proctype vcpu()
{
	byte q;

end:	do
#ifdef PIC
	:: atomic { HIGH && !in_service -> in_service = true };
#else
	:: atomic { posted -> posted = false };
#endif
		atomic { ask_devices(); others = false; look_at_pin() };
#ifdef PIC
#ifdef NO_ENDING
		in_service = false;
		acked()
#else
		atomic { in_service = false; ending = true };
		acked();
		ending = false
#endif
#else
		acked();
		atomic { in_service = false; look_at_pin() }
#endif
	od
}

#ifdef ROUTER
/* Of another vector, whose EOI is nobody's. */
proctype messages()
{
end:	do
	:: atomic { message -> message = false };
		atomic { ask_devices() }
	od
}
#endif

proctype device(byte p)
{
	byte n;

	do
	:: n < TIMES(p) ->
		atomic {
			n++;
			wants[p] = open[p];
			if
			:: open[p] && !masked[p] -> masked[p] = MASKS(p); queued[p] = true
			:: else
			fi
		}
	:: else -> break
	od
}

#ifdef LEFT
/* The worker's other item, in one with its run. */
proctype unmask_work()
{
end:	do
	:: atomic { left -> left = false; leftover = true };
		unmask(1);
		leftover = false
	od
}
#define LEFT_HERE true
#else
#define LEFT_HERE false
#endif

/* vmirq_pirq_close_unmasks() */
inline close_unmasks()
{
	atomic { was = left; left = false };
	!leftover;
#ifndef NO_CLOSE
	if
	:: was -> unmask(1)
	:: else
	fi;
#endif
	was = false
}

#ifdef ENDER
/* vmirq_pirq_eoi(); the watchdog: end_here(). */
proctype ender(byte p)
{
	byte q;
	bool busy;

	if
	:: atomic { open[p] -> calls[p]++ };
		atomic { LOCK; assert(linked[p]) };
		if
		:: link_asserted[p] && again[p] ->
			atomic { again[p] = false; set_line(false); };
#ifndef NO_LATE_END
			busy = IN_SERVICE(p);
#endif
			atomic { set_line(true); late[p] = busy; UNLOCK }
		:: link_asserted[p] && !again[p] ->
			atomic {
				end_link(p);
				if
				:: MASKS(p) || queued[p] || coming[p]
				:: else -> wants[p] = false
				fi;
				if
				:: !asserted -> set_line(false)
				:: else
				fi;
				UNLOCK
			}
		:: else -> UNLOCK
		fi;
		pay(LEFT_HERE);
		calls[p]--
	:: !open[p]
	fi
}
#endif

#ifdef ROUTER
proctype router()
{
	atomic { message_route = true; look_at_pin() };
	atomic { message_route = false; look_at_pin() }
}
#endif

#ifdef UNBIND
proctype unbind()
{
	bool was, unended;

	/* What is queued is thrown away, and a run waited for. */
	atomic { open[UNBIND] = false; queued[UNBIND] = false; wants[UNBIND] = false };
	!running[UNBIND];
#ifndef NO_WAIT_BEFORE
	calls[UNBIND] == 0;
#endif
	/* leave() */
	atomic {
		LOCK;
		was = link_asserted[UNBIND];
		unended = was;
#ifndef OWED
		left = left || owes[UNBIND];
#endif
		owes[UNBIND] = false;
		end_link(UNBIND);
		linked[UNBIND] = false;
#ifndef STAYS_UP
		if
		:: was && !asserted -> set_line(false)
		:: else
		fi;
#endif
		was = false;
		UNLOCK
	};
#ifndef NO_WAIT
	calls[UNBIND] == 0;
#endif
	close_unmasks();
	/* What the guest has not ended nobody unmasks. */
	atomic { assert(!due[UNBIND] || unended); bound[UNBIND] = false }
}
#endif

inline check(p)
{
	assert(pending[p] == 0 && !link_asserted[p]);
	assert(!bound[p] || !wants[p]);
	assert(!bound[p] || !due[p] && !masked[p])
}

proctype observer()
{
	timeout ->
	assert(!sources && !asserted && !in_service);
	check(0);
	check(1)
}

init {
	atomic {
		byte i;

		do
		:: i < PIRQS ->
			linked[i] = true;
			bound[i] = true;
			open[i] = true;
			run device(i);
			i++
		:: else -> break
		od;
		run worker();
		run vcpu();
		others = true;
		look_at_pin();
#ifdef ENDER
		run ender(ENDER);
#ifdef LEFT
		run unmask_work();
#endif
#endif
#ifdef ROUTER
		run router();
		run messages();
#endif
#ifdef UNBIND
		run unbind();
#endif
		run observer()
	}
}
