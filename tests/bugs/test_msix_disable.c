// SPDX-License-Identifier: MIT
/*
 * MSI-X disabled, masked, or its eventfd taken away, while a foreign eventfd fires (CVE-2024-26812,
 * CVE-2024-26810): what is used afterwards is there or is known to be gone, nothing comes through a mask, and
 * nothing is lost by it. On every irqchip, since the kernel's irqfd and the pump hand the eventfd to each other.
 */
#include "../irqchip/world.h"
#include "../msix/device.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define VECTORS 3u
#define BASE	0x50u
#define ROUNDS	400
#define FDS	2

static int foreign(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static struct vmirq_msix *open_device(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, VECTORS);

	for (uint32_t v = 0; v < VECTORS; v++)
		table_put(msix, v, v, (uint8_t)(BASE + v), false);
	enable(msix);
	return msix;
}

static void control(struct vmirq_msix *msix, bool on, bool masked)
{
	assert_int_equal(vmirq_msix_set_control(msix, on, masked), 0);
}

/* Every call there is, on a vector whose eventfd is gone or whose device is disabled. */
static void use_all(struct vmirq_msix *msix, uint32_t v, bool pending)
{
	struct vmirq_msix_state state = { .size = sizeof(state) };
	uint32_t gsi;

	assert_int_equal(vmirq_msix_pending(msix, v), pending);
	assert_int_equal(pba_bit(msix, v), pending);
	table_mask(msix, v, true);
	table_write(msix, v, ENTRY_DATA, BASE + v);
	assert_int_equal(vmirq_msix_gsi(msix, v, &gsi), 0);
	assert_non_null(vmirq_msix_irqfd(msix, v));
	assert_int_equal(vmirq_msix_save(msix, &state), 0);
	assert_int_equal(vmirq_msix_load(msix, &state), 0);
	assert_int_equal(vmirq_msix_pending(msix, v), pending);
	table_mask(msix, v, false);
	assert_int_equal(vmirq_msix_set_eventfd(msix, v, -1, 0), 0);
}

static void gone(struct world *w, struct vmirq_msix *msix, uint32_t v, int fd)
{
	use_all(msix, v, false);
	if (fd >= 0)
		world_write(fd, 1);
	world_take_nothing(w);
	/* Raised by call as ever. */
	vmirq_msix_trigger(msix, v);
	world_take(w, v, (uint8_t)(BASE + v));
}

/* The eventfd goes while the vector is open, masked, the function masked, and disabled. */
static void trigger_gone(struct world *w)
{
	struct vmirq_msix *msix = open_device(w);

	for (int how = 0; how < 4; how++)
		for (uint32_t v = 0; v < VECTORS; v++) {
			int fd = foreign();

			assert_int_equal(vmirq_msix_set_eventfd(msix, v, fd, 0), 0);
			if (how == 1)
				table_mask(msix, v, true);
			if (how > 1)
				control(msix, how == 2, how == 2);
			/* The device closes its end: ours stays until we let go of it. */
			if (v == 1)
				close(fd);
			assert_int_equal(vmirq_msix_set_eventfd(msix, v, -1, 0), 0);
			if (how > 1)
				use_all(msix, v, false);
			table_mask(msix, v, false);
			enable(msix);
			gone(w, msix, v, v == 1 ? -1 : fd);
			if (v != 1)
				close(fd);
		}
	device_free(msix);
}

