// SPDX-License-Identifier: MIT
/* vmirq_vm_save() and vmirq_vm_load(): the other VM goes on as the first would have; whatever else is
 * loaded changes nothing or leaves a good state. */
#include "twin.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <vmirq/line.h>
#include <vmirq/msi.h>
#include <vmirq/route.h>

static void same_state(struct twin *a, struct twin *b)
{
	size_t size, other_size;
	unsigned char *blob = twin_save(a, &size), *other = twin_save(b, &other_size);

	assert_int_equal(size, other_size);
	for (size_t i = 0; i < size; i++)
		if (blob[i] != other[i])
			fail_msg("byte %zu of %zu: %#x, %#x", i, size, blob[i], other[i]);
	free(blob);
	free(other);
}

/* How many were injected after the load. */
static unsigned int goes_on(enum twin_kind kind, uint64_t seed)
{
	struct twin first, second;
	uint64_t dice = seed;
	unsigned int before;
	size_t size;
	void *blob;

	twin_start(&first, kind);
	twin_start(&second, kind);
	twin_program(&first);
	/* What the second was before does not matter. */
	for (unsigned int i = 0; i < 100; i++)
		twin_do(&second, twin_random(&dice));
	for (unsigned int i = 0; i < 400; i++)
		twin_do(&first, twin_random(&dice));
	second.now = first.now;
	before = second.injected;
	blob = twin_save(&first, &size);
	assert_int_equal(vmirq_vm_load(second.vm, blob, size), 0);
	free(blob);
	same_state(&first, &second);
	for (unsigned int i = 0; i < 600; i++) {
		uint64_t what = twin_random(&dice);
		uint64_t a = twin_do(&first, what), b = twin_do(&second, what);

		if (a != b)
			fail_msg("seed %lu, operation %u, %#lx: %#lx, %#lx", seed, i, what, a, b);
	}
	same_state(&first, &second);
	twin_end(&first);
	twin_end(&second);
	return second.injected - before;
}

static void the_other_goes_on(void **state)
{
	unsigned int injected[TWIN_X2APIC + 1] = { 0 };

	(void)state;
	for (uint64_t seed = 0; seed < 60; seed++)
		for (enum twin_kind kind = TWIN_FULL; kind <= TWIN_X2APIC; kind++)
			injected[kind] += goes_on(kind, seed);
	/* Or there was nothing to compare. */
	for (enum twin_kind kind = TWIN_FULL; kind <= TWIN_X2APIC; kind++)
		if (injected[kind] < 200)
			fail_msg("kind %d: %u injected", kind, injected[kind]);
}

/* A clock that is elsewhere: what is left counts. */
static void times_are_kept_by_what_is_left(void **state)
{
	struct twin first, second;
	uint64_t pit;
	uint32_t count = 0;
	size_t size;
	void *blob;

	(void)state;
	twin_start(&first, TWIN_FULL);
	twin_start(&second, TWIN_FULL);
	first.now = 1000000000;
	second.now = 5000000000;
	twin_program(&first);
	vmirq_vcpu_mmio(first.vcpu[1], 0xfee00320, &(uint32_t){ 0x31 }, 4, true);
	vmirq_vcpu_mmio(first.vcpu[1], 0xfee00380, &(uint32_t){ 100000 }, 4, true);
	first.now += 50001;
	blob = twin_save(&first, &size);
	assert_int_equal(vmirq_vm_load(second.vm, blob, size), 0);
	free(blob);
	assert_int_equal(vmirq_vcpu_deadline(second.vcpu[1]) - second.now,
			 vmirq_vcpu_deadline(first.vcpu[1]) - first.now);
	vmirq_vcpu_mmio(second.vcpu[1], 0xfee00390, &count, 4, false);
	assert_int_equal(count, (200000 - 50001) / 2);
	/* Within one of its pulses of 838 ns. */
	pit = vmirq_vm_deadline(first.vm) - first.now;
	assert_in_range(vmirq_vm_deadline(second.vm) - second.now, pit - 900, pit + 900);
	twin_end(&first);
	twin_end(&second);
}

