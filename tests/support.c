/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdlib.h>

#include "vcpu/vcpu.h"

static uint64_t hand_turned(void *opaque)
{
	return ((struct soft *)opaque)->now;
}

void soft_add(struct soft *s, unsigned int i, uint32_t apic_id, uint32_t vcpu_flags)
{
	struct vmirq_vcpu_config config = {
		.size = sizeof(config), .index = i, .apic_id = apic_id, .flags = vcpu_flags
	};

	assert_true(i < SOFT_VCPUS);
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[i]), 0);
	if (s->n <= i)
		s->n = i + 1;
	apic_enable(s->vcpu[i]);
}

struct soft *soft_new_flags(unsigned int n, uint32_t vm_flags, uint32_t vcpu_flags)
{
	struct soft *s = calloc(1, sizeof(*s));
	struct vmirq_clock clock = { .now = hand_turned, .opaque = s };
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = SOFT_VCPUS,
					  .max_gsis = SOFT_GSIS,
					  .flags = vm_flags,
					  .clock = &clock };

	assert_non_null(s);
	s->max_gsis = SOFT_GSIS;
	assert_int_equal(vmirq_vm_create(&config, &s->vm), 0);
	for (unsigned int i = 0; i < n; i++)
		soft_add(s, i, i, vcpu_flags);
	return s;
}

struct soft *soft_new(unsigned int n)
{
	return soft_new_flags(n, 0, 0);
}

/* raised = delivered + sum(verdicts) + held; returns delivered. */
static int64_t check_route(const struct vmirq_route_counts *c)
{
	uint64_t sum = c->held;

	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		sum += c->verdict[i];
	assert_int_equal(c->raised, sum);
	return (int64_t)c->verdict[VMIRQ_DELIVERED];
}

/* posted = merged + taken + reset + pending, for each vector; returns the sum of posted. */
static int64_t check_vcpu(struct vmirq_vcpu *vcpu)
{
	int64_t posted = 0;

	for (uint32_t v = 0; v < 256; v++) {
		struct vmirq_vector_counts c = counts_of_vector(vcpu, v);

		if (c.posted != c.merged + c.taken + c.reset + c.pending)
			print_error(
				"vector %u: posted %lu merged %lu taken %lu reset %lu pending %lu\n",
				v, c.posted, c.merged, c.taken, c.reset, c.pending);
		assert_int_equal(c.posted, c.merged + c.taken + c.reset + c.pending);
		posted += (int64_t)c.posted;
	}
	assert_true(vmirq_lapic_validate(&vcpu->lapic));
	return posted;
}

void soft_check(struct soft *s)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };
	int64_t delivered = 0, posted = 0;

	for (uint32_t gsi = 0; gsi < s->max_gsis; gsi++) {
		c = counts_of_gsi(s, gsi);
		delivered += check_route(&c);
	}
	assert_int_equal(vmirq_msi_counts(s->vm, &c), 0);
	delivered += check_route(&c);
	assert_int_equal(vmirq_ipi_counts(s->vm, &c), 0);
	delivered += check_route(&c);
	for (unsigned int i = 0; i < s->n; i++)
		if (s->vcpu[i]) {
			posted += check_vcpu(s->vcpu[i]);
			assert_int_equal(vmirq_vcpu_counts(s->vcpu[i], &c), 0);
			delivered += check_route(&c);
		}
	assert_int_equal(posted, delivered + s->posted_beyond);
}

void soft_free(struct soft *s)
{
	soft_check(s);
	assert_int_equal(vmirq_vm_destroy(s->vm), 0);
	free(s);
}

static bool in_x2apic(struct vmirq_vcpu *vcpu)
{
	return vmirq_vcpu_apic_base(vcpu) & 1u << 10;
}

uint32_t apic_read(struct vmirq_vcpu *vcpu, uint32_t reg)
{
	uint32_t value = 0xdeadbeef;
	uint64_t wide;

	if (in_x2apic(vcpu)) {
		assert_int_equal(vmirq_vcpu_rdmsr(vcpu, 0x800 + reg / 16, &wide), 0);
		return (uint32_t)wide;
	}
	assert_int_equal(vmirq_vcpu_mmio(vcpu, APIC_PAGE + reg, &value, 4, false), 0);
	return value;
}

