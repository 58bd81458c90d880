// SPDX-License-Identifier: MIT
/* Saved state (state.h): what is saved loads and runs on; what cannot be changes nothing. */
#include "../line/pc_world.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <vmirq/state.h>

#define PERIODIC	 (1u << 17)
#define DEADLINE	 (2u << 17)
#define BY_1		 0xbu

#define MSR_TSC_DEADLINE 0x6e0u
#define BASE_X2APIC	 0x400u
#define BASE_ENABLED	 0x800u

static struct kvm_lapic_state get(struct vmirq_vcpu *vcpu)
{
	struct kvm_lapic_state state;

	memset(&state, 0xee, sizeof(state));
	assert_int_equal(vmirq_vcpu_get_lapic(vcpu, &state), 0);
	return state;
}

static uint32_t word(const struct kvm_lapic_state *state, uint32_t reg)
{
	uint32_t value;

	memcpy(&value, state->regs + reg, sizeof(value));
	return value;
}

static void put_word(struct kvm_lapic_state *state, uint32_t reg, uint32_t value)
{
	memcpy(state->regs + reg, &value, sizeof(value));
}

static void assert_same(const struct kvm_lapic_state *a, const struct kvm_lapic_state *b)
{
	for (uint32_t reg = 0; reg < KVM_APIC_REG_SIZE; reg += 4)
		if (word(a, reg) != word(b, reg))
			fail_msg("register %#x: %#x, %#x", reg, word(a, reg), word(b, reg));
}

/* In every register something, a vector in service, and others pending, one only posted. */
static void make_busy(struct soft *s)
{
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	apic_write(vcpu, APIC_TPR, 0x25);
	apic_write(vcpu, APIC_SVR, 0x1f3);
	apic_write(vcpu, APIC_LVT_LINT0, 0x8700);
	apic_write(vcpu, APIC_LVT_ERROR, 0xe7);
	apic_write(vcpu, APIC_TDCR, BY_1);
	send(s, msi_to(0, 0x61), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), 0x61);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x61), 0);
	send(s, (struct kvm_msi){ .address_lo = 0xfee00000u, .data = 0xc042 }, VMIRQ_DELIVERED);
	assert_true(apic_bit(vcpu, APIC_IRR, 0x42));
	send(s, msi_to(0, 0xf3), VMIRQ_DELIVERED);
}

static void registers_go_round(struct soft *s, struct soft *other)
{
	struct kvm_lapic_state saved, again;
	struct vmirq_vcpu *vcpu = other->vcpu[0];

	saved = get(s->vcpu[0]);
	/* Saving takes nothing away. */
	again = get(s->vcpu[0]);
	assert_same(&saved, &again);
	send(other, msi_to(0, 0x77), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_set_lapic(vcpu, &saved), 0);
	again = get(vcpu);
	assert_same(&saved, &again);
	/* What was pending here is gone, what came counts as posted. */
	assert_int_equal(counts_of_vector(vcpu, 0x77).reset, 1);
	assert_int_equal(counts_of_vector(vcpu, 0x42).posted, 1);
	assert_int_equal(counts_of_vector(vcpu, 0x42).pending, 1);
	assert_int_equal(counts_of_vector(vcpu, 0x61).posted, 0);
	other->posted_beyond += 2;
	/* And it runs on: the same order, the same levels. */
	begin_service(vcpu, 0xf3);
	end_service(vcpu);
	assert_true(apic_bit(vcpu, APIC_TMR, 0x42));
	assert_int_equal(apic_read(vcpu, APIC_PPR), 0x60);
	end_service(vcpu);
	take_only(vcpu, 0x42);
	assert_int_equal(apic_read(vcpu, APIC_PPR), 0x25);
	/* The destination map knows it: software-enabled, by its id. */
	send(other, msi_to(0, 0x51), VMIRQ_DELIVERED);
	take_only(vcpu, 0x51);
}

