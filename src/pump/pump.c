/* SPDX-License-Identifier: MIT */
#include "pump/pump.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/no_cancel.h"
#include "base/reader.h"

#define BLOCK_ENTRIES	      64u
#define MAX_BLOCKS_OF_ENTRIES 16384u /* a million eventfds */
#define DISPATCH_AT_MOST      64
/* A record that ends the thread. */
#define RECORD_STOP UINT64_MAX

struct pump_entry {
	/* Odd while the entry is used: a record's generation must match. */
	_Atomic uint32_t generation;
	int fd;
	pump_ready ready;
	void *opaque;
	uint32_t next_free; /* plus one */
};

struct vmirq_pump {
	int epoll;
	int stop; /* eventfd that ends the thread */
	_Atomic uint32_t users;
	pthread_mutex_t mutex; /* of all below; taken last */
	uint32_t entries;
	uint32_t free; /* plus one */
	pthread_t thread;
	enum { NO_THREAD, THREAD_RUNS, THREAD_ENDS } thread_state;
	struct pump_entry *_Atomic block[MAX_BLOCKS_OF_ENTRIES];
};

static struct pump_entry *entry_at(struct vmirq_pump *pump, uint32_t index)
{
	/* Acquire: pairs with the release that published the block. */
	struct pump_entry *block =
		atomic_load_explicit(&pump->block[index / BLOCK_ENTRIES], memory_order_acquire);

	return &block[index % BLOCK_ENTRIES];
}

int vmirq_pump_create(struct vmirq_pump **out)
{
	struct epoll_event stop = { .events = EPOLLIN, .data.u64 = RECORD_STOP };
	struct vmirq_pump *pump;
	int error;

	if (!out)
		return -EINVAL;
	pump = calloc(1, sizeof(*pump));
	if (!pump)
		return -ENOMEM;
	pump->epoll = epoll_create1(EPOLL_CLOEXEC);
	pump->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pump->epoll < 0 || pump->stop < 0 ||
	    epoll_ctl(pump->epoll, EPOLL_CTL_ADD, pump->stop, &stop) < 0) {
		error = -errno;
		if (pump->epoll >= 0)
			no_cancel_close(pump->epoll);
		if (pump->stop >= 0)
			no_cancel_close(pump->stop);
		free(pump);
		return error;
	}
	pthread_mutex_init(&pump->mutex, NULL);
	*out = pump;
	return 0;
}

int vmirq_pump_destroy(struct vmirq_pump *pump)
{
	int error;

	if (!pump)
		return 0;
	if (atomic_load_explicit(&pump->users, memory_order_acquire))
		return -EBUSY;
	error = vmirq_pump_stop(pump);
	if (error && error != -EINVAL)
		return error;
	no_cancel_close(pump->epoll);
	no_cancel_close(pump->stop);
	for (uint32_t i = 0; i < MAX_BLOCKS_OF_ENTRIES && pump->block[i]; i++)
		free(pump->block[i]);
	pthread_mutex_destroy(&pump->mutex);
	free(pump);
	return 0;
}

uint64_t vmirq_fd_drain(int fd)
{
	uint64_t n = 0;
	struct iovec to = { .iov_base = &n, .iov_len = sizeof(n) };

	/* By syscall(): preadv2() is a cancellation point, and this is a read section. The offset -1 is
	 * in two halves. */
	return syscall(SYS_preadv2, fd, &to, 1L, -1L, -1L, RWF_NOWAIT) == (long)sizeof(n) ? n : 0;
}

void vmirq_fd_ring(int fd)
{
	const uint64_t one = 1;
	int saved = errno;

	no_cancel_write(fd, &one, sizeof(one));
	errno = saved;
}

int vmirq_pump_fd(const struct vmirq_pump *pump)
{
	return pump->epoll;
}

/* A free entry; the mutex is held. */
static int take_entry(struct vmirq_pump *pump, uint32_t *index)
{
	if (pump->free) {
		*index = pump->free - 1;
		pump->free = entry_at(pump, *index)->next_free;
		return 0;
	}
	if (pump->entries % BLOCK_ENTRIES == 0) {
		struct pump_entry *block;

		if (pump->entries / BLOCK_ENTRIES == MAX_BLOCKS_OF_ENTRIES)
			return -ENOSPC;
		block = calloc(BLOCK_ENTRIES, sizeof(*block));
		if (!block)
			return -ENOMEM;
		/* Release: pairs with the acquire in entry_at(). */
		atomic_store_explicit(&pump->block[pump->entries / BLOCK_ENTRIES], block,
				      memory_order_release);
	}
	*index = pump->entries++;
	return 0;
}

