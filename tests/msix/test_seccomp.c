// SPDX-License-Identifier: MIT
/* Threads with a seccomp filter that allows what the headers name and no more: what signals, what runs a vCPU, and
 * what waits for another's signal on behalf of a guest. */
#include "device.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define IRQFD_VECTOR 0x44
#define MSIX_VECTOR  0x51
#define SIGNALS	     20000u
/* Of a wait: less than 100 ms. */
#define NAPS 100u

static struct soft *s;
static struct vmirq_msix *msix;
static struct vmirq_irqfd *irqfd;
static struct vmirq_vcpu *vcpu; /* in the guest, or parked */

/* What the calling thread was not allowed. */
static __thread unsigned int refused[512];
/* Of a kick that does not return. */
static _Atomic bool inside, go;

/* A wait's futex() is counted in the place of being made. */
static void trapped(int signal, siginfo_t *info, void *context)
{
	unsigned int *n = &refused[info->si_syscall & 511];

	(void)signal;
	/* Late it may ask whether somebody has ended. */
	if ((info->si_syscall != SYS_tgkill && info->si_syscall != SYS_getpid) || !atomic_load(&go))
		++*n;
	if (*n == NAPS)
		atomic_store(&go, true);
#if defined(__x86_64__)
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] =
		info->si_syscall == SYS_futex ? 0 : -ENOSYS;
#else
	(void)context;
#endif
}

#define ALLOW(nr)                                        \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))

/* futex(), what the thread's own end makes, its signal handler and a test's message. `counts`: sleeps of a limited
 * time are trapped. */
static bool restrict_thread(bool counts)
{
	struct sock_filter filter[] = {
		LOAD(nr),
		ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_rt_sigprocmask),
		ALLOW(SYS_madvise),
		ALLOW(SYS_munmap),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		ALLOW(SYS_write),
		ALLOW(counts ? SYS_exit : SYS_futex),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		LOAD(args[1]),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAIT_PRIVATE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		LOAD(args[3]),
		ALLOW(0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

struct filtered {
	pthread_t thread;
	void (*run)(void);
	bool prepares, counts;
	unsigned int refused[512];
};

static void *run_filtered(void *argument)
{
	struct filtered *f = argument;

	void *volatile first = malloc(1);

	/* The thread's memory is there, so that malloc() makes none. */
	free(first);
	if (f->prepares && vmirq_thread_prepare())
		f->refused[0] = 1;
	if (!restrict_thread(f->counts))
		f->refused[0] = 1;
	f->run();
	memcpy(f->refused, refused, sizeof(refused));
	return NULL;
}

static void start(struct filtered *f)
{
	assert_int_equal(pthread_create(&f->thread, NULL, run_filtered, f), 0);
}

/* Nothing was refused but `one`, so often. */
static void end(struct filtered *f, int one, unsigned int times)
{
	pthread_join(f->thread, NULL);
	for (int i = 0; i < 512; i++)
		if (f->refused[i] != (i == one ? times : 0))
			fail_msg("system call %d: %u", i, f->refused[i]);
}

static void kick(void *opaque)
{
	(void)opaque;
	atomic_store(&inside, true);
	while (!atomic_load(&go))
		sched_yield();
}

/* vCPU 1 has a kick, and both sources. */
static void begin(void)
{
	struct sigaction action = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };
	struct vmirq_vcpu_config config = {
		.size = sizeof(config), .index = 1, .apic_id = 1, .kick = { .fn = kick }
	};

	/* Here, as cmocka has one of its own for each test. */
	sigaction(SIGSYS, &action, NULL);
	alarm(60);
	atomic_store(&inside, false);
	atomic_store(&go, false);
	s = soft_new(1);
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &vcpu), 0);
	s->vcpu[1] = vcpu;
	s->n = 2;
	apic_enable(vcpu);
	route_to(s, 3, 1, IRQFD_VECTOR);
	irqfd = irqfd_call(s, 3);
	msix = device_new(s->vm, 1);
	table_put(msix, 0, 1, MSIX_VECTOR, false);
	enable(msix);
}

static void finish(void)
{
	device_free(msix);
	soft_free(s);
	alarm(0);
}

/* The guest: it masks and unmasks its device, takes what comes, and sleeps. */
static _Atomic bool over;

static void run_vcpu(void)
{
	uint32_t vector = 0, masked = 0;

	for (uint64_t turn = 0; !atomic_load(&over) || masked; turn++) {
		int step =
			vmirq_vcpu_step(vcpu, VMIRQ_CPU_HALTED | VMIRQ_CPU_INTERRUPTIBLE, &vector);

		if (step == VMIRQ_STEP_INJECT) {
			vmirq_vcpu_ack(vcpu, vector);
			apic_write(vcpu, APIC_EOI, 0);
		} else if (step == VMIRQ_STEP_PARK) {
			vmirq_vcpu_park(vcpu, 100000);
		}
		masked = turn & 1;
		table_mask(msix, 0, masked);
	}
	vmirq_vcpu_unbind_thread(vcpu);
}

