// SPDX-License-Identifier: MIT
/* A VM's blob (state.h) and its host interrupts: the line goes with the guest, the host's source stays where it is. */
#include "../line/pc_world.h"
#include "host.h"

#include <stdlib.h>

#include <vmirq/state.h>

#define GSI    9
#define VECTOR 0x61

struct bench {
	struct soft *s;
	struct vmirq_worker *worker;
	struct host h;
};

static struct bench bench_new(void)
{
	struct bench b = { .s = pc_new(1, 0), .worker = worker_new() };

	out8(b.s, 0x21, 0xff);
	out8(b.s, 0xa1, 0xff);
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	return b;
}

static void bind(struct bench *b, enum vmirq_pirq_type type)
{
	host_open(&b->h, NULL);
	assert_int_equal(bind_gsi(&b->h, b->s->vm, b->worker, type, GSI, 0), 0);
}

static void bench_free(struct bench *b)
{
	host_close(&b->h);
	/* What came with a blob was posted by nobody here. */
	assert_int_equal(vmirq_vm_destroy(b->s->vm), 0);
	free(b->s);
	assert_int_equal(vmirq_worker_destroy(b->worker, NULL), 0);
}

static void delivered(struct bench *b)
{
	assert_raise(&b->h, VMIRQ_HELD);
	worker_serves(b->worker, 1);
	assert_int_equal(host_counts(&b->h).pending, 1);
}

static void serve(struct bench *b)
{
	begin_service(b->s->vcpu[0], VECTOR);
	end_service(b->s->vcpu[0]);
}

/* As the guest knows it: one more works, to its end. */
static void works(struct bench *b)
{
	uint64_t before = b->h.unmasked;

	assert_int_equal(vmirq_line_level(b->s->vm, GSI), 0);
	take_nothing(b->s->vcpu[0]);
	delivered(b);
	serve(b);
	assert_int_equal(host_counts(&b->h).pending, 0);
	assert_int_equal(b->h.unmasked, before + 1);
	assert_int_equal(vmirq_line_level(b->s->vm, GSI), 0);
	take_nothing(b->s->vcpu[0]);
}

static void *save(const struct bench *b, size_t *size)
{
	int64_t n = vmirq_vm_save(b->s->vm, NULL, 0);
	void *blob = malloc((size_t)n);

	assert_non_null(blob);
	assert_int_equal(vmirq_vm_save(b->s->vm, blob, (size_t)n), n);
	*size = (size_t)n;
	return blob;
}

static void load(const struct bench *b, void *blob, size_t size)
{
	assert_int_equal(vmirq_vm_load(b->s->vm, blob, size), 0);
	free(blob);
}

/* To a VM with a pirq of its own, that is bound before the load or after it: the guest's EOI there lowers the line. */
static void to_another_vm(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		struct bench from = bench_new(), to = bench_new();
		size_t size;
		void *blob;

		bind(&from, VMIRQ_PIRQ_INTX);
		delivered(&from);
		blob = save(&from, &size);
		if (!late)
			bind(&to, VMIRQ_PIRQ_INTX);
		load(&to, blob, size);
		if (late)
			bind(&to, VMIRQ_PIRQ_INTX);
		assert_int_equal(vmirq_line_level(to.s->vm, GSI), 1);
		serve(&to);
		assert_int_equal(host_counts(&to.h).pending, 0);
		assert_int_equal(to.h.unmasked, 0);
		works(&to);
		/* The VM that it came from has its own. */
		assert_int_equal(host_counts(&from.h).pending, 1);
		serve(&from);
		works(&from);
		bench_free(&from);
		bench_free(&to);
	}
}

/* What the pirq there has raised meanwhile, and what came along, are ended by one EOI. */
static void to_one_that_raises(void **state)
{
	struct bench from = bench_new(), to = bench_new();
	size_t size;
	void *blob;

	(void)state;
	bind(&from, VMIRQ_PIRQ_INTX);
	delivered(&from);
	blob = save(&from, &size);
	bind(&to, VMIRQ_PIRQ_INTX);
	load(&to, blob, size);
	delivered(&to);
	serve(&to);
	assert_int_equal(to.h.unmasked, 1);
	works(&to);
	bench_free(&from);
	bench_free(&to);
}

/* Nobody is left who would end it, as at a reset: the host may raise it again. */
static void back_to_before_it(void **state)
{
	static const enum vmirq_pirq_type types[] = { VMIRQ_PIRQ_INTX, VMIRQ_PIRQ_MSI_TO_INTX };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct bench b = bench_new();
		size_t size;
		void *blob;

		bind(&b, types[i]);
		blob = save(&b, &size);
		delivered(&b);
		if (i)
			delivered(&b);
		load(&b, blob, size);
		assert_int_equal(host_counts(&b.h).pending, 0);
		assert_int_equal(b.h.unmasked, 1 + i);
		works(&b);
		bench_free(&b);
	}
}