/* Disabled: what is written is held, whatever is asked of the vector meanwhile, and comes once. */
static void fires_while_disabled(struct world *w)
{
	struct vmirq_msix *msix = open_device(w);
	int fd[VECTORS];

	for (uint32_t v = 0; v < VECTORS; v++) {
		fd[v] = foreign();
		assert_int_equal(vmirq_msix_set_eventfd(msix, v, fd[v], 0), 0);
	}
	for (int i = 0; i < 3; i++) {
		control(msix, false, i & 1);
		for (uint32_t v = 0; v < VECTORS; v++)
			world_write(fd[v], 1 + v);
		/* Unmasked by its own bit while the function is not enabled: nothing. */
		for (uint32_t v = 0; v < VECTORS; v++) {
			table_mask(msix, v, true);
			table_mask(msix, v, false);
			assert_int_equal(vmirq_msix_pending(msix, v), 1);
		}
		world_take_nothing(w);
		/* The eventfd goes: what it was written stays. */
		assert_int_equal(vmirq_msix_set_eventfd(msix, 2, -1, 0), 0);
		use_all(msix, 2, true);
		world_write(fd[2], 1);
		enable(msix);
		for (uint32_t v = 0; v < VECTORS; v++)
			world_take(w, v, (uint8_t)(BASE + v));
		world_take_nothing(w);
		/* Back, with what it was written while it was nobody's. */
		assert_int_equal(vmirq_msix_set_eventfd(msix, 2, fd[2], 0), 0);
		world_take(w, 2, BASE + 2);
	}
	device_free(msix);
	for (uint32_t v = 0; v < VECTORS; v++)
		close(fd[v]);
}

/* The pump has not got to it: what stood in an eventfd that is taken away is pending, or comes. */
static void unread_when_it_goes(struct world *w)
{
	struct vmirq_msix *msix = open_device(w);
	int fd = foreign();

	assert_int_equal(vmirq_pump_stop(vmirq_vm_pump(w->vm)), 0);
	for (int masked = 0; masked < 2; masked++) {
		control(msix, true, masked);
		assert_int_equal(vmirq_msix_set_eventfd(msix, 1, fd, 0), 0);
		world_write(fd, 1);
		assert_int_equal(vmirq_msix_set_eventfd(msix, 1, -1, 0), 0);
		if (masked)
			world_take_nothing(w);
		enable(msix);
		world_take(w, 1, BASE + 1);
		world_take_nothing(w);
	}
	device_free(msix);
	close(fd);
}

struct race {
	struct world *w;
	struct vmirq_msix *msix;
	int fd[FDS];
	_Atomic uint64_t written;
	_Atomic int guests;
};

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* The device: on both its eventfds, also on the one that is not bound. */
static void *run_device(void *argument)
{
	struct race *r = argument;
	uint32_t random = 1;

	while (atomic_load(&r->guests)) {
		atomic_fetch_add(&r->written, 1);
		world_write(r->fd[next_random(&random) % FDS], 1);
		if (next_random(&random) % 8 == 0)
			sched_yield();
	}
	return NULL;
}

static void bind_either(struct race *r, uint32_t choice)
{
	int fd = choice % 3 < FDS ? r->fd[choice % 3] : -1;
	int error = vmirq_msix_set_eventfd(r->msix, 0, fd, 0);

	/* It is bound already. */
	assert_true(!error || error == -EBUSY);
}

static void *run_guest(void *argument)
{
	struct race *r = argument;
	uint32_t random = 7;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t bits = next_random(&random);

		if (bits & 1)
			control(r->msix, bits & 2, bits & 4);
		else
			table_mask(r->msix, 0, bits & 2);
		if (bits & 8)
			(void)pba_bit(r->msix, 0);
	}
	atomic_fetch_sub(&r->guests, 1);
	return NULL;
}

static void *run_owner(void *argument)
{
	struct race *r = argument;
	uint32_t random = 9;

	for (int i = 0; i < ROUNDS; i++) {
		bind_either(r, next_random(&random));
		if (next_random(&random) % 4 == 0)
			sched_yield();
	}
	atomic_fetch_sub(&r->guests, 1);
	return NULL;
}

static void forget_pending(struct world *w)
{
	for (unsigned int v = 0; v < w->n; v++) {
		struct kvm_lapic_state state;

		assert_int_equal(vmirq_vcpu_get_lapic(w->vcpu[v], &state), 0);
		for (unsigned int i = 0; i < 8; i++)
			memset(state.regs + APIC_IRR + i * 16, 0, 4);
		assert_int_equal(vmirq_vcpu_set_lapic(w->vcpu[v], &state), 0);
	}
}

