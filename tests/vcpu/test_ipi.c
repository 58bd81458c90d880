// SPDX-License-Identifier: MIT
/* Inter-processor interrupts: every shorthand and mode, destinations that nobody has
 * (SDM vol. 3A 11.6; CVE-2013-6376, CVE-2016-9777, crosvm send_irq_to_apic). */
#include "../support.h"

static struct vmirq_route_counts ipis(struct soft *s)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_ipi_counts(s->vm, &c), 0);
	return c;
}

/* Send, and expect this one outcome. */
static void ipi(struct soft *s, unsigned int from, uint32_t low, uint32_t dest,
		enum vmirq_verdict expected)
{
	struct vmirq_route_counts before = ipis(s), after;

	apic_send_ipi(s->vcpu[from], low, dest);
	after = ipis(s);
	assert_int_equal(after.raised, before.raised + 1);
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		assert_int_equal(after.verdict[i], before.verdict[i] + (i == (int)expected));
}

/* Those who have `vector` take it. */
static uint32_t takers(struct soft *s, uint8_t vector)
{
	uint32_t who = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		if (vmirq_vcpu_next_vector(s->vcpu[i]) < 0)
			continue;
		take_only(s->vcpu[i], vector);
		who |= 1u << i;
	}
	return who;
}

static void fixed_to_a_destination(void **state)
{
	struct soft *s = soft_new(3);

	(void)state;
	ipi(s, 0, 0x41 | ICR_ASSERTED, 2, VMIRQ_DELIVERED);
	ipi(s, 0, 0x41, 2, VMIRQ_COALESCED);
	assert_int_equal(takers(s, 0x41), 4);
	ipi(s, 1, 0x41, 1, VMIRQ_DELIVERED);
	assert_int_equal(takers(s, 0x41), 2);
	/* The write is to be read back, never busy. */
	apic_send_ipi(s->vcpu[0], 0x42 | 1u << 12, 2);
	assert_int_equal(apic_read(s->vcpu[0], APIC_ICR), 0x42);
	assert_int_equal(apic_read(s->vcpu[0], APIC_ICR_HIGH), 2u << 24);
	assert_int_equal(takers(s, 0x42), 4);
	soft_free(s);
}

static void shorthands(void **state)
{
	static const uint32_t dest = 1; /* does not matter */
	struct soft *s = soft_new(4);

	(void)state;
	for (int x2apic = 0; x2apic < 2; x2apic++) {
		ipi(s, 2, 0x41 | ICR_TO_SELF, dest, VMIRQ_DELIVERED);
		assert_int_equal(takers(s, 0x41), 0x4);
		ipi(s, 2, 0x42 | ICR_TO_ALL, dest, VMIRQ_DELIVERED);
		assert_int_equal(takers(s, 0x42), 0xf);
		ipi(s, 2, 0x43 | ICR_TO_OTHERS, dest, VMIRQ_DELIVERED);
		assert_int_equal(takers(s, 0x43), 0xb);
		s->posted_beyond += 3 + 2;
		for (unsigned int i = 0; i < 4; i++)
			if (!x2apic)
				apic_set_x2apic(s->vcpu[i]);
	}
	soft_free(s);
}

static void shorthands_pass_over_the_disabled(void **state)
{
	struct soft *s = soft_new(4);

	(void)state;
	apic_write(s->vcpu[0], APIC_SVR, 0xff);
	assert_int_equal(vmirq_vcpu_set_apic_base(s->vcpu[1], APIC_PAGE), 0);
	ipi(s, 2, 0x42 | ICR_TO_ALL, 0, VMIRQ_DELIVERED);
	assert_int_equal(takers(s, 0x42), 0xc);
	s->posted_beyond++;
	ipi(s, 2, 0x43 | ICR_TO_OTHERS, 0, VMIRQ_DELIVERED);
	assert_int_equal(takers(s, 0x43), 0x8);
	/* A software-disabled APIC can still send (11.4.7.2), not to itself. */
	ipi(s, 0, 0x44, 3, VMIRQ_DELIVERED);
	assert_int_equal(takers(s, 0x44), 0x8);
	ipi(s, 0, 0x45 | ICR_TO_SELF, 0, VMIRQ_APIC_DISABLED);
	assert_int_equal(takers(s, 0x45), 0);
	soft_free(s);
}

