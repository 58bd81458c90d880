// SPDX-License-Identifier: MIT
/* Bits, where they are bound, who looks, and what the page and its descriptors are like. One thread. */
#include "device_side.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

/* GSI and vector of interrupt i; vCPU 0 takes the vectors. */
#define GSI(i)	  (100 + (i))
#define VECTOR(i) ((uint8_t)(0x40 + (i)))

static struct soft *s;
static struct vmirq_mailbox *mailbox;
static struct vmirq_mailbox_client client;

static void start(uint32_t count)
{
	s = soft_new(1);
	mailbox = mailbox_new(s, count);
	client = client_of(mailbox);
}

static void bind_to_vector(uint32_t i)
{
	route_to(s, GSI(i), 0, VECTOR(i));
	assert_int_equal(vmirq_mailbox_bind(mailbox, i, GSI(i)), 0);
}

static void end(void)
{
	vmirq_mailbox_client_detach(&client);
	mailbox_end(mailbox);
	soft_free(s);
}

static int raise_bit(uint32_t i)
{
	return vmirq_mailbox_client_raise(&client, i);
}

/* How often the doorbell has been rung since it was last read here. */
static uint64_t rings(void)
{
	uint64_t n = 0;

	return read(client.doorbell, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

static void each_bit_arrives_where_it_is_bound(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 63, 64, 65, 128, 700 };

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		start(sizes[k]);
		for (uint32_t i = 0; i < sizes[k]; i++) {
			route_to(s, GSI(i), 0, (uint8_t)(32 + i % 200));
			assert_int_equal(vmirq_mailbox_bind(mailbox, i, GSI(i)), 0);
		}
		/* In an order that is not theirs. */
		for (uint32_t k2 = 0; k2 < sizes[k]; k2++) {
			uint32_t i = (uint32_t)(k2 * UINT64_C(7919) % sizes[k]);

			assert_int_equal(raise_bit(i), 1);
			assert_int_equal(vmirq_mailbox_poll(mailbox), 1);
			assert_int_equal(counts_of_gsi(s, GSI(i)).raised, 1);
			take_only(s->vcpu[0], (uint8_t)(32 + i % 200));
		}
		assert_int_equal(raise_bit(sizes[k]), -EINVAL);
		assert_int_equal(vmirq_mailbox_poll(mailbox), 0);
		end();
	}
}

static void many_at_once_arrive_once_each(void **state)
{
	(void)state;
	start(2048);
	for (uint32_t i = 0; i < 2048; i++)
		if (GSI(i) < SOFT_GSIS)
			assert_int_equal(vmirq_mailbox_bind(mailbox, i, GSI(i)), 0);
	for (int twice = 0; twice < 2; twice++)
		for (uint32_t i = 0; i < 2048; i++)
			assert_int_equal(raise_bit(i), !twice);
	assert_int_equal(vmirq_mailbox_poll(mailbox), SOFT_GSIS - 100);
	for (uint32_t gsi = 100; gsi < SOFT_GSIS; gsi++)
		assert_int_equal(counts_of_gsi(s, gsi).raised, 1);
	assert_int_equal(mailbox_counts(mailbox).raised, 2048);
	assert_int_equal(mailbox_counts(mailbox).held, 2048 - (SOFT_GSIS - 100));
	end();
}

/* More than 2048: the first and the last of a page of bits, of a word, of all. */
static void as_many_as_there_may_be(void **state)
{
	static const uint32_t some[] = { 0, 63, 64, 2047, 2048, 31743, 31744, 65472, 65535 };
	const uint32_t n = sizeof(some) / sizeof(some[0]);

	(void)state;
	assert_int_equal(VMIRQ_MAILBOX_MAX, 65536);
	start(VMIRQ_MAILBOX_MAX);
	for (uint32_t k = 0; k < n; k++) {
		route_to(s, GSI(k), 0, VECTOR(k));
		assert_int_equal(vmirq_mailbox_bind(mailbox, some[k], GSI(k)), 0);
	}
	for (uint32_t k = 0; k < n; k++) {
		assert_int_equal(raise_bit(some[k]), 1);
		assert_int_equal(dispatch(s), 1);
		take_only(s->vcpu[0], VECTOR(k));
	}
	for (uint32_t i = 0; i < VMIRQ_MAILBOX_MAX; i++)
		assert_int_equal(raise_bit(i), 1);
	assert_int_equal(raise_bit(VMIRQ_MAILBOX_MAX), -EINVAL);
	assert_int_equal(vmirq_mailbox_poll(mailbox), n);
	assert_int_equal(take_all(s->vcpu[0], NULL), n);
	assert_int_equal(mailbox_counts(mailbox).held, VMIRQ_MAILBOX_MAX - n);
	end();
}

