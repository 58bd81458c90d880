// SPDX-License-Identifier: MIT
/* State goes between the kernel's irqchip and ours, both ways, and reads back equal (state.h). What is
 * known to differ is named where it is left out. */
#include "../line/pc_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <vmirq/state.h>

#define BY_1 0xbu

struct kernel {
	int vm, vcpu;
};

static int kvm = -1;

static struct kernel kernel_new(void)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kernel k = { .vm = ioctl(kvm, KVM_CREATE_VM, 0) };

	assert_true(k.vm >= 0);
	assert_int_equal(ioctl(k.vm, KVM_CREATE_IRQCHIP, 0), 0);
	assert_int_equal(ioctl(k.vm, KVM_CREATE_PIT2, &pit), 0);
	k.vcpu = ioctl(k.vm, KVM_CREATE_VCPU, 0);
	assert_true(k.vcpu >= 0);
	return k;
}

static void kernel_free(struct kernel k)
{
	close(k.vcpu);
	close(k.vm);
}

static struct kvm_lapic_state kernel_lapic(struct kernel k)
{
	struct kvm_lapic_state state;

	assert_int_equal(ioctl(k.vcpu, KVM_GET_LAPIC, &state), 0);
	return state;
}

static uint32_t word(const struct kvm_lapic_state *state, uint32_t reg)
{
	uint32_t value;

	memcpy(&value, state->regs + reg, sizeof(value));
	return value;
}

static void put_word(struct kvm_lapic_state *state, uint32_t reg, uint32_t value)
{
	memcpy(state->regs + reg, &value, sizeof(value));
}

/* Not compared: what counts down by two clocks; PPR, which the kernel makes anew when the CPU runs. */
static void assert_same(const struct kvm_lapic_state *theirs, const struct kvm_lapic_state *ours)
{
	for (uint32_t reg = 0; reg < KVM_APIC_REG_SIZE; reg += 4)
		if (reg != APIC_TMCCT && reg != APIC_PPR && word(theirs, reg) != word(ours, reg))
			fail_msg("register %#x: the kernel's %#x, ours %#x", reg, word(theirs, reg),
				 word(ours, reg));
}

static void kernel_msi(struct kernel k, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000u, .data = data };

	assert_int_equal(ioctl(k.vm, KVM_SIGNAL_MSI, &msi), 1);
}

/* With something in each register that a guest can write. */
static void fill(struct kvm_lapic_state *state)
{
	put_word(state, APIC_SVR, 0x1f3);
	put_word(state, APIC_TPR, 0x25);
	put_word(state, APIC_LDR, 0x04000000);
	put_word(state, APIC_DFR, 0x0fffffff);
	put_word(state, APIC_LVT_TIMER, 0x41);
	put_word(state, APIC_LVT_LINT0, 0x8700);
	put_word(state, APIC_LVT_ERROR, 0xe7);
	put_word(state, APIC_TDCR, BY_1);
	put_word(state, APIC_ICR_HIGH, 0x03000000);
	put_word(state, APIC_ISR + 0x30, 1u << 1); /* 0x61 */
}

static struct soft *loaded(const struct kvm_lapic_state *state, int64_t pending)
{
	struct soft *s = soft_new(1);

	assert_int_equal(vmirq_vcpu_set_lapic(s->vcpu[0], state), 0);
	s->posted_beyond = pending;
	return s;
}

static void a_kernels_local_apic(void **state)
{
	struct kernel k = kernel_new();
	struct kvm_lapic_state theirs = kernel_lapic(k), ours;
	struct soft *s;

	(void)state;
	fill(&theirs);
	assert_int_equal(ioctl(k.vcpu, KVM_SET_LAPIC, &theirs), 0);
	kernel_msi(k, 0xf3);
	kernel_msi(k, 0xc042); /* level */
	theirs = kernel_lapic(k);
	s = loaded(&theirs, 2);
	assert_int_equal(vmirq_vcpu_get_lapic(s->vcpu[0], &ours), 0);
	assert_same(&theirs, &ours);
	/* And runs on. */
	begin_service(s->vcpu[0], 0xf3);
	end_service(s->vcpu[0]);
	end_service(s->vcpu[0]);
	take_only(s->vcpu[0], 0x42);
	soft_free(s);
	kernel_free(k);
}

