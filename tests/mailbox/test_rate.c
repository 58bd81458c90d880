// SPDX-License-Identifier: MIT
/* A device over its rate: what is over is held and comes later, all of it, and nobody is left out. */
#include "device_side.h"

#include <sys/eventfd.h>

#include "base/rate.h"

#define MS UINT64_C(1000000)

static struct soft *s;
static struct vmirq_mailbox *mailbox;
static struct vmirq_mailbox_client client;

static void start(uint32_t count, uint32_t rate, uint32_t burst)
{
	struct vmirq_mailbox_config config = {
		.size = sizeof(config), .count = count, .rate = rate, .burst = burst
	};

	s = soft_new(1);
	assert_int_equal(vmirq_mailbox_create(s->vm, &config, &mailbox), 0);
	client = client_of(mailbox);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(vmirq_mailbox_bind(mailbox, i, i), 0);
}

static void end(void)
{
	vmirq_mailbox_client_detach(&client);
	mailbox_end(mailbox);
	soft_free(s);
}

static void raise_all(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_true(vmirq_mailbox_client_raise(&client, i) >= 0);
}

static void what_is_over_the_rate_comes_later(void **state)
{
	uint64_t n = 10;

	(void)state;
	start(100, 1000, 10);
	raise_all(100);
	assert_int_equal(dispatch(s), 1);
	assert_int_equal(mailbox_counts(mailbox).signalled, 10);
	assert_int_equal(mailbox_counts(mailbox).held, 90);
	assert_int_equal(mailbox_counts(mailbox).throttled, 1);
	assert_int_equal(vmirq_mailbox_poll(mailbox), 0);
	while (n < 100) {
		assert_int_equal(vmirq_mailbox_deadline(mailbox), s->now + MS);
		s->now += 3 * MS;
		assert_int_equal(vmirq_mailbox_poll(mailbox), n + 3 <= 100 ? 3 : 100 - n);
		n = mailbox_counts(mailbox).signalled;
	}
	assert_int_equal(n, 100);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(counts_of_gsi(s, i).raised, 1);
	assert_int_equal(mailbox_counts(mailbox).held, 0);
	assert_int_equal(vmirq_mailbox_deadline(mailbox), UINT64_MAX);
	end();
}

/* A device that behaves need not ring while it is held up; it is heard again afterwards. */
static void while_it_is_held_up_somebody_will_look(void **state)
{
	uint64_t n;

	(void)state;
	start(100, 1000, 10);
	raise_all(11);
	assert_int_equal(dispatch(s), 1);
	assert_int_equal(vmirq_mailbox_client_raise(&client, 50), 1);
	assert_int_equal(read(client.doorbell, &n, sizeof(n)), -1);
	s->now += 5 * MS;
	assert_int_equal(vmirq_mailbox_poll(mailbox), 2);
	assert_int_equal(mailbox_counts(mailbox).throttled, 0);
	assert_int_equal(vmirq_mailbox_client_raise(&client, 60), 1);
	assert_int_equal(dispatch(s), 1);
	assert_int_equal(counts_of_gsi(s, 60).raised, 1);
	end();
}

/* Rings with nothing behind them cost as signals do, and then are not listened to. */
static void rings_in_vain_are_limited(void **state)
{
	int heard = 0;

	(void)state;
	start(64, 1000, 10);
	for (int i = 0; i < 1000; i++) {
		eventfd_write(client.doorbell, 1);
		heard += dispatch(s);
	}
	assert_int_equal(heard, 11);
	assert_int_equal(mailbox_counts(mailbox).doorbells, 11);
	assert_int_equal(mailbox_counts(mailbox).throttles, 1);
	/* What it raises meanwhile is not lost; nor is the ring. */
	assert_int_equal(vmirq_mailbox_client_raise(&client, 5), 1);
	assert_int_equal(dispatch(s), 0);
	s->now += 2 * MS;
	assert_int_equal(vmirq_mailbox_poll(mailbox), 1);
	assert_int_equal(counts_of_gsi(s, 5).raised, 1);
	assert_int_equal(dispatch(s), 1);
	end();
}

