// SPDX-License-Identifier: MIT
/* Two fresh VMs, and descriptors to bind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "diff_qemu.h"
#include "diff_session.h"

/* 0..5: plain eventfds, 6: a semaphore, 7: a pipe's end, 8 to 10: none, 11: a timer, 12: a file, 13: 0
 * once more, 14 to 17: eventfds that only throw_resample() binds. */
static int open_fds(struct session *s)
{
	for (int side = 0; side < 2; side++) {
		int pipe_fd[2];

		for (int i = 0; i < 7; i++)
			s->fd[side][i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK |
							    (i == 6 ? EFD_SEMAPHORE : 0));
		if (s->fd[side][6] < 0 || pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK) < 0)
			return -errno;
		s->fd[side][7] = pipe_fd[1];
		close(pipe_fd[0]);
		/* A number just closed would soon be somebody else's. */
		s->fd[side][8] = -1;
		s->fd[side][9] = 1000000;
		s->fd[side][10] = INT_MIN;
		s->fd[side][11] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		s->fd[side][12] = open("/dev/null", O_RDWR | O_CLOEXEC);
		s->fd[side][DIFF_FD_DUPLICATE] = fcntl(s->fd[side][0], F_DUPFD_CLOEXEC, 0);
		for (int i = DIFF_FD_TOLD; i < DIFF_FDS; i++)
			s->fd[side][i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (s->fd[side][DIFF_FDS - 1] < 0 || s->fd[side][11] < 0 || s->fd[side][12] < 0 ||
		    s->fd[side][DIFF_FD_DUPLICATE] < 0)
			return -errno;
	}
	return 0;
}

static int open_sides(struct session *s)
{
	struct side_config config = {
		.kind = SIDE_SOFT,
		.chips = s->script->chips,
		.ids_32bit = s->script->ids_32bit,
	};
	int error;

	memcpy(config.apic_id, s->script->apic_id, sizeof(config.apic_id));
	error = side_open(&s->soft, &config);
	if (error) {
		snprintf(s->why, sizeof(s->why), "%s", s->soft.why);
		return error;
	}
	config.kind = s->script->kernel;
	error = side_open(&s->kernel, &config);
	if (error) {
		snprintf(s->why, sizeof(s->why), "%s", s->kernel.why);
		side_close(&s->soft);
	}
	return error;
}

static void close_fds(struct session *s)
{
	for (int side = 0; side < 2; side++)
		for (int i = 0; i < DIFF_FDS; i++)
			if (s->fd[side][i] >= 0 && i != 9)
				close(s->fd[side][i]);
}

static void add_route(struct kvm_irq_routing *table, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	struct kvm_irq_routing_entry *e = &table->entries[table->nr++];

	e->gsi = gsi;
	e->type = KVM_IRQ_ROUTING_IRQCHIP;
	e->u.irqchip.irqchip = chip;
	e->u.irqchip.pin = pin;
}

/* The PC's table: the kernel's own default has GSI 0 on pin 0 of the IOAPIC. */
static int set_pc_routes(struct session *s)
{
	struct kvm_irq_routing *table = s->table;
	int error;

	for (uint32_t gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++) {
		/* Pin 2 is GSI 0's, and GSI 2 the slave 8259's way to the master. */
		if (gsi != 2)
			add_route(table, gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
		if (gsi < 16)
			add_route(table, gsi,
				  gsi / 8 ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER,
				  gsi % 8);
	}
	error = s->soft.ops->routes(&s->soft, table);
	if (!error)
		error = s->kernel.ops->routes(&s->kernel, table);
	table->nr = 0;
	return error;
}

/* The kernel begins without any in split, and takes none to pins. */
static int set_no_routes(struct session *s)
{
	int error = s->soft.ops->routes(&s->soft, s->table);

	return error ? error : s->kernel.ops->routes(&s->kernel, s->table);
}

static bool can_resample(struct side *soft, const int *fd)
{
	struct kvm_irqfd args = {
		.fd = (uint32_t)fd[0],
		.gsi = SIDE_GSIS - 1,
		.flags = KVM_IRQFD_FLAG_RESAMPLE,
		.resamplefd = (uint32_t)fd[1],
	};
	bool can = soft->ops->irqfd(soft, &args) == 0;

	args.flags = KVM_IRQFD_FLAG_DEASSIGN;
	return can && soft->ops->irqfd(soft, &args) == 0;
}

int session_open(struct session *s)
{
	int error;

	if (s->script->kernel == SIDE_QEMU)
		return qemu_open(s);

	memset(s->fd, 0xff, sizeof(s->fd));
	error = open_sides(s);
	if (error)
		return error;
	error = open_fds(s);
	if (!error && s->script->chips)
		error = s->script->kernel == SIDE_FULL ? set_pc_routes(s) : set_no_routes(s);
	if (!error)
		s->resamples = can_resample(&s->soft, s->fd[0]);
	if (error)
		session_close(s);
	return error;
}

void session_close(struct session *s)
{
	if (s->script->kernel == SIDE_QEMU) {
		qemu_close(s);
		return;
	}
	side_close(&s->soft);
	side_close(&s->kernel);
	close_fds(s);
}