static void all_others_of_one(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	ipi(s, 0, 0x41 | ICR_TO_OTHERS, 0, VMIRQ_NO_TARGET);
	ipi(s, 0, 0x42 | ICR_TO_ALL, 0, VMIRQ_DELIVERED);
	assert_int_equal(takers(s, 0x42), 1);
	soft_free(s);
}

static void events_by_each_shorthand(void **state)
{
	static const int step_of[] = { [SMI] = VMIRQ_STEP_SMI,
				       [NMI] = VMIRQ_STEP_NMI,
				       [INIT] = VMIRQ_STEP_INIT,
				       [SIPI] = VMIRQ_STEP_SIPI };
	static const int modes[] = { NMI, SMI, INIT, SIPI };
	struct soft *s = soft_new(3);
	uint32_t vector;

	(void)state;
	for (size_t m = 0; m < 4; m++) {
		uint32_t low = ICR_MODE(modes[m]) | ICR_ASSERTED | 0x55;

		ipi(s, 0, low | ICR_TO_OTHERS, 0, VMIRQ_DELIVERED);
		s->posted_beyond--;
		for (unsigned int i = 1; i < 3; i++)
			assert_int_equal(vmirq_vcpu_step(s->vcpu[i], 0, &vector),
					 step_of[modes[m]]);
		assert_int_equal(vmirq_vcpu_step(s->vcpu[0], 0, &vector), VMIRQ_STEP_ENTER);
		vmirq_vcpu_leave(s->vcpu[0]);
		if (modes[m] == SIPI)
			assert_int_equal(vector, 0x55);
	}
	/* Again to one of them, by its id. */
	ipi(s, 0, ICR_MODE(NMI) | ICR_ASSERTED, 2, VMIRQ_DELIVERED);
	ipi(s, 0, ICR_MODE(NMI) | ICR_ASSERTED, 2, VMIRQ_DELIVERED);
	ipi(s, 0, ICR_MODE(NMI) | ICR_ASSERTED, 2, VMIRQ_COALESCED);
	ipi(s, 0, ICR_MODE(NMI) | ICR_ASSERTED | ICR_TO_ALL, 0, VMIRQ_DELIVERED);
	s->posted_beyond -= 3;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vmirq_vcpu_step(s->vcpu[i], 0, &vector), VMIRQ_STEP_NMI);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[2], 0, &vector), VMIRQ_STEP_NMI);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[2], 0, &vector), VMIRQ_STEP_ENTER);
	soft_free(s);
}

static unsigned int nmis(struct soft *s, unsigned int cpu)
{
	uint32_t vector;
	unsigned int n = 0;

	while (vmirq_vcpu_step(s->vcpu[cpu], 0, &vector) == VMIRQ_STEP_NMI)
		n++;
	vmirq_vcpu_leave(s->vcpu[cpu]);
	return n;
}

/* The first would have been in its handler by the time of the second; while one is, one waits, and INIT
 * drops all (SDM vol. 3A 6.7.1, 9.1.1). */
