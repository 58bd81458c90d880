/* SPDX-License-Identifier: MIT */
/*
 * Everything at once on one VM: signals from several threads, eventfds through the pump, routes that
 * change, irqfds that come and go, guests that rewrite their logical ids, vCPUs that enter, park and
 * are interrupted. Afterwards the books must balance to the unit:
 *
 *   what the sources counted	= what the routes say was raised
 *   delivered by all routes	= newly posted on all vCPUs
 *   posted			= merged + taken + reset + pending, for each vector
 *   taken			= what the handlers counted
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <vmirq/irqfd.h>
#include <vmirq/msi.h>
#include <vmirq/observe.h>
#include <vmirq/route.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define VCPUS	   3
#define GSIS	   8 /* 100 .. 107; the last has no steady irqfd */
#define FIRST_GSI  100
#define SIGNALLERS 2
#define ROUNDS	   200000

#define LAPIC_LDR  0xfee000d0u
#define LAPIC_EOI  0xfee000b0u
#define LAPIC_SVR  0xfee000f0u

static struct vmirq_vm *vm;
static struct vmirq_vcpu *vcpus[VCPUS];
static struct vmirq_irqfd *irqfds[GSIS];
static _Atomic bool guest_may_go[VCPUS]; /* cleared on entry, set by a kick */
static _Atomic uint64_t handled[VCPUS][256];
static _Atomic uint64_t raised[GSIS];			       /* the sources' own counts */
static _Atomic uint64_t mask_raised[VCPUS], mask_newly[VCPUS]; /* by vmirq_vcpu_post_mask() */
static _Atomic int sources_running;

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void kick(void *opaque)
{
	atomic_store((_Atomic bool *)opaque, true);
}

static void write_reg(struct vmirq_vcpu *vcpu, uint64_t gpa, uint32_t value)
{
	assert_int_equal(vmirq_vcpu_mmio(vcpu, gpa, &value, sizeof(value), true), 0);
}

/* In the guest: nothing comes in but by a kick. Half a second without one is the end of the test, or
 * somebody forgot to kick: then something lies there. */
static void run_guest(uint32_t index)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		if (atomic_load(&guest_may_go[index])) {
			atomic_store(&guest_may_go[index], false);
			return;
		}
		sched_yield();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 <
		 500);
	for (uint32_t v = 0; v < 256; v++) {
		struct vmirq_vector_counts c = { .size = sizeof(c) };

		vmirq_vector_counts(vcpus[index], v, &c);
		assert_true(c.pending == 0 || atomic_load(&guest_may_go[index]));
	}
}

static void *run_vcpu(void *argument)
{
	uint32_t index = (uint32_t)(uintptr_t)argument, vector = 0, random = index + 1;
	struct vmirq_vcpu *vcpu = vcpus[index];
	int step;

	assert_int_equal(vmirq_vcpu_bind_thread(vcpu), 0);
	while ((step = vmirq_vcpu_step(vcpu,
				       next_random(&random) % 2
					       ? VMIRQ_CPU_INTERRUPTIBLE | VMIRQ_CPU_HALTED
					       : VMIRQ_CPU_INTERRUPTIBLE,
				       &vector)) != -ECANCELED) {
		switch (step) {
		case VMIRQ_STEP_INJECT:
			assert_int_equal(vmirq_vcpu_ack(vcpu, vector), 0);
			if (next_random(&random) % 64 == 0) {
				/* The entry failed: put it back, and take it at the next turn. */
				assert_int_equal(vmirq_vcpu_unack(vcpu, vector), 0);
				break;
			}
			atomic_fetch_add(&handled[index][vector], 1);
			if (next_random(&random) % 16 == 0)
				write_reg(vcpu, LAPIC_LDR, 1u << (24 + next_random(&random) % 8));
			write_reg(vcpu, LAPIC_EOI, 0);
			break;
		case VMIRQ_STEP_ENTER:
		case VMIRQ_STEP_WINDOW:
			run_guest(index);
			vmirq_vcpu_leave(vcpu);
			break;
		case VMIRQ_STEP_PARK:
			vmirq_vcpu_park(vcpu, next_random(&random) % 4 ? -1 : 100000);
			break;
		default:
			assert_int_equal(step, -EINTR);
		}
	}
	assert_int_equal(vmirq_vcpu_unbind_thread(vcpu), 0);
	return NULL;
}

