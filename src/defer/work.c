/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/reader.h"
#include "defer/worker.h"

/* The runs that the calling thread is in, innermost first: it cannot wait for them. */
struct run_frame {
	const struct defer_work *work;
	const struct run_frame *outer;
};

static __thread const struct run_frame *runs_here __attribute__((tls_model("initial-exec")));

static bool is_run_here(const struct defer_work *work)
{
	const struct run_frame *frame = runs_here;

	while (frame && frame->work != work)
		frame = frame->outer;
	return frame != NULL;
}

/* In a read section, by who has turned ON_LIST on. Once it is pushed the item is no more the caller's. */
static void append(struct defer_work *work)
{
	/* Acquire: pairs with the releases in vmirq_defer_init() and unpublish(). */
	struct defer_worker *worker = atomic_load_explicit(&work->home, memory_order_acquire);
	struct defer_link *head = atomic_load_explicit(&worker->pushed, memory_order_relaxed);

	/* Release: pairs with the acquire in lock_unlinked(). */
	atomic_store_explicit(&work->at, worker, memory_order_release);
	/* A in defer.h; as a release it pairs with the exchange in vmirq_defer_worker_gather(). */
	do
		work->queue.next = head;
	while (!atomic_compare_exchange_weak_explicit(&worker->pushed, &head, &work->queue,
						      memory_order_seq_cst, memory_order_relaxed));
	worker_ring(worker);
}

void vmirq_defer_init(struct defer_work *work, struct defer_worker *worker,
		      void (*run)(struct defer_work *work))
{
	*work = (struct defer_work){ .run = run };
	/* Release: pairs with the acquire in append(). */
	atomic_store_explicit(&work->home, worker, memory_order_release);
	pthread_mutex_lock(&worker->mutex);
	link_before(&work->sibling, &worker->items);
	pthread_mutex_unlock(&worker->mutex);
}

bool vmirq_defer_raise(struct defer_work *work)
{
	struct reader *section = reader_enter_unfenced();
	/* Not skipped where SCHED is seen set: what the caller stored before might pass that look.
	 * As a release it pairs with the acquire in vmirq_work_take(). */
	uint32_t old = atomic_fetch_or(&work->state, DEFER_SCHED | DEFER_ON_LIST);

	fence_after_rmw();
	if (!(old & DEFER_ON_LIST))
		append(work);
	reader_exit(section);
	return !(old & DEFER_SCHED);
}

bool vmirq_work_take(struct defer_work *work, uint32_t off)
{
	uint32_t old = atomic_load_explicit(&work->state, memory_order_relaxed);
	uint32_t new;
	bool taken;

	/* Acquire: sees what raisers and the last run did; pairs with vmirq_defer_raise() and
	 * end_run(). Release: who turns ON_LIST on next, or frees the item, finds it unlinked. */
	do {
		taken = (old & DEFER_SCHED) && !(old & DEFER_RUN);
		new = old & ~off;
		if (taken)
			new = (new & ~DEFER_SCHED) | DEFER_RUN;
	} while (!atomic_compare_exchange_weak_explicit(
		&work->state, &old, new, memory_order_acq_rel, memory_order_relaxed));
	return taken;
}

/* In a read section. */
static void end_run(struct defer_work *work)
{
	uint32_t old = atomic_load_explicit(&work->state, memory_order_relaxed);
	uint32_t new;
	bool again;

	/* Release: the run is over; pairs with the acquires in take, flush and reset(). Acquire: who
	 * popped the item meanwhile has unlinked it. */
	do {
		again = (old & (DEFER_SCHED | DEFER_ON_LIST)) == DEFER_SCHED;
		new = (old & ~DEFER_RUN) + DEFER_ENDED;
		if (again)
			new |= DEFER_ON_LIST;
	} while (!atomic_compare_exchange_weak_explicit(
		&work->state, &old, new, memory_order_acq_rel, memory_order_relaxed));
	if (again)
		append(work);
}

void vmirq_work_run(struct defer_work *work)
{
	struct run_frame frame = { .work = work, .outer = runs_here };
	struct reader *section;

	runs_here = &frame;
	work->run(work);
	runs_here = frame.outer;
	section = reader_enter();
	end_run(work);
	reader_exit(section);
}

/*
 * Lock the list that the item hangs in, and take it off. NULL: it hangs in none, or its raiser has not
 * got so far. In a read section, so that the worker stays.
 */
