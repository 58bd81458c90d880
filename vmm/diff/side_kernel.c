// SPDX-License-Identifier: MIT
/* The kernel's own irqchip, full or split. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "side.h"

/* Past any table. */
#define UNROUTED_GSI 5000

static int call(int fd, unsigned long request, const void *argument)
{
	int ret = ioctl(fd, request, argument);

	return ret < 0 ? -errno : ret;
}

static int enable_cap(const struct side *side, uint32_t cap, uint64_t argument)
{
	struct kvm_enable_cap enable = { .cap = cap, .args[0] = argument };

	return call(side->vm_fd, KVM_ENABLE_CAP, &enable);
}

static int prepare(struct side *side)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	int error = 0;

	side->takes_smi = ioctl(side->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM) > 0;
	if (side->config.ids_32bit)
		error = enable_cap(side, KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS);
	if (error)
		return error;
	if (side->config.kind == SIDE_SPLIT)
		return enable_cap(side, KVM_CAP_SPLIT_IRQCHIP, 24);
	error = call(side->vm_fd, KVM_CREATE_IRQCHIP, NULL);
	return error ? error : call(side->vm_fd, KVM_CREATE_PIT2, &pit);
}

static int set_runnable(const struct side_vcpu *v)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	return call(v->fd, KVM_SET_MP_STATE, &state);
}

static int vcpu_open(struct side *side, struct side_vcpu *v, uint32_t index)
{
	(void)side;
	(void)index;
	return set_runnable(v);
}

static void close_side(struct side *side)
{
	(void)side;
}

static int enter(struct side *side, struct side_vcpu *v)
{
	(void)side;
	return call(v->fd, KVM_RUN, NULL);
}

static uint64_t apic_base(const struct side_vcpu *v)
{
	struct kvm_sregs sregs = { 0 };

	return call(v->fd, KVM_GET_SREGS, &sregs) ? 0 : sregs.apic_base;
}

/* INIT leaves its mark in the instruction pointer; the puppet's is never that high. */
static bool was_init(const struct side_vcpu *v)
{
	struct kvm_sregs sregs;

	return !call(v->fd, KVM_GET_SREGS, &sregs) && !(sregs.cr0 & 1);
}

static int take_events(struct side *side, struct side_vcpu *v, struct side_events *events)
{
	struct kvm_mp_state state = { 0 };
	struct kvm_vcpu_events pending = { 0 };
	int error;

	memset(events, 0, sizeof(*events));
	/* It takes INIT and SIPI on the way. */
	error = call(v->fd, KVM_GET_MP_STATE, &state);
	if (!error)
		error = call(v->fd, KVM_GET_VCPU_EVENTS, &pending);
	if (error)
		return error;
	events->nmi = pending.nmi.pending;
	events->smi = pending.smi.pending;
	events->waits_for_sipi = state.mp_state == KVM_MP_STATE_INIT_RECEIVED ||
				 state.mp_state == KVM_MP_STATE_UNINITIALIZED;
	events->init = was_init(v);
	if (events->nmi || events->smi) {
		pending.nmi.pending = 0;
		pending.smi.pending = 0;
		pending.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SMM;
		error = call(v->fd, KVM_SET_VCPU_EVENTS, &pending);
	}
	if (!error && state.mp_state != KVM_MP_STATE_RUNNABLE)
		error = set_runnable(v);
	if (!error && events->init)
		error = side_set_registers(side, v);
	return error;
}

static int get_lapic(struct side_vcpu *v, struct kvm_lapic_state *state)
{
	return call(v->fd, KVM_GET_LAPIC, state);
}

static int set_lapic(struct side_vcpu *v, const struct kvm_lapic_state *state)
{
	return call(v->fd, KVM_SET_LAPIC, state);
}

static int msi(struct side *side, const struct kvm_msi *message)
{
	return call(side->vm_fd, KVM_SIGNAL_MSI, message);
}

static int line(struct side *side, uint32_t gsi, uint32_t level, int *status)
{
	struct kvm_irq_level irq = { .irq = gsi, .level = level };
	int error = call(side->vm_fd, status ? KVM_IRQ_LINE_STATUS : KVM_IRQ_LINE, &irq);

	if (status)
		*status = (int)irq.status;
	return error;
}

static int routes(struct side *side, const struct kvm_irq_routing *table)
{
	return call(side->vm_fd, KVM_SET_GSI_ROUTING, table);
}

static int irqfd(struct side *side, const struct kvm_irqfd *args)
{
	return call(side->vm_fd, KVM_IRQFD, args);
}

static int open_other(struct side *side)
{
	int error;

	if (side->other_vm_fd >= 0)
		return 0;
	do
		side->other_vm_fd = ioctl(side->kvm_fd, KVM_CREATE_VM, 0);
	while (side->other_vm_fd < 0 && errno == EINTR);
	if (side->other_vm_fd < 0)
		return -errno;
	error = call(side->other_vm_fd, KVM_CREATE_IRQCHIP, NULL);
	if (error) {
		close(side->other_vm_fd);
		side->other_vm_fd = -1;
	}
	return error;
}

static int irqfd_elsewhere(struct side *side, const struct kvm_irqfd *args)
{
	int error = open_other(side);

	return error ? error : call(side->other_vm_fd, KVM_IRQFD, args);
}

int side_kernel_ioeventfd(struct side *side, const struct kvm_ioeventfd *args)
{
	return call(side->vm_fd, KVM_IOEVENTFD, args);
}

/*
 * What no fast path takes is done by a kernel worker later. Workers of one CPU's queue begin in order,
 * and deassigning waits for the irqfd's own: so one more signal, by an irqfd without a route, comes
 * after all that were written on this CPU.
 */
static void pump(struct side *side)
{
	const uint64_t one = 1;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_irqfd args = { .fd = (uint32_t)fd, .gsi = UNROUTED_GSI };

	if (irqfd(side, &args) == 0) {
		(void)!write(fd, &one, sizeof(one));
		args.flags = KVM_IRQFD_FLAG_DEASSIGN;
		irqfd(side, &args);
	}
	close(fd);
}

static int get_irqchip(struct side *side, struct kvm_irqchip *state)
{
	return call(side->vm_fd, KVM_GET_IRQCHIP, state);
}

static int set_irqchip(struct side *side, const struct kvm_irqchip *state)
{
	return call(side->vm_fd, KVM_SET_IRQCHIP, state);
}

static int get_pit(struct side *side, struct kvm_pit_state2 *state)
{
	return call(side->vm_fd, KVM_GET_PIT2, state);
}

static int set_pit(struct side *side, const struct kvm_pit_state2 *state)
{
	return call(side->vm_fd, KVM_SET_PIT2, state);
}

const struct side_ops side_kernel = {
	.prepare = prepare,
	.vcpu_open = vcpu_open,
	.close = close_side,
	.enter = enter,
	.apic_base = apic_base,
	.take_events = take_events,
	.get_lapic = get_lapic,
	.set_lapic = set_lapic,
	.msi = msi,
	.line = line,
	.routes = routes,
	.irqfd = irqfd,
	.irqfd_elsewhere = irqfd_elsewhere,
	.pump = pump,
	.get_irqchip = get_irqchip,
	.set_irqchip = set_irqchip,
	.get_pit = get_pit,
	.set_pit = set_pit,
};