/* Vectors that the irqfds have, too, and others. */
static void post_mask(uint32_t *random)
{
	const uint64_t vectors[4] = { 0, next_random(random), next_random(random), 0 };
	uint32_t n = next_random(random) % VCPUS;
	uint64_t newly[4];
	int posted = vmirq_vcpu_post_mask(vcpus[n], vectors, newly);

	assert_int_equal(posted, __builtin_popcountll(newly[1]) + __builtin_popcountll(newly[2]));
	assert_int_equal(newly[1] & ~vectors[1], 0);
	atomic_fetch_add(&mask_newly[n], (uint64_t)posted);
	atomic_fetch_add(&mask_raised[n], (uint64_t)__builtin_popcountll(vectors[1]) +
						  (uint64_t)__builtin_popcountll(vectors[2]));
}

static void *run_signaller(void *argument)
{
	uint32_t random = (uint32_t)(uintptr_t)argument;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t n = next_random(&random) % (GSIS - 1);

		vmirq_irqfd_signal(irqfds[n]);
		atomic_fetch_add(&raised[n], 1);
		if (i % 16 == 0)
			post_mask(&random);
	}
	atomic_fetch_sub(&sources_running, 1);
	return NULL;
}

/* irqfds with an eventfd come and go; all that is written before deassign must be accounted for. */
static void *run_eventfds(void *argument)
{
	uint32_t random = 77;

	(void)argument;
	for (int i = 0; i < ROUNDS / 20; i++) {
		uint32_t n = next_random(&random) % GSIS;
		uint32_t writes = next_random(&random) % 4;
		struct vmirq_irqfd_config config = { .size = sizeof(config),
						     .gsi = FIRST_GSI + n,
						     .eventfd = eventfd(0, EFD_CLOEXEC) };
		struct vmirq_irqfd *irqfd;

		assert_true(config.eventfd >= 0);
		assert_int_equal(vmirq_irqfd_assign(vm, &config, &irqfd), 0);
		for (uint32_t w = 0; w < writes; w++) {
			assert_int_equal(eventfd_write(config.eventfd, 1 + w), 0);
			atomic_fetch_add(&raised[n], 1 + w);
			if (next_random(&random) % 2)
				sched_yield();
		}
		/* The caller's own copy may go at any moment. */
		if (next_random(&random) % 2) {
			close(config.eventfd);
			assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		} else {
			assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
			eventfd_write(config.eventfd, 1);
			close(config.eventfd);
		}
	}
	atomic_fetch_sub(&sources_running, 1);
	return NULL;
}

/* Fixed to one, by logical id to whoever has it, to nobody, or no route; vectors 0x40..0x5f. */
static void change_route(uint32_t gsi, uint32_t *random)
{
	uint32_t vector = 0x40 + next_random(random) % 32;
	uint64_t address = 0xfee00000u;

	switch (next_random(random) % 6) {
	case 0:
		assert_int_equal(vmirq_route_clear(vm, gsi), 0);
		return;
	case 1:
		address |= 0x40u << 12;
		break;
	case 2:
		/* Lowest priority: one of several. */
		address |= 0x07u << 12 | 1u << 2;
		vector |= 1u << 8;
		break;
	default:
		address |= (uint64_t)(next_random(random) % VCPUS) << 12;
	}
	assert_int_equal(vmirq_route_set_msi(vm, gsi, address, vector), 0);
}

static void *run_routes(void *argument)
{
	uint32_t random = 5;

	(void)argument;
	while (atomic_load(&sources_running)) {
		change_route(FIRST_GSI + next_random(&random) % GSIS, &random);
		if (next_random(&random) % 32 == 0)
			assert_int_equal(vmirq_vm_quiesce(vm), 0);
		vmirq_vcpu_interrupt(vcpus[next_random(&random) % VCPUS]);
		if (next_random(&random) % 8 == 0)
			sched_yield();
	}
	return NULL;
}

