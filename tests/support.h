/* SPDX-License-Identifier: MIT */
/*
 * A soft VM to try things on, by public calls only, and the accounting laws that must hold when a
 * test is through with it. Register numbers are the SDM's (vol. 3A table 11-1), not the library's.
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <vmirq/irqfd.h>
#include <vmirq/msi.h>
#include <vmirq/observe.h>
#include <vmirq/route.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define SOFT_VCPUS	   128
#define SOFT_GSIS	   1024

#define APIC_PAGE	   UINT64_C(0xfee00000)
#define MSR_IA32_APIC_BASE 0x1bu

enum apic_offset {
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100,
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_ERROR = 0x370,
	APIC_TMICT = 0x380,
	APIC_TMCCT = 0x390,
	APIC_TDCR = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

/* Bits of the ICR (SDM vol. 3A figure 11-12). */
#define ICR_MODE(mode) ((uint32_t)(mode) << 8)
#define ICR_TO_LOGICAL (1u << 11)
#define ICR_ASSERTED   (1u << 14)
#define ICR_TO_SELF    (1u << 18)
#define ICR_TO_ALL     (2u << 18)
#define ICR_TO_OTHERS  (3u << 18)

/* Delivery modes. */
enum { FIXED, LOWEST, SMI, RESERVED, NMI, INIT, SIPI, EXTINT };

struct soft {
	struct vmirq_vm *vm;
	unsigned int n;
	/* Stay here when destroyed: their counters are still looked at. */
	struct vmirq_vcpu *vcpu[SOFT_VCPUS];
	uint32_t max_gsis;
	/* Vectors posted that are no DELIVERED of their own (further targets of one message), less
	 * DELIVERED that post no vector (NMI, INIT, SIPI, SMI): set by the test. */
	int64_t posted_beyond;
	uint64_t now; /* of the hand-turned clock */
};

/* n vCPUs, APIC id = slot, xAPIC mode, software-enabled. */
struct soft *soft_new(unsigned int n);
/* The same with VMIRQ_VM_* and VMIRQ_VCPU_* flags. */
struct soft *soft_new_flags(unsigned int n, uint32_t vm_flags, uint32_t vcpu_flags);
/* vCPU i with this APIC id, software-enabled. */
void soft_add(struct soft *s, unsigned int i, uint32_t apic_id, uint32_t vcpu_flags);
/* The laws of observe.h, at a quiet moment. */
void soft_check(struct soft *s);
/* The laws, and then an end. */
void soft_free(struct soft *s);

/* Software-enable a local APIC, spurious vector 0xff. */
void apic_enable(struct vmirq_vcpu *vcpu);
/* A register, by the way that the APIC's mode asks for. */
uint32_t apic_read(struct vmirq_vcpu *vcpu, uint32_t reg);
void apic_write(struct vmirq_vcpu *vcpu, uint32_t reg, uint32_t value);
bool apic_bit(struct vmirq_vcpu *vcpu, uint32_t set, uint8_t vector);
void apic_set_x2apic(struct vmirq_vcpu *vcpu);
/* An IPI to a destination, whatever the mode. */
void apic_send_ipi(struct vmirq_vcpu *vcpu, uint32_t low, uint32_t dest);

/* A physical, fixed, edge message. */
struct kvm_msi msi_to(uint32_t dest, uint8_t vector);
int send(struct soft *s, struct kvm_msi msi, enum vmirq_verdict expected);

void route_to(struct soft *s, uint32_t gsi, uint32_t dest, uint8_t vector);
/* An irqfd that is signalled by call. */
struct vmirq_irqfd *irqfd_call(struct soft *s, uint32_t gsi);
struct vmirq_irqfd *irqfd_on(struct soft *s, uint32_t gsi, int eventfd);
int dispatch(struct soft *s);

/* Take everything in the order it is offered, EOI each: how many; vectors[] (may be NULL) has room
 * for 256. */
unsigned int take_all(struct vmirq_vcpu *vcpu, uint8_t *vectors);
/* Exactly this vector is taken, nothing else. */
void take_only(struct vmirq_vcpu *vcpu, uint8_t vector);
void take_nothing(struct vmirq_vcpu *vcpu);

struct vmirq_route_counts counts_of_gsi(struct soft *s, uint32_t gsi);
struct vmirq_route_counts counts_of(struct vmirq_irqfd *irqfd);
struct vmirq_vector_counts counts_of_vector(struct vmirq_vcpu *vcpu, uint32_t vector);
uint64_t gsi_verdict(struct soft *s, uint32_t gsi, enum vmirq_verdict verdict);

#define assert_verdict(got, expected) \
	assert_string_equal(vmirq_verdict_name(got), vmirq_verdict_name(expected))

#define assert_signal(irqfd, expected) assert_verdict(vmirq_irqfd_signal(irqfd), expected)

#endif
