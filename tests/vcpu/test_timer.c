// SPDX-License-Identifier: MIT
/* The local APIC's timer (SDM vol. 3A 11.5.4) and the PIT, by a clock that is turned by hand, and by
 * the real one. The timer counts at 1 GHz before its divider. */
#include "../line/pc_world.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

#define VECTOR		 0x41
#define PERIODIC	 (1u << 17)
#define DEADLINE	 (2u << 17)
#define MASKED		 (1u << 16)
#define BY_1		 0xbu
#define BY_2		 0x0u
#define BY_128		 0xau
#define NEVER		 UINT64_MAX

#define MSR_TSC_DEADLINE 0x6e0u
#define MS		 UINT64_C(1000000)
#define HOUR		 (UINT64_C(3600000) * MS)

static struct soft *start(uint32_t lvt)
{
	struct soft *s = soft_new(1);

	s->now = 1000;
	apic_write(s->vcpu[0], APIC_TDCR, BY_1);
	apic_write(s->vcpu[0], APIC_LVT_TIMER, lvt);
	return s;
}

/* Expiries are the local APIC's own posts, which no route has delivered. */
static void end(struct soft *s)
{
	pc_free(s);
}

static void look(struct soft *s)
{
	uint32_t vector;

	vmirq_vcpu_step(s->vcpu[0], 0, &vector);
	vmirq_vcpu_leave(s->vcpu[0]);
}

/* It has come exactly now, and is taken. */
static void comes_after(struct soft *s, uint64_t ns)
{
	s->now += ns - 1;
	look(s);
	take_nothing(s->vcpu[0]);
	s->now++;
	look(s);
	take_only(s->vcpu[0], VECTOR);
}

static void does_not_come(struct soft *s)
{
	assert_int_equal(vmirq_vcpu_deadline(s->vcpu[0]), NEVER);
	s->now += HOUR;
	look(s);
	take_nothing(s->vcpu[0]);
}

static void one_shot(void **state)
{
	struct soft *s = start(VECTOR);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	assert_int_equal(vmirq_vcpu_deadline(vcpu), NEVER);
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 0);
	apic_write(vcpu, APIC_TMICT, 5000);
	assert_int_equal(vmirq_vcpu_deadline(vcpu), s->now + 5000);
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 5000);
	s->now += 1999;
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 3001);
	assert_int_equal(apic_read(vcpu, APIC_TMICT), 5000);
	comes_after(s, 3001);
	/* Once. */
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 0);
	assert_int_equal(apic_read(vcpu, APIC_TMICT), 5000);
	does_not_come(s);
	/* The shortest, and the longest that 32 bits hold: no overflow (b2d83cfa). */
	apic_write(vcpu, APIC_TMICT, 1);
	comes_after(s, 1);
	apic_write(vcpu, APIC_TDCR, BY_128);
	apic_write(vcpu, APIC_TMICT, UINT32_MAX);
	assert_int_equal(vmirq_vcpu_deadline(vcpu), s->now + UINT64_C(0xffffffff) * 128);
	comes_after(s, UINT64_C(0xffffffff) * 128);
	end(s);
}

/* Writing it again starts again. */
static void restarted_and_cancelled(void **state)
{
	struct soft *s = start(VECTOR);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	apic_write(vcpu, APIC_TMICT, 5000);
	s->now += 4000;
	apic_write(vcpu, APIC_TMICT, 5000);
	comes_after(s, 5000);
	/* 0 cancels (e898da78). */
	apic_write(vcpu, APIC_TMICT, 5000);
	s->now += 4999;
	apic_write(vcpu, APIC_TMICT, 0);
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 0);
	does_not_come(s);
	apic_write(vcpu, APIC_LVT_TIMER, PERIODIC | VECTOR);
	apic_write(vcpu, APIC_TMICT, 300000);
	comes_after(s, 300000);
	apic_write(vcpu, APIC_TMICT, 0);
	does_not_come(s);
	end(s);
}

static void periodic(void **state)
{
	struct soft *s = start(PERIODIC | VECTOR);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	apic_write(vcpu, APIC_TMICT, 500000);
	for (int i = 0; i < 5; i++) {
		s->now += 200000;
		assert_int_equal(apic_read(vcpu, APIC_TMCCT), 300000);
		comes_after(s, 300000);
	}
	/* Late by a little: the next one is not late too. */
	s->now += 500700;
	look(s);
	take_only(vcpu, VECTOR);
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 499300);
	comes_after(s, 499300);
	/* Read late, before anybody looked: the count of the period that runs. */
	s->now += 500100;
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 499900);
	end(s);
}