static void nmis_to_one_that_does_not_look(void **state)
{
	struct soft *s = soft_new(2);
	uint32_t vector;

	(void)state;
	for (unsigned int sent = 0; sent < 5; sent++) {
		for (unsigned int i = 0; i < sent; i++)
			vmirq_vcpu_nmi(s->vcpu[1]);
		assert_int_equal(nmis(s, 1), sent < 2 ? sent : 2);
	}
	for (unsigned int sent = 0; sent < 5; sent++) {
		for (unsigned int i = 0; i < sent; i++)
			vmirq_vcpu_nmi(s->vcpu[1]);
		assert_int_equal(vmirq_vcpu_step(s->vcpu[1], VMIRQ_CPU_NMI_BLOCKED, &vector),
				 VMIRQ_STEP_ENTER);
		vmirq_vcpu_leave(s->vcpu[1]);
		assert_int_equal(nmis(s, 1), sent < 1 ? sent : 1);
	}
	vmirq_vcpu_nmi(s->vcpu[1]);
	vmirq_vcpu_nmi(s->vcpu[1]);
	ipi(s, 0, ICR_MODE(INIT) | ICR_ASSERTED, 1, VMIRQ_DELIVERED);
	s->posted_beyond--;
	assert_int_equal(vmirq_vcpu_step(s->vcpu[1], 0, &vector), VMIRQ_STEP_INIT);
	ipi(s, 0, ICR_MODE(SIPI) | 0x9a, 1, VMIRQ_DELIVERED);
	s->posted_beyond--;
	assert_int_equal(vmirq_vcpu_step(s->vcpu[1], 0, &vector), VMIRQ_STEP_SIPI);
	assert_int_equal(nmis(s, 1), 0);
	soft_free(s);
}

/* INIT level de-assert is nothing on anything since the Pentium 4 (11.6.1). */
static void init_deassert(void **state)
{
	struct soft *s = soft_new(2);
	uint32_t vector;

	(void)state;
	apic_send_ipi(s->vcpu[0], ICR_MODE(INIT) | 1u << 15 | ICR_TO_ALL, 0);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[1], 0, &vector), VMIRQ_STEP_ENTER);
	assert_int_equal(ipis(s).verdict[VMIRQ_DELIVERED], 0);
	soft_free(s);
}

static void bad_ones(void **state)
{
	struct soft *s = soft_new(2);

	(void)state;
	for (uint32_t v = 0; v < 16; v++)
		ipi(s, 0, v, 1, VMIRQ_BAD_VECTOR);
	ipi(s, 0, ICR_MODE(RESERVED) | 0x41, 1, VMIRQ_BAD_MESSAGE);
	ipi(s, 0, ICR_MODE(EXTINT) | 0x41, 1, VMIRQ_BAD_MESSAGE);
	assert_int_equal(takers(s, 0x41), 0);
	soft_free(s);
}

static void logical_destinations(void **state)
{
	struct soft *s = soft_new(4);

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		apic_write(s->vcpu[i], APIC_LDR, 1u << (24 + i));
	ipi(s, 0, 0x41 | ICR_TO_LOGICAL, 0x6, VMIRQ_DELIVERED);
	assert_int_equal(takers(s, 0x41), 0x6);
	s->posted_beyond++;
	ipi(s, 0, 0x42 | ICR_TO_LOGICAL | ICR_MODE(LOWEST), 0xf, VMIRQ_DELIVERED);
	assert_int_equal(takers(s, 0x42), 1u << 0x42 % 4);
	ipi(s, 0, 0x43 | ICR_TO_LOGICAL, 0xf0, VMIRQ_NO_TARGET);
	soft_free(s);
}

/* 0xff in an IPI is the xAPICs' broadcast, not the x2APICs'; theirs is 0xffffffff. */
static void broadcasts(void **state)
{
	struct soft *s = soft_new(4);

	(void)state;
	apic_set_x2apic(s->vcpu[2]);
	apic_set_x2apic(s->vcpu[3]);
	ipi(s, 0, 0x41, 0xff, VMIRQ_DELIVERED);
	assert_int_equal(takers(s, 0x41), 0x3);
	s->posted_beyond++;
	ipi(s, 2, 0x42, UINT32_MAX, VMIRQ_DELIVERED);
	assert_int_equal(takers(s, 0x42), 0xc);
	s->posted_beyond++;
	soft_free(s);
}

