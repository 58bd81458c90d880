// SPDX-License-Identifier: MIT
/* vmirq_vm_save() and vmirq_vm_load() while a vCPU runs. */
#include "twin.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void *run_it(void *opaque)
{
	uint32_t vector;
	struct vmirq_vcpu *vcpu = opaque;

	assert_int_equal(vmirq_vcpu_bind_thread(vcpu), 0);
	while (vmirq_vcpu_step(vcpu, VMIRQ_CPU_HALTED, &vector) != -ECANCELED)
		vmirq_vcpu_park(vcpu, -1);
	vmirq_vcpu_unbind_thread(vcpu);
	return NULL;
}

static void not_while_a_vcpu_runs(void **state)
{
	struct twin t;
	pthread_t thread;
	size_t size;
	void *blob;

	(void)state;
	twin_start(&t, TWIN_PLAIN);
	blob = twin_save(&t, &size);
	assert_int_equal(pthread_create(&thread, NULL, run_it, t.vcpu[1]), 0);
	while (vmirq_vm_save(t.vm, NULL, 0) != -EBUSY)
		;
	assert_int_equal(vmirq_vm_load(t.vm, blob, size), -EBUSY);
	assert_int_equal(vmirq_vcpu_stop(t.vcpu[1]), 0);
	assert_int_equal(vmirq_vm_save(t.vm, NULL, 0), size);
	assert_int_equal(vmirq_vm_load(t.vm, blob, size), 0);
	pthread_join(thread, NULL);
	/* Its own thread may. */
	assert_int_equal(vmirq_vcpu_start(t.vcpu[1]), 0);
	assert_int_equal(vmirq_vcpu_bind_thread(t.vcpu[1]), 0);
	assert_int_equal(vmirq_vm_save(t.vm, NULL, 0), size);
	assert_int_equal(vmirq_vcpu_unbind_thread(t.vcpu[1]), 0);
	free(blob);
	twin_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(not_while_a_vcpu_runs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