static void *bind_and_run(void *argument)
{
	struct filtered *f = argument;

	if (vmirq_vcpu_bind_thread(vcpu))
		f->refused[0] = 1;
	return run_filtered(f);
}

static void signal_both(void)
{
	for (unsigned int i = 0; i < SIGNALS; i++) {
		vmirq_irqfd_signal(irqfd);
		vmirq_msix_trigger(msix, 0);
	}
}

static void futex_is_all_that_they_need(void **state)
{
	struct filtered guest = { .run = run_vcpu };
	struct filtered device[2] = { { .run = signal_both, .prepares = true },
				      { .run = signal_both, .prepares = true } };

	(void)state;
	begin();
	atomic_store(&over, false);
	/* Nobody is kicked, and a wait may last: see trapped(). */
	atomic_store(&go, true);
	assert_int_equal(pthread_create(&guest.thread, NULL, bind_and_run, &guest), 0);
	start(&device[0]);
	start(&device[1]);
	end(&device[0], 0, 0);
	end(&device[1], 0, 0);
	atomic_store(&over, true);
	end(&guest, 0, 0);
	take_all(vcpu, NULL);
	assert_int_equal(counts_of(irqfd).raised, 2 * SIGNALS);
	assert_int_equal(vector_counts(msix, 0).raised, 2 * SIGNALS);
	assert_int_equal(vector_counts(msix, 0).held, 0);
	assert_true(counts_of_vector(vcpu, MSIX_VECTOR).taken > 0);
	assert_true(counts_of_vector(vcpu, IRQFD_VECTOR).taken > 0);
	finish();
}

static void mask_it(void)
{
	table_mask(msix, 0, true);
}

static void quiesce(void)
{
	vmirq_vm_quiesce(s->vm);
}

static void deassign(void)
{
	vmirq_irqfd_deassign(irqfd);
}

static void *signal_once(void *argument)
{
	(void)argument;
	vmirq_msix_trigger(msix, 0);
	return NULL;
}

/* It sleeps by futex() as often as it likes, and the signal is done before it returns. */
static void waits_by_futex(void (*wait)(void))
{
	struct filtered guest = { .run = wait, .prepares = true, .counts = true };
	pthread_t signaller;
	uint32_t vector;

	begin();
	assert_int_equal(vmirq_vcpu_step(vcpu, 0, &vector), VMIRQ_STEP_ENTER);
	assert_int_equal(pthread_create(&signaller, NULL, signal_once, NULL), 0);
	while (!atomic_load(&inside))
		sched_yield();
	start(&guest);
	pthread_join(guest.thread, NULL);
	assert_true(guest.refused[SYS_futex] >= NAPS);
	end(&guest, SYS_futex, guest.refused[SYS_futex]);
	pthread_join(signaller, NULL);
	vmirq_vcpu_leave(vcpu);
	take_only(vcpu, MSIX_VECTOR);
	finish();
}

static void a_mask_waits_by_futex(void **state)
{
	(void)state;
	waits_by_futex(mask_it);
}

static void quiesce_waits_by_futex(void **state)
{
	(void)state;
	waits_by_futex(quiesce);
}

static void a_deassign_waits_by_futex(void **state)
{
	(void)state;
	waits_by_futex(deassign);
}

static void signal_irqfd(void)
{
	vmirq_irqfd_signal(irqfd);
}

/* And its second makes none. */
static void signal_twice(void)
{
	signal_irqfd();
	signal_irqfd();
}

static void a_first_signal_makes_gettid(void **state)
{
	struct filtered device = { .run = signal_twice };

	(void)state;
	begin();
	start(&device);
	end(&device, SYS_gettid, 1);
	assert_int_equal(counts_of(irqfd).raised, 2);
	take_only(vcpu, IRQFD_VECTOR);
	finish();
}

static void *try_filter(void *argument)
{
	*(bool *)argument = restrict_thread(false);
	return NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(futex_is_all_that_they_need),
		cmocka_unit_test(a_mask_waits_by_futex),
		cmocka_unit_test(quiesce_waits_by_futex),
		cmocka_unit_test(a_deassign_waits_by_futex),
		cmocka_unit_test(a_first_signal_makes_gettid),
	};
	pthread_t thread;
	bool able = false;

#if !defined(__x86_64__)
	puts("SKIP: what a filter traps is told on x86-64 only");
	return 77;
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	puts("SKIP: a sanitizer makes system calls of its own");
	return 77;
#endif
	if (!pthread_create(&thread, NULL, try_filter, &able))
		pthread_join(thread, NULL);
	if (!able) {
		puts("SKIP: no seccomp filter is to be had");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