/* Every 8-bit destination, and 32-bit ones in every corner: absent ids hit nobody and nothing. */
static void any_destination(void **state)
{
	struct soft *s = soft_new(0);
	uint32_t seed = 1;

	(void)state;
	soft_add(s, 0, 0, 0);
	soft_add(s, 1, 0x80, VMIRQ_VCPU_X2APIC);
	soft_add(s, 2, 0x12345, VMIRQ_VCPU_X2APIC);
	soft_add(s, 3, 0xfffffffe, VMIRQ_VCPU_X2APIC);
	for (uint32_t id = 0; id < 0xff; id++) {
		ipi(s, 0, 0x41, id, id == 0 || id == 0x80 ? VMIRQ_DELIVERED : VMIRQ_NO_TARGET);
		assert_int_equal(takers(s, 0x41), id == 0 ? 1 : id == 0x80 ? 2 : 0);
	}
	for (int turn = 0; turn < 20000; turn++) {
		uint32_t id = turn < 32 ? 1u << turn : turn < 64 ? UINT32_MAX >> (turn - 32) : seed;

		seed = seed * 1664525 + 1013904223;
		if (id == 0 || id == 0x80 || id == 0x12345 || id == 0xff || id >= 0xfffffffe)
			continue;
		ipi(s, 1, 0x42, id, VMIRQ_NO_TARGET);
		apic_send_ipi(s->vcpu[2], 0x43 | ICR_TO_LOGICAL, id);
	}
	ipi(s, 1, 0x41, 0x12345, VMIRQ_DELIVERED);
	ipi(s, 1, 0x41, 0xfffffffe, VMIRQ_DELIVERED);
	for (unsigned int i = 0; i < 4; i++)
		take_all(s->vcpu[i], NULL);
	/* Logical ones may have hit several. */
	for (unsigned int i = 0; i < 4; i++)
		s->posted_beyond += (int64_t)counts_of_vector(s->vcpu[i], 0x41).posted +
				    (int64_t)counts_of_vector(s->vcpu[i], 0x43).posted;
	s->posted_beyond -= (int64_t)ipis(s).verdict[VMIRQ_DELIVERED];
	assert_int_equal(counts_of_vector(s->vcpu[0], 0x42).posted, 0);
	soft_free(s);
}

/* XSA-356: a guest that sends itself IPIs without end is its own affair only. */
static void self_ipis_without_end(void **state)
{
	struct soft *s = soft_new_flags(1, 0, VMIRQ_VCPU_X2APIC);

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(vmirq_vcpu_wrmsr(s->vcpu[0], 0x83f, 0x41), 0);
	/* Each write reads what was posted first, so all but the first found it in IRR. */
	assert_int_equal(ipis(s).raised, 10000);
	assert_int_equal(counts_of_vector(s->vcpu[0], 0x41).pending, 2);
	take_only(s->vcpu[0], 0x41);
	for (uint32_t v = 0; v < 256; v++) {
		assert_int_equal(vmirq_vcpu_wrmsr(s->vcpu[0], 0x83f, v), 0);
		if (v >= 16)
			take_only(s->vcpu[0], (uint8_t)v);
		else
			take_nothing(s->vcpu[0]);
	}
	assert_int_equal(ipis(s).verdict[VMIRQ_BAD_VECTOR], 16);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_to_a_destination),
		cmocka_unit_test(shorthands),
		cmocka_unit_test(shorthands_pass_over_the_disabled),
		cmocka_unit_test(all_others_of_one),
		cmocka_unit_test(events_by_each_shorthand),
		cmocka_unit_test(nmis_to_one_that_does_not_look),
		cmocka_unit_test(init_deassert),
		cmocka_unit_test(bad_ones),
		cmocka_unit_test(logical_destinations),
		cmocka_unit_test(broadcasts),
		cmocka_unit_test(any_destination),
		cmocka_unit_test(self_ipis_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
