// SPDX-License-Identifier: MIT
/* Making a vCPU leave the guest: once for an entry, never outside, by callback or by signal. */
#include "../support.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int kicks;

static void count_kick(void *opaque)
{
	assert_ptr_equal(opaque, &kicks);
	kicks++;
}

static struct soft *with_kick(void)
{
	struct soft *s = soft_new(0);
	struct vmirq_vcpu_config config = { .size = sizeof(config),
					    .kick = { .fn = count_kick, .opaque = &kicks } };

	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	soft_add(s, 1, 1, 0);
	kicks = 0;
	return s;
}

static int enter(struct vmirq_vcpu *vcpu)
{
	uint32_t vector;

	return vmirq_vcpu_step(vcpu, 0, &vector);
}

static void not_outside_once_inside(void **state)
{
	struct soft *s = with_kick();
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	/* Outside: it looks by itself before it enters. */
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	vmirq_vcpu_kick(vcpu);
	vmirq_vcpu_nmi(vcpu);
	assert_int_equal(kicks, 0);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_NMI);
	take_only(vcpu, 0x41);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	assert_int_equal(kicks, 0);
	/* Inside: by the first of many. */
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_int_equal(kicks, 1);
	send(s, msi_to(0, 0x42), VMIRQ_DELIVERED);
	send(s, msi_to(0, 0x42), VMIRQ_COALESCED);
	vmirq_vcpu_nmi(vcpu);
	vmirq_vcpu_kick(vcpu);
	vmirq_vcpu_interrupt(vcpu);
	assert_int_equal(kicks, 1);
	/* Out again: no more. */
	vmirq_vcpu_leave(vcpu);
	send(s, msi_to(0, 0x43), VMIRQ_DELIVERED);
	assert_int_equal(kicks, 1);
	assert_int_equal(take_all(vcpu, NULL), 3);
	soft_free(s);
}

static void every_entry_anew(void **state)
{
	struct soft *s = with_kick();
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	for (int i = 1; i <= 5; i++) {
		assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
		vmirq_vcpu_kick(vcpu);
		assert_int_equal(kicks, i);
		/* It leaves and steps again: a kick by itself asks for nothing. */
		vmirq_vcpu_leave(vcpu);
	}
	soft_free(s);
}

/* In the guest, with what it must end or lower before it could take `low`, but not `high`. */
static void only_the_higher_class_kicks(struct soft *s, uint8_t low, uint8_t high)
{
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	const uint64_t both[4] = { [1] = UINT64_C(1) << (low & 63) | UINT64_C(1) << (high & 63) };
	const uint64_t lower[4] = { [1] = UINT64_C(1) << (low & 63) };

	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	kicks = 0;
	send(s, msi_to(0, low), VMIRQ_DELIVERED);
	send(s, msi_to(0, low), VMIRQ_COALESCED);
	assert_int_equal(vmirq_vcpu_post_mask(vcpu, lower, NULL), 0);
	assert_int_equal(kicks, 0);
	send(s, msi_to(0, high), VMIRQ_DELIVERED);
	assert_int_equal(kicks, 1);
	/* It comes out, and finds both; the higher one is taken and ended. */
	vmirq_vcpu_leave(vcpu);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), high);
	assert_int_equal(vmirq_vcpu_ack(vcpu, high), 0);
	apic_write(vcpu, APIC_EOI, 0);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), -1);
	/* Events, and a kick that was asked for, whatever is in service. */
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	vmirq_vcpu_kick(vcpu);
	assert_int_equal(kicks, 2);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	vmirq_vcpu_nmi(vcpu);
	assert_int_equal(kicks, 3);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_NMI);
	/* The mask's highest decides. */
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	assert_int_equal(vmirq_vcpu_post_mask(vcpu, both, NULL), 2);
	assert_int_equal(kicks, 4);
	vmirq_vcpu_leave(vcpu);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), high);
	assert_int_equal(vmirq_vcpu_ack(vcpu, high), 0);
	apic_write(vcpu, APIC_EOI, 0);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), -1);
}

static void not_for_what_waits_for_an_eoi(void **state)
{
	struct soft *s = with_kick();
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	send(s, msi_to(0, 0x61), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), 0x61);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x61), 0);
	only_the_higher_class_kicks(s, 0x6f, 0x71);
	only_the_higher_class_kicks(s, 0x60, 0x70);
	/* Its EOI lets it through. */
	apic_write(vcpu, APIC_EOI, 0);
	assert_int_equal(take_all(vcpu, NULL), 2);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	kicks = 0;
	send(s, msi_to(0, 0x6f), VMIRQ_DELIVERED);
	assert_int_equal(kicks, 1);
	take_only(vcpu, 0x6f);
	soft_free(s);
}

