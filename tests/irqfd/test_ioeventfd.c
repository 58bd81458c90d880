// SPDX-License-Identifier: MIT
/* Doorbells that the library finds itself (ioeventfd.h). */
#include "ioeventfd_cases.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/ioeventfd.h>

#include "base/reader.h"

#define BELL UINT64_C(0xd0000000)
#define FULL (UINT64_MAX - 1)

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int say(void *vm, const struct kvm_ioeventfd *args)
{
	return vmirq_ioeventfd(vm, args);
}

static int say_trusted(void *vm, const struct kvm_ioeventfd *args)
{
	struct vmirq_ioeventfd_config config = { .size = sizeof(config),
						 .kernel = *args,
						 .flags = VMIRQ_IOEVENTFD_TRUSTED };

	return vmirq_ioeventfd_config(vm, &config);
}

static bool guest_writes(void *vm, bool pio, uint64_t addr, uint32_t len, uint64_t data)
{
	int error = pio ? vmirq_vm_pio(vm, (uint16_t)addr, &data, len, true)
			: vmirq_vm_mmio(vm, addr, &data, len, true);

	assert_true(!error || error == -ENOENT);
	return !error;
}

static struct asked untrusted(struct soft *s)
{
	return (struct asked){ .ioeventfd = say,
			       .write = guest_writes,
			       .opaque = s->vm,
			       .lengths = { { 1, 2, 4, 8 }, { 1, 2, 4, 8 } },
			       .later = true };
}

static struct asked trusted(struct soft *s)
{
	struct asked asked = untrusted(s);

	asked.ioeventfd = say_trusted;
	asked.later = false;
	return asked;
}

static int assign(struct soft *s, int (*how)(void *, const struct kvm_ioeventfd *), uint64_t addr,
		  int fd)
{
	struct kvm_ioeventfd args = { .addr = addr, .len = 4, .fd = fd };

	return how(s->vm, &args);
}

static int deassign(struct soft *s, uint64_t addr, int fd)
{
	struct kvm_ioeventfd args = { .addr = addr, .len = 4, .fd = fd, .flags = DEASSIGN };

	return vmirq_ioeventfd(s->vm, &args);
}

static bool write_bell(struct soft *s)
{
	return guest_writes(s->vm, false, BELL, 4, 0);
}

static void answers_are_the_kernels(void **state)
{
	struct soft *s = soft_new(1);
	struct asked both[] = { untrusted(s), trusted(s) };

	(void)state;
	for (int i = 0; i < 2; i++) {
		check_answers(&both[i]);
		check_collisions(&both[i]);
	}
	soft_free(s);
}

static void writes_match(void **state)
{
	struct soft *s = soft_new(1);
	struct asked both[] = { untrusted(s), trusted(s) };

	(void)state;
	for (int i = 0; i < 2; i++)
		check_matches(&both[i]);
	soft_free(s);
}

/* Reads do not ring, nor does an access of no length; one of any length does. */
static void other_accesses(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();
	struct kvm_ioeventfd args = { .addr = BELL, .fd = fd };
	uint8_t data[32] = { 0 };

	(void)state;
	assert_int_equal(say_trusted(s->vm, &args), 0);
	for (uint32_t len = 0; len <= sizeof(data); len++) {
		assert_int_equal(vmirq_vm_mmio(s->vm, BELL, data, len, false), -ENOENT);
		assert_int_equal(vmirq_vm_mmio(s->vm, BELL, data, len, true), len ? 0 : -ENOENT);
	}
	assert_int_equal(take_rings(fd, 0), sizeof(data));
	close(fd);
	soft_free(s);
}

static void what_the_struct_must_say(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();
	struct kvm_ioeventfd args = { .addr = BELL, .len = 4, .fd = fd };
	struct vmirq_ioeventfd_config config = { .size = sizeof(config), .kernel = args }, bad;
	struct {
		struct vmirq_ioeventfd_config known;
		uint64_t more;
	} longer = { .known = config, .more = 1 };

	(void)state;
	assert_int_equal(vmirq_ioeventfd(NULL, &args), -EINVAL);
	assert_int_equal(vmirq_ioeventfd(s->vm, NULL), -EINVAL);
	assert_int_equal(vmirq_ioeventfd_config(NULL, &config), -EINVAL);
	assert_int_equal(vmirq_ioeventfd_config(s->vm, NULL), -EINVAL);
	bad = config, bad.size--;
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &bad), -EINVAL);
	bad = config, bad.flags = 2;
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &bad), -EINVAL);
	bad = config, bad.reserved = 1;
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &bad), -EINVAL);
	bad = config, bad.token = UINT64_C(1) << 63;
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &bad), -EINVAL);
	longer.known.size = sizeof(longer);
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &longer.known), -E2BIG);
	assert_false(write_bell(s));
	longer.more = 0;
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &longer.known), 0);
	assert_true(write_bell(s));
	assert_int_equal(take_rings(fd, 1), 1);
	close(fd);
	soft_free(s);
}

