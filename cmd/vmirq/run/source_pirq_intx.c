// SPDX-License-Identifier: MIT
/*
 * The e1000's INTx as a host interrupt, as VFIO gives one: the card signals an eventfd and is silent from then on,
 * until the guest has ended the interrupt and `unmask` asks the card (resamplefd) whether it still wants
 * service. The twin of source_e1000.c, which has a resample irqfd do that.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "e1000.h"
#include "run.h"
#include "source_e1000.h"
#include "source_pirq.h"

struct pirq_card {
	struct vmirq_worker *worker;
	struct vmirq_pirq *pirq;
	int resample;
};

static enum exit_code intx_check(const struct run_options *options, const char *arg, char *why,
				 size_t size)
{
	(void)arg;
	if (options->irqchip == VMIRQ_IRQCHIP_KVM) {
		snprintf(
			why, size,
			"on irqchip kvm nobody is told of the guest's EOI, which a pirq's line waits "
			"for (there source e1000 is the way)");
		return EXIT_LACKING;
	}
	return card_available(why, size);
}

/* The guest has ended it, on a vCPU's thread: is the card's line still up? */
static void intx_unmask(void *opaque)
{
	const struct pirq_card *bound = opaque;
	struct pollfd room = { .fd = bound->resample, .events = POLLOUT };
	const uint64_t one = 1;

	/* The card's process could fill it, and it blocks. */
	if (poll(&room, 1, 0) > 0 && write(bound->resample, &one, sizeof(one)) < 0)
		return;
}

static int bind_card(struct source *source, struct pirq_card *bound)
{
	const struct card *card = source->private;
	struct vmirq_worker_config worker = { .size = sizeof(worker) };
	struct vmirq_pirq_config config = { .size = sizeof(config),
					    .eventfd = e1000_intr_fd(card->device),
					    .unmask = intx_unmask,
					    .opaque = bound };
	struct vmirq_pirq_binding binding = { .size = sizeof(binding),
					      .vm = source->run->vm,
					      .type = VMIRQ_PIRQ_INTX,
					      .n_gsis = 1,
					      .gsis = &card->gsi };
	int ret;

	bound->resample = e1000_resample_fd(card->device);
	ret = vmirq_worker_create(&worker, &bound->worker);
	if (!ret)
		ret = vmirq_worker_start(bound->worker, -1);
	if (!ret)
		ret = vmirq_pirq_create(&config, &bound->pirq);
	binding.worker = bound->worker;
	if (!ret)
		ret = vmirq_pirq_bind(bound->pirq, &binding);
	return ret ? source_fail(source, ret, "GSI %u cannot be bound to a pirq: %s", card->gsi,
				 strerror(-ret))
		   : 0;
}

static int intx_open(struct source *source)
{
	struct card *card = source->private;
	struct pirq_card *bound = calloc(1, sizeof(*bound));
	int ret;

	if (!bound)
		return source_fail(source, -ENOMEM, "no memory");
	card->bound = bound;
	ret = card_start(source);
	if (ret)
		return ret;
	source->lane[0].gsi = card->gsi;
	source->lane[0].pin = true;
	source->lane[0].eventfd = e1000_intr_fd(card->device);
	return bind_card(source, bound);
}

static void intx_counts(const struct source *source, const struct lane *lane,
			struct vmirq_route_counts *counts)
{
	const struct card *card = source->private;

	(void)lane;
	*counts = (struct vmirq_route_counts){ .size = sizeof(*counts) };
	if (card->bound && card->bound->pirq)
		pirq_add_counts(card->bound->pirq, counts);
}

static void tell(struct source *source, const struct pirq_card *bound)
{
	struct vmirq_pirq_counts c;

	pirq_counts(bound->pirq, &c);
	source_add_fact(source, "runs", c.runs);
	source_add_fact(source, "unmasks", c.unmasks);
	source_add_fact(source, "reasserted", c.reasserted);
}

static void intx_close(struct source *source)
{
	struct card *card = source->private;

	if (card && card->bound) {
		if (card->bound->pirq)
			tell(source, card->bound);
		vmirq_pirq_destroy(card->bound->pirq);
		vmirq_worker_destroy(card->bound->worker, NULL);
		free(card->bound);
	}
	card_stop(source);
}

const struct source_kind source_pirq_intx = {
	.name = "pirq-intx",
	.path = "pump -> worker -> IOAPIC -> post",
	.what = "such an e1000's INTx as a host interrupt, which is unmasked at the guest's EOI",
	.count_max = CARD_COUNT_MAX,
	.lanes_max = 1,
	.requests = "causes, found and cleared by the handler",
	.joins = CARD_JOINS,
	.check = intx_check,
	.prepare = card_prepare,
	.open = intx_open,
	.raise = card_raise,
	.handled = card_handled,
	.counts = intx_counts,
	.finish = card_finish,
	.missing = card_missing,
	.alive = card_alive,
	.close = intx_close,
};
