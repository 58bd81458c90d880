// SPDX-License-Identifier: MIT
/*
 * Every end of a pirq at every moment: unbound, bound again at once, its VM destroyed, its guest reset, its worker
 * taken away, its host's source closed; while an interrupt is queued, while one is being delivered, and while they
 * keep arriving. Afterwards nothing runs, every raise has its outcome, and what has not ended works on.
 */
#include "../line/pc_world.h"
#include "host.h"

#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GSI	 9
#define VECTOR	 0x61
#define VECTOR2	 0x62
#define RAISES	 300
#define FOR_EVER (UINT64_C(1) << 62)

enum end { UNBIND, REBIND, DESTROY, RESET, WORKER, CLOSE, ENDS };
enum moment { QUEUED, RUNNING, ARRIVING, MOMENTS };
#define TYPES 3 /* of enum vmirq_pirq_type */

struct scene {
	enum end end;
	enum vmirq_pirq_type type;
	struct soft s;
	struct vmirq_worker *worker, *heir;
	struct host h;
	int eventfd; /* -1: raised by call */
	/* The run that is held up looks at the clock. */
	_Atomic bool hold, held, go_on, arrived;
	pthread_t test;
};

static uint64_t now(void *opaque)
{
	struct scene *c = opaque;

	if (atomic_load(&c->hold) && !pthread_equal(pthread_self(), c->test)) {
		atomic_store(&c->hold, false);
		atomic_store(&c->held, true);
		while (!atomic_load(&c->go_on))
			sched_yield();
	}
	return 0;
}

static void set_rtes(struct scene *c)
{
	apic_enable(c->s.vcpu[0]);
	out8(&c->s, 0x21, 0xff);
	out8(&c->s, 0xa1, 0xff);
	rte_put(&c->s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	rte_put(&c->s, GSI + 1, RTE_TO(0) | RTE_LEVEL | VECTOR2);
}

/* To the first vector, or to the second. */
static void bind(struct scene *c, unsigned int which)
{
	if (c->type == VMIRQ_PIRQ_MSI)
		assert_int_equal(bind_msi(&c->h, c->s.vm, c->worker, 0, (uint8_t)(VECTOR + which),
					  VMIRQ_PIRQ_NO_FAST_PATH),
				 0);
	else
		assert_int_equal(bind_gsi(&c->h, c->s.vm, c->worker, c->type, GSI + which, 0), 0);
}

static void open_scene(struct scene *c, enum end end, enum vmirq_pirq_type type)
{
	struct vmirq_clock clock = { .now = now, .opaque = c };
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = 1,
					  .max_gsis = 64,
					  .flags = VMIRQ_VM_PC_CHIPS,
					  .clock = &clock };
	/* A watchdog and a rate that do nothing but ask what time it is. */
	struct vmirq_pirq_config how = {
		.eventfd = -1, .rate = 1000000000, .burst = 1000000000, .watchdog_ns = FOR_EVER
	};

	memset(c, 0, sizeof(*c));
	c->end = end;
	c->type = type;
	c->test = pthread_self();
	c->eventfd = end == CLOSE ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	how.eventfd = c->eventfd;
	assert_int_equal(vmirq_vm_create(&config, &c->s.vm), 0);
	c->s.max_gsis = 64;
	soft_add(&c->s, 0, 0, 0);
	set_rtes(c);
	c->worker = worker_new();
	c->heir = worker_new();
	host_open(&c->h, &how);
	bind(c, 0);
}

static void raise_it(struct scene *c)
{
	if (c->eventfd < 0) {
		host_raise(&c->h);
		return;
	}
	assert_int_equal(eventfd_write(c->eventfd, 1), 0);
	c->h.raised++;
}

static void read_it(struct scene *c)
{
	if (c->end == CLOSE)
		dispatch(&c->s);
}

static void *let_go(void *opaque)
{
	struct scene *c = opaque;

	for (int i = 0; i < 100; i++)
		sched_yield();
	/* Where an unbind is to find the run, not before that has begun. */
	while (c->end <= DESTROY && host_raise(&c->h) != VMIRQ_NO_ROUTE)
		sched_yield();
	atomic_store(&c->go_on, true);
	return NULL;
}

