/* SPDX-License-Identifier: MIT */
/*
 * A producer with an eventfd.
 *
 *	signal					disconnect
 *	  enter a read section (a plain store)	  target = NULL (del_producer)
 *	  count, as the last one went		  vmirq_reader_wait() (vmirq_irqfd_leave_bypass())
 *	  (locked: fences the section)		  the irqfd may go, and its VM
 *	  load target; who reads its eventfd?
 *	  another way: mend the count
 *	  signal it; or leave, and write
 *	  leave the section
 *
 * Not a look at the irqfd comes before the fence: the manager may outlive the irqfd's VM and its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <vmirq/bypass.h>
#include <vmirq/trigger.h>

#include "base/no_cancel.h"
#include "base/options.h"
#include "base/reader.h"
#include "irqfd/eventfd.h"
#include "irqfd/irqfd.h"
#include "irqfd/place.h"

#define CONFIG_LEAST sizeof(struct vmirq_trigger_config)
#define NO_PATH	     VMIRQ_PATHS

struct vmirq_trigger {
	struct vmirq_irqfd *_Atomic target;	/* NULL: none is connected */
	_Atomic uint64_t path[VMIRQ_PATHS + 1]; /* the last for NO_PATH, and 0 again at once */
	_Atomic uint32_t last; /* enum vmirq_path of the signal before, or NO_PATH */
	int eventfd;	       /* our own duplicate */
	_Atomic uint64_t switched_to[VMIRQ_PATHS];
	struct vmirq_producer *producer;
};

const char *vmirq_path_name(enum vmirq_path path)
{
	static const char *const names[] = {
		[VMIRQ_PATH_EVENTFD] = "eventfd",
		[VMIRQ_PATH_IRQFD] = "irqfd",
		[VMIRQ_PATH_BYPASS] = "bypass",
	};

	return (unsigned int)path < VMIRQ_PATHS ? names[path] : NULL;
}

static int set_target(void *opaque, void *target)
{
	struct vmirq_trigger *trigger = opaque;

	/* Release: who finds the irqfd finds it bound; pairs with the acquire in choose(). */
	atomic_store_explicit(&trigger->target, target, memory_order_release);
	return 0;
}

static int connect(struct vmirq_trigger *trigger, const struct vmirq_trigger_config *config)
{
	struct vmirq_producer_config producer = {
		.size = sizeof(producer),
		.token = config->token,
		.opaque = trigger,
		.set_target = set_target,
	};
	uint64_t token;
	/* Also with a token of the caller's: is it one? */
	int error = vmirq_eventfd_token(trigger->eventfd, &token);

	if (error && !(error == -ENOSYS && config->token))
		return error;
	if (!producer.token)
		producer.token = token;
	return vmirq_producer_register(config->bypass, &producer, &trigger->producer);
}

int vmirq_trigger_create(const struct vmirq_trigger_config *caller, struct vmirq_trigger **out)
{
	struct vmirq_trigger_config config;
	struct vmirq_trigger *trigger;
	int error;

	if (!caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (error)
		return error;
	if (!config.bypass || config.unused || config.token & KERNELS_TOKEN)
		return -EINVAL;
	trigger = calloc(1, sizeof(*trigger));
	if (!trigger)
		return -ENOMEM;
	trigger->last = NO_PATH;
	trigger->eventfd = fcntl(config.eventfd, F_DUPFD_CLOEXEC, 0);
	error = trigger->eventfd < 0 ? -errno : connect(trigger, &config);
	if (error) {
		if (trigger->eventfd >= 0)
			no_cancel_close(trigger->eventfd);
		free(trigger);
	} else {
		*out = trigger;
	}
	return error;
}

int vmirq_trigger_destroy(struct vmirq_trigger *trigger)
{
	int error;

	if (!trigger)
		return 0;
	error = vmirq_producer_unregister(trigger->producer);
	if (error)
		return error;
	no_cancel_close(trigger->eventfd);
	free(trigger);
	return 0;
}

static enum vmirq_path path_to(const struct vmirq_irqfd *irqfd)
{
	if (!irqfd)
		return VMIRQ_PATH_EVENTFD;
	/* Never where the irqchip is the kernel's. */
	if (HEAD_KIND(irqfd_head(irqfd)) == TARGET_POST)
		return VMIRQ_PATH_BYPASS;
	/* It may move at any moment, and wherever it is both ways are right: what is written is read by whom it is
	 * then, or taken when that changes. */
	return irqfd_place_now(irqfd) == IRQFD_IN_KERNEL ? VMIRQ_PATH_EVENTFD : VMIRQ_PATH_IRQFD;
}

/* It was counted as `counted`. */
static __attribute__((noinline)) void recount(struct vmirq_trigger *trigger, uint32_t counted,
					      enum vmirq_path path)
{
	uint32_t last = atomic_exchange_explicit(&trigger->last, path, memory_order_relaxed);

	atomic_fetch_sub_explicit(&trigger->path[counted], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&trigger->path[path], 1, memory_order_relaxed);
	if (last != NO_PATH && last != (uint32_t)path)
		atomic_fetch_add_explicit(&trigger->switched_to[path], 1, memory_order_relaxed);
}

/* The section's fence, and which way: the irqfd, or NULL for the eventfd. */
static struct vmirq_irqfd *choose(struct vmirq_trigger *trigger)
{
	uint32_t last = atomic_load_explicit(&trigger->last, memory_order_relaxed);
	struct vmirq_irqfd *target;
	enum vmirq_path path;

	atomic_fetch_add_explicit(&trigger->path[last], 1, memory_order_relaxed);
	fence_after_rmw();
	/* Acquire: pairs with the release in set_target(). */
	target = atomic_load_explicit(&trigger->target, memory_order_acquire);
	path = path_to(target);
	if (unlikely(last != (uint32_t)path))
		recount(trigger, last, path);
	return path == VMIRQ_PATH_EVENTFD ? NULL : target;
}

/* Not in the section: it may block. */
static enum vmirq_verdict write_eventfd(const struct vmirq_trigger *trigger)
{
	const uint64_t one = 1;
	int error = errno;
	ssize_t n;

	do
		n = no_cancel_write(trigger->eventfd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	/* In a signal handler it is somebody else's. */
	errno = error;
	return n == sizeof(one) ? VMIRQ_HELD : VMIRQ_COALESCED;
}

enum vmirq_verdict vmirq_trigger_signal(struct vmirq_trigger *trigger)
{
	struct reader *section = reader_enter_unfenced();
	struct vmirq_irqfd *target = choose(trigger);
	enum vmirq_verdict verdict = VMIRQ_HELD;

	if (likely(target != NULL))
		verdict = vmirq_irqfd_signal(target);
	reader_exit(section);
	return likely(target != NULL) ? verdict : write_eventfd(trigger);
}

int vmirq_trigger_counts(const struct vmirq_trigger *trigger, struct vmirq_trigger_counts *out)
{
	if (!trigger || !out || out->size != sizeof(*out))
		return -EINVAL;
	for (int i = 0; i < VMIRQ_PATHS; i++) {
		out->path[i] = atomic_load_explicit(&trigger->path[i], memory_order_relaxed);
		out->switched_to[i] =
			atomic_load_explicit(&trigger->switched_to[i], memory_order_relaxed);
	}
	return 0;
}
