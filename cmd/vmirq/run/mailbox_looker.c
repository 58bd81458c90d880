// SPDX-License-Identifier: MIT
#include "mailbox_looker.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <vmirq/irqfd.h>
#include <vmirq/mailbox.h>

/* So many looks in vain, and it parks. Not a time: on a crowded machine that passes without a look. */
#define LOOKS 4096
/* And after so many others may have the CPU. */
#define YIELD_EVERY 64

static bool stops(struct mailbox_looker *looker)
{
	return atomic_load_explicit(&looker->stop, memory_order_relaxed);
}

static void look(struct mailbox_looker *looker)
{
	vmirq_mailbox_start_looking(looker->mailbox);
	for (uint32_t vain = 0; vain < LOOKS && !stops(looker); vain++) {
		if (vmirq_mailbox_poll(looker->mailbox) > 0) {
			looker->sweeps++;
			vain = 0;
		}
		if (vain % YIELD_EVERY == YIELD_EVERY - 1)
			sched_yield();
		else
			__builtin_ia32_pause();
	}
	if (vmirq_mailbox_stop_looking(looker->mailbox) > 0)
		looker->sweeps++;
}

static void *looker_main(void *opaque)
{
	struct mailbox_looker *looker = opaque;

	while (!stops(looker)) {
		look(looker);
		looker->parks++;
		vmirq_pump_dispatch(looker->pump, -1);
	}
	return NULL;
}

int mailbox_looker_start(struct mailbox_looker *looker, struct vmirq_mailbox *mailbox,
			 struct vmirq_pump *pump)
{
	int ret;

	looker->mailbox = mailbox;
	looker->pump = pump;
	ret = -pthread_create(&looker->thread, NULL, looker_main, looker);
	looker->has_thread = !ret;
	return ret;
}

void mailbox_looker_stop(struct mailbox_looker *looker)
{
	if (!looker->has_thread)
		return;
	atomic_store_explicit(&looker->stop, true, memory_order_relaxed);
	/* It may sleep in the pump. */
	eventfd_write(vmirq_mailbox_doorbell(looker->mailbox), 1);
	pthread_join(looker->thread, NULL);
	looker->has_thread = false;
}