/* A throttled pin is tried again when it would have been. */
static void a_storm_goes_on(void **state)
{
	struct twin first, second;
	uint32_t vector = 0;
	size_t size;
	void *blob;

	(void)state;
	twin_start(&first, TWIN_PLAIN);
	twin_start(&second, TWIN_PLAIN);
	twin_program(&first);
	assert_int_equal(vmirq_line_set(first.vm, 21, 0, true, NULL), 1);
	for (unsigned int i = 0; i < 10000; i++) {
		assert_int_equal(vmirq_vcpu_step(first.vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
				 VMIRQ_STEP_INJECT);
		assert_int_equal(vmirq_vcpu_ack(first.vcpu[0], vector), 0);
		vmirq_vcpu_mmio(first.vcpu[0], 0xfee000b0, &(uint32_t){ 0 }, 4, true);
	}
	first.now += 4000000;
	second.now = 77;
	blob = twin_save(&first, &size);
	assert_int_equal(vmirq_vm_load(second.vm, blob, size), 0);
	free(blob);
	assert_int_equal(vmirq_vm_deadline(second.vm), 77 + 6000000);
	assert_int_equal(vmirq_vcpu_step(second.vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(second.vcpu[0]);
	second.now += 6000000;
	vmirq_vm_expire(second.vm);
	assert_int_equal(vmirq_vcpu_step(second.vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_INJECT);
	assert_int_equal(vector, 0x30 + 4 * 21);
	twin_end(&first);
	twin_end(&second);
}

/* Loads: -EINVAL and nothing changed, or a state that is good, is saved and loads. */
static bool survives(struct twin *t, const unsigned char *good, size_t good_size, const void *bytes,
		     size_t size)
{
	size_t now_size, again_size;
	unsigned char *before = twin_save(t, &now_size), *after, *again;
	int error = vmirq_vm_load(t->vm, bytes, size);
	uint64_t dice = 1;

	if (error) {
		assert_int_equal(error, -EINVAL);
		after = twin_save(t, &again_size);
		assert_int_equal(again_size, now_size);
		assert_memory_equal(before, after, now_size);
		free(after);
		free(before);
		return false;
	}
	free(before);
	twin_check(t);
	after = twin_save(t, &now_size);
	assert_int_equal(vmirq_vm_load(t->vm, after, now_size), 0);
	again = twin_save(t, &again_size);
	assert_int_equal(again_size, now_size);
	assert_memory_equal(after, again, now_size);
	for (unsigned int i = 0; i < 20; i++)
		twin_do(t, twin_random(&dice));
	twin_check(t);
	free(after);
	free(again);
	assert_int_equal(vmirq_vm_load(t->vm, good, good_size), 0);
	return true;
}

static void any_byte_may_be_wrong(enum twin_kind kind, uint64_t seed)
{
	unsigned int loaded = 0, refused = 0;
	unsigned char *good, *bad;
	struct twin t;
	size_t size;

	twin_start(&t, kind);
	twin_program(&t);
	for (unsigned int i = 0; i < 400; i++)
		twin_do(&t, twin_random(&seed));
	good = twin_save(&t, &size);
	bad = malloc(size + 1);
	for (size_t i = 0; i < size; i++) {
		memcpy(bad, good, size);
		bad[i] ^= (unsigned char)(1u << twin_random(&seed) % 8);
		if (i % 3 == 0)
			bad[i] = (unsigned char)~bad[i];
		if (survives(&t, good, size, bad, size))
			loaded++;
		else
			refused++;
	}
	assert_true(loaded > 100 && refused > 100);
	memcpy(bad, good, size);
	bad[size] = 0;
	for (size_t cut = 0; cut < size; cut += 1 + cut / 64)
		assert_false(survives(&t, good, size, bad, cut));
	assert_false(survives(&t, good, size, bad, size - 1));
	assert_false(survives(&t, good, size, bad, size + 1));
	free(good);
	free(bad);
	twin_end(&t);
}

static void any_bytes_may_be_loaded(void **state)
{
	(void)state;
	any_byte_may_be_wrong(TWIN_FULL, 7);
	any_byte_may_be_wrong(TWIN_X2APIC, 8);
}

static void only_where_it_fits(void **state)
{
	struct twin t[4];
	struct vmirq_vcpu_config more = { .size = sizeof(more), .index = 7, .apic_id = 77 };
	struct vmirq_vcpu *vcpu;
	size_t size;
	void *blob;

	(void)state;
	for (enum twin_kind kind = TWIN_FULL; kind <= TWIN_X2APIC; kind++)
		twin_start(&t[kind], kind);
	for (enum twin_kind from = TWIN_FULL; from <= TWIN_X2APIC; from++) {
		blob = twin_save(&t[from], &size);
		for (enum twin_kind to = TWIN_FULL; to <= TWIN_X2APIC; to++)
			assert_int_equal(vmirq_vm_load(t[to].vm, blob, size),
					 from == to ? 0 : -EINVAL);
		/* Another vCPU. */
		assert_int_equal(vmirq_vcpu_create(t[from].vm, &more, &vcpu), 0);
		assert_int_equal(vmirq_vm_load(t[from].vm, blob, size), -EINVAL);
		assert_int_equal(vmirq_vcpu_destroy(vcpu), 0);
		assert_int_equal(vmirq_vm_load(t[from].vm, blob, size), 0);
		free(blob);
	}
	for (enum twin_kind kind = TWIN_FULL; kind <= TWIN_X2APIC; kind++)
		twin_end(&t[kind]);
}

static void what_is_refused(void **state)
{
	struct twin t;
	unsigned char small[16];
	size_t size;
	void *blob;

	(void)state;
	twin_start(&t, TWIN_PLAIN);
	blob = twin_save(&t, &size);
	assert_int_equal(vmirq_vm_save(NULL, blob, size), -EINVAL);
	assert_int_equal(vmirq_vm_save(t.vm, NULL, size), -EINVAL);
	assert_int_equal(vmirq_vm_load(NULL, blob, size), -EINVAL);
	assert_int_equal(vmirq_vm_load(t.vm, NULL, size), -EINVAL);
	/* Too small a buffer is not written past its end, and says how large it should be. */
	assert_int_equal(vmirq_vm_save(t.vm, small, sizeof(small)), size);
	free(blob);
	twin_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_other_goes_on),
		cmocka_unit_test(times_are_kept_by_what_is_left),
		cmocka_unit_test(a_storm_goes_on),
		cmocka_unit_test(any_bytes_may_be_loaded),
		cmocka_unit_test(only_where_it_fits),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
