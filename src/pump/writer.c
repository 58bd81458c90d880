/* SPDX-License-Identifier: MIT */
#include "pump/writer.h"

#include <errno.h>
#ifdef __GLIBC__
#include <execinfo.h>
#endif
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/reader.h"
#include "pump/pump.h"

#define STACK_BYTES (64u * 1024)
/* Turns of vmirq_back_off() that the thread is given to end by itself: some milliseconds. */
#define PATIENCE 200
/* Where the eventfd has room it is not stuck and only wants a processor: some seconds. */
#define LONG_PATIENCE 40000

enum { AWAKE, SLEEPS, ENDS };

struct fd_writer {
	_Atomic uint64_t rings; /* not taken yet */
	_Atomic uint32_t state; /* also the futex */
	_Atomic bool ended;
	/* The thread's; destroy's, once it has joined it. */
	uint64_t taken; /* and not written yet */
	uint64_t part;	/* of it, being written */
	struct pollfd room;
	int fd;
	pthread_t thread;
	bool cancellable;
};

/* The only places where the thread may be cancelled. What they need lies in the writer: AddressSanitizer
 * does not forgive a frame with variables in memory that is left this way. */
static ssize_t write_cancellably(struct fd_writer *writer)
{
	ssize_t done;
	int error;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	done = write(writer->fd, &writer->part, sizeof(writer->part));
	error = done < 0 ? errno : EINVAL; /* a short write: no eventfd */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	errno = error;
	return done;
}

static void wait_for_room(struct fd_writer *writer)
{
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	poll(&writer->room, 1, -1);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

/* False: this descriptor takes nothing. */
static bool write_taken(struct fd_writer *writer)
{
	writer->part = writer->taken;
	while (writer->taken) {
		if (write_cancellably(writer) == (ssize_t)sizeof(writer->part)) {
			writer->taken -= writer->part;
			writer->part = writer->taken;
		} else if (errno == EAGAIN && writer->part > 1) {
			/* POLLOUT says that there is room for one. */
			writer->part = 1;
		} else if (errno == EAGAIN) {
			wait_for_room(writer);
			writer->part = writer->taken;
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

/* Not inlined: its variable would stand in the frame that a cancelled write leaves. */
static __attribute__((noinline)) void sleep_until_rung(struct fd_writer *writer)
{
	uint32_t state = AWAKE;

	/* C and D in writer.h. */
	if (!atomic_compare_exchange_strong(&writer->state, &state, SLEEPS))
		return;
	if (!atomic_load(&writer->rings))
		syscall(SYS_futex, &writer->state, FUTEX_WAIT_PRIVATE, SLEEPS, NULL, NULL, 0);
	state = SLEEPS;
	atomic_compare_exchange_strong(&writer->state, &state, AWAKE);
}

static void *run_thread(void *argument)
{
	struct fd_writer *writer = argument;
	bool last;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	do {
		/* Pairs with the exchange in vmirq_writer_destroy(): what was rung before is seen. */
		last = atomic_load(&writer->state) == ENDS;
		writer->taken += atomic_exchange(&writer->rings, 0);
		if (!write_taken(writer))
			break; /* what is rung from now on is only counted */
		if (!last)
			sleep_until_rung(writer);
	} while (!last);
	/* Release: pairs with the acquire in vmirq_writer_destroy(). */
	atomic_store_explicit(&writer->ended, true, memory_order_release);
	return NULL;
}

static int start_thread(struct fd_writer *writer)
{
	pthread_attr_t how;
	sigset_t all, old;
	int error;

	error = pthread_attr_init(&how);
	if (error)
		return -error;
	pthread_attr_setstacksize(&how, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&writer->thread, &how, run_thread, writer);
	/* The program's own thread-local variables are taken from the stack, too. */
	if (error == EINVAL)
		error = pthread_create(&writer->thread, NULL, run_thread, writer);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&how);
	return -error;
}

/* glibc loads its unwinder for the first pthread_cancel(), and aborts the process if it cannot: in a
 * chroot, say. backtrace() loads it too, and only says 0. */
static bool can_cancel(void)
{
#ifdef __GLIBC__
	void *frame;

	return backtrace(&frame, 1) > 0;
#else
	return true;
#endif
}

int vmirq_writer_create(int fd, struct fd_writer **out)
{
	struct fd_writer *writer = calloc(1, sizeof(*writer));
	int error;

	if (!writer)
		return -ENOMEM;
	writer->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (writer->fd < 0) {
		error = -errno;
		free(writer);
		return error;
	}
	writer->cancellable = can_cancel();
	writer->room = (struct pollfd){ .fd = writer->fd, .events = POLLOUT };
	error = start_thread(writer);
	if (error) {
		close(writer->fd);
		free(writer);
		return error;
	}
	*out = writer;
	return 0;
}

static void wake(struct fd_writer *writer)
{
	int saved = errno;

	syscall(SYS_futex, &writer->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}

void vmirq_writer_ring(struct fd_writer *writer)
{
	uint32_t state = SLEEPS;

	atomic_fetch_add(&writer->rings, 1);
	/* B in writer.h. */
	if (atomic_load(&writer->state) == SLEEPS &&
	    atomic_compare_exchange_strong(&writer->state, &state, AWAKE))
		wake(writer);
}

static bool has_ended(struct fd_writer *writer)
{
	/* Acquire: pairs with the release in run_thread(). */
	return atomic_load_explicit(&writer->ended, memory_order_acquire);
}

static bool has_room(int fd)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	return poll(&room, 1, 0) > 0;
}

/* A processor may be long in coming on a loaded host; but room that is too little, or that the other
 * side gives and takes, must not hold us for ever. */
static void wait_or_cancel(struct fd_writer *writer)
{
	for (unsigned int turn = 0; !has_ended(writer); turn++) {
		if (turn >= LONG_PATIENCE || (turn >= PATIENCE && !has_room(writer->fd))) {
			if (writer->cancellable) {
				pthread_cancel(writer->thread);
				return;
			}
			/* Whoever has filled it loses what he wrote. */
			vmirq_fd_drain(writer->fd);
		}
		vmirq_back_off(turn);
	}
}

uint64_t vmirq_writer_destroy(struct fd_writer *writer)
{
	uint64_t unwritten;

	if (!writer)
		return 0;
	/* Pairs with the load in run_thread(). */
	atomic_exchange(&writer->state, ENDS);
	wake(writer);
	wait_or_cancel(writer);
	pthread_join(writer->thread, NULL);
	unwritten = writer->taken + atomic_load_explicit(&writer->rings, memory_order_relaxed);
	close(writer->fd);
	free(writer);
	return unwritten;
}