static void not_for_what_waits_for_a_lower_tpr(void **state)
{
	struct soft *s = with_kick();

	(void)state;
	apic_write(s->vcpu[0], APIC_TPR, 0x50);
	only_the_higher_class_kicks(s, 0x5f, 0x60);
	apic_write(s->vcpu[0], APIC_TPR, 0x4f);
	take_only(s->vcpu[0], 0x5f);
	soft_free(s);
}

/* Not every KVM exits where CR8 is lowered: who finds it is the step that the kick brings. */
static void for_what_a_kvms_tpr_holds_back(void **state)
{
	static struct kvm_run run;
	struct soft *s = soft_new(0);
	struct vmirq_vcpu_config config = { .size = sizeof(config),
					    .kick = { .fn = count_kick, .opaque = &kicks },
					    .kvm_run = &run,
					    .kvm_vcpu_fd = -1 };
	struct vmirq_vcpu *vcpu;

	(void)state;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	vcpu = s->vcpu[0];
	apic_enable(vcpu);
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 15), 0);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	kicks = 0;
	send(s, msi_to(0, 0x51), VMIRQ_DELIVERED);
	assert_int_equal(kicks, 1);
	vmirq_vcpu_leave(vcpu);
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 0), 0);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), 0x51);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x51), 0);
	/* What is in service waits for its EOI, which exits, under whatever TPR. */
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 15), 0);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	send(s, msi_to(0, 0x52), VMIRQ_DELIVERED);
	assert_int_equal(kicks, 1);
	send(s, msi_to(0, 0x61), VMIRQ_DELIVERED);
	assert_int_equal(kicks, 2);
	vmirq_vcpu_leave(vcpu);
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 0), 0);
	apic_write(vcpu, APIC_EOI, 0);
	assert_int_equal(take_all(vcpu, NULL), 2);
	soft_free(s);
}

/* WINDOW is "in the guest" too: what is better than what it waits for must be seen. */
static void in_a_window(void **state)
{
	struct soft *s = with_kick();

	(void)state;
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_int_equal(enter(s->vcpu[0]), VMIRQ_STEP_WINDOW);
	assert_int_equal(kicks, 0);
	send(s, msi_to(0, 0x61), VMIRQ_DELIVERED);
	assert_int_equal(kicks, 1);
	vmirq_vcpu_leave(s->vcpu[0]);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	soft_free(s);
}

/* Each source: message, irqfd, IPI, NMI, INIT, interrupt(). */
static void by_every_source(void **state)
{
	struct soft *s = with_kick();
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);
	int n = 0;

	(void)state;
	route_to(s, 3, 0, 0x42);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	assert_int_equal(kicks, ++n);
	vmirq_vcpu_leave(vcpu);
	take_only(vcpu, 0x42);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	apic_send_ipi(s->vcpu[1], 0x43 | ICR_ASSERTED, 0);
	assert_int_equal(kicks, ++n);
	vmirq_vcpu_leave(vcpu);
	take_only(vcpu, 0x43);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	vmirq_vcpu_nmi(vcpu);
	assert_int_equal(kicks, ++n);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_NMI);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	vmirq_vcpu_interrupt(vcpu);
	assert_int_equal(kicks, ++n);
	assert_int_equal(enter(vcpu), -EINTR);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_ENTER);
	apic_send_ipi(s->vcpu[1], ICR_MODE(INIT) | ICR_ASSERTED, 0);
	assert_int_equal(kicks, ++n);
	assert_int_equal(enter(vcpu), VMIRQ_STEP_INIT);
	s->posted_beyond--;
	soft_free(s);
}

/* What the guest cannot have does not disturb it. */
static void not_for_what_is_not_delivered(void **state)
{
	struct soft *s = with_kick();

	(void)state;
	assert_int_equal(enter(s->vcpu[0]), VMIRQ_STEP_ENTER);
	send(s, msi_to(5, 0x41), VMIRQ_NO_TARGET);
	send(s, msi_to(0, 0x05), VMIRQ_BAD_VECTOR);
	send(s, msi_to(1, 0x41), VMIRQ_DELIVERED);
	assert_int_equal(kicks, 0);
	vmirq_vcpu_leave(s->vcpu[0]);
	take_only(s->vcpu[1], 0x41);
	soft_free(s);
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int number)
{
	(void)number;
	signals_seen++;
}