void apic_write(struct vmirq_vcpu *vcpu, uint32_t reg, uint32_t value)
{
	if (in_x2apic(vcpu))
		assert_int_equal(vmirq_vcpu_wrmsr(vcpu, 0x800 + reg / 16, value), 0);
	else
		assert_int_equal(vmirq_vcpu_mmio(vcpu, APIC_PAGE + reg, &value, 4, true), 0);
}

bool apic_bit(struct vmirq_vcpu *vcpu, uint32_t set, uint8_t vector)
{
	return apic_read(vcpu, set + vector / 32u * 16) & 1u << vector % 32;
}

void apic_enable(struct vmirq_vcpu *vcpu)
{
	apic_write(vcpu, APIC_SVR, 0x1ff);
}

void apic_set_x2apic(struct vmirq_vcpu *vcpu)
{
	uint64_t base = vmirq_vcpu_apic_base(vcpu);

	assert_int_equal(vmirq_vcpu_set_apic_base(vcpu, base | 1u << 10), 0);
}

void apic_send_ipi(struct vmirq_vcpu *vcpu, uint32_t low, uint32_t dest)
{
	if (in_x2apic(vcpu)) {
		assert_int_equal(vmirq_vcpu_wrmsr(vcpu, 0x830, (uint64_t)dest << 32 | low), 0);
	} else {
		apic_write(vcpu, APIC_ICR_HIGH, dest << 24);
		apic_write(vcpu, APIC_ICR, low);
	}
}

struct kvm_msi msi_to(uint32_t dest, uint8_t vector)
{
	return (struct kvm_msi){ .address_lo = 0xfee00000u | dest << 12, .data = vector };
}

int send(struct soft *s, struct kvm_msi msi, enum vmirq_verdict expected)
{
	enum vmirq_verdict verdict = VMIRQ_VERDICTS;
	int accepted = vmirq_msi_send_verdict(s->vm, &msi, &verdict);

	assert_true(accepted >= 0);
	assert_verdict(verdict, expected);
	return accepted;
}

void route_to(struct soft *s, uint32_t gsi, uint32_t dest, uint8_t vector)
{
	assert_int_equal(vmirq_route_set_msi(s->vm, gsi, 0xfee00000u | dest << 12, vector), 0);
}

struct vmirq_irqfd *irqfd_on(struct soft *s, uint32_t gsi, int eventfd)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = gsi,
					     .eventfd = eventfd };
	struct vmirq_irqfd *irqfd = NULL;

	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	assert_non_null(irqfd);
	return irqfd;
}

struct vmirq_irqfd *irqfd_call(struct soft *s, uint32_t gsi)
{
	return irqfd_on(s, gsi, -1);
}

int dispatch(struct soft *s)
{
	return vmirq_pump_dispatch(vmirq_vm_pump(s->vm), 0);
}

unsigned int take_all(struct vmirq_vcpu *vcpu, uint8_t *vectors)
{
	unsigned int n = 0;

	for (int v = vmirq_vcpu_next_vector(vcpu); v >= 0; v = vmirq_vcpu_next_vector(vcpu)) {
		assert_true(n < 256 && v < 256);
		assert_int_equal(vmirq_vcpu_ack(vcpu, (uint32_t)v), 0);
		if (vectors)
			vectors[n] = (uint8_t)v;
		n++;
		apic_write(vcpu, APIC_EOI, 0);
	}
	return n;
}

void take_only(struct vmirq_vcpu *vcpu, uint8_t vector)
{
	uint8_t vectors[256] = { 0 };

	assert_int_equal(take_all(vcpu, vectors), 1);
	assert_int_equal(vectors[0], vector);
}

void take_nothing(struct vmirq_vcpu *vcpu)
{
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), -1);
}

struct vmirq_route_counts counts_of_gsi(struct soft *s, uint32_t gsi)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_gsi_counts(s->vm, gsi, &c), 0);
	return c;
}

struct vmirq_route_counts counts_of(struct vmirq_irqfd *irqfd)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_irqfd_counts(irqfd, &c), 0);
	return c;
}

struct vmirq_vector_counts counts_of_vector(struct vmirq_vcpu *vcpu, uint32_t vector)
{
	struct vmirq_vector_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_vector_counts(vcpu, vector, &c), 0);
	return c;
}

uint64_t gsi_verdict(struct soft *s, uint32_t gsi, enum vmirq_verdict verdict)
{
	return counts_of_gsi(s, gsi).verdict[verdict];
}
