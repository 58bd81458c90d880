/* SPDX-License-Identifier: MIT */
/* Who is told of EOIs and masks. */
#include <errno.h>
#include <stdlib.h>

#include "base/options.h"
#include "base/reader.h"
#include "base/vm.h"
#include "line/line.h"

/* The callbacks that this thread is in, innermost first: they cannot be waited for. */
struct call {
	const struct vmirq_notifier *notifier;
	const struct call *outer;
};

static __thread const struct call *calls_here __attribute__((tls_model("initial-exec")));

static bool is_called_here(const struct vmirq_notifier *notifier)
{
	const struct call *call = calls_here;

	while (call && call->notifier != notifier)
		call = call->outer;
	return call != NULL;
}

bool vmirq_line_goes_to(struct line_domain *lines, uint32_t gsi, enum pin_of chip, uint32_t pin)
{
	struct route_slot *slot = vmirq_route_find(lines->vm->routes, gsi);

	return slot && route_has_pin(slot, chip, pin);
}

/* What is to be told. */
struct news {
	enum vmirq_notice notice;
	enum pin_of chip;
	uint32_t pin;
};

/* Is it one for this notifier? The mutex is held. */
static in_path bool is_told(struct line_domain *lines, struct vmirq_notifier *n, struct news news)
{
	/* Whoever removes it waits for the calls under way, not for ever more. */
	if (n->config.notice != news.notice || unlikely(n->leaving))
		return false;
	if (unlikely(!n->slot))
		n->slot = vmirq_route_find(lines->vm->routes, n->config.gsi);
	return n->slot && route_has_pin(n->slot, news.chip, news.pin);
}

/* The first from `n` on that is to be told; the mutex is held. */
static in_path struct vmirq_notifier *find_told(struct line_domain *lines, struct vmirq_notifier *n,
						struct news news)
{
	while (n && !is_told(lines, n, news))
		n = n->next;
	return n;
}

/* The mutex is not held. */
static in_path void call(struct vmirq_notifier *n, uint32_t value)
{
	struct call call = { .notifier = n, .outer = calls_here };

	calls_here = &call;
	n->config.fn(n->config.opaque, n->config.gsi, value);
	calls_here = call.outer;
}

/* Likewise. From the add on nobody keeps it from being freed. Both are sequentially consistent, as is what
 * vmirq_notifier_remove() does: either it sees the call ended or it is seen. */
static in_path void end_call(struct line_domain *lines, struct vmirq_notifier *n)
{
	atomic_fetch_add(&n->ended, 1);
	if (likely(!atomic_load(&lines->leavers)))
		return;
	atomic_fetch_add(&lines->calls_ended, 1);
	vmirq_futex_wake_all(&lines->calls_ended);
}

/* The calls are made without the lock: one at a time, and the list may change meanwhile. A notifier that
 * runs stays on the list, so its successor is found after it. */
void vmirq_line_notify(struct line_domain *lines, enum vmirq_notice notice, enum pin_of chip,
		       uint32_t pin, uint32_t value)
{
	const struct news news = { .notice = notice, .chip = chip, .pin = pin };
	struct vmirq_notifier *n, *more;

	if (!atomic_load_explicit(&lines->notifier_count, memory_order_acquire))
		return;
	lock_take(&lines->notifier_mutex);
	n = find_told(lines, lines->notifiers, news);
	while (n) {
		n->begun++;
		more = find_told(lines, n->next, news);
		lock_give(&lines->notifier_mutex);
		call(n, value);
		if (!more) {
			end_call(lines, n);
			return;
		}
		lock_take(&lines->notifier_mutex);
		/* Again: it may have been removed. */
		more = find_told(lines, n->next, news);
		end_call(lines, n);
		n = more;
	}
	lock_give(&lines->notifier_mutex);
}

int vmirq_notifier_add_any(struct vmirq_vm *vm, const struct vmirq_notifier_config *config,
			   struct vmirq_notifier **out)
{
	struct vmirq_notifier *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->lines = vm->lines;
	n->config = *config;
	lock_take(&vm->lines->notifier_mutex);
	n->next = vm->lines->notifiers;
	vm->lines->notifiers = n;
	/* Release: who sees the count finds the list. */
	atomic_fetch_add_explicit(&vm->lines->notifier_count, 1, memory_order_release);
	lock_give(&vm->lines->notifier_mutex);
	vmirq_line_commit_ioapics(vm->lines);
	*out = n;
	return 0;
}

int vmirq_notifier_add(struct vmirq_vm *vm, const struct vmirq_notifier_config *caller,
		       struct vmirq_notifier **out)
{
	struct vmirq_notifier_config config;
	int error;

	if (!vm || !caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), sizeof(config), caller, caller->size);
	if (error)
		return error;
	if (config.gsi >= vm->routes->max_gsis || config.notice > VMIRQ_NOTICE_MASK || !config.fn)
		return -EINVAL;
	return vmirq_line_in_kernel(vm) ? -EOPNOTSUPP : vmirq_notifier_add_any(vm, &config, out);
}

/* The mutex is held, but not while it waits. */
static void wait_for_calls(struct line_domain *lines, const struct vmirq_notifier *notifier)
{
	uint32_t seen = atomic_load(&lines->calls_ended);

	if (notifier->begun == atomic_load(&notifier->ended))
		return;
	lock_give(&lines->notifier_mutex);
	vmirq_futex_wait(&lines->calls_ended, seen);
	lock_take(&lines->notifier_mutex);
}

int vmirq_notifier_remove(struct vmirq_notifier *notifier)
{
	struct vmirq_notifier **at;
	struct line_domain *lines;

	if (!notifier)
		return 0;
	if (reader_inside() || is_called_here(notifier))
		return -EDEADLK;
	lines = notifier->lines;
	lock_take(&lines->notifier_mutex);
	notifier->leaving = true;
	/* While it runs it must stay where it is: see vmirq_line_notify(). */
	atomic_fetch_add(&lines->leavers, 1);
	while (notifier->begun != atomic_load(&notifier->ended))
		wait_for_calls(lines, notifier);
	atomic_fetch_sub(&lines->leavers, 1);
	for (at = &lines->notifiers; *at && *at != notifier; at = &(*at)->next)
		;
	if (*at)
		*at = notifier->next;
	atomic_fetch_sub_explicit(&lines->notifier_count, 1, memory_order_relaxed);
	lock_give(&lines->notifier_mutex);
	if (notifier->config.release)
		notifier->config.release(notifier->config.opaque);
	free(notifier);
	return 0;
}
