/* SPDX-License-Identifier: MIT */
/*
 * A host interrupt and what it is bound to (docs/design.md, "Passthrough").
 *
 * One word holds how often it was raised while bound, and the flags that a raiser goes by; every change is one
 * read-modify-write, so that a raise is either before an unbind or after it:
 *
 *	raise (a read section)			unbind
 *	A: word += 1 (fences the section)	C: OPEN off
 *	   OPEN was off: not ours		D: grace period: whoever saw OPEN is through
 *	   THROTTLED was on: held, no more	E: the work item is cancelled, and a run waited for
 *	B: raise the work item			   what C's word says and no run has served: thrown away
 *
 * The number is the interrupt's own, apart from the work item's SCHED: while the rate holds it, it is raised
 * and not queued. `served` is what runs have taken of it; what differs is one interrupt, and the rest
 * coalesced. The item's runs exclude one another, so that `served` and the rate want no lock. Bind puts the
 * number to 0: what raisers added while it was unbound they have counted themselves.
 *
 * Throttled: a run that may not deliver turns THROTTLED on and leaves the number as it is. The timer turns it
 * off, then raises the work item: who added before that is served by it, who adds later raises himself.
 *
 * EOIs: a link ties a pirq to one of its GSIs; all links of a GSI hang in its struct pirq_gsi, under whose lock the
 * line is moved, too, so that an assertion and an EOI do not overtake each other. `pending` counts a pirq's
 * asserted links, over several such locks: a run that asserts holds one more meanwhile, so that it is 0
 * once, and who takes it there owes the host its EOI. Unmask is called with no lock held, and in no read section:
 * who is in one, as the watchdog on the pump is, has the worker call it, by a work item of its own (`work` has its
 * number of raises to go by). Unbind waits for `calls`, which is counted under a lock by which unbind takes the pirq
 * out of sight; whoever raises that item is counted, so that it is ended last, and what it still owes unbind calls.
 *
 * Locks: pirq.mutex (bind, unbind; waits for grace periods and callbacks), pirq_domain.mutex (which GSIs; waits
 * for an ack callback), pirq_gsi.mutex or pirq.state_mutex, then a slot's and the chips'; pirq_domain.list_mutex
 * last. A read section takes none of the first two, nor pirq.state_mutex.
 */
#ifndef PASSTHROUGH_PIRQ_H
#define PASSTHROUGH_PIRQ_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/counts.h"
#include "base/rate.h"
#include "base/reader.h"
#include "defer/defer.h"
#include "irqfd/bypass.h"
#include "irqfd/eventfd.h"
#include "pump/timer.h"

#include <vmirq/irqfd.h>
#include <vmirq/passthrough.h>

#define PIRQ_OPEN      (UINT64_C(1) << 0) /* bound: raises count */
#define PIRQ_FAST      (UINT64_C(1) << 1) /* by its irqfd, at once */
#define PIRQ_THROTTLED (UINT64_C(1) << 2) /* over its rate: until the timer */
#define PIRQ_FLAGS     UINT64_C(0xff)
#define PIRQ_RAISE     UINT64_C(0x100)

struct pirq_domain;
struct pirq_gsi;

/* One GSI of a pirq's. All under the lock of its pirq_gsi. */
struct pirq_link {
	struct vmirq_pirq *pirq;
	struct pirq_gsi *gsi; /* NULL: not joined; constant while it is bound */
	struct pirq_link *next;
	bool asserted;
	/* Of a source that nobody masks, while asserted: */
	bool again; /* raised meanwhile: at its end it is asserted once more */
	bool late; /* asserted under another interrupt of the line: the guest's next EOI is that one's */
	uint64_t overdue; /* while asserted: when the watchdog ends it; 0: it has none */
	bool owes;	  /* its EOI was the pirq's last: unmask is to be called */
};

/* What the pirqs of a VM's GSI have in common. */
struct pirq_gsi {
	struct pirq_gsi *next;
	struct pirq_domain *domain;
	uint32_t gsi;
	struct vmirq_notifier *ack; /* NULL: the chips are the kernel's */
	pthread_mutex_t mutex;	    /* of all below, and of the line as far as it is ours */
	struct pirq_link *links;
	uint32_t asserted; /* of them */
};

struct vmirq_pirq {
	/* What raisers touch. */
	_Atomic uint64_t word;	   /* PIRQ_RAISE per raise, and the flags */
	struct vmirq_irqfd *irqfd; /* guest MSI; constant while OPEN */
	struct defer_work work;
	_Atomic uint64_t served; /* who is in a run */
	struct rate rate;	 /* likewise */
	struct counts counts;	 /* but for those of a present irqfd */

	/* Constant. */
	int eventfd; /* our own duplicate, or -1 */
	uint64_t token, callers_token;
	struct vmirq_pump *own_pump;
	void (*unmask)(void *opaque);
	void *opaque;
	uint32_t rate_limit, burst;
	uint64_t watchdog_ns;

	pthread_mutex_t mutex; /* of who binds; of `vm` and all that is constant while bound: */
	struct vmirq_vm *vm;   /* NULL: not bound */
	struct vmirq_worker *worker;
	uint32_t type, flags;
	bool fast;
	uint64_t unbinds;		      /* how many there were */
	bool waits;			      /* for EOIs */
	bool remasks;			      /* the source is masked from a raise to its unmask */
	struct route_slot *msi_slot;	      /* the irqfd's */
	struct vmirq_route_counts msi_before; /* that GSI's, when it was bound */
	struct vmirq_pump *pump;
	bool reads, bound_eventfd;
	struct eventfd_binding binding;
	uint32_t pump_entry;
	uint32_t n_links;
	struct pirq_link link[VMIRQ_PIRQ_GSIS];

