/* SPDX-License-Identifier: MIT */
/* A KVM VM's own irqchip: its lines, routes and irqfds; its messages are in kvm/send.c. Nothing here has a lock of
 * its own but the routing table (kvm/table.h), which a message holds where the kernel has no
 * KVM_SIGNAL_MSI. */
#include "kvm/irqchip.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <vmirq/vm.h>

#include "kvm/send.h"
#include "kvm/table.h"

static struct kernel_irqchip *of(struct irqchip *irqchip)
{
	return (struct kernel_irqchip *)irqchip;
}

static int has_cap(int vm_fd, unsigned long cap)
{
	int n = ioctl(vm_fd, KVM_CHECK_EXTENSION, cap);

	return n > 0 ? n : 0;
}

static int set_line(struct irqchip *irqchip, uint32_t gsi, bool level, int *status)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	if (ioctl(of(irqchip)->vm_fd, KVM_IRQ_LINE_STATUS, &line) < 0)
		return -errno;
	*status = line.status;
	return 0;
}

static int set_routing(void *opaque, const struct kvm_irq_routing *table)
{
	struct kernel_irqchip *k = opaque;

	return ioctl(k->vm_fd, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
}

/* A pin of the kernel's chips is reached by a GSI of the kernel's only. */
static bool out_of_reach(const struct kernel_irqchip *k, const struct kernel_route *route)
{
	return route->gsi >= k->limit && route->has.type == KVM_IRQ_ROUTING_IRQCHIP;
}

static int commit(struct irqchip *irqchip, const struct kernel_route *changes, size_t n)
{
	struct kernel_irqchip *k = of(irqchip);

	for (size_t i = 0; i < n; i++)
		if (out_of_reach(k, &changes[i]))
			return -ENOSPC;
	return vmirq_kernel_table_commit(k->table, changes, n);
}

static int commit_pins(struct irqchip *irqchip, const struct kernel_route *changes, size_t n)
{
	return vmirq_kernel_table_commit_pins(of(irqchip)->table, changes, n);
}

static int use(struct irqchip *irqchip, const struct kernel_route *route)
{
	int error = vmirq_kernel_table_use(of(irqchip)->table, route);

	return error == -EINVAL ? -ENOSPC : error;
}

static size_t use_as_is(struct irqchip *irqchip, const struct kvm_irqfd *irqfds, size_t n)
{
	return vmirq_kernel_table_use_as_is(of(irqchip)->table, irqfds, n);
}

static void unuse(struct irqchip *irqchip, uint32_t gsi)
{
	vmirq_kernel_table_unuse(of(irqchip)->table, gsi);
}

static void destroy(struct irqchip *irqchip)
{
	if (!irqchip)
		return;
	vmirq_kernel_table_destroy(of(irqchip)->table);
	free(irqchip);
}

#define OPS(how)                                                                                   \
	{                                                                                          \
		.send = (how), .set_line = set_line, .commit = commit, .commit_pins = commit_pins, \
		.use = use, .use_as_is = use_as_is, .unuse = unuse, .destroy = destroy,            \
	}

static const struct irqchip_ops ops = OPS(vmirq_kernel_send),
				ops_by_route = OPS(vmirq_kernel_send_by_route);

static int make_full(const struct kernel_irqchip_config *config)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_reinject_control reinject = { .pit_reinject = !config->pit_discard };

	if (ioctl(config->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0 && errno != EEXIST)
		return -errno;
	if (!config->pit)
		return 0;
	if (ioctl(config->vm_fd, KVM_CREATE_PIT2, &pit) < 0 && errno != EEXIST)
		return -errno;
	return ioctl(config->vm_fd, KVM_REINJECT_CONTROL, &reinject) < 0 ? -errno : 0;
}

static int make_split(const struct kernel_irqchip_config *config)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP,
					.args = { config->ioapic_pins } };

	return ioctl(config->vm_fd, KVM_ENABLE_CAP, &split) < 0 && errno != EEXIST ? -errno : 0;
}

static int use_32bit_ids(int vm_fd)
{
	struct kvm_enable_cap ids = { .cap = KVM_CAP_X2APIC_API,
				      .args = { KVM_X2APIC_API_USE_32BIT_IDS } };

	return ioctl(vm_fd, KVM_ENABLE_CAP, &ids) < 0 ? -errno : 0;
}

static int make(struct kernel_irqchip *k, const struct kernel_irqchip_config *config)
{
	int fd = config->vm_fd, gsis = has_cap(fd, KVM_CAP_IRQ_ROUTING), error;
	struct kvm_irq_routing none = { .nr = 0 };

	if (!has_cap(fd, config->full ? KVM_CAP_IRQCHIP : KVM_CAP_SPLIT_IRQCHIP) || !gsis)
		return -EOPNOTSUPP;
	error = config->full ? make_full(config) : make_split(config);
	if (!error && config->ids_32bit)
		error = use_32bit_ids(fd);
	if (error)
		return error;
	k->vm_fd = fd;
	k->limit = config->limit && config->limit < (uint32_t)gsis ? config->limit : (uint32_t)gsis;
	k->irqchip.signals_msi = has_cap(fd, KVM_CAP_SIGNAL_MSI) &&
				 !(config->without & VMIRQ_CAP_SIGNAL_MSI);
	k->irqchip.ops = k->irqchip.signals_msi ? &ops : &ops_by_route;
	k->irqchip.full = config->full;
	k->irqchip.takes_eventfds = has_cap(fd, KVM_CAP_IRQFD) &&
				    !(config->without & VMIRQ_CAP_IRQFD);
	k->irqchip.resamples = config->full && k->irqchip.takes_eventfds &&
			       has_cap(fd, KVM_CAP_IRQFD_RESAMPLE) &&
			       !(config->without & VMIRQ_CAP_IRQFD_RESAMPLE);
	error = vmirq_kernel_table_create(
		&(struct kernel_table_config){ .limit = k->limit,
					       .reserved = config->full ? 0 : config->ioapic_pins,
					       .entries = (uint32_t)gsis,
					       .set = set_routing,
					       .opaque = k },
		&k->table);
	/* The full irqchip comes with routes of its own choice. */
	return error ? error : set_routing(k, &none);
}

int vmirq_kernel_irqchip_create(const struct kernel_irqchip_config *config, struct irqchip **out)
{
	struct kernel_irqchip *k = calloc(1, sizeof(*k));
	int error;

	if (!k)
		return -ENOMEM;
	error = make(k, config);
	if (error)
		destroy(&k->irqchip);
	else
		*out = &k->irqchip;
	return error;
}