/* CVE-2025-71104: the clock jumps; one interrupt, no backlog, and then as ever. */
static void the_clock_jumps(void **state)
{
	struct soft *s = start(PERIODIC | VECTOR);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	apic_write(vcpu, APIC_TMICT, 1);
	for (int i = 0; i < 10; i++) {
		s->now += HOUR;
		look(s);
		take_only(vcpu, VECTOR);
		look(s);
		take_nothing(vcpu);
		assert_true(vmirq_vcpu_deadline(vcpu) > s->now);
		assert_true(vmirq_vcpu_deadline(vcpu) <= s->now + MS);
	}
	/* To the end of time, nearly. */
	s->now = UINT64_MAX - 1000;
	look(s);
	take_only(vcpu, VECTOR);
	assert_true(vmirq_vcpu_deadline(vcpu) >= s->now);
	end(s);
}

static void dividers(void **state)
{
	static const struct {
		uint32_t tdcr, by;
	} all[] = { { 0x0, 2 },	 { 0x1, 4 },  { 0x2, 8 },   { 0x3, 16 },
		    { 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 } };
	struct soft *s = start(VECTOR);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		/* Reserved bits do not stay. */
		apic_write(vcpu, APIC_TDCR, all[i].tdcr | 0xfffffff4u);
		assert_int_equal(apic_read(vcpu, APIC_TDCR), all[i].tdcr);
		apic_write(vcpu, APIC_TMICT, 1000);
		s->now += all[i].by * 100ul;
		assert_int_equal(apic_read(vcpu, APIC_TMCCT), 900);
		comes_after(s, all[i].by * 900ul);
	}
	/* Changed on the way: what is left to count is counted at the new rate. */
	apic_write(vcpu, APIC_TDCR, BY_1);
	apic_write(vcpu, APIC_TMICT, 1000);
	s->now += 400;
	apic_write(vcpu, APIC_TDCR, BY_2);
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 600);
	comes_after(s, 1200);
	does_not_come(s);
	end(s);
}

static void tsc_deadline(void **state)
{
	struct soft *s = start(DEADLINE | VECTOR);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	uint64_t value = 1;

	(void)state;
	assert_int_equal(vmirq_vcpu_wrmsr(vcpu, MSR_TSC_DEADLINE, s->now + 5000), 0);
	assert_int_equal(vmirq_vcpu_rdmsr(vcpu, MSR_TSC_DEADLINE, &value), 0);
	assert_int_equal(value, s->now + 5000);
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 0);
	/* TMICT is ignored in this mode. */
	apic_write(vcpu, APIC_TMICT, 77);
	assert_int_equal(apic_read(vcpu, APIC_TMICT), 0);
	comes_after(s, 5000);
	assert_int_equal(vmirq_vcpu_rdmsr(vcpu, MSR_TSC_DEADLINE, &value), 0);
	assert_int_equal(value, 0);
	does_not_come(s);
	/* 0 disarms; the past is now; the far future is never. */
	assert_int_equal(vmirq_vcpu_wrmsr(vcpu, MSR_TSC_DEADLINE, s->now + 5000), 0);
	assert_int_equal(vmirq_vcpu_wrmsr(vcpu, MSR_TSC_DEADLINE, 0), 0);
	does_not_come(s);
	assert_int_equal(vmirq_vcpu_wrmsr(vcpu, MSR_TSC_DEADLINE, 1), 0);
	look(s);
	take_only(vcpu, VECTOR);
	assert_int_equal(vmirq_vcpu_wrmsr(vcpu, MSR_TSC_DEADLINE, UINT64_MAX), 0);
	s->now += HOUR;
	look(s);
	take_nothing(vcpu);
	end(s);
}

