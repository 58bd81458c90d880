// SPDX-License-Identifier: MIT
/* Who waits for whose unbind: an unbind is held in its producer's callback, and others come beside it. */
#include "../support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/bypass.h>

#include "base/vm.h"
#include "irqfd/irqfd.h"

/* An irqfd on a GSI, whose unbind does something in its callback. */
struct unbound {
	struct soft *s;
	int fd;
	struct vmirq_irqfd *irqfd;
	struct vmirq_producer *producer;
	void (*in_callback)(struct unbound *u);
	pthread_t thread;
	atomic_bool inside, go_on;
	int result;
};

static int words(struct soft *s, int fd, uint32_t gsi)
{
	struct kvm_irqfd args = { .fd = (uint32_t)fd,
				  .gsi = gsi,
				  .flags = KVM_IRQFD_FLAG_DEASSIGN };

	return vmirq_irqfd(s->vm, &args);
}

static void stop(void *opaque)
{
	struct unbound *u = opaque;

	/* Not when it is bound. */
	if (u->irqfd)
		u->in_callback(u);
}

static void bind(struct unbound *u, struct soft *s, uint32_t gsi,
		 void (*in_callback)(struct unbound *u))
{
	struct vmirq_producer_config config = { .size = sizeof(config), .opaque = u, .stop = stop };

	memset(u, 0, sizeof(*u));
	u->s = s;
	u->in_callback = in_callback;
	u->fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(vmirq_eventfd_token(u->fd, &config.token), 0);
	assert_int_equal(vmirq_producer_register(vmirq_vm_bypass(s->vm), &config, &u->producer), 0);
	u->irqfd = irqfd_on(s, gsi, u->fd);
}

static void end(struct unbound *u)
{
	assert_int_equal(vmirq_producer_unregister(u->producer), 0);
	close(u->fd);
}

/* Until it is let go. */
static void stay(struct unbound *u)
{
	atomic_store(&u->inside, true);
	while (!atomic_load(&u->go_on))
		sched_yield();
}

static void *deassign(void *opaque)
{
	struct unbound *u = opaque;

	return (void *)(intptr_t)vmirq_irqfd_deassign(u->irqfd);
}

static void begin_unbind(struct unbound *u)
{
	assert_int_equal(pthread_create(&u->thread, NULL, deassign, u), 0);
	while (!atomic_load(&u->inside))
		sched_yield();
}

static void let_go(struct unbound *u)
{
	void *result;

	atomic_store(&u->go_on, true);
	assert_int_equal(pthread_join(u->thread, &result), 0);
	assert_null(result);
}

/* One that comes second: by the handle, or with -1 for it by words on GSI 3. */
struct second {
	struct soft *s;
	struct vmirq_irqfd *irqfd;
	int fd;
	struct unbound *first;
	bool too_early;
	pthread_t thread;
};

static void *come_second(void *opaque)
{
	struct second *second = opaque;
	int error = second->irqfd ? vmirq_irqfd_deassign(second->irqfd)
				  : words(second->s, second->fd, 3);

	second->too_early = !atomic_load(&second->first->go_on);
	return (void *)(intptr_t)error;
}

static uint32_t waiters(struct soft *s)
{
	struct irqfd_table *table = s->vm->irqfds;
	uint32_t n;

	pthread_mutex_lock(&table->mutex);
	n = table->settling.n;
	pthread_mutex_unlock(&table->mutex);
	return n;
}

static void begin_second(struct second *second, uint32_t waiting)
{
	assert_int_equal(pthread_create(&second->thread, NULL, come_second, second), 0);
	while (waiters(second->s) != waiting)
		sched_yield();
}

static void has_waited(struct second *second)
{
	void *result;

	assert_int_equal(pthread_join(second->thread, &result), 0);
	assert_null(result);
	assert_false(second->too_early);
}

static void the_same_irqfd(void **state)
{
	struct soft *s = soft_new(1);
	struct second by_handle, by_words;
	struct unbound u;

	(void)state;
	bind(&u, s, 3, stay);
	begin_unbind(&u);
	by_handle = (struct second){ .s = s, .irqfd = u.irqfd, .first = &u };
	by_words = (struct second){ .s = s, .fd = u.fd, .first = &u };
	begin_second(&by_handle, 1);
	begin_second(&by_words, 2);
	let_go(&u);
	has_waited(&by_handle);
	has_waited(&by_words);
	end(&u);
	soft_free(s);
}

