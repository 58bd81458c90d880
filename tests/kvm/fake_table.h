/* SPDX-License-Identifier: MIT */
/* A kernel for the routing table's tests: it checks each table that it is given, and knows what
 * message a GSI stands for when it is raised. */
#ifndef TESTS_KVM_FAKE_TABLE_H
#define TESTS_KVM_FAKE_TABLE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kvm/table.h"

#define FAKE_GSIS 4096u

struct fake_kernel {
	struct kernel_table *table;
	uint32_t limit, entries;
	pthread_mutex_t mutex; /* of all below */
	/* Of the last table it took. */
	struct kernel_route route[FAKE_GSIS];
	uint64_t sets;	    /* asked for, refused ones too */
	uint64_t fail_from; /* the number of the first one to refuse; 0 = none */
	uint64_t fail_until;
	bool slow; /* let others run in the middle of it */
	/* Told, if set, of each table that it has checked, under the mutex. */
	void (*look)(const struct fake_kernel *k);
	/* Called, if set, in the middle of taking a table, without the mutex. */
	void (*meanwhile)(struct fake_kernel *k);
};

/* What the calling thread's last raise delivered, and how many it did. */
extern _Thread_local struct msi_message fake_delivered;
extern _Thread_local uint64_t fake_raised;

void fake_start(struct fake_kernel *k, uint32_t limit, uint32_t reserved, uint32_t entries);
void fake_end(struct fake_kernel *k);
/* The next n tables are refused. */
void fake_refuse(struct fake_kernel *k, uint64_t n);

/* Sent, and arrived as what was sent. What the table said. */
int fake_send(struct fake_kernel *k, struct msi_message msg);
/* The same, and it must go well. */
void fake_arrives(struct fake_kernel *k, struct msi_message msg);

/* Distinct for distinct n, also from each other. */
struct msi_message message(uint32_t n);
struct kernel_route message_route(uint32_t gsi, uint32_t n);
/* To the pins that a GSI has by default: one of the IOAPIC, below 16 one of an 8259 too. */
struct kernel_route pins_route(uint32_t gsi);
struct kernel_route no_route(uint32_t gsi);

bool is_route(const struct kernel_route *has, const struct kernel_route *wanted);
bool is_same_message(const struct kernel_route *has, struct msi_message msg);

#endif
