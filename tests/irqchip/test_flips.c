// SPDX-License-Identifier: MIT
/*
 * An eventfd whose route flips between a message, an NMI, a pin and nothing, on each irqchip: it moves
 * between the kernel and the pump. One is written, or an irqfd is called, while that happens, and at least
 * one of its signals arrives; another is written after it, and each write arrives once, by the present route.
 */
#include "world.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ROUNDS 300
#define GSI    40
#define OTHER  41 /* changed in the same transactions */
#define PIN    10

enum way { MESSAGE, NMI_MESSAGE, OTHER_MESSAGE, OTHER_NMI, ON_PIN, NOWHERE, WAYS };

/* Where it comes out. */
static const struct {
	unsigned int vcpu;
	uint8_t vector; /* 0: an NMI */
} sink[] = { { 1, 0x51 }, { 0, 0 }, { 2, 0x53 }, { 2, 0 }, { 2, 0x54 } };

struct flipper {
	struct world *w;
	const struct world_config *config;
	enum way way;
	uint32_t random;
	pthread_barrier_t barrier;
	int burst_on;
	struct vmirq_irqfd *called; /* in its place */
	uint32_t burst;		    /* so many writes; UINT32_MAX ends the thread */
};

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* What has come as NMIs, which are taken out. */
static unsigned int take_nmis(struct world *w, unsigned int vcpu)
{
	struct kvm_vcpu_events events;
	unsigned int n;
	uint32_t vector;

	if (w->irqchip == VMIRQ_IRQCHIP_SOFT) {
		for (n = 0; vmirq_vcpu_step(w->vcpu[vcpu], 0, &vector) == VMIRQ_STEP_NMI; n++)
			;
		vmirq_vcpu_leave(w->vcpu[vcpu]);
		return n;
	}
	assert_int_equal(ioctl(w->fd[vcpu], KVM_GET_VCPU_EVENTS, &events), 0);
	n = events.nmi.pending;
	if (!n)
		return 0; /* what comes just now stays */
	events.nmi.pending = 0;
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	assert_int_equal(ioctl(w->fd[vcpu], KVM_SET_VCPU_EVENTS, &events), 0);
	return n;
}

static bool take_if_there(struct world *w, enum way way)
{
	if (!sink[way].vector)
		return take_nmis(w, sink[way].vcpu) > 0;
	if (!world_pending(w, sink[way].vcpu, sink[way].vector))
		return false;
	world_take(w, sink[way].vcpu, sink[way].vector);
	return true;
}

static void set_way(struct flipper *f, enum way way)
{
	struct kvm_irq_routing_entry pin = { .gsi = GSI, .type = KVM_IRQ_ROUTING_IRQCHIP };
	struct vmirq_vm *vm = f->w->vm;

	pin.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	pin.u.irqchip.pin = PIN;
	if (way == NOWHERE)
		assert_int_equal(vmirq_route_clear(vm, GSI), 0);
	else if (way == ON_PIN)
		assert_int_equal(vmirq_route_set(vm, &pin, 1), 0);
	else
		assert_int_equal(vmirq_route_set_msi(vm, GSI, 0xfee00000u | sink[way].vcpu << 12,
						     sink[way].vector ? sink[way].vector : 0x400),
				 0);
}

static void flip(struct flipper *f, enum way way)
{
	bool together = next_random(&f->random) % 2;

	if (together) {
		assert_int_equal(vmirq_route_begin(f->w->vm), 0);
		set_way(f, (enum way)(next_random(&f->random) % WAYS));
		world_route(f->w, OTHER, 0, (uint8_t)(0x60 + next_random(&f->random) % 16));
	}
	set_way(f, way);
	if (together)
		assert_int_equal(vmirq_route_commit(f->w->vm), 0);
	f->way = way;
}

static void *run_writer(void *argument)
{
	struct flipper *f = argument;

	for (;;) {
		pthread_barrier_wait(&f->barrier);
		if (f->burst == UINT32_MAX)
			return NULL;
		for (uint32_t n = f->burst; n; n--) {
			if (f->called)
				vmirq_irqfd_signal(f->called);
			else
				world_write(f->burst_on, 1);
			sched_yield();
		}
		pthread_barrier_wait(&f->barrier);
	}
}

/* Written while it flips: deassign waits for all that is on its way, and then something is there. */
static void flips_under_writes(struct flipper *f)
{
	bool by_call = next_random(&f->random) % 2;
	struct vmirq_irqfd *irqfd;
	unsigned int came = 0;

	f->burst_on = by_call ? -1 : eventfd(0, EFD_NONBLOCK);
	irqfd = world_irqfd(f->w, GSI, f->burst_on);
	f->called = by_call ? irqfd : NULL;
	f->burst = next_random(&f->random) % 8;
	pthread_barrier_wait(&f->barrier);
	for (uint32_t n = 1 + next_random(&f->random) % 3; n; n--)
		flip(f, (enum way)(next_random(&f->random) % NOWHERE));
	pthread_barrier_wait(&f->barrier);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	for (int way = 0; way < NOWHERE; way++)
		came += take_if_there(f->w, (enum way)way);
	assert_int_equal(came > 0, f->burst > 0);
	if (!by_call)
		close(f->burst_on);
}