static void a_local_apic_of_ours(void **state)
{
	struct kernel k = kernel_new();
	struct soft *s = soft_new(1);
	struct kvm_lapic_state ours, theirs;

	(void)state;
	apic_write(s->vcpu[0], APIC_TPR, 0x31);
	apic_write(s->vcpu[0], APIC_LDR, 0x02000000);
	apic_write(s->vcpu[0], APIC_LVT_ERROR, 0xe7);
	send(s, msi_to(0, 0x61), VMIRQ_DELIVERED);
	begin_service(s->vcpu[0], 0x61);
	send(s, msi_to(0, 0x71), VMIRQ_DELIVERED);
	send(s, (struct kvm_msi){ .address_lo = 0xfee00000u, .data = 0xc042 }, VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_get_lapic(s->vcpu[0], &ours), 0);
	assert_int_equal(ioctl(k.vcpu, KVM_SET_LAPIC, &ours), 0);
	theirs = kernel_lapic(k);
	assert_same(&theirs, &ours);
	/* The kernel's is alive: another message joins. */
	kernel_msi(k, 0x81);
	theirs = kernel_lapic(k);
	assert_int_equal(word(&theirs, APIC_IRR + 0x40), 1u << 1);
	end_service(s->vcpu[0]);
	take_all(s->vcpu[0], NULL);
	soft_free(s);
	kernel_free(k);
}

static void power_up(void **state)
{
	struct kernel k = kernel_new();
	struct kvm_lapic_state theirs = kernel_lapic(k), ours;
	struct soft *s = soft_new(1);

	(void)state;
	assert_int_equal(vmirq_vcpu_reset(s->vcpu[0]), 0);
	assert_int_equal(vmirq_vcpu_get_lapic(s->vcpu[0], &ours), 0);
	assert_same(&theirs, &ours);
	soft_free(s);
	kernel_free(k);
}

/* A timer that the kernel saw run out: its interrupt is not in IRR yet when nobody has run the vCPU
 * since, and must not be lost in the load. */
static void a_kernels_timer_that_has_run_out(void **state)
{
	const struct timespec nap = { .tv_nsec = 5000000 };
	struct kernel k = kernel_new();
	struct kvm_lapic_state theirs = kernel_lapic(k);
	uint32_t vector;
	struct soft *s;
	bool in_irr;

	(void)state;
	fill(&theirs);
	put_word(&theirs, APIC_TMICT, 1000000);
	put_word(&theirs, APIC_TMCCT, 1000000);
	assert_int_equal(ioctl(k.vcpu, KVM_SET_LAPIC, &theirs), 0);
	nanosleep(&nap, NULL);
	theirs = kernel_lapic(k);
	assert_int_equal(word(&theirs, APIC_TMCCT), 0);
	in_irr = word(&theirs, APIC_IRR + 0x20) & 1u << 1;
	s = loaded(&theirs, in_irr);
	vmirq_vcpu_step(s->vcpu[0], 0, &vector);
	vmirq_vcpu_leave(s->vcpu[0]);
	end_service(s->vcpu[0]);
	assert_int_equal(vmirq_vcpu_next_vector(s->vcpu[0]), 0x41);
	take_only(s->vcpu[0], 0x41);
	pc_free(s);
	kernel_free(k);
}

static struct kvm_irqchip kernel_chip(struct kernel k, uint32_t id)
{
	struct kvm_irqchip chip;

	memset(&chip, 0, sizeof(chip));
	chip.chip_id = id;
	assert_int_equal(ioctl(k.vm, KVM_GET_IRQCHIP, &chip), 0);
	return chip;
}

static struct kvm_irqchip our_chip(struct soft *s, uint32_t id)
{
	struct kvm_irqchip chip;

	memset(&chip, 0, sizeof(chip));
	chip.chip_id = id;
	assert_int_equal(vmirq_vm_get_irqchip(s->vm, &chip), 0);
	return chip;
}

static void assert_same_chip(const struct kvm_irqchip *theirs, const struct kvm_irqchip *ours)
{
	size_t size = theirs->chip_id == KVM_IRQCHIP_IOAPIC ? sizeof(theirs->chip.ioapic)
							    : sizeof(theirs->chip.pic);

	assert_memory_equal(&theirs->chip, &ours->chip, size);
}