	/* Held for a moment, so that counts and EOIs do not wait for unbind: of whether there is a `vm`, and an
	 * `irqfd` beside it, and of what unbind moves from one count to another. */
	pthread_mutex_t state_mutex;
	bool open;	    /* not being unbound either: `calls` may be counted */
	uint64_t last_word; /* while it is bound and not open: what the word is taken for */

	_Atomic uint32_t pending;
	_Atomic uint32_t calls;	       /* by whom unbind is to wait for */
	_Atomic uint32_t unmasks_due;  /* owed by unmask_work's runs */
	struct defer_work unmask_work; /* where it `remasks` */
	_Atomic uint64_t resume_at;    /* while throttled; 0: it is not */
	_Atomic uint64_t
		watchdog_at; /* when to look, while it is pending: see watchdog.c; 0: not */
	_Atomic uint64_t runs, unmasks, reasserted, storms, watchdogs;

	/* Of its VM; under list_mutex. */
	struct vmirq_pirq *next, **at;
	bool reset_due;
};

/* A VM's pirqs. */
struct pirq_domain {
	struct vmirq_vm *vm;
	pthread_mutex_t mutex;
	struct pirq_gsi *gsis;
	_Atomic uint32_t bound;	    /* pirqs, those off the list and not yet unbound too */
	pthread_mutex_t list_mutex; /* of all below */
	struct vmirq_pirq *list, **tail;
	struct pump_timer timer;
	uint64_t armed; /* UINT64_MAX: not */
};

/* domain.c */
int vmirq_pirq_domain_create(struct vmirq_vm *vm, struct pirq_domain **out);
/* Unbinds whatever is left. */
void vmirq_pirq_domain_destroy(struct pirq_domain *domain);
/* The chips have been reset; or a saved state has been loaded, whose lines stay as they are. */
void vmirq_pirq_domain_reset(struct pirq_domain *domain, bool loaded);
/* domain.c: have expire() called at `deadline` of the VM's clock. */
int vmirq_pirq_make_timer(struct pirq_domain *domain);
void vmirq_pirq_arm(struct pirq_domain *domain, uint64_t deadline);
void vmirq_pirq_list(struct pirq_domain *domain, struct vmirq_pirq *pirq);
void vmirq_pirq_unlist(struct pirq_domain *domain, struct vmirq_pirq *pirq);
/* Who has been looked at goes to the end, so that the next one is found at once. The list_mutex is held. */
void vmirq_pirq_to_end(struct pirq_domain *domain, struct vmirq_pirq *pirq);
uint64_t vmirq_pirq_now(const struct vmirq_pirq *pirq);

/* deliver.c: the work item's run. */
void vmirq_pirq_run(struct defer_work *work);
/* unmask.c: call it, with no lock held and in no read section. */
void vmirq_pirq_unmask(struct vmirq_pirq *pirq);
/* unmask.c: the same; in a read section it is left to the worker. The caller is counted in `calls`. */
void vmirq_pirq_unmask_outside(struct vmirq_pirq *pirq);
/* unmask.c: the worker may be left some; and is not any more: what it still has is called here. */
void vmirq_pirq_open_unmasks(struct vmirq_pirq *pirq);
void vmirq_pirq_close_unmasks(struct vmirq_pirq *pirq);

/* intx.c: have a link to this GSI; take it off, and its line down. Not in a read section. */
int vmirq_pirq_join(struct pirq_domain *domain, struct vmirq_pirq *pirq, uint32_t gsi);
void vmirq_pirq_leave(struct vmirq_pirq *pirq);
/* intx.c: assert its lines, or pulse them; what that came to. In the work item's run. */
enum vmirq_verdict vmirq_pirq_assert(struct vmirq_pirq *pirq);
enum vmirq_verdict vmirq_pirq_pulse(struct vmirq_pirq *pirq);
/* intx.c: end its links that are overdue at `now` (UINT64_MAX: all) in the guest's stead, and unmask; were there any?
 * `all`: also what was raised meanwhile. The caller is counted in `calls`, or keeps it from being unbound. */
bool vmirq_pirq_end(struct vmirq_pirq *pirq, uint64_t now, bool all);
/* intx.c: nothing of it is asserted any more, whatever its lines are now; and unmask. */
void vmirq_pirq_forget(struct vmirq_pirq *pirq);

/* watchdog.c: is it so at `now`, or may it be? */
bool vmirq_pirq_is_overdue(const struct vmirq_pirq *pirq, uint64_t now);
/* watchdog.c: when the guest is overdue that is interrupted now; 0: there is no watchdog. */
uint64_t vmirq_pirq_overdue(const struct vmirq_pirq *pirq);
/* Look then, or before. Its GSI's lock is held, and it is pending; `first`: it was not before. */
void vmirq_pirq_watch(struct pirq_link *link, uint64_t overdue, bool first);
/* One to be looked at: counted in `calls`. The list_mutex is held. */
struct vmirq_pirq *vmirq_pirq_next_overdue(struct pirq_domain *domain, uint64_t now);

/* bind.c: pirq.mutex is held. */
void vmirq_pirq_unbind_locked(struct vmirq_pirq *pirq);

/* Unmask callbacks that the calling thread is in. */
extern __thread unsigned int vmirq_pirq_calls_here __attribute__((tls_model("initial-exec")));

/* In a callback of the library. */
static inline bool pirq_must_not_wait(void)
{
	return vmirq_pirq_calls_here || reader_inside();
}

/* Or in one of a bypass producer's whose pair its irqfd is of, or is about to be: known by the eventfd, as
 * the irqfd is for who has the mutex. */
static inline bool pirq_must_not_wait_for(const struct vmirq_pirq *pirq)
{
	return pirq_must_not_wait() || vmirq_irqfd_in_callback_of_token(pirq->token);
}

#endif
