// SPDX-License-Identifier: MIT
/* INIT, SIPI, interrupt and stop while an instruction is half done (kvm_run.h). */
#include "guest.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <time.h>

#define AP_CODE (AP_PAGE << 12)

static const uint8_t idle[] = { HLT };

static void init_and_sipi(struct guest *g)
{
	apic_send_ipi(g->s.vcpu[0], ICR_MODE(INIT) | ICR_ASSERTED, 1);
	apic_send_ipi(g->s.vcpu[0], ICR_MODE(SIPI) | AP_PAGE, 1);
	g->s.posted_beyond -= 2;
}

static void first_sipi(struct guest *g)
{
	apic_send_ipi(g->s.vcpu[0], ICR_MODE(SIPI) | AP_PAGE, 1);
	g->s.posted_beyond--;
}

/* As SDM vol. 3A table 9-1 has it, but for the SIPI's CS. */
static void assert_clean(struct guest *g)
{
	struct kvm_regs regs = guest_regs(g, 1);
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;

	assert_int_equal(regs.rax & ~UINT64_C(0xff), 0);
	assert_int_equal(regs.rbx, 0);
	assert_int_equal(regs.rcx, 0);
	assert_int_equal(regs.rdx & 0xffff00ff, 0);
	assert_int_equal(regs.rsi, 0);
	assert_int_equal(regs.rsp, 0);
	assert_int_equal(regs.rflags & 0x200, 0);
	assert_int_equal(ioctl(g->fd[1], KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.cs.selector, AP_CODE >> 4);
	assert_int_equal(sregs.cs.base, AP_CODE);
	assert_int_equal(sregs.ds.base, 0);
	assert_int_equal(sregs.cr0 & 0x80000001, 0);
	assert_int_equal(ioctl(g->fd[1], KVM_GET_VCPU_EVENTS, &events), 0);
	assert_int_equal(events.interrupt.injected, 0);
	assert_int_equal(events.exception.injected, 0);
	assert_int_equal(events.nmi.masked, 0);
}

/* Started, it tells AL (0 only when clean), dirties its registers, and then reads. */
#define DIRTY_THEN                                                                             \
	OUT(0x30), AL(0xee), 0xbb, 0x11, 0x11, 0xb9, 0x22, 0x22, 0xbe, 0x33, 0x33, 0xbc, 0x00, \
		0x90, STI

static const uint8_t ap_in[] = { DIRTY_THEN, IN(0x99), OUT(0x31), SPIN };
/* mov ax, 0x1000; mov ds, ax; mov al, [0x8000]: where no memory is */
static const uint8_t ap_mmio[] = { DIRTY_THEN, 0xb8, 0x00, 0x10,      0x8e, 0xd8,
				   0xa0,       0x00, 0x80, OUT(0x31), SPIN };

static struct guest *started(const uint8_t *code, size_t size)
{
	struct guest *g = GUEST(2, 0, idle);

	guest_put(g, AP_CODE, code, size);
	first_sipi(g);
	assert_int_equal(guest_out(g, 1, 0x30), 0);
	assert_clean(g);
	return g;
}

static void assert_restarts(struct guest *g)
{
	init_and_sipi(g);
	assert_int_equal(guest_out(g, 1, 0x30), 0);
	assert_clean(g);
}

static void in_the_middle_of_an_in(void **state)
{
	struct guest *g = started(ap_in, sizeof(ap_in));

	(void)state;
	for (int i = 0; i < 3; i++) {
		*guest_in(g, 1, 0x99) = 0x5a;
		assert_restarts(g);
	}
	/* And then nothing is left over. */
	*guest_in(g, 1, 0x99) = 0x5b;
	assert_int_equal(guest_out(g, 1, 0x31), 0x5b);
	guest_free(g);
}

static void in_the_middle_of_a_memory_read(void **state)
{
	struct guest *g = started(ap_mmio, sizeof(ap_mmio));

	(void)state;
	for (int i = 0; i < 3; i++) {
		*guest_read(g, 1, 0x18000) = 0x5a;
		assert_restarts(g);
	}
	*guest_read(g, 1, 0x18000) = 0x5b;
	assert_int_equal(guest_out(g, 1, 0x31), 0x5b);
	guest_free(g);
}

/* An instruction that asks the VMM twice: a read, and a write behind it. */
static void in_the_middle_of_more_than_one_exit(void **state)
{
	/* mov ax, 0x1000; mov ds, ax; mov es, ax; mov si, 0x8000; mov di, 0x9000; movsw */
	static const uint8_t code[] = { DIRTY_THEN, 0xb8, 0x00, 0x10,	   0x8e, 0xd8,
					0x8e,	    0xc0, 0xbe, 0x00,	   0x80, 0xbf,
					0x00,	    0x90, 0xa5, OUT(0x31), SPIN };
	struct guest *g = started(code, sizeof(code));

	(void)state;
	memset(guest_read(g, 1, 0x18000), 0x5a, 2);
	/* The write it still asks for comes to nothing. */
	assert_restarts(g);
	memset(guest_read(g, 1, 0x18000), 0x5c, 2);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[1]), 0);
	assert_int_equal(g->run[1]->exit_reason, KVM_EXIT_MMIO);
	assert_true(g->run[1]->mmio.is_write);
	assert_int_equal(g->run[1]->mmio.phys_addr, 0x19000);
	assert_restarts(g);
	guest_free(g);
}