static void *keep_raising(void *opaque)
{
	struct scene *c = opaque;

	for (int i = 0; i < RAISES; i++) {
		raise_it(c);
		if (i == RAISES / 4)
			atomic_store(&c->arrived, true);
		if (i % 16 == 0)
			sched_yield();
	}
	/* The last who has it but for the pirq. */
	if (c->eventfd >= 0)
		close(c->eventfd);
	return NULL;
}

static void close_source(struct scene *c, bool arriving)
{
	/* Arriving, who raises closes it, while the pump reads what the library has of it. */
	for (int i = 0; arriving && i < 100; i++) {
		dispatch(&c->s);
		sched_yield();
	}
	if (!arriving)
		close(c->eventfd);
}

static void end_it(struct scene *c, enum moment moment)
{
	switch (c->end) {
	case UNBIND:
	case REBIND:
		assert_int_equal(vmirq_pirq_unbind(c->h.pirq), 0);
		break;
	case DESTROY:
		assert_int_equal(vmirq_vm_destroy(c->s.vm), 0);
		break;
	case RESET:
		assert_int_equal(vmirq_vm_reset(c->s.vm), 0);
		break;
	case WORKER:
		assert_int_equal(vmirq_worker_destroy(c->worker, c->heir), 0);
		c->worker = c->heir;
		break;
	default:
		close_source(c, moment == ARRIVING);
		break;
	}
	/* A reset and a source that closes wait for nobody. */
	if (moment == RUNNING && c->end != RESET && c->end != CLOSE)
		assert_true(atomic_load(&c->go_on));
	if (c->end == REBIND)
		bind(c, 1);
}

static void meet(struct scene *c, enum moment moment)
{
	pthread_t thread;

	raise_it(c);
	read_it(c);
	if (moment == QUEUED) {
		end_it(c, moment);
		return;
	}
	atomic_store(&c->hold, moment == RUNNING);
	assert_int_equal(vmirq_worker_start(c->worker, -1), 0);
	while (moment == RUNNING && !atomic_load(&c->held))
		sched_yield();
	/* Raised during the run, too: it is queued behind itself. */
	if (moment == RUNNING) {
		raise_it(c);
		read_it(c);
	}
	assert_int_equal(
		pthread_create(&thread, NULL, moment == RUNNING ? let_go : keep_raising, c), 0);
	while (moment == ARRIVING && !atomic_load(&c->arrived))
		sched_yield();
	end_it(c, moment);
	pthread_join(thread, NULL);
	read_it(c);
	if (c->end != WORKER)
		assert_int_equal(vmirq_worker_stop(c->worker), 0);
}

static void drain(struct scene *c)
{
	while (vmirq_worker_run(c->worker, 0) || take_all(c->s.vcpu[0], NULL))
		;
}

/* It is bound to nothing, and nothing comes of it any more. */
static void is_over(struct scene *c)
{
	struct vmirq_pirq_counts before = host_counts(&c->h), after;

	worker_serves(c->worker, 0);
	assert_raise(&c->h, VMIRQ_NO_ROUTE);
	worker_serves(c->worker, 0);
	after = host_counts(&c->h);
	assert_int_equal(after.runs, before.runs);
	assert_int_equal(after.unmasks, before.unmasks);
	assert_int_equal(after.held + after.pending + after.bound, 0);
	if (c->end == DESTROY)
		return;
	/* What was posted before may still be taken. */
	take_all(c->s.vcpu[0], NULL);
	take_nothing(c->s.vcpu[0]);
	assert_int_equal(vmirq_line_level(c->s.vm, GSI), 0);
}

