// SPDX-License-Identifier: MIT
/* Vectors with eventfds, a device's own and lent ones: the same cases on every irqchip. */
#include "../irqchip/world.h"
#include "device.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int foreign(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static bool in_kernel(struct vmirq_msix *msix, uint32_t vector)
{
	return vector_counts(msix, vector).unobserved;
}

/* The world under way is without the kernel's irqfds. */
static bool no_irqfd;

static bool kernel_reads(const struct world *w)
{
	return w->irqchip != VMIRQ_IRQCHIP_SOFT && !no_irqfd;
}

/* Written by another process at any moment: once at the unmask, nothing before it, as often as it likes. */
static void masked_then_unmasked(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 2);
	int fd = foreign();

	table_put(msix, 1, 2, 0x41, true);
	enable(msix);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 1, fd, 0), 0);
	for (int i = 0; i < 5; i++) {
		/* The first time it has no GSI yet. */
		world_write(fd, 1);
		world_take_nothing(w);
		assert_true(pba_bit(msix, 1));
		world_write(fd, 3);
		world_write(fd, 1);
		assert_true(pba_bit(msix, 1));
		table_mask(msix, 1, false);
		world_take(w, 2, 0x41);
		world_take_nothing(w);
		assert_false(pba_bit(msix, 1));
		assert_int_equal(in_kernel(msix, 1), kernel_reads(w));
		world_write(fd, 1);
		world_take(w, 2, 0x41);
		world_take_nothing(w);
		table_mask(msix, 1, true);
		assert_false(in_kernel(msix, 1));
	}
	device_free(msix);
	/* Nothing by the eventfd any more. */
	world_write(fd, 1);
	world_take_nothing(w);
	close(fd);
}

/* The pump need not have run: the PBA and the unmask look themselves. */
static void unread_at_unmask(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 1);
	int fd = vmirq_msix_lend_eventfd(msix, 0);

	assert_true(fd >= 0);
	assert_int_equal(vmirq_pump_stop(vmirq_vm_pump(w->vm)), 0);
	table_put(msix, 0, 1, 0x42, false);
	world_write(fd, 2);
	assert_true(pba_bit(msix, 0));
	world_write(fd, 1);
	assert_int_equal(vmirq_msix_pending(msix, 0), 1);
	assert_int_equal(vector_counts(msix, 0).raised, 3);
	world_write(fd, 1);
	enable(msix);
	world_take(w, 1, 0x42);
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(w->vm)), 0);
	world_take_nothing(w);
	device_free(msix);
	close(fd);
}

static void function_mask(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 3);
	int fd[3];

	for (uint32_t v = 0; v < 3; v++) {
		fd[v] = vmirq_msix_lend_eventfd(msix, v);
		table_put(msix, v, v, (uint8_t)(0x50 + v), false);
	}
	enable(msix);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vmirq_msix_set_control(msix, true, true), 0);
		world_write(fd[0], 1);
		world_write(fd[2], 1);
		world_take_nothing(w);
		assert_true(pba_bit(msix, 0));
		assert_false(pba_bit(msix, 1));
		assert_true(pba_bit(msix, 2));
		enable(msix);
		world_take(w, 0, 0x50);
		world_take(w, 2, 0x52);
		world_take_nothing(w);
	}
	device_free(msix);
	for (uint32_t v = 0; v < 3; v++)
		close(fd[v]);
}

/* Calls and an eventfd share the pending bit. */
static void both_sources(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 1);
	int fd = vmirq_msix_lend_eventfd(msix, 0);

	table_put(msix, 0, 0, 0x44, true);
	enable(msix);
	for (int i = 0; i < 3; i++) {
		assert_trigger(msix, 0, VMIRQ_HELD);
		world_write(fd, 1);
		assert_true(pba_bit(msix, 0));
		table_mask(msix, 0, false);
		world_take(w, 0, 0x44);
		world_take_nothing(w);
		assert_trigger(msix, 0, VMIRQ_DELIVERED);
		world_take(w, 0, 0x44);
		table_mask(msix, 0, true);
	}
	device_free(msix);
	close(fd);
}