static void the_doorbell_leads_to_the_pump(void **state)
{
	(void)state;
	start(100);
	bind_to_vector(70);
	assert_int_equal(raise_bit(70), 1);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], VECTOR(70));
	assert_int_equal(dispatch(s), 0);
	assert_int_equal(mailbox_counts(mailbox).doorbells, 1);
	/* And again: it rings for the next turn. */
	assert_int_equal(raise_bit(70), 1);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], VECTOR(70));
	end();
}

/* No system call while somebody looks; one for all that is raised while nobody does. */
static void one_ring_for_each_time_that_nobody_looks(void **state)
{
	(void)state;
	start(200);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(raise_bit(i), 1);
	assert_int_equal(raise_bit(3), 0);
	assert_int_equal(rings(), 1);

	vmirq_mailbox_start_looking(mailbox);
	assert_int_equal(raise_bit(3), 0);
	/* A second looker that leaves is not the last. */
	vmirq_mailbox_start_looking(mailbox);
	assert_int_equal(vmirq_mailbox_stop_looking(mailbox), 0);
	assert_int_equal(raise_bit(4), 0);
	assert_int_equal(rings(), 0);
	assert_int_equal(vmirq_mailbox_stop_looking(mailbox), 0);
	assert_int_equal(vmirq_mailbox_stop_looking(mailbox), -EINVAL);

	assert_int_equal(raise_bit(3), 1);
	assert_int_equal(raise_bit(4), 1);
	assert_int_equal(rings(), 1);
	end();
}

static void the_last_looker_looks_again(void **state)
{
	(void)state;
	start(10);
	bind_to_vector(4);
	vmirq_mailbox_start_looking(mailbox);
	assert_int_equal(raise_bit(4), 1);
	assert_int_equal(vmirq_mailbox_stop_looking(mailbox), 1);
	take_only(s->vcpu[0], VECTOR(4));
	assert_int_equal(rings(), 0);
	end();
}

static void what_is_bound_to_nothing_is_held(void **state)
{
	(void)state;
	start(64);
	assert_int_equal(raise_bit(7), 1);
	assert_int_equal(raise_bit(8), 1);
	assert_int_equal(vmirq_mailbox_poll(mailbox), 0);
	assert_int_equal(mailbox_counts(mailbox).held, 2);
	/* The second is one with the first. */
	assert_int_equal(raise_bit(7), 1);
	assert_int_equal(vmirq_mailbox_poll(mailbox), 0);
	assert_int_equal(mailbox_counts(mailbox).coalesced, 1);
	take_nothing(s->vcpu[0]);
	bind_to_vector(7);
	take_only(s->vcpu[0], VECTOR(7));
	vmirq_mailbox_reset(mailbox);
	assert_int_equal(mailbox_counts(mailbox).dropped, 1);
	bind_to_vector(8);
	take_nothing(s->vcpu[0]);
	end();
}

static void unbind_passes_on_what_was_raised_and_nothing_after(void **state)
{
	(void)state;
	start(64);
	bind_to_vector(5);
	assert_int_equal(raise_bit(5), 1);
	assert_int_equal(vmirq_mailbox_unbind(mailbox, 5), 0);
	take_only(s->vcpu[0], VECTOR(5));
	assert_int_equal(raise_bit(5), 1);
	assert_int_equal(dispatch(s), 1);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_mailbox_unbind(mailbox, 5), -ENOENT);
	/* It goes to who is bound next. */
	route_to(s, 9, 0, 0x99);
	assert_int_equal(vmirq_mailbox_bind(mailbox, 5, 9), 0);
	take_only(s->vcpu[0], 0x99);
	assert_int_equal(counts_of_gsi(s, GSI(5)).raised, 1);
	end();
}

static void a_bit_may_be_bound_to_an_irqfd_of_the_callers(void **state)
{
	struct soft *other = soft_new(1);
	struct vmirq_irqfd *foreign = irqfd_call(other, 3), *irqfd;

	(void)state;
	start(64);
	route_to(s, 3, 0, 0x55);
	irqfd = irqfd_call(s, 3);
	assert_int_equal(vmirq_mailbox_bind_irqfd(mailbox, 5, foreign), -EINVAL);
	assert_int_equal(vmirq_mailbox_bind_irqfd(mailbox, 5, NULL), -EINVAL);
	assert_int_equal(vmirq_mailbox_bind_irqfd(mailbox, 5, irqfd), 0);
	assert_int_equal(vmirq_mailbox_bind_irqfd(mailbox, 5, irqfd), -EBUSY);
	assert_int_equal(vmirq_mailbox_bind(mailbox, 5, 4), -EBUSY);
	assert_int_equal(raise_bit(5), 1);
	assert_int_equal(vmirq_mailbox_poll(mailbox), 1);
	take_only(s->vcpu[0], 0x55);
	assert_int_equal(vmirq_mailbox_unbind(mailbox, 5), 0);
	/* Still the caller's. */
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x55);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	end();
	soft_free(other);
}

