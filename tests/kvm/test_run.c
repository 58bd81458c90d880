// SPDX-License-Identifier: MIT
/* vmirq_kvm_run(): what is done inside, and what is the VMM's (kvm_run.h). */
#include "guest.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <time.h>

static void only_the_bound_thread(void **state)
{
	static const uint8_t code[] = { OUT(0x10), HLT };
	struct guest *g = GUEST(1, 0, code);

	(void)state;
	assert_int_equal(vmirq_vcpu_unbind_thread(g->s.vcpu[0]), 0);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), -EPERM);
	assert_int_equal(vmirq_kvm_run(NULL), -EINVAL);
	assert_int_equal(vmirq_vcpu_bind_thread(g->s.vcpu[0]), 0);
	guest_out(g, 0, 0x10);
	guest_free(g);
}

/* Exits that are not ours come back one by one, none twice. */
static void the_vmms_own(void **state)
{
	static const uint8_t code[] = {
		AL(0x21),
		OUT(0x10),
		IN(0x99),
		OUT(0x11),
		LOAD_EAX(0xfed00000u),
		OUT_EAX(0x12),
		STORE(0xfed00004u, 0x12345678),
		OUT(0x13),
		HLT,
	};
	struct guest *g = GUEST(1, VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT, code);
	const uint32_t answer = 0xcafe1234;
	uint32_t written;

	(void)state;
	assert_int_equal(guest_out(g, 0, 0x10), 0x21);
	*guest_in(g, 0, 0x99) = 0x5a;
	assert_int_equal(guest_out(g, 0, 0x11), 0x5a);
	memcpy(guest_read(g, 0, 0xfed00000u), &answer, sizeof(answer));
	assert_int_equal(guest_out(g, 0, 0x12), answer);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), 0);
	assert_int_equal(g->run[0]->exit_reason, KVM_EXIT_MMIO);
	assert_true(g->run[0]->mmio.is_write);
	memcpy(&written, g->run[0]->mmio.data, sizeof(written));
	assert_int_equal(written, 0x12345678);
	guest_out(g, 0, 0x13);
	guest_free(g);
}

/* 8259s, IOAPIC, PIT and local APIC are the library's; the VMM sees none of it. */
static void the_librarys_own(void **state)
{
	static const uint8_t code[] = {
		AL(0x11),
		OUT(0x20),
		AL(0x28),
		OUT(0x21),
		AL(4),
		OUT(0x21),
		AL(1),
		OUT(0x21),
		AL(0xa5),
		OUT(0x21),
		AL(0),
		IN(0x21),
		OUT(0x10),
		STORE(0xfec00000u, 1),
		LOAD_EAX(0xfec00010u),
		OUT_EAX(0x11),
		STORE(0xfee00080u, 0x30),
		LOAD_EAX(0xfee00080u),
		OUT_EAX(0x12),
		AL(0x34),
		OUT(0x43),
		AL(0x34),
		OUT(0x40),
		AL(0x12),
		OUT(0x40),
		AL(0xe2),
		OUT(0x43),
		IN(0x40),
		OUT(0x13),
		HLT,
	};
	struct guest *g = GUEST(1, VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT, code);

	(void)state;
	assert_int_equal(guest_out(g, 0, 0x10), 0xa5);
	assert_int_equal(guest_out(g, 0, 0x11), 0x170011);
	assert_int_equal(guest_out(g, 0, 0x12), 0x30);
	assert_int_equal(vmirq_vcpu_cr8(g->s.vcpu[0]), 3);
	/* Read-back status of counter 0: its mode and access as programmed. */
	assert_int_equal(guest_out(g, 0, 0x13) & 0x3f, 0x34);
	guest_free(g);
}

/* Without them the same ports and addresses are the VMM's. */
static void a_vm_without_chips(void **state)
{
	static const uint8_t code[] = { OUT(0x20), IN(0x40), LOAD_EAX(0xfec00010u), OUT(0x10) };
	struct guest *g = GUEST(1, 0, code);

	(void)state;
	guest_out(g, 0, 0x20);
	guest_in(g, 0, 0x40);
	guest_read(g, 0, 0xfec00010u);
	guest_out(g, 0, 0x10);
	guest_free(g);
}

