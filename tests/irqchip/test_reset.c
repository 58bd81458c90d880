// SPDX-License-Identifier: MIT
/* A reset of the whole VM, and where the kernel refuses a vCPU's: it is said, and the rest is reset even so. */
#include "world.h"

#include <fcntl.h>
#include <unistd.h>
#include <vmirq/passthrough.h>

#define VECTOR 0x41
#define PIN    20

static uint32_t svr(struct world *w, unsigned int vcpu)
{
	struct kvm_lapic_state state;
	uint32_t word;

	assert_int_equal(vmirq_vcpu_get_lapic(w->vcpu[vcpu], &state), 0);
	memcpy(&word, state.regs + APIC_SVR, sizeof(word));
	return word;
}

static void enable(struct world *w, unsigned int vcpu)
{
	struct kvm_lapic_state state;
	const uint32_t word = 0x1ff;

	assert_int_equal(vmirq_vcpu_get_lapic(w->vcpu[vcpu], &state), 0);
	memcpy(state.regs + APIC_SVR, &word, sizeof(word));
	assert_int_equal(vmirq_vcpu_set_lapic(w->vcpu[vcpu], &state), 0);
}

static bool rte_masked(struct world *w)
{
	struct kvm_irqchip state = { .chip_id = KVM_IRQCHIP_IOAPIC };

	assert_int_equal(vmirq_vm_get_irqchip(w->vm, &state), 0);
	return state.chip.ioapic.redirtbl[PIN].fields.mask;
}

static void check_power_up(struct world *w, unsigned int first)
{
	for (unsigned int i = first; i < w->n; i++) {
		assert_int_equal(svr(w, i), 0xff);
		assert_false(world_pending(w, i, VECTOR));
	}
	assert_true(rte_masked(w));
}

/* Something stands everywhere. */
static void set_up(struct world *w)
{
	for (unsigned int i = 0; i < w->n; i++) {
		struct kvm_msi msi = msi_to(i, VECTOR);

		enable(w, i);
		assert_int_equal(vmirq_msi_send(w->vm, &msi), 1);
	}
	world_rte(w, PIN, 0, VECTOR + 1, false);
	assert_false(rte_masked(w));
}

static void all_is_reset(struct world *w)
{
	set_up(w);
	assert_int_equal(vmirq_vm_reset(w->vm), 0);
	check_power_up(w, 0);
}

/* The first vCPU's descriptor is another's for a while. */
static void one_vcpu_is_refused(struct world *w)
{
	int own, other;

	if (w->irqchip == VMIRQ_IRQCHIP_SOFT)
		return;
	own = dup(w->fd[0]);
	other = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(own >= 0 && other >= 0);
	set_up(w);
	assert_int_equal(dup2(other, w->fd[0]), w->fd[0]);
	assert_int_equal(vmirq_vm_reset(w->vm), -ENOTTY);
	check_power_up(w, 1);
	assert_int_equal(dup2(own, w->fd[0]), w->fd[0]);
	assert_int_equal(svr(w, 0), 0x1ff);
	assert_int_equal(vmirq_vm_reset(w->vm), 0);
	check_power_up(w, 0);
	close(own);
	close(other);
}

/* For a worker that nobody serves: it comes before, and is gone. */
static void what_is_queued(struct world *w)
{
	struct vmirq_worker_config how = { .size = sizeof(how) };
	struct vmirq_route_counts counts = { .size = sizeof(counts) };
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = PIN, .eventfd = -1 };
	struct vmirq_irqfd *irqfd;

	assert_int_equal(vmirq_worker_create(&how, &config.worker), 0);
	assert_int_equal(vmirq_irqfd_assign(w->vm, &config, &irqfd), 0);
	set_up(w);
	assert_signal(irqfd, VMIRQ_HELD);
	assert_int_equal(vmirq_vm_reset(w->vm), 0);
	check_power_up(w, 0);
	assert_int_equal(vmirq_irqfd_counts(irqfd, &counts), 0);
	assert_int_equal(counts.raised, 1);
	assert_int_equal(counts.verdict[VMIRQ_DELIVERED], 1);
	enable(w, 0);
	world_rte(w, PIN, 0, VECTOR + 1, false);
	assert_int_equal(vmirq_worker_run(config.worker, 0), 0);
	world_take_nothing(w);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(vmirq_worker_destroy(config.worker, NULL), 0);
}

static const struct world_case cases[] = {
	{ "what_is_queued", what_is_queued },
	{ "all_is_reset", all_is_reset },
	{ "one_vcpu_is_refused", one_vcpu_is_refused },
};

int main(void)
{
	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
