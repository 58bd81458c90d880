// SPDX-License-Identifier: MIT
/*
 * The VMM's side of device.c: a device in another process, which can raise the interrupts that it was given and no
 * others. One vCPU without a CPU behind it, so that no /dev/kvm is needed: this program takes the interrupts.
 *
 *	cc mailbox_vmm.c $(pkg-config --cflags --libs libvmirq) && ./a.out ./device
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmirq/irqfd.h>
#include <vmirq/mailbox.h>
#include <vmirq/route.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define GSI	   24u
#define VECTOR	   0x41u
#define LAPIC	   0xfee00000u
#define SVR	   0xf0u /* spurious vector, and bit 8 enables the local APIC */
#define EOI	   0xb0u
#define DEVICES	   4u /* interrupts of the device: GSI and VECTOR upwards */
#define INTERRUPTS 1000
#define LOOKS	   20000
#define WAIT_NS	   10000000000

static int must(const char *what, int result)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "%s: %s\n", what, strerror(result == -1 ? errno : -result));
	exit(1);
}

/* Its end of the socket is its argument. Returns ours. */
static int start_device(const char *program, pid_t *pid)
{
	char number[12];
	int pair[2];

	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	*pid = must("fork", fork());
	if (*pid == 0) {
		snprintf(number, sizeof(number), "%d", pair[1]);
		fcntl(pair[1], F_SETFD, 0);
		execl(program, program, number, (char *)NULL);
		must(program, -errno);
	}
	close(pair[1]);
	return pair[0];
}

static void write_lapic(struct vmirq_vcpu *vcpu, uint32_t reg, uint32_t value)
{
	must("vmirq_vcpu_mmio", vmirq_vcpu_mmio(vcpu, LAPIC + reg, &value, sizeof(value), true));
}

/* It has ended by itself, or not been there. On the pump's thread, which must not wait. */
static void device_died(void *vcpu)
{
	vmirq_vcpu_interrupt(vcpu);
}

/* The vCPU's thread looks whenever it does not sleep, and for a while before it does: the device need not ring
 * then. */
static void look_and_park(struct vmirq_vcpu *vcpu, struct vmirq_mailbox *mailbox)
{
	int found = 0, park;

	for (int i = 0; i < LOOKS && !found; i++)
		found = vmirq_mailbox_poll(mailbox);
	vmirq_mailbox_stop_looking(mailbox);
	/* Returns at once if there is something. */
	park = vmirq_vcpu_park(vcpu, WAIT_NS);
	if (park != VMIRQ_PARK_RUNNABLE)
		must("the device", park == VMIRQ_PARK_TIMEOUT ? -ETIMEDOUT : -ECONNRESET);
	vmirq_mailbox_start_looking(mailbox);
}

static void take_interrupt(struct vmirq_vcpu *vcpu, struct vmirq_mailbox *mailbox, uint32_t wanted)
{
	const unsigned int flags = VMIRQ_CPU_INTERRUPTIBLE | VMIRQ_CPU_HALTED;
	uint32_t vector = 0;
	int step;

	while ((step = vmirq_vcpu_step(vcpu, flags, &vector)) != VMIRQ_STEP_INJECT) {
		must("the device", step == -EINTR ? -ECONNRESET : 0);
		look_and_park(vcpu, mailbox);
	}
	must("vmirq_vcpu_ack", vmirq_vcpu_ack(vcpu, vector));
	write_lapic(vcpu, EOI, 0);
	if (vector != wanted)
		must("the vector", -EPROTO);
}

int main(int argc, char **argv)
{
	struct vmirq_vm_config config = { .size = sizeof(config) };
	struct vmirq_vcpu_config cpu = { .size = sizeof(cpu) };
	struct vmirq_mailbox_config shared = { .size = sizeof(shared), .count = DEVICES };
	struct vmirq_mailbox_counts counts = { .size = sizeof(counts) };
	struct vmirq_vm *vm;
	struct vmirq_vcpu *vcpu;
	struct vmirq_mailbox *mailbox;
	int socket, status = 0;
	pid_t device = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DEVICE   (the program that device.c makes)\n", argv[0]);
		return 2;
	}
	must("vmirq_vm_create", vmirq_vm_create(&config, &vm));
	must("vmirq_vcpu_create", vmirq_vcpu_create(vm, &cpu, &vcpu));
	must("vmirq_vcpu_bind_thread", vmirq_vcpu_bind_thread(vcpu));
	write_lapic(vcpu, SVR, 0x1ff);

	/* What each of its bits leads to, the device does not know. */
	must("vmirq_mailbox_create", vmirq_mailbox_create(vm, &shared, &mailbox));
	for (uint32_t i = 0; i < DEVICES; i++) {
		must("vmirq_route_set_msi", vmirq_route_set_msi(vm, GSI + i, LAPIC, VECTOR + i));
		must("vmirq_mailbox_bind", vmirq_mailbox_bind(mailbox, i, GSI + i));
	}
	must("vmirq_pump_start", vmirq_pump_start(vmirq_vm_pump(vm)));
	socket = start_device(argv[1], &device);
	must("the device's socket", vmirq_mailbox_send(mailbox, socket));
	must("vmirq_mailbox_watch", vmirq_mailbox_watch(mailbox, socket, device_died, vcpu));
	vmirq_mailbox_start_looking(mailbox);

	for (uint32_t n = 0; n < INTERRUPTS; n++) {
		unsigned char request = (unsigned char)(n % DEVICES);

		must("the device's socket", (int)send(socket, &request, 1, MSG_NOSIGNAL));
		take_interrupt(vcpu, mailbox, VECTOR + request);
	}

	vmirq_mailbox_stop_looking(mailbox);
	/* A socket that is watched is duplicated: both are to be closed before the device sees its end. */
	must("vmirq_mailbox_watch", vmirq_mailbox_watch(mailbox, -1, NULL, NULL));
	close(socket);
	must("waitpid", waitpid(device, &status, 0));
	must("vmirq_mailbox_counts", vmirq_mailbox_counts(mailbox, &counts));
	printf("%d interrupts handled, for which the device rang %llu times\n", INTERRUPTS,
	       (unsigned long long)counts.doorbells);
	must("vmirq_mailbox_destroy", vmirq_mailbox_destroy(mailbox));
	must("vmirq_vcpu_unbind_thread", vmirq_vcpu_unbind_thread(vcpu));
	must("vmirq_vm_destroy", vmirq_vm_destroy(vm));
	return status != 0 || counts.raised != INTERRUPTS;
}
