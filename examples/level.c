// SPDX-License-Identifier: MIT
/*
 * A level: a device's line to a PC's IOAPIC, lowered when the guest ends the interrupt (EOI). One vCPU without a CPU
 * behind it, a thread that takes the interrupts, so that no /dev/kvm is needed.
 *
 *	cc level.c $(pkg-config --cflags --libs libvmirq) -pthread && ./a.out
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmirq/line.h>
#include <vmirq/observe.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define GSI	   10u /* the IOAPIC's pin 10, and the second 8259's pin 2 */
#define SOURCE	   0u  /* where several share a line: vmirq_line_source_alloc() */
#define VECTOR	   0x41u
#define SVR	   0xfee000f0u /* spurious vector, and bit 8 enables the local APIC */
#define EOI	   0xfee000b0u
#define IOREGSEL   0xfec00000u
#define IOWIN	   0xfec00010u
#define RTE	   (0x10u + 2 * GSI)
#define INTERRUPTS 1000

static struct vmirq_vm *vm;
static unsigned int handled;
static sem_t ended;

static void must(const char *what, int result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-result));
	exit(1);
}

/* On the vCPU's thread, in its EOI. A line that is low when this returns is not delivered again. */
static void lower(void *opaque, uint32_t gsi, uint32_t value)
{
	(void)opaque, (void)value;
	vmirq_line_set(vm, gsi, SOURCE, false, NULL);
}

/* As where the guest's exits are handled: the vCPU's local APIC, then the VM's chips. */
static void write_mmio(struct vmirq_vcpu *vcpu, uint64_t gpa, uint32_t value)
{
	if (vmirq_vcpu_mmio(vcpu, gpa, &value, sizeof(value), true) == -ENOENT)
		must("vmirq_vm_mmio", vmirq_vm_mmio(vm, gpa, &value, sizeof(value), true));
}

static void *run_vcpu(void *vcpu)
{
	const unsigned int flags = VMIRQ_CPU_INTERRUPTIBLE | VMIRQ_CPU_HALTED;
	uint32_t vector;
	int step;

	must("vmirq_vcpu_bind_thread", vmirq_vcpu_bind_thread(vcpu));
	while ((step = vmirq_vcpu_step(vcpu, flags, &vector)) != -ECANCELED) {
		if (step == VMIRQ_STEP_PARK)
			vmirq_vcpu_park(vcpu, -1);
		if (step != VMIRQ_STEP_INJECT)
			continue;
		must("vmirq_vcpu_ack", vmirq_vcpu_ack(vcpu, vector));
		handled += vector == VECTOR;
		write_mmio(vcpu, EOI, 0);
		sem_post(&ended);
	}
	must("vmirq_vcpu_unbind_thread", vmirq_vcpu_unbind_thread(vcpu));
	return NULL;
}

int main(void)
{
	struct vmirq_vm_config config = { .size = sizeof(config), .flags = VMIRQ_VM_PC_CHIPS };
	struct vmirq_vcpu_config cpu = { .size = sizeof(cpu) };
	/* .notice is VMIRQ_NOTICE_ACK, which is 0. */
	struct vmirq_notifier_config at_eoi = { .size = sizeof(at_eoi), .gsi = GSI, .fn = lower };
	struct vmirq_route_counts n = { .size = sizeof(n) };
	struct vmirq_notifier *notifier;
	struct vmirq_vcpu *vcpu;
	unsigned char all = 0xff;
	pthread_t thread;

	alarm(30); /* then SIGALRM ends it */
	sem_init(&ended, 0, 0);
	must("vmirq_vm_create", vmirq_vm_create(&config, &vm));
	must("vmirq_vcpu_create", vmirq_vcpu_create(vm, &cpu, &vcpu));
	must("vmirq_notifier_add", vmirq_notifier_add(vm, &at_eoi, &notifier));

	/* What a guest does first, done for it: no 8259s, and the pin is a level for the local APIC with id 0. */
	must("masking the 8259s", vmirq_vm_pio(vm, 0x21, &all, 1, true));
	must("masking the 8259s", vmirq_vm_pio(vm, 0xa1, &all, 1, true));
	write_mmio(vcpu, SVR, 0x1ff);
	write_mmio(vcpu, IOREGSEL, RTE + 1);
	write_mmio(vcpu, IOWIN, 0);
	write_mmio(vcpu, IOREGSEL, RTE);
	write_mmio(vcpu, IOWIN, 0x8000 | VECTOR); /* bit 15: a level */
	must("pthread_create", -pthread_create(&thread, NULL, run_vcpu, vcpu));
	for (int i = 0; i < INTERRUPTS; i++) {
		vmirq_line_set(vm, GSI, SOURCE, true, NULL);
		sem_wait(&ended); /* or it may be raised while in service: `remote_irr` */
	}
	must("vmirq_vcpu_stop", vmirq_vcpu_stop(vcpu));
	pthread_join(thread, NULL);
	must("vmirq_gsi_counts", vmirq_gsi_counts(vm, GSI, &n));
	must("vmirq_vm_destroy", vmirq_vm_destroy(vm)); /* and the notifier with it */

	printf("raised %llu:", (unsigned long long)n.raised);
	for (int v = 0; v < VMIRQ_VERDICTS; v++)
		if (n.verdict[v])
			printf(" %s %llu", vmirq_verdict_name(v), (unsigned long long)n.verdict[v]);
	printf("; the guest handled %u\n", handled);
	return n.raised != n.verdict[VMIRQ_DELIVERED] || handled != n.raised;
}