static void retarget_while_signalled(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 1);
	int fd = vmirq_msix_lend_eventfd(msix, 0);

	table_put(msix, 0, 0, 0x45, false);
	enable(msix);
	for (unsigned int i = 0; i < 6; i++) {
		unsigned int vcpu = i % WORLD_VCPUS;

		/* With a mask, as Linux does it; what comes meanwhile goes the new way. */
		table_mask(msix, 0, true);
		world_write(fd, 1);
		table_put(msix, 0, vcpu, (uint8_t)(0x60 + i), false);
		world_take(w, vcpu, (uint8_t)(0x60 + i));
		world_take_nothing(w);
		/* Without one. */
		table_write(msix, 0, ENTRY_DATA, 0x70 + i);
		world_write(fd, 1);
		world_take(w, vcpu, (uint8_t)(0x70 + i));
		world_take_nothing(w);
	}
	device_free(msix);
	close(fd);
}

static void another_eventfd(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 2);
	int a = foreign(), b = foreign(), pipe_ends[2], null;

	table_put(msix, 0, 1, 0x46, false);
	enable(msix);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, a, 0), 0);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 1, a, 0), -EBUSY);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 1, -2, 0), -EBADF);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 1, b, UINT64_MAX), -EINVAL);
	assert_int_equal(pipe(pipe_ends), 0);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, pipe_ends[0], 0), -EINVAL);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, pipe_ends[0], 5), -EINVAL);
	null = open("/dev/null", O_RDWR);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, null, 5), -EINVAL);
	close(null);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	/* An error leaves the old one. */
	world_write(a, 1);
	world_take(w, 1, 0x46);
	/* While masked: what the old one was written is pending. */
	table_mask(msix, 0, true);
	world_write(a, 1);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, b, 0), 0);
	assert_true(pba_bit(msix, 0));
	table_mask(msix, 0, false);
	world_take(w, 1, 0x46);
	world_write(a, 1);
	world_take_nothing(w);
	world_write(b, 1);
	world_take(w, 1, 0x46);
	/* And open. */
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, -1, 0), 0);
	world_write(b, 1);
	world_take_nothing(w);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 1, b, 0), 0);
	assert_true(pba_bit(msix, 1));
	device_free(msix);
	close(a);
	close(b);
}

/* KVM_IRQFD's own words do not take a vector's irqfd away. */
static void strangers_deassign(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 1);
	int fd = vmirq_msix_lend_eventfd(msix, 0);
	struct kvm_irqfd args = { .fd = (uint32_t)fd, .flags = KVM_IRQFD_FLAG_DEASSIGN };

	table_put(msix, 0, 0, 0x47, false);
	enable(msix);
	assert_int_equal(vmirq_msix_gsi(msix, 0, &args.gsi), 0);
	assert_int_equal(vmirq_irqfd(w->vm, &args), 0);
	world_write(fd, 1);
	world_take(w, 0, 0x47);
	device_free(msix);
	close(fd);
}

static void saved_with_pending(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 2), *other = device_new(w->vm, 2);
	struct vmirq_msix_state state = { .size = sizeof(state) };
	int fd = vmirq_msix_lend_eventfd(msix, 1);

	table_put(msix, 0, 0, 0x48, false);
	table_put(msix, 1, 2, 0x49, true);
	enable(msix);
	world_write(fd, 1);
	assert_int_equal(vmirq_msix_save(msix, &state), 0);
	device_free(msix);
	close(fd);
	assert_int_equal(vmirq_msix_load(other, &state), 0);
	fd = vmirq_msix_lend_eventfd(other, 1);
	world_take_nothing(w);
	assert_true(pba_bit(other, 1));
	table_mask(other, 1, false);
	world_take(w, 2, 0x49);
	world_write(fd, 1);
	world_take(w, 2, 0x49);
	assert_trigger(other, 0, VMIRQ_DELIVERED);
	world_take(w, 0, 0x48);
	world_take_nothing(w);
	device_free(other);
	close(fd);
}