static void wrong_arguments_are_refused(void **state)
{
	struct vmirq_mailbox_config config = { .size = sizeof(config) };
	struct vmirq_mailbox_counts c = { .size = sizeof(c) - 1 };
	struct vmirq_mailbox *none = NULL;

	(void)state;
	start(64);
	assert_int_equal(vmirq_mailbox_create(s->vm, &config, &none), -EINVAL);
	config.count = VMIRQ_MAILBOX_MAX + 1;
	assert_int_equal(vmirq_mailbox_create(s->vm, &config, &none), -EINVAL);
	config.count = 4;
	config.burst = 1;
	assert_int_equal(vmirq_mailbox_create(s->vm, &config, &none), -EINVAL);
	config.burst = 0;
	config.flags = 1;
	assert_int_equal(vmirq_mailbox_create(s->vm, &config, &none), -EINVAL);
	config.flags = 0;
	config.size--;
	assert_int_equal(vmirq_mailbox_create(s->vm, &config, &none), -EINVAL);
	assert_null(none);
	config.size++;
	config.count = VMIRQ_MAILBOX_MAX;
	assert_int_equal(vmirq_mailbox_create(s->vm, &config, &none), 0);
	assert_int_equal(vmirq_mailbox_destroy(none), 0);
	assert_int_equal(vmirq_mailbox_destroy(NULL), 0);
	assert_int_equal(vmirq_mailbox_bind(mailbox, 64, 1), -EINVAL);
	assert_int_equal(vmirq_mailbox_bind(mailbox, 0, SOFT_GSIS), -EINVAL);
	assert_int_equal(vmirq_mailbox_bind(mailbox, 0, UINT32_MAX), -EINVAL);
	assert_int_equal(vmirq_mailbox_unbind(mailbox, 64), -EINVAL);
	assert_int_equal(vmirq_mailbox_watch(mailbox, client.doorbell, NULL, NULL), -EINVAL);
	assert_int_equal(vmirq_mailbox_watch(mailbox, 12345, NULL, NULL), -EBADF);
	assert_int_equal(vmirq_mailbox_send(mailbox, client.doorbell), -ENOTSOCK);
	assert_int_equal(vmirq_mailbox_counts(mailbox, &c), -EINVAL);
	end();
}

/* Signals wait for the pump's callbacks, so these wait for none. */
static struct vmirq_irqfd *irqfd;
static int said[4];

static void try_to_wait(void *opaque)
{
	(void)opaque;
	said[0] = vmirq_irqfd_deassign(irqfd);
	said[1] = vmirq_vm_quiesce(s->vm);
	said[2] = vmirq_mailbox_unbind(mailbox, 0);
	said[3] = vmirq_mailbox_destroy(mailbox);
}

