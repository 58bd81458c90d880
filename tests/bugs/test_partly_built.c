// SPDX-License-Identifier: MIT
/*
 * Every entry point against a VM that lacks something: vCPUs, chips, a local APIC that is on (kernel
 * 654f1f13; CVE-2018-19406, CVE-2018-19407, CVE-2022-2153, CVE-2025-21779). Each says so, and what is added
 * later works.
 */
#include "../line/pc_world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmirq/ioeventfd.h>
#include <vmirq/state.h>

#define PINS   24
#define PIN    19 /* goes to no 8259 */
#define VECTOR 0x61

static void send_every_mode(struct vmirq_vm *vm)
{
	for (uint32_t mode = 0; mode < 8; mode++)
		for (uint32_t dest = 0; dest < 256; dest += 51)
			for (uint32_t bits = 0; bits < 4; bits++) {
				struct kvm_msi msi = msi_to(dest, VECTOR);

				/* Logical; with the redirection hint. */
				msi.address_lo |= (bits & 1) << 2 | (bits & 2) << 2;
				msi.data |= mode << 8 | 1u << 14 | (bits & 1) << 15;
				assert_true(vmirq_msi_send(vm, &msi) <= 1);
			}
}

/* The IOAPIC's every pin, with a destination that nobody has. */
static void program_pins(struct soft *s)
{
	for (uint32_t pin = 0; pin < PINS; pin++)
		rte_put(s, pin, RTE_TO(0) | (pin % 2 ? RTE_LEVEL : 0) | VECTOR);
}

static void raise_every_line(struct soft *s)
{
	for (uint32_t gsi = 0; gsi < PINS + 2; gsi++) {
		line(s, gsi, 0, true);
		line(s, gsi, 0, false);
		pulse(s, gsi);
	}
}

static void program_pit(struct soft *s)
{
	out8(s, 0x43, 0x34);
	out8(s, 0x40, 0xff);
	out8(s, 0x40, 0);
	for (int i = 0; i < 10; i++) {
		s->now += 1000000;
		vmirq_vm_expire(s->vm);
	}
}

static void irqfds_of_every_kind(struct soft *s, uint32_t gsi)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = gsi,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = eventfd(0, EFD_NONBLOCK),
					     .resamplefd = eventfd(0, EFD_NONBLOCK) };
	struct vmirq_irqfd *level, *edge = irqfd_call(s, gsi);

	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &level), 0);
	assert_int_equal(eventfd_write(config.eventfd, 1), 0);
	vmirq_irqfd_signal(edge);
	dispatch(s);
	assert_int_equal(counts_of(edge).held, 0);
	assert_int_equal(vmirq_irqfd_deassign(level), 0);
	assert_int_equal(vmirq_irqfd_deassign(edge), 0);
	assert_int_equal(vmirq_line_level(s->vm, gsi), 0);
	close(config.eventfd);
	close(config.resamplefd);
}

static void chips_without_vcpus(void **state)
{
	struct soft *s = pc_new(0, VMIRQ_VM_PIT);

	(void)state;
	pics_start(s, 0, 0);
	program_pins(s);
	raise_every_line(s);
	program_pit(s);
	send_every_mode(s->vm);
	for (uint32_t gsi = 1; gsi < PINS; gsi++)
		irqfds_of_every_kind(s, gsi);
	/* The 8259's acknowledge belongs to a vCPU; a poll does without. */
	out8(s, 0x20, 0x0c);
	in8(s, 0x20);
	assert_int_equal(vmirq_vm_quiesce(s->vm), 0);
	assert_true(vmirq_vm_save(s->vm, NULL, 0) > 0);
	assert_int_equal(vmirq_vm_reset(s->vm), 0);
	assert_null(vmirq_vm_vcpu(s->vm, 0));
	assert_null(vmirq_vm_vcpu(s->vm, UINT32_MAX));
	assert_int_equal(counts_of_gsi(s, PIN).verdict[VMIRQ_DELIVERED], 0);
	/* One that comes now finds all in order. */
	soft_add(s, 0, 0, 0);
	take_nothing(s->vcpu[0]);
	rte_put(s, PIN, RTE_TO(0) | RTE_LEVEL | VECTOR);
	assert_int_equal(line(s, PIN, 0, true), 1);
	begin_service(s->vcpu[0], VECTOR);
	line(s, PIN, 0, false);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	pc_free(s);
}

