// SPDX-License-Identifier: MIT
/*
 * What must not wait is refused in a pump's callback (here a mailbox's `dead`), where whoever it would wait for may
 * be waiting for the callback to end: and then nothing has been done. A thread that unmasks a vector meanwhile, and
 * so waits for callbacks with the kernel's table in its hands, comes through.
 */
/* Theirs, not sys/socket.h's. */
#define send send_message
#include "world.h"
#undef send

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <vmirq/mailbox.h>
#include <vmirq/msix.h>

enum {
	ROUTED = 60, /* always to vector 0x41 */
	EMPTY,
	FREED,
};

enum call {
	SET,
	CLEAR,
	SET_ALL,
	PC_DEFAULT,
	COMMIT,
	FREE,
	ASSIGN,
	ASSIGN_AS_THE_KERNEL,
	ASSIGN_MANY,
	CREATE_DEVICE,
	CREATE_VCPU,
	CALLS
};

static struct world *world;
static uint32_t to_free;
static int result[CALLS];
static _Atomic int stage; /* 1: in the callback; 2: the others may be called; 3: it has ended */

static int set(void)
{
	return vmirq_route_set_msi(world->vm, EMPTY, 0xfee00000, 0x51);
}

static int commit(void)
{
	int error = vmirq_route_begin(world->vm);

	if (!error)
		error = set();
	/* Collected only. */
	return error ? error : vmirq_route_commit(world->vm);
}

static void try_assigns(void)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = EMPTY, .eventfd = -1 };
	struct kvm_irqfd args = { .gsi = EMPTY };
	struct vmirq_irqfd *irqfd;
	int fds[2];

	result[ASSIGN] = vmirq_irqfd_assign(world->vm, &config, &irqfd);
	result[ASSIGN_MANY] = vmirq_irqfd_assign_many(world->vm, &config, 1, &irqfd);
	/* What is no eventfd is none there, too. */
	if (pipe(fds))
		return;
	args.fd = (uint32_t)fds[0];
	result[ASSIGN_AS_THE_KERNEL] = vmirq_irqfd(world->vm, &args);
	close(fds[0]);
	close(fds[1]);
}

static void try_all(void)
{
	struct kvm_irq_routing_entry e = { .gsi = ROUTED, .type = KVM_IRQ_ROUTING_MSI };
	struct vmirq_msix_config device = { .size = sizeof(device), .vectors = 1 };
	struct vmirq_vcpu_config vcpu = { .size = sizeof(vcpu), .index = 200, .apic_id = 200 };
	struct kvm_run run = { 0 };
	struct vmirq_msix *msix;
	struct vmirq_vcpu *created;

	e.u.msi.address_lo = 0xfee00000;
	e.u.msi.data = 0x41;
	vcpu.kvm_run = world->irqchip == VMIRQ_IRQCHIP_SOFT ? NULL : &run;
	result[SET] = set();
	result[CLEAR] = vmirq_route_clear(world->vm, EMPTY);
	result[COMMIT] = commit();
	result[SET_ALL] = vmirq_route_set_all(world->vm, &e, 1);
	result[PC_DEFAULT] = vmirq_route_pc_default(world->vm);
	result[FREE] = vmirq_gsi_free(world->vm, to_free);
	try_assigns();
	result[CREATE_DEVICE] = vmirq_msix_create(world->vm, &device, &msix);
	result[CREATE_VCPU] = vmirq_vcpu_create(world->vm, &vcpu, &created);
}

static void dead(void *opaque)
{
	(void)opaque;
	stage = 1;
	while (stage != 2)
		sched_yield();
	try_all();
	stage = 3;
}