/* Interrupt 0 all the time does not keep the others from their turn. */
static void nobody_is_left_out(void **state)
{
	static const uint32_t who[] = { 1, 63, 64, 70, 129, 199 };
	unsigned int turns = 0;
	size_t left;

	(void)state;
	start(200, 1000, 1);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(vmirq_mailbox_client_raise(&client, who[i]), 1);
	do {
		vmirq_mailbox_client_raise(&client, 0);
		vmirq_mailbox_poll(mailbox);
		s->now += MS;
		left = 0;
		for (size_t i = 0; i < 6; i++)
			left += counts_of_gsi(s, who[i]).raised == 0;
	} while (left && ++turns < 100);
	assert_true(turns <= 8);
	end();
}

/* The pump's timer, on the machine's clock. */
static void the_pump_goes_on_by_itself(void **state)
{
	struct vmirq_vm_config vm_config = { .size = sizeof(vm_config) };
	struct vmirq_mailbox_config config = {
		.size = sizeof(config), .count = 64, .rate = 1000, .burst = 4
	};
	struct vmirq_vm *vm;

	(void)state;
	assert_int_equal(vmirq_vm_create(&vm_config, &vm), 0);
	assert_int_equal(vmirq_mailbox_create(vm, &config, &mailbox), 0);
	client = client_of(mailbox);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(vmirq_mailbox_bind(mailbox, i, i), 0);
	raise_all(64);
	for (int turn = 0; turn < 1000 && mailbox_counts(mailbox).signalled < 64; turn++)
		assert_true(vmirq_pump_dispatch(vmirq_vm_pump(vm), 5000) > 0);
	assert_int_equal(mailbox_counts(mailbox).signalled, 64);
	assert_true(mailbox_counts(mailbox).throttles > 0);
	/* Destroyed while it is held up. */
	raise_all(64);
	vmirq_mailbox_poll(mailbox);
	vmirq_mailbox_client_detach(&client);
	mailbox_end(mailbox);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

static void the_bucket_neither_overflows_nor_rounds(void **state)
{
	struct rate r;
	uint64_t got = 0;

	(void)state;
	rate_init(&r, UINT32_MAX, UINT32_MAX, 0);
	assert_int_equal(rate_take(&r, 0, UINT32_MAX), UINT32_MAX);
	assert_int_equal(rate_take(&r, UINT64_MAX, UINT32_MAX), UINT32_MAX);
	assert_int_equal(rate_resume(&r, UINT64_MAX), UINT64_MAX);
	/* A clock that stands, or goes back. */
	assert_int_equal(rate_take(&r, 5, 1), 0);
	rate_give_back(&r, UINT32_MAX);
	rate_give_back(&r, UINT32_MAX);
	assert_int_equal(rate_take(&r, UINT64_MAX, UINT32_MAX), UINT32_MAX);

	/* 3 a second, however often it is looked at. */
	rate_init(&r, 3, 2, 0);
	assert_int_equal(rate_take(&r, 0, 5), 2);
	for (uint64_t t = 0; t <= RATE_ONE; t += 700)
		got += rate_take(&r, t, 1);
	assert_int_equal(got, 2);
	assert_int_equal(rate_take(&r, RATE_ONE, 1), 1);
	assert_int_equal(rate_resume(&r, RATE_ONE), RATE_ONE + RATE_ONE / 3 + 1);
}

/* What is over goes with it, as with an unbind. */
static void an_end_keeps_to_the_rate(void **state)
{
	uint64_t raised = 0;

	(void)state;
	start(8, 1000, 3);
	raise_all(8);
	vmirq_mailbox_client_detach(&client);
	mailbox_end(mailbox);
	for (uint32_t i = 0; i < 8; i++)
		raised += counts_of_gsi(s, i).raised;
	assert_int_equal(raised, 3);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_over_the_rate_comes_later),
		cmocka_unit_test(while_it_is_held_up_somebody_will_look),
		cmocka_unit_test(rings_in_vain_are_limited),
		cmocka_unit_test(nobody_is_left_out),
		cmocka_unit_test(the_pump_goes_on_by_itself),
		cmocka_unit_test(an_end_keeps_to_the_rate),
		cmocka_unit_test(the_bucket_neither_overflows_nor_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