static void xapic(void **state)
{
	struct soft *s = soft_new(1), *other = soft_new(1);

	(void)state;
	apic_write(s->vcpu[0], APIC_LDR, 0x04000000);
	apic_write(s->vcpu[0], APIC_DFR, 0x0fffffff);
	make_busy(s);
	registers_go_round(s, other);
	/* Its logical id too: cluster 0, bit 2. */
	send(other, (struct kvm_msi){ .address_lo = 0xfee04004u, .data = 0x52 }, VMIRQ_DELIVERED);
	take_only(other->vcpu[0], 0x52);
	soft_free(s);
	soft_free(other);
}

static void x2apic(void **state)
{
	struct soft *s = soft_new_flags(1, VMIRQ_VM_MSI_32BIT_IDS, 0);
	struct soft *other = soft_new_flags(1, VMIRQ_VM_MSI_32BIT_IDS, 0);

	(void)state;
	apic_set_x2apic(s->vcpu[0]);
	make_busy(s);
	assert_int_equal(
		vmirq_vcpu_set_apic_base_state(other->vcpu[0], vmirq_vcpu_apic_base(s->vcpu[0])),
		0);
	registers_go_round(s, other);
	soft_free(s);
	soft_free(other);
}

/* In x2APIC mode the id is the vCPU's; nothing of a blob with another is taken. */
static void the_id_of_another(void **state)
{
	struct soft *s = soft_new_flags(2, VMIRQ_VM_MSI_32BIT_IDS, VMIRQ_VCPU_X2APIC);
	struct kvm_lapic_state before, bad, after;

	(void)state;
	send(s, msi_to(1, 0x41), VMIRQ_DELIVERED);
	before = get(s->vcpu[1]);
	bad = get(s->vcpu[0]);
	put_word(&bad, APIC_TPR, 0x50);
	assert_int_equal(vmirq_vcpu_set_lapic(s->vcpu[1], &bad), -EINVAL);
	after = get(s->vcpu[1]);
	assert_same(&before, &after);
	assert_int_equal(counts_of_vector(s->vcpu[1], 0x41).pending, 1);
	assert_int_equal(vmirq_vcpu_set_lapic(s->vcpu[1], NULL), -EINVAL);
	assert_int_equal(vmirq_vcpu_get_lapic(s->vcpu[1], NULL), -EINVAL);
	assert_int_equal(vmirq_vcpu_set_lapic(NULL, &bad), -EINVAL);
	take_only(s->vcpu[1], 0x41);
	soft_free(s);
}

/* Any bytes: taken or refused, but never a state that no local APIC can be in (soft_check). */
static void random_blobs(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_lapic_state blob;

	(void)state;
	srand(1);
	for (int i = 0; i < 2000; i++) {
		uint64_t before = 0, after = 0;

		for (size_t byte = 0; byte < sizeof(blob.regs); byte++)
			blob.regs[byte] = (char)rand();
		for (uint32_t v = 0; v < 256; v++)
			before += counts_of_vector(s->vcpu[0], v).posted;
		assert_int_equal(vmirq_vcpu_set_lapic(s->vcpu[0], &blob), 0);
		for (uint32_t v = 0; v < 256; v++)
			after += counts_of_vector(s->vcpu[0], v).posted;
		s->posted_beyond += (int64_t)(after - before);
		soft_check(s);
		/* Illegal vectors of /dev/kvm's are not pending here. */
		assert_int_equal(apic_read(s->vcpu[0], APIC_IRR) & 0xffff, 0);
		assert_int_equal(apic_read(s->vcpu[0], APIC_ISR) & 0xffff, 0);
		assert_true(apic_read(s->vcpu[0], APIC_TMCCT) <=
				    apic_read(s->vcpu[0], APIC_TMICT) ||
			    apic_read(s->vcpu[0], APIC_TMICT) <= 200000);
	}
	soft_free(s);
}

static struct soft *moved(struct soft *s, uint64_t now)
{
	struct kvm_lapic_state saved = get(s->vcpu[0]);
	struct soft *other = soft_new(1);

	other->now = now;
	assert_int_equal(vmirq_vcpu_set_lapic(other->vcpu[0], &saved), 0);
	other->posted_beyond = 0;
	for (uint32_t v = 0; v < 256; v++)
		other->posted_beyond += (int64_t)counts_of_vector(other->vcpu[0], v).posted;
	pc_free(s);
	return other;
}