/* Where there is no /proc: the same number deassigns, and no descriptor is needed for that. */
static void a_token_of_the_callers(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();
	struct vmirq_ioeventfd_config config = { .size = sizeof(config),
						 .kernel = { .addr = BELL, .len = 4, .fd = fd },
						 .token = 77 };

	(void)state;
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &config), 0);
	assert_true(write_bell(s));
	assert_int_equal(take_rings(fd, 1), 1);
	config.kernel.flags = DEASSIGN;
	config.kernel.fd = -1;
	config.token = 78;
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &config), -ENOENT);
	config.token = 77;
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &config), 0);
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &config), -ENOENT);
	assert_false(write_bell(s));
	close(fd);
	soft_free(s);
}

static void the_callers_copy_may_be_closed(void **state)
{
	int (*how[])(void *, const struct kvm_ioeventfd *) = { say, say_trusted };
	struct soft *s = soft_new(1);

	(void)state;
	for (int i = 0; i < 2; i++) {
		int fd = new_eventfd(), twin = dup(fd);

		assert_int_equal(assign(s, how[i], BELL, fd), 0);
		close(fd);
		assert_true(write_bell(s));
		assert_int_equal(take_rings(twin, 1), 1);
		assert_int_equal(deassign(s, BELL, twin), 0);
		close(twin);
	}
	soft_free(s);
}

static int descriptors_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Deassign, a refused assign and the VM's end close what the library has opened. */
static void no_descriptor_is_left(void **state)
{
	int (*how[])(void *, const struct kvm_ioeventfd *) = { say, say_trusted };
	int before = descriptors_open(), with_vm;
	struct soft *s = soft_new(1);
	int fd = new_eventfd();

	(void)state;
	with_vm = descriptors_open();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(assign(s, how[i], BELL, fd), 0);
		assert_int_equal(descriptors_open(), with_vm + i + 1);
		assert_int_equal(assign(s, how[i], BELL, fd), -EEXIST);
		assert_int_equal(assign(s, how[i], BELL + 4, 0x7fff), -EBADF);
		assert_int_equal(descriptors_open(), with_vm + i + 1);
		assert_int_equal(deassign(s, BELL, fd), 0);
		assert_int_equal(descriptors_open(), with_vm + i);
		assert_int_equal(assign(s, how[i], BELL + 64 + 8 * (uint64_t)i, fd), 0);
	}
	assert_int_equal(assign(s, say_trusted, 0, fd), 0);
	soft_free(s);
	close(fd);
	assert_int_equal(descriptors_open(), before);
}

static void a_chip_comes_first(void **state)
{
	struct soft *s = soft_new_flags(1, VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT, 0);
	const uint64_t ioapic = UINT64_C(0xfec00000);
	int fd = new_eventfd();
	struct kvm_ioeventfd args = { .addr = ioapic, .fd = fd };
	uint32_t select = 1, got = 0;
	uint8_t mask = 0xa5, mask_got = 0;

	(void)state;
	assert_int_equal(say_trusted(s->vm, &args), 0);
	args.flags = PIO, args.addr = 0x21;
	assert_int_equal(say_trusted(s->vm, &args), 0);
	args.addr = 0x22;
	assert_int_equal(say_trusted(s->vm, &args), 0);
	assert_int_equal(vmirq_vm_mmio(s->vm, ioapic, &select, 4, true), 0);
	assert_int_equal(vmirq_vm_mmio(s->vm, ioapic, &got, 4, false), 0);
	assert_int_equal(got, select);
	assert_int_equal(vmirq_vm_pio(s->vm, 0x21, &mask, 1, true), 0);
	assert_int_equal(vmirq_vm_pio(s->vm, 0x21, &mask_got, 1, false), 0);
	assert_int_equal(mask_got, mask);
	assert_int_equal(take_rings(fd, 0), 0);
	/* Beside the chip it is found. */
	assert_int_equal(vmirq_vm_pio(s->vm, 0x22, &mask, 1, true), 0);
	assert_int_equal(take_rings(fd, 0), 1);
	close(fd);
	soft_free(s);
}

