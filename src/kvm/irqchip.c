/* SPDX-License-Identifier: MIT */
/* A KVM VM's own irqchip: its messages, lines, routes and irqfds. Nothing here has a lock of its own but
 * the routing table (kvm/table.h), which a message holds where the kernel has no
 * KVM_SIGNAL_MSI. */
#include "kvm/irqchip.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <vmirq/vm.h>

#include "chip/deliver.h"
#include "kvm/table.h"

struct kernel_irqchip {
	struct irqchip irqchip;
	int vm_fd;
	uint32_t limit;
	struct kernel_table *table;
};

static struct kernel_irqchip *of(struct irqchip *irqchip)
{
	return (struct kernel_irqchip *)irqchip;
}

static int has_cap(int vm_fd, unsigned long cap)
{
	int n = ioctl(vm_fd, KVM_CHECK_EXTENSION, cap);

	return n > 0 ? n : 0;
}

/* The kernel says how many took it, never what was wrong: that can be seen on the message. */
static inline enum vmirq_verdict expect(const struct msi_message *msg)
{
	uint8_t mode = msi_mode(msg);

	if (!msi_is_interrupt(msg) || mode == DELIVERY_RESERVED || mode == DELIVERY_SIPI)
		return VMIRQ_BAD_MESSAGE;
	if (msi_vector(msg) < FIRST_LEGAL_VECTOR &&
	    (mode == DELIVERY_FIXED || mode == DELIVERY_LOWEST))
		return VMIRQ_BAD_VECTOR;
	return VMIRQ_DELIVERED;
}

/* Counted first, as nearly every message ends. The locked add is the section's fence, too. */
static inline void count_first(struct counts *counts, enum vmirq_verdict expected)
{
	if (counts) {
		counts_add(counts, expected, 1);
		fence_after_rmw();
	} else {
		fence_full();
	}
}

static __attribute__((noinline)) void recount(struct counts *counts, enum vmirq_verdict expected)
{
	if (counts) {
		counts_sub(counts, expected, 1);
		counts_add(counts, VMIRQ_NO_TARGET, 1);
	}
}

static inline int finish(int accepted, struct counts *counts, enum vmirq_verdict expected,
			 enum vmirq_verdict *verdict)
{
	if (unlikely(accepted <= 0)) {
		accepted = 0;
		if (expected == VMIRQ_DELIVERED) {
			recount(counts, expected);
			expected = VMIRQ_NO_TARGET;
		}
	}
	if (verdict)
		*verdict = expected;
	return accepted;
}

static inline struct msi_message message_of(const struct kvm_msi *msi)
{
	return (struct msi_message){ .address_lo = msi->address_lo,
				     .address_hi = msi->address_hi,
				     .data = msi->data };
}

/* The system call is made in this function and the next, no deeper: each return that follows one is
 * mispredicted, since the kernel uses up the processor's stack of them. */
static int send(struct irqchip *irqchip, const struct kvm_msi *msg, struct counts *counts,
		enum vmirq_verdict *verdict)
{
	struct kvm_msi msi = { .address_lo = msg->address_lo,
			       .address_hi = msg->address_hi,
			       .data = msg->data };
	const struct msi_message message = message_of(msg);
	struct reader *section = reader_enter_unfenced();
	enum vmirq_verdict expected = expect(&message);
	int accepted;

	count_first(counts, expected);
	accepted = ioctl(of(irqchip)->vm_fd, KVM_SIGNAL_MSI, &msi);
	reader_exit(section);
	return finish(accepted, counts, expected, verdict);
}

/* Where the kernel has no KVM_SIGNAL_MSI. */
static int send_by_route(struct irqchip *irqchip, const struct kvm_msi *msg, struct counts *counts,
			 enum vmirq_verdict *verdict)
{
	const struct msi_message message = message_of(msg);
	struct reader *section = reader_enter_unfenced();
	enum vmirq_verdict expected = expect(&message);
	struct kvm_irq_level line = { .level = 1 };
	struct kernel_irqchip *k = of(irqchip);
	struct reader *record = reader_record(section);
	int gsi, accepted = 0;

	vmirq_kernel_table_seek(k->table, record);
	count_first(counts, expected);
	gsi = vmirq_kernel_table_find(k->table, record, &message);
	if (likely(gsi >= 0)) {
		line.irq = (uint32_t)gsi;
		if (likely(ioctl(k->vm_fd, KVM_IRQ_LINE_STATUS, &line) >= 0))
			accepted = (int)line.status;
		vmirq_kernel_table_found(k->table, record);
	}
	reader_exit(section);
	return finish(accepted, counts, expected, verdict);
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
	return route->gsi >= k->limit && route->n &&
	       route->entry[0].type == KVM_IRQ_ROUTING_IRQCHIP;
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

static int bind(struct irqchip *irqchip, const struct kernel_route *route,
		const struct kvm_irqfd *args)
{
	struct kernel_irqchip *k = of(irqchip);
	int error = vmirq_kernel_table_use(k->table, route);

	if (error)
		return error == -EINVAL ? -ENOSPC : error;
	if (ioctl(k->vm_fd, KVM_IRQFD, args) < 0) {
		error = -errno;
		vmirq_kernel_table_unuse(k->table, route->gsi);
	}
	return error;
}

static void unbind(struct irqchip *irqchip, const struct kvm_irqfd *args)
{
	struct kernel_irqchip *k = of(irqchip);
	struct kvm_irqfd deassign = { .fd = args->fd,
				      .gsi = args->gsi,
				      .flags = KVM_IRQFD_FLAG_DEASSIGN };

	ioctl(k->vm_fd, KVM_IRQFD, &deassign);
	vmirq_kernel_table_unuse(k->table, args->gsi);
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
		.bind = bind, .unbind = unbind, .destroy = destroy,                                \
	}

static const struct irqchip_ops ops = OPS(send), ops_by_route = OPS(send_by_route);

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
