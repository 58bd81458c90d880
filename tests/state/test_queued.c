// SPDX-License-Identifier: MIT
/*
 * A signal by call on a GSI that goes to pins is queued, for the VM's pump or a worker of the caller's, which nobody
 * serves here: a save has it, and nothing of it comes after a reset or a load. A pirq's stays queued.
 */
#include "../line/pc_world.h"
#include "../passthrough/host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/state.h>

#define PIN    20 /* not the 8259s' */
#define VECTOR 0x61

struct bench {
	struct soft *s;
	struct vmirq_worker *worker;
	struct vmirq_irqfd *by_pump, *by_worker; /* of the pins 20 and 21 */
};

static struct vmirq_irqfd *assign(struct soft *s, uint32_t gsi, struct vmirq_worker *worker)
{
	struct vmirq_irqfd_config config = {
		.size = sizeof(config), .gsi = gsi, .eventfd = -1, .worker = worker
	};
	struct vmirq_irqfd *irqfd = NULL;

	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	return irqfd;
}

static struct bench bench_new(void)
{
	struct bench b = { .s = pc_new(1, 0), .worker = worker_new() };

	for (uint32_t i = 0; i < 3; i++)
		rte_put(b.s, PIN + i, RTE_TO(0) | (VECTOR + i));
	b.by_pump = assign(b.s, PIN, NULL);
	b.by_worker = assign(b.s, PIN + 1, b.worker);
	return b;
}

static void signal_both(struct bench *b)
{
	assert_signal(b->by_pump, VMIRQ_HELD);
	assert_signal(b->by_worker, VMIRQ_HELD);
	assert_signal(b->by_worker, VMIRQ_COALESCED);
}

/* Nobody has anything to do any more, and each signal has an outcome. */
static void check_served(struct bench *b, uint64_t rounds)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct vmirq_route_counts counts = counts_of_gsi(b->s, PIN + i);

		assert_int_equal(counts.raised, rounds * (1 + i));
		assert_int_equal(counts.held, 0);
		assert_int_equal(counts.verdict[VMIRQ_DELIVERED], rounds);
		assert_int_equal(counts.verdict[VMIRQ_COALESCED], rounds * i);
	}
	dispatch(b->s);
	worker_serves(b->worker, 0);
}

static void bench_free(struct bench *b)
{
	pc_free(b->s);
	assert_int_equal(vmirq_worker_destroy(b->worker, NULL), 0);
}

static void *save(struct soft *s, size_t *size)
{
	void *blob;

	*size = (size_t)vmirq_vm_save(s->vm, NULL, 0);
	blob = malloc(*size);
	assert_non_null(blob);
	return blob;
}

static void take_both(struct vmirq_vcpu *vcpu)
{
	uint8_t vectors[256];

	assert_int_equal(take_all(vcpu, vectors), 2);
	assert_int_equal(vectors[0] + vectors[1], 2 * VECTOR + 1);
}

static void saved(void **state)
{
	struct bench b = bench_new(), other = bench_new();
	size_t size;
	void *blob;

	(void)state;
	blob = save(b.s, &size);
	signal_both(&b);
	assert_int_equal(vmirq_vm_save(b.s->vm, blob, size), size);
	check_served(&b, 1);
	assert_int_equal(vmirq_vm_load(other.s->vm, blob, size), 0);
	take_both(other.s->vcpu[0]);
	take_both(b.s->vcpu[0]);
	other.s->posted_beyond = 2; /* with the state */
	free(blob);
	bench_free(&other);
	bench_free(&b);
}

/* The line is in it, and so is what it comes to. */
static void a_level_is_saved(void **state)
{
	struct bench b = bench_new(), other = bench_new();
	int resamplefd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = PIN + 2,
					     .eventfd = -1,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .resamplefd = resamplefd,
					     .worker = b.worker };
	struct vmirq_irqfd *irqfd, *loaded;
	uint64_t rung;
	size_t size;
	void *blob;

	(void)state;
	assert_true(resamplefd >= 0);
	rte_put(b.s, PIN + 2, RTE_TO(0) | RTE_LEVEL | (VECTOR + 2));
	assert_int_equal(vmirq_irqfd_assign(b.s->vm, &config, &irqfd), 0);
	assert_signal(irqfd, VMIRQ_HELD);
	blob = save(b.s, &size);
	assert_int_equal(vmirq_vm_save(b.s->vm, blob, size), size);
	config.worker = other.worker;
	assert_int_equal(vmirq_irqfd_assign(other.s->vm, &config, &loaded), 0);
	assert_int_equal(vmirq_vm_load(other.s->vm, blob, size), 0);
	take_only(other.s->vcpu[0], VECTOR + 2);
	assert_int_equal(read(resamplefd, &rung, sizeof(rung)), sizeof(rung));
	assert_int_equal(rung, 1);
	take_only(b.s->vcpu[0], VECTOR + 2);
	other.s->posted_beyond = 1;
	free(blob);
	bench_free(&other);
	bench_free(&b);
	close(resamplefd);
}

