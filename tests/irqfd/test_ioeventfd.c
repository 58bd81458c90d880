// SPDX-License-Identifier: MIT
/* Doorbells that the library finds itself (ioeventfd.h). */
#include "ioeventfd_bells.h"

#include <fcntl.h>

#include "base/reader.h"

static struct asked untrusted(struct soft *s)
{
	return (struct asked){ .ioeventfd = say,
			       .write = guest_writes,
			       .opaque = s->vm,
			       .lengths = { { 1, 2, 4, 8 }, { 1, 2, 4, 8 } } };
}

static struct asked trusted(struct soft *s)
{
	struct asked asked = untrusted(s);

	asked.ioeventfd = say_trusted;
	return asked;
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
	int pipes[2];

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
	/* It is not asked for its number then; but a pipe could stop a vCPU, and is none. */
	assert_int_equal(pipe(pipes), 0);
	config.kernel.flags = 0;
	config.kernel.fd = pipes[1];
	assert_int_equal(vmirq_ioeventfd_config(s->vm, &config), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
