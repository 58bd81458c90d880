// SPDX-License-Identifier: MIT
/*
 * Host interrupts given to a guest, as VFIO's are: one that becomes a message, and one that becomes a level (INTx),
 * whose card is masked until the guest has ended the interrupt (EOI). Two eventfds stand for the hardware. This thread
 * is the VMM's loop and takes the interrupts, too, so that no /dev/kvm is needed.
 *
 *	cc passthrough.c $(pkg-config --cflags --libs libvmirq) && ./a.out
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <vmirq/irqfd.h>
#include <vmirq/passthrough.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define GSI	   20u /* the IOAPIC's pin 20, and no 8259's */
#define MESSAGE	   0x41u
#define LEVEL	   0x51u
#define LAPIC	   0xfee00000u
#define SVR	   (LAPIC + 0xf0) /* spurious vector, and bit 8 enables the local APIC */
#define EOI	   (LAPIC + 0xb0)
#define IOREGSEL   0xfec00000u
#define IOWIN	   0xfec00010u
#define RTE	   (0x10u + 2 * GSI)
#define INTERRUPTS 1000u

/* The card with the level: it signals that it wants service, once, and is masked from then on. */
static struct card {
	int eventfd;
	unsigned int wants; /* so often */
	bool masked;
} card = { .wants = INTERRUPTS };

static struct vmirq_vm *vm;
static struct vmirq_vcpu *vcpu;

static int must(const char *what, int result)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "%s: %s\n", what, strerror(result == -1 ? errno : -result));
	exit(1);
}

static void look_at_card(void)
{
	if (card.wants && !card.masked) {
		card.masked = true;
		must("the card", eventfd_write(card.eventfd, 1));
	}
}

/* The guest's EOI. With VFIO this is VFIO_DEVICE_SET_IRQS with VFIO_IRQ_SET_ACTION_UNMASK. */
static void unmask(void *opaque)
{
	(void)opaque;
	card.masked = false;
	look_at_card();
}

/* As where the guest's exits are handled: the vCPU's local APIC, then the VM's chips. */
static void write_mmio(uint64_t gpa, uint32_t value)
{
	if (vmirq_vcpu_mmio(vcpu, gpa, &value, sizeof(value), true) == -ENOENT)
		must("vmirq_vm_mmio", vmirq_vm_mmio(vm, gpa, &value, sizeof(value), true));
}

/* What a guest does first, done for it: the pin is a level for the local APIC with id 0. */
static void set_up_guest(void)
{
	write_mmio(SVR, 0x1ff);
	write_mmio(IOREGSEL, RTE);
	write_mmio(IOWIN, 0x8000 | LEVEL); /* bit 15: a level */
}

/* The guest's handlers, for all that is there; of this vector how many ran. */
static unsigned int run_guest(uint32_t wanted)
{
	const unsigned int flags = VMIRQ_CPU_INTERRUPTIBLE | VMIRQ_CPU_HALTED;
	unsigned int n = 0;
	uint32_t vector;

	while (vmirq_vcpu_step(vcpu, flags, &vector) == VMIRQ_STEP_INJECT) {
		must("vmirq_vcpu_ack", vmirq_vcpu_ack(vcpu, vector));
		card.wants -= vector == LEVEL; /* the handler serves the card, then */
		write_mmio(EOI, 0);
		n += vector == wanted;
	}
	return n;
}

int main(void)
{
	struct vmirq_vm_config config = { .size = sizeof(config), .flags = VMIRQ_VM_PC_CHIPS };
	struct vmirq_vcpu_config cpu = { .size = sizeof(cpu) };
	struct vmirq_worker_config serving = { .size = sizeof(serving) };
	struct vmirq_pirq_config host = { .size = sizeof(host) };
	struct vmirq_pirq_binding guest = { .size = sizeof(guest) };
	struct vmirq_pirq_counts n = { .size = sizeof(n) };
	struct vmirq_pirq *msi, *intx;
	unsigned int messages = 0, levels = 0;
	int trigger = must("eventfd", eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

	card.eventfd = must("eventfd", eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	must("vmirq_vm_create", vmirq_vm_create(&config, &vm));
	must("vmirq_vcpu_create", vmirq_vcpu_create(vm, &cpu, &vcpu));
	must("vmirq_vcpu_bind_thread", vmirq_vcpu_bind_thread(vcpu));
	set_up_guest();

	/* The message (type 0) needs nobody: whoever reads its eventfd posts it. */
	host.eventfd = trigger;
	guest.vm = vm;
	guest.address = LAPIC;
	guest.data = MESSAGE;
	must("vmirq_pirq_create", vmirq_pirq_create(&host, &msi));
	must("vmirq_pirq_bind", vmirq_pirq_bind(msi, &guest));
	/* The level is delivered by a worker: by a thread of its own (vmirq_worker_start()), or as here. */
	must("vmirq_worker_create", vmirq_worker_create(&serving, &guest.worker));
	host.eventfd = card.eventfd;
	host.unmask = unmask;
	guest.type = VMIRQ_PIRQ_INTX;
	guest.n_gsis = 1;
	guest.gsis = (const uint32_t[]){ GSI };
	must("vmirq_pirq_create", vmirq_pirq_create(&host, &intx));
	must("vmirq_pirq_bind", vmirq_pirq_bind(intx, &guest));

	look_at_card();
	for (unsigned int i = 0; i < INTERRUPTS; i++) {
		must("the trigger", eventfd_write(trigger, 1));
		/* A VMM waits (poll) for vmirq_pump_fd() and vmirq_worker_fd(). */
		must("vmirq_pump_dispatch", vmirq_pump_dispatch(vmirq_vm_pump(vm), 0));
		messages += run_guest(MESSAGE);
		must("vmirq_worker_run", vmirq_worker_run(guest.worker, 0));
		levels += run_guest(LEVEL); /* the card wants more, and signals again */
	}
	must("vmirq_pirq_counts", vmirq_pirq_counts(intx, &n));
	must("vmirq_pirq_destroy", vmirq_pirq_destroy(intx));
	must("vmirq_pirq_destroy", vmirq_pirq_destroy(msi));
	must("vmirq_worker_destroy", vmirq_worker_destroy(guest.worker, NULL));
	must("vmirq_vcpu_unbind_thread", vmirq_vcpu_unbind_thread(vcpu));
	must("vmirq_vm_destroy", vmirq_vm_destroy(vm));
	printf("%u messages; %u levels, %llu unmasks\n", messages, levels,
	       (unsigned long long)n.unmasks);
	return messages != INTERRUPTS || levels != INTERRUPTS || n.unmasks != INTERRUPTS;
}