/* By signal, to the bound thread; immediate_exit is set before, so that a KVM_RUN that was about to
 * begin ends at once. */
static void by_signal(void **state)
{
	struct sigaction empty = { .sa_handler = on_signal }, old;
	struct soft *s = soft_new(0);
	struct kvm_run *run = calloc(1, 4096);
	struct vmirq_vcpu_config config = {
		.size = sizeof(config), .kick_signal = SIGUSR1, .kvm_run = run, .kvm_vcpu_fd = -1
	};

	(void)state;
	assert_non_null(run);
	signals_seen = 0;
	sigaction(SIGUSR1, &empty, &old);
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	assert_int_equal(vmirq_vcpu_bind_thread(s->vcpu[0]), 0);
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_int_equal(signals_seen, 0);
	assert_int_equal(run->immediate_exit, 0);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(enter(s->vcpu[0]), VMIRQ_STEP_ENTER);
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	/* To this very thread: it is here when tgkill has returned. */
	assert_int_equal(signals_seen, 1);
	assert_int_equal(run->immediate_exit, 1);
	vmirq_vcpu_leave(s->vcpu[0]);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(vmirq_vcpu_unbind_thread(s->vcpu[0]), 0);
	/* Nobody bound, nobody to signal. */
	assert_int_equal(enter(s->vcpu[0]), VMIRQ_STEP_ENTER);
	vmirq_vcpu_kick(s->vcpu[0]);
	assert_int_equal(signals_seen, 1);
	vmirq_vcpu_leave(s->vcpu[0]);
	soft_free(s);
	sigaction(SIGUSR1, &old, NULL);
	free(run);
}

/* `kick_signal` is used where kick.fn is NULL. */
static void the_callback_instead_of_the_signal(void **state)
{
	struct sigaction empty = { .sa_handler = on_signal }, old;
	struct soft *s = soft_new(0);
	struct vmirq_vcpu_config config = { .size = sizeof(config),
					    .kick_signal = SIGUSR1,
					    .kick = { .fn = count_kick, .opaque = &kicks } };

	(void)state;
	kicks = 0;
	signals_seen = 0;
	sigaction(SIGUSR1, &empty, &old);
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	assert_int_equal(vmirq_vcpu_bind_thread(s->vcpu[0]), 0);
	assert_int_equal(enter(s->vcpu[0]), VMIRQ_STEP_ENTER);
	vmirq_vcpu_kick(s->vcpu[0]);
	assert_int_equal(kicks, 1);
	assert_int_equal(signals_seen, 0);
	assert_int_equal(vmirq_vcpu_unbind_thread(s->vcpu[0]), 0);
	soft_free(s);
	sigaction(SIGUSR1, &old, NULL);
}

/* errno is the interrupted code's: signals may be sent from a signal handler. */
static void errno_is_left_alone(void **state)
{
	struct soft *s = soft_new(0);
	struct vmirq_vcpu_config config = { .size = sizeof(config), .kick_signal = 63 };

	(void)state;
	/* tgkill will say EINVAL or ESRCH. */
	config.kick_signal = 1000;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	assert_int_equal(vmirq_vcpu_bind_thread(s->vcpu[0]), 0);
	assert_int_equal(enter(s->vcpu[0]), VMIRQ_STEP_ENTER);
	errno = 77;
	vmirq_vcpu_kick(s->vcpu[0]);
	assert_int_equal(errno, 77);
	assert_int_equal(vmirq_vcpu_unbind_thread(s->vcpu[0]), 0);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_outside_once_inside),
		cmocka_unit_test(every_entry_anew),
		cmocka_unit_test(not_for_what_waits_for_an_eoi),
		cmocka_unit_test(not_for_what_waits_for_a_lower_tpr),
		cmocka_unit_test(for_what_a_kvms_tpr_holds_back),
		cmocka_unit_test(in_a_window),
		cmocka_unit_test(by_every_source),
		cmocka_unit_test(not_for_what_is_not_delivered),
		cmocka_unit_test(by_signal),
		cmocka_unit_test(the_callback_instead_of_the_signal),
		cmocka_unit_test(errno_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
