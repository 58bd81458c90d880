/* SPDX-License-Identifier: MIT */
/* Create and destroy. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/reader.h"
#include "base/vm.h"
#include "vcpu/kernel.h"

/* vmirq_vcpu_config as it was in the first release. */
#define CONFIG_LEAST sizeof(struct vmirq_vcpu_config)

int vmirq_vcpu_table_create(uint32_t max, struct vcpu_table **out)
{
	struct vcpu_table *table = calloc(1, sizeof(*table) + max * sizeof(table->vcpu[0]));

	if (!table)
		return -ENOMEM;
	table->max = max;
	pthread_mutex_init(&table->mutex, NULL);
	*out = table;
	return 0;
}

void vmirq_vcpu_table_free(struct vcpu_table *table)
{
	if (!table)
		return;
	for (uint32_t i = 0; i < table->max; i++) {
		struct vmirq_vcpu *vcpu = table->vcpu[i];

		if (vcpu)
			pthread_mutex_destroy(&vcpu->run_mutex);
		free(vcpu);
	}
	pthread_mutex_destroy(&table->mutex);
	free(table);
}

/* The slot's object, made the first time. */
static struct vmirq_vcpu *object(struct vmirq_vm *vm, uint32_t index)
{
	struct vcpu_table *table = vm->vcpus;
	struct vmirq_vcpu *vcpu = atomic_load_explicit(&table->vcpu[index], memory_order_relaxed);

	if (vcpu)
		return vcpu;
	vcpu = aligned_alloc(CACHE_LINE, sizeof(*vcpu));
	if (!vcpu)
		return NULL;
	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->vm = vm;
	vcpu->chip = vm->chip;
	vcpu->posted = &vm->chip->posted[index];
	vcpu->index = index;
	pthread_mutex_init(&vcpu->run_mutex, NULL);
	/* Release: pairs with the acquire in kick.c and vmirq_vm_vcpu(). */
	atomic_store_explicit(&table->vcpu[index], vcpu, memory_order_release);
	return vcpu;
}

static bool id_in_use(const struct vcpu_table *table, uint32_t id)
{
	for (uint32_t i = 0; i < table->max; i++) {
		const struct vmirq_vcpu *vcpu = table->vcpu[i];

		if (vcpu && vcpu->used && vcpu->lapic.initial_id == id)
			return true;
	}
	return false;
}

static int start_up(struct vmirq_vcpu *vcpu, const struct vmirq_vcpu_config *config)
{
	vcpu->kick = config->kick;
	vcpu->wake = config->wake;
	vcpu->kick_signal = config->kick_signal;
	vcpu->kvm_run = config->kvm_run;
	vcpu->kvm_vcpu_fd = config->kvm_vcpu_fd;
	vcpu->poll_max = config->poll_ns;
	vcpu->poll_ns = 0;
	vcpu->tsc_khz = vmirq_vcpu_find_tsc_khz(vcpu);
	vcpu->starts_waiting = config->flags & VMIRQ_VCPU_WAIT_FOR_SIPI;
	vcpu->wait_for_sipi = vcpu->starts_waiting;
	if (vcpu_in_kernel(vcpu)) {
		int error = vmirq_kernel_start(vcpu);

		if (error)
			return error;
	}
	vcpu->wanted_events = UINT32_MAX;
	vcpu->kvm_halted = vcpu->kvm_incomplete = false;
	vcpu->armed_deadline = TIMER_NEVER;
	vcpu->extint = vcpu->extint_taken = -1;
	vcpu->run_state = NO_THREAD;
	atomic_store(&vcpu->posted->events, 0);
	/* Before the map names it: whoever finds it there finds it alive. */
	vcpu_set_mode(vcpu, MODE_OUTSIDE);
	vmirq_lapic_init(&vcpu->lapic, vcpu->chip, vcpu->index, config->apic_id,
			 config->flags & VMIRQ_VCPU_X2APIC);
	/* Release: who sees it used sees all of it. */
	atomic_store_explicit(&vcpu->used, true, memory_order_release);
	return 0;
}

