/* SPDX-License-Identifier: MIT */
/*
 * A device whose guest masks, unmasks and re-targets its vectors all the time, by the table, the function
 * mask and enable, while they are raised by call and by eventfd. Each source of a paced vector waits for the
 * handler before it raises again: one that is lost stops it (and the test's time-out ends it), one that is
 * doubled shows as a handler's run too many. The vectors of the storm balance their books only.
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
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <vmirq/irqfd.h>
#include <vmirq/msix.h>
#include <vmirq/observe.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define VCPUS	   2
#define VECTORS	   16
#define BY_CALL	   6  /* 0 .. 5: paced, by call */
#define BY_EVENTFD 12 /* 6 .. 11: paced, by eventfd */
#define FIRST_APIC 0x40u
#define ROUNDS	   4000
#define STORM	   40000

#define LAPIC_EOI  0xfee000b0u
#define LAPIC_SVR  0xfee000f0u

static struct vmirq_vm *vm;
static struct vmirq_msix *msix;
static struct vmirq_vcpu *vcpus[VCPUS];
static int fds[VECTORS];
static _Atomic uint64_t handled[VECTORS], raised[VECTORS];
static _Atomic uint64_t told[VECTORS]; /* odd: it is open */
static _Atomic int sources_running;

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void write_reg(struct vmirq_vcpu *vcpu, uint64_t gpa, uint32_t value)
{
	assert_int_equal(vmirq_vcpu_mmio(vcpu, gpa, &value, sizeof(value), true), 0);
}

static void *run_vcpu(void *argument)
{
	struct vmirq_vcpu *vcpu = argument;
	uint32_t vector = 0;
	int step;

	assert_int_equal(vmirq_vcpu_bind_thread(vcpu), 0);
	while ((step = vmirq_vcpu_step(vcpu, VMIRQ_CPU_INTERRUPTIBLE | VMIRQ_CPU_HALTED,
				       &vector)) != -ECANCELED) {
		if (step == VMIRQ_STEP_PARK) {
			vmirq_vcpu_park(vcpu, -1);
			continue;
		}
		assert_int_equal(step, VMIRQ_STEP_INJECT);
		assert_int_equal(vmirq_vcpu_ack(vcpu, vector), 0);
		write_reg(vcpu, LAPIC_EOI, 0);
		assert_in_range(vector, FIRST_APIC, FIRST_APIC + VECTORS - 1);
		atomic_fetch_add(&handled[vector - FIRST_APIC], 1);
	}
	assert_int_equal(vmirq_vcpu_unbind_thread(vcpu), 0);
	return NULL;
}

static void raise(uint32_t v, bool by_call)
{
	atomic_fetch_add(&raised[v], 1);
	if (by_call)
		vmirq_msix_trigger(msix, v);
	else
		assert_int_equal(eventfd_write(fds[v], 1), 0);
}

static void *run_paced(void *argument)
{
	uint32_t random = (uint32_t)(uintptr_t)argument, first = random ? BY_CALL : 0;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t v = first + next_random(&random) % 6;
		uint64_t before = atomic_load(&handled[v]);

		raise(v, v < BY_CALL);
		while (atomic_load(&handled[v]) == before)
			sched_yield();
	}
	atomic_fetch_sub(&sources_running, 1);
	return NULL;
}

static void *run_storm(void *argument)
{
	uint32_t random = (uint32_t)(uintptr_t)argument;

	for (int i = 0; i < STORM; i++)
		raise(BY_EVENTFD + next_random(&random) % 4, next_random(&random) % 4);
	atomic_fetch_sub(&sources_running, 1);
	return NULL;
}

static void write_entry(uint32_t v, uint32_t word, uint32_t value)
{
	assert_int_equal(vmirq_msix_table_access(msix, v * 16 + word * 4, &value, 4, true), 0);
}

static void retarget(uint32_t v, uint32_t random)
{
	write_entry(v, 0, 0xfee00000u | random % VCPUS << 12);
}

static uint64_t delivered_by(uint32_t v)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_irqfd_counts(vmirq_msix_irqfd(msix, v), &c), 0);
	return c.verdict[VMIRQ_DELIVERED];
}

/* Once the write has returned nothing more is posted. */
static void mask_and_watch(uint32_t v)
{
	uint64_t before;

	write_entry(v, 3, 1);
	before = delivered_by(v);
	for (int i = 0; i < 10; i++) {
		sched_yield();
		assert_int_equal(delivered_by(v), before);
	}
}

/* The guest's driver, on one of its CPUs; each has every second vector's entry for its own. */
static void guest_turn(uint32_t cpu, uint32_t *random)
{
	uint32_t v = next_random(random) % (VECTORS / 2) * 2 + cpu;
	uint64_t pba;

	switch (next_random(random) % 16) {
	case 0:
		assert_int_equal(vmirq_msix_set_control(msix, next_random(random) % 2,
							next_random(random) % 2),
				 0);
		break;
	case 1:
	case 2:
		assert_int_equal(vmirq_msix_set_control(msix, true, false), 0);
		break;
	case 3:
		assert_int_equal(vmirq_msix_pba_access(msix, 0, &pba, 8, false), 0);
		assert_false(pba >> VECTORS);
		break;
	case 4:
	case 5:
		retarget(v, next_random(random));
		break;
	case 6:
		mask_and_watch(v);
		write_entry(v, 3, next_random(random) % 2);
		break;
	case 7:
		write_entry(v, 3, 1);
		retarget(v, next_random(random));
		write_entry(v, 3, 0);
		break;
	default:
		write_entry(v, 3, next_random(random) % 2);
		break;
	}
}

