// SPDX-License-Identifier: MIT
/* All interrupt controllers are the kernel's. */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#include "boot_internal.h"

#define KICK_AGAIN_NS 1000000L
#define ROUTES_MAX    64

static void add_route(struct kvm_irq_routing *table, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/* As a PC is wired, which is not the kernel's default: GSI 0 is the IOAPIC's pin 2, and IRQ 2 is
 * the 8259s' own. */
static int set_routes(struct boot *boot)
{
	struct kvm_irq_routing *table =
		calloc(1, sizeof(*table) + ROUTES_MAX * sizeof(table->entries[0]));
	int error;

	if (!table)
		return -ENOMEM;
	for (uint32_t gsi = 0; gsi < 16; gsi++)
		if (gsi != 2)
			add_route(table, gsi,
				  gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
				  gsi % 8);
	for (uint32_t gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++)
		if (gsi != 2)
			add_route(table, gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);
	error = ioctl(boot->vm_fd, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
	free(table);
	return error;
}

static int kernel_open(struct boot *boot, const char **why)
{
	/* As QEMU: port 0x61 belongs to the PIT. */
	const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	*why = "this machine's /dev/kvm has no interrupt controllers";
	if (ioctl(boot->vm_fd, KVM_CREATE_IRQCHIP) < 0)
		return -ENODEV;
	*why = "this machine's /dev/kvm has no PIT";
	if (ioctl(boot->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
		return -ENODEV;
	*why = "KVM refused the PC's interrupt routes";
	return set_routes(boot);
}

static int kernel_nothing(struct boot *boot)
{
	(void)boot;
	return 0;
}

static int kernel_vcpu_nothing(struct boot_vcpu *v)
{
	(void)v;
	return 0;
}

static void kernel_unbind(struct boot_vcpu *v)
{
	(void)v;
}

/* A signal that comes before KVM_RUN is caught by immediate_exit; the one before that store is sent
 * again. */
static void stop_vcpu(struct boot_vcpu *v)
{
	const struct timespec again = { .tv_nsec = KICK_AGAIN_NS };

	while (v->has_thread && !atomic_load_explicit(&v->done, memory_order_acquire)) {
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(v->thread, BOOT_KICK_SIGNAL);
		nanosleep(&again, NULL);
	}
}

static void kernel_stop(struct boot *boot)
{
	atomic_store(&boot->stopping, true);
	for (uint32_t i = 0; i < boot->config.vcpus; i++)
		stop_vcpu(&boot->vcpus[i]);
}

/* An exit stands in the middle of an instruction, which the next KVM_RUN ends even where it then
 * exits at once: so `stopping` is looked at after that. */
static int kernel_run(struct boot_vcpu *v)
{
	int error;

	v->run->exit_reason = KVM_EXIT_UNKNOWN;
	error = ioctl(v->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	if (error == -EAGAIN)
		error = -EINTR;
	return error == -EINTR && atomic_load(&v->boot->stopping) ? -ECANCELED : error;
}

static void kernel_line(struct boot *boot, uint32_t who, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	/* The kernel knows one source of a user's lines. */
	(void)who;
	ioctl(boot->vm_fd, KVM_IRQ_LINE, &line);
}

static int kernel_get_irqchip(struct boot *boot, struct kvm_irqchip *state)
{
	return ioctl(boot->vm_fd, KVM_GET_IRQCHIP, state) < 0 ? -errno : 0;
}

static int kernel_set_irqchip(struct boot *boot, const struct kvm_irqchip *state)
{
	return ioctl(boot->vm_fd, KVM_SET_IRQCHIP, state) < 0 ? -errno : 0;
}

static int kernel_get_pit(struct boot *boot, struct kvm_pit_state2 *state)
{
	return ioctl(boot->vm_fd, KVM_GET_PIT2, state) < 0 ? -errno : 0;
}

static int kernel_set_pit(struct boot *boot, const struct kvm_pit_state2 *state)
{
	return ioctl(boot->vm_fd, KVM_SET_PIT2, state) < 0 ? -errno : 0;
}

static int kernel_set_lapic(struct boot_vcpu *v, const struct kvm_lapic_state *state)
{
	return ioctl(v->fd, KVM_SET_LAPIC, state) < 0 ? -errno : 0;
}

static int kernel_get_lapic(struct boot_vcpu *v, struct kvm_lapic_state *state)
{
	return ioctl(v->fd, KVM_GET_LAPIC, state) < 0 ? -errno : 0;
}

static int kernel_get_mp_state(struct boot_vcpu *v, struct kvm_mp_state *state)
{
	return ioctl(v->fd, KVM_GET_MP_STATE, state) < 0 ? -errno : 0;
}

static void kernel_close(struct boot *boot)
{
	(void)boot;
}

const struct boot_chips boot_chips_kvm = {
	.open = kernel_open,
	.vcpu_open = kernel_vcpu_nothing,
	.start = kernel_nothing,
	.stop = kernel_stop,
	.bind = kernel_vcpu_nothing,
	.unbind = kernel_unbind,
	.run = kernel_run,
	.line = kernel_line,
	.get_irqchip = kernel_get_irqchip,
	.set_irqchip = kernel_set_irqchip,
	.get_pit = kernel_get_pit,
	.set_pit = kernel_set_pit,
	.set_lapic = kernel_set_lapic,
	.get_lapic = kernel_get_lapic,
	.get_mp_state = kernel_get_mp_state,
	.close = kernel_close,
};
