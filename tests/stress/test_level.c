// SPDX-License-Identifier: MIT
/*
 * Level cycles that cross: devices raise their lines, vCPUs take and end, the ack notifiers lower the lines on
 * the vCPUs' threads, and a guest writes the RTEs meanwhile. Two GSIs share a pin: an EOI asks one of their
 * devices, by turns, and while the other still holds the line there is another interrupt. A device goes on only
 * when it has been asked, so an interrupt that is lost stops it; whatever was posted is taken.
 */
#include "../line/pc_world.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#define ROUNDS	   8000
#define VCPUS	   2
#define DEVICES	   4
#define FIRST_PIN  16
#define SHARED	   20
#define PATIENCE_S 20
#define POLARITY   (1u << 13)

static const struct device {
	uint32_t gsi, pin, vcpu;
	uint8_t vector;
} devices[DEVICES] = {
	{ 5, 5, 0, 0x45 }, /* also on an 8259 */
	{ FIRST_PIN, FIRST_PIN, 1, 0x56 },
	{ 40, SHARED, 0, 0x60 },
	{ 41, SHARED, 0, 0x60 },
};

static struct soft *pc;
static _Atomic uint32_t asked[DEVICES], rounds[DEVICES];
static _Atomic uint32_t turn;
static _Atomic bool over, failed;

static time_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static bool is_shared(uint32_t i)
{
	return devices[i].pin == SHARED;
}

static void lower(void *opaque, uint32_t gsi, uint32_t value)
{
	_Atomic uint32_t *one = opaque;
	uint32_t i = (uint32_t)(one - asked);

	(void)value;
	/* Both are told of each EOI: half of their turns each. */
	if (is_shared(i) && atomic_fetch_add(&turn, 1) / 2 % 2 != i % 2)
		return;
	/* It has been asked once its line is down. */
	vmirq_line_set(pc->vm, gsi, 0, false, NULL);
	atomic_fetch_add(one, 1);
}

static void wait_until_not(_Atomic uint32_t *word, uint32_t value)
{
	time_t end = seconds() + PATIENCE_S;

	while (atomic_load(word) == value && !atomic_load(&failed)) {
		sched_yield();
		if (seconds() > end)
			atomic_store(&failed, true);
	}
}

static void *run_device(void *argument)
{
	uint32_t i = (uint32_t)(uintptr_t)argument;

	for (uint32_t round = 0; round < ROUNDS && !atomic_load(&failed); round++) {
		uint32_t before = atomic_load(&asked[i]);

		vmirq_line_set(pc->vm, devices[i].gsi, 0, true, NULL);
		wait_until_not(&asked[i], before);
		atomic_fetch_add(&rounds[i], 1);
		/* Those two go on together: neither may live by the other's interrupts. */
		if (is_shared(i))
			wait_until_not(&rounds[i ^ 1], round);
	}
	return NULL;
}

static void *run_vcpu(void *argument)
{
	struct vmirq_vcpu *vcpu = argument;

	while (!atomic_load(&over)) {
		int vector = vmirq_vcpu_next_vector(vcpu);

		if (vector < 0) {
			sched_yield();
			continue;
		}
		vmirq_vcpu_ack(vcpu, (uint32_t)vector);
		apic_write(vcpu, APIC_EOI, 0);
	}
	return NULL;
}

static void write_low(const struct device *d, uint32_t more)
{
	ioapic_put(pc, IOAPIC_BASE, 0x10 + 2 * d->pin, RTE_LEVEL | d->vector | more);
}

/* What the pin says is another RTE each time, for the same vCPU. */
static void *run_guest(void *unused)
{
	(void)unused;
	/* Not to the end: a write would send what an EOI has forgotten. */
	for (uint32_t i = 0; atomic_load(&rounds[2]) < ROUNDS / 2 && !atomic_load(&failed); i++) {
		write_low(&devices[i % DEVICES], i & DEVICES ? POLARITY : 0);
		if (i % 3 == 0) {
			write_low(&devices[i % DEVICES], RTE_MASKED);
			sched_yield();
			write_low(&devices[i % DEVICES], 0);
		}
		sched_yield();
	}
	for (uint32_t i = 0; i < DEVICES; i++)
		write_low(&devices[i], 0);
	return NULL;
}

static bool all_low(void)
{
	for (uint32_t i = 0; i < DEVICES; i++)
		if (vmirq_line_level(pc->vm, devices[i].gsi))
			return false;
	return true;
}

static void start(struct vmirq_notifier *notifier[DEVICES])
{
	pc = pc_new(VCPUS, 0);
	pics_start(pc, 0xff, 0xff);
	route_pin(pc, devices[2].gsi, KVM_IRQCHIP_IOAPIC, SHARED);
	route_pin(pc, devices[3].gsi, KVM_IRQCHIP_IOAPIC, SHARED);
	for (uint32_t i = 0; i < DEVICES; i++) {
		struct vmirq_notifier_config config = { .size = sizeof(config),
							.gsi = devices[i].gsi,
							.notice = VMIRQ_NOTICE_ACK,
							.fn = lower,
							.opaque = &asked[i] };

		rte_put(pc, devices[i].pin,
			RTE_TO(devices[i].vcpu) | RTE_LEVEL | devices[i].vector);
		assert_int_equal(vmirq_notifier_add(pc->vm, &config, &notifier[i]), 0);
	}
}

static void nothing_is_lost(void **state)
{
	struct vmirq_notifier *notifier[DEVICES];
	pthread_t device[DEVICES], vcpu[VCPUS], guest;
	time_t end;

	(void)state;
	start(notifier);
	for (uint32_t i = 0; i < VCPUS; i++)
		assert_int_equal(pthread_create(&vcpu[i], NULL, run_vcpu, pc->vcpu[i]), 0);
	for (uint32_t i = 0; i < DEVICES; i++)
		assert_int_equal(pthread_create(&device[i], NULL, run_device, (void *)(uintptr_t)i),
				 0);
	assert_int_equal(pthread_create(&guest, NULL, run_guest, NULL), 0);
	for (uint32_t i = 0; i < DEVICES; i++)
		assert_int_equal(pthread_join(device[i], NULL), 0);
	for (end = seconds() + PATIENCE_S; !all_low() && seconds() <= end;)
		sched_yield();
	atomic_store(&over, true);
	assert_int_equal(pthread_join(guest, NULL), 0);
	for (uint32_t i = 0; i < VCPUS; i++)
		assert_int_equal(pthread_join(vcpu[i], NULL), 0);
	assert_false(atomic_load(&failed));
	assert_true(all_low());
	for (uint32_t i = 0; i < VCPUS; i++)
		take_all(pc->vcpu[i], NULL);
	for (uint32_t i = 0; i < DEVICES; i++) {
		assert_true(atomic_load(&asked[i]) > 0);
		assert_false(remote_irr(pc, devices[i].pin));
		assert_int_equal(vmirq_notifier_remove(notifier[i]), 0);
	}
	pc_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