static void *send_later(void *argument)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	struct kvm_msi msi = msi_to(0, 0x41);
	struct guest *g = argument;

	nanosleep(&nap, NULL);
	vmirq_msi_send(g->s.vm, &msi);
	return NULL;
}

/* The handler runs, then the code behind it; whatever the guest was doing. */
static void woken_by_a_message(void **state, const uint8_t *code, size_t size)
{
	struct guest *g = guest_new(1, 0, code, size);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, send_later, g), 0);
	guest_out(g, 0, HANDLED);
	pthread_join(thread, NULL);
	assert_int_equal(counts_of_vector(g->s.vcpu[0], 0x41).taken, 1);
	assert_true(apic_bit(g->s.vcpu[0], APIC_ISR, 0x41));
	guest_out(g, 0, 0x10);
	/* Its EOI was the library's. */
	assert_false(apic_bit(g->s.vcpu[0], APIC_ISR, 0x41));
	guest_free(g);
}

static void halted_and_a_message(void **state)
{
	static const uint8_t code[] = { STI, HLT, OUT(0x10), HLT };

	woken_by_a_message(state, code, sizeof(code));
}

static void running_and_a_message(void **state)
{
	static const uint8_t code[] = { UNTIL_HANDLED(1), OUT(0x10), HLT };

	woken_by_a_message(state, code, sizeof(code));
}

/* With IF = 0 it waits for the window, which STI opens. An emulating kernel may let some instructions
 * pass before it says so: hence the spin. */
static void the_interrupt_window(void **state)
{
	static const uint8_t code[] = {
		CLI, OUT(0x10), NOP, OUT(0x11), UNTIL_HANDLED(2), OUT(0x12), HLT,
	};
	struct guest *g = GUEST(1, 0, code);

	(void)state;
	guest_out(g, 0, 0x10);
	guest_msi(g, 0x41);
	guest_msi(g, 0x51);
	guest_out(g, 0, 0x11);
	assert_int_equal(counts_of_vector(g->s.vcpu[0], 0x51).taken, 0);
	guest_out(g, 0, HANDLED);
	assert_int_equal(counts_of_vector(g->s.vcpu[0], 0x51).taken, 1);
	assert_int_equal(counts_of_vector(g->s.vcpu[0], 0x41).taken, 0);
	guest_out(g, 0, HANDLED);
	assert_int_equal(counts_of_vector(g->s.vcpu[0], 0x41).taken, 1);
	guest_out(g, 0, 0x12);
	guest_free(g);
}

static void *interrupt_later(void *argument)
{
	const struct timespec nap = { .tv_nsec = 30000000 };
	struct guest *g = argument;

	nanosleep(&nap, NULL);
	vmirq_vcpu_interrupt(g->s.vcpu[0]);
	return NULL;
}

/* HLT with IF = 0 sleeps through interrupts; an NMI ends it. */
static void halted_with_interrupts_off(void **state)
{
	static const uint8_t code[] = { CLI, HLT, OUT(0x10), HLT };
	struct guest *g = GUEST(1, 0, code);
	pthread_t thread;

	(void)state;
	guest_msi(g, 0x41);
	assert_int_equal(pthread_create(&thread, NULL, interrupt_later, g), 0);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), -EINTR);
	pthread_join(thread, NULL);
	assert_int_equal(guest_regs(g, 0).rip, CODE + 2);
	vmirq_vcpu_nmi(g->s.vcpu[0]);
	guest_out(g, 0, HANDLED);
	guest_out(g, 0, 0x10);
	assert_int_equal(counts_of_vector(g->s.vcpu[0], 0x41).pending, 1);
	guest_free(g);
}

