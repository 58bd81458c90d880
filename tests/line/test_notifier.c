// SPDX-License-Identifier: MIT
/* Who is told of EOIs and masks, and what they may do meanwhile (line.h). */
#include "pc_world.h"

#include <pthread.h>
#include <time.h>

#define GSI    17u
#define VECTOR 0x51

struct told {
	struct soft *s;
	struct vmirq_notifier *notifier;
	void (*then)(struct told *t);
	struct vmirq_irqfd *irqfd;
	struct told *other;
	uint32_t calls, gsi, value, releases;
	_Atomic int running, leave;
};

static void fn(void *opaque, uint32_t gsi, uint32_t value)
{
	struct told *t = opaque;

	t->calls++;
	t->gsi = gsi;
	t->value = value;
	if (t->then)
		t->then(t);
}

static void release(void *opaque)
{
	((struct told *)opaque)->releases++;
}

static void add(struct told *t, uint32_t gsi, enum vmirq_notice notice)
{
	struct vmirq_notifier_config config = { .size = sizeof(config),
						.gsi = gsi,
						.notice = notice,
						.fn = fn,
						.release = release,
						.opaque = t };

	assert_int_equal(vmirq_notifier_add(t->s->vm, &config, &t->notifier), 0);
}

static struct soft *with_level(void)
{
	struct soft *s = pc_new(1, 0);

	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	return s;
}

static void one_interrupt(struct soft *s)
{
	line(s, GSI, 0, true);
	begin_service(s->vcpu[0], VECTOR);
	end_service(s->vcpu[0]);
}

static void lower(struct told *t)
{
	line(t->s, GSI, 0, false);
}

static void told_of_an_eoi(void **state)
{
	struct soft *s = with_level();
	struct told ours = { .s = s, .then = lower }, others = { .s = s };

	(void)state;
	add(&ours, GSI, VMIRQ_NOTICE_ACK);
	add(&others, GSI + 1, VMIRQ_NOTICE_ACK);
	line(s, GSI, 0, true);
	assert_int_equal(ours.calls, 0);
	begin_service(s->vcpu[0], VECTOR);
	assert_int_equal(ours.calls, 0);
	end_service(s->vcpu[0]);
	/* Lowered in the callback: not delivered again. */
	assert_int_equal(ours.calls, 1);
	assert_int_equal(ours.gsi, GSI);
	assert_int_equal(ours.value, 0);
	take_nothing(s->vcpu[0]);
	assert_int_equal(others.calls, 0);
	assert_int_equal(vmirq_notifier_remove(ours.notifier), 0);
	assert_int_equal(ours.releases, 1);
	one_interrupt(s);
	assert_int_equal(ours.calls, 1);
	line(s, GSI, 0, false);
	take_only(s->vcpu[0], VECTOR);
	/* The VM's end releases who is left. */
	assert_int_equal(others.releases, 0);
	pc_free(s);
	assert_int_equal(ours.releases, 1);
	assert_int_equal(others.releases, 1);
}

static void raise_again(struct told *t)
{
	line(t->s, GSI, 0, false);
	if (t->calls == 1)
		line(t->s, GSI, 0, true);
}

/* A line that falls and rises in the callback is a new interrupt, not a lost one. */
static void raised_in_the_callback(void **state)
{
	struct soft *s = with_level();
	struct told t = { .s = s, .then = raise_again };

	(void)state;
	add(&t, GSI, VMIRQ_NOTICE_ACK);
	one_interrupt(s);
	assert_int_equal(t.calls, 1);
	begin_service(s->vcpu[0], VECTOR);
	end_service(s->vcpu[0]);
	assert_int_equal(t.calls, 2);
	take_nothing(s->vcpu[0]);
	assert_false(remote_irr(s, GSI));
	pc_free(s);
}

