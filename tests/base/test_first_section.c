// SPDX-License-Identifier: MIT
/*
 * A signal handler has a section of its own after the n-th instruction of a thread's first one, for every n:
 * the thread is in its section all the same. It single-steps itself (the trap flag, SDM vol. 3B 18.3.1.4).
 */
#include "../single_step.h"
#include "../support.h"

#include <signal.h>
#include <stdio.h>

#include "base/reader.h"

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)

static volatile sig_atomic_t steps, stop_at;

static void stepped(int signal)
{
	(void)signal;
	if (++steps == stop_at)
		reader_exit(reader_enter());
}

/* As a thread has none that was never in a section. */
static void forget_record(void)
{
	if (vmirq_reader_self != &vmirq_reader_none)
		atomic_store(&vmirq_reader_self->owner, 0);
	vmirq_reader_self = &vmirq_reader_none;
}

static void a_handler_at_every_instruction(void **state)
{
	struct reader *section;
	bool inside;

	(void)state;
	for (int at = 1;; at++) {
		forget_record();
		steps = 0;
		stop_at = at;
		step_on();
		section = reader_enter();
		step_off();
		inside = reader_inside();
		reader_exit(section);
		if (!inside)
			print_error("interrupted after instruction %d\n", at);
		assert_true(inside);
		assert_false(reader_inside());
		if (steps < at)
			break;
	}
	assert_true(stop_at > 20);
	assert_int_equal(vmirq_reader_wait(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_handler_at_every_instruction) };
	struct sigaction action = { .sa_handler = stepped };

	sigaction(SIGTRAP, &action, NULL);
	step_on();
	__asm__ volatile("nop; nop");
	step_off();
	if (!steps) {
		puts("SKIP: the trap flag does not trap here");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
	puts("SKIP: single steps are x86-64's, and a sanitizer's own code is not for them");
	return 77;
}

#endif