/* To and from TSC-deadline mode disarms; one-shot and periodic go on. */
static void changes_of_mode(void **state)
{
	struct soft *s = start(VECTOR);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	uint64_t value = 1;

	(void)state;
	/* In another mode the MSR takes nothing. */
	assert_int_equal(vmirq_vcpu_wrmsr(vcpu, MSR_TSC_DEADLINE, s->now + 100), 0);
	assert_int_equal(vmirq_vcpu_rdmsr(vcpu, MSR_TSC_DEADLINE, &value), 0);
	assert_int_equal(value, 0);
	does_not_come(s);
	apic_write(vcpu, APIC_TMICT, 5000);
	apic_write(vcpu, APIC_LVT_TIMER, DEADLINE | VECTOR);
	assert_int_equal(apic_read(vcpu, APIC_TMICT), 0);
	does_not_come(s);
	assert_int_equal(vmirq_vcpu_wrmsr(vcpu, MSR_TSC_DEADLINE, s->now + 5000), 0);
	apic_write(vcpu, APIC_LVT_TIMER, PERIODIC | VECTOR);
	does_not_come(s);
	apic_write(vcpu, APIC_TMICT, 500000);
	apic_write(vcpu, APIC_LVT_TIMER, VECTOR);
	comes_after(s, 500000);
	does_not_come(s);
	apic_write(vcpu, APIC_TMICT, 500000);
	apic_write(vcpu, APIC_LVT_TIMER, PERIODIC | VECTOR);
	comes_after(s, 500000);
	comes_after(s, 500000);
	end(s);
}

static void masked(void **state)
{
	struct soft *s = start(MASKED | PERIODIC | VECTOR);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	apic_write(vcpu, APIC_TMICT, 500000);
	s->now += 600000;
	look(s);
	take_nothing(vcpu);
	/* It counts on. */
	assert_int_equal(apic_read(vcpu, APIC_TMCCT), 400000);
	apic_write(vcpu, APIC_LVT_TIMER, PERIODIC | VECTOR);
	look(s);
	take_nothing(vcpu);
	comes_after(s, 400000);
	/* Disabled by software, it is masked. */
	apic_write(vcpu, APIC_SVR, 0xff);
	assert_true(apic_read(vcpu, APIC_LVT_TIMER) & MASKED);
	s->now += 500000;
	look(s);
	take_nothing(vcpu);
	/* An illegal vector is no interrupt. */
	apic_enable(vcpu);
	apic_write(vcpu, APIC_LVT_TIMER, PERIODIC | 5);
	s->now += 500000;
	look(s);
	take_nothing(vcpu);
	assert_int_equal(vmirq_vcpu_reset(vcpu), 0);
	does_not_come(s);
	end(s);
}

/* CVE-2013-6367: whatever the order of the three, a read divides by nothing; and the time that a
 * million of them take is bounded by the test's. */
static void every_order_of_writes(void **state)
{
	static const uint32_t counts[] = { 0, 1, 2, 0x7fffffff, 0x80000000u, UINT32_MAX };
	struct soft *s = start(VECTOR);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	uint32_t seed = 12345;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		seed = seed * 1103515245u + 12345u;
		switch (seed >> 16 & 7) {
		case 0:
			apic_write(vcpu, APIC_TMICT, counts[(seed >> 20) % 6]);
			break;
		case 1:
			apic_write(vcpu, APIC_TDCR, seed >> 20);
			break;
		case 2:
			apic_write(vcpu, APIC_LVT_TIMER, (seed >> 20 & 7) << 16 | VECTOR);
			break;
		case 3:
			vmirq_vcpu_wrmsr(vcpu, MSR_TSC_DEADLINE, (uint64_t)seed << (seed & 31));
			break;
		case 4:
			s->now += seed >> 24 ? seed : HOUR;
			break;
		case 5:
			look(s);
			take_all(vcpu, NULL);
			break;
		default:
			apic_read(vcpu, APIC_TMCCT);
			break;
		}
		assert_true(apic_read(vcpu, APIC_TMCCT) <= apic_read(vcpu, APIC_TMICT) ||
			    apic_read(vcpu, APIC_TMICT) <= 200000);
	}
	look(s);
	take_all(vcpu, NULL);
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_shot),
		cmocka_unit_test(restarted_and_cancelled),
		cmocka_unit_test(periodic),
		cmocka_unit_test(the_clock_jumps),
		cmocka_unit_test(dividers),
		cmocka_unit_test(tsc_deadline),
		cmocka_unit_test(changes_of_mode),
		cmocka_unit_test(masked),
		cmocka_unit_test(every_order_of_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
