/* SPDX-License-Identifier: MIT */
#include "base/reader.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/lock.h"

#define FIRST_RECORDS 128
#define MORE_RECORDS  63

/* Turns of a wait: some 10 us. */
#define SPINS 256
/* Then naps: the shortest, doubled so often. */
#define NAP_NS	  20000u
#define DOUBLINGS 5u
/* Some 100 ms: it may have ended. */
#define LONG_WAIT (SPINS + 160)

/* Records are found by walking; they are never freed, only used again. */
struct record_block {
	struct record_block *_Atomic next;
	struct reader record[MORE_RECORDS];
};

struct reader vmirq_reader_none = { .state = 1 };
__thread struct reader *vmirq_reader_self = &vmirq_reader_none;
__thread unsigned int vmirq_reader_shared;

static struct reader first_records[FIRST_RECORDS];
/* Of them, those that anybody ever had: the others need not be looked at. */
static _Atomic uint32_t first_used;
static struct record_block *_Atomic more_records;
/* Sections of threads that found no record. */
static _Atomic uint64_t shared_inside;

static bool has_ended(pid_t thread)
{
	int saved = errno;
	bool ended = syscall(SYS_tgkill, getpid(), thread, 0) < 0 && errno == ESRCH;

	errno = saved;
	return ended;
}

/* Its owner has ended, or it has none. */
static bool take(struct reader *r, int32_t owner, int32_t heir)
{
	if (!atomic_compare_exchange_strong_explicit(&r->owner, &owner, heir, memory_order_acquire,
						     memory_order_relaxed))
		return false;
	/* Its thread may have ended inside a section, by pthread_cancel(). Acquire: pairs with the release in
	 * reader_end(), for whoever waits for the new owner's sections only. */
	if (atomic_load_explicit(&r->state, memory_order_acquire) & 1)
		atomic_fetch_add_explicit(&r->state, 1, memory_order_relaxed);
	for (int use = 0; use < READER_USES; use++)
		atomic_store_explicit(&r->uses[use], NULL, memory_order_relaxed);
	return true;
}

/* A record that nobody has, or, with `ended_too`, whose thread is no more. */
static struct reader *claim(struct reader *records, size_t n, pid_t thread, bool ended_too)
{
	for (size_t i = 0; i < n; i++) {
		struct reader *r = &records[i];
		int32_t owner = atomic_load_explicit(&r->owner, memory_order_relaxed);

		if ((!owner || (ended_too && has_ended(owner))) && take(r, owner, thread))
			return r;
	}
	return NULL;
}