static void start_vm(void)
{
	struct vmirq_vm_config config = { .size = sizeof(config), .max_vcpus = VCPUS };

	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct vmirq_vcpu_config c = { .size = sizeof(c),
					       .index = i,
					       .apic_id = i,
					       .kick = { .fn = kick, .opaque = &guest_may_go[i] } };

		assert_int_equal(vmirq_vcpu_create(vm, &c, &vcpus[i]), 0);
		write_reg(vcpus[i], LAPIC_SVR, 0x1ff);
		write_reg(vcpus[i], LAPIC_LDR, 1u << (24 + i));
	}
	for (uint32_t n = 0; n < GSIS; n++) {
		struct vmirq_irqfd_config c = { .size = sizeof(c),
						.gsi = FIRST_GSI + n,
						.eventfd = -1 };

		assert_int_equal(vmirq_route_set_msi(vm, FIRST_GSI + n, 0xfee00000u, 0x40 + n), 0);
		if (n < GSIS - 1)
			assert_int_equal(vmirq_irqfd_assign(vm, &c, &irqfds[n]), 0);
	}
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(vm)), 0);
}

/* Wait until the vCPUs have taken everything. Bounded by the test's own time-out. */
static void settle(void)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		for (uint32_t v = 0; v < 256; v++) {
			struct vmirq_vector_counts c = { .size = sizeof(c) };

			for (;;) {
				assert_int_equal(vmirq_vector_counts(vcpus[i], v, &c), 0);
				if (!c.pending)
					break;
				sched_yield();
			}
		}
}

static void balance(void)
{
	uint64_t delivered = 0, posted = 0;

	for (uint32_t n = 0; n < GSIS; n++) {
		struct vmirq_route_counts c = { .size = sizeof(c) };
		uint64_t sum = 0;

		assert_int_equal(vmirq_gsi_counts(vm, FIRST_GSI + n, &c), 0);
		for (int v = 0; v < VMIRQ_VERDICTS; v++)
			sum += c.verdict[v];
		assert_int_equal(c.raised, sum + c.held);
		assert_int_equal(c.raised, raised[n]);
		assert_int_equal(c.verdict[VMIRQ_DEASSIGNED], 0);
		delivered += c.verdict[VMIRQ_DELIVERED];
	}
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct vmirq_route_counts c = { .size = sizeof(c) };

		assert_int_equal(vmirq_vcpu_counts(vcpus[i], &c), 0);
		assert_int_equal(c.raised, mask_raised[i]);
		assert_int_equal(c.verdict[VMIRQ_DELIVERED], mask_newly[i]);
		assert_int_equal(c.raised, c.verdict[VMIRQ_DELIVERED] + c.verdict[VMIRQ_COALESCED]);
		delivered += c.verdict[VMIRQ_DELIVERED];
	}
	for (uint32_t i = 0; i < VCPUS; i++)
		for (uint32_t v = 0; v < 256; v++) {
			struct vmirq_vector_counts c = { .size = sizeof(c) };

			assert_int_equal(vmirq_vector_counts(vcpus[i], v, &c), 0);
			assert_int_equal(c.posted, c.merged + c.taken + c.reset + c.pending);
			assert_int_equal(c.taken, handled[i][v]);
			posted += c.posted;
		}
	assert_int_equal(delivered, posted);
	assert_true(delivered > 0);
}

static void test_everything_at_once(void **state)
{
	pthread_t vcpu_threads[VCPUS], sources[SIGNALLERS + 1], routes;

	(void)state;
	start_vm();
	atomic_store(&sources_running, SIGNALLERS + 1);
	for (uintptr_t i = 0; i < VCPUS; i++)
		assert_int_equal(pthread_create(&vcpu_threads[i], NULL, run_vcpu, (void *)i), 0);
	assert_int_equal(pthread_create(&routes, NULL, run_routes, NULL), 0);
	for (uintptr_t i = 0; i < SIGNALLERS; i++)
		assert_int_equal(pthread_create(&sources[i], NULL, run_signaller, (void *)(i + 9)),
				 0);
	assert_int_equal(pthread_create(&sources[SIGNALLERS], NULL, run_eventfds, NULL), 0);
	for (int i = 0; i <= SIGNALLERS; i++)
		pthread_join(sources[i], NULL);
	pthread_join(routes, NULL);
	settle();
	for (uint32_t i = 0; i < VCPUS; i++)
		assert_int_equal(vmirq_vcpu_stop(vcpus[i]), 0);
	for (uint32_t i = 0; i < VCPUS; i++)
		pthread_join(vcpu_threads[i], NULL);
	balance();
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_everything_at_once) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
