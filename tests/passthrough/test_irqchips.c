// SPDX-License-Identifier: MIT
/* The same passthrough on every irqchip. */
#include "../irqchip/world.h"
#include "host.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/vm.h"
#include "chip/chip.h"

#define GSI	20
#define VECTOR	0x41
#define VECTOR2 0x52

static bool counts_here(const struct world *w)
{
	return w->irqchip == VMIRQ_IRQCHIP_SOFT;
}

static void finish(struct host *h, struct vmirq_worker *worker)
{
	host_close(h);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

static void message_at_once(struct world *w)
{
	struct vmirq_worker *worker = worker_new();
	enum vmirq_verdict verdict;
	struct host h;

	host_open_unmasked(&h);
	assert_int_equal(bind_msi(&h, w->vm, worker, 1, VECTOR, 0), 0);
	/* Where the kernel takes no messages the worker must do it. */
	verdict = host_raise(&h);
	worker_serves(worker, verdict == VMIRQ_HELD);
	world_take(w, 1, VECTOR);
	assert_int_equal(vmirq_pirq_retarget(h.pirq, 0xfee02000u, VECTOR2), 0);
	verdict = host_raise(&h);
	worker_serves(worker, verdict == VMIRQ_HELD);
	world_take(w, 2, VECTOR2);
	assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 2);
	assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	assert_raise(&h, VMIRQ_NO_ROUTE);
	world_take_nothing(w);
	finish(&h, worker);
}

