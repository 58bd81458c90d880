// SPDX-License-Identifier: MIT
/*
 * A vCPU that is plugged and unplugged, and chips and local APICs that are reset, under interrupts of every
 * kind: irqfd (vector 0x40), eventfd (0x41), pin (0x42), message (0x43), IPI (0x44). Whatever was raised has
 * an outcome, what was delivered was posted somewhere, and nothing is left over (kernel df04d1d1,
 * CVE-2025-37885, XSA-343, XSA-360).
 */
#include "busy_pc.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/vm.h"
#include "line/line.h"

#define ROUNDS	 3000
#define BY_CALL	 40
#define BY_FD	 41
#define PIN	 9
#define RELEASED 64
#define IPI	 0x44u

static struct vmirq_vm *vm;
static struct vmirq_vcpu *vcpu[2];
static struct vmirq_irqfd *by_call;
static int event;
static _Atomic bool over;
static _Atomic bool kicked_when_released;
/* Of one vCPU each, and long not used again. */
static _Atomic bool released[RELEASED];
static uint32_t next_released;
static _Atomic uint32_t rounds_of_signals;
static uint64_t called, written, pulsed, sent, ipis;

static void *run_signals(void *unused)
{
	struct kvm_msi msi = msi_to(1, 0x43);

	(void)unused;
	while (!atomic_load(&over)) {
		vmirq_irqfd_signal(by_call);
		called++;
		vmirq_line_pulse(vm, PIN, 0, NULL);
		pulsed++;
		vmirq_msi_send(vm, &msi);
		sent++;
		if (eventfd_write(event, 1) == 0)
			written++;
		atomic_fetch_add(&rounds_of_signals, 1);
	}
	return NULL;
}

static void some_signals(uint32_t n)
{
	wait_for(&rounds_of_signals, atomic_load(&rounds_of_signals) + n);
}

static void set_rte(void)
{
	const uint32_t words[][2] = { { 0x10 + 2 * PIN, 1u << 16 },
				      { 0x11 + 2 * PIN, 1u << 24 },
				      { 0x10 + 2 * PIN, 0x42 } };

	for (int i = 0; i < 3; i++) {
		uint32_t reg = words[i][0], value = words[i][1];

		assert_int_equal(vmirq_vm_mmio(vm, UINT64_C(0xfec00000), &reg, 4, true), 0);
		assert_int_equal(vmirq_vm_mmio(vm, UINT64_C(0xfec00010), &value, 4, true), 0);
	}
}

static void send_ipi(void)
{
	apic_send_ipi(vcpu[0], ICR_ASSERTED | IPI, 1);
	ipis++;
}

/* A callback that runs when it has been released would use memory that is gone. */
static void kick(void *opaque)
{
	sched_yield();
	if (atomic_load((_Atomic bool *)opaque))
		atomic_store(&kicked_when_released, true);
}

static void release(void *opaque)
{
	atomic_store((_Atomic bool *)opaque, true);
}

static void create(uint32_t i)
{
	struct vmirq_vcpu_config config = {
		.size = sizeof(config),
		.index = i,
		.apic_id = i,
		.kick = { .fn = kick, .release = release, .opaque = &released[next_released] }
	};

	next_released = (next_released + 1) % RELEASED;
	atomic_store((_Atomic bool *)config.kick.opaque, false);
	assert_int_equal(vmirq_vcpu_create(vm, &config, &vcpu[i]), 0);
	apic_enable(vcpu[i]);
}

/* Nothing of the old one's is left in the new one, but what came since. */
static void reset_under_load(void)
{
	assert_int_equal(vmirq_vm_reset(vm), 0);
	for (int i = 0; i < 2; i++) {
		for (uint32_t word = 0; word < 8; word++)
			assert_int_equal(apic_read(vcpu[i], APIC_ISR + 16 * word), 0);
		apic_enable(vcpu[i]);
	}
	set_rte();
}

/* Of one that is gone, and so is all that it had pending. */
static uint64_t what_it_had(void)
{
	uint64_t posted = 0;

	for (uint32_t v = 0x40; v <= IPI; v++) {
		struct vmirq_vector_counts c = counts_of_vector(vcpu[1], v);

		assert_int_equal(c.posted, c.merged + c.taken + c.reset);
		assert_int_equal(c.pending, 0);
		posted += c.posted;
	}
	return posted;
}

/* Not all: signals go on. */
static void take_some(void)
{
	int next;

	for (int i = 0; i < 64 && (next = vmirq_vcpu_next_vector(vcpu[1])) >= 0; i++) {
		assert_int_equal(vmirq_vcpu_ack(vcpu[1], (uint32_t)next), 0);
		apic_write(vcpu[1], APIC_EOI, 0);
	}
}

