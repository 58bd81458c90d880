// SPDX-License-Identifier: MIT
/* Signals on routes to pins, which are deferred: beside a route that comes, a vCPU's thread that goes, an
 * assign that fails. */
#include "../line/pc_world.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/reader.h"

#define GSI    40
#define VECTOR 0x61

static struct vmirq_irqfd *signalled;
static volatile sig_atomic_t armed;
static enum vmirq_verdict verdict;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_calloc(size_t n, size_t size);

/* In place of libc's: a signal comes, once, to a thread that makes memory. */
void *calloc(size_t n, size_t size)
{
	if (armed) {
		armed = 0;
		raise(SIGUSR1);
	}
	return __libc_calloc(n, size);
}
#endif

static void signal_irqfd(int number)
{
	(void)number;
	verdict = vmirq_irqfd_signal(signalled);
}

/* vmirq_irqfd_signal() in a signal handler of a thread that changes the irqfd's route: it may not wait for
 * what that thread holds. */
static void a_handler_in_a_route_change(void **state)
{
	struct sigaction action = { .sa_handler = signal_irqfd };
	struct soft *s;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* calloc() is the sanitizer's */
#endif
	s = pc_new(1, 0);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	rte_put(s, 10, RTE_TO(0) | VECTOR);
	signalled = irqfd_call(s, GSI);
	verdict = VMIRQ_VERDICTS;
	armed = 1;
	alarm(10); /* it would wait for ever */
	route_pin(s, GSI, KVM_IRQCHIP_IOAPIC, 10);
	armed = 0;
	alarm(0);
	/* Before the change or after it. */
	assert_int_equal(verdict, VMIRQ_NO_ROUTE);
	assert_signal(signalled, VMIRQ_HELD);
	dispatch(s);
	take_only(s->vcpu[0], VECTOR);
	pc_free(s);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static _Atomic int kicking, kicked;

static void kick_slowly(void *opaque)
{
	(void)opaque;
	kicking = 1;
	pause_ms(50);
	kicked = 1;
}

static void *deassign(void *irqfd)
{
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	return NULL;
}

/* Deassign runs what is still queued: a kick of its is waited for by who ends the vCPU, as any other. */
static void a_kick_by_deassign_is_waited_for(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_vcpu_config config = {
		.size = sizeof(config), .index = 1, .apic_id = 1, .kick = { .fn = kick_slowly }
	};
	struct vmirq_vcpu *vcpu;
	struct vmirq_irqfd *irqfd;
	pthread_t deassigner;
	uint32_t vector;

	(void)state;
	kicking = kicked = 0;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &vcpu), 0);
	s->vcpu[s->n++] = vcpu;
	apic_enable(vcpu);
	route_pin(s, GSI, KVM_IRQCHIP_IOAPIC, 10);
	irqfd = irqfd_call(s, GSI);
	assert_signal(irqfd, VMIRQ_HELD);
	route_to(s, GSI, 1, VECTOR);
	assert_int_equal(vmirq_vcpu_bind_thread(vcpu), 0);
	assert_int_equal(vmirq_vcpu_step(vcpu, 0, &vector), VMIRQ_STEP_ENTER);
	assert_int_equal(pthread_create(&deassigner, NULL, deassign, irqfd), 0);
	while (!kicking)
		pause_ms(1);
	assert_int_equal(vmirq_vcpu_unbind_thread(vcpu), 0);
	assert_true(kicked);
	assert_int_equal(pthread_join(deassigner, NULL), 0);
	take_only(vcpu, VECTOR);
	pc_free(s);
}

/* AddressSanitizer sees what is left behind. */
static void a_failed_assign_leaves_nothing(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = GSI,
					     .eventfd = open("/proc/self/exe", O_RDONLY),
					     .token = 4711 };
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_pin(s, GSI, KVM_IRQCHIP_IOAPIC, 10);
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), -EINVAL);
	close(config.eventfd);
	pc_free(s);
}

static void *signal_cancelled(void *irqfd)
{
	pthread_cancel(pthread_self());
	return vmirq_irqfd_signal(irqfd) == VMIRQ_HELD ? irqfd : NULL;
}

/* A signal by call is no cancellation point: it would end half done, with the pump never woken, nor by any
 * signal after it. */
static void a_signal_by_a_cancelled_thread(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_irqfd *irqfd;
	pthread_t thread;
	void *result;

	(void)state;
	rte_put(s, 10, RTE_TO(0) | VECTOR);
	route_pin(s, GSI, KVM_IRQCHIP_IOAPIC, 10);
	irqfd = irqfd_call(s, GSI);
	assert_int_equal(pthread_create(&thread, NULL, signal_cancelled, irqfd), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, irqfd);
	dispatch(s);
	take_only(s->vcpu[0], VECTOR);
	pc_free(s);
}

static void *enter_and_stay(void *argument)
{
	struct reader *section = reader_enter();
	sem_t *sem = argument;

	sem_post(&sem[0]);
	sem_wait(&sem[1]);
	reader_exit(section);
	return NULL;
}

static void *deassign_cancelled(void *irqfd)
{
	pthread_cancel(pthread_self());
	return vmirq_irqfd_deassign(irqfd) ? NULL : irqfd;
}

/* Nor is deassign where it waits for a section: others would wait for its end for ever. */
static void a_deassign_by_a_cancelled_thread(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_irqfd *irqfd;
	pthread_t deassigner, inside;
	void *result;
	sem_t sem[2];

	(void)state;
	sem_init(&sem[0], 0, 0);
	sem_init(&sem[1], 0, 0);
	irqfd = irqfd_call(s, GSI);
	assert_int_equal(pthread_create(&inside, NULL, enter_and_stay, sem), 0);
	sem_wait(&sem[0]);
	assert_int_equal(pthread_create(&deassigner, NULL, deassign_cancelled, irqfd), 0);
	/* It sleeps after some 130 turns. */
	pause_ms(100);
	sem_post(&sem[1]);
	assert_int_equal(pthread_join(deassigner, &result), 0);
	assert_ptr_equal(result, irqfd);
	assert_int_equal(pthread_join(inside, NULL), 0);
	/* It can be had again, when it has rested: the whole of it was done. */
	for (int i = 0; i < 16; i++)
		assert_int_equal(vmirq_irqfd_deassign(irqfd_call(s, GSI)), 0);
	assert_ptr_equal(irqfd_call(s, GSI), irqfd);
	pc_free(s);
	sem_destroy(&sem[0]);
	sem_destroy(&sem[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handler_in_a_route_change),
		cmocka_unit_test(a_kick_by_deassign_is_waited_for),
		cmocka_unit_test(a_failed_assign_leaves_nothing),
		cmocka_unit_test(a_signal_by_a_cancelled_thread),
		cmocka_unit_test(a_deassign_by_a_cancelled_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
