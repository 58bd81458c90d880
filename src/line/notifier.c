/* SPDX-License-Identifier: MIT */
/* Who is told of EOIs and masks. */
#include <errno.h>
#include <stdlib.h>

#include "base/options.h"
#include "base/reader.h"
#include "base/vm.h"
#include "line/line.h"

/* The callbacks within callbacks that this thread is in, innermost first. */
struct call {
	const struct vmirq_notifier *notifier;
	const struct call *outer;
};

static __thread const struct call *calls_here __attribute__((tls_model("initial-exec")));

/* Is this thread in a callback of it, which cannot be waited for? */
static bool is_called_here(const struct vmirq_notifier *notifier)
{
	const struct call *call = calls_here;

	while (call && call->notifier != notifier)
		call = call->outer;
	return call || reader_calls(vmirq_reader_self, notifier);
}

bool vmirq_line_calls_here(void)
{
	return calls_here || !reader_calls(vmirq_reader_self, NULL);
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

/* Is it one for this notifier? */
static in_path bool is_told(struct line_domain *lines, struct vmirq_notifier *n, struct news news)
{
	/* Acquire: the slot's first state; pairs with the release below. It stays. */
	struct route_slot *slot = atomic_load_explicit(&n->slot, memory_order_acquire);

	/* Whoever removes it waits for the calls under way, not for ever more. */
	if (n->config.notice != news.notice ||
	    unlikely(atomic_load_explicit(&n->leaving, memory_order_relaxed)))
		return false;
	if (unlikely(!slot)) {
		slot = vmirq_route_find(lines->vm->routes, n->config.gsi);
		atomic_store_explicit(&n->slot, slot, memory_order_release);
	}
	return slot && route_has_pin(slot, news.chip, news.pin);
}

/* The first at or after that place that is to be told; inside a section. */
static in_path struct vmirq_notifier *find_told(struct line_domain *lines,
						struct vmirq_notifier *const _Atomic *at,
						struct news news)
{
	/* Acquire: pairs with the release in vmirq_notifier_add_any(). */
	struct vmirq_notifier *n = atomic_load_explicit(at, memory_order_acquire);

	while (n && !is_told(lines, n, news))
		n = atomic_load_explicit(&n->next, memory_order_acquire);
	return n;
}

/* Can what is called be named in this record? A record's section is its own. */
static in_path bool has_place(const struct reader *record)
{
	return record && record != READER_INNER && reader_calls(record, NULL);
}

/* Inside the section that has found it. NULL: the thread's record has no place for it, or it has none. */
static struct reader *begin_call(struct reader *section, struct vmirq_notifier *n)
{
	struct reader *record = reader_record(section);

	if (has_place(record)) {
		reader_call(record, n);
		return record;
	}
	atomic_fetch_add_explicit(&n->unnamed, 1, memory_order_relaxed);
	return NULL;
}

/* From then on nobody keeps it from being freed but a section. */
static void end_call(struct reader *record, struct vmirq_notifier *n)
{
	if (record)
		reader_called(record);
	else
		/* Release: pairs with the acquire in wait_for_calls(). */
		atomic_fetch_sub_explicit(&n->unnamed, 1, memory_order_release);
}

static void call(const struct reader *record, const struct vmirq_notifier *n, uint32_t value)
{
	struct call call = { .notifier = n, .outer = calls_here };

	if (!record)
		calls_here = &call;
	n->config.fn(n->config.opaque, n->config.gsi, value);
	calls_here = call.outer;
}

/* From this one on, which is to be told, if it is any. The calls are made outside of the section, one at a time; the
 * list may change meanwhile. A notifier that runs stays on the list, so its successor is found after it. */
static off_path void notify_from(struct line_domain *lines, struct news news, uint32_t value,
				 struct reader *section, struct vmirq_notifier *n)
{
	while (n) {
		struct reader *record = begin_call(section, n);
		struct vmirq_notifier *more;

		reader_exit(section);
		call(record, n, value);
		section = reader_enter();
		more = find_told(lines, &n->next, news);
		end_call(record, n);
		n = more;
	}
	reader_exit(section);
}

void vmirq_line_notify(struct line_domain *lines, enum vmirq_notice notice, enum pin_of chip,
		       uint32_t pin, uint32_t value)
{
	const struct news news = { .notice = notice, .chip = chip, .pin = pin };
	struct reader *section;
	struct vmirq_notifier *n;

	if (!atomic_load_explicit(&lines->notifiers, memory_order_relaxed))
		return;
	section = reader_enter();
	n = find_told(lines, &lines->notifiers, news);
	/* Most often there is one, and no callback goes on here. */
	if (unlikely(!n || !has_place(section) || find_told(lines, &n->next, news))) {
		notify_from(lines, news, value, section, n);
		return;
	}
	reader_call(section, n);
	reader_exit(section);
	n->config.fn(n->config.opaque, n->config.gsi, value);
	reader_called(section);
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
	atomic_store_explicit(&n->next,
			      atomic_load_explicit(&vm->lines->notifiers, memory_order_relaxed),
			      memory_order_relaxed);
	/* Release: pairs with the acquire in find_told(). */
	atomic_store_explicit(&vm->lines->notifiers, n, memory_order_release);
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

/* Nobody begins one any more; inside a section somebody may still have found it. */
static void wait_for_calls(struct vmirq_notifier *n)
{
	/* Nobody is in a section here: see vmirq_notifier_remove(). */
	vmirq_reader_wait();
	vmirq_reader_wait_use(READER_CALLS, n);
	/* Acquire: pairs with the release in end_call(). */
	for (unsigned int turn = 0; atomic_load_explicit(&n->unnamed, memory_order_acquire); turn++)
		vmirq_back_off(turn);
}

static void unlink_notifier(struct line_domain *lines, const struct vmirq_notifier *notifier)
{
	struct vmirq_notifier *_Atomic *at = &lines->notifiers;
	struct vmirq_notifier *n;

	lock_take(&lines->notifier_mutex);
	while ((n = atomic_load_explicit(at, memory_order_relaxed)) && n != notifier)
		at = &n->next;
	if (n)
		/* Release: what follows it now; pairs with the acquire in find_told(). */
		atomic_store_explicit(at, atomic_load_explicit(&n->next, memory_order_relaxed),
				      memory_order_release);
	lock_give(&lines->notifier_mutex);
}

int vmirq_notifier_remove(struct vmirq_notifier *notifier)
{
	if (!notifier)
		return 0;
	if (reader_inside() || is_called_here(notifier))
		return -EDEADLK;
	atomic_store_explicit(&notifier->leaving, true, memory_order_relaxed);
	/* While it runs it must stay where it is: see vmirq_line_notify(). */
	wait_for_calls(notifier);
	unlink_notifier(notifier->lines, notifier);
	/* Who is at it, on the way to the next. */
	vmirq_reader_wait();
	if (notifier->config.release)
		notifier->config.release(notifier->config.opaque);
	free(notifier);
	return 0;
}
