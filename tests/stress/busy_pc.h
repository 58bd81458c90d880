/* SPDX-License-Identifier: MIT */
/*
 * A soft VM with a PC's chips whose vCPUs run: threads that park, are kicked out of the guest, take what
 * comes, count it and end it. For tests in which everybody is at it at once, and the books balance when all
 * are through.
 */
#ifndef TESTS_STRESS_BUSY_PC_H
#define TESTS_STRESS_BUSY_PC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../support.h"

#include <vmirq/line.h>

#define BUSY_VCPUS 2
#define BUSY_GSIS  64

struct busy_vcpu {
	struct vmirq_vcpu *vcpu;
	pthread_t thread;
	_Atomic bool kicked;
	_Atomic uint64_t handled[256], nmis;
	_Atomic uint32_t asked, answered;
};

struct busy_pc {
	struct vmirq_vm *vm;
	struct busy_vcpu vcpu[BUSY_VCPUS];
	_Atomic uint32_t wrong; /* of busy_check() */
};

/* APIC id = slot; GSIs 0..23 go to the IOAPIC's pins only. */
struct busy_pc *busy_new(void);
/* All vCPUs' threads are out, and everything has been taken. */
void busy_stop(struct busy_pc *pc);
void busy_free(struct busy_pc *pc);

/* Whatever was posted before the call has been taken by its handler. */
void busy_settle(struct busy_pc *pc);
uint64_t busy_handled(struct busy_pc *pc, uint32_t vector);

/* In threads, where cmocka cannot assert. */
void busy_check_at(struct busy_pc *pc, bool good, const char *what, const char *file, int line);
#define busy_check(pc, good) busy_check_at(pc, good, #good, __FILE__, __LINE__)

/* An RTE, masked while it is written. */
void busy_rte(struct busy_pc *pc, uint32_t pin, uint32_t vcpu, uint32_t low);
void busy_pin(struct busy_pc *pc, uint32_t gsi, uint32_t pin);

/* Of all GSIs, with their law. */
struct vmirq_route_counts busy_gsi_counts(struct busy_pc *pc, uint32_t gsi);
/*
 * The vCPUs' law, for each vector; what the handlers took is what was delivered, but for what was merged
 * in the IRR. Returns how many vectors and NMIs the vCPUs found posted.
 */
uint64_t busy_posted(struct busy_pc *pc);
/* What the GSIs' routes say was delivered. */
uint64_t busy_delivered(struct busy_pc *pc);
/* What the IOAPIC's messages came to, a standing level's delivered again too. */
uint64_t busy_ioapic_delivered(struct busy_pc *pc);

uint32_t next_random(uint32_t *state);
/* Until *word has come to at least `value`. */
void wait_for(const _Atomic uint32_t *word, uint32_t value);
int open_descriptors(void);

#endif