/* Whatever was raised has come, and one more does: exactly that one. */
static void works_on(struct scene *c)
{
	uint8_t vector = c->end == REBIND ? VECTOR2 : VECTOR;
	uint64_t delivered, unmasked;

	if (c->end == RESET)
		set_rtes(c);
	drain(c);
	take_nothing(c->s.vcpu[0]);
	assert_int_equal(host_counts(&c->h).held + host_counts(&c->h).pending, 0);
	delivered = host_verdict(&c->h, VMIRQ_DELIVERED);
	unmasked = c->h.unmasked;
	assert_raise(&c->h, VMIRQ_HELD);
	worker_serves(c->worker, 1);
	begin_service(c->s.vcpu[0], vector);
	end_service(c->s.vcpu[0]);
	take_nothing(c->s.vcpu[0]);
	assert_int_equal(host_verdict(&c->h, VMIRQ_DELIVERED), delivered + 1);
	assert_int_equal(c->h.unmasked, unmasked + 1);
	assert_int_equal(host_counts(&c->h).pending, 0);
}

/* What came of those that were raised before the end. */
static void check_end(struct scene *c, enum moment moment)
{
	uint64_t thrown = host_verdict(&c->h, VMIRQ_DEASSIGNED);

	if (c->end > DESTROY)
		assert_int_equal(thrown, 0);
	else if (moment != ARRIVING)
		/* The one that was queued; of those that were being delivered the one behind. */
		assert_int_equal(thrown, 1);
	if (c->end == UNBIND || c->end == DESTROY)
		is_over(c);
	else
		works_on(c);
}

static void close_scene(struct scene *c)
{
	host_close(&c->h);
	if (c->end != DESTROY) {
		pc_check(&c->s);
		assert_int_equal(vmirq_vm_destroy(c->s.vm), 0);
	}
	if (c->worker != c->heir)
		assert_int_equal(vmirq_worker_destroy(c->worker, NULL), 0);
	assert_int_equal(vmirq_worker_destroy(c->heir, NULL), 0);
}

static void one(enum end end, enum moment moment, enum vmirq_pirq_type type)
{
	static struct scene c;

	open_scene(&c, end, type);
	meet(&c, moment);
	check_end(&c, moment);
	close_scene(&c);
}

static void all_of(enum end end)
{
	for (int moment = 0; moment < MOMENTS; moment++)
		for (int type = 0; type < TYPES; type++)
			for (int n = 0; n < (moment == ARRIVING ? 20 : 2); n++)
				one(end, (enum moment)moment, (enum vmirq_pirq_type)type);
}

static void unbound(void **state)
{
	(void)state;
	all_of(UNBIND);
}

static void bound_again_at_once(void **state)
{
	(void)state;
	all_of(REBIND);
}

static void vm_destroyed(void **state)
{
	(void)state;
	all_of(DESTROY);
}

static void guest_reset(void **state)
{
	(void)state;
	all_of(RESET);
}

static void worker_taken_away(void **state)
{
	(void)state;
	all_of(WORKER);
}

static void source_closed(void **state)
{
	(void)state;
	all_of(CLOSE);
}

static unsigned int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static long resident_pages(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
	fclose(file);
	return pages;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CYCLES	  1000
#define SANITIZED true
#else
#define CYCLES	  10000
#define SANITIZED false
#endif

static void cycles(int n)
{
	for (int i = 0; i < n; i++)
		one((enum end)(i % ENDS), i % 7 ? (enum moment)(i / ENDS % 2) : ARRIVING,
		    (enum vmirq_pirq_type)(i / ENDS / 2 % TYPES));
}

static void ten_thousand_cycles(void **state)
{
	unsigned int open;
	long resident;

	(void)state;
	cycles(CYCLES / 10);
	malloc_trim(0);
	open = descriptors();
	resident = resident_pages();
	cycles(CYCLES);
	malloc_trim(0);
	print_message("resident: %ld pages, then %ld\n", resident, resident_pages());
	assert_int_equal(descriptors(), open);
	/* 40 bytes each would be a leak; the sanitizers keep what is freed. */
	assert_true(SANITIZED || resident_pages() - resident < CYCLES / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unbound),
		cmocka_unit_test(bound_again_at_once),
		cmocka_unit_test(vm_destroyed),
		cmocka_unit_test(guest_reset),
		cmocka_unit_test(worker_taken_away),
		cmocka_unit_test(source_closed),
		cmocka_unit_test(ten_thousand_cycles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
