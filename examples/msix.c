// SPDX-License-Identifier: MIT
/*
 * A device's MSI-X table: a guest's accesses to it, a vector that is raised while it is masked, and one that is raised
 * by a trigger, which skips its eventfd. No /dev/kvm is needed: this program takes the vCPU's interrupts.
 *
 *	cc msix.c $(pkg-config --cflags --libs libvmirq) && ./a.out
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmirq/bypass.h>
#include <vmirq/msix.h>
#include <vmirq/trigger.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define VECTORS	   2u
#define FIRST	   0x41u /* of the vCPU's vectors: entry n of the table has this + n */
#define LAPIC	   0xfee00000u
#define SVR	   (LAPIC + 0xf0) /* spurious vector, and bit 8 enables the local APIC */
#define EOI	   (LAPIC + 0xb0)
#define BAR	   0xfebf0000u
#define PBA	   0x800u /* behind the table */
#define CONTROL	   12u	  /* of an entry, the vector control: bit 0 masks it */
#define INTERRUPTS 1000u

static struct vmirq_vcpu *vcpu;
static struct vmirq_msix *msix;

static int must(const char *what, int result)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "%s: %s\n", what, strerror(-result));
	exit(1);
}

static void expect(const char *what, unsigned int is, unsigned int wanted)
{
	if (is == wanted)
		return;
	fprintf(stderr, "%s: %u, not %u\n", what, is, wanted);
	exit(1);
}

/* As where the guest's exits are handled: the vCPU's local APIC, then the device. */
static uint32_t mmio(uint64_t gpa, uint32_t value, bool is_write)
{
	if (vmirq_vcpu_mmio(vcpu, gpa, &value, sizeof(value), is_write) == 0)
		return value;
	if (gpa - BAR < VMIRQ_MSIX_TABLE_SIZE(VECTORS))
		must("the table",
		     vmirq_msix_table_access(msix, gpa - BAR, &value, sizeof(value), is_write));
	else
		must("the PBA",
		     vmirq_msix_pba_access(msix, gpa - BAR - PBA, &value, sizeof(value), is_write));
	return value;
}

/* The guest's handlers, for all that is there; how many ran. */
static unsigned int run_guest(uint32_t wanted)
{
	unsigned int n = 0;
	uint32_t vector;

	while (vmirq_vcpu_step(vcpu, VMIRQ_CPU_INTERRUPTIBLE | VMIRQ_CPU_HALTED, &vector) ==
	       VMIRQ_STEP_INJECT) {
		must("vmirq_vcpu_ack", vmirq_vcpu_ack(vcpu, vector));
		expect("the vector", vector, wanted);
		mmio(EOI, 0, true);
		n++;
	}
	return n;
}

int main(void)
{
	struct vmirq_vm_config config = { .size = sizeof(config) };
	struct vmirq_vcpu_config cpu = { .size = sizeof(cpu) };
	struct vmirq_msix_config table = { .size = sizeof(table), .vectors = VECTORS };
	struct vmirq_trigger_config skip = { .size = sizeof(skip) };
	struct vmirq_trigger_counts ways = { .size = sizeof(ways) };
	struct vmirq_trigger *trigger;
	struct vmirq_vm *vm;

	must("vmirq_vm_create", vmirq_vm_create(&config, &vm));
	must("vmirq_vcpu_create", vmirq_vcpu_create(vm, &cpu, &vcpu));
	must("vmirq_vcpu_bind_thread", vmirq_vcpu_bind_thread(vcpu));
	must("vmirq_msix_create", vmirq_msix_create(vm, &table, &msix));

	/* The guest's driver: address and data of each, then its mask; and the capability's enable bit. */
	mmio(SVR, 0x1ff, true);
	for (uint32_t i = 0; i < VECTORS; i++) {
		mmio(BAR + 16 * i, LAPIC, true);
		mmio(BAR + 16 * i + 8, FIRST + i, true);
		mmio(BAR + 16 * i + CONTROL, 0, true);
	}
	must("vmirq_msix_set_control", vmirq_msix_set_control(msix, true, false));
	expect("raised", vmirq_msix_trigger(msix, 0), VMIRQ_DELIVERED);
	expect("handled", run_guest(FIRST), 1);

	/* Raised twice while it is masked: pending, and delivered once when it is unmasked. */
	mmio(BAR + CONTROL, 1, true);
	expect("raised, masked", vmirq_msix_trigger(msix, 0), VMIRQ_HELD);
	expect("raised again", vmirq_msix_trigger(msix, 0), VMIRQ_COALESCED);
	expect("handled, masked", run_guest(FIRST), 0);
	expect("the PBA", mmio(BAR + PBA, 0, false), 1);
	mmio(BAR + CONTROL, 0, true);
	expect("handled, unmasked", run_guest(FIRST), 1);

	/* A back end that was given an eventfd raises by that; here nobody reads it, as the trigger goes round it. */
	skip.eventfd = must("vmirq_msix_lend_eventfd", vmirq_msix_lend_eventfd(msix, 1));
	skip.bypass = vmirq_vm_bypass(vm);
	must("vmirq_trigger_create", vmirq_trigger_create(&skip, &trigger));
	for (unsigned int i = 0; i < INTERRUPTS; i++) {
		expect("raised by the trigger", vmirq_trigger_signal(trigger), VMIRQ_DELIVERED);
		expect("handled", run_guest(FIRST + 1), 1);
	}
	must("vmirq_trigger_counts", vmirq_trigger_counts(trigger, &ways));
	printf("%llu went round the eventfd\n", (unsigned long long)ways.path[VMIRQ_PATH_BYPASS]);
	must("vmirq_trigger_destroy", vmirq_trigger_destroy(trigger));
	close(skip.eventfd);
	must("vmirq_msix_destroy", vmirq_msix_destroy(msix));
	must("vmirq_vcpu_unbind_thread", vmirq_vcpu_unbind_thread(vcpu));
	must("vmirq_vm_destroy", vmirq_vm_destroy(vm));
	return ways.path[VMIRQ_PATH_BYPASS] != INTERRUPTS;
}
