// SPDX-License-Identifier: MIT
/* A thread that is cancelled is so before a call or after it: what it has begun to bind, to unbind or
 * to stop it ends. */
#include "../support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/bypass.h>
#include <vmirq/ioeventfd.h>
#include <vmirq/trigger.h>

#define BELL UINT64_C(0xd0000000)

struct call {
	struct soft *s;
	int fd;
	struct vmirq_irqfd *irqfd;
	struct vmirq_trigger *trigger;
	int (*what)(struct call *c);
	bool returned;
};

/* Nothing on its own stack: AddressSanitizer does not see the end of a frame that is unwound. */
static void *make_cancelled(void *argument)
{
	struct call *c = argument;

	pthread_cancel(pthread_self());
	c->returned = c->what(c) == 0;
	pthread_testcancel();
	return NULL;
}

static void run(struct call *c, int (*what)(struct call *c))
{
	pthread_t thread;
	void *result = NULL;

	c->what = what;
	c->returned = false;
	assert_int_equal(pthread_create(&thread, NULL, make_cancelled, c), 0);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
}

static int assign(struct call *c)
{
	c->irqfd = irqfd_on(c->s, 3, c->fd);
	return 0;
}

static int deassign(struct call *c)
{
	return vmirq_irqfd_deassign(c->irqfd);
}

static void an_assign_is_whole(void **state)
{
	struct call c = { .s = soft_new(1), .fd = eventfd(0, EFD_NONBLOCK) };
	struct soft *other = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	alarm(10);
	route_to(c.s, 3, 0, 0x41);
	run(&c, assign);
	/* The registry is the process's: nobody has it locked. */
	irqfd_on(other, 3, fd);
	assert_true(c.returned);
	eventfd_write(c.fd, 1);
	dispatch(c.s);
	take_only(c.s->vcpu[0], 0x41);
	alarm(0);
	soft_free(other);
	soft_free(c.s);
	close(fd);
	close(c.fd);
}

static void a_deassign_is_whole(void **state)
{
	struct call c = { .s = soft_new(1), .fd = eventfd(0, EFD_NONBLOCK) };
	struct kvm_irqfd again = { .fd = (uint32_t)c.fd,
				   .gsi = 3,
				   .flags = KVM_IRQFD_FLAG_DEASSIGN };

	(void)state;
	alarm(10);
	c.irqfd = irqfd_on(c.s, 3, c.fd);
	run(&c, deassign);
	/* Nothing to deassign, nor is anybody still at it. */
	assert_int_equal(vmirq_irqfd(c.s->vm, &again), 0);
	assert_true(c.returned);
	irqfd_on(c.s, 3, c.fd);
	alarm(0);
	soft_free(c.s);
	close(c.fd);
}

/* The descriptor that the next one will be: a library's duplicate that was left open has taken it. */
static int next_descriptor(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

static int doorbell(const struct call *c, uint32_t kvm_flags)
{
	struct vmirq_ioeventfd_config config = {
		.size = sizeof(config),
		.kernel = { .addr = BELL, .len = 4, .fd = c->fd, .flags = kvm_flags },
		.flags = VMIRQ_IOEVENTFD_TRUSTED,
	};

	return vmirq_ioeventfd_config(c->s->vm, &config);
}

static int ring(struct call *c)
{
	uint32_t value = 0;

	return vmirq_vm_mmio(c->s->vm, BELL, &value, sizeof(value), true);
}

static int take_doorbell(struct call *c)
{
	return doorbell(c, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

static void a_doorbell_is_whole(void **state)
{
	struct call c = { .s = soft_new(1), .fd = eventfd(0, EFD_NONBLOCK) };
	int next = next_descriptor();
	eventfd_t rings;

	(void)state;
	alarm(10);
	assert_int_equal(doorbell(&c, 0), 0);
	run(&c, ring);
	assert_true(c.returned);
	assert_int_equal(eventfd_read(c.fd, &rings), 0);
	assert_int_equal(rings, 1);
	run(&c, take_doorbell);
	assert_true(c.returned);
	assert_int_equal(next_descriptor(), next);
	alarm(0);
	soft_free(c.s);
	close(c.fd);
}

static int create_trigger(struct call *c)
{
	struct vmirq_trigger_config config = { .size = sizeof(config),
					       .bypass = vmirq_vm_bypass(c->s->vm),
					       .eventfd = c->fd };

	return vmirq_trigger_create(&config, &c->trigger);
}

/* With no irqfd on it: it goes by the eventfd. */
static int signal_trigger(struct call *c)
{
	return vmirq_trigger_signal(c->trigger) == VMIRQ_HELD ? 0 : -EIO;
}

static int destroy_trigger(struct call *c)
{
	return vmirq_trigger_destroy(c->trigger);
}

static void a_trigger_is_whole(void **state)
{
	struct call c = { .s = soft_new(1), .fd = eventfd(0, EFD_NONBLOCK) };
	struct vmirq_trigger_counts counts = { .size = sizeof(counts) };
	int next = next_descriptor();
	eventfd_t written;

	(void)state;
	alarm(10);
	run(&c, create_trigger);
	assert_true(c.returned);
	run(&c, signal_trigger);
	assert_true(c.returned);
	assert_int_equal(vmirq_trigger_counts(c.trigger, &counts), 0);
	assert_int_equal(counts.path[VMIRQ_PATH_EVENTFD], 1);
	assert_int_equal(eventfd_read(c.fd, &written), 0);
	assert_int_equal(written, 1);
	run(&c, destroy_trigger);
	assert_true(c.returned);
	assert_int_equal(next_descriptor(), next);
	alarm(0);
	soft_free(c.s);
	close(c.fd);
}

static int stop_pump(struct call *c)
{
	return vmirq_pump_stop(vmirq_vm_pump(c->s->vm));
}

static void a_pumps_stop_is_whole(void **state)
{
	struct call c = { .s = soft_new(1) };
	struct vmirq_pump *pump = vmirq_vm_pump(c.s->vm);

	(void)state;
	alarm(10);
	assert_int_equal(vmirq_pump_start(pump), 0);
	run(&c, stop_pump);
	assert_true(c.returned);
	assert_int_equal(vmirq_pump_start(pump), 0);
	assert_int_equal(vmirq_pump_stop(pump), 0);
	alarm(0);
	soft_free(c.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_assign_is_whole),	 cmocka_unit_test(a_deassign_is_whole),
		cmocka_unit_test(a_doorbell_is_whole),	 cmocka_unit_test(a_trigger_is_whole),
		cmocka_unit_test(a_pumps_stop_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