static void message_by_the_worker(struct world *w)
{
	struct vmirq_worker *worker = worker_new();
	struct host h;

	host_open(&h, NULL);
	assert_int_equal(bind_msi(&h, w->vm, worker, 1, VECTOR, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	assert_raise(&h, VMIRQ_COALESCED);
	world_take_nothing(w);
	worker_serves(worker, 1);
	world_take(w, 1, VECTOR);
	assert_raise(&h, VMIRQ_HELD);
	assert_int_equal(vmirq_pirq_retarget(h.pirq, 0xfee02000u, VECTOR2), 0);
	world_take(w, 1, VECTOR);
	assert_int_equal(h.unmasked, 2);
	assert_raise(&h, VMIRQ_HELD);
	assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	worker_serves(worker, 0);
	world_take_nothing(w);
	assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 2);
	assert_int_equal(host_verdict(&h, VMIRQ_DEASSIGNED), 1);
	finish(&h, worker);
}

/* VFIO's trigger: the kernel reads it where it can. */
static void message_by_eventfd(struct world *w)
{
	struct vmirq_pirq_config how = { .size = sizeof(how), .eventfd = eventfd(0, EFD_NONBLOCK) };
	struct vmirq_worker *worker = worker_new();
	struct vmirq_pirq_counts c = { .size = sizeof(c) };
	struct vmirq_pirq *pirq;
	struct host h;

	assert_int_equal(vmirq_pirq_create(&how, &pirq), 0);
	assert_int_equal(vmirq_worker_start(worker, -1), 0);
	h.pirq = pirq;
	for (uint32_t i = 0; i < 4; i++) {
		/* What was written before it is bound comes then. */
		world_write(how.eventfd, 1);
		assert_int_equal(
			bind_msi(&h, w->vm, worker, 1, VECTOR, i % 2 ? VMIRQ_PIRQ_NO_FAST_PATH : 0),
			0);
		world_take(w, 1, VECTOR);
		world_write(how.eventfd, 1);
		world_take(w, 1, VECTOR);
		assert_int_equal(vmirq_pirq_counts(pirq, &c), 0);
		if (counts_here(w) || i % 2)
			assert_int_equal(c.unobserved, 0);
		assert_int_equal(vmirq_pirq_retarget(pirq, 0xfee02000u, VECTOR2), 0);
		world_write(how.eventfd, 1);
		world_take(w, 2, VECTOR2);
		assert_int_equal(vmirq_pirq_unbind(pirq), 0);
		world_take_nothing(w);
	}
	assert_int_equal(vmirq_pirq_destroy(pirq), 0);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
	close(how.eventfd);
}

/* The guest's EOI, as its local APIC tells the IOAPICs. */
static void end(struct world *w, unsigned int vcpu, uint8_t vector)
{
	w->vm->chip->eoi(w->vm->chip->eoi_opaque, vcpu, vector, true);
}

static void line_until_the_eoi(struct world *w)
{
	struct vmirq_worker *worker = worker_new();
	struct host a, b;

	host_open(&a, NULL);
	host_open(&b, NULL);
	if (w->irqchip == VMIRQ_IRQCHIP_KVM) {
		/* The kernel tells nobody. */
		assert_int_equal(bind_gsi(&a, w->vm, worker, VMIRQ_PIRQ_INTX, GSI, 0), -EOPNOTSUPP);
		assert_int_equal(bind_gsi(&a, w->vm, worker, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0),
				 -EOPNOTSUPP);
		assert_int_equal(bind_gsi(&a, w->vm, worker, VMIRQ_PIRQ_IDENTITY, GSI, 0),
				 -EOPNOTSUPP);
	} else {
		world_rte(w, GSI, 1, VECTOR, true);
		assert_int_equal(bind_gsi(&a, w->vm, worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
		assert_int_equal(bind_gsi(&b, w->vm, worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
		for (uint64_t i = 1; i <= 3; i++) {
			assert_raise(&a, VMIRQ_HELD);
			assert_raise(&b, VMIRQ_HELD);
			worker_serves(worker, 2);
			world_take(w, 1, VECTOR);
			assert_int_equal(host_counts(&a).pending, 1);
			assert_int_equal(a.unmasked, i - 1);
			end(w, 1, VECTOR);
			assert_int_equal(host_counts(&a).pending + host_counts(&b).pending, 0);
			assert_int_equal(a.unmasked, i);
			assert_int_equal(b.unmasked, i);
			assert_int_equal(vmirq_line_level(w->vm, GSI), 0);
		}
		/* It is gone in the middle. */
		assert_raise(&a, VMIRQ_HELD);
		worker_serves(worker, 1);
		world_take(w, 1, VECTOR);
		assert_int_equal(vmirq_pirq_unbind(a.pirq), 0);
		assert_int_equal(vmirq_line_level(w->vm, GSI), 0);
		end(w, 1, VECTOR);
		assert_int_equal(a.unmasked, 3);
	}
	world_take_nothing(w);
	host_close(&b);
	finish(&a, worker);
}

static void edge(struct world *w)
{
	struct vmirq_worker *worker = worker_new();
	struct host h;

	host_open(&h, NULL);
	world_rte(w, GSI, 1, VECTOR, false);
	assert_int_equal(bind_gsi(&h, w->vm, worker, VMIRQ_PIRQ_IDENTITY, GSI, VMIRQ_PIRQ_NO_EOI),
			 0);
	for (uint64_t i = 1; i <= 3; i++) {
		assert_raise(&h, VMIRQ_HELD);
		worker_serves(worker, 1);
		world_take(w, 1, VECTOR);
		assert_int_equal(h.unmasked, i);
		assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), i);
	}
	world_take_nothing(w);
	finish(&h, worker);
}

/* A guest that has crashed: its VM goes with everything queued and pending. The pirqs outlive it, and go to the
 * next. */
static void from_one_vm_to_the_next(struct world *w)
{
	static struct vmirq_worker *worker;
	static struct host message, line_, fast;

	if (!worker) {
		worker = worker_new();
		host_open(&message, NULL);
		host_open(&line_, NULL);
		host_open_unmasked(&fast);
	}
	worker_serves(worker, 0);
	world_rte(w, GSI, 1, VECTOR, true);
	assert_int_equal(bind_msi(&message, w->vm, worker, 2, VECTOR2, 0), 0);
	assert_int_equal(bind_msi(&fast, w->vm, worker, 0, VECTOR, 0), 0);
	if (w->irqchip != VMIRQ_IRQCHIP_KVM)
		assert_int_equal(bind_gsi(&line_, w->vm, worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	host_raise(&message);
	vmirq_worker_run(worker, 1);
	world_take(w, 2, VECTOR2);
	host_raise(&line_);
	vmirq_worker_run(worker, 1);
	if (w->irqchip != VMIRQ_IRQCHIP_KVM)
		world_take(w, 1, VECTOR);
	host_raise(&line_);
	host_raise(&message);
	host_raise(&fast);
}

int main(void)
{
	const struct world_case cases[] = {
		{ "message_at_once", message_at_once },
		{ "message_by_the_worker", message_by_the_worker },
		{ "message_by_eventfd", message_by_eventfd },
		{ "line_until_the_eoi", line_until_the_eoi },
		{ "edge", edge },
		{ "from_one_vm_to_the_next", from_one_vm_to_the_next },
	};

	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