static void call_everything(struct told *t)
{
	struct soft *s = t->s;
	struct kvm_msi msi = msi_to(0, 0x31);
	uint32_t source;

	line(s, GSI, 0, false);
	if (t->calls > 1)
		return;
	/* A lock held here would hang, or TSan would say so. */
	add(t->other, GSI, VMIRQ_NOTICE_ACK);
	assert_int_equal(vmirq_irqfd_deassign(t->irqfd), 0);
	assert_int_equal(vmirq_vm_quiesce(s->vm), 0);
	assert_int_equal(vmirq_line_source_alloc(s->vm, &source), 0);
	pulse(s, 18);
	route_pin(s, GSI, KVM_IRQCHIP_IOAPIC, GSI);
	rte_put(s, 19, RTE_TO(0) | 0x33);
	assert_int_equal(vmirq_line_source_free(s->vm, source), 0);
	vmirq_msi_send(s->vm, &msi);
	assert_int_equal(rte_get(s, GSI) & 0xff, VECTOR);
	assert_int_equal(counts_of_gsi(s, GSI).raised, 1);
	vmirq_vm_expire(s->vm);
	vmirq_vcpu_nmi(s->vcpu[0]);
}

static void anything_may_be_called(void **state)
{
	struct soft *s = with_level();
	struct told other = { .s = s };
	struct told t = { .s = s, .then = call_everything, .other = &other };

	(void)state;
	rte_put(s, 18, RTE_TO(0) | 0x32);
	t.irqfd = irqfd_call(s, GSI);
	add(&t, GSI, VMIRQ_NOTICE_ACK);
	one_interrupt(s);
	assert_int_equal(t.calls, 1);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	one_interrupt(s);
	assert_int_equal(t.calls, 2);
	assert_true(other.calls >= 1);
	assert_int_equal(vmirq_notifier_remove(other.notifier), 0);
	assert_int_equal(vmirq_notifier_remove(t.notifier), 0);
	assert_int_equal(other.releases + t.releases, 2);
	pc_free(s);
}

static void remove_other(struct told *t)
{
	if (t->calls == 1)
		assert_int_equal(vmirq_notifier_remove(t->other->notifier), 0);
	line(t->s, GSI, 0, false);
}

static void one_removes_another(void **state)
{
	/* Before it and after it in whatever order they are kept. */
	for (int first = 0; first < 2; first++) {
		struct soft *s = with_level();
		struct told other = { .s = s };
		struct told t = { .s = s, .then = remove_other, .other = &other };

		(void)state;
		add(first ? &other : &t, GSI, VMIRQ_NOTICE_ACK);
		add(first ? &t : &other, GSI, VMIRQ_NOTICE_ACK);
		one_interrupt(s);
		one_interrupt(s);
		assert_int_equal(t.calls, 2);
		assert_in_range(other.calls, 0, 1);
		assert_int_equal(other.releases, 1);
		pc_free(s);
		assert_int_equal(t.releases, 1);
	}
}

static void told_of_masks(void **state)
{
	struct soft *s = with_level();
	struct told t = { .s = s };

	(void)state;
	add(&t, GSI, VMIRQ_NOTICE_MASK);
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | RTE_MASKED | VECTOR);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.value, 1);
	/* Masked already. */
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | RTE_MASKED | 0x52);
	assert_int_equal(t.calls, 1);
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | VECTOR);
	assert_int_equal(t.calls, 2);
	assert_int_equal(t.value, 0);
	assert_int_equal(t.gsi, GSI);
	one_interrupt(s);
	assert_int_equal(t.calls, 2);
	line(s, GSI, 0, false);
	take_only(s->vcpu[0], VECTOR);
	pc_free(s);
}