/* Stored also where it stays as it is: a store of this thread's, before the fences of its sections. */
static void note_used(const struct reader *r)
{
	uint32_t old = atomic_load_explicit(&first_used, memory_order_relaxed);
	uint32_t n = (uint32_t)(r - first_records) + 1;

	while (!atomic_compare_exchange_weak_explicit(&first_used, &old, n > old ? n : old,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

static struct reader *claim_anywhere(pid_t thread, bool ended_too)
{
	struct reader *r = claim(first_records, FIRST_RECORDS, thread, ended_too);
	struct record_block *block;

	if (r)
		note_used(r);
	/* Acquire: pairs with the release that published the block in add_block(). */
	for (block = atomic_load_explicit(&more_records, memory_order_acquire); !r && block;
	     block = atomic_load_explicit(&block->next, memory_order_relaxed))
		r = claim(block->record, MORE_RECORDS, thread, ended_too);
	return r;
}

/* mmap and not malloc: this may be a signal handler's first signal. */
static struct reader *add_block(pid_t thread)
{
	int saved = errno;
	struct record_block *block = mmap(NULL, sizeof(*block), PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct record_block *head = atomic_load_explicit(&more_records, memory_order_relaxed);

	errno = saved;
	if (block == MAP_FAILED)
		return NULL;
	atomic_store_explicit(&block->record[0].owner, thread, memory_order_relaxed);
	do
		atomic_store_explicit(&block->next, head, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&more_records, &head, block,
						      memory_order_release, memory_order_relaxed));
	return &block->record[0];
}

/* NULL when there is no memory. */
static struct reader *find_record(void)
{
	pid_t thread = (pid_t)syscall(SYS_gettid);
	struct reader *r = claim_anywhere(thread, false);

	if (!r)
		r = claim_anywhere(thread, true);
	if (!r)
		r = add_block(thread);
	if (!r)
		return NULL;
	if (vmirq_reader_self != &vmirq_reader_none) {
		/* A signal handler came between and found one. */
		atomic_store_explicit(&r->owner, 0, memory_order_release);
		return vmirq_reader_self;
	}
	vmirq_reader_self = r;
	return r;
}

/* Of a child's threads the one that forked keeps its record, and has another id there: by the old one it
 * would be taken for ended. */
static void follow_fork(void)
{
	struct reader *r = vmirq_reader_self;

	if (r != &vmirq_reader_none)
		atomic_store_explicit(&r->owner, (pid_t)syscall(SYS_gettid), memory_order_relaxed);
	/* The others' are not in the child. */
	atomic_store_explicit(&shared_inside, vmirq_reader_shared, memory_order_relaxed);
}

static __attribute__((constructor)) void expect_forks(void)
{
	pthread_atfork(NULL, NULL, follow_fork);
}

/* Among the sections of those that have none; false: there is one, after all. */
static bool enter_shared(void)
{
	/* First: a signal handler that comes after it finds no record. */
	vmirq_reader_shared++;
	atomic_signal_fence(memory_order_seq_cst);
	if (vmirq_reader_self != &vmirq_reader_none) {
		vmirq_reader_shared--;
		return false;
	}
	atomic_fetch_add(&shared_inside, 1);
	return true;
}

struct reader *vmirq_reader_enter_odd(void)
{
	struct reader *r = vmirq_reader_self;
	uint64_t state;

	if (r == &vmirq_reader_none)
		r = vmirq_reader_shared ? NULL : find_record();
	if (!r) {
		if (enter_shared())
			return NULL;
		r = vmirq_reader_self;
	}
	/* Where a signal handler has found the record since the caller's look, it is even. */
	state = reader_state(r);
	if (state & 1)
		return READER_INNER;
	reader_begin(r, state);
	return r;
}

void vmirq_reader_exit_shared(void)
{
	/* Release: pairs with the acquire in vmirq_reader_wait(). */
	atomic_fetch_sub_explicit(&shared_inside, 1, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	vmirq_reader_shared--;
}

/* Neither sched_yield() nor nanosleep(), which filters refuse that allow futex(). */
void vmirq_back_off(unsigned int turn)
{
	unsigned int doublings = turn - SPINS;

	if (turn < SPINS)
		cpu_relax();
	else
		vmirq_futex_nap(NAP_NS << (doublings < DOUBLINGS ? doublings : DOUBLINGS));
}

/* Was its thread waited for in vain? Then it is nobody's, so that the next need not wait as long. */
static bool is_left(struct reader *r, unsigned int turn)
{
	int32_t owner = atomic_load_explicit(&r->owner, memory_order_relaxed);

	if (turn < LONG_WAIT || !has_ended(owner))
		return false;
	/* Nobody has this id. Release: pairs with the acquire in take(). */
	if (take(r, owner, -1))
		atomic_store_explicit(&r->owner, 0, memory_order_release);
	return true;
}

/* A section is short, but its thread may be off the processor in the middle of it, or gone. */
static void wait_record(struct reader *r)
{
	/* Acquire: what the section did is seen; pairs with the release in reader_exit(). */
	uint64_t state = atomic_load_explicit(&r->state, memory_order_acquire);

	for (unsigned int turn = 0;
	     (state & 1) && atomic_load_explicit(&r->state, memory_order_acquire) == state;
	     turn++) {
		if (is_left(r, turn))
			return;
		vmirq_back_off(turn);
	}
}

static void wait_records(struct reader *records, size_t n)
{
	for (size_t i = 0; i < n; i++)
		/* Acquire: pairs with the release in reader_exit(). */
		if (unlikely(atomic_load_explicit(&records[i].state, memory_order_acquire) & 1))
			wait_record(&records[i]);
}

int vmirq_reader_wait(void)
{
	struct record_block *block;

	if (reader_inside())
		return -EDEADLK;
	/* C before D in reader.h. A record that is not among the used ones yet is so by a store before its
	 * section's fence, as A is. */
	fence_full();
	wait_records(first_records, atomic_load_explicit(&first_used, memory_order_relaxed));
	for (block = atomic_load_explicit(&more_records, memory_order_acquire); block;
	     block = atomic_load_explicit(&block->next, memory_order_relaxed))
		wait_records(block->record, MORE_RECORDS);
	for (unsigned int turn = 0; atomic_load_explicit(&shared_inside, memory_order_acquire);
	     turn++)
		vmirq_back_off(turn);
	return 0;
}

static void wait_use(struct reader *records, size_t n, enum reader_use use, const void *what)
{
	for (size_t i = 0; i < n; i++) {
		struct reader *r = &records[i];

		/* Acquire: its user's loads are done; pairs with the releases in reader_let_go() and
		 * reader_called(). */
		for (unsigned int turn = 0;
		     atomic_load_explicit(&r->uses[use], memory_order_acquire) == what; turn++) {
			if (is_left(r, turn))
				break;
			vmirq_back_off(turn);
		}
	}
}

void vmirq_reader_wait_use(enum reader_use use, const void *what)
{
	struct record_block *block;

	/* What the caller has said before is seen by whoever is not seen here. */
	fence_full();
	wait_use(first_records, FIRST_RECORDS, use, what);
	for (block = atomic_load_explicit(&more_records, memory_order_acquire); block;
	     block = atomic_load_explicit(&block->next, memory_order_relaxed))
		wait_use(block->record, MORE_RECORDS, use, what);
}