static void not_after_a_reset(void **state)
{
	struct bench b = bench_new();

	(void)state;
	for (unsigned int round = 1; round <= 3; round++) {
		signal_both(&b);
		assert_int_equal(vmirq_vm_reset(b.s->vm), 0);
		check_served(&b, round);
		apic_enable(b.s->vcpu[0]);
		for (uint32_t i = 0; i < 3; i++)
			rte_put(b.s, PIN + i, RTE_TO(0) | (VECTOR + i));
		take_nothing(b.s->vcpu[0]);
		for (uint8_t i = 0; i < 2; i++)
			assert_int_equal(counts_of_vector(b.s->vcpu[0], VECTOR + i).reset, round);
	}
	bench_free(&b);
}

static void not_after_a_load(void **state)
{
	struct bench b = bench_new();
	size_t size;
	void *blob = save(b.s, &size);

	(void)state;
	assert_int_equal(vmirq_vm_save(b.s->vm, blob, size), size);
	signal_both(&b);
	assert_int_equal(vmirq_vm_load(b.s->vm, blob, size), 0);
	check_served(&b, 1);
	take_nothing(b.s->vcpu[0]);
	free(blob);
	bench_free(&b);
}

static void a_pirqs_stays_queued(void **state)
{
	struct bench b = bench_new();
	struct host h;
	size_t size;
	void *blob;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_msi(&h, b.s->vm, b.worker, 0, 0x71, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	blob = save(b.s, &size);
	assert_int_equal(vmirq_vm_save(b.s->vm, blob, size), size);
	take_nothing(b.s->vcpu[0]);
	assert_int_equal(host_counts(&h).held, 1);
	assert_int_equal(vmirq_vm_reset(b.s->vm), 0);
	apic_enable(b.s->vcpu[0]);
	worker_serves(b.worker, 1);
	take_only(b.s->vcpu[0], 0x71);
	free(blob);
	host_close(&h);
	bench_free(&b);
}

static _Atomic bool ends;

static void *come_and_go(void *argument)
{
	struct bench *b = argument;

	while (!atomic_load(&ends)) {
		struct vmirq_irqfd *irqfd = assign(b->s, PIN + 2, b->worker);

		vmirq_irqfd_signal(irqfd);
		vmirq_worker_run(b->worker, 1);
		vmirq_irqfd_signal(irqfd);
		vmirq_irqfd_deassign(irqfd);
	}
	return NULL;
}

/* Resets beside irqfds that are taken away with something queued. */
static void beside_deassigns(void **state)
{
	struct bench b = bench_new();
	pthread_t thread[2];

	(void)state;
	atomic_store(&ends, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, &b), 0);
	for (int i = 0; i < 2000; i++) {
		vmirq_irqfd_signal(b.by_pump);
		vmirq_irqfd_signal(b.by_worker);
		assert_int_equal(vmirq_vm_reset(b.s->vm), 0);
		assert_int_equal(counts_of(b.by_pump).held + counts_of(b.by_worker).held, 0);
	}
	atomic_store(&ends, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(counts_of_gsi(b.s, PIN).raised, 2000);
	assert_int_equal(counts_of_gsi(b.s, PIN + 1).raised, 2000);
	assert_int_equal(counts_of_gsi(b.s, PIN + 2).held, 0);
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(saved),
		cmocka_unit_test(a_level_is_saved),
		cmocka_unit_test(not_after_a_reset),
		cmocka_unit_test(not_after_a_load),
		cmocka_unit_test(a_pirqs_stays_queued),
		cmocka_unit_test(beside_deassigns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