/* More than the kernel has GSIs in the smallest world; each has its own message. */
static void many_vectors(struct world *w)
{
	enum { MANY = 150 };
	struct vmirq_msix *msix = device_new(w->vm, MANY);
	int fd[MANY];

	for (uint32_t v = 0; v < MANY; v++) {
		fd[v] = vmirq_msix_lend_eventfd(msix, v);
		table_put(msix, v, v % WORLD_VCPUS, (uint8_t)(0x20 + v), false);
		if (v % 2)
			world_write(fd[v], 1);
	}
	enable(msix);
	for (uint32_t v = 1; v < MANY; v += 2)
		world_take(w, v % WORLD_VCPUS, (uint8_t)(0x20 + v));
	world_take_nothing(w);
	for (uint32_t v = 0; v < MANY; v++) {
		world_write(fd[v], 1);
		world_take(w, v % WORLD_VCPUS, (uint8_t)(0x20 + v));
	}
	world_take_nothing(w);
	device_free(msix);
	for (uint32_t v = 0; v < MANY; v++)
		close(fd[v]);
}

struct writer {
	int fd;
	_Atomic int round;
};

static void *write_once_a_round(void *argument)
{
	struct writer *writer = argument;
	int round, last = 0;

	while ((round = atomic_load(&writer->round)) >= 0) {
		if (round != last)
			world_write(writer->fd, 1);
		last = round;
		sched_yield();
	}
	return NULL;
}

/* Written while the kernel and the pump hand the eventfd to each other: it comes. */
static void written_at_any_moment(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 1);
	struct writer writer = { .fd = vmirq_msix_lend_eventfd(msix, 0) };
	pthread_t thread;

	table_put(msix, 0, 1, 0x4a, false);
	enable(msix);
	assert_int_equal(pthread_create(&thread, NULL, write_once_a_round, &writer), 0);
	for (int i = 1; i <= 200; i++) {
		atomic_store(&writer.round, i);
		for (int flip = 0; flip < 1 + i % 5; flip++) {
			table_mask(msix, 0, true);
			table_mask(msix, 0, false);
		}
		world_take(w, 1, 0x4a);
	}
	atomic_store(&writer.round, -1);
	pthread_join(thread, NULL);
	world_take_nothing(w);
	device_free(msix);
	close(writer.fd);
}

/* KVM_SET_GSI_ROUTING fails: nothing opens, nothing is lost, and the next time it works. */
static void kernel_refuses(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 3);
	int fd = vmirq_msix_lend_eventfd(msix, 1), kept, null;
	uint32_t gsi;

	if (w->irqchip == VMIRQ_IRQCHIP_SOFT) {
		device_free(msix);
		close(fd);
		return;
	}
	for (uint32_t v = 0; v < 3; v++)
		table_put(msix, v, v, (uint8_t)(0x30 + v), false);
	assert_trigger(msix, 0, VMIRQ_HELD);
	world_write(fd, 1);
	/* What the library has the number of is no KVM VM for a while. */
	kept = dup(w->vm_fd);
	null = open("/dev/null", O_RDWR);
	assert_true(kept >= 0 && null >= 0);
	assert_int_equal(dup2(null, w->vm_fd), w->vm_fd);
	assert_int_equal(vmirq_msix_set_control(msix, true, false), -ENOTTY);
	assert_int_equal(dup2(kept, w->vm_fd), w->vm_fd);
	close(kept);
	close(null);
	for (uint32_t v = 0; v < 3; v++) {
		assert_int_equal(vmirq_msix_gsi(msix, v, &gsi), -ENOENT);
		assert_int_equal(pba_bit(msix, v), v < 2);
	}
	world_take_nothing(w);
	enable(msix);
	world_take(w, 0, 0x30);
	world_take(w, 1, 0x31);
	world_take_nothing(w);
	device_free(msix);
	close(fd);
}

static void plain_msi(struct world *w)
{
	struct vmirq_msix *msix = device_new_msi(
		w->vm, 4, VMIRQ_MSIX_MSI | VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE);
	int fd = vmirq_msix_lend_eventfd(msix, 3);

	msi_write(msix, 0x04, 4, 0xfee01000);
	msi_write(msix, 0x0c, 2, 0x64);
	msi_write(msix, 0x10, 4, 1u << 3);
	msi_write(msix, 0x02, 2, 0x21);
	world_write(fd, 1);
	world_take_nothing(w);
	assert_int_equal(msi_read(msix, 0x14, 4), 1u << 3);
	msi_write(msix, 0x10, 4, 0);
	world_take(w, 1, 0x67);
	world_take_nothing(w);
	world_write(fd, 1);
	world_take(w, 1, 0x67);
	device_free(msix);
	close(fd);
}

