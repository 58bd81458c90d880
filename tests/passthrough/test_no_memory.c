// SPDX-License-Identifier: MIT
/* Where memory runs out at any allocation, nothing has been done, and it can be tried again. */
#include "../failing_malloc.h"
#include "../line/pc_world.h"
#include "host.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VECTOR 0x61

static const uint32_t gsis[] = { 9, 10, 40 };

static int bind_kind(struct host *h, struct soft *s, struct vmirq_worker *w, int kind)
{
	switch (kind) {
	case 0:
		return bind_msi(h, s->vm, w, 0, VECTOR, 0);
	case 1:
		return bind_msi(h, s->vm, w, 0, VECTOR, VMIRQ_PIRQ_NO_FAST_PATH);
	default:
		return bind_gsis(h, s->vm, w, 3, gsis);
	}
}

static void check_nothing_left(struct soft *s, struct host *h)
{
	uint32_t gsi;

	assert_int_equal(host_counts(h).bound, 0);
	assert_int_equal(vmirq_pirq_unbind(h->pirq), -ENOENT);
	assert_raise(h, VMIRQ_NO_ROUTE);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &gsi), 0);
	assert_int_equal(gsi, 24);
	assert_int_equal(vmirq_gsi_free(s->vm, gsi), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vmirq_line_level(s->vm, gsis[i]), 0);
}

/* True: it did not fail. */
static bool try_bind(int kind, int n, bool by_eventfd)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_worker *w = worker_new();
	struct vmirq_pirq_config how = { .size = sizeof(how),
					 .eventfd = by_eventfd ? eventfd(0, EFD_NONBLOCK) : -1,
					 .watchdog_ns = 1000 };
	struct host h = { .raised = 0 };
	int error;

	assert_int_equal(vmirq_pirq_create(&how, &h.pirq), 0);
	fail_after(n);
	error = bind_kind(&h, s, w, kind);
	fail_no_more();
	if (error) {
		assert_int_equal(error, -ENOMEM);
		check_nothing_left(s, &h);
		/* Tried again it works. */
		assert_int_equal(bind_kind(&h, s, w, kind), 0);
	}
	host_raise(&h);
	worker_serves(w, kind > 0);
	assert_int_equal(host_counts(&h).held, 0);
	take_all(s->vcpu[0], NULL);
	host_close(&h);
	if (by_eventfd)
		close(how.eventfd);
	assert_int_equal(vmirq_vm_destroy(s->vm), 0);
	free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
	return !error;
}

static void bind_at_each_allocation(void **state)
{
	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		for (int by_eventfd = 0; by_eventfd < 2; by_eventfd++) {
			int n = 1;

			while (!try_bind(kind, n, by_eventfd))
				n++;
			/* It did allocate. */
			assert_true(n > 1);
		}
	}
}

static void create_at_each_allocation(void **state)
{
	struct vmirq_pirq_config config = { .size = sizeof(config), .eventfd = -1 };
	struct vmirq_worker_config wc = { .size = sizeof(wc) };
	struct vmirq_worker *w = NULL;
	struct vmirq_pirq *pirq = NULL;
	int n = 1, error;

	(void)state;
	fail_after(1);
	error = vmirq_pirq_create(&config, &pirq);
	fail_no_more();
	assert_int_equal(error, -ENOMEM);
	assert_null(pirq);
	do {
		fail_after(n++);
		error = vmirq_worker_create(&wc, &w);
		fail_no_more();
		assert_true(error == 0 || error == -ENOMEM);
	} while (error);
	assert_int_equal(n, 4);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bind_at_each_allocation),
		cmocka_unit_test(create_at_each_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
