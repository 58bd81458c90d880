// SPDX-License-Identifier: MIT
#include "busy_pc.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "base/vm.h"
#include "line/line.h"

#define IOAPIC_SELECT UINT64_C(0xfec00000)
#define IOAPIC_WINDOW UINT64_C(0xfec00010)

uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Who waits for long is out of the way of those it waits for. */
void wait_for(const _Atomic uint32_t *word, uint32_t value)
{
	for (unsigned int turn = 0; (int32_t)(atomic_load(word) - value) < 0; turn++)
		if (turn < 100)
			sched_yield();
		else
			nanosleep(&(struct timespec){ .tv_nsec = 10000 }, NULL);
}

int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

void busy_check_at(struct busy_pc *pc, bool good, const char *what, const char *file, int line)
{
	/* The first few say enough. */
	if (!good && atomic_fetch_add(&pc->wrong, 1) < 5)
		print_error("%s:%d: not so: %s\n", file, line, what);
}

static void kick(void *opaque)
{
	atomic_store((_Atomic bool *)opaque, true);
}

/* In the guest: nothing ends it but a kick. */
static void run_guest(struct busy_vcpu *v)
{
	while (!atomic_load(&v->kicked))
		sched_yield();
	atomic_store(&v->kicked, false);
	vmirq_vcpu_leave(v->vcpu);
}

static void handle(struct busy_pc *pc, struct busy_vcpu *v, uint32_t vector, uint32_t random)
{
	busy_check(pc, vmirq_vcpu_ack(v->vcpu, vector) == 0);
	if (random % 64 == 0) {
		/* The entry failed: put it back, and take it at the next turn. */
		busy_check(pc, vmirq_vcpu_unack(v->vcpu, vector) == 0);
		return;
	}
	atomic_fetch_add(&v->handled[vector], 1);
	apic_write(v->vcpu, APIC_EOI, 0);
}

struct start {
	struct busy_pc *pc;
	struct busy_vcpu *v;
};

static void *run_vcpu(void *argument)
{
	struct start start = *(struct start *)argument;
	struct busy_vcpu *v = start.v;
	uint32_t random = (uint32_t)(v - start.pc->vcpu) + 1, vector = 0;

	free(argument);
	busy_check(start.pc, vmirq_vcpu_bind_thread(v->vcpu) == 0);
	for (;;) {
		uint32_t asked = atomic_load(&v->asked), dice = next_random(&random);
		int step = vmirq_vcpu_step(
			v->vcpu, VMIRQ_CPU_INTERRUPTIBLE | (dice % 4 ? VMIRQ_CPU_HALTED : 0),
			&vector);

		if (step == -ECANCELED)
			break;
		if (step == VMIRQ_STEP_INJECT) {
			handle(start.pc, v, vector, next_random(&random));
		} else if (step == VMIRQ_STEP_NMI) {
			atomic_fetch_add(&v->nmis, 1);
		} else if (step == VMIRQ_STEP_PARK || step == VMIRQ_STEP_ENTER) {
			atomic_store(&v->answered, asked);
			if (step == VMIRQ_STEP_PARK)
				vmirq_vcpu_park(v->vcpu, -1);
			else
				run_guest(v);
		} else {
			busy_check(start.pc, step == -EINTR);
		}
	}
	busy_check(start.pc, vmirq_vcpu_unbind_thread(v->vcpu) == 0);
	return NULL;
}

void busy_settle(struct busy_pc *pc)
{
	for (unsigned int i = 0; i < BUSY_VCPUS; i++) {
		struct busy_vcpu *v = &pc->vcpu[i];
		uint32_t asked = atomic_fetch_add(&v->asked, 1) + 1;

		vmirq_vcpu_interrupt(v->vcpu);
		wait_for(&v->answered, asked);
	}
}

uint64_t busy_handled(struct busy_pc *pc, uint32_t vector)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < BUSY_VCPUS; i++)
		n += atomic_load(&pc->vcpu[i].handled[vector]);
	return n;
}

