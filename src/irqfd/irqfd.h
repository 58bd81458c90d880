/* SPDX-License-Identifier: MIT */
/*
 * An irqfd: its copy of the resolved target, its counters, where it is bound.
 *
 * The copy is written by whoever changes it: a route change (which holds the route slot's lock), a signal
 * that found it stale and resolved on the spot (which only tries), and deassign. A signal only reads it.
 * Its head is one word, a target, a number, and whether the copy is being written: what was read
 * between two loads of the same head that nobody is writing belongs to it.
 *
 *	signal					deassign
 *	  enter a read section (a plain store)	  write TARGET_GONE as the head's target
 *	  copy the target			  vmirq_reader_wait()
 *	  count (locked: fences the section)	  nothing of this irqfd is posted from here on
 *	  look at the head again
 *	  post
 *	  leave the section
 */
#ifndef IRQFD_IRQFD_H
#define IRQFD_IRQFD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chunk.h"
#include "base/counts.h"
#include "base/wait.h"
#include "chip/deliver.h"
#include "irqfd/eventfd.h"
#include "route/table.h"

#include <vmirq/irqfd.h>

struct irqfd_table;
struct resample;
struct resampler;
struct deferred;
struct irqfd_worker;

/* Who reads its eventfd. */
enum irqfd_place { IRQFD_NOWHERE, IRQFD_IN_PUMP, IRQFD_IN_KERNEL };

/* An irqfd's eventfd. Apart: those that are signalled by call only have none. */
struct irqfd_source {
	int fd; /* ours to close */
	uint32_t pump_entry;
	struct vmirq_pump *pump; /* that reads it, if the kernel does not */
	struct eventfd_binding binding;
	bool joined;			 /* has been a producer's target; its pair's callbacks' */
	bool entering;			 /* see bypass.c; as the list, under the table's mutex */
	bool bound;			 /* in the registry */
	bool taken;			 /* the descriptor was the caller's */
	bool no_bypass;			 /* VMIRQ_IRQFD_NO_BYPASS */
	struct vmirq_consumer *consumer; /* in the VM's bypass manager, if it is there */
	struct vmirq_irqfd *irqfd;	 /* in the table's list of those that wait for a manager */
	struct irqfd_source *next, **link; /* or in that of unused ones */
} __attribute__((aligned(CACHE_LINE)));

/* Beside enum target_kind, in an irqfd's copy. */
#define TARGET_MASKED 0xfbu /* a signal is pending: see mask.h */
#define TARGET_KERNEL 0xfcu /* a message that the kernel's irqchip delivers */
#define TARGET_PINS   0xfdu /* pins of a chip: its lock must be taken */
#define TARGET_GONE   0xffu /* deassigned */

/* The head of a copy: a target, but for its descriptor and generation, and a number that is another after
 * each write. */
#define HEAD_WRITTEN UINT64_C(0x100) /* somebody is writing */
#define HEAD_NUMBER  UINT64_C(0xffffffff00000000)
#define HEAD_NEXT    UINT64_C(0x100000000)
#define HEAD_TARGET(kind, verdict, vector, level)                                 \
	((uint32_t)(kind) | (uint32_t)(verdict) << 9 | (uint32_t)(vector) << 16 | \
	 (uint32_t)(level) << 24)
#define HEAD_KIND(head)	  ((uint32_t)(head)&0xff)
#define HEAD_VECTOR(head) ((uint8_t)((head) >> 16))
/* 0: a post of an edge, and nobody is writing. */
#define HEAD_NO_EDGE(head) (((uint32_t)(head)&0xff0001ffu) ^ TARGET_POST)

struct vmirq_irqfd {
	/* The line a signal touches. The copy: */
	_Atomic uint64_t head;	     /* HEAD_* */
	_Atomic uint64_t generation; /* of the destination map, when it was resolved */
	/* Where in its descriptor the vector's bit is; of another kind, somewhere in one. */
	_Atomic uint64_t *_Atomic word;
	struct chip *chip;
	struct route_slot *slot;
	_Atomic uint8_t
		guess; /* what a post comes to, as the last one did: delivered or coalesced */
	_Atomic uint8_t gate;  /* GATE_*, see mask.h */
	_Atomic uint8_t place; /* enum irqfd_place; written under hold_places() */
	bool replaced;	       /* see place.c */
	_Atomic bool
		owned; /* by a vector, or by who is still binding it; true under the slot's lock */
	bool leaving;  /* somebody deassigns it; under the slot's lock */
	bool used;     /* taken from the table; under its memory's lock */
	/* By outcome; one locked add a signal, which is also its section's fence. The two that nearly every
	 * signal ends in are the end of that line. */
	struct counts counts;