static void no_such_chip(struct soft *s)
{
	struct vmirq_ioapic_state ioapic = { .size = sizeof(ioapic) };
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	struct kvm_pit_state2 pit;
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x40, 0x43, 0x61 };
	uint32_t word = 0;

	memset(&pit, 0, sizeof(pit));
	for (; chip.chip_id <= KVM_IRQCHIP_IOAPIC; chip.chip_id++) {
		struct kvm_irqchip same = chip;

		assert_int_equal(vmirq_vm_get_irqchip(s->vm, &same), -ENXIO);
		assert_int_equal(vmirq_vm_set_irqchip(s->vm, &chip), -ENXIO);
	}
	assert_int_equal(vmirq_vm_get_pit2(s->vm, &pit), -ENXIO);
	assert_int_equal(vmirq_vm_set_pit2(s->vm, &pit), -ENXIO);
	assert_int_equal(vmirq_vm_get_ioapic(s->vm, 0, &ioapic), -ENXIO);
	assert_int_equal(vmirq_vm_set_ioapic(s->vm, 0, &ioapic), -ENXIO);
	assert_int_equal(vmirq_vm_mmio(s->vm, IOAPIC_BASE, &word, 4, true), -ENOENT);
	assert_int_equal(vmirq_vm_mmio(s->vm, IOAPIC_BASE + 0x40, &word, 4, true), -ENOENT);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		assert_int_equal(vmirq_vm_pio(s->vm, ports[i], &word, 1, true), -ENOENT);
		assert_int_equal(vmirq_vm_pio(s->vm, ports[i], &word, 1, false), -ENOENT);
	}
	assert_int_equal(vmirq_vm_deadline(s->vm), UINT64_MAX);
	vmirq_vm_expire(s->vm);
}

static void vcpus_without_chips(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = 9,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = eventfd(0, EFD_NONBLOCK),
					     .resamplefd = eventfd(0, EFD_NONBLOCK) };
	struct kvm_irqfd args = { .fd = (uint32_t)config.eventfd,
				  .gsi = 9,
				  .flags = KVM_IRQFD_FLAG_RESAMPLE,
				  .resamplefd = (uint32_t)config.resamplefd };
	struct kvm_irq_routing_entry pin = { .gsi = 9, .type = KVM_IRQ_ROUTING_IRQCHIP };
	struct kvm_msi level = msi_to(0, VECTOR);
	struct vmirq_irqfd *irqfd = NULL;
	uint32_t vector;

	(void)state;
	no_such_chip(s);
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), -EINVAL);
	assert_null(irqfd);
	assert_int_equal(vmirq_irqfd(s->vm, &args), -EINVAL);
	for (pin.u.irqchip.irqchip = 0; pin.u.irqchip.irqchip < 4; pin.u.irqchip.irqchip++)
		assert_true(vmirq_route_set(s->vm, &pin, 1) < 0);
	/* An EOI of a level goes to IOAPICs, of which there are none. */
	level.data |= 1u << 15 | 1u << 14;
	send(s, level, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], VECTOR);
	/* LINT0 is wired to nothing. */
	apic_write(s->vcpu[0], APIC_LVT_LINT0, EXTINT << 8);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(s->vcpu[0]);
	assert_int_equal(vmirq_vm_reset(s->vm), 0);
	close(config.eventfd);
	close(config.resamplefd);
	soft_free(s);
}

static void ipi_by_each_shorthand(struct vmirq_vcpu *vcpu)
{
	static const uint32_t shorthands[] = { 0, ICR_TO_SELF, ICR_TO_ALL, ICR_TO_OTHERS };

	for (uint32_t mode = FIXED; mode <= EXTINT; mode++)
		for (int i = 0; i < 4; i++)
			apic_send_ipi(vcpu, shorthands[i] | ICR_MODE(mode) | ICR_ASSERTED | VECTOR,
				      77);
}

/* Switched off by IA32_APIC_BASE: no register is there, and nobody gets at it. */
static void a_local_apic_that_is_off(void **state)
{
	struct soft *s = pc_new(2, 0);
	struct vmirq_vcpu *off = s->vcpu[1];
	uint64_t value;
	uint32_t word = 0, vector;

	(void)state;
	assert_int_equal(vmirq_vcpu_set_apic_base(off, APIC_PAGE), 0);
	for (uint32_t reg = 0; reg < 0x400; reg += 0x10) {
		assert_int_equal(vmirq_vcpu_mmio(off, APIC_PAGE + reg, &word, 4, true), -ENOENT);
		assert_int_equal(vmirq_vcpu_mmio(off, APIC_PAGE + reg, &word, 4, false), -ENOENT);
		assert_int_equal(vmirq_vcpu_wrmsr(off, 0x800 + reg / 16, 0), -EINVAL);
		assert_int_equal(vmirq_vcpu_rdmsr(off, 0x800 + reg / 16, &value), -EINVAL);
	}
	send(s, msi_to(1, VECTOR), VMIRQ_APIC_DISABLED);
	rte_put(s, PIN, RTE_TO(1) | RTE_LEVEL | VECTOR);
	assert_int_equal(line(s, PIN, 0, true), 0);
	assert_false(remote_irr(s, PIN));
	line(s, PIN, 0, false);
	apic_send_ipi(s->vcpu[0], ICR_ASSERTED | VECTOR, 1);
	vmirq_vcpu_nmi(off);
	assert_int_equal(vmirq_vcpu_step(off, VMIRQ_CPU_INTERRUPTIBLE, &vector), VMIRQ_STEP_NMI);
	take_nothing(off);
	assert_int_equal(vmirq_vcpu_ack(off, VECTOR), -EINVAL);
	assert_int_equal(vmirq_vcpu_unack(off, VECTOR), -EINVAL);
	assert_int_equal(vmirq_vcpu_deadline(off), UINT64_MAX);
	pc_free(s);
}

