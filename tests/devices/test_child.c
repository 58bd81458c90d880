// SPDX-License-Identifier: MIT
/* A child where descriptors are few: it starts, or the error says why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

static int start(struct child *child, int pass)
{
	char option[] = "-c", script[] = "echo sh: error of its own >&2; exit 3",
	     *argv[] = { NULL, option, script, NULL };

	return child_start(child, "sh", argv, NULL, pass);
}

static void limit(rlim_t n)
{
	struct rlimit now;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	now.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static void one_that_was_never_started_has_no_words(void **state)
{
	struct child child = CHILD_NONE;
	char words[100] = "x", *argv[] = { NULL, NULL };

	(void)state;
	assert_string_equal(child_last_words(&child, words, sizeof(words)), "");
	assert_int_equal(child_start(&child, "/nonexistent/program", argv, NULL, -1), -ENOENT);
	assert_string_equal(child_last_words(&child, words, sizeof(words)), "");
	child_stop(&child);
}

static void its_words_are_its_complaint(void **state)
{
	struct child child;
	char words[100];

	(void)state;
	assert_int_equal(start(&child, -1), 0);
	assert_int_equal(child_wait(&child, 10000), -ECHILD);
	assert_string_equal(child_last_words(&child, words, sizeof(words)),
			    "sh ended with status 3: error of its own");
	child_stop(&child);
}

/* Or there are too few descriptors, and nothing else is the matter. */
static bool starts(int pass)
{
	struct child child;
	int ret = start(&child, pass);

	if (ret)
		assert_int_equal(ret, -EMFILE);
	else
		assert_int_equal(child_wait(&child, 10000), -ECHILD);
	if (!ret)
		assert_int_equal(WEXITSTATUS(child.status), 3);
	child_stop(&child);
	return ret == 0;
}

/* However few are left, and however few there may be at all. */
static void without_descriptors_the_error_says_so(void **state)
{
	(void)state;
	for (rlim_t most = 12; most <= 24; most++) {
		int fds[24] = { 0 }, n = 0, failures = 0;

		limit(most);
		while ((fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
			n++;
		while (!starts(fds[0])) {
			failures++;
			assert_true(n > 1);
			close(fds[--n]);
		}
		assert_true(failures > 2);
		while (n > 0)
			close(fds[--n]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_was_never_started_has_no_words),
		cmocka_unit_test(its_words_are_its_complaint),
		cmocka_unit_test(without_descriptors_the_error_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