static void look(struct soft *s)
{
	uint32_t vector;

	vmirq_vcpu_step(s->vcpu[0], 0, &vector);
	vmirq_vcpu_leave(s->vcpu[0]);
}

static struct soft *counting(uint32_t lvt, uint32_t count)
{
	struct soft *s = soft_new(1);

	s->now = 5000;
	apic_write(s->vcpu[0], APIC_TDCR, BY_1);
	apic_write(s->vcpu[0], APIC_LVT_TIMER, lvt | 0x41);
	apic_write(s->vcpu[0], APIC_TMICT, count);
	return s;
}

static void timers_go_on(void **state)
{
	struct soft *s = counting(0, 1000000);

	(void)state;
	s->now += 300000;
	s = moved(s, 70);
	assert_int_equal(apic_read(s->vcpu[0], APIC_TMCCT), 700000);
	s->now += 699999;
	look(s);
	take_nothing(s->vcpu[0]);
	s->now++;
	look(s);
	take_only(s->vcpu[0], 0x41);
	/* It has run out, and the state does not tell whether that was delivered: as the kernel, once
	 * more at the load, and never again. */
	s = moved(s, 9000);
	look(s);
	take_only(s->vcpu[0], 0x41);
	s->now += 2000000;
	look(s);
	take_nothing(s->vcpu[0]);
	pc_free(s);

	s = counting(PERIODIC, 1000000);
	s->now += 300000;
	s = moved(s, 70);
	assert_int_equal(vmirq_vcpu_deadline(s->vcpu[0]), 70 + 700000);
	s->now += 700000;
	look(s);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(vmirq_vcpu_deadline(s->vcpu[0]), s->now + 1000000);
	pc_free(s);
}

/* It ran out, and nobody has looked before it was saved: then the interrupt is in the state. */
static void a_timer_that_has_run_out(void **state)
{
	struct soft *s = counting(0, 1000);

	(void)state;
	s->now += 1000;
	s = moved(s, 70);
	look(s);
	take_only(s->vcpu[0], 0x41);
	pc_free(s);

	s = counting(PERIODIC, 1000000);
	s->now += 1000001;
	s = moved(s, 70);
	look(s);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(apic_read(s->vcpu[0], APIC_TMCCT), 999999);
	pc_free(s);

	s = counting(DEADLINE, 0);
	assert_int_equal(vmirq_vcpu_wrmsr(s->vcpu[0], MSR_TSC_DEADLINE, s->now + 10), 0);
	s->now += 10;
	s = moved(s, 70);
	look(s);
	take_only(s->vcpu[0], 0x41);
	pc_free(s);
}

static void apic_bases(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	assert_int_equal(vmirq_vcpu_set_apic_base_state(vcpu, APIC_PAGE | BASE_X2APIC), -EINVAL);
	assert_int_equal(vmirq_vcpu_set_apic_base_state(vcpu, APIC_PAGE | BASE_ENABLED | 1),
			 -EINVAL);
	assert_int_equal(vmirq_vcpu_set_apic_base_state(vcpu, UINT64_MAX), -EINVAL);
	assert_int_equal(vmirq_vcpu_apic_base(vcpu), APIC_PAGE | BASE_ENABLED | 0x100);
	/* From any to any, also where a guest could not. */
	for (int from = 0; from < 3; from++)
		for (int to = 0; to < 3; to++) {
			static const uint32_t mode[] = { 0, BASE_ENABLED,
							 BASE_ENABLED | BASE_X2APIC };

			assert_int_equal(
				vmirq_vcpu_set_apic_base_state(vcpu, APIC_PAGE | mode[from]), 0);
			assert_int_equal(vmirq_vcpu_set_apic_base_state(vcpu, APIC_PAGE | mode[to]),
					 0);
			assert_int_equal(vmirq_vcpu_apic_base(vcpu), APIC_PAGE | mode[to]);
		}
	soft_free(s);
}