/* It alone: IPIs to others go nowhere. Then one whose slot was left in service. */
static void the_only_vcpu(void **state)
{
	struct soft *s = pc_new(2, 0);

	(void)state;
	rte_put(s, PIN, RTE_TO(1) | RTE_LEVEL | VECTOR);
	assert_int_equal(line(s, PIN, 0, true), 1);
	begin_service(s->vcpu[1], VECTOR);
	assert_true(remote_irr(s, PIN));
	assert_int_equal(vmirq_vcpu_destroy(s->vcpu[1]), 0);
	line(s, PIN, 0, false);
	apic_send_ipi(s->vcpu[0], ICR_ASSERTED | VECTOR, 1);
	assert_int_equal(counts_of_vector(s->vcpu[1], VECTOR).posted, 1);
	/* Its EOI will never come; the guest frees the pin by making it an edge, and a new vCPU works. */
	soft_add(s, 1, 1, 0);
	rte_put(s, PIN, RTE_TO(1) | VECTOR);
	rte_put(s, PIN, RTE_TO(1) | RTE_LEVEL | VECTOR);
	assert_false(remote_irr(s, PIN));
	assert_int_equal(line(s, PIN, 0, true), 1);
	begin_service(s->vcpu[1], VECTOR);
	line(s, PIN, 0, false);
	end_service(s->vcpu[1]);
	pc_free(s);
}

/* An EOI, and IPIs of every kind, from a vCPU that has just been made. */
static void a_vcpu_at_power_up(void **state)
{
	struct soft *s = pc_new(0, 0);
	struct vmirq_vcpu_config config = {
		.size = sizeof(config), .index = 3, .apic_id = 3, .flags = VMIRQ_VCPU_WAIT_FOR_SIPI
	};
	struct vmirq_vector_counts c;
	uint32_t vector;

	(void)state;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[3]), 0);
	s->n = 4;
	for (uint32_t v = 0; v < 256; v++)
		apic_write(s->vcpu[3], APIC_EOI, v);
	ipi_by_each_shorthand(s->vcpu[3]);
	take_nothing(s->vcpu[3]);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[3], 0, &vector), VMIRQ_STEP_INIT);
	c = counts_of_vector(s->vcpu[3], VECTOR);
	assert_int_equal(c.posted, 0);
	apic_enable(s->vcpu[3]);
	apic_send_ipi(s->vcpu[3], ICR_TO_SELF | ICR_ASSERTED | VECTOR, 0);
	take_only(s->vcpu[3], VECTOR);
	/* INITs, SIPIs, NMIs and SMIs are delivered, and are no vectors. */
	vmirq_vm_destroy(s->vm);
	free(s);
}

/* The kernel's irqchips before their first vCPU: each call comes back. */
static void in_the_kernel(enum vmirq_irqchip irqchip)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .irqchip = irqchip,
					  .flags = VMIRQ_VM_PC_CHIPS,
					  .max_gsis = SOFT_GSIS };
	struct soft s = { .max_gsis = SOFT_GSIS };
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;

	if (kvm < 0) {
		print_message("SKIP: no /dev/kvm\n");
		close(fd);
		return;
	}
	config.kvm_vm_fd = ioctl(kvm, KVM_CREATE_VM, 0);
	assert_true(config.kvm_vm_fd >= 0);
	assert_int_equal(vmirq_vm_create(&config, &s.vm), 0);
	send_every_mode(s.vm);
	for (uint32_t gsi = 0; gsi < PINS; gsi++) {
		vmirq_line_set(s.vm, gsi, 0, true, NULL);
		vmirq_line_set(s.vm, gsi, 0, false, NULL);
		vmirq_line_pulse(s.vm, gsi, 0, NULL);
	}
	route_to(&s, 40, 0, VECTOR);
	for (uint32_t gsi = 9; gsi < 42; gsi += 31) {
		irqfd = irqfd_on(&s, gsi, fd);
		assert_int_equal(eventfd_write(fd, 1), 0);
		vmirq_irqfd_signal(irqfd);
		assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		assert_int_equal(vmirq_route_clear(s.vm, gsi), 0);
	}
	assert_int_equal(vmirq_vm_quiesce(s.vm), 0);
	assert_int_equal(vmirq_vm_reset(s.vm), 0);
	assert_int_equal(vmirq_vm_save(s.vm, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(vmirq_vm_destroy(s.vm), 0);
	close(config.kvm_vm_fd);
	close(kvm);
	close(fd);
}

static void kernels_irqchips_without_vcpus(void **state)
{
	(void)state;
	in_the_kernel(VMIRQ_IRQCHIP_SPLIT);
	in_the_kernel(VMIRQ_IRQCHIP_KVM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chips_without_vcpus),
		cmocka_unit_test(vcpus_without_chips),
		cmocka_unit_test(a_local_apic_that_is_off),
		cmocka_unit_test(the_only_vcpu),
		cmocka_unit_test(a_vcpu_at_power_up),
		cmocka_unit_test(kernels_irqchips_without_vcpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