static void *run_guest(void *argument)
{
	uint32_t cpu = (uint32_t)(uintptr_t)argument, random = cpu + 3;

	while (atomic_load(&sources_running)) {
		guest_turn(cpu, &random);
		if (next_random(&random) % 4 == 0)
			sched_yield();
	}
	return NULL;
}

static void tell(void *opaque, uint32_t vector, bool masked)
{
	(void)opaque;
	/* By turns, and the first is that it opens. */
	assert_int_equal(atomic_fetch_add(&told[vector], 1) % 2, masked);
}

static void start_vm(void)
{
	struct vmirq_vm_config config = { .size = sizeof(config), .max_vcpus = VCPUS };
	struct vmirq_msix_config device = { .size = sizeof(device),
					    .vectors = VECTORS,
					    .masked = tell };

	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct vmirq_vcpu_config c = { .size = sizeof(c), .index = i, .apic_id = i };

		assert_int_equal(vmirq_vcpu_create(vm, &c, &vcpus[i]), 0);
		write_reg(vcpus[i], LAPIC_SVR, 0x1ff);
	}
	assert_int_equal(vmirq_msix_create(vm, &device, &msix), 0);
	for (uint32_t v = 0; v < VECTORS; v++) {
		fds[v] = vmirq_msix_lend_eventfd(msix, v);
		assert_true(fds[v] >= 0);
		write_entry(v, 2, FIRST_APIC + v);
		retarget(v, v);
	}
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(vm)), 0);
}

/* All open, and every eventfd read. */
static void end_device(void)
{
	for (uint32_t v = 0; v < VECTORS; v++) {
		write_entry(v, 3, 0);
		assert_int_equal(vmirq_msix_set_eventfd(msix, v, -1, 0), 0);
	}
	assert_int_equal(vmirq_msix_set_control(msix, true, false), 0);
}

static void settle(void)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		for (uint32_t v = FIRST_APIC; v < FIRST_APIC + VECTORS; v++) {
			struct vmirq_vector_counts c = { .size = sizeof(c) };

			do {
				sched_yield();
				assert_int_equal(vmirq_vector_counts(vcpus[i], v, &c), 0);
			} while (c.pending);
		}
}

static uint64_t balance_vector(uint32_t v)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };
	uint64_t sum = 0;

	assert_int_equal(vmirq_irqfd_counts(vmirq_msix_irqfd(msix, v), &c), 0);
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		sum += c.verdict[i];
	assert_int_equal(c.raised, sum);
	assert_int_equal(c.held, 0);
	assert_int_equal(c.raised, raised[v]);
	assert_int_equal(c.verdict[VMIRQ_DEASSIGNED], 0);
	assert_int_equal(c.verdict[VMIRQ_NO_ROUTE], 0);
	assert_int_equal(told[v] % 2, 1);
	if (v < BY_EVENTFD)
		assert_int_equal(handled[v], raised[v]);
	return c.verdict[VMIRQ_DELIVERED];
}

static void balance(void)
{
	uint64_t delivered = 0, posted = 0, merged = 0, taken = 0;

	for (uint32_t v = 0; v < VECTORS; v++) {
		delivered += balance_vector(v);
		taken += handled[v];
	}
	for (uint32_t i = 0; i < VCPUS; i++)
		for (uint32_t v = 0; v < 256; v++) {
			struct vmirq_vector_counts c = { .size = sizeof(c) };

			assert_int_equal(vmirq_vector_counts(vcpus[i], v, &c), 0);
			assert_int_equal(c.posted, c.merged + c.taken + c.reset + c.pending);
			posted += c.posted;
			merged += c.merged;
		}
	assert_int_equal(delivered, posted);
	assert_int_equal(posted, taken + merged);
}

static void test_masks_against_signals(void **state)
{
	pthread_t cpu[VCPUS], source[4], guest[2];

	(void)state;
	start_vm();
	for (int i = 0; i < VCPUS; i++)
		assert_int_equal(pthread_create(&cpu[i], NULL, run_vcpu, vcpus[i]), 0);
	atomic_store(&sources_running, 4);
	for (uintptr_t i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&guest[i], NULL, run_guest, (void *)i), 0);
		assert_int_equal(pthread_create(&source[i], NULL, run_paced, (void *)i), 0);
		assert_int_equal(pthread_create(&source[2 + i], NULL, run_storm, (void *)(i + 7)),
				 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(source[i], NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(guest[i], NULL);
	end_device();
	settle();
	for (int i = 0; i < VCPUS; i++) {
		assert_int_equal(vmirq_vcpu_stop(vcpus[i]), 0);
		pthread_join(cpu[i], NULL);
	}
	balance();
	assert_int_equal(vmirq_msix_destroy(msix), 0);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	for (int v = 0; v < VECTORS; v++)
		close(fds[v]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_masks_against_signals) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