struct busy_pc *busy_new(void)
{
	struct busy_pc *pc = calloc(1, sizeof(*pc));
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = BUSY_VCPUS + 1,
					  .max_gsis = BUSY_GSIS,
					  .flags = VMIRQ_VM_PC_CHIPS };

	assert_non_null(pc);
	assert_int_equal(vmirq_vm_create(&config, &pc->vm), 0);
	for (uint32_t gsi = 0; gsi < 24; gsi++)
		busy_pin(pc, gsi, gsi);
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(pc->vm)), 0);
	for (uint32_t i = 0; i < BUSY_VCPUS; i++) {
		struct busy_vcpu *v = &pc->vcpu[i];
		struct vmirq_vcpu_config c = { .size = sizeof(c),
					       .index = i,
					       .apic_id = i,
					       .kick = { .fn = kick, .opaque = &v->kicked } };
		struct start *start = malloc(sizeof(*start));

		assert_non_null(start);
		*start = (struct start){ .pc = pc, .v = v };
		assert_int_equal(vmirq_vcpu_create(pc->vm, &c, &v->vcpu), 0);
		apic_enable(v->vcpu);
		assert_int_equal(pthread_create(&v->thread, NULL, run_vcpu, start), 0);
	}
	return pc;
}

void busy_stop(struct busy_pc *pc)
{
	busy_settle(pc);
	for (uint32_t i = 0; i < BUSY_VCPUS; i++)
		assert_int_equal(vmirq_vcpu_stop(pc->vcpu[i].vcpu), 0);
	for (uint32_t i = 0; i < BUSY_VCPUS; i++)
		pthread_join(pc->vcpu[i].thread, NULL);
	assert_int_equal(atomic_load(&pc->wrong), 0);
}

void busy_free(struct busy_pc *pc)
{
	assert_int_equal(vmirq_vm_destroy(pc->vm), 0);
	free(pc);
}

static void ioapic_put(struct busy_pc *pc, uint32_t reg, uint32_t value)
{
	busy_check(pc, vmirq_vm_mmio(pc->vm, IOAPIC_SELECT, &reg, 4, true) == 0);
	busy_check(pc, vmirq_vm_mmio(pc->vm, IOAPIC_WINDOW, &value, 4, true) == 0);
}

void busy_rte(struct busy_pc *pc, uint32_t pin, uint32_t vcpu, uint32_t low)
{
	ioapic_put(pc, 0x10 + 2 * pin, 1u << 16);
	ioapic_put(pc, 0x11 + 2 * pin, vcpu << 24);
	ioapic_put(pc, 0x10 + 2 * pin, low);
}

void busy_pin(struct busy_pc *pc, uint32_t gsi, uint32_t pin)
{
	struct kvm_irq_routing_entry entry = { .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };

	entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	entry.u.irqchip.pin = pin;
	busy_check(pc, vmirq_route_set(pc->vm, &entry, 1) == 0);
}

struct vmirq_route_counts busy_gsi_counts(struct busy_pc *pc, uint32_t gsi)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };
	uint64_t sum;

	assert_int_equal(vmirq_gsi_counts(pc->vm, gsi, &c), 0);
	sum = c.held;
	for (int v = 0; v < VMIRQ_VERDICTS; v++)
		sum += c.verdict[v];
	assert_int_equal(c.raised, sum);
	return c;
}

uint64_t busy_posted(struct busy_pc *pc)
{
	uint64_t posted = 0;

	for (uint32_t i = 0; i < BUSY_VCPUS; i++) {
		posted += pc->vcpu[i].nmis;
		for (uint32_t v = 0; v < 256; v++) {
			struct vmirq_vector_counts c = { .size = sizeof(c) };

			assert_int_equal(vmirq_vector_counts(pc->vcpu[i].vcpu, v, &c), 0);
			assert_int_equal(c.posted, c.merged + c.taken + c.reset + c.pending);
			assert_int_equal(c.pending, 0);
			assert_int_equal(c.taken, pc->vcpu[i].handled[v]);
			posted += c.posted;
		}
	}
	return posted;
}

uint64_t busy_delivered(struct busy_pc *pc)
{
	uint64_t delivered = 0;

	for (uint32_t gsi = 0; gsi < BUSY_GSIS; gsi++)
		delivered += busy_gsi_counts(pc, gsi).verdict[VMIRQ_DELIVERED];
	return delivered;
}

uint64_t busy_ioapic_delivered(struct busy_pc *pc)
{
	return vmirq_line_delivered(pc->vm->lines);
}
