/* SPDX-License-Identifier: MIT */
/*
 * Producers and consumers that write down each of their callbacks as a word, in the order they come:
 * "P.stop", "C.add" ..., "P" for producers and "C" for consumers. Every callback can be left out, and
 * those that may fail be told to.
 */
#ifndef TESTS_BYPASS_RECORDER_H
#define TESTS_BYPASS_RECORDER_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <vmirq/bypass.h>

/* Which callbacks there are. */
enum {
	HAS_STOP = 1,
	HAS_START = 2,
	HAS_ADD = 4,
	HAS_DEL = 8,
	HAS_TARGET = 16,
	HAS_ALL = 31,
};

#define CONNECTED    "P.stop C.stop P.add C.add C.start P.start "
#define DISCONNECTED "P.stop C.stop C.del P.del C.start P.start "

struct side {
	unsigned int has;
	int fail; /* what add says */
	uint64_t token;
	/* What the callbacks were given. */
	const void *peer;
	struct vmirq_producer *producer_met;
	void *target;
	/* Called from the callback of this name ("C.add"), if there is one. */
	const char *inside_of;
	void (*inside)(struct side *side);
	/* The one whose handle this is, or NULL. */
	struct vmirq_producer *producer;
	struct vmirq_consumer *consumer;
};

extern struct vmirq_bypass *manager;
extern char said[8192]; /* since expect() */

/* A manager, and at the end nothing left in it: set-up and tear-down of a case. */
int set_up(void **state);
int tear_down(void **state);

int register_producer(struct side *side);
int register_consumer(struct side *side);
int unregister_producer(struct side *side);
int unregister_consumer(struct side *side);

/* Exactly this was said since the last time. */
void expect(const char *words);

#endif