/* An interrupt that the kernel holds and the CPU has not taken goes with INIT. */
static void with_an_interrupt_on_its_way(void **state)
{
	struct guest *g = started(ap_in, sizeof(ap_in));

	(void)state;
	*guest_in(g, 1, 0x99) = 0x5a;
	send(&g->s, msi_to(1, 0x41), VMIRQ_DELIVERED);
	assert_restarts(g);
	assert_int_equal(counts_of_vector(g->s.vcpu[1], 0x41).reset, 1);
	guest_free(g);
}

static void an_interrupt_in_the_middle_of_an_in(void **state)
{
	static const uint8_t code[] = { AL(0), IN(0x99), OUT(0x10), HLT };
	struct guest *g = GUEST(1, 0, code);
	struct kvm_regs regs;

	(void)state;
	*guest_in(g, 0, 0x99) = 0x5a;
	vmirq_vcpu_interrupt(g->s.vcpu[0]);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), -EINTR);
	/* What it answered last is not shown again. */
	assert_int_not_equal(g->run[0]->exit_reason, KVM_EXIT_IO);
	regs = guest_regs(g, 0);
	assert_int_equal(regs.rip, CODE + 4);
	assert_int_equal(regs.rax & 0xff, 0x5a);
	/* So a VMM may save it here, or change it. */
	regs.rax = 0x77;
	assert_int_equal(ioctl(g->fd[0], KVM_SET_REGS, &regs), 0);
	assert_int_equal(guest_out(g, 0, 0x10), 0x77);
	guest_free(g);
}

/* The instruction's other half is the VMM's too: first that, and then the interrupt after all. */
static void an_interrupt_before_the_second_exit(void **state)
{
	static const uint8_t code[] = { ESI(0xfed00000u), EDI(0xfed00100u), MOVSD, OUT(0x10), HLT };
	struct guest *g = GUEST(1, 0, code);

	(void)state;
	memset(guest_read(g, 0, 0xfed00000u), 0x5a, 4);
	vmirq_vcpu_interrupt(g->s.vcpu[0]);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), 0);
	assert_int_equal(g->run[0]->exit_reason, KVM_EXIT_MMIO);
	assert_true(g->run[0]->mmio.is_write);
	assert_int_equal(g->run[0]->mmio.phys_addr, 0xfed00100u);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), -EINTR);
	assert_int_equal(guest_regs(g, 0).rsi, 0xfed00004u);
	assert_int_equal(guest_regs(g, 0).rdi, 0xfed00104u);
	guest_out(g, 0, 0x10);
	guest_free(g);
}

