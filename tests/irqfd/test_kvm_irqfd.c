// SPDX-License-Identifier: MIT
/* KVM_IRQFD in the kernel's own words (KVM API 4.75). */
#include "../support.h"

#include <sys/eventfd.h>
#include <unistd.h>

static int irqfd_words(struct soft *s, uint32_t fd, uint32_t gsi, uint32_t flags)
{
	struct kvm_irqfd args = { .fd = fd, .gsi = gsi, .flags = flags, .resamplefd = UINT32_MAX };

	return vmirq_irqfd(s->vm, &args);
}

static void assign_and_deassign(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd);

	(void)state;
	route_to(s, 3, 0, 0x41);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, 0), 0);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, 0), -EBUSY);
	assert_int_equal(irqfd_words(s, (uint32_t)twin, 4, 0), -EBUSY);
	eventfd_write(fd, 1);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], 0x41);
	/* The eventfd counts, not its number. */
	assert_int_equal(irqfd_words(s, (uint32_t)twin, 3, KVM_IRQFD_FLAG_DEASSIGN), 0);
	eventfd_write(fd, 1);
	assert_int_equal(dispatch(s), 0);
	take_nothing(s->vcpu[0]);
	/* It still holds a count: raises once when it is bound again. */
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, 0), 0);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], 0x41);
	close(fd);
	close(twin);
	soft_free(s);
}

/* Matches eventfd *and* GSI; what is not there is success. */
static void deassign_of_what_is_not_there(void **state)
{
	struct soft *s = soft_new(1), *t = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK);

	(void)state;
	route_to(s, 3, 0, 0x41);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, KVM_IRQFD_FLAG_DEASSIGN), 0);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, 0), 0);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 4, KVM_IRQFD_FLAG_DEASSIGN), 0);
	assert_int_equal(irqfd_words(s, (uint32_t)other, 3, KVM_IRQFD_FLAG_DEASSIGN), 0);
	assert_int_equal(irqfd_words(t, (uint32_t)fd, 3, KVM_IRQFD_FLAG_DEASSIGN), 0);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, SOFT_GSIS, KVM_IRQFD_FLAG_DEASSIGN), 0);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, UINT32_MAX, KVM_IRQFD_FLAG_DEASSIGN), 0);
	eventfd_write(fd, 1);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], 0x41);
	close(fd);
	close(other);
	soft_free(t);
	soft_free(s);
}

static void deassign_delivers_and_ignores_resample(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	route_to(s, 3, 0, 0x41);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, 0), 0);
	eventfd_write(fd, 4);
	assert_int_equal(
		irqfd_words(s, (uint32_t)fd, 3, KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE),
		0);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(counts_of_gsi(s, 3).raised, 4);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, 0), 0);
	close(fd);
	soft_free(s);
}

static void flags_before_the_descriptor(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	for (unsigned int bit = 2; bit < 32; bit++) {
		assert_int_equal(irqfd_words(s, UINT32_MAX, 3, 1u << bit), -EINVAL);
		assert_int_equal(irqfd_words(s, UINT32_MAX, 3, 1u << bit | KVM_IRQFD_FLAG_DEASSIGN),
				 -EINVAL);
	}
	assert_int_equal(irqfd_words(s, UINT32_MAX, 3, UINT32_MAX), -EINVAL);
	soft_free(s);
}

static void descriptors(void **state)
{
	struct soft *s = soft_new(1);
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	for (uint32_t deassign = 0; deassign < 2; deassign++) {
		assert_int_equal(irqfd_words(s, UINT32_MAX, 3, deassign), -EBADF);
		assert_int_equal(irqfd_words(s, INT32_MAX, 3, deassign), -EBADF);
		assert_int_equal(irqfd_words(s, 1u << 31, 3, deassign), -EBADF);
		assert_int_equal(irqfd_words(s, (uint32_t)ends[0], 3, deassign), -EINVAL);
	}
	assert_int_equal(counts_of_gsi(s, 3).raised, 0);
	close(ends[0]);
	close(ends[1]);
	soft_free(s);
}

/* No chip here can do levels, which is said before the resamplefd is looked at. */
static void resample_is_einval(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, KVM_IRQFD_FLAG_RESAMPLE), -EINVAL);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, 0), 0);
	close(fd);
	soft_free(s);
}

static void gsi_limits_and_null(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_irqfd args = { .fd = UINT32_MAX };
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	assert_int_equal(vmirq_irqfd(NULL, &args), -EINVAL);
	assert_int_equal(vmirq_irqfd(s->vm, NULL), -EINVAL);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, SOFT_GSIS, 0), -EINVAL);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, UINT32_MAX, 0), -EINVAL);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, SOFT_GSIS - 1, 0), 0);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, SOFT_GSIS - 1, KVM_IRQFD_FLAG_DEASSIGN), 0);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 0, 0), 0);
	close(fd);
	soft_free(s);
}

/* Deassign finds what was bound by the caller's own token, too: the eventfd is the same. */
static void deassign_of_one_bound_with_a_token(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = 3,
					     .eventfd = fd,
					     .token = UINT64_C(0x123456789abcdef) };
	struct vmirq_irqfd *irqfd;

	(void)state;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	assert_int_equal(irqfd_words(s, (uint32_t)fd, 3, KVM_IRQFD_FLAG_DEASSIGN), 0);
	eventfd_write(fd, 1);
	assert_int_equal(dispatch(s), 0);
	close(fd);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(assign_and_deassign),
		cmocka_unit_test(deassign_of_what_is_not_there),
		cmocka_unit_test(deassign_delivers_and_ignores_resample),
		cmocka_unit_test(flags_before_the_descriptor),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(resample_is_einval),
		cmocka_unit_test(gsi_limits_and_null),
		cmocka_unit_test(deassign_of_one_bound_with_a_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
