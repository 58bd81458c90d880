// SPDX-License-Identifier: MIT
/* The interrupts themselves: the line, messages, and the thread that is the kernel's unmask by eventfd. */
#include "vfio_stand_in.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

void stand_in_signal(struct stand_in *s, int fd)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	const uint64_t one = 1;

	if (fd < 0)
		return;
	s->signalled++;
	/* The kernel's never blocks: a full one stays full. */
	if (poll(&room, 1, 0) == 1 && write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

void stand_in_raise_locked(struct stand_in *s)
{
	if (!s->asserted || s->type != VFIO_PCI_INTX_IRQ_INDEX || s->masked || s->config_disabled)
		return;
	s->masked = true;
	stand_in_signal(s, s->trigger[VFIO_PCI_INTX_IRQ_INDEX][0]);
}

void stand_in_mask_locked(struct stand_in *s)
{
	s->masked = true;
}

void stand_in_unmask_locked(struct stand_in *s)
{
	if (s->type != VFIO_PCI_INTX_IRQ_INDEX || !s->masked)
		return;
	s->masked = false;
	stand_in_raise_locked(s);
}

void stand_in_line(struct stand_in *s, bool asserted)
{
	pthread_mutex_lock(&s->irqlock);
	s->asserted = asserted;
	stand_in_raise_locked(s);
	pthread_mutex_unlock(&s->irqlock);
}

void stand_in_disable_intx(struct stand_in *s, bool disabled)
{
	pthread_mutex_lock(&s->irqlock);
	s->config_disabled = disabled;
	stand_in_raise_locked(s);
	pthread_mutex_unlock(&s->irqlock);
}

void stand_in_message(struct stand_in *s, uint32_t index, uint32_t vector)
{
	bool event = index >= VFIO_PCI_ERR_IRQ_INDEX;

	pthread_mutex_lock(&s->irqlock);
	if ((event || s->type == (int)index) && s->trigger[index][vector] >= 0)
		stand_in_signal(s, s->trigger[index][vector]);
	else if (s->type == (int)index && index == VFIO_PCI_MSIX_IRQ_INDEX)
		s->pending[vector] = true;
	else
		s->lost++;
	pthread_mutex_unlock(&s->irqlock);
}

static bool take(int fd)
{
	uint64_t n;
	struct iovec iov = { .iov_base = &n, .iov_len = sizeof(n) };

	return fd >= 0 && preadv2(fd, &iov, 1, -1, RWF_NOWAIT) == sizeof(n);
}

static void *watch_unmask(void *opaque)
{
	struct stand_in *s = opaque;

	pthread_mutex_lock(&s->irqlock);
	while (!s->stop) {
		struct pollfd pfd[2] = { { .fd = s->wake, .events = POLLIN },
					 { .fd = s->unmask, .events = POLLIN } };

		s->seen = s->wanted;
		pthread_cond_broadcast(&s->changed);
		pthread_mutex_unlock(&s->irqlock);
		poll(pfd, 2, -1);
		pthread_mutex_lock(&s->irqlock);
		take(s->wake);
		if (s->seen == s->wanted && take(s->unmask)) {
			s->unmasks++;
			stand_in_unmask_locked(s);
			pthread_cond_broadcast(&s->changed);
		}
	}
	pthread_mutex_unlock(&s->irqlock);
	return NULL;
}

static void wake(struct stand_in *s)
{
	const uint64_t one = 1;

	if (write(s->wake, &one, sizeof(one)) != sizeof(one))
		abort();
}

void stand_in_watch(struct stand_in *s, int fd)
{
	int old;

	pthread_mutex_lock(&s->irqlock);
	old = s->unmask;
	s->unmask = fd;
	s->wanted++;
	wake(s);
	while (s->seen != s->wanted)
		pthread_cond_wait(&s->changed, &s->irqlock);
	pthread_mutex_unlock(&s->irqlock);
	if (old >= 0)
		close(old);
}

bool stand_in_unmasked(struct stand_in *s, uint64_t unmasks)
{
	struct timespec end;
	int ret = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 10;
	pthread_mutex_lock(&s->irqlock);
	while (s->unmasks < unmasks && !ret)
		ret = pthread_cond_timedwait(&s->changed, &s->irqlock, &end);
	pthread_mutex_unlock(&s->irqlock);
	return !ret;
}

uint64_t stand_in_signalled(struct stand_in *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->irqlock);
	n = s->signalled;
	pthread_mutex_unlock(&s->irqlock);
	return n;
}

bool stand_in_is_masked(struct stand_in *s)
{
	bool masked;

	pthread_mutex_lock(&s->irqlock);
	masked = s->masked;
	pthread_mutex_unlock(&s->irqlock);
	return masked;
}

void stand_in_start(struct stand_in *s, uint32_t msi, uint32_t msix)
{
	const uint32_t count[VFIO_PCI_NUM_IRQS] = { 1, msi, msix, 1, 1 };
	const uint32_t room[VFIO_PCI_NUM_IRQS] = { 1, 32, 2048, 1, 1 };
	int *slot = s->slots;

	memset(s, 0, sizeof(*s));
	memcpy(s->count, count, sizeof(count));
	memset(s->slots, -1, sizeof(s->slots));
	for (int i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		s->trigger[i] = slot;
		slot += room[i];
	}
	s->type = s->unmask = -1;
	s->wake = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&s->igate, NULL);
	pthread_mutex_init(&s->irqlock, NULL);
	pthread_cond_init(&s->changed, NULL);
	if (s->wake < 0 || pthread_create(&s->thread, NULL, watch_unmask, s))
		abort();
}

void stand_in_stop(struct stand_in *s)
{
	pthread_mutex_lock(&s->irqlock);
	s->stop = true;
	wake(s);
	pthread_mutex_unlock(&s->irqlock);
	pthread_join(s->thread, NULL);
	for (int i = 0; i < STAND_IN_SLOTS; i++)
		if (s->slots[i] >= 0)
			close(s->slots[i]);
	if (s->unmask >= 0)
		close(s->unmask);
	close(s->wake);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->irqlock);
	pthread_mutex_destroy(&s->igate);
}
