/* SPDX-License-Identifier: MIT */
#include "irqfd/resample.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/no_cancel.h"
#include "base/reader.h"
#include "base/vm.h"
#include "irqfd/eventfd.h"
#include "line/line.h"

/* All level irqfds of one GSI. */
struct resampler {
	struct resampler *next;
	struct vmirq_vm *vm;
	uint32_t gsi;
	struct vmirq_notifier *ack, *stands;
	pthread_mutex_t mutex; /* of the list */
	struct resample *list;
};

static void lower_and_signal(struct resampler *r)
{
	vmirq_line_set_any(r->vm, r->gsi, SOURCE_RESAMPLE, false, NULL);
	pthread_mutex_lock(&r->mutex);
	for (struct resample *one = r->list; one; one = one->next) {
		if (one->fn)
			one->fn(one->opaque);
		else
			vmirq_guard_ring(one->guarded);
	}
	pthread_mutex_unlock(&r->mutex);
}

static void acked(void *opaque, uint32_t gsi, uint32_t value)
{
	(void)gsi;
	(void)value;
	lower_and_signal(opaque);
}

/* A guest that masks, ends the interrupt and unmasks later: while it was masked its device may have
 * asked again and changed its mind. */
static void stands(void *opaque, uint32_t gsi, uint32_t value)
{
	struct resampler *r = opaque;

	(void)gsi;
	(void)value;
	if (vmirq_line_asserted_by(r->vm, r->gsi, SOURCE_RESAMPLE))
		lower_and_signal(r);
}

static void end_resampler(struct resampler *r)
{
	vmirq_notifier_remove(r->ack);
	vmirq_notifier_remove(r->stands);
	pthread_mutex_destroy(&r->mutex);
	free(r);
}

static int make_resampler(struct vmirq_vm *vm, uint32_t gsi, struct resampler **out)
{
	struct vmirq_notifier_config config = {
		.size = sizeof(config), .gsi = gsi, .notice = VMIRQ_NOTICE_ACK, .fn = acked
	};
	struct resampler *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return -ENOMEM;
	r->vm = vm;
	r->gsi = gsi;
	pthread_mutex_init(&r->mutex, NULL);
	config.opaque = r;
	error = vmirq_notifier_add_any(vm, &config, &r->ack);
	config.notice = NOTICE_STANDS;
	config.fn = stands;
	if (!error)
		error = vmirq_notifier_add_any(vm, &config, &r->stands);
	if (error)
		end_resampler(r);
	else
		*out = r;
	return error;
}

/* The resample_mutex is held. */
static int find_resampler(struct irqfd_table *table, uint32_t gsi, struct resampler **out)
{
	int error;

	for (struct resampler *r = table->resamplers; r; r = r->next)
		if (r->gsi == gsi) {
			*out = r;
			return 0;
		}
	error = make_resampler(table->vm, gsi, out);
	if (!error) {
		(*out)->next = table->resamplers;
		table->resamplers = *out;
	}
	return error;
}

static int join_resampler(struct vmirq_irqfd *irqfd, struct resample *one)
{
	struct irqfd_table *table = irqfd->table;
	int error;

	/* Who holds it may wait for this section. */
	if (reader_inside())
		return -EDEADLK;
	pthread_mutex_lock(&table->resample_mutex);
	error = find_resampler(table, irqfd->slot->gsi, &one->resampler);
	if (!error) {
		pthread_mutex_lock(&one->resampler->mutex);
		one->next = one->resampler->list;
		one->resampler->list = one;
		pthread_mutex_unlock(&one->resampler->mutex);
	}
	pthread_mutex_unlock(&table->resample_mutex);
	return error;
}

static int duplicate(int fd, int *own)
{
	*own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *own < 0 ? -errno : 0;
}

/* Our duplicate, known to be an eventfd. */
static int adopt(int fd, int *own)
{
	uint64_t token;
	int error = duplicate(fd, own);

	if (!error)
		error = vmirq_eventfd_token(*own, &token);
	/* Without /proc it is taken at its word. */
	return error == -ENOSYS ? 0 : error;
}

/* What is written here: to tell the device; or, where the kernel does that, to raise its irqfd. */
static int start_guard(struct resample *one, bool by_kernel)
{
	int fd = one->fd, error = 0;

	if (by_kernel)
		error = duplicate(one->irqfd->source->fd, &fd);
	else
		one->fd = -1;
	if (!error)
		error = vmirq_guard_add(one->irqfd->table->vm->guard, fd, &one->guarded);
	if (error && fd >= 0)
		no_cancel_close(fd);
	return error;
}

static void end(struct resample *one)
{
	vmirq_guard_remove(one->guarded);
	if (one->fd >= 0)
		no_cancel_close(one->fd);
	free(one);
}

int vmirq_resample_join(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	bool by_kernel = vmirq_line_in_kernel(irqfd->table->vm);
	struct resample *one = calloc(1, sizeof(*one));
	int error = 0;

	if (!one)
		return -ENOMEM;
	one->irqfd = irqfd;
	one->fd = -1;
	one->fn = config->resample;
	one->opaque = config->resample_opaque;
	if (!one->fn)
		error = adopt(config->resamplefd, &one->fd);
	if (!error && !one->fn)
		error = start_guard(one, by_kernel);
	if (!error && !by_kernel)
		error = join_resampler(irqfd, one);
	if (error)
		end(one);
	else
		irqfd->resample = one;
	return error;
}

/* The resample_mutex is held. True: it was the last. */
static bool leave_resampler(struct irqfd_table *table, struct resample *one)
{
	struct resampler *r = one->resampler, **at = &table->resamplers;
	struct resample **in = &r->list;

	pthread_mutex_lock(&r->mutex);
	while (*in != one)
		in = &(*in)->next;
	*in = one->next;
	pthread_mutex_unlock(&r->mutex);
	if (r->list)
		return false;
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	return true;
}

void vmirq_resample_leave(struct vmirq_irqfd *irqfd)
{
	struct irqfd_table *table = irqfd->table;
	struct resample *one = irqfd->resample;
	struct resampler *r;

	if (!one)
		return;
	r = one->resampler;
	if (r) {
		/* Until the line is down nobody else may join: it would be his that is lowered. */
		pthread_mutex_lock(&table->resample_mutex);
		if (leave_resampler(table, one)) {
			vmirq_line_set_any(r->vm, r->gsi, SOURCE_RESAMPLE, false, NULL);
			end_resampler(r);
		}
		pthread_mutex_unlock(&table->resample_mutex);
	}
	end(one);
	irqfd->resample = NULL;
}
