// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <vmirq/version.h>

static void library_says_what_the_header_says(void **state)
{
	char expected[32];

	(void)state;
	snprintf(expected, sizeof(expected), "%d.%d.%d", VMIRQ_VERSION_MAJOR, VMIRQ_VERSION_MINOR,
		 VMIRQ_VERSION_PATCH);
	assert_string_equal(vmirq_version(), expected);
}

static void package_says_what_the_header_says(void **state)
{
	(void)state;
	assert_string_equal(vmirq_version(), VMIRQ_PACKAGE_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(library_says_what_the_header_says),
		cmocka_unit_test(package_says_what_the_header_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