	struct route_watcher watcher;
	struct irqfd_table *table;
	struct irqfd_source *source;	   /* NULL: no eventfd */
	struct resample *resample;	   /* NULL: an edge */
	struct deferred *_Atomic deferred; /* NULL: it never went to pins */
	struct vmirq_irqfd *next;	   /* in the table's list of unused ones */
} __attribute__((aligned(CACHE_LINE)));

/* One on its way out. It is its thread's, on the stack; `number` is that of the unbind. */
struct irqfd_unbind {
	const struct vmirq_irqfd *irqfd;
	const struct route_slot *slot;
	uint64_t number;
	struct irqfd_unbind *next, **link;
};

/* So many that were put back are not taken again before others are put back, or there is no memory for new ones: a
 * signaller who did not know of the deassign should rather find nobody than somebody else. irqfd.h says how many. */
#define IRQFDS_RESTING 16u

/* A VM's irqfds. Their memory is used again but never freed before the VM is. */
struct irqfd_table {
	struct vmirq_vm *vm;
	pthread_mutex_t mutex; /* nothing is taken under it */
	struct irqfd_unbind *unbinding;
	struct deferred *deferred; /* all there are */
	uint64_t unbinds;	   /* that have begun */
	struct waiters settling;   /* until one has ended, an `entering`, or a flush */
	struct lock memory_lock;   /* of these; nothing is taken under it */
	struct chunks memory, source_memory;
	struct vmirq_irqfd *unused;
	/* Put back last, in turn; `puts` is how many ever were. */
	struct vmirq_irqfd *resting[IRQFDS_RESTING];
	uint32_t puts;
	struct irqfd_source *unused_sources;
	struct route_slot *unrouted;	/* of masked irqfds without a GSI; in no table */
	pthread_mutex_t resample_mutex; /* see resample.h */
	struct resampler *resamplers;
	struct irqfd_worker *worker; /* see deferred.h */
	struct vmirq_bypass *bypass; /* see bypass.h; made under the mutex */
	struct irqfd_source *apart;  /* irqfds that it has to be told of, when it is made */
	struct eventfd_kernel kernel;
	bool own_bypass;
};

/* An odd number of lines: their first ones are all over the cache. */
_Static_assert(sizeof(struct vmirq_irqfd) == 3 * CACHE_LINE, "a million of them fit");
_Static_assert(offsetof(struct vmirq_irqfd, counts.verdict[VMIRQ_COALESCED]) == CACHE_LINE - 8 &&
		       VMIRQ_DELIVERED + 1 == VMIRQ_COALESCED,
	       "a signal touches one line");

/* Any load of `word` and `generation` after it is of this head, if the head is still so later. */
static inline uint64_t irqfd_head(const struct vmirq_irqfd *irqfd)
{
	/* Acquire: pairs with the release in unlock_copy(). */
	return atomic_load_explicit(&irqfd->head, memory_order_acquire);
}

static inline struct vmirq_irqfd *irqfd_of(struct route_watcher *watcher)
{
	return (struct vmirq_irqfd *)((char *)watcher - offsetof(struct vmirq_irqfd, watcher));
}

/* Has it a GSI? Else nobody watches its slot, which never has a route. */
static inline bool irqfd_routed(const struct vmirq_irqfd *irqfd)
{
	return irqfd->slot != irqfd->table->unrouted;
}

/* `bypass` may be NULL: one of its own, when it is wanted. */
int vmirq_irqfd_table_create(struct vmirq_vm *vm, struct vmirq_bypass *bypass,
			     struct irqfd_table **out);
/* Deassigns whatever is left. */
void vmirq_irqfd_table_destroy(struct irqfd_table *table);

/* assign.c: bind to this slot, masked and owned or neither; `config` has been checked. */
int vmirq_irqfd_assign_to(struct vmirq_vm *vm, struct route_slot *slot,
			  const struct vmirq_irqfd_config *config, bool masked,
			  struct vmirq_irqfd **out);

