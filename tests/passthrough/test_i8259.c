// SPDX-License-Identifier: MIT
/* EOI accounting where the guest has its interrupts from the 8259s: every kind of EOI, and ICW1, which counts as
 * one. */
#include "../line/pc_world.h"
#include "host.h"

#include <stdlib.h>

#define GSI    11 /* the second 8259's pin 3 */
#define VECTOR 0x2b
#define APIC   0x61 /* what the IOAPIC sends */

struct bench {
	struct soft *s;
	struct vmirq_worker *worker;
};

static struct bench bench_new(void)
{
	struct bench b = { .s = pc_new(1, 0), .worker = worker_new() };

	pics_start(b.s, 0, 0);
	out8(b.s, 0x4d1, 1 << (GSI - 8)); /* a level */
	return b;
}

static void bench_free(struct bench *b)
{
	pc_free(b->s);
	assert_int_equal(vmirq_worker_destroy(b->worker, NULL), 0);
}

static void intx(struct bench *b, struct host *h)
{
	host_open(h, NULL);
	assert_int_equal(bind_gsi(h, b->s->vm, b->worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
}

static void delivered(struct bench *b, struct host *h)
{
	assert_raise(h, VMIRQ_HELD);
	worker_serves(b->worker, 1);
	assert_int_equal(host_counts(h).pending, 1);
	assert_int_equal(vmirq_line_level(b->s->vm, GSI), 1);
}

static int next(struct bench *b)
{
	uint32_t vector = 0;
	int step = vmirq_vcpu_step(b->s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector);

	vmirq_vcpu_leave(b->s->vcpu[0]);
	return step == VMIRQ_STEP_INJECT ? (int)vector : -step;
}

static void take(struct bench *b, uint8_t vector)
{
	assert_int_equal(next(b), vector);
	assert_int_equal(vmirq_vcpu_ack(b->s->vcpu[0], vector), 0);
}

static void nothing_comes(struct bench *b)
{
	assert_true(next(b) <= 0);
}

static void eoi(struct bench *b)
{
	out8(b->s, 0xa0, 0x20);
	out8(b->s, 0x20, 0x20);
}

static void specific_eoi(struct bench *b)
{
	out8(b->s, 0xa0, 0x60 | (GSI - 8));
	out8(b->s, 0x20, 0x62);
}

static void rotating_eoi(struct bench *b)
{
	out8(b->s, 0xa0, 0xa0);
	out8(b->s, 0x20, 0xa0);
}

static void ended(struct bench *b, struct host *h, uint64_t times)
{
	assert_int_equal(host_counts(h).pending, 0);
	assert_int_equal(h->unmasked, times);
	assert_int_equal(vmirq_line_level(b->s->vm, GSI), 0);
	nothing_comes(b);
}

static void every_kind_of_eoi(void **state)
{
	static void (*const kind[])(struct bench * b) = { eoi, specific_eoi, rotating_eoi };

	(void)state;
	for (unsigned int k = 0; k < 3; k++) {
		struct bench b = bench_new();
		struct host h;

		intx(&b, &h);
		for (uint64_t n = 1; n <= 3; n++) {
			delivered(&b, &h);
			take(&b, VECTOR);
			nothing_comes(&b);
			assert_int_equal(h.unmasked, n - 1);
			kind[k](&b);
			ended(&b, &h, n);
		}
		host_close(&h);
		bench_free(&b);
	}
}

/* What was in service when the guest began anew: nobody would end it. It stays in service there (as /dev/kvm has it),
 * and the EOI that comes late is nobody's. */
static void initialised_anew(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	intx(&b, &h);
	for (uint64_t n = 1; n <= 3; n++) {
		delivered(&b, &h);
		take(&b, VECTOR);
		pics_start(b.s, 0, 0);
		ended(&b, &h, n);
		eoi(&b);
		ended(&b, &h, n);
	}
	host_close(&h);
	bench_free(&b);
}

/* The acknowledge is the EOI. */
static void automatic_eoi(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	for (uint16_t port = 0x20; port <= 0xa0; port += 0x80) {
		out8(b.s, port, 0x11);
		out8(b.s, port + 1, port == 0x20 ? 0x20 : 0x28);
		out8(b.s, port + 1, port == 0x20 ? 0x04 : 0x02);
		out8(b.s, port + 1, 0x03);
		out8(b.s, port + 1, 0);
	}
	intx(&b, &h);
	for (uint64_t n = 1; n <= 3; n++) {
		delivered(&b, &h);
		assert_int_equal(h.unmasked, n - 1);
		take(&b, VECTOR);
		ended(&b, &h, n);
	}
	host_close(&h);
	bench_free(&b);
}

/* Two devices on one ISA irq: one EOI ends both. A third was not raised, and is not told. */
static void several_on_one_irq(void **state)
{
	struct bench b = bench_new();
	struct host h[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		intx(&b, &h[i]);
	delivered(&b, &h[0]);
	delivered(&b, &h[2]);
	take(&b, VECTOR);
	eoi(&b);
	ended(&b, &h[0], 1);
	ended(&b, &h[1], 0);
	ended(&b, &h[2], 1);
	for (int i = 0; i < 3; i++)
		host_close(&h[i]);
	bench_free(&b);
}

/* Of a source that nobody masks, while the guest serves another device, whose line is down already. */
static void raised_in_service(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_gsi(&h, b.s->vm, b.worker, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0), 0);
	line(b.s, GSI, 0, true);
	take(&b, VECTOR);
	line(b.s, GSI, 0, false);
	delivered(&b, &h);
	eoi(&b);
	assert_int_equal(host_counts(&h).pending, 1);
	take(&b, VECTOR);
	eoi(&b);
	ended(&b, &h, 1);
	host_close(&h);
	bench_free(&b);
}

struct late {
	struct bench *b;
	struct host *h;
};

static void raise_late(void *opaque, uint32_t gsi, uint32_t value)
{
	struct late *late = opaque;
	struct host *h = late->h;

	(void)gsi;
	(void)value;
	late->h = NULL;
	if (h)
		delivered(late->b, h);
}

/* The same when the ISR bit has gone already, and the EOI is on its way to the pirqs. */
static void raised_before_the_eoi_is_told(void **state)
{
	struct bench b = bench_new();
	struct host h;
	struct late late = { .b = &b, .h = &h };
	struct vmirq_notifier_config config = { .size = sizeof(config),
						.gsi = GSI,
						.notice = VMIRQ_NOTICE_ACK,
						.fn = raise_late,
						.opaque = &late };
	struct vmirq_notifier *notifier;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_gsi(&h, b.s->vm, b.worker, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0), 0);
	/* The newest is told first. */
	assert_int_equal(vmirq_notifier_add(b.s->vm, &config, &notifier), 0);
	line(b.s, GSI, 0, true);
	take(&b, VECTOR);
	line(b.s, GSI, 0, false);
	eoi(&b);
	assert_null(late.h);
	assert_int_equal(host_counts(&h).pending, 1);
	take(&b, VECTOR);
	eoi(&b);
	ended(&b, &h, 1);
	assert_int_equal(vmirq_notifier_remove(notifier), 0);
	host_close(&h);
	bench_free(&b);
}

static void left_masked_by_the_guest(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	intx(&b, &h);
	out8(b.s, 0xa1, 1 << (GSI - 8));
	delivered(&b, &h);
	assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 0);
	nothing_comes(&b);
	assert_int_equal(h.unmasked, 0);
	out8(b.s, 0xa1, 0);
	take(&b, VECTOR);
	eoi(&b);
	ended(&b, &h, 1);
	host_close(&h);
	bench_free(&b);
}

/* Both chips send it: the first EOI is the interrupt's end, and the other one's ends nothing more. */
static void by_both_chips(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | APIC);
	intx(&b, &h);
	delivered(&b, &h);
	begin_service(b.s->vcpu[0], APIC);
	end_service(b.s->vcpu[0]);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	/* Raised again before the 8259 has been asked. */
	delivered(&b, &h);
	take(&b, VECTOR);
	take(&b, APIC);
	eoi(&b);
	assert_int_equal(h.unmasked, 2);
	end_service(b.s->vcpu[0]);
	ended(&b, &h, 2);
	host_close(&h);
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_eoi),
		cmocka_unit_test(initialised_anew),
		cmocka_unit_test(automatic_eoi),
		cmocka_unit_test(several_on_one_irq),
		cmocka_unit_test(raised_in_service),
		cmocka_unit_test(raised_before_the_eoi_is_told),
		cmocka_unit_test(left_masked_by_the_guest),
		cmocka_unit_test(by_both_chips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