static void irqchips(void **state)
{
	struct kernel k = kernel_new(), k2 = kernel_new();
	struct soft *s = pc_new(1, 0);

	(void)state;
	for (uint32_t id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_IOAPIC; id++) {
		struct kvm_irqchip theirs = kernel_chip(k, id), ours = our_chip(s, id);

		assert_same_chip(&theirs, &ours); /* as after power-up */
	}
	/* Ours, programmed, to the kernel's. */
	pics_start(s, 0xb8, 0x8f);
	out8(s, 0x4d0, 0x20);
	rte_put(s, 17, RTE_TO(0) | RTE_LEVEL | 0x51);
	rte_put(s, 23, RTE_TO(3) | 0x53);
	line(s, 17, 0, true);
	pulse(s, 1);
	for (uint32_t id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_IOAPIC; id++) {
		struct kvm_irqchip theirs, ours = our_chip(s, id);

		assert_int_equal(ioctl(k.vm, KVM_SET_IRQCHIP, &ours), 0);
		theirs = kernel_chip(k, id);
		assert_same_chip(&theirs, &ours);
	}
	line(s, 17, 0, false);
	take_only(s->vcpu[0], 0x51);
	pc_free(s);
	/* And the kernel's to another of ours, from there to another kernel's. */
	s = pc_new(1, 0);
	for (uint32_t id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_IOAPIC; id++) {
		struct kvm_irqchip theirs = kernel_chip(k, id), ours;

		assert_int_equal(vmirq_vm_set_irqchip(s->vm, &theirs), 0);
		ours = our_chip(s, id);
		assert_same_chip(&theirs, &ours);
		assert_int_equal(ioctl(k2.vm, KVM_SET_IRQCHIP, &ours), 0);
		theirs = kernel_chip(k2, id);
		assert_same_chip(&theirs, &ours);
	}
	pc_free(s);
	kernel_free(k);
	kernel_free(k2);
}

/* A pin that the kernel saved high is lowered by its device, here as there. */
static void a_level_that_was_high_in_the_kernel(void **state)
{
	struct kernel k = kernel_new();
	struct kvm_irq_level level = { .irq = 17, .level = 1 };
	struct kvm_irqchip chip = kernel_chip(k, KVM_IRQCHIP_IOAPIC);
	struct soft *s = pc_new(1, 0);

	(void)state;
	chip.chip.ioapic.redirtbl[17].bits = RTE_LEVEL | RTE_MASKED | 0x51;
	assert_int_equal(ioctl(k.vm, KVM_SET_IRQCHIP, &chip), 0);
	assert_int_equal(ioctl(k.vm, KVM_IRQ_LINE_STATUS, &level), 0);
	chip = kernel_chip(k, KVM_IRQCHIP_IOAPIC);
	assert_int_equal(chip.chip.ioapic.irr, 1u << 17);
	assert_int_equal(vmirq_vm_set_irqchip(s->vm, &chip), 0);
	line(s, 17, 0, false);
	rte_put(s, 17, RTE_TO(0) | RTE_LEVEL | 0x51);
	take_nothing(s->vcpu[0]);
	pc_free(s);
	kernel_free(k);
}

/* Not compared: when each count began, by whose clock. */
static void pits(void **state)
{
	struct kernel k = kernel_new();
	struct soft *s = pc_new(1, VMIRQ_VM_PIT);
	struct kvm_pit_state2 ours, theirs;

	(void)state;
	out8(s, 0x43, 0x34);
	out8(s, 0x40, 0x9c);
	out8(s, 0x40, 0x2e);
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(vmirq_vm_get_pit2(s->vm, &ours), 0);
		assert_int_equal(ioctl(k.vm, KVM_SET_PIT2, &ours), 0);
		assert_int_equal(ioctl(k.vm, KVM_GET_PIT2, &theirs), 0);
		assert_int_equal(vmirq_vm_set_pit2(s->vm, &theirs), 0);
		assert_int_equal(vmirq_vm_get_pit2(s->vm, &ours), 0);
		for (int i = 0; i < 3; i++)
			ours.channels[i].count_load_time = theirs.channels[i].count_load_time = 0;
		assert_memory_equal(&ours, &theirs, sizeof(ours));
		assert_int_equal(ours.channels[0].count, 0x2e9c);
	}
	pc_free(s);
	kernel_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_up),
		cmocka_unit_test(a_kernels_local_apic),
		cmocka_unit_test(a_local_apic_of_ours),
		cmocka_unit_test(a_kernels_timer_that_has_run_out),
		cmocka_unit_test(irqchips),
		cmocka_unit_test(a_level_that_was_high_in_the_kernel),
		cmocka_unit_test(pits),
	};

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0) {
		printf("SKIP: /dev/kvm: %s\n", strerror(errno));
		return 77;
	}
	if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) <= 0 ||
	    ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_PIT_STATE2) <= 0) {
		printf("SKIP: this kernel has no irqchip or no PIT of its own\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
