// SPDX-License-Identifier: MIT
/* The bell that is rung by Linux AIO: that a ring is not given up where the kernel wants it said again. */
#include "../support.h"

#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pump/aio_bell.h"

/* In place of libc's (tests/meson.build): the next io_submit and the io_getevents after it fail so. */
static int submit_error, getevents_error;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static bool fails(int *error)
{
	int now = *error;

	*error = 0;
	if (now)
		errno = now;
	return now != 0;
}

long __wrap_syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_io_submit ? fails(&submit_error)
				    : number == SYS_io_getevents && fails(&getevents_error))
		return -1;
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static struct aio_bell *bell_on(int fd)
{
	struct aio_bell *bell;

	if (vmirq_aio_bell_create(fd, &bell)) {
		print_message("no Linux AIO here\n");
		skip();
	}
	return bell;
}

/* All places are taken by others' results; others take those out first, and a signal comes. */
static void a_ring_without_a_place_is_made_again(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct aio_bell *bell = bell_on(fd);
	eventfd_t n = 0;

	(void)state;
	submit_error = EAGAIN;
	getevents_error = EINTR;
	errno = 0;
	vmirq_aio_bell_ring(bell);
	assert_int_equal(errno, 0);
	assert_int_equal(eventfd_read(fd, &n), 0);
	assert_int_equal(n, 1);
	vmirq_aio_bell_destroy(bell);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_without_a_place_is_made_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