static void one_round(uint32_t round)
{
	uint32_t vector;
	uint64_t before;

	create(1);
	send_ipi();
	some_signals(round % 3);
	if (round % 2) {
		vmirq_vcpu_next_vector(vcpu[1]);
		take_some();
	}
	if (round % 4 == 0) {
		/* One in service. */
		int next = vmirq_vcpu_next_vector(vcpu[1]);

		if (next >= 0)
			assert_int_equal(vmirq_vcpu_ack(vcpu[1], (uint32_t)next), 0);
		reset_under_load();
	}
	/* In the guest, so that whoever posts is in its callback. */
	vmirq_vcpu_step(vcpu[1], 0, &vector);
	assert_int_equal(vmirq_vcpu_destroy(vcpu[1]), 0);
	before = what_it_had();
	assert_null(vmirq_vm_vcpu(vm, 1));
	send_ipi();
	some_signals(1 + round % 2);
	assert_int_equal(what_it_had(), before);
}

/* Everything was raised, and what was delivered was posted with this vector. */
static void law(const struct vmirq_route_counts *c, uint64_t raised, uint64_t delivered,
		uint32_t vector)
{
	uint64_t sum = c->held, posted = 0;

	for (int v = 0; v < VMIRQ_VERDICTS; v++)
		sum += c->verdict[v];
	assert_int_equal(c->raised, sum);
	assert_int_equal(c->raised, raised);
	assert_true(c->verdict[VMIRQ_DELIVERED] > 0);
	assert_true(c->verdict[VMIRQ_NO_TARGET] > 0);
	for (int i = 0; i < 2; i++) {
		struct vmirq_vector_counts n = counts_of_vector(vcpu[i], vector);

		assert_int_equal(n.posted, n.merged + n.taken + n.reset);
		assert_int_equal(n.pending, 0);
		posted += n.posted;
	}
	if (posted != delivered)
		print_error("vector %#x: posted %lu, delivered %lu\n", vector, posted, delivered);
	assert_int_equal(posted, delivered);
}

static void balance(void)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_gsi_counts(vm, BY_CALL, &c), 0);
	law(&c, called, c.verdict[VMIRQ_DELIVERED], 0x40);
	assert_int_equal(vmirq_gsi_counts(vm, BY_FD, &c), 0);
	law(&c, written, c.verdict[VMIRQ_DELIVERED], 0x41);
	/* A pulse that met a masked RTE may be sent by the write that unmasks it: the IOAPIC counts. */
	assert_int_equal(vmirq_gsi_counts(vm, PIN, &c), 0);
	law(&c, pulsed, vmirq_line_delivered(vm->lines), 0x42);
	assert_int_equal(vmirq_msi_counts(vm, &c), 0);
	law(&c, sent, c.verdict[VMIRQ_DELIVERED], 0x43);
	assert_int_equal(vmirq_ipi_counts(vm, &c), 0);
	law(&c, ipis, c.verdict[VMIRQ_DELIVERED], IPI);
	assert_false(atomic_load(&kicked_when_released));
}

static void start(void)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = 2,
					  .max_gsis = BUSY_GSIS,
					  .flags = VMIRQ_VM_PC_CHIPS };
	struct kvm_irq_routing_entry pin = { .gsi = PIN, .type = KVM_IRQ_ROUTING_IRQCHIP };
	struct vmirq_irqfd_config on = { .size = sizeof(on), .gsi = BY_CALL, .eventfd = -1 };
	struct vmirq_irqfd *irqfd;

	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	create(0);
	pin.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	pin.u.irqchip.pin = PIN;
	assert_int_equal(vmirq_route_set(vm, &pin, 1), 0);
	set_rte();
	assert_int_equal(vmirq_route_set_msi(vm, BY_CALL, 0xfee01000, 0x40), 0);
	assert_int_equal(vmirq_route_set_msi(vm, BY_FD, 0xfee01000, 0x41), 0);
	assert_int_equal(vmirq_irqfd_assign(vm, &on, &by_call), 0);
	on.gsi = BY_FD;
	on.eventfd = event = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(vmirq_irqfd_assign(vm, &on, &irqfd), 0);
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(vm)), 0);
}

static void plugged_and_reset_under_interrupts(void **state)
{
	struct kvm_irqfd deassign = { .gsi = BY_FD, .flags = KVM_IRQFD_FLAG_DEASSIGN };
	pthread_t thread;

	(void)state;
	start();
	assert_int_equal(pthread_create(&thread, NULL, run_signals, NULL), 0);
	for (uint32_t round = 0; round < ROUNDS; round++)
		one_round(round);
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	deassign.fd = (uint32_t)event;
	assert_int_equal(vmirq_irqfd(vm, &deassign), 0);
	balance();
	close(event);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(plugged_and_reset_under_interrupts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
