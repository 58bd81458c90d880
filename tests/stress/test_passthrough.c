// SPDX-License-Identifier: MIT
/*
 * Host interrupts that are raised all the time, while they are bound to one guest or another, retargeted, ended
 * and unbound; while workers are taken away and leave what is queued to an heir; and while one of the two VMs is
 * destroyed and made anew. Some pirqs stay bound to the guest whose vCPUs run: each time that one of them was
 * raised, its host is unmasked at the guest's EOI, or the test ends in a time-out. In the end the books balance,
 * of each pirq and of the vCPUs; and no host was unmasked while it was bound to nothing.
 */
#include "busy_pc.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/passthrough.h>

#define RAISERS	  2
#define BINDERS	  2
#define WORKERS	  2
#define STEADY	  2 /* bound all the time: INTx, and INTx of two GSIs */
#define COMING	  12
#define PIRQS	  (STEADY + COMING)
#define BINDS	  20000 /* of each binder */
#define SHARED	  9
#define OTHER	  10
#define FIRST_PIN 16 /* 16..19: nobody's but a pirq's at a time */
#define PINS	  4
#define LEVEL	  (1u << 15)

struct source {
	struct vmirq_pirq *pirq;
	_Atomic uint64_t raised[RAISERS], unmasked;
	int eventfd;	    /* -1: by call only */
	_Atomic bool bound; /* or about to be, or no longer quite */
	bool unmasks;
};

static struct busy_pc *pc;
static struct source source[PIRQS];
/* Changed by the one who exchanges them, with nobody binding. */
static pthread_rwlock_t placement = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static struct vmirq_worker *worker[WORKERS];
static struct vmirq_vm *second; /* comes and goes */
static _Atomic bool over, raised_enough;
static uint64_t exchanged, rebuilt;

static void unmasked(void *opaque)
{
	struct source *s = opaque;

	busy_check(pc, atomic_load(&s->bound));
	busy_check(pc, vmirq_pirq_unbind(s->pirq) == -EDEADLK);
	/* Unbind waits for this one. */
	sched_yield();
	busy_check(pc, atomic_load(&s->bound));
	atomic_fetch_add(&s->unmasked, 1);
}

static struct vmirq_worker *make_worker(void)
{
	struct vmirq_worker_config config = { .size = sizeof(config) };
	struct vmirq_worker *w = NULL;

	busy_check(pc, vmirq_worker_create(&config, &w) == 0);
	busy_check(pc, vmirq_worker_start(w, -1) == 0);
	return w;
}

static void make_second(void)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = 1,
					  .max_gsis = BUSY_GSIS,
					  .flags = VMIRQ_VM_PC_CHIPS };
	struct vmirq_vcpu_config c = { .size = sizeof(c) };
	struct vmirq_vcpu *vcpu;

	busy_check(pc, vmirq_vm_create(&config, &second) == 0);
	busy_check(pc, vmirq_vcpu_create(second, &c, &vcpu) == 0);
	apic_enable(vcpu);
	busy_check(pc, vmirq_pump_start(vmirq_vm_pump(second)) == 0);
}

static void open_source(unsigned int i)
{
	struct source *s = &source[i];
	struct vmirq_pirq_config config = { .size = sizeof(config), .opaque = s };

	s->eventfd = config.eventfd = i >= STEADY && i % 4 == 0 ? eventfd(0, EFD_NONBLOCK) : -1;
	s->unmasks = i < STEADY || i % 2;
	if (s->unmasks)
		config.unmask = unmasked;
	if (i >= STEADY && i % 3 == 0)
		config.rate = 20000;
	if (i >= STEADY && i % 5 == 0)
		config.watchdog_ns = 100000;
	assert_int_equal(vmirq_pirq_create(&config, &s->pirq), 0);
}

static int bind_lines(struct source *s, struct vmirq_vm *vm, uint32_t type, uint32_t n,
		      const uint32_t *gsis)
{
	struct vmirq_pirq_binding b = { .size = sizeof(b),
					.vm = vm,
					.worker = worker[gsis[0] % WORKERS],
					.type = type,
					.n_gsis = n,
					.gsis = gsis };

	atomic_store(&s->bound, true);
	return vmirq_pirq_bind(s->pirq, &b);
}