static void not_inside_the_library(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();
	struct reader *section = reader_enter();

	(void)state;
	assert_int_equal(assign(s, say, BELL, fd), -EDEADLK);
	assert_int_equal(deassign(s, BELL, fd), -EDEADLK);
	reader_exit(section);
	assert_int_equal(deassign(s, BELL, fd), -ENOENT);
	close(fd);
	soft_free(s);
}

/* Many. */

#define MANY   10000u
#define STRIDE 7919u /* in no order */
#define FDS    16u

/* Some differ by address, some by data, some take any length. */
static struct kvm_ioeventfd one_of_many(uint32_t i, const int *fds)
{
	struct kvm_ioeventfd args = { .addr = BELL + 0x10 * (i / 4), .fd = fds[i % FDS] };

	switch (i % 4) {
	case 0:
		args.len = 4, args.flags = DATAMATCH, args.datamatch = i;
		break;
	case 1:
		args.len = 4, args.flags = DATAMATCH, args.datamatch = UINT32_MAX - i;
		break;
	case 2:
		args.len = 2;
		break;
	default:
		args.addr += 8;
		break;
	}
	return args;
}

static void check_many(struct soft *s, const int *fds, uint32_t step)
{
	for (uint32_t i = 0; i < MANY; i++) {
		struct kvm_ioeventfd args = one_of_many(i, fds);
		bool there = i % step == 0;

		assert_int_equal(guest_writes(s->vm, false, args.addr, args.len ? args.len : 8,
					      args.datamatch),
				 there);
		assert_int_equal(take_rings(args.fd, 0), there);
		assert_false(guest_writes(s->vm, false, args.addr + 1, 4, args.datamatch));
		assert_false(args.len &&
			     guest_writes(s->vm, false, args.addr, 4, args.datamatch ^ 0x800000));
	}
}

static void ten_thousand(void **state)
{
	struct soft *s = soft_new(1);
	int fds[FDS];

	(void)state;
	for (uint32_t i = 0; i < FDS; i++)
		fds[i] = new_eventfd();
	/* Shared by all: as many descriptors as eventfds would pass the usual limit. */
	for (uint32_t i = 0; i < MANY; i++) {
		struct kvm_ioeventfd args = one_of_many(i * STRIDE % MANY, fds);

		assert_int_equal(say_trusted(s->vm, &args), 0);
	}
	check_many(s, fds, 1);
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t which = i * STRIDE % MANY;
		struct kvm_ioeventfd args = one_of_many(which, fds);

		args.flags |= DEASSIGN;
		if (which % 3)
			assert_int_equal(say_trusted(s->vm, &args), 0);
	}
	check_many(s, fds, 3);
	for (uint32_t i = 0; i < FDS; i++)
		assert_int_equal(take_rings(fds[i], 0), 0);
	soft_free(s);
	for (uint32_t i = 0; i < FDS; i++)
		close(fds[i]);
}

/* Threads. */

#define RINGERS 2u
#define CHANGES 60u

struct ringer {
	pthread_t thread;
	struct soft *s;
	_Atomic bool *stop;
	uint64_t rang, missed;
};

static void *ring_on(void *argument)
{
	struct ringer *r = argument;

	while (!atomic_load(r->stop)) {
		if (write_bell(r->s))
			r->rang++;
		else
			r->missed++;
	}
	return NULL;
}

/* Others come and go beside it, so that the array is exchanged under the ringers by two. */
static void *change_others(void *argument)
{
	struct ringer *r = argument;
	int fd = new_eventfd();

	for (uint64_t i = 0; !atomic_load(r->stop); i++) {
		uint64_t addr = BELL - 64 + 8 * (i % 16);

		if (addr == BELL)
			continue;
		assert_int_equal(assign(r->s, say_trusted, addr, fd), 0);
		if (i % 2)
			assert_int_equal(assign(r->s, say_trusted, addr, fd), -EEXIST);
		assert_int_equal(deassign(r->s, addr, fd), 0);
		r->missed++;
	}
	assert_int_equal(take_rings(fd, 0), 0);
	close(fd);
	return NULL;
}

static uint64_t total(const struct ringer *ringers, uint64_t *missed)
{
	uint64_t rang = 0;

	for (unsigned int i = 0; i < RINGERS; i++) {
		pthread_join(ringers[i].thread, NULL);
		rang += ringers[i].rang;
		*missed += ringers[i].missed;
	}
	return rang;
}