/* All that was written has been raised: what is left in an eventfd is read when it is bound. */
static void read_the_rest(struct race *r)
{
	control(r->msix, false, false);
	for (int i = 0; i < FDS; i++) {
		assert_int_equal(vmirq_msix_set_eventfd(r->msix, 0, -1, 0), 0);
		assert_int_equal(vmirq_msix_set_eventfd(r->msix, 0, r->fd[i], 0), 0);
		assert_in_range(vmirq_msix_pending(r->msix, 0), 0, 1);
	}
	assert_int_equal(vmirq_msix_set_eventfd(r->msix, 0, -1, 0), 0);
}

static void race(struct world *w)
{
	struct race r = { .w = w, .msix = open_device(w), .guests = 2 };
	pthread_t device, guest, owner;
	struct vmirq_route_counts c;

	for (int i = 0; i < FDS; i++)
		r.fd[i] = foreign();
	assert_int_equal(pthread_create(&device, NULL, run_device, &r), 0);
	assert_int_equal(pthread_create(&guest, NULL, run_guest, &r), 0);
	assert_int_equal(pthread_create(&owner, NULL, run_owner, &r), 0);
	pthread_join(guest, NULL);
	pthread_join(owner, NULL);
	pthread_join(device, NULL);
	read_the_rest(&r);
	c = vector_counts(r.msix, 0);
	/* What the kernel has read it does not count. */
	if (w->irqchip == VMIRQ_IRQCHIP_SOFT)
		assert_int_equal(c.raised, r.written);
	else
		assert_true(c.raised <= r.written);
	/* And all works as before. */
	forget_pending(w);
	assert_int_equal(vmirq_msix_reset(r.msix), 0);
	world_take_nothing(w);
	table_put(r.msix, 0, 0, BASE, false);
	for (int i = 0; i < FDS; i++) {
		assert_int_equal(vmirq_msix_set_eventfd(r.msix, 0, r.fd[i], 0), 0);
		world_write(r.fd[i], 1);
		world_take_nothing(w);
		enable(r.msix);
		world_take(w, 0, BASE);
		world_write(r.fd[i], 1);
		world_take(w, 0, BASE);
		control(r.msix, false, false);
	}
	device_free(r.msix);
	for (int i = 0; i < FDS; i++)
		close(r.fd[i]);
}

static void *run_storm(void *argument)
{
	struct race *r = argument;

	while (atomic_load(&r->guests)) {
		world_write(r->fd[0], 1);
		atomic_fetch_add(&r->written, 1);
		sched_yield();
	}
	return NULL;
}

/* Once the disable, or the mask, has returned nothing comes: each way, in the middle of a storm. */
static void storm(struct world *w)
{
	struct race r = { .w = w, .msix = open_device(w), .guests = 1 };
	uint64_t before;
	pthread_t device;

	r.fd[0] = foreign();
	assert_int_equal(vmirq_msix_set_eventfd(r.msix, 0, r.fd[0], 0), 0);
	assert_int_equal(pthread_create(&device, NULL, run_storm, &r), 0);
	for (int i = 0; i < 12; i++) {
		world_take(w, 0, BASE);
		if (i % 3 == 0)
			control(r.msix, false, false);
		else if (i % 3 == 1)
			control(r.msix, true, true);
		else
			table_mask(r.msix, 0, true);
		/* Two more: one of them has begun since. */
		before = atomic_load(&r.written);
		while (atomic_load(&r.written) < before + 2)
			sched_yield();
		/* The kernel injects what it had read by a work queue: wait that out. */
		assert_int_equal(vmirq_vm_quiesce(w->vm), 0);
		if (w->irqchip != VMIRQ_IRQCHIP_SOFT)
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		forget_pending(w);
		world_take_nothing(w);
		assert_int_equal(vmirq_msix_pending(r.msix, 0), 1);
		table_mask(r.msix, 0, false);
		enable(r.msix);
	}
	atomic_store(&r.guests, 0);
	pthread_join(device, NULL);
	device_free(r.msix);
	close(r.fd[0]);
}

int main(void)
{
	static const struct world_case cases[] = {
		{ "the trigger is gone", trigger_gone },
		{ "it fires while disabled", fires_while_disabled },
		{ "unread when it goes", unread_when_it_goes },
		{ "disabled in a storm", storm },
		{ "all at once", race },
	};

	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