static void mp_states(void **state)
{
	struct soft *s = soft_new(2);
	struct kvm_mp_state mp = { .mp_state = 99 };
	uint32_t vector;

	(void)state;
	assert_int_equal(vmirq_vcpu_get_mp_state(s->vcpu[1], &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	mp.mp_state = KVM_MP_STATE_INIT_RECEIVED;
	assert_int_equal(vmirq_vcpu_set_mp_state(s->vcpu[1], &mp), 0);
	assert_int_equal(vmirq_vcpu_get_mp_state(s->vcpu[1], &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[1], 0, &vector), VMIRQ_STEP_PARK);
	for (uint32_t bad = KVM_MP_STATE_HALTED + 1; bad; bad *= 2) {
		mp.mp_state = bad;
		assert_int_equal(vmirq_vcpu_set_mp_state(s->vcpu[1], &mp), -EINVAL);
	}
	assert_int_equal(vmirq_vcpu_get_mp_state(s->vcpu[1], &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	assert_int_equal(vmirq_vcpu_set_mp_state(s->vcpu[1], &mp), 0);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[1], 0, &vector), VMIRQ_STEP_ENTER);
	soft_free(s);
}

struct runner {
	struct vmirq_vcpu *vcpu;
	_Atomic int runs, end;
};

static void *run(void *argument)
{
	struct runner *r = argument;
	uint32_t vector;

	assert_int_equal(vmirq_vcpu_bind_thread(r->vcpu), 0);
	r->runs = 1;
	while (!r->end) {
		if (vmirq_vcpu_step(r->vcpu, VMIRQ_CPU_HALTED, &vector) == VMIRQ_STEP_PARK)
			vmirq_vcpu_park(r->vcpu, 1000000);
		else
			sched_yield();
	}
	assert_int_equal(vmirq_vcpu_unbind_thread(r->vcpu), 0);
	return NULL;
}

static void while_it_runs(void **state)
{
	struct soft *s = pc_new(2, 0);
	struct runner r = { .vcpu = s->vcpu[1] };
	struct kvm_lapic_state lapic = get(s->vcpu[1]);
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	pthread_t thread;

	(void)state;
	rte_put(s, 17, 0x51);
	assert_int_equal(pthread_create(&thread, NULL, run, &r), 0);
	while (!r.runs)
		sched_yield();
	assert_int_equal(vmirq_vcpu_get_lapic(r.vcpu, &lapic), -EBUSY);
	assert_int_equal(vmirq_vcpu_set_lapic(r.vcpu, &lapic), -EBUSY);
	assert_int_equal(vmirq_vcpu_set_apic_base_state(r.vcpu, APIC_PAGE | BASE_ENABLED), -EBUSY);
	assert_int_equal(vmirq_vcpu_get_mp_state(r.vcpu, &mp), -EBUSY);
	assert_int_equal(vmirq_vcpu_set_mp_state(r.vcpu, &mp), -EBUSY);
	/* One that runs keeps the whole VM from its reset. */
	assert_int_equal(vmirq_vm_reset(s->vm), -EBUSY);
	assert_int_equal(apic_read(s->vcpu[0], APIC_SVR), 0x1ff);
	assert_int_equal(rte_get(s, 17), 0x51);
	assert_int_equal(vmirq_vcpu_stop(r.vcpu), 0);
	assert_int_equal(vmirq_vcpu_get_lapic(r.vcpu, &lapic), 0);
	assert_int_equal(vmirq_vcpu_set_lapic(r.vcpu, &lapic), 0);
	assert_int_equal(vmirq_vm_reset(s->vm), 0);
	assert_int_equal(rte_get(s, 17), RTE_MASKED);
	r.end = 1;
	assert_int_equal(vmirq_vcpu_start(r.vcpu), 0);
	pthread_join(thread, NULL);
	pc_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xapic),
		cmocka_unit_test(x2apic),
		cmocka_unit_test(the_id_of_another),
		cmocka_unit_test(random_blobs),
		cmocka_unit_test(timers_go_on),
		cmocka_unit_test(a_timer_that_has_run_out),
		cmocka_unit_test(apic_bases),
		cmocka_unit_test(mp_states),
		cmocka_unit_test(while_it_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
