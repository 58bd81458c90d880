/* SPDX-License-Identifier: MIT */
/*
 * A QEMU PC whose CPU never runs, moved by qtest (QEMU's docs/devel/testing/qtest): its devices'
 * registers, ports and input lines, a command each. As child.h says of its life.
 *
 * Every exchange has a time-out. After an error nothing but qtest_stop() makes sense.
 * Thread safety: one thread at a time.
 */
#ifndef DEVICES_QTEST_H
#define DEVICES_QTEST_H

#include <stddef.h>
#include <stdint.h>

#include "child.h"

/* QEMU's names of the two 8259s: master, slave. They depend on its version. */
struct qtest_names {
	char pic[2][64];
};

/* The IOAPIC's, and its inputs'. */
#define QTEST_IOAPIC "/machine/i440fx/ioapic"
#define QTEST_INPUT  "unnamed-gpio-in"

struct qtest {
	struct child child;
	int fd;
	/* Output lines of the device that irq_intercept_out named, a bit each, as of the last answer. */
	uint64_t lines;
	char out[16384];
	size_t queued;
	char in[32768];
	size_t from, to;
};

/* One that was never started, for qtest_stop(). */
#define QTEST_NONE                            \
	{                                     \
		.child = CHILD_NONE, .fd = -1 \
	}

/* Find the names, by a QEMU of their own that is asked and stopped. -ENOENT: no QEMU here;
 * -ENODEV: one without such a PC; -ETIMEDOUT; -ECONNRESET: it died, see q->child. qtest_stop() it. */
int qtest_find(struct qtest *q, struct qtest_names *names);

/* -ENOENT: no QEMU here; other -errno of socketpair and child_start(). */
int qtest_start(struct qtest *q);

/* Twice is harmless. */
void qtest_stop(struct qtest *q);

/* Queue a command, without its end of line. -ENOBUFS: get some answers first. */
int __attribute__((format(printf, 2, 3))) qtest_put(struct qtest *q, const char *format, ...);

/* The answer to the oldest command that has none yet; sends what is queued. *value (may be NULL) is
 * the number in it, 0 if there is none. -EPROTO: QEMU does not know what to do; -ETIMEDOUT;
 * -ECONNRESET: it died. */
int qtest_get(struct qtest *q, uint64_t *value);

#endif