static int bind_message(struct source *s, struct vmirq_vm *vm, uint32_t dice)
{
	struct vmirq_pirq_binding b = { .size = sizeof(b),
					.vm = vm,
					.worker = worker[dice % WORKERS],
					.type = VMIRQ_PIRQ_MSI,
					.flags = dice & 4 ? VMIRQ_PIRQ_NO_FAST_PATH : 0,
					.address = 0xfee00000u | (dice >> 3 & 1) << 12,
					.data = 0x80 + dice % 64 };

	atomic_store(&s->bound, true);
	return vmirq_pirq_bind(s->pirq, &b);
}

static void bind_at_random(struct source *s, uint32_t *seed)
{
	struct vmirq_vm *vm = next_random(seed) % 2 ? pc->vm : second;
	uint32_t dice = next_random(seed);
	const uint32_t gsis[] = { SHARED, FIRST_PIN + dice % PINS, OTHER };
	int error;

	switch (dice >> 8 & 3) {
	case 0:
		error = bind_lines(s, vm, VMIRQ_PIRQ_INTX, 1 + dice % 2, gsis + dice % 2);
		break;
	case 1:
		error = bind_lines(s, vm, VMIRQ_PIRQ_MSI_TO_INTX, 1, gsis + 1);
		break;
	default:
		error = bind_message(s, vm, dice);
		break;
	}
	busy_check(pc, error == 0);
}

static void unbind(struct source *s)
{
	int error = vmirq_pirq_unbind(s->pirq);

	/* Its VM may have gone. */
	busy_check(pc, error == 0 || error == -ENOENT);
	atomic_store(&s->bound, false);
}

static void *run_binder(void *argument)
{
	unsigned int me = (unsigned int)(uintptr_t)argument;
	uint32_t seed = me + 100;

	for (int n = 0; n < BINDS; n++) {
		struct source *s =
			&source[STEADY + me + next_random(&seed) % (COMING / BINDERS) * BINDERS];
		struct vmirq_pirq_counts c = { .size = sizeof(c) };
		uint32_t dice = next_random(&seed);
		int error;

		pthread_rwlock_rdlock(&placement);
		unbind(s);
		bind_at_random(s, &seed);
		if (dice % 2)
			sched_yield();
		switch (dice >> 4 & 3) {
		case 0:
			error = vmirq_pirq_retarget(s->pirq, 0xfee01000u, 0x80 + dice % 64);
			busy_check(pc, error == 0 || error == -EBUSY);
			break;
		case 1:
			busy_check(pc, vmirq_pirq_eoi(s->pirq) >= 0);
			break;
		case 2:
			busy_check(pc, vmirq_pirq_counts(s->pirq, &c) == 0 && c.bound);
			break;
		default:
			break;
		}
		pthread_rwlock_unlock(&placement);
	}
	return NULL;
}

/* Workers go, and leave what is queued to the next one or to the other; and the second VM goes. */
static void *run_exchanger(void *unused)
{
	uint32_t seed = 7;

	while (!atomic_load(&over)) {
		uint32_t i = next_random(&seed) % WORKERS;
		struct vmirq_worker *old = worker[i], *fresh = make_worker();

		pthread_rwlock_wrlock(&placement);
		worker[i] = fresh;
		busy_check(pc, vmirq_worker_destroy(old, next_random(&seed) % 4
								 ? fresh
								 : worker[(i + 1) % WORKERS]) == 0);
		exchanged++;
		if (next_random(&seed) % 4 == 0) {
			busy_check(pc, vmirq_vm_destroy(second) == 0);
			make_second();
			rebuilt++;
		} else if (next_random(&seed) % 4 == 0) {
			busy_check(pc, vmirq_vm_reset(second) == 0);
		}
		pthread_rwlock_unlock(&placement);
		for (int n = 0; n < 20; n++)
			sched_yield();
	}
	return unused;
}

static void raise_and_wait(struct source *s, unsigned int me)
{
	uint64_t before = atomic_load(&s->unmasked);

	/* Only this raiser raises it. */
	atomic_fetch_add(&s->raised[me], 1);
	vmirq_pirq_raise(s->pirq);
	while (atomic_load(&s->unmasked) == before)
		sched_yield();
}