struct kernels_words {
	struct vmirq_vm *vm;
	struct kvm_irqfd args;
	_Atomic bool over;
};

static void *deassign_in_the_kernels_words(void *argument)
{
	struct kernels_words *words = argument;

	while (!atomic_load_explicit(&words->over, memory_order_relaxed))
		assert_int_equal(vmirq_irqfd(words->vm, &words->args), 0);
	return NULL;
}

/* KVM_IRQFD's terms do not find a vector, nor look at its eventfd while it has another: ThreadSanitizer
 * sees it. */
static void not_found_while_exchanged(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 1);
	struct kernels_words words = { .vm = w->vm, .args = { .flags = KVM_IRQFD_FLAG_DEASSIGN } };
	int fd[2] = { foreign(), foreign() };
	pthread_t thread;

	words.args.fd = (uint32_t)fd[0];
	table_put(msix, 0, 1, 0x41, false);
	enable(msix);
	assert_int_equal(vmirq_msix_gsi(msix, 0, &words.args.gsi), 0);
	assert_int_equal(pthread_create(&thread, NULL, deassign_in_the_kernels_words, &words), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(vmirq_msix_set_eventfd(msix, 0, fd[i % 2], 0), 0);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, fd[0], 0), 0);
	atomic_store_explicit(&words.over, true, memory_order_relaxed);
	pthread_join(thread, NULL);
	world_write(fd[0], 1);
	world_take(w, 1, 0x41);
	device_free(msix);
	close(fd[0]);
	close(fd[1]);
}

static const struct {
	const char *name;
	void (*run)(struct world *w);
} cases[] = {
	{ "masked, then unmasked", masked_then_unmasked },
	{ "unread at the unmask", unread_at_unmask },
	{ "function mask", function_mask },
	{ "calls and an eventfd", both_sources },
	{ "re-target while signalled", retarget_while_signalled },
	{ "another eventfd", another_eventfd },
	{ "a stranger deassigns", strangers_deassign },
	{ "saved with pending", saved_with_pending },
	{ "many vectors", many_vectors },
	{ "written at any moment", written_at_any_moment },
	{ "the kernel refuses", kernel_refuses },
	{ "plain MSI", plain_msi },
	{ "not found while exchanged", not_found_while_exchanged },
};

static const struct {
	const char *name;
	struct world_config config;
} worlds[] = {
	{ "soft", { .irqchip = VMIRQ_IRQCHIP_SOFT } },
	{ "split", { .irqchip = VMIRQ_IRQCHIP_SPLIT } },
	{ "kvm", { .irqchip = VMIRQ_IRQCHIP_KVM } },
	{ "kvm without irqfd", { .irqchip = VMIRQ_IRQCHIP_KVM, .without = VMIRQ_CAP_IRQFD } },
	{ "split with 64 GSIs, without signal-msi",
	  { .irqchip = VMIRQ_IRQCHIP_SPLIT, .without = VMIRQ_CAP_SIGNAL_MSI, .kernel_gsis = 64 } },
};

static void run_case(void **state)
{
	uintptr_t n = (uintptr_t)*state, count = sizeof(cases) / sizeof(cases[0]);
	struct world *w;

	if (!world_possible(worlds[n / count].config.irqchip))
		skip();
	no_irqfd = worlds[n / count].config.without & VMIRQ_CAP_IRQFD;
	w = world_new(&worlds[n / count].config);
	cases[n % count].run(w);
	world_free(w);
}

int main(void)
{
	enum {
		CASES = sizeof(cases) / sizeof(cases[0]),
		WORLDS = sizeof(worlds) / sizeof(worlds[0])
	};
	static struct CMUnitTest tests[CASES * WORLDS];
	static char name[CASES * WORLDS][80];

	for (uintptr_t i = 0; i < CASES * WORLDS; i++) {
		snprintf(name[i], sizeof(name[i]), "%s: %s", worlds[i / CASES].name,
			 cases[i % CASES].name);
		tests[i] = (struct CMUnitTest){ .name = name[i],
						.test_func = run_case,
						.initial_state = (void *)i };
	}
	return _cmocka_run_group_tests("msix eventfds", tests, CASES * WORLDS, NULL, NULL);
}
