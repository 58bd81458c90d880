/* SPDX-License-Identifier: MIT */
/*
 * The vCPU object: a local APIC, the thread that runs it, and how to reach that thread.
 *
 * A slot's object is made once and used again after destroy; it is freed with the VM only, so a
 * signaller or an observer that still holds it reads memory that is there. What a kick needs is
 * written while nobody can kick (before the thread is bound, or after a grace period).
 */
#ifndef VCPU_VCPU_H
#define VCPU_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/wait.h"
#include "chip/lapic.h"
#include "pump/timer.h"

#include <vmirq/vcpu.h>

enum run_state {
	NO_THREAD,
	RUNNING,
	STOPPED, /* has a thread, which has seen EVENT_STOP and stays out */
};

struct vmirq_vcpu {
	struct lapic lapic;
	struct vmirq_vm *vm;
	struct chip *chip;
	struct posted *posted;
	uint32_t index;
	_Atomic bool used; /* created and not destroyed; written under the table's mutex */

	/* How it is kicked and woken; constant from create to destroy. */
	struct vmirq_callback kick;
	struct vmirq_callback wake;
	int kick_signal;
	struct kvm_run *kvm_run;
	int kvm_vcpu_fd;
	uint32_t tsc_khz;
	_Atomic uint64_t extints;      /* taken from the 8259s, less aborted ones */
	_Atomic pid_t process, thread; /* thread 0: none bound */

	/* Its thread's own. */
	bool wait_for_sipi, starts_waiting;
	/* A vector that the 8259s gave and the CPU has not taken yet; -1. And the last one it took. */
	int16_t extint, extint_taken;
	uint32_t wanted_events;	 /* what its last step would have acted on */
	uint32_t poll_max;	 /* vmirq_vcpu_config.poll_ns */
	uint32_t poll_ns;	 /* what it looks now before it sleeps */
	bool kvm_halted;	 /* for vmirq_kvm_run() */
	bool kvm_incomplete;	 /* an exit stands in the middle of an instruction */
	uint64_t armed_deadline; /* what `timer` is set to */
	struct pump_timer timer;

	pthread_mutex_t run_mutex; /* of run_state; nothing is taken under it */
	struct waiters run_changes;
	enum run_state run_state;
	pthread_t run_thread;

	/* What vmirq_vcpu_post_mask() was given: others write it. */
	struct counts masks __attribute__((aligned(CACHE_LINE)));
} __attribute__((aligned(CACHE_LINE)));

struct vcpu_table {
	pthread_mutex_t mutex; /* create and destroy */
	uint32_t max;
	struct vmirq_vcpu *_Atomic vcpu[];
};

int vmirq_vcpu_table_create(uint32_t max, struct vcpu_table **out);
/* Every vCPU is destroyed. */
void vmirq_vcpu_table_free(struct vcpu_table *table);
/* -EBUSY: some vCPU has a thread. */
int vmirq_vcpu_table_destroy_all(struct vcpu_table *table);
bool vmirq_vcpu_table_runs(const struct vcpu_table *table);
/* All of them, also where one fails; returns what the first that did says. None runs. */
int vmirq_vcpu_table_reset_all(struct vcpu_table *table);

/* kick.c: the host's side of a chip's wake and kick; `vm` is the VM. */
void vmirq_vcpu_host_wake(void *vm, uint32_t index, bool elsewhere);
void vmirq_vcpu_host_kick(void *vm, uint32_t index);

/* time.c: see that a guest is kicked when its timer is due. Its own thread. */
void vmirq_vcpu_arm_timer(struct vmirq_vcpu *vcpu);
uint64_t vmirq_vcpu_host_tsc(void *vm, uint32_t index, uint32_t *khz);

uint32_t vmirq_vcpu_find_tsc_khz(const struct vmirq_vcpu *vcpu);

/* run_state.c: is the calling thread the bound one? */
bool vmirq_vcpu_is_own(struct vmirq_vcpu *vcpu);
/* run_state.c: its thread has seen EVENT_STOP. */
void vmirq_vcpu_saw_stop(struct vmirq_vcpu *vcpu);

/* Post what the timer owes. Its own thread. */
static inline void vcpu_run_timer(struct vmirq_vcpu *vcpu)
{
	if (unlikely(lapic_timer_deadline(&vcpu->lapic.timer) != TIMER_NEVER))
		vmirq_lapic_timer_run(&vcpu->lapic);
}

static inline uint32_t vcpu_events(const struct vmirq_vcpu *vcpu)
{
	return atomic_load(&vcpu->posted->events);
}

/* Take these events; returns those that were there. */
static inline uint32_t vcpu_take_events(struct vmirq_vcpu *vcpu, uint32_t events)
{
	return atomic_fetch_and(&vcpu->posted->events, ~events) & events;
}

#define NMI_EVENTS (bit32(EVENT_NMI) | bit32(EVENT_NMI_AGAIN))

/* One of the NMIs that wait. */
static inline bool vcpu_take_nmi(struct vmirq_vcpu *vcpu)
{
	return vcpu_take_events(vcpu, bit32(EVENT_NMI_AGAIN)) ||
	       vcpu_take_events(vcpu, bit32(EVENT_NMI));
}

/* C in posted.h: change the mode and look. Returns the mode there was. */
static inline uint32_t vcpu_set_mode(struct vmirq_vcpu *vcpu, enum vcpu_mode mode)
{
	return atomic_exchange(&vcpu->posted->mode, mode);
}

/* D in posted.h: has anything been posted that is not folded in? */
static inline bool vcpu_anything_posted(const struct vmirq_vcpu *vcpu, uint32_t events)
{
	const struct vecset *s = &vcpu->posted->vectors;

	return (vcpu_events(vcpu) & events) || atomic_load(&s->word[0]) ||
	       atomic_load(&s->word[1]) || atomic_load(&s->word[2]) || atomic_load(&s->word[3]);
}

#endif