static void beside_ringers(int (*how)(void *, const struct kvm_ioeventfd *))
{
	struct soft *s = soft_new(1);
	_Atomic bool stop = false;
	struct ringer ringers[RINGERS], other = { .s = s, .stop = &stop };
	uint64_t got = 0, missed = 0;
	int fd = new_eventfd();

	for (unsigned int i = 0; i < RINGERS; i++) {
		ringers[i] = (struct ringer){ .s = s, .stop = &stop };
		pthread_create(&ringers[i].thread, NULL, ring_on, &ringers[i]);
	}
	pthread_create(&other.thread, NULL, change_others, &other);
	for (unsigned int i = 0; i < CHANGES; i++) {
		assert_int_equal(assign(s, how, BELL, fd), 0);
		got += take_rings(fd, 1);
		assert_int_equal(deassign(s, BELL, fd), 0);
		/* All of it is there now, and nothing comes after. */
		got += take_rings(fd, 0);
		sched_yield();
		assert_int_equal(take_rings(fd, 0), 0);
	}
	atomic_store(&stop, true);
	assert_int_equal(total(ringers, &missed), got);
	assert_true(got >= CHANGES);
	assert_true(missed > 0);
	pthread_join(other.thread, NULL);
	assert_true(other.missed > 0);
	assert_int_equal(take_rings(fd, 0), 0);
	close(fd);
	soft_free(s);
}

static void ringers_of_an_untrusted_one(void **state)
{
	(void)state;
	beside_ringers(say);
}

static void ringers_of_a_trusted_one(void **state)
{
	(void)state;
	beside_ringers(say_trusted);
}

/* Two deassign the same: one of them does. */
static void *deassign_it(void *argument)
{
	struct ringer *r = argument;
	int error = deassign(r->s, BELL, (int)r->missed);

	assert_true(!error || error == -ENOENT);
	r->rang = !error;
	return NULL;
}

static void deassigned_by_two(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();

	(void)state;
	for (int i = 0; i < 50; i++) {
		struct ringer two[2];

		assert_int_equal(assign(s, say_trusted, BELL, fd), 0);
		for (int k = 0; k < 2; k++) {
			two[k] = (struct ringer){ .s = s, .missed = (uint64_t)fd };
			pthread_create(&two[k].thread, NULL, deassign_it, &two[k]);
		}
		for (int k = 0; k < 2; k++)
			pthread_join(two[k].thread, NULL);
		assert_int_equal(two[0].rang + two[1].rang, 1);
	}
	close(fd);
	soft_free(s);
}

/* Hostile peers. */

/* Full, and a write would block: the vCPU goes on, deassign too. */
static void a_stuck_peer(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t full;

	(void)state;
	assert_int_equal(eventfd_write(fd, FULL), 0);
	assert_int_equal(assign(s, say, BELL, fd), 0);
	for (int i = 0; i < 1000; i++)
		assert_true(write_bell(s));
	/* The peer comes to life: nothing was lost. */
	assert_int_equal(eventfd_read(fd, &full), 0);
	assert_int_equal(full, FULL);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	assert_int_equal(take_rings(fd, 1000), 1000);
	/* And is stuck for good. */
	fcntl(fd, F_SETFL, 0);
	assert_int_equal(eventfd_write(fd, FULL), 0);
	assert_true(write_bell(s));
	assert_int_equal(deassign(s, BELL, fd), 0);
	assert_false(write_bell(s));
	assert_int_equal(assign(s, say, BELL, fd), 0);
	assert_true(write_bell(s));
	soft_free(s);
	assert_int_equal(eventfd_read(fd, &full), 0);
	assert_int_equal(full, FULL);
	close(fd);
}

/* Of a trusted one the ring is dropped when it is full: it says all that it can. */
static void a_full_trusted_one(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();

	(void)state;
	assert_int_equal(eventfd_write(fd, FULL), 0);
	assert_int_equal(assign(s, say_trusted, BELL, fd), 0);
	assert_true(write_bell(s));
	assert_int_equal(take_rings(fd, 0), FULL);
	assert_true(write_bell(s));
	assert_int_equal(take_rings(fd, 0), 1);
	close(fd);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_the_kernels),
		cmocka_unit_test(writes_match),
		cmocka_unit_test(other_accesses),
		cmocka_unit_test(what_the_struct_must_say),
		cmocka_unit_test(a_token_of_the_callers),
		cmocka_unit_test(the_callers_copy_may_be_closed),
		cmocka_unit_test(no_descriptor_is_left),
		cmocka_unit_test(a_chip_comes_first),
		cmocka_unit_test(not_inside_the_library),
		cmocka_unit_test(ten_thousand),
		cmocka_unit_test(ringers_of_an_untrusted_one),
		cmocka_unit_test(ringers_of_a_trusted_one),
		cmocka_unit_test(deassigned_by_two),
		cmocka_unit_test(a_stuck_peer),
		cmocka_unit_test(a_full_trusted_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
