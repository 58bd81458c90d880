// SPDX-License-Identifier: MIT
/* Who looks, when, and how often a device may have us look. */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/vm.h"

static uint64_t now(const struct vmirq_mailbox *mailbox)
{
	return mailbox->vm->clock.now(mailbox->vm->clock.opaque);
}

/* The mutex is held. */
static void next_turn(struct vmirq_mailbox *mailbox)
{
	mailbox->turn++;
	/* C and E in mailbox.h; the fence follows. */
	__atomic_store_n(&mailbox->page->looking, mailbox->turn, __ATOMIC_RELAXED);
}

static void enter_locked(struct vmirq_mailbox *mailbox)
{
	if (mailbox->lookers++ == 0)
		next_turn(mailbox);
}

/* Was it the last? */
static bool leave_locked(struct vmirq_mailbox *mailbox)
{
	if (--mailbox->lookers)
		return false;
	next_turn(mailbox);
	return true;
}

/* What the last looker owes, once it is out of the mutex. */
static uint32_t look_again(struct vmirq_mailbox *mailbox)
{
	/* Between C and D in mailbox.h. */
	fence_full();
	return vmirq_mailbox_filled(mailbox) ? vmirq_mailbox_look(mailbox) : 0;
}

void vmirq_mailbox_enter(struct vmirq_mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->mutex);
	enter_locked(mailbox);
	pthread_mutex_unlock(&mailbox->mutex);
	/* Between E and F in mailbox.h. */
	fence_full();
}

uint32_t vmirq_mailbox_leave(struct vmirq_mailbox *mailbox)
{
	bool last;

	pthread_mutex_lock(&mailbox->mutex);
	last = leave_locked(mailbox);
	pthread_mutex_unlock(&mailbox->mutex);
	return last ? look_again(mailbox) : 0;
}

uint32_t vmirq_mailbox_turn(struct vmirq_mailbox *mailbox)
{
	uint32_t n;

	vmirq_mailbox_enter(mailbox);
	n = vmirq_mailbox_look(mailbox);
	return n + vmirq_mailbox_leave(mailbox);
}

bool vmirq_mailbox_rung(void *opaque)
{
	struct vmirq_mailbox *mailbox = opaque;
	bool rung = vmirq_fd_drain(mailbox->doorbell) > 0;

	if (rung)
		atomic_fetch_add_explicit(&mailbox->doorbells, 1, memory_order_relaxed);
	/* In vain: it counts as a signal, or it would cost the device nothing. */
	if (!vmirq_mailbox_turn(mailbox) && !vmirq_mailbox_allow(mailbox, 1))
		vmirq_mailbox_throttle(mailbox);
	return rung;
}

uint32_t vmirq_mailbox_allow(struct vmirq_mailbox *mailbox, uint32_t want)
{
	if (!mailbox->rate.rate)
		return want;
	pthread_mutex_lock(&mailbox->mutex);
	want = rate_take(&mailbox->rate, now(mailbox), want);
	pthread_mutex_unlock(&mailbox->mutex);
	return want;
}

void vmirq_mailbox_give_back(struct vmirq_mailbox *mailbox, uint32_t n)
{
	if (!mailbox->rate.rate)
		return;
	pthread_mutex_lock(&mailbox->mutex);
	rate_give_back(&mailbox->rate, n);
	pthread_mutex_unlock(&mailbox->mutex);
}

static void hear_doorbell(struct vmirq_mailbox *mailbox, bool on)
{
	vmirq_pump_set_events(mailbox->pump, mailbox->entry, on ? EPOLLIN | EPOLLET : 0);
}

/* Whatever was left in `kept` was left before this call: the timer's look, which comes after it, finds it. */
void vmirq_mailbox_throttle(struct vmirq_mailbox *mailbox)
{
	uint64_t at;

	pthread_mutex_lock(&mailbox->mutex);
	if (!mailbox->closing && !atomic_load_explicit(&mailbox->throttled, memory_order_relaxed)) {
		at = rate_resume(&mailbox->rate, now(mailbox));
		atomic_store_explicit(&mailbox->throttled, true, memory_order_relaxed);
		atomic_store_explicit(&mailbox->resume_at, at, memory_order_relaxed);
		atomic_fetch_add_explicit(&mailbox->throttles, 1, memory_order_relaxed);
		enter_locked(mailbox);
		hear_doorbell(mailbox, false);
		if (mailbox->timer.pump)
			vmirq_timer_set(&mailbox->timer, at);
	}
	pthread_mutex_unlock(&mailbox->mutex);
}

uint32_t vmirq_mailbox_resume(struct vmirq_mailbox *mailbox)
{
	uint32_t n;
	bool was;

	pthread_mutex_lock(&mailbox->mutex);
	was = !mailbox->closing &&
	      atomic_exchange_explicit(&mailbox->throttled, false, memory_order_relaxed);
	/* What was rung meanwhile, epoll tells now. */
	if (was)
		hear_doorbell(mailbox, true);
	pthread_mutex_unlock(&mailbox->mutex);
	if (!was)
		return 0;
	n = vmirq_mailbox_look(mailbox);
	return n + vmirq_mailbox_leave(mailbox);
}

void vmirq_mailbox_expired(void *opaque)
{
	vmirq_mailbox_resume(opaque);
}

static bool is_throttled(const struct vmirq_mailbox *mailbox)
{
	return atomic_load_explicit(&mailbox->throttled, memory_order_relaxed);
}

int vmirq_mailbox_poll(struct vmirq_mailbox *mailbox)
{
	if (!mailbox)
		return -EINVAL;
	if (unlikely(is_throttled(mailbox)))
		return now(mailbox) < vmirq_mailbox_deadline(mailbox)
			       ? 0
			       : (int)vmirq_mailbox_resume(mailbox);
	return vmirq_mailbox_filled(mailbox) ? (int)vmirq_mailbox_look(mailbox) : 0;
}

void vmirq_mailbox_start_looking(struct vmirq_mailbox *mailbox)
{
	if (!mailbox)
		return;
	pthread_mutex_lock(&mailbox->mutex);
	mailbox->pollers++;
	enter_locked(mailbox);
	pthread_mutex_unlock(&mailbox->mutex);
	/* Between E and F in mailbox.h. */
	fence_full();
}

int vmirq_mailbox_stop_looking(struct vmirq_mailbox *mailbox)
{
	bool last = false;
	int error = 0;

	if (!mailbox)
		return -EINVAL;
	pthread_mutex_lock(&mailbox->mutex);
	if (!mailbox->pollers) {
		error = -EINVAL;
	} else {
		mailbox->pollers--;
		last = leave_locked(mailbox);
	}
	pthread_mutex_unlock(&mailbox->mutex);
	return last ? (int)look_again(mailbox) : error;
}

uint64_t vmirq_mailbox_deadline(const struct vmirq_mailbox *mailbox)
{
	if (!mailbox || !is_throttled(mailbox))
		return UINT64_MAX;
	return atomic_load_explicit(&mailbox->resume_at, memory_order_relaxed);
}