/* Take one that is not used, and memory for its source if it is to have one; NULL: no memory. Or put both
 * back, when its counts have gone to its GSI, if it had one. */
struct vmirq_irqfd *vmirq_irqfd_take(struct irqfd_table *table, bool with_source);
/* The same under the memory's lock. */
struct vmirq_irqfd *vmirq_irqfd_take_locked(struct irqfd_table *table, bool with_source);
void vmirq_irqfd_put(struct vmirq_irqfd *irqfd);
/* A source alone, for one that has none; NULL: no memory. To put back NULL is allowed. */
struct irqfd_source *vmirq_irqfd_take_source(struct irqfd_table *table);
void vmirq_irqfd_put_source(struct irqfd_table *table, struct irqfd_source *source);
/* With each that is used. None is taken meanwhile, and no other put. */
void vmirq_irqfd_for_each(const struct irqfd_table *table,
			  void (*fn)(struct vmirq_irqfd *irqfd, void *opaque), void *opaque);

/* source.c: our own duplicate of an eventfd, or with `take` this very descriptor, known to be one and bound
 * by nobody else. Errors as in vmirq_irqfd_assign(). The source's memory stays its taker's. */
int vmirq_irqfd_adopt(struct irqfd_source *source, int fd, bool take, uint64_t token,
		      struct vmirq_pump *pump, struct eventfd_kernel *kernel);
/* All but the binding: the caller makes that, and says so in `bound`. -errno of the duplicate. */
int vmirq_irqfd_open_source(struct irqfd_source *source, int fd, bool take,
			    struct vmirq_pump *pump);
/* Undo whatever has been done of it. Giving it back leaves the caller's own descriptor open. NULL is allowed. */
void vmirq_irqfd_drop(struct irqfd_source *source);
void vmirq_irqfd_give_back(struct irqfd_source *source);
/* place.c: have the eventfd read by whom this route wants; or by nobody. Between hold and release. */
int vmirq_irqfd_start_source(struct vmirq_irqfd *irqfd, const struct route *route);
void vmirq_irqfd_stop_source(struct vmirq_irqfd *irqfd);
/* place.c: the same as start, but by the pump where the kernel does not want it. Not under a slot's lock. */
int vmirq_irqfd_place(struct vmirq_irqfd *irqfd, const struct route *route);
/* place.c: would the kernel read it on this route, were it not masked? */
bool vmirq_irqfd_for_kernel(const struct vmirq_irqfd *irqfd, const struct route *route);
void vmirq_irqfd_deliver_unread(struct vmirq_irqfd *irqfd);
/* place.c: route_table.replacing and .replaced. */
void vmirq_irqfds_leave_kernel(void *opaque, struct route_slot *slot, const struct route *next);
void vmirq_irqfds_follow(void *opaque, struct route_slot *slot);

/* deassign.c: as vmirq_irqfd_deassign(), by an owner, if it has one. */
int vmirq_irqfd_deassign_own(struct vmirq_irqfd *irqfd);
/* deassign.c: of one whose caller has not been given it: a descriptor of his is his again. */
void vmirq_irqfd_unassign(struct vmirq_irqfd *irqfd);
/* deassign.c: in KVM_IRQFD's terms. */
int vmirq_irqfd_deassign_matching(struct vmirq_vm *vm, int fd, uint32_t gsi);

/* signal.c: raise once, by whom may take locks; inside a read section. */
enum vmirq_verdict vmirq_irqfd_raise(struct vmirq_irqfd *irqfd);
/* The route has changed or gone: resolve now. The slot's lock is held. */
void vmirq_irqfd_resolve(struct vmirq_irqfd *irqfd);
/* assign.c: route_table.changed. */
void vmirq_irqfd_route_changed(struct route_watcher *watcher);
/* Bound anew: let signals through, by the route. The slot's lock is held. */
void vmirq_irqfd_resolve_first(struct vmirq_irqfd *irqfd);
/* No signal is let through any more; the slot's lock is held. */
void vmirq_irqfd_set_gone(struct vmirq_irqfd *irqfd);
/* `n` was read from the eventfd: raise once, n-1 were merged. Inside a read section. */
void vmirq_irqfd_read(struct vmirq_irqfd *irqfd, uint64_t n);

#endif
