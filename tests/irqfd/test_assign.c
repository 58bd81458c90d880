// SPDX-License-Identifier: MIT
/* Binding: errors and their order, and what is there at once (irqfd.h). */
#include "../support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct vmirq_irqfd_config config_for(uint32_t gsi, int fd)
{
	return (struct vmirq_irqfd_config){ .size = sizeof(struct vmirq_irqfd_config),
					    .gsi = gsi,
					    .eventfd = fd };
}

/* Assign says `error` and gives no handle. */
static void refused(struct soft *s, const struct vmirq_irqfd_config *config, int error)
{
	struct vmirq_irqfd *const nothing = NULL;
	struct vmirq_irqfd *irqfd = nothing;

	assert_int_equal(vmirq_irqfd_assign(s->vm, config, &irqfd), error);
	assert_ptr_equal(irqfd, nothing);
}

static void an_eventfd_raises_its_gsi(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	assert_int_equal(vmirq_irqfd_gsi(irqfd), 3);
	assert_int_equal(dispatch(s), 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
	take_nothing(s->vcpu[0]);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(dispatch(s), 0);
	assert_int_equal(counts_of(irqfd).raised, 1);
	close(fd);
	soft_free(s);
}

/* One signal, the rest of the count merged; once. */
static void readable_at_assign_raises_once(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(5, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;
	struct vmirq_route_counts c;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	assert_int_equal(dispatch(s), 1);
	assert_int_equal(dispatch(s), 0);
	take_only(s->vcpu[0], 0x41);
	c = counts_of(irqfd);
	assert_int_equal(c.raised, 5);
	assert_int_equal(c.verdict[VMIRQ_DELIVERED], 1);
	assert_int_equal(c.verdict[VMIRQ_EVENTFD_MERGED], 4);
	close(fd);
	soft_free(s);
}

static void before_its_route(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd = irqfd_on(s, 800, fd);

	(void)state;
	eventfd_write(fd, 2);
	assert_int_equal(dispatch(s), 1);
	assert_signal(irqfd, VMIRQ_NO_ROUTE);
	assert_int_equal(counts_of(irqfd).raised, 3);
	assert_int_equal(gsi_verdict(s, 800, VMIRQ_NO_ROUTE), 2);
	assert_int_equal(gsi_verdict(s, 800, VMIRQ_EVENTFD_MERGED), 1);
	take_nothing(s->vcpu[0]);
	route_to(s, 800, 0, 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	close(fd);
	soft_free(s);
}

static void errors_of_the_config(void **state)
{
	struct soft *s = soft_new(1);
	struct {
		struct vmirq_irqfd_config known;
		char tail[8];
	} longer = { .known = config_for(3, -1) };
	struct vmirq_irqfd_config config = config_for(3, -1);
	struct vmirq_irqfd *irqfd;

	(void)state;
	for (config.size = 0; config.size < sizeof(config); config.size++)
		refused(s, &config, -EINVAL);
	longer.known.size = sizeof(longer);
	longer.tail[7] = 1;
	refused(s, &longer.known, -E2BIG);
	longer.tail[7] = 0;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &longer.known, &irqfd), 0);
	config.size = UINT32_MAX;
	refused(s, &config, -E2BIG);
	config = config_for(3, -1);
	assert_int_equal(vmirq_irqfd_assign(NULL, &config, &irqfd), -EINVAL);
	assert_int_equal(vmirq_irqfd_assign(s->vm, NULL, &irqfd), -EINVAL);
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, NULL), -EINVAL);
	soft_free(s);
}

/* A flag nobody knows is said before the descriptor is looked at. */
static void flags_come_before_the_descriptor(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	for (unsigned int bit = 0; bit < 32; bit++) {
		struct vmirq_irqfd_config config = config_for(3, 1 << 20);

		config.flags = 1u << bit;
		/* These two mean something with every eventfd. */
		refused(s, &config,
			config.flags & (VMIRQ_IRQFD_NO_BYPASS | VMIRQ_IRQFD_TAKE) ? -EBADF
										  : -EINVAL);
	}
	soft_free(s);
}

static void gsi_limits(void **state)
{
	static const uint32_t past[] = { SOFT_GSIS, UINT32_MAX };
	struct soft *s = soft_new(1);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct vmirq_irqfd_config config = config_for(past[i], -1);

		refused(s, &config, -EINVAL);
	}
	assert_int_equal(vmirq_irqfd_gsi(irqfd_call(s, 0)), 0);
	assert_int_equal(vmirq_irqfd_gsi(irqfd_call(s, SOFT_GSIS - 1)), SOFT_GSIS - 1);
	soft_free(s);
}