/* The guest's TPR and the kernel's CR8 are one; it blocks, and lowering it lets in. */
static void the_task_priority(void **state)
{
	static const uint8_t code[] = {
		STI,	   STORE(0xfee00080u, 0x50),
		OUT(0x10), NOP,
		OUT(0x11), STORE(0xfee00080u, 0x40),
		OUT(0x12), STORE(0xfee00080u, 0x3f),
		NOP,	   OUT(0x13),
		HLT,
	};
	struct guest *g = GUEST(1, 0, code);

	(void)state;
	guest_out(g, 0, 0x10);
	assert_int_equal(vmirq_vcpu_cr8(g->s.vcpu[0]), 5);
	assert_int_equal(g->run[0]->cr8, 5);
	guest_msi(g, 0x41);
	guest_out(g, 0, 0x11);
	guest_out(g, 0, 0x12);
	guest_out(g, 0, HANDLED);
	guest_out(g, 0, 0x13);
	assert_int_equal(apic_read(g->s.vcpu[0], APIC_TPR), 0x3f);
	guest_free(g);
}

/* x2APIC registers fault in xAPIC mode (SDM vol. 3A 11.12.2), reads and writes. */
static void x2apic_registers_fault_in_xapic_mode(void **state)
{
	static const uint8_t reads[] = { ECX(0x802u), RDMSR, OUT(0x10), HLT };
	static const uint8_t writes[] = { EAX(0), EDX(0), ECX(0x80bu), WRMSR, OUT(0x10), HLT };
	struct guest *g = GUEST(1, 0, reads);

	(void)state;
	guest_out(g, 0, FAULTED);
	guest_free(g);
	g = GUEST(1, 0, writes);
	guest_out(g, 0, FAULTED);
	guest_free(g);
}

static void x2apic_registers(void **state)
{
	static const uint8_t code[] = {
		ECX(0x1bu), RDMSR,	 0x66,	      0x0d,	     LE32(0x400),
		WRMSR, /* or eax, 0x400 */
		OUT(0x10),  ECX(0x802u), RDMSR,	      OUT_EAX(0x11), STI,
		EAX(0x61),  EDX(0),	 ECX(0x83fu), WRMSR,	     NOP,
		OUT(0x12),  EAX(1),	 ECX(0x828u), WRMSR, /* ESR takes 0 only */
		OUT(0x13),  HLT,
	};
	static const uint8_t handler[] = { OUT(HANDLED), 0xcf };
	struct guest *g = GUEST(1, 0, code);

	(void)state;
	guest_put(g, HANDLER, handler, sizeof(handler));
	guest_out(g, 0, 0x10);
	assert_int_equal(vmirq_vcpu_apic_base(g->s.vcpu[0]) & 0xc00, 0xc00);
	assert_int_equal(guest_out(g, 0, 0x11), 0);
	guest_out(g, 0, HANDLED);
	assert_int_equal(counts_of_vector(g->s.vcpu[0], 0x61).taken, 1);
	guest_out(g, 0, 0x12);
	guest_out(g, 0, FAULTED);
	apic_write(g->s.vcpu[0], APIC_EOI, 0);
	guest_free(g);
}

/* IA32_APIC_BASE is the kernel's: what it refuses is #GP, and our local APIC stays as it is. */
static void what_the_kernel_refuses(void **state)
{
	static const uint8_t code[] = {
		EAX(0xfee00400u), EDX(0), ECX(0x1bu), WRMSR, OUT(0x10), HLT
	};
	struct guest *g = GUEST(1, 0, code);
	uint64_t before = vmirq_vcpu_apic_base(g->s.vcpu[0]);

	(void)state;
	guest_out(g, 0, FAULTED);
	assert_int_equal(vmirq_vcpu_apic_base(g->s.vcpu[0]) & 0xc00, before & 0xc00);
	guest_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_bound_thread),
		cmocka_unit_test(the_vmms_own),
		cmocka_unit_test(the_librarys_own),
		cmocka_unit_test(a_vm_without_chips),
		cmocka_unit_test(halted_and_a_message),
		cmocka_unit_test(running_and_a_message),
		cmocka_unit_test(the_interrupt_window),
		cmocka_unit_test(halted_with_interrupts_off),
		cmocka_unit_test(the_task_priority),
		cmocka_unit_test(x2apic_registers_fault_in_xapic_mode),
		cmocka_unit_test(x2apic_registers),
		cmocka_unit_test(what_the_kernel_refuses),
	};
	int skip = guest_unavailable();

	return skip ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