int vmirq_vcpu_create(struct vmirq_vm *vm, const struct vmirq_vcpu_config *caller,
		      struct vmirq_vcpu **out)
{
	struct vmirq_vcpu_config config;
	struct vmirq_vcpu *vcpu = NULL;
	struct vcpu_table *table;
	int error;

	if (!vm || !caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (error)
		return error;
	table = vm->vcpus;
	if (config.index >= table->max || config.apic_id == UINT32_MAX || config.kick_signal < 0 ||
	    (config.flags & ~(VMIRQ_VCPU_WAIT_FOR_SIPI | VMIRQ_VCPU_X2APIC)) || config.unused ||
	    (vm->irqchip && !config.kvm_run))
		return -EINVAL;
	/* Who destroys one has the mutex, and waits for sections. */
	if (reader_inside())
		return -EDEADLK;
	pthread_mutex_lock(&table->mutex);
	vcpu = object(vm, config.index);
	if (!vcpu)
		error = -ENOMEM;
	else if (vcpu->used || id_in_use(table, config.apic_id))
		error = -EEXIST;
	else
		error = start_up(vcpu, &config);
	pthread_mutex_unlock(&table->mutex);
	if (!error)
		*out = vcpu;
	return error;
}

static void release(struct vmirq_callback *callback)
{
	if (callback->release)
		callback->release(callback->opaque);
	*callback = (struct vmirq_callback){ .fn = NULL };
}

int vmirq_vcpu_destroy(struct vmirq_vcpu *vcpu)
{
	struct vcpu_table *table;
	struct vmirq_callback kick, wake;
	int error = 0;

	if (!vcpu)
		return 0;
	if (reader_inside())
		return -EDEADLK;
	table = vcpu->vm->vcpus;
	pthread_mutex_lock(&table->mutex);
	pthread_mutex_lock(&vcpu->run_mutex);
	if (vcpu->run_state != NO_THREAD)
		error = -EBUSY;
	else if (!vcpu->used)
		error = -EINVAL;
	pthread_mutex_unlock(&vcpu->run_mutex);
	if (error) {
		pthread_mutex_unlock(&table->mutex);
		return error;
	}
	/* Nobody resolves to it any more; who has already, posts to a dead one; and when they are
	 * through, what they left is counted. */
	vmirq_lapic_leave_map(&vcpu->lapic);
	vcpu_set_mode(vcpu, MODE_DEAD);
	vmirq_timer_destroy(&vcpu->timer);
	vmirq_reader_wait();
	vmirq_lapic_end(&vcpu->lapic);
	kick = vcpu->kick;
	wake = vcpu->wake;
	vcpu->kick = vcpu->wake = (struct vmirq_callback){ .fn = NULL };
	vcpu->used = false;
	pthread_mutex_unlock(&table->mutex);
	release(&kick);
	release(&wake);
	return 0;
}

/* Some vCPU has a thread that runs, or that is stopped. */
static bool any_in_state(const struct vcpu_table *table, bool stopped_too)
{
	bool any = false;

	for (uint32_t i = 0; i < table->max; i++) {
		struct vmirq_vcpu *vcpu = table->vcpu[i];

		if (!vcpu || !vcpu->used)
			continue;
		pthread_mutex_lock(&vcpu->run_mutex);
		any |= vcpu->run_state == RUNNING || (stopped_too && vcpu->run_state == STOPPED);
		pthread_mutex_unlock(&vcpu->run_mutex);
	}
	return any;
}

int vmirq_vcpu_table_destroy_all(struct vcpu_table *table)
{
	if (any_in_state(table, true))
		return -EBUSY;
	for (uint32_t i = 0; i < table->max; i++)
		if (table->vcpu[i] && table->vcpu[i]->used)
			vmirq_vcpu_destroy(table->vcpu[i]);
	return 0;
}

bool vmirq_vcpu_table_runs(const struct vcpu_table *table)
{
	return any_in_state(table, false);
}

int vmirq_vcpu_table_reset_all(struct vcpu_table *table)
{
	int error = 0;

	for (uint32_t i = 0; i < table->max; i++) {
		int failed = 0;

		if (table->vcpu[i] && table->vcpu[i]->used)
			failed = vmirq_vcpu_reset(table->vcpu[i]);
		if (!error)
			error = failed;
	}
	return error;
}