static void bad_descriptors(void **state)
{
	static const int bad[] = { -2, INT32_MIN, INT32_MAX, 1 << 20 };
	struct soft *s = soft_new(1);
	struct vmirq_irqfd_config config;
	int fd = eventfd(0, 0);

	(void)state;
	close(fd);
	config = config_for(3, fd);
	refused(s, &config, -EBADF);
	config.token = 99;
	refused(s, &config, -EBADF);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config = config_for(3, bad[i]);
		refused(s, &config, -EBADF);
	}
	assert_int_equal(counts_of_gsi(s, 3).raised, 0);
	soft_free(s);
}

static void descriptors_that_are_no_eventfds(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd_config config;
	int ends[2], file = open("/dev/null", O_RDWR);
	FILE *plain = tmpfile();

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_non_null(plain);
	config = config_for(3, ends[0]);
	refused(s, &config, -EINVAL);
	config.eventfd = file;
	refused(s, &config, -EINVAL);
	config.eventfd = fileno(plain);
	refused(s, &config, -EINVAL);
	/* Where the caller vouches for it: what epoll cannot wait for is no eventfd either. */
	config.token = 1234567;
	refused(s, &config, -EINVAL);
	/* And nothing of that try stays bound. */
	config.eventfd = eventfd(0, 0);
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &(struct vmirq_irqfd *){ NULL }), 0);
	close(config.eventfd);
	close(file);
	close(ends[0]);
	close(ends[1]);
	fclose(plain);
	soft_free(s);
}

static void no_descriptor_left(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, 0);
	struct vmirq_irqfd_config config = config_for(3, fd);
	struct vmirq_irqfd *irqfd;
	struct rlimit old, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	/* fd was the lowest that was free: all below are taken. */
	none = old;
	none.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	refused(s, &config, -EMFILE);
	config.token = 77;
	refused(s, &config, -EMFILE);
	assert_int_equal(vmirq_pump_create(&(struct vmirq_pump *){ NULL }), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* Nothing of it was kept. */
	config.token = 0;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	close(fd);
	soft_free(s);
}

/* Without /proc: told so, and the caller's own number will do. Only root can take /proc away. */
static void without_proc(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, 0), status;
	struct vmirq_irqfd_config config = config_for(3, fd);
	struct vmirq_irqfd *irqfd;
	char empty[] = "/tmp/vmirq-empty-XXXXXX";
	pid_t child;

	(void)state;
	if (geteuid() != 0) {
		print_message("SKIP: taking /proc away needs root\n");
		skip();
	}
	assert_non_null(mkdtemp(empty));
	child = fork();
	if (child == 0) {
		if (chroot(empty) || chdir("/"))
			_exit(10);
		if (vmirq_irqfd_assign(s->vm, &config, &irqfd) != -ENOSYS)
			_exit(11);
		config.token = 5;
		if (vmirq_irqfd_assign(s->vm, &config, &irqfd) != 0)
			_exit(12);
		if (vmirq_irqfd_assign(s->vm, &config, &irqfd) != -EBUSY)
			_exit(13);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	rmdir(empty);
	assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
	close(fd);
	soft_free(s);
}

static void without_an_eventfd_by_call_only(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *a, *b;

	(void)state;
	route_to(s, 3, 0, 0x41);
	/* As many as one likes on one GSI. */
	a = irqfd_call(s, 3);
	b = irqfd_call(s, 3);
	assert_signal(a, VMIRQ_DELIVERED);
	assert_signal(b, VMIRQ_COALESCED);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(dispatch(s), 0);
	assert_int_equal(counts_of(a).raised, 1);
	assert_int_equal(counts_of(b).raised, 1);
	soft_free(s);
}

/* Both ways on one irqfd. */
static void a_call_and_its_eventfd(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	eventfd_write(fd, 1);
	assert_int_equal(dispatch(s), 1);
	assert_int_equal(counts_of(irqfd).verdict[VMIRQ_COALESCED], 1);
	take_only(s->vcpu[0], 0x41);
	close(fd);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_eventfd_raises_its_gsi),
		cmocka_unit_test(readable_at_assign_raises_once),
		cmocka_unit_test(before_its_route),
		cmocka_unit_test(errors_of_the_config),
		cmocka_unit_test(flags_come_before_the_descriptor),
		cmocka_unit_test(gsi_limits),
		cmocka_unit_test(bad_descriptors),
		cmocka_unit_test(descriptors_that_are_no_eventfds),
		cmocka_unit_test(no_descriptor_left),
		cmocka_unit_test(without_proc),
		cmocka_unit_test(without_an_eventfd_by_call_only),
		cmocka_unit_test(a_call_and_its_eventfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