static void back_to_the_middle_of_it(void **state)
{
	struct bench b = bench_new();
	size_t size;
	void *blob;

	(void)state;
	bind(&b, VMIRQ_PIRQ_INTX);
	delivered(&b);
	blob = save(&b, &size);
	serve(&b);
	delivered(&b);
	load(&b, blob, size);
	/* The second one is over; the first comes again. */
	assert_int_equal(b.h.unmasked, 2);
	assert_int_equal(host_counts(&b.h).pending, 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 1);
	serve(&b);
	assert_int_equal(b.h.unmasked, 2);
	works(&b);
	bench_free(&b);
}

/* The line that came along goes with the last pirq of its GSI, and at a reset. */
static void ended_otherwise(void **state)
{
	(void)state;
	for (int reset = 0; reset < 2; reset++) {
		struct bench from = bench_new(), to = bench_new();
		size_t size;
		void *blob;

		bind(&from, VMIRQ_PIRQ_INTX);
		delivered(&from);
		blob = save(&from, &size);
		bind(&to, VMIRQ_PIRQ_INTX);
		load(&to, blob, size);
		assert_int_equal(vmirq_line_level(to.s->vm, GSI), 1);
		if (reset)
			assert_int_equal(vmirq_vm_reset(to.s->vm), 0);
		else
			assert_int_equal(vmirq_pirq_unbind(to.h.pirq), 0);
		assert_int_equal(vmirq_line_level(to.s->vm, GSI), 0);
		bench_free(&from);
		bench_free(&to);
	}
}

/* A blob that is refused changes nothing. */
static void refused(void **state)
{
	struct bench b = bench_new();
	size_t size;
	char *blob;

	(void)state;
	bind(&b, VMIRQ_PIRQ_INTX);
	blob = save(&b, &size);
	delivered(&b);
	blob[0] ^= 1;
	assert_int_equal(vmirq_vm_load(b.s->vm, blob, size), -EINVAL);
	free(blob);
	assert_int_equal(host_counts(&b.h).pending, 1);
	assert_int_equal(b.h.unmasked, 0);
	serve(&b);
	assert_int_equal(b.h.unmasked, 1);
	works(&b);
	bench_free(&b);
}

static void guest_takes(struct host *h, const struct soft *s, uint8_t vector)
{
	assert_raise(h, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], vector);
}

/* A message's GSI is no part of the VM: a blob does not have it, and a load leaves it where it is. */
static void a_message(void **state)
{
	struct soft *s = soft_new(1), *t = soft_new(1);
	struct bench from = { .s = s }, to = { .s = t };
	struct kvm_irq_routing_entry entry = { .gsi = 24, .type = KVM_IRQ_ROUTING_MSI };
	struct host h;
	uint32_t gsi;
	size_t size;
	void *blob;

	(void)state;
	host_open_unmasked(&h);
	blob = save(&from, &size);
	assert_int_equal(bind_msi(&h, s->vm, NULL, 0, VECTOR, 0), 0);
	load(&from, blob, size);
	guest_takes(&h, s, VECTOR);
	assert_int_equal(vmirq_route_set_all(s->vm, &entry, 1), -EBUSY);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &gsi), 0);
	assert_int_equal(gsi, 25);
	blob = save(&from, &size);
	load(&to, blob, size);
	assert_int_equal(vmirq_route_get(t->vm, 24, NULL, 0), 0);
	assert_int_equal(vmirq_gsi_alloc(t->vm, &gsi), 0);
	assert_int_equal(gsi, 24);
	guest_takes(&h, s, VECTOR);
	/* It gives back its own. */
	assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &gsi), 0);
	assert_int_equal(gsi, 24);
	host_close(&h);
	soft_free(s);
	soft_free(t);
}

/* What the blob's VMM had is a message's here: refused, and nothing has changed. */
static void a_messages_gsi(void **state)
{
	struct soft *s = soft_new(1), *t = soft_new(1);
	struct bench from = { .s = s };
	struct host h;
	uint32_t gsi;
	size_t size;
	void *blob;

	(void)state;
	host_open_unmasked(&h);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &gsi), 0);
	route_to(s, gsi, 0, 0x70);
	blob = save(&from, &size);
	assert_int_equal(bind_msi(&h, t->vm, NULL, 0, VECTOR, 0), 0);
	assert_int_equal(vmirq_vm_load(t->vm, blob, size), -EBUSY);
	guest_takes(&h, t, VECTOR);
	assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	assert_int_equal(vmirq_vm_load(t->vm, blob, size), 0);
	assert_int_equal(bind_msi(&h, t->vm, NULL, 0, VECTOR, 0), 0);
	guest_takes(&h, t, VECTOR);
	assert_int_equal(vmirq_route_get(t->vm, gsi, NULL, 0), 1);
	free(blob);
	host_close(&h);
	soft_free(s);
	soft_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_another_vm),     cmocka_unit_test(to_one_that_raises),
		cmocka_unit_test(back_to_before_it), cmocka_unit_test(back_to_the_middle_of_it),
		cmocka_unit_test(ended_otherwise),   cmocka_unit_test(refused),
		cmocka_unit_test(a_message),	     cmocka_unit_test(a_messages_gsi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