/* GSI 3 goes to an 8259 too: its EOI and its mask are told as well. */
static void told_by_the_8259(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct told acks = { .s = s }, masks = { .s = s };
	uint32_t vector = 0;

	(void)state;
	pics_start(s, 0xff, 0xff);
	add(&acks, 3, VMIRQ_NOTICE_ACK);
	add(&masks, 3, VMIRQ_NOTICE_MASK);
	out8(s, 0x21, 0xf7);
	assert_int_equal(masks.calls, 1);
	assert_int_equal(masks.value, 0);
	pulse(s, 3);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_INJECT);
	assert_int_equal(vector, 0x23);
	assert_int_equal(vmirq_vcpu_ack(s->vcpu[0], vector), 0);
	assert_int_equal(acks.calls, 0);
	out8(s, 0x20, 0x63); /* specific EOI of 3 */
	assert_int_equal(acks.calls, 1);
	assert_int_equal(acks.gsi, 3);
	out8(s, 0x21, 0xff);
	assert_int_equal(masks.calls, 2);
	assert_int_equal(masks.value, 1);
	pc_free(s);
}

static void linger(struct told *t)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	line(t->s, GSI, 0, false);
	t->running = 1;
	for (int i = 0; !t->leave && i < 3000; i++)
		nanosleep(&nap, NULL);
	nanosleep(&nap, NULL);
	t->running = 0;
}

static void *make_an_eoi(void *argument)
{
	struct told *t = argument;

	end_service(t->s->vcpu[0]);
	return NULL;
}

static void *leave_later(void *argument)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	struct told *t = argument;

	nanosleep(&nap, NULL);
	assert_int_equal(t->releases, 0);
	t->leave = 1;
	return NULL;
}

static void remove_waits_for_a_running_one(void **state)
{
	struct soft *s = with_level();
	struct told t = { .s = s, .then = linger };
	pthread_t vcpu, helper;

	(void)state;
	add(&t, GSI, VMIRQ_NOTICE_ACK);
	line(s, GSI, 0, true);
	begin_service(s->vcpu[0], VECTOR);
	assert_int_equal(pthread_create(&vcpu, NULL, make_an_eoi, &t), 0);
	while (!t.running)
		sched_yield();
	assert_int_equal(pthread_create(&helper, NULL, leave_later, &t), 0);
	assert_int_equal(vmirq_notifier_remove(t.notifier), 0);
	assert_int_equal(t.running, 0);
	assert_int_equal(t.leave, 1);
	assert_int_equal(t.releases, 1);
	pthread_join(helper, NULL);
	pthread_join(vcpu, NULL);
	pc_free(s);
}

/* Beside EOIs that go on all the time. */
static void *many_eois(void *argument)
{
	struct soft *s = argument;

	for (int i = 0; i < 3000; i++) {
		one_interrupt(s);
		line(s, GSI, 0, false);
		take_all(s->vcpu[0], NULL);
	}
	return NULL;
}

static void added_and_removed_beside_eois(void **state)
{
	struct soft *s = with_level();
	struct told t = { .s = s };
	pthread_t vcpu;

	(void)state;
	assert_int_equal(pthread_create(&vcpu, NULL, many_eois, s), 0);
	for (uint32_t i = 0; i < 500; i++) {
		add(&t, GSI, i % 2 ? VMIRQ_NOTICE_ACK : VMIRQ_NOTICE_MASK);
		sched_yield();
		assert_int_equal(vmirq_notifier_remove(t.notifier), 0);
		assert_int_equal(t.releases, i + 1);
	}
	pthread_join(vcpu, NULL);
	pc_free(s);
}

