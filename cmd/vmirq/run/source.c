// SPDX-License-Identifier: MIT
#include "source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <vmirq/route.h>

#include "run.h"

/* A new kind is a new line here. */
const struct source_kind *const source_kinds[] = {
	&source_call,		&source_bypass,		&source_eventfd,   &source_msi,
	&source_vhost_user_blk, &source_vhost_user_net, &source_guest_blk, &source_e1000,
	&source_mailbox,	&source_msix,		&source_ipi,	   &source_pirq_msi,
	&source_pirq_intx,	&source_pirq_timer,
};
const uint32_t source_kind_count = sizeof(source_kinds) / sizeof(source_kinds[0]);

const struct source_kind *source_kind_find(const char *name, size_t len)
{
	for (uint32_t i = 0; i < source_kind_count; i++) {
		if (strlen(source_kinds[i]->name) == len &&
		    memcmp(source_kinds[i]->name, name, len) == 0)
			return source_kinds[i];
	}
	return NULL;
}

const char *source_path(const struct source *source, char *buf, size_t size)
{
	const struct account *a = &source->account;
	const char *path = source->path ? source->path : source->kind->path;
	size_t len = strlen(path);

	if (a->hides_raises && source->lane[0].eventfd >= 0)
		snprintf(buf, size, "the kernel's irqfd");
	else if (a->hides_vectors)
		snprintf(buf, size, "%.*skernel", (int)(len - strlen("post")), path);
	else
		snprintf(buf, size, "%s", path);
	return buf;
}

void source_add_fact(struct source *source, const char *name, uint64_t n)
{
	if (source->facts < FACTS_MAX)
		source->fact[source->facts++] = (struct source_fact){ .name = name, .n = n };
}

int source_fail(struct source *source, int error, const char *format, ...)
{
	va_list args;

	if (source->error[0])
		return error;
	va_start(args, format);
	vsnprintf(source->error, sizeof(source->error), format, args);
	va_end(args);
	return error;
}

int source_fail_device(struct source *source, int error, const char *what, const char *words)
{
	bool gone = error == -ECONNRESET || error == -EPIPE || error == -ECHILD;

	if (gone && words[0])
		return source_fail(source, error, "%s: %s", what, words);
	return source_fail(source, error, "%s: %s%s%s", what, strerror(-error),
			   words[0] ? "; " : "", words);
}

uint64_t lane_msi_address(const struct lane *lane)
{
	/* Physical destination; the VMM gives vCPU n the APIC id n (SDM vol. 3A 11.11.1). */
	return 0xfee00000u | lane->vcpu << 12;
}

int lane_bind(struct source *source, struct lane *lane, int eventfd)
{
	struct vmirq_irqfd_config config = {
		.size = sizeof(config),
		.eventfd = eventfd,
	};
	int ret = vmirq_gsi_alloc(source->run->vm, &lane->gsi);

	if (ret)
		return source_fail(source, ret, "no GSI: %s", strerror(-ret));
	config.gsi = lane->gsi;
	ret = vmirq_route_set_msi(source->run->vm, lane->gsi, lane_msi_address(lane), lane->vector);
	if (!ret)
		ret = vmirq_irqfd_assign(source->run->vm, &config, &lane->irqfd);
	if (ret) {
		vmirq_gsi_free(source->run->vm, lane->gsi);
		return source_fail(source, ret, "GSI %u cannot be bound: %s", lane->gsi,
				   strerror(-ret));
	}
	lane->eventfd = eventfd;
	return 0;
}

int lane_bind_again(struct source *source, struct lane *lane)
{
	struct vmirq_irqfd_config config = {
		.size = sizeof(config),
		.gsi = lane->gsi,
		.eventfd = lane->eventfd,
	};
	int ret = vmirq_irqfd_assign(source->run->vm, &config, &lane->irqfd);

	if (ret) {
		lane->irqfd = NULL;
		return source_fail(source, ret, "GSI %u cannot be bound again: %s", lane->gsi,
				   strerror(-ret));
	}
	return 0;
}

int lane_bind_level(struct source *source, struct lane *lane, uint32_t gsi, int eventfd,
		    int resamplefd)
{
	const struct vmirq_irqfd_config config = {
		.size = sizeof(config),
		.gsi = gsi,
		.flags = VMIRQ_IRQFD_RESAMPLE,
		.eventfd = eventfd,
		.resamplefd = resamplefd,
	};
	int ret = vmirq_irqfd_assign(source->run->vm, &config, &lane->irqfd);

	if (ret)
		return source_fail(source, ret, "GSI %u cannot be bound as a level: %s", gsi,
				   strerror(-ret));
	lane->gsi = gsi;
	lane->pin = true;
	lane->eventfd = eventfd;
	return 0;
}

void lane_counts(const struct source *source, const struct lane *lane,
		 struct vmirq_route_counts *counts)
{
	if (source->kind->counts)
		source->kind->counts(source, lane, counts);
	else if (lane->pin)
		vmirq_irqfd_counts(lane->irqfd, counts);
	else
		vmirq_gsi_counts(source->run->vm, lane->gsi, counts);
}

bool lane_is_counted(const struct source *source, const struct lane *lane)
{
	return source->kind->counts || lane->irqfd;
}

void lane_unbind(struct source *source, struct lane *lane)
{
	if (!lane->irqfd)
		return;
	vmirq_irqfd_deassign(lane->irqfd);
	if (!lane->pin)
		vmirq_gsi_free(source->run->vm, lane->gsi);
	lane->irqfd = NULL;
}
