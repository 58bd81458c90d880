/* SPDX-License-Identifier: MIT */
/**
 * @file bypass.h
 * The bypass manager: joins who raises an interrupt (a producer) and who takes it (a consumer) by a token,
 * so that a signal can skip the eventfd that lies between them. What Linux's IRQ bypass manager does.
 *
 * A producer and a consumer of one manager with one token are a pair. As soon as both are registered they
 * are connected, and as soon as one of them leaves they are disconnected:
 *
 *	connect					disconnect
 *	  producer.stop				  producer.stop
 *	  consumer.stop				  consumer.stop
 *	  producer.add_consumer			  consumer.del_producer
 *	  consumer.add_producer			  producer.del_consumer
 *	    (fails: producer.del_consumer)	  consumer.start
 *	  consumer.start			  producer.start
 *	  producer.start
 *
 * The first failure ends what comes between the stops and the starts; the starts are called even so. A
 * connect that fails fails the registration that it is part of, and only that: the other side stays
 * registered, and the interrupt goes on by the eventfd.
 *
 * A manager is an object, not one per process: tokens need only be unique among those who share it, so
 * two VMMs in a process, or two tests, do not meet. Who wants a producer to meet the consumers of several
 * VMs gives them all the same manager.
 *
 * Callbacks are called on the thread that registers or unregisters either side, with no lock held, and
 * those of one token one at a time. They must return, and not by longjmp() or the thread's end. They may
 * call anything here for other tokens. For their own token: to register is -EBUSY (both sides are taken),
 * to unregister is -EDEADLK. Two callbacks that unregister each other's sides wait for each other for
 * ever, as does one that waits for another thread that unregisters its side.
 *
 * Thread safety: every call from any thread, beside everything, unless it says otherwise.
 * Progress: registrations and unregistrations of different tokens wait for each other for the time of a
 * look-up at most, never for a callback. None is async-signal-safe. No system call but futex(), madvise() and what
 * malloc() does. The cost does not grow with the number of pairs: tables grow step by step.
 */
#ifndef VMIRQ_BYPASS_H
#define VMIRQ_BYPASS_H

#include <stddef.h>
#include <stdint.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmirq_bypass;
struct vmirq_producer;
struct vmirq_consumer;

/** What vmirq_producer_register() wants to know. Every callback may be NULL. */
struct vmirq_producer_config {
	/** sizeof(struct vmirq_producer_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** What it is joined by, not 0. For an eventfd what vmirq_eventfd_token() says (irqfd.h), or any number
	 *  that both sides agree on. */
	uint64_t token;
	/** For the callbacks. */
	void *opaque;
	/** About to be connected to, or to take leave of, a consumer: hold signals back until start. */
	void (*stop)(void *opaque);
	void (*start)(void *opaque);
	/** 0, or -errno: not to be connected. `consumer` is valid until del_consumer has returned. */
	int (*add_consumer)(void *opaque, struct vmirq_consumer *consumer);
	void (*del_consumer)(void *opaque, struct vmirq_consumer *consumer);
	/**
	 * The consumer says, by vmirq_producer_set_target(), what to signal from now on; for an irqfd `target`
	 * is the struct vmirq_irqfd, to be given to vmirq_irqfd_signal() in place of a write to its
	 * eventfd. NULL: fall back to the eventfd; that must be obeyed. Once it has returned, nothing
	 * begins to use the target from before. 0, or -errno: the target is not used, as with NULL.
	 * Called from any thread between the beginning of consumer.add_producer and the end of
	 * consumer.del_producer, also between stop and start, one call at a time. Must not wait
	 * for the consumer.
	 */
	int (*set_target)(void *opaque, void *target);
};

/** What vmirq_consumer_register() wants to know. */
struct vmirq_consumer_config {
	/** sizeof(struct vmirq_consumer_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** As the producer's. */
	uint64_t token;
	/** For the callbacks. */
	void *opaque;
	/** May be NULL. */
	void (*stop)(void *opaque);
	void (*start)(void *opaque);
	/** 0, or -errno: not to be connected. May call vmirq_producer_set_target(); to leave that out, or
	 *  to be refused by it, is no failure: then signals go by the eventfd. Not NULL. */
	int (*add_producer)(void *opaque, struct vmirq_producer *producer);
	/** Once it has returned, the consumer makes no call with `producer`. It tells the producer to fall
	 *  back, if it had given it a target. Not NULL. */
	void (*del_producer)(void *opaque, struct vmirq_producer *producer);
};

