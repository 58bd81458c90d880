// SPDX-License-Identifier: MIT
/* Lines and irqfds beside a change of their route: forced, by acting while the kernel is given the new
 * table. */
#include "world.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EDGE  0x51
#define OTHER 0x52

/* Called once, before the next KVM_SET_GSI_ROUTING. */
static void (*_Atomic meanwhile)(struct world *w);
static struct world *world_of_meanwhile;

/* In place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	void (*act)(struct world * w) = meanwhile;
	void *argument;
	va_list list;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (request == KVM_SET_GSI_ROUTING && act) {
		meanwhile = NULL;
		act(world_of_meanwhile);
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

static void at_next_change(struct world *w, void (*act)(struct world *w))
{
	world_of_meanwhile = w;
	meanwhile = act;
}

static struct kvm_irq_routing_entry to_pin(uint32_t gsi, uint32_t pin)
{
	struct kvm_irq_routing_entry entry = { .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };

	entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	entry.u.irqchip.pin = pin;
	return entry;
}

static void route_pin(struct world *w, uint32_t gsi, uint32_t pin)
{
	struct kvm_irq_routing_entry entry = to_pin(gsi, pin);

	assert_int_equal(vmirq_route_set(w->vm, &entry, 1), 0);
}

static void set_line(struct world *w, uint32_t gsi, bool level)
{
	int error;

	vmirq_line_set(w->vm, gsi, 0, level, &error);
	assert_int_equal(error, 0);
}

/* A line that is high is no edge once more where its route stays. */
static void the_same_route_is_no_edge(struct world *w)
{
	world_rte(w, 9, 1, EDGE, false);
	set_line(w, 9, true);
	world_take(w, 1, EDGE);
	assert_int_equal(vmirq_route_pc_default(w->vm), 0);
	world_take_nothing(w);
	route_pin(w, 40, 10);
	assert_int_equal(vmirq_route_pc_default(w->vm), 0);
	world_take_nothing(w);
	set_line(w, 9, false);
	set_line(w, 9, true);
	world_take(w, 1, EDGE);
	set_line(w, 9, false);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void *pulse_both(void *argument)
{
	struct world *w = argument;
	int error;

	vmirq_line_pulse(w->vm, 9, 0, &error);
	assert_int_equal(error, 0);
	vmirq_line_pulse(w->vm, 40, 0, &error);
	assert_int_equal(error, 0);
	return NULL;
}

static pthread_t pulser;

/* By another thread: it may have to wait for the change. */
static void start_pulses(struct world *w)
{
	assert_int_equal(pthread_create(&pulser, NULL, pulse_both, w), 0);
	pause_ms(20);
}

static void end_pulses(struct world *w)
{
	if (meanwhile) { /* the kernel was not asked */
		meanwhile = NULL;
		start_pulses(w);
	}
	assert_int_equal(pthread_join(pulser, NULL), 0);
}

/* An edge of a line whose route is being changed goes the old way or the new one, but it goes; one that
 * is in the same change and stays what it is does not notice. */
static void an_edge_meanwhile_is_not_lost(struct world *w)
{
	struct kvm_irq_routing_entry table[] = { to_pin(9, 9), to_pin(40, 10) };

	world_rte(w, 9, 1, EDGE, false);
	world_rte(w, 10, 2, OTHER, false);
	world_rte(w, 11, 2, OTHER, false);
	assert_int_equal(vmirq_route_set_all(w->vm, table, 2), 0);
	for (uint32_t pin = 11; pin >= 10; pin--) {
		table[1] = to_pin(40, pin);
		at_next_change(w, start_pulses);
		assert_int_equal(vmirq_route_set_all(w->vm, table, 2), 0);
		end_pulses(w);
		world_take(w, 1, EDGE);
		world_take(w, 2, OTHER);
		world_take_nothing(w);
	}
}

static struct vmirq_irqfd *call;

/* The pump raises it, and finds its line on the way to somewhere else. */
static void signal_call(struct world *w)
{
	(void)w;
	assert_signal(call, VMIRQ_HELD);
	pause_ms(20);
}

/* From pins to a message: it goes by the one or by the other. */
static void a_signal_meanwhile_is_not_lost(struct world *w)
{
	world_rte(w, 10, 2, OTHER, false);
	route_pin(w, 40, 10);
	call = world_irqfd(w, 40, -1);
	at_next_change(w, signal_call);
	world_route(w, 40, 2, OTHER);
	if (meanwhile)
		assert_signal(call, VMIRQ_DELIVERED);
	meanwhile = NULL;
	world_take(w, 2, OTHER);
	world_take_nothing(w);
}

static int level_event;

/* The pump reads it: it has been taken from the kernel for the change. */
static void write_level(struct world *w)
{
	(void)w;
	world_write(level_event, 1);
	pause_ms(20);
}

/* A level irqfd's level is the kernel's to raise and to lower: what the pump reads of it meanwhile raises
 * none that nobody would lower. */
static void a_level_meanwhile_does_not_stick(struct world *w)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = 9,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = eventfd(0, EFD_NONBLOCK),
					     .resamplefd = eventfd(0, EFD_NONBLOCK) };
	struct vmirq_irqfd *irqfd;
	int error = vmirq_irqfd_assign(w->vm, &config, &irqfd);

	if (error == -EINVAL) { /* it has none */
		close(config.eventfd);
		close(config.resamplefd);
		return;
	}
	assert_int_equal(error, 0);
	level_event = config.eventfd;
	at_next_change(w, write_level);
	assert_int_equal(vmirq_route_clear(w->vm, 9), 0);
	meanwhile = NULL;
	assert_int_equal(vmirq_line_level(w->vm, 9), 0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(vmirq_line_level(w->vm, 9), 0);
	world_rte(w, 9, 1, EDGE, true);
	route_pin(w, 9, 9);
	world_take_nothing(w);
	close(config.eventfd);
	close(config.resamplefd);
}

/* What was signalled by call before deassign comes, and nothing of it is left in the eventfd. */
static void a_level_by_call_before_deassign(struct world *w)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = 9,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = eventfd(0, EFD_NONBLOCK),
					     .resamplefd = eventfd(0, EFD_NONBLOCK) };
	struct vmirq_irqfd *irqfd;
	uint64_t left;

	world_rte(w, 9, 1, EDGE, false);
	for (int i = 0; i < 50; i++) {
		int error = vmirq_irqfd_assign(w->vm, &config, &irqfd);

		if (error == -EINVAL)
			break;
		assert_int_equal(error, 0);
		assert_signal(irqfd, VMIRQ_HELD);
		assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		assert_true(read(config.eventfd, &left, sizeof(left)) < 0);
		world_take(w, 1, EDGE);
	}
	close(config.eventfd);
	close(config.resamplefd);
}

static const struct world_case cases[] = {
	{ "the same route is no edge", the_same_route_is_no_edge },
	{ "an edge meanwhile is not lost", an_edge_meanwhile_is_not_lost },
	{ "a signal meanwhile is not lost", a_signal_meanwhile_is_not_lost },
	{ "a level by call before deassign", a_level_by_call_before_deassign },
	{ "a level meanwhile does not stick", a_level_meanwhile_does_not_stick },
};

int main(void)
{
	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
