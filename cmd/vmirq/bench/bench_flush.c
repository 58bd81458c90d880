// SPDX-License-Identifier: MIT
#include "bench_flush.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int bench_flush_open(struct bench_flush *f, int vm, uint32_t first, uint32_t gsis)
{
	*f = (struct bench_flush){ .vm = vm, .first = first, .gsis = gsis };
	f->table = calloc(1, sizeof(*f->table) + gsis * sizeof(f->table->entries[0]));
	f->next = calloc(gsis, sizeof(*f->next));
	memset(f->bucket, 0xff, sizeof(f->bucket));
	return f->table && f->next ? 0 : -ENOMEM;
}

void bench_flush_close(struct bench_flush *f)
{
	free(f->table);
	free(f->next);
	*f = (struct bench_flush){ 0 };
}

static int32_t find(const struct bench_flush *f, const struct kvm_msi *msi)
{
	int32_t at = f->bucket[msi->data & 0xff];

	for (; at >= 0; at = f->next[at]) {
		const struct kvm_irq_routing_msi *route = &f->table->entries[at].u.msi;

		if (route->address_lo == msi->address_lo && route->address_hi == msi->address_hi &&
		    route->data == msi->data)
			break;
	}
	return at;
}

/* Routes only ever go all at once, so the lowest free GSI is the next. */
static int32_t add(struct bench_flush *f, const struct kvm_msi *msi)
{
	int32_t at;

	if (f->table->nr == f->gsis) {
		f->table->nr = 0;
		memset(f->bucket, 0xff, sizeof(f->bucket));
		if (ioctl(f->vm, KVM_SET_GSI_ROUTING, f->table) < 0)
			return -1;
	}
	at = (int32_t)f->table->nr++;
	f->table->entries[at] = (struct kvm_irq_routing_entry){
		.gsi = f->first + (uint32_t)at,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi.address_lo = msi->address_lo,
		.u.msi.address_hi = msi->address_hi,
		.u.msi.data = msi->data,
	};
	f->next[at] = f->bucket[msi->data & 0xff];
	f->bucket[msi->data & 0xff] = at;
	return ioctl(f->vm, KVM_SET_GSI_ROUTING, f->table) < 0 ? -1 : at;
}

int bench_flush_send(struct bench_flush *f, const struct kvm_msi *msi)
{
	struct kvm_irq_level line = { .level = 1 };
	int32_t at = find(f, msi);

	if (at < 0)
		at = add(f, msi);
	if (at < 0)
		return errno ? -errno : -EIO;
	line.irq = f->first + (uint32_t)at;
	return ioctl(f->vm, KVM_IRQ_LINE_STATUS, &line) < 0 ? -errno : 0;
}