/** Create a manager. 8 KiB and some 300 to 1,000 bytes for each token that was ever there together with
 *  others; they are used again, and freed with it. -EINVAL: out is NULL; -ENOMEM. */
VMIRQ_API int vmirq_bypass_create(struct vmirq_bypass **out);

/** Destroy it. No thread is in a call here that is given it, or begins one. -EBUSY, and nothing is done: a
 *  producer or consumer is registered. NULL is 0. */
VMIRQ_API int vmirq_bypass_destroy(struct vmirq_bypass *bypass);

/**
 * Register a producer, and connect it if there is a consumer with its token. The config is copied. `out` may
 * be NULL for who will unregister it by its token; on failure *out is not changed.
 * -EINVAL: NULL, size, token 0. -E2BIG. -ENOMEM. -EBUSY: a producer with this token is registered, or
 * its registration or unregistration has not yet returned. What add_consumer or add_producer failed with
 * (a positive number is made -EIO): then it is not registered, and none of its callbacks is called again.
 * Progress: does what the callbacks do; waits for no other token's, nor, since both sides are taken
 * while callbacks run, for its own token's. System calls: see above.
 */
VMIRQ_API int vmirq_producer_register(struct vmirq_bypass *bypass,
				      const struct vmirq_producer_config *config,
				      struct vmirq_producer **out);

/**
 * Disconnect and unregister it. Once it has returned 0 none of its callbacks runs or is called again, and the
 * handle is no more. NULL is 0. At most once per handle, unless it fails.
 * -EDEADLK, and nothing is done: called from a callback of its pair.
 * Progress: waits for callbacks of its own pair that run on other threads, and does what the
 * disconnecting ones do. A consumer that is registered meanwhile is not connected to it. System calls:
 * see above.
 */
VMIRQ_API int vmirq_producer_unregister(struct vmirq_producer *producer);

/**
 * The same for the producer with this token, if there is one: none is 0, as often as you like. Any handle of
 * it is no more then. -EINVAL: bypass is NULL. Otherwise as above.
 */
VMIRQ_API int vmirq_producer_unregister_token(struct vmirq_bypass *bypass, uint64_t token);

/** As vmirq_producer_register(); also -EINVAL: no add_producer or no del_producer. */
VMIRQ_API int vmirq_consumer_register(struct vmirq_bypass *bypass,
				      const struct vmirq_consumer_config *config,
				      struct vmirq_consumer **out);

/** As vmirq_producer_unregister(). */
VMIRQ_API int vmirq_consumer_unregister(struct vmirq_consumer *consumer);

/** As vmirq_producer_unregister_token(). */
VMIRQ_API int vmirq_consumer_unregister_token(struct vmirq_bypass *bypass, uint64_t token);

/**
 * For a consumer: have its producer signal `target`, or with NULL fall back to the eventfd; see
 * vmirq_producer_config.set_target, which this calls on the same thread. As often as the consumer likes,
 * from the beginning of its add_producer until its del_producer returns, one call at a time.
 * -EINVAL: producer is NULL. -EOPNOTSUPP: it takes no targets. What set_target failed with.
 * Thread safety: any thread, as said. Takes no lock and makes no system call of its own.
 */
VMIRQ_API int vmirq_producer_set_target(struct vmirq_producer *producer, void *target);

struct vmirq_vm;

/**
 * The manager where a VM's irqfds are consumers: that of its vmirq_vm_config.bypass, or its own. Each irqfd that
 * has an eventfd is one, but for those with VMIRQ_IRQFD_NO_BYPASS, and vectors of a device with
 * VMIRQ_MSIX_NO_BYPASS. The target that they give is the irqfd, from connect to disconnect: whatever its route is,
 * vmirq_irqfd_signal() does the right thing with it, at once by a post where the route is one plain vector on one
 * vCPU. Those of a VM with a kernel's irqchip (KVM, SPLIT), where each raise is a system call, give none: signals
 * go by the eventfd. A ready-made producer for one is vmirq_trigger (trigger.h). NULL: vm is, or no memory.
 * Thread safety: any thread. May block for a list's lock; the first call allocates.
 */
VMIRQ_API struct vmirq_bypass *vmirq_vm_bypass(struct vmirq_vm *vm);

/** Its token. Wait-free, async-signal-safe, no system call; while the handle, or one that a callback was
 *  given, is valid. */
VMIRQ_API uint64_t vmirq_producer_token(const struct vmirq_producer *producer);
VMIRQ_API uint64_t vmirq_consumer_token(const struct vmirq_consumer *consumer);

#ifdef __cplusplus
}
#endif
#endif