static void wait_for_stage(int n)
{
	for (int ms = 0; stage != n; ms++) {
		if (ms == 20000)
			fail_msg("the callback is stuck at %d", stage);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
}

/* By a callback that stays until `stage` is 2. */
static struct vmirq_mailbox *start(struct world *w)
{
	struct vmirq_mailbox_config config = { .size = sizeof(config), .count = 1 };
	struct vmirq_mailbox *mailbox;
	int sockets[2];

	world = w;
	stage = 0;
	for (int i = 0; i < CALLS; i++)
		result[i] = 1;
	world_route(w, ROUTED, 0, 0x41);
	assert_int_equal(vmirq_gsi_alloc(w->vm, &to_free), 0);
	world_route(w, to_free, 0, 0x42);
	assert_int_equal(vmirq_mailbox_create(w->vm, &config, &mailbox), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_int_equal(vmirq_mailbox_watch(mailbox, sockets[0], dead, NULL), 0);
	close(sockets[0]);
	close(sockets[1]);
	wait_for_stage(1);
	return mailbox;
}

static uint32_t data_of(struct world *w, uint32_t gsi)
{
	struct kvm_irq_routing_entry e = { .u.msi.data = 0 };
	int n = vmirq_route_get(w->vm, gsi, &e, 1);

	return n ? e.u.msi.data : 0;
}

static void refused(struct world *w)
{
	bool kernel = w->irqchip != VMIRQ_IRQCHIP_SOFT;
	struct vmirq_mailbox *mailbox = start(w);

	stage = 2;
	wait_for_stage(3);
	for (int i = SET; i <= ASSIGN; i++)
		if (result[i] != (kernel ? -EDEADLK : 0))
			fail_msg("call %d: %d", i, result[i]);
	assert_int_equal(result[ASSIGN_AS_THE_KERNEL], kernel ? -EDEADLK : -EINVAL);
	for (int i = ASSIGN_MANY; i < CALLS; i++)
		if (result[i] != -EDEADLK)
			fail_msg("call %d: %d", i, result[i]);
	assert_int_equal(vmirq_mailbox_destroy(mailbox), 0);
	assert_int_equal(data_of(w, ROUTED), 0x41);
	if (!kernel)
		return;
	assert_int_equal(data_of(w, EMPTY), 0);
	/* Nobody has it open, and it is still to be freed. */
	assert_int_equal(data_of(w, to_free), 0x42);
	assert_int_equal(vmirq_gsi_free(w->vm, to_free), 0);
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	assert_int_equal(set(), 0);
	assert_int_equal(vmirq_route_commit(w->vm), 0);
	assert_int_equal(data_of(w, EMPTY), 0x51);
}

static void *unmask(void *msix)
{
	uint32_t value = 0;

	vmirq_msix_table_access(msix, 12, &value, 4, true);
	return NULL;
}

/* The unmask has the routes and waits for the callback, which does not wait for the unmask. */
static void beside_an_unmask(struct world *w)
{
	struct vmirq_msix_config config = { .size = sizeof(config), .vectors = 1 };
	const uint32_t message[] = { 0xfee00000, 0, 0x61 };
	struct vmirq_mailbox *mailbox;
	struct vmirq_msix *msix;
	pthread_t thread;

	assert_int_equal(vmirq_msix_create(w->vm, &config, &msix), 0);
	assert_true(vmirq_msix_lend_eventfd(msix, 0) >= 0);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t value = message[i];

		vmirq_msix_table_access(msix, 4 * i, &value, 4, true);
	}
	vmirq_msix_set_control(msix, true, false);
	mailbox = start(w);
	assert_int_equal(pthread_create(&thread, NULL, unmask, msix), 0);
	/* It is there by then; where it is not, nothing is the worse for it. */
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	stage = 2;
	wait_for_stage(3);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_verdict(vmirq_msix_trigger(msix, 0), VMIRQ_DELIVERED);
	world_take(w, 0, 0x61);
	assert_int_equal(vmirq_mailbox_destroy(mailbox), 0);
	assert_int_equal(vmirq_msix_destroy(msix), 0);
}

int main(void)
{
	const struct world_case cases[] = {
		{ "refused in a callback", refused },
		{ "beside an unmask", beside_an_unmask },
	};

	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
