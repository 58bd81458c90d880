/* SPDX-License-Identifier: MIT */
#include "base/reader.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#define FIRST_RECORDS 128
#define MORE_RECORDS  63

/* Records are found by walking; they are never freed, only used again. */
struct record_block {
	struct record_block *_Atomic next;
	struct reader record[MORE_RECORDS];
};

__thread struct reader *vmirq_reader_self;

static struct reader first_records[FIRST_RECORDS];
static struct record_block *_Atomic more_records;
/* Sections of threads that found no record. */
static _Atomic uint64_t shared_inside;

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static void release_record(void *record)
{
	struct reader *r = record;

	vmirq_reader_self = NULL;
	/* Pairs with the acquire in claim(). */
	atomic_store_explicit(&r->used, 0, memory_order_release);
}

static void make_key(void)
{
	key_error = -pthread_key_create(&key, release_record);
}

int vmirq_reader_init(void)
{
	pthread_once(&key_once, make_key);
	return key_error;
}

/* An unloaded library must not be called back when a thread ends. */
__attribute__((destructor)) static void delete_key(void)
{
	if (vmirq_reader_self)
		release_record(vmirq_reader_self);
	pthread_once(&key_once, make_key);
	if (!key_error)
		pthread_key_delete(key);
}

static struct reader *claim(struct reader *records, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t unused = 0;

		if (!atomic_load_explicit(&records[i].used, memory_order_relaxed) &&
		    atomic_compare_exchange_strong_explicit(&records[i].used, &unused, 1,
							    memory_order_acquire,
							    memory_order_relaxed))
			return &records[i];
	}
	return NULL;
}

static struct reader *claim_anywhere(void)
{
	struct record_block *block;
	struct reader *r = claim(first_records, FIRST_RECORDS);

	/* Acquire: pairs with the release that published the block below. */
	for (block = atomic_load_explicit(&more_records, memory_order_acquire); !r && block;
	     block = atomic_load_explicit(&block->next, memory_order_relaxed))
		r = claim(block->record, MORE_RECORDS);
	if (r)
		return r;

	/* mmap and not malloc: this may be a signal handler's first signal. */
	block = mmap(NULL, sizeof(*block), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	if (block == MAP_FAILED)
		return NULL;
	atomic_store_explicit(&block->record[0].used, 1, memory_order_relaxed);

	struct record_block *head = atomic_load_explicit(&more_records, memory_order_relaxed);

	do
		atomic_store_explicit(&block->next, head, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&more_records, &head, block,
						      memory_order_release, memory_order_relaxed));
	return &block->record[0];
}

struct reader *vmirq_reader_register(void)
{
	struct reader *r = claim_anywhere();

	if (!r)
		return NULL;
	if (vmirq_reader_self) {
		/* A signal handler came between and found one. */
		atomic_store_explicit(&r->used, 0, memory_order_release);
		return vmirq_reader_self;
	}
	if (pthread_setspecific(key, r)) {
		atomic_store_explicit(&r->used, 0, memory_order_release);
		return NULL;
	}
	vmirq_reader_self = r;
	return r;
}

void vmirq_reader_enter_shared(void)
{
	atomic_fetch_add(&shared_inside, 1);
}

void vmirq_reader_exit_shared(void)
{
	/* Release: pairs with the acquire in vmirq_reader_wait(). */
	atomic_fetch_sub_explicit(&shared_inside, 1, memory_order_release);
}

/* A section is short, but its thread may be off the processor in the middle of it. */
static void back_off(unsigned int turn)
{
	static const struct timespec nap = { .tv_nsec = 50000 };

	if (turn < 64)
		cpu_relax();
	else if (turn < 128)
		sched_yield();
	else
		nanosleep(&nap, NULL);
}

static void wait_records(const struct reader *records, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct reader *r = &records[i];
		/* Acquire: what the section did is seen; pairs with the release in reader_exit(). */
		uint64_t state = atomic_load_explicit(&r->state, memory_order_acquire);

		for (unsigned int turn = 0;
		     (state & 1) && atomic_load_explicit(&r->state, memory_order_acquire) == state;
		     turn++)
			back_off(turn);
	}
}

int vmirq_reader_wait(void)
{
	struct record_block *block;

	if (reader_inside())
		return -EDEADLK;
	/* C before D, above. */
	fence_full();
	wait_records(first_records, FIRST_RECORDS);
	for (block = atomic_load_explicit(&more_records, memory_order_acquire); block;
	     block = atomic_load_explicit(&block->next, memory_order_relaxed))
		wait_records(block->record, MORE_RECORDS);
	for (unsigned int turn = 0; atomic_load_explicit(&shared_inside, memory_order_acquire);
	     turn++)
		back_off(turn);
	return 0;
}