static void nmi_comes_once(struct world *w, unsigned int vcpu)
{
	unsigned int n = 0;

	for (int i = 0; i < 5000 && !n; i++) {
		n = take_nmis(w, vcpu);
		if (!n)
			usleep(1000);
	}
	assert_int_equal(n, 1);
}

static void nothing_else(struct flipper *f)
{
	for (int way = 0; way < NOWHERE; way++)
		assert_false(take_if_there(f->w, (enum way)way));
}

/* Who reads it: the kernel, what it can deliver by itself. */
static void is_where_it_belongs(struct world *w, const struct world_config *config, enum way way)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };
	bool kernel = config->irqchip == VMIRQ_IRQCHIP_KVM ||
		      (config->irqchip == VMIRQ_IRQCHIP_SPLIT && way != ON_PIN);

	assert_int_equal(vmirq_gsi_counts(w->vm, GSI, &c), 0);
	assert_int_equal(c.unobserved,
			 kernel && way != NOWHERE && !(config->without & VMIRQ_CAP_IRQFD));
}

static uint64_t without_route(struct world *w)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_gsi_counts(w->vm, GSI, &c), 0);
	return c.verdict[VMIRQ_NO_ROUTE];
}

/* The pump reads it, and nothing comes of it. */
static void comes_to_nothing(struct flipper *f, int fd)
{
	uint64_t before = without_route(f->w);

	world_write(fd, 1);
	for (int i = 0; i < 5000 && without_route(f->w) == before; i++)
		usleep(1000);
	assert_int_equal(without_route(f->w), before + 1);
}

/* One at a time. */
static void paced(struct flipper *f, int fd)
{
	assert_int_equal(vmirq_vm_quiesce(f->w->vm), 0);
	is_where_it_belongs(f->w, f->config, f->way);
	nothing_else(f);
	if (f->way == NOWHERE)
		comes_to_nothing(f, fd);
	else
		world_write(fd, 1);
	if (f->way != NOWHERE && sink[f->way].vector)
		world_take(f->w, sink[f->way].vcpu, sink[f->way].vector);
	else if (f->way != NOWHERE)
		nmi_comes_once(f->w, sink[f->way].vcpu);
	nothing_else(f);
}

static void flips(struct world *w, const struct world_config *config)
{
	struct flipper f = { .w = w, .config = config, .random = 3 };
	int fd = eventfd(0, EFD_NONBLOCK);
	pthread_t writer;

	world_rte(w, PIN, sink[ON_PIN].vcpu, sink[ON_PIN].vector, false);
	set_way(&f, MESSAGE);
	world_irqfd(w, GSI, fd);
	pthread_barrier_init(&f.barrier, NULL, 2);
	assert_int_equal(pthread_create(&writer, NULL, run_writer, &f), 0);
	for (int round = 0; round < ROUNDS; round++) {
		flips_under_writes(&f);
		paced(&f, fd);
		if (round % 16 == 0) {
			flip(&f, NOWHERE);
			paced(&f, fd);
			flip(&f, (enum way)(next_random(&f.random) % NOWHERE));
			paced(&f, fd);
			world_take_nothing(w);
		}
	}
	f.burst = UINT32_MAX;
	pthread_barrier_wait(&f.barrier);
	pthread_join(writer, NULL);
	pthread_barrier_destroy(&f.barrier);
	close(fd);
}

static const struct {
	const char *name;
	struct world_config config;
} worlds[] = {
	{ "soft", { .irqchip = VMIRQ_IRQCHIP_SOFT, .flags = VMIRQ_VM_PC_CHIPS } },
	{ "split", { .irqchip = VMIRQ_IRQCHIP_SPLIT, .flags = VMIRQ_VM_PC_CHIPS } },
	{ "kvm", { .irqchip = VMIRQ_IRQCHIP_KVM, .flags = VMIRQ_VM_PC_CHIPS } },
	{ "kvm without irqfd",
	  { .irqchip = VMIRQ_IRQCHIP_KVM,
	    .flags = VMIRQ_VM_PC_CHIPS,
	    .without = VMIRQ_CAP_IRQFD } },
};

static void run_case(void **state)
{
	const struct world_config *config = &worlds[(uintptr_t)*state].config;
	struct world *w;

	if (!world_possible(config->irqchip)) {
		print_message("SKIP: no /dev/kvm\n");
		skip();
	}
	w = world_new(config);
	flips(w, config);
	world_free(w);
}

int main(void)
{
	enum { WORLDS = sizeof(worlds) / sizeof(worlds[0]) };
	struct CMUnitTest tests[WORLDS];

	for (uintptr_t i = 0; i < WORLDS; i++)
		tests[i] = (struct CMUnitTest){ .name = worlds[i].name,
						.test_func = run_case,
						.initial_state = (void *)i };
	return _cmocka_run_group_tests("flips", tests, WORLDS, NULL, NULL);
}
