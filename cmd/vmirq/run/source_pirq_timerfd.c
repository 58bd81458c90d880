// SPDX-License-Identifier: MIT
/* Timers at a rate, each a timerfd. One that expires again before it is read has its expirations merged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "run.h"
#include "source_pirq_timer.h"

#define WAIT_MS 10
#define AT_ONCE 64
/* What the rest of a run has open at most, beside one for each vCPU: the VM's, and a source's. */
#define OF_VM	  16
#define OF_SOURCE 16

static rlim_t descriptors(const struct run_options *options, uint32_t n)
{
	uint32_t sources = options->sources ? options->sources : source_kind_count;
	uint32_t timers = !options->sources;

	for (uint32_t i = 0; i < options->sources; i++)
		timers += options->source[i].kind == &source_pirq_timer;
	return (rlim_t)timers * n + options->vcpus + OF_VM + (rlim_t)sources * OF_SOURCE;
}

bool timerfds_fit(const struct run_options *options, uint32_t n, char *why, size_t size)
{
	struct rlimit limit = { .rlim_cur = 0 };
	rlim_t want = descriptors(options, n);

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= want)
		return true;
	if (limit.rlim_max >= want) {
		limit.rlim_cur = want;
		if (!setrlimit(RLIMIT_NOFILE, &limit))
			return true;
	}
	snprintf(
		why, size,
		"--rate takes a timerfd for each of %u pirqs: this run needs %llu descriptors, and "
		"may have %llu (ulimit -Hn)",
		n, (unsigned long long)want, (unsigned long long)limit.rlim_max);
	return false;
}

static int open_one(struct timers *all, uint32_t i)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

	all->fd[i] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (all->fd[i] < 0 || epoll_ctl(all->epoll, EPOLL_CTL_ADD, all->fd[i], &event))
		return source_fail(all->source, -errno, "no more than %u timers: %s", i,
				   strerror(errno));
	return 0;
}

int timerfds_open(struct timers *all)
{
	int ret = 0;

	all->fd = malloc(all->n * sizeof(*all->fd));
	if (!all->fd)
		return source_fail(all->source, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < all->n; i++)
		all->fd[i] = -1;
	all->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (all->epoll < 0)
		return source_fail(all->source, -errno, "no epoll: %s", strerror(errno));
	for (uint32_t i = 0; i < all->n && !ret; i++)
		ret = open_one(all, i);
	return ret;
}

static struct timespec timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000u),
				  .tv_nsec = (long)(ns % 1000000000u) };
}

int timerfds_start(struct timers *all)
{
	uint64_t period = 1000000000u / all->source->run->options->rate;
	uint64_t now = now_ns();

	for (uint32_t i = 0; i < all->n; i++) {
		struct itimerspec spec = {
			.it_interval = timespec(period),
			.it_value = timespec(now + period + period * i / all->n),
		};

		if (timerfd_settime(all->fd[i], TFD_TIMER_ABSTIME, &spec, NULL))
			return source_fail(all->source, -errno, "starting a timer: %s",
					   strerror(errno));
	}
	return 0;
}

/* False: the storm is over, and this is not read any more. */
static bool expired(struct timers *all, uint32_t i)
{
	uint64_t n;

	if (!timers_take_ticket(all))
		return false;
	if (read(all->fd[i], &n, sizeof(n)) != sizeof(n)) {
		atomic_fetch_add_explicit(&all->tickets, 1, memory_order_relaxed);
		return true;
	}
	all->expirations += n;
	all->merged += n - 1;
	timer_raise(&all->timer[i], now_ns());
	return true;
}

int timerfds_wait(struct timers *all)
{
	struct epoll_event events[AT_ONCE];
	int n = epoll_wait(all->epoll, events, AT_ONCE, WAIT_MS);

	if (n < 0 && errno != EINTR)
		return source_fail(all->source, -errno, "waiting for timers: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		if (!expired(all, events[i].data.u32))
			break;
	}
	return 0;
}

void timerfds_close(struct timers *all)
{
	for (uint32_t i = 0; all->fd && i < all->n; i++) {
		if (all->fd[i] >= 0)
			close(all->fd[i]);
	}
	free(all->fd);
	all->fd = NULL;
	if (all->epoll >= 0)
		close(all->epoll);
	all->epoll = -1;
}