static void what_waits_is_refused_in_a_callback(void **state)
{
	int pair[2];

	(void)state;
	start(4);
	bind_to_vector(0);
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_call(s, 3);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(vmirq_mailbox_watch(mailbox, pair[0], try_to_wait, NULL), 0);
	close(pair[1]);
	assert_int_equal(dispatch(s), 1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(said[i], -EDEADLK);
	/* And has changed nothing. */
	assert_verdict(vmirq_irqfd_signal(irqfd), VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(vmirq_mailbox_unbind(mailbox, 0), 0);
	close(pair[0]);
	end();
}

/* A load past the end of a truncated file would kill the VMM. */
static void the_device_cannot_change_the_memfds_size(void **state)
{
	int memfd;

	(void)state;
	start(64);
	memfd = vmirq_mailbox_memfd(mailbox);
	assert_int_equal(ftruncate(memfd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(memfd, 1 << 20), -1);
	assert_int_equal(errno, EPERM);
	/* Nor seal it against our own writing. */
	assert_int_equal(fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	assert_int_equal(errno, EPERM);
	bind_to_vector(1);
	assert_int_equal(raise_bit(1), 1);
	assert_int_equal(vmirq_mailbox_poll(mailbox), 1);
	take_only(s->vcpu[0], VECTOR(1));
	end();
}

/* Whatever the page says, the rest of it is not believed; bits past the last interrupt are none. */
static void only_the_bits_of_the_page_mean_anything(void **state)
{
	uint64_t *looking, *bits;

	(void)state;
	start(70);
	bind_to_vector(69);
	looking = &client.page->looking;
	bits = vmirq_mailbox_word(client.page, 64);
	memset(client.page, 0xff, client.bytes);
	assert_int_equal(vmirq_mailbox_poll(mailbox), 1);
	take_only(s->vcpu[0], VECTOR(69));
	assert_int_equal(mailbox_counts(mailbox).raised, 70);
	assert_int_equal(*bits, 0);
	/* The VMM says again who looks, whatever stood there. */
	vmirq_mailbox_start_looking(mailbox);
	assert_int_equal(*looking % 2, 1);
	assert_int_equal(vmirq_mailbox_stop_looking(mailbox), 0);
	assert_int_equal(*looking, 2);
	end();
}

/* A hole is a page of zeros: bits that the device itself has lost. */
static void a_hole_in_the_page_does_no_harm(void **state)
{
	(void)state;
	start(64);
	bind_to_vector(1);
	assert_int_equal(raise_bit(1), 1);
	if (fallocate(vmirq_mailbox_memfd(mailbox), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      client.bytes) == 0)
		assert_int_equal(vmirq_mailbox_poll(mailbox), 0);
	else
		assert_int_equal(vmirq_mailbox_poll(mailbox), 1);
	take_all(s->vcpu[0], NULL);
	assert_int_equal(raise_bit(1), 1);
	assert_int_equal(vmirq_mailbox_poll(mailbox), 1);
	take_only(s->vcpu[0], VECTOR(1));
	end();
}

/* The VMM only drains it, and never waits for it. */
static void the_doorbell_may_be_filled_drained_and_made_to_block(void **state)
{
	(void)state;
	start(64);
	bind_to_vector(1);
	assert_int_equal(fcntl(client.doorbell, F_SETFL, 0), 0);
	assert_int_equal(eventfd_write(client.doorbell, UINT64_MAX - 1), 0);
	assert_int_equal(dispatch(s), 1);
	assert_int_equal(dispatch(s), 0);
	/* Drained by the device before we come. */
	assert_int_equal(eventfd_write(client.doorbell, 1), 0);
	assert_int_equal(rings(), 1);
	assert_int_equal(dispatch(s), 0);
	assert_int_equal(raise_bit(1), 1);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], VECTOR(1));
	end();
}

static void what_is_no_mailbox_is_not_attached_to(void **state)
{
	struct vmirq_mailbox_client other;
	int fd, bell;

	(void)state;
	start(64);
	bell = vmirq_mailbox_doorbell(mailbox);
	fd = memfd_create("not sealed", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(vmirq_mailbox_client_attach(&other, fd, bell), -EPERM);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(vmirq_mailbox_client_attach(&other, fd, bell), -EPROTO);
	assert_int_equal(vmirq_mailbox_client_attach(&other, -1, bell), -EBADF);
	assert_int_equal(vmirq_mailbox_client_attach(&other, fd, -1), -EBADF);
	close(fd);
	fd = vmirq_mailbox_memfd(mailbox);
	client.page->version++;
	assert_int_equal(vmirq_mailbox_client_attach(&other, fd, bell), -EPROTONOSUPPORT);
	client.page->version--;
	client.page->count = 1 << 16;
	assert_int_equal(vmirq_mailbox_client_attach(&other, fd, bell), -EPROTO);
	client.page->count = 0;
	assert_int_equal(vmirq_mailbox_client_attach(&other, fd, bell), -EPROTO);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bit_arrives_where_it_is_bound),
		cmocka_unit_test(many_at_once_arrive_once_each),
		cmocka_unit_test(as_many_as_there_may_be),
		cmocka_unit_test(the_doorbell_leads_to_the_pump),
		cmocka_unit_test(one_ring_for_each_time_that_nobody_looks),
		cmocka_unit_test(the_last_looker_looks_again),
		cmocka_unit_test(what_is_bound_to_nothing_is_held),
		cmocka_unit_test(unbind_passes_on_what_was_raised_and_nothing_after),
		cmocka_unit_test(a_bit_may_be_bound_to_an_irqfd_of_the_callers),
		cmocka_unit_test(wrong_arguments_are_refused),
		cmocka_unit_test(what_waits_is_refused_in_a_callback),
		cmocka_unit_test(the_device_cannot_change_the_memfds_size),
		cmocka_unit_test(only_the_bits_of_the_page_mean_anything),
		cmocka_unit_test(a_hole_in_the_page_does_no_harm),
		cmocka_unit_test(the_doorbell_may_be_filled_drained_and_made_to_block),
		cmocka_unit_test(what_is_no_mailbox_is_not_attached_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