static void *run_raiser(void *argument)
{
	unsigned int me = (unsigned int)(uintptr_t)argument;
	uint32_t seed = me + 1;

	while (!atomic_load(&raised_enough)) {
		struct source *s = &source[STEADY + next_random(&seed) % COMING];

		if (s->eventfd >= 0 && next_random(&seed) % 2) {
			eventfd_write(s->eventfd, 1);
		} else {
			atomic_fetch_add(&s->raised[me], 1);
			vmirq_pirq_raise(s->pirq);
		}
		if (next_random(&seed) % 16 == 0)
			raise_and_wait(&source[me % STEADY], me);
		if (next_random(&seed) % 8 == 0)
			sched_yield();
	}
	return NULL;
}

/* At rest, and bound to nothing. */
static void check_source(struct source *s)
{
	struct vmirq_pirq_counts c = { .size = sizeof(c) };
	uint64_t sum, raised = 0;

	assert_int_equal(vmirq_pirq_counts(s->pirq, &c), 0);
	sum = c.held;
	for (int v = 0; v < VMIRQ_VERDICTS; v++)
		sum += c.verdict[v];
	for (int i = 0; i < RAISERS; i++)
		raised += atomic_load(&s->raised[i]);
	assert_int_equal(c.raised, sum);
	/* What was written to an eventfd the library alone counts. */
	if (s->eventfd < 0)
		assert_int_equal(c.raised, raised);
	else
		assert_true(c.raised >= raised);
	assert_int_equal(c.held + c.pending + c.bound, 0);
	assert_int_equal(c.unmasks, atomic_load(&s->unmasked));
}

static void balance(void)
{
	uint64_t delivered = busy_ioapic_delivered(pc);

	for (uint32_t gsi = 24; gsi < BUSY_GSIS; gsi++)
		delivered += busy_gsi_counts(pc, gsi).verdict[VMIRQ_DELIVERED];
	assert_int_equal(busy_posted(pc), delivered);
	for (uint32_t gsi = 0; gsi < 24; gsi++)
		assert_int_equal(vmirq_line_level(pc->vm, gsi), 0);
}

static void start(void)
{
	const uint32_t lines[] = { SHARED, OTHER };

	pc = busy_new();
	make_second();
	for (unsigned int i = 0; i < WORKERS; i++)
		worker[i] = make_worker();
	busy_rte(pc, SHARED, 0, LEVEL | 0x61);
	busy_rte(pc, OTHER, 1, LEVEL | 0x62);
	for (uint32_t i = 0; i < PINS; i++)
		busy_rte(pc, FIRST_PIN + i, i % 2, LEVEL | (0x63 + i));
	for (unsigned int i = 0; i < PIRQS; i++)
		open_source(i);
	assert_int_equal(bind_lines(&source[0], pc->vm, VMIRQ_PIRQ_INTX, 1, lines), 0);
	assert_int_equal(bind_lines(&source[1], pc->vm, VMIRQ_PIRQ_INTX, 2, lines), 0);
}

static void end(void)
{
	for (unsigned int i = 0; i < PIRQS; i++) {
		unbind(&source[i]);
		check_source(&source[i]);
		assert_int_equal(vmirq_pirq_destroy(source[i].pirq), 0);
		if (source[i].eventfd >= 0)
			close(source[i].eventfd);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		assert_int_equal(vmirq_worker_destroy(worker[i], NULL), 0);
	assert_int_equal(vmirq_vm_destroy(second), 0);
	busy_stop(pc);
	balance();
	busy_free(pc);
}

static void raised_while_all_come_and_go(void **state)
{
	pthread_t binder[BINDERS], raiser[RAISERS], exchanger;

	(void)state;
	start();
	assert_int_equal(pthread_create(&exchanger, NULL, run_exchanger, NULL), 0);
	for (uintptr_t i = 0; i < RAISERS; i++)
		assert_int_equal(pthread_create(&raiser[i], NULL, run_raiser, (void *)i), 0);
	for (uintptr_t i = 0; i < BINDERS; i++)
		assert_int_equal(pthread_create(&binder[i], NULL, run_binder, (void *)i), 0);
	for (int i = 0; i < BINDERS; i++)
		pthread_join(binder[i], NULL);
	atomic_store(&raised_enough, true);
	for (int i = 0; i < RAISERS; i++)
		pthread_join(raiser[i], NULL);
	atomic_store(&over, true);
	pthread_join(exchanger, NULL);
	print_message("%lu workers exchanged, %lu VMs rebuilt, %lu and %lu EOIs\n", exchanged,
		      rebuilt, atomic_load(&source[0].unmasked), atomic_load(&source[1].unmasked));
	assert_true(exchanged > 0 && rebuilt > 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(raised_while_all_come_and_go) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