/* It is neither on the same GSI nor the same irqfd. */
static void another_gsi(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *other;
	struct unbound u;

	(void)state;
	other = irqfd_call(s, 4);
	bind(&u, s, 3, stay);
	begin_unbind(&u);
	assert_int_equal(words(s, u.fd, 4), 0);
	assert_int_equal(vmirq_irqfd_deassign(other), 0);
	assert_false(atomic_load(&u.go_on));
	let_go(&u);
	end(&u);
	soft_free(s);
}

/* Others come and go on the same GSI: there is always one on its way out. */
static void what_begins_later(void **state)
{
	struct soft *s = soft_new(1);
	struct second by_words;
	struct unbound first, later;

	(void)state;
	bind(&first, s, 3, stay);
	bind(&later, s, 3, stay);
	begin_unbind(&first);
	by_words = (struct second){ .s = s, .fd = first.fd, .first = &first };
	begin_second(&by_words, 1);
	begin_unbind(&later);
	let_go(&first);
	has_waited(&by_words);
	assert_false(atomic_load(&later.go_on));
	let_go(&later);
	end(&first);
	end(&later);
	soft_free(s);
}

/* It is through with the wait before it heeds that. */
static void a_waiter_is_cancelled(void **state)
{
	struct soft *s = soft_new(1);
	struct second by_handle;
	struct unbound u;

	(void)state;
	bind(&u, s, 3, stay);
	begin_unbind(&u);
	by_handle = (struct second){ .s = s, .irqfd = u.irqfd, .first = &u };
	begin_second(&by_handle, 1);
	assert_int_equal(pthread_cancel(by_handle.thread), 0);
	let_go(&u);
	has_waited(&by_handle);
	assert_int_equal(waiters(s), 0);
	end(&u);
	soft_free(s);
}

static struct vmirq_irqfd *other_irqfd;
static int other_fd;

/* Of what is being unbound around it. */
static void of_its_own(struct unbound *u)
{
	atomic_store(&u->inside, true);
	assert_int_equal(vmirq_irqfd_deassign(u->irqfd), -EDEADLK);
	assert_int_equal(words(u->s, u->fd, 3), -EDEADLK);
	assert_int_equal(words(u->s, other_fd, 3), -EDEADLK);
	/* Nothing is on its way out there. */
	assert_int_equal(words(u->s, other_fd, 4), 0);
	assert_int_equal(vmirq_irqfd_deassign(other_irqfd), 0);
	u->irqfd = NULL;
}

static void within_an_unbind(void **state)
{
	struct soft *s = soft_new(1);
	struct unbound u;

	(void)state;
	other_irqfd = irqfd_call(s, 4);
	other_fd = eventfd(0, EFD_NONBLOCK);
	bind(&u, s, 3, of_its_own);
	assert_int_equal(vmirq_irqfd_deassign(u.irqfd), 0);
	assert_true(atomic_load(&u.inside));
	/* Both have gone: nothing is left to be waited for. */
	assert_int_equal(words(s, u.fd, 3), 0);
	assert_null(s->vm->irqfds->unbinding);
	end(&u);
	close(other_fd);
	soft_free(s);
}

/* The two would wait for each other. */
static void of_another_threads(struct unbound *u)
{
	stay(u);
	u->result = vmirq_irqfd_deassign(other_irqfd);
}

static void unbinds_of_each_others(void **state)
{
	struct soft *s = soft_new(1);
	struct unbound one, other;

	(void)state;
	bind(&one, s, 3, of_another_threads);
	bind(&other, s, 4, stay);
	other_irqfd = other.irqfd;
	begin_unbind(&one);
	begin_unbind(&other);
	let_go(&one);
	assert_int_equal(one.result, -EDEADLK);
	let_go(&other);
	end(&one);
	end(&other);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_irqfd),    cmocka_unit_test(another_gsi),
		cmocka_unit_test(what_begins_later), cmocka_unit_test(a_waiter_is_cancelled),
		cmocka_unit_test(within_an_unbind),  cmocka_unit_test(unbinds_of_each_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