/* The second half writes TPR: it stays written. */
static void an_interrupt_before_a_write_of_tpr(void **state)
{
	static const uint8_t code[] = { ESI(0xfed00000u), EDI(0xfee00080u), MOVSD, OUT(0x10), HLT };
	const uint32_t tpr = 0x50;
	struct guest *g = GUEST(1, 0, code);

	(void)state;
	memcpy(guest_read(g, 0, 0xfed00000u), &tpr, sizeof(tpr));
	vmirq_vcpu_interrupt(g->s.vcpu[0]);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), -EINTR);
	assert_int_equal(vmirq_vcpu_cr8(g->s.vcpu[0]), 5);
	guest_out(g, 0, 0x10);
	assert_int_equal(apic_read(g->s.vcpu[0], APIC_TPR), tpr);
	guest_free(g);
}

static void *stop_it(void *argument)
{
	struct guest *g = argument;

	assert_int_equal(vmirq_vcpu_stop(g->s.vcpu[0]), 0);
	return NULL;
}

static void a_stop_in_the_middle_of_an_in(void **state)
{
	static const uint8_t code[] = { AL(0), IN(0x99), SPIN };
	const struct timespec nap = { .tv_nsec = 20000000 };
	struct guest *g = GUEST(1, 0, code);
	pthread_t thread;

	(void)state;
	*guest_in(g, 0, 0x99) = 0x5a;
	assert_int_equal(pthread_create(&thread, NULL, stop_it, g), 0);
	nanosleep(&nap, NULL);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), -ECANCELED);
	pthread_join(thread, NULL);
	assert_int_equal(guest_regs(g, 0).rip, CODE + 4);
	assert_int_equal(guest_regs(g, 0).rax & 0xff, 0x5a);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), -ECANCELED);
	assert_int_equal(vmirq_vcpu_start(g->s.vcpu[0]), 0);
	vmirq_vcpu_interrupt(g->s.vcpu[0]);
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), -EINTR);
	guest_free(g);
}

/* By its ICR; the bootstrap processor starts again at the reset vector, and what was behind the write
 * is not executed. */
static void a_guests_own_init(void **state)
{
	static const uint8_t code[] = { STORE(0xfee00300u, 0x44500), OUT(0x10), HLT };
	struct guest *g = GUEST(1, 0, code);
	struct kvm_sregs sregs;

	(void)state;
	guest_out(g, 0, RESET_OUT);
	assert_int_equal(ioctl(g->fd[0], KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.cs.selector, 0xf000);
	assert_int_equal(sregs.ds.limit, 0xffff);
	/* INIT disables the local APIC by software. */
	assert_int_equal(apic_read(g->s.vcpu[0], APIC_SVR), 0xff);
	g->s.posted_beyond--;
	guest_free(g);
}

/* A SIPI that nobody waits for changes nothing. */
static void a_sipi_in_the_middle_of_an_in(void **state)
{
	struct guest *g = started(ap_in, sizeof(ap_in));

	(void)state;
	*guest_in(g, 1, 0x99) = 0x5a;
	first_sipi(g);
	assert_int_equal(guest_out(g, 1, 0x31), 0x5a);
	guest_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_the_middle_of_an_in),
		cmocka_unit_test(in_the_middle_of_a_memory_read),
		cmocka_unit_test(in_the_middle_of_more_than_one_exit),
		cmocka_unit_test(with_an_interrupt_on_its_way),
		cmocka_unit_test(an_interrupt_in_the_middle_of_an_in),
		cmocka_unit_test(an_interrupt_before_the_second_exit),
		cmocka_unit_test(an_interrupt_before_a_write_of_tpr),
		cmocka_unit_test(a_stop_in_the_middle_of_an_in),
		cmocka_unit_test(a_guests_own_init),
		cmocka_unit_test(a_sipi_in_the_middle_of_an_in),
	};
	int skip = guest_unavailable();

	return skip ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