int vmirq_pump_add(struct vmirq_pump *pump, int fd, pump_ready ready, void *opaque, uint32_t *index)
{
	struct pump_entry *entry;
	/* Edge-triggered: a write is one event, also of a semaphore that keeps a count. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	uint32_t generation;
	int error;

	pthread_mutex_lock(&pump->mutex);
	error = take_entry(pump, index);
	if (error) {
		pthread_mutex_unlock(&pump->mutex);
		return error;
	}
	entry = entry_at(pump, *index);
	entry->fd = fd;
	entry->ready = ready;
	entry->opaque = opaque;
	generation = atomic_load_explicit(&entry->generation, memory_order_relaxed) + 1;
	/* Release: who finds this generation finds the rest; pairs with the acquire in run_entry(). */
	atomic_store_explicit(&entry->generation, generation, memory_order_release);
	event.data.u64 = (uint64_t)generation << 32 | *index;
	if (epoll_ctl(pump->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		error = -errno;
		atomic_store_explicit(&entry->generation, generation + 1, memory_order_relaxed);
		entry->next_free = pump->free;
		pump->free = *index + 1;
	} else {
		atomic_fetch_add_explicit(&pump->users, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&pump->mutex);
	return error;
}

void vmirq_pump_remove(struct vmirq_pump *pump, uint32_t index)
{
	struct pump_entry *entry = entry_at(pump, index);

	pthread_mutex_lock(&pump->mutex);
	epoll_ctl(pump->epoll, EPOLL_CTL_DEL, entry->fd, NULL);
	atomic_fetch_add(&entry->generation, 1);
	pthread_mutex_unlock(&pump->mutex);
	/* Sections that saw the old generation end here. */
	vmirq_reader_wait();
	pthread_mutex_lock(&pump->mutex);
	entry->next_free = pump->free;
	pump->free = index + 1;
	pthread_mutex_unlock(&pump->mutex);
	/* Release: pairs with the acquire in vmirq_pump_destroy(). */
	atomic_fetch_sub_explicit(&pump->users, 1, memory_order_release);
}

void vmirq_pump_set_events(struct vmirq_pump *pump, uint32_t index, uint32_t events)
{
	struct pump_entry *entry = entry_at(pump, index);
	struct epoll_event event = { .events = events };
	uint64_t generation = atomic_load_explicit(&entry->generation, memory_order_relaxed);

	event.data.u64 = generation << 32 | index;
	epoll_ctl(pump->epoll, EPOLL_CTL_MOD, entry->fd, &event);
}

static bool run_entry(struct vmirq_pump *pump, uint64_t record)
{
	struct pump_entry *entry = entry_at(pump, (uint32_t)record);
	struct reader *section = reader_enter();
	bool found = false;

	/* Acquire: pairs with the release in vmirq_pump_add(). */
	if (atomic_load_explicit(&entry->generation, memory_order_acquire) ==
	    (uint32_t)(record >> 32))
		found = entry->ready(entry->opaque);
	reader_exit(section);
	return found;
}

/* How many had something; *stop: the thread's stop record was among them. */
static int dispatch(struct vmirq_pump *pump, int timeout_ms, bool *stop)
{
	struct epoll_event events[DISPATCH_AT_MOST];
	int n, found = 0;

	*stop = false;
	n = epoll_wait(pump->epoll, events, DISPATCH_AT_MOST, timeout_ms);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (events[i].data.u64 == RECORD_STOP)
			*stop = true;
		else
			found += run_entry(pump, events[i].data.u64);
	}
	return found;
}

int vmirq_pump_dispatch(struct vmirq_pump *pump, int timeout_ms)
{
	bool stop;

	return pump ? dispatch(pump, timeout_ms, &stop) : -EINVAL;
}

static void *run_thread(void *argument)
{
	struct vmirq_pump *pump = argument;
	bool stop;
	int n;

	do
		n = dispatch(pump, -1, &stop);
	while (!stop && (n >= 0 || n == -EINTR));
	return NULL;
}

int vmirq_pump_start(struct vmirq_pump *pump)
{
	sigset_t all, old;
	int error = 0;

	if (!pump)
		return -EINVAL;
	pthread_mutex_lock(&pump->mutex);
	if (pump->thread_state != NO_THREAD) {
		error = -EALREADY;
	} else {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		error = -pthread_create(&pump->thread, NULL, run_thread, pump);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		if (!error)
			pump->thread_state = THREAD_RUNS;
	}
	pthread_mutex_unlock(&pump->mutex);
	return error;
}

int vmirq_pump_stop(struct vmirq_pump *pump)
{
	uint64_t one = 1;
	int error = 0;

	if (!pump)
		return -EINVAL;
	pthread_mutex_lock(&pump->mutex);
	if (pump->thread_state != THREAD_RUNS)
		error = -EINVAL;
	else if (pthread_equal(pump->thread, pthread_self()))
		error = -EDEADLK;
	else
		pump->thread_state = THREAD_ENDS;
	pthread_mutex_unlock(&pump->mutex);
	if (error)
		return error;
	if (no_cancel_write(pump->stop, &one, sizeof(one)) < 0)
		return -errno;
	no_cancel_join(pump->thread);
	/* The record stands until it is read, so a VMM's own dispatch would spin on it. */
	vmirq_fd_drain(pump->stop);
	pthread_mutex_lock(&pump->mutex);
	pump->thread_state = NO_THREAD;
	pthread_mutex_unlock(&pump->mutex);
	return 0;
}