static struct defer_worker *lock_unlinked(struct defer_work *work)
{
	/* Acquire: pairs with the releases in append() and splice(). */
	struct defer_worker *worker = atomic_load_explicit(&work->at, memory_order_acquire);

	if (!worker)
		return NULL;
	pthread_mutex_lock(&worker->mutex);
	/* From this worker it goes elsewhere only under this lock. */
	if (atomic_load_explicit(&work->at, memory_order_acquire) == worker) {
		vmirq_defer_worker_gather(worker);
		if (work->queue.prev) {
			work_unlink(work);
			return worker;
		}
	}
	pthread_mutex_unlock(&worker->mutex);
	return NULL;
}

/* Take SCHED for a run on the calling thread, and the item off its list if it is in one. */
static bool take_here(struct defer_work *work)
{
	struct reader *section = reader_enter();
	struct defer_worker *worker = lock_unlinked(work);
	bool taken = vmirq_work_take(work, worker ? DEFER_ON_LIST : 0);

	if (worker)
		pthread_mutex_unlock(&worker->mutex);
	reader_exit(section);
	return taken;
}

/* How many runs will have ended when all that `state` shows has been run. */
static uint32_t goal_of(uint32_t state)
{
	return state / DEFER_ENDED + !!(state & DEFER_RUN) + !!(state & DEFER_SCHED);
}

static bool has_reached(uint32_t state, uint32_t goal)
{
	/* The number has 29 bits. */
	return (int32_t)((state / DEFER_ENDED - goal) * DEFER_ENDED) >= 0;
}

int vmirq_defer_flush(struct defer_work *work)
{
	uint32_t state, goal;

	if (is_run_here(work))
		return -EDEADLK;
	/* Acquire, here and below: what the runs did is seen; pairs with the release in end_run(). */
	state = atomic_load_explicit(&work->state, memory_order_acquire);
	goal = goal_of(state);
	for (unsigned int turn = 0; state & DEFER_BUSY; turn++) {
		/* Raised after the call, or by its own run. */
		if (has_reached(state, goal) && (state & (DEFER_SCHED | DEFER_RUN)))
			break;
		if (!(state & DEFER_RUN) && take_here(work))
			vmirq_work_run(work);
		else
			vmirq_back_off(turn);
		state = atomic_load_explicit(&work->state, memory_order_acquire);
	}
	return 0;
}

/* Turn SCHED off, and take the item off its list if it is in one; what was on, and what stays on. */
static uint32_t reset(struct defer_work *work, uint32_t *left)
{
	struct reader *section = reader_enter();
	struct defer_worker *worker = lock_unlinked(work);
	uint32_t off = DEFER_SCHED | (worker ? DEFER_ON_LIST : 0);
	/* Acquire: pairs with the release in end_run(). Release: as in vmirq_work_take(). */
	uint32_t old = atomic_fetch_and_explicit(&work->state, ~off, memory_order_acq_rel);

	if (worker)
		pthread_mutex_unlock(&worker->mutex);
	reader_exit(section);
	*left = old & ~off & DEFER_BUSY;
	return old;
}

int vmirq_defer_cancel(struct defer_work *work)
{
	uint32_t left;
	int thrown = 0;

	if (is_run_here(work))
		return -EDEADLK;
	for (unsigned int turn = 0;; turn++) {
		if (reset(work, &left) & DEFER_SCHED)
			thrown++;
		if (!left)
			return thrown;
		vmirq_back_off(turn);
	}
}

static bool leave_home(struct defer_work *work)
{
	struct reader *section = reader_enter();
	/* Acquire: pairs with the releases in vmirq_defer_init() and unpublish(). */
	struct defer_worker *home = atomic_load_explicit(&work->home, memory_order_acquire);
	bool found;

	pthread_mutex_lock(&home->mutex);
	found = atomic_load_explicit(&work->home, memory_order_relaxed) == home;
	if (found)
		link_remove(&work->sibling);
	pthread_mutex_unlock(&home->mutex);
	reader_exit(section);
	return found;
}

int vmirq_defer_fini(struct defer_work *work)
{
	int thrown = vmirq_defer_cancel(work);

	if (thrown < 0)
		return thrown;
	while (!leave_home(work))
		;
	return thrown;
}