static void bad_configs(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_notifier_config good = { .size = sizeof(good), .fn = fn }, bad;
	struct vmirq_notifier *n = NULL;

	(void)state;
	bad = good;
	bad.size = 8;
	assert_int_equal(vmirq_notifier_add(s->vm, &bad, &n), -EINVAL);
	bad = good;
	bad.notice = VMIRQ_NOTICE_MASK + 1;
	assert_int_equal(vmirq_notifier_add(s->vm, &bad, &n), -EINVAL);
	bad = good;
	bad.fn = NULL;
	assert_int_equal(vmirq_notifier_add(s->vm, &bad, &n), -EINVAL);
	assert_int_equal(vmirq_notifier_add(NULL, &good, &n), -EINVAL);
	assert_int_equal(vmirq_notifier_add(s->vm, NULL, &n), -EINVAL);
	assert_int_equal(vmirq_notifier_add(s->vm, &good, NULL), -EINVAL);
	assert_null(n);
	assert_int_equal(vmirq_notifier_remove(NULL), 0);
	/* The last GSI, which has no route: fine, and never told. */
	good.gsi = SOFT_GSIS - 1;
	assert_int_equal(vmirq_notifier_add(s->vm, &good, &n), 0);
	assert_int_equal(vmirq_notifier_remove(n), 0);
	pc_free(s);
}

static void unmask_the_next(struct told *t)
{
	assert_int_equal(vmirq_vm_destroy(t->s->vm), -EDEADLK);
	rte_put(t->s, GSI + 1, RTE_TO(0) | VECTOR);
}

static void remove_the_outer(struct told *t)
{
	assert_int_equal(vmirq_notifier_remove(t->notifier), -EDEADLK);
	assert_int_equal(vmirq_notifier_remove(t->other->notifier), -EDEADLK);
	assert_int_equal(vmirq_vm_destroy(t->s->vm), -EDEADLK);
}

/* A callback's own access calls another one, which cannot wait for the first: nobody would return. */
static void one_inside_another(void **state)
{
	struct told outer = { .s = pc_new(1, 0), .then = unmask_the_next };
	struct told inner = { .s = outer.s, .then = remove_the_outer, .other = &outer };

	(void)state;
	add(&outer, GSI, VMIRQ_NOTICE_MASK);
	add(&inner, GSI + 1, VMIRQ_NOTICE_MASK);
	rte_put(outer.s, GSI, RTE_TO(0) | VECTOR);
	assert_int_equal(outer.calls, 1);
	assert_int_equal(inner.calls, 1);
	assert_int_equal(vmirq_notifier_remove(outer.notifier), 0);
	assert_int_equal(vmirq_notifier_remove(inner.notifier), 0);
	pc_free(outer.s);
}

static void *unmask(void *argument)
{
	struct told *outer = argument;

	rte_put(outer->s, GSI, RTE_TO(0) | VECTOR);
	return NULL;
}

static void remove_waits_for_an_inner_one(void **state)
{
	struct told outer = { .s = pc_new(1, 0), .then = unmask_the_next };
	struct told inner = { .s = outer.s, .then = linger };
	pthread_t vcpu, helper;

	(void)state;
	add(&outer, GSI, VMIRQ_NOTICE_MASK);
	add(&inner, GSI + 1, VMIRQ_NOTICE_MASK);
	assert_int_equal(pthread_create(&vcpu, NULL, unmask, &outer), 0);
	while (!inner.running)
		sched_yield();
	assert_int_equal(pthread_create(&helper, NULL, leave_later, &inner), 0);
	assert_int_equal(vmirq_notifier_remove(inner.notifier), 0);
	assert_int_equal(inner.running, 0);
	assert_int_equal(inner.leave, 1);
	assert_int_equal(inner.releases, 1);
	assert_int_equal(vmirq_notifier_remove(outer.notifier), 0);
	assert_int_equal(outer.releases, 1);
	pthread_join(helper, NULL);
	pthread_join(vcpu, NULL);
	pc_free(outer.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_of_an_eoi),
		cmocka_unit_test(raised_in_the_callback),
		cmocka_unit_test(anything_may_be_called),
		cmocka_unit_test(one_removes_another),
		cmocka_unit_test(told_of_masks),
		cmocka_unit_test(told_by_the_8259),
		cmocka_unit_test(remove_waits_for_a_running_one),
		cmocka_unit_test(added_and_removed_beside_eois),
		cmocka_unit_test(one_inside_another),
		cmocka_unit_test(remove_waits_for_an_inner_one),
		cmocka_unit_test(bad_configs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
