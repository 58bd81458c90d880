// SPDX-License-Identifier: MIT
/* Sections of a thread for whose record there is no memory. */
#include "../support.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/reader.h"

/* As many as there are without memory (reader.c). */
#define RECORDS 128

static _Atomic bool no_memory; /* mmap64: with _FILE_OFFSET_BITS=64, as all is built */

void *__real_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	if (!no_memory)
		return __real_mmap64(at, size, protection, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

static sem_t begun, end;

static void *have_a_record(void *unused)
{
	(void)unused;
	reader_exit(reader_enter());
	sem_post(&begun);
	while (sem_wait(&end))
		;
	return NULL;
}

static pthread_t owner[RECORDS];

static void take_all_records(void)
{
	sem_init(&begun, 0, 0);
	sem_init(&end, 0, 0);
	for (int i = 0; i < RECORDS; i++) {
		assert_int_equal(pthread_create(&owner[i], NULL, have_a_record, NULL), 0);
		while (sem_wait(&begun))
			;
	}
	no_memory = true;
}

static void give_records_back(void)
{
	no_memory = false;
	for (int i = 0; i < RECORDS; i++)
		sem_post(&end);
	for (int i = 0; i < RECORDS; i++)
		pthread_join(owner[i], NULL);
}

static void in_a_section(void)
{
	assert_true(reader_inside());
	assert_int_equal(vmirq_reader_wait(), -EDEADLK);
}

static void *nested(void *unused)
{
	struct reader *outer, *inner;

	(void)unused;
	assert_false(reader_inside());
	outer = reader_enter();
	assert_null(outer);
	in_a_section();
	inner = reader_enter();
	in_a_section();
	reader_exit(inner);
	in_a_section();
	/* There is memory now: it goes on as it began. */
	no_memory = false;
	inner = reader_enter();
	in_a_section();
	reader_exit(inner);
	in_a_section();
	reader_exit(outer);
	assert_false(reader_inside());
	assert_int_equal(vmirq_reader_wait(), 0);
	/* And only now it has one. */
	outer = reader_enter();
	assert_non_null(outer);
	in_a_section();
	reader_exit(outer);
	assert_false(reader_inside());
	return NULL;
}

static void test_nested(void **state)
{
	pthread_t thread;

	(void)state;
	take_all_records();
	assert_int_equal(pthread_create(&thread, NULL, nested, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	give_records_back();
}

static void *stay_in_a_section(void *unused)
{
	struct reader *section = reader_enter();

	(void)unused;
	assert_null(section);
	sem_post(&begun);
	while (sem_wait(&end))
		;
	reader_exit(section);
	return NULL;
}

/* The threads that are in one are its parent's. */
static void test_a_child(void **state)
{
	pthread_t inside;
	pid_t child;
	int status;

	(void)state;
	take_all_records();
	assert_int_equal(pthread_create(&inside, NULL, stay_in_a_section, NULL), 0);
	while (sem_wait(&begun))
		;
	child = fork();
	if (!child) {
		alarm(10);
		_exit(vmirq_reader_wait() ? 1 : 0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	sem_post(&end);
	give_records_back();
	assert_int_equal(pthread_join(inside, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_child),
		cmocka_unit_test(test_nested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
