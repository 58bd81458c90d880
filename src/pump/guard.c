/* SPDX-License-Identifier: MIT */
#include "pump/guard.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/no_cancel.h"
#include "pump/pump.h"

#define STACK_BYTES (64u * 1024)
#define TICK_NS	    5000000L
/* While somebody is blocked. */
#define HASTE_NS 100000L
/* Of make_room(): some 50 us of its own. */
#define TURNS 50u
/* Ticks without a ring after which it sleeps: 100 ms. */
#define QUIET 20u

/* guarded_fd.rings: how often it was rung, and how many ringers are inside. */
#define RING   (UINT64_C(1) << 32)
#define INSIDE (RING - 1)

enum { ASLEEP, AWAKE, ENDS };

static void futex(struct fd_guard *guard, int what, uint32_t value, const struct timespec *timeout)
{
	syscall(SYS_futex, &guard->state, what, value, timeout, NULL, 0);
}

/* Where it cannot be asked (a seccomp filter) nothing is known, and what is not known to be full is not taken from its
 * reader. */
static bool is_full(int fd)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	/* Or only POLLERR, which the kernel's signallers can make it say. */
	return no_cancel_look(&room) >= 0 && !(room.revents & POLLOUT);
}

static bool write_one(const struct guarded_fd *g)
{
	const uint64_t one = 1;

	/* Without a look whether it has room: that is one more system call, and the filter of a vCPU's thread may
	 * kill for what only a hostile peer has it make. */
	while (likely(atomic_load_explicit(&g->blocked, memory_order_relaxed) < GUARD_FORGIVES)) {
		if (no_cancel_write(g->fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
			return true;
		if (errno != EINTR)
			break;
	}
	return false;
}

static __attribute__((noinline)) void wake(struct fd_guard *guard)
{
	uint32_t state = ASLEEP;

	if (atomic_compare_exchange_strong(&guard->state, &state, AWAKE))
		futex(guard, FUTEX_WAKE_PRIVATE, 1, NULL);
}

void vmirq_guard_ring(struct guarded_fd *g)
{
	int saved = errno;

	/* A and B in guard.h. */
	atomic_fetch_add(&g->rings, RING | 1);
	if (unlikely(atomic_load(&g->guard->state) == ASLEEP))
		wake(g->guard);
	if (unlikely(!write_one(g)))
		atomic_fetch_add_explicit(&g->unwritten, 1, memory_order_relaxed);
	/* E. Nothing is guarded by it: late, it is only looked at once more. */
	atomic_fetch_sub_explicit(&g->rings, 1, memory_order_relaxed);
	errno = saved;
}

static bool somebody_inside(const struct guarded_fd *g)
{
	return atomic_load_explicit(&g->rings, memory_order_relaxed) & INSIDE;
}

/* Its other holders may fill it again before the writer has a processor: so for a moment, and again at the next
 * look, which is soon. */
static void make_room(struct guarded_fd *g)
{
	uint32_t blocked = atomic_load_explicit(&g->blocked, memory_order_relaxed);

	if (!g->stuck && blocked < GUARD_FORGIVES)
		atomic_store_explicit(&g->blocked, blocked + 1, memory_order_relaxed);
	g->stuck = true;
	for (unsigned int i = 0; i < TURNS && somebody_inside(g); i++)
		if (is_full(g->fd))
			atomic_fetch_add_explicit(&g->drained, vmirq_fd_drain(g->fd),
						  memory_order_relaxed);
}

/* Was it rung since the last look, or is somebody inside? */
static bool look_at(struct guarded_fd *g)
{
	/* D in guard.h. */
	uint64_t rings = atomic_load(&g->rings);
	bool before = g->inside, busy = rings != g->seen;

	g->seen = rings;
	g->inside = rings & INSIDE;
	/* Somebody came or went: it is another block, if it is one. */
	if (busy)
		g->stuck = false;
	if (g->inside && before && is_full(g->fd))
		make_room(g);
	return busy || g->inside;
}

static bool look(struct fd_guard *guard)
{
	bool busy = false, stuck = false;

	pthread_mutex_lock(&guard->mutex);
	for (struct guarded_fd *g = guard->list; g; g = g->next) {
		busy |= look_at(g);
		stuck |= g->stuck;
	}
	pthread_mutex_unlock(&guard->mutex);
	guard->hurries = stuck;
	return busy;
}

static void sleep_until_rung(struct fd_guard *guard)
{
	uint32_t state = AWAKE;

	/* C and D in guard.h. */
	if (!atomic_compare_exchange_strong(&guard->state, &state, ASLEEP))
		return;
	while (!look(guard) && atomic_load(&guard->state) == ASLEEP)
		futex(guard, FUTEX_WAIT_PRIVATE, ASLEEP, NULL);
	state = ASLEEP;
	atomic_compare_exchange_strong(&guard->state, &state, AWAKE);
}

static void *run_thread(void *argument)
{
	static const struct timespec tick = { .tv_nsec = TICK_NS }, soon = { .tv_nsec = HASTE_NS };
	struct fd_guard *guard = argument;
	unsigned int quiet = QUIET;

	/* Pairs with the exchange in vmirq_guard_fini(), which wakes it. */
	while (atomic_load(&guard->state) != ENDS) {
		quiet = look(guard) ? 0 : quiet + 1;
		if (quiet >= QUIET) {
			sleep_until_rung(guard);
			quiet = 0;
		}
		futex(guard, FUTEX_WAIT_PRIVATE, AWAKE, guard->hurries ? &soon : &tick);
	}
	return NULL;
}

/* The mutex is held. */
static int start_thread(struct fd_guard *guard)
{
	pthread_attr_t how;
	sigset_t all, old;
	int error;

	if (guard->has_thread)
		return 0;
	error = pthread_attr_init(&how);
	if (error)
		return -error;
	pthread_attr_setstacksize(&how, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&guard->thread, &how, run_thread, guard);
	/* The program's own thread-local variables are taken from the stack, too. */
	if (error == EINVAL)
		error = pthread_create(&guard->thread, NULL, run_thread, guard);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&how);
	guard->has_thread = !error;
	return -error;
}

void vmirq_guard_init(struct fd_guard *guard)
{
	*guard = (struct fd_guard){ .state = AWAKE };
	pthread_mutex_init(&guard->mutex, NULL);
}

void vmirq_guard_fini(struct fd_guard *guard)
{
	atomic_exchange(&guard->state, ENDS);
	futex(guard, FUTEX_WAKE_PRIVATE, 1, NULL);
	if (guard->has_thread)
		no_cancel_join(guard->thread);
	pthread_mutex_destroy(&guard->mutex);
}

/* To stat() an eventfd is of no type. A pipe's end, say, may be written but not read. */
static int check_type(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_mode & S_IFMT ? -EINVAL : 0;
}

int vmirq_guard_add(struct fd_guard *guard, int fd, struct guarded_fd **out)
{
	int error = check_type(fd);
	struct guarded_fd *g;

	if (error)
		return error;
	g = aligned_alloc(CACHE_LINE, sizeof(*g));
	if (!g)
		return -ENOMEM;
	*g = (struct guarded_fd){ .guard = guard, .fd = fd };
	pthread_mutex_lock(&guard->mutex);
	error = start_thread(guard);
	if (!error) {
		g->next = guard->list;
		g->link = &guard->list;
		if (g->next)
			g->next->link = &g->next;
		guard->list = g;
	}
	pthread_mutex_unlock(&guard->mutex);
	if (error)
		free(g);
	else
		*out = g;
	return error;
}

void vmirq_guard_remove(struct guarded_fd *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->guard->mutex);
	*g->link = g->next;
	if (g->next)
		g->next->link = g->link;
	pthread_mutex_unlock(&g->guard->mutex);
	no_cancel_close(g->fd);
	free(g);
}
