/* SPDX-License-Identifier: MIT */
/* A signal: by the copied target where it is good, else by the route itself. */
#include "irqfd/deferred.h"

#include "base/reader.h"
#include "base/vm.h"
#include "irqfd/mask.h"
#include "irqfd/resample.h"
#include "line/line.h"

/* Where its messages are the kernel's to deliver. */
static inline struct target resolve_in_kernel(const struct vmirq_irqfd *irqfd)
{
	enum route_kind kind = route_kind_now(irqfd->slot);

	return (struct target){ .kind = (enum target_kind)(kind == ROUTE_NONE	? TARGET_VERDICT
							   : kind == ROUTE_PINS ? TARGET_PINS
										: TARGET_KERNEL),
				.verdict = VMIRQ_NO_ROUTE,
				.generation = dest_map_generation(&irqfd->chip->map) };
}

/* What the route comes to now. `irq` is filled for TARGET_DELIVER. */
static inline struct target resolve_route(const struct vmirq_irqfd *irqfd, struct interrupt *irq)
{
	struct route_words route;
	struct msi_message msg;

	/* First: the slot of a masked one is not looked at. */
	if (irqfd_masked(irqfd))
		return (struct target){ .kind = (enum target_kind)TARGET_MASKED };
	if (irqfd->table->vm->irqchip)
		return resolve_in_kernel(irqfd);
	route = vmirq_route_words(irqfd->slot);
	if (route.kind == ROUTE_NONE)
		return (struct target){ .kind = TARGET_VERDICT,
					.verdict = VMIRQ_NO_ROUTE,
					.generation = dest_map_generation(&irqfd->chip->map) };
	if (route.kind == ROUTE_PINS)
		return (struct target){ .kind = (enum target_kind)TARGET_PINS,
					.generation = dest_map_generation(&irqfd->chip->map) };
	msg = route_message(&route);
	vmirq_msi_decode(&msg, irqfd->chip->format, irq);
	return vmirq_resolve(irqfd->chip, irq);
}

/* Become the copy's writer, if its head is still this one, which nobody was writing. */
static bool try_lock_copy(struct vmirq_irqfd *irqfd, uint64_t head)
{
	/* Acquire: what the last writer stored is seen; pairs with the release in unlock_copy(). */
	if (!atomic_compare_exchange_strong_explicit(&irqfd->head, &head, head | HEAD_WRITTEN,
						     memory_order_acquire, memory_order_relaxed))
		return false;
	/* "Written" before the copy; pairs with the fence before a signal's second look. */
	atomic_thread_fence(memory_order_release);
	return true;
}

/* A signal may be at it, and its thread be off the processor. Returns the head there was. */
static uint64_t lock_copy(struct vmirq_irqfd *irqfd)
{
	uint64_t head;

	for (unsigned int turn = 0;; turn++) {
		head = irqfd_head(irqfd) & ~HEAD_WRITTEN;
		if (try_lock_copy(irqfd, head))
			return head;
		vmirq_back_off(turn);
	}
}

/* `head` is what there was before, `target` HEAD_TARGET(). */
static void unlock_copy(struct vmirq_irqfd *irqfd, uint64_t head, uint32_t target)
{
	/* Pairs with the acquire in irqfd_head(). */
	atomic_store_explicit(&irqfd->head, ((head & HEAD_NUMBER) + HEAD_NEXT) | target,
			      memory_order_release);
}

/* Store what was resolved. */
static void put_target(struct vmirq_irqfd *irqfd, uint64_t head, const struct target *t)
{
	/* A signal follows it before it sees whether it is whole, or what kind it is: never to nowhere. */
	if (t->kind == TARGET_POST)
		atomic_store_explicit(&irqfd->word, vecset_word(&t->posted->vectors, t->vector),
				      memory_order_relaxed);
	atomic_store_explicit(&irqfd->generation, t->generation, memory_order_relaxed);
	unlock_copy(irqfd, head, HEAD_TARGET(t->kind, t->verdict, t->vector, t->level));
}

/* Is it what the copy holds already, whose head this is? */
static bool is_in_copy(const struct vmirq_irqfd *irqfd, uint64_t head, const struct target *t)
{
	if ((uint32_t)head != HEAD_TARGET(t->kind, t->verdict, t->vector, t->level))
		return false;
	/* Of another kind a signal looks at nothing else. */
	return t->kind != TARGET_POST ||
	       (atomic_load_explicit(&irqfd->generation, memory_order_relaxed) == t->generation &&
		atomic_load_explicit(&irqfd->word, memory_order_relaxed) ==
			vecset_word(&t->posted->vectors, t->vector));
}

/* To be put into its copy, with whatever its signals will want. */
static inline struct target prepare_target(struct vmirq_irqfd *irqfd)
{
	struct interrupt irq;
	struct target t = resolve_route(irqfd, &irq);

	if ((unsigned int)t.kind == TARGET_PINS)
		vmirq_irqfd_make_deferred(irqfd);
	return t;
}

void vmirq_irqfd_resolve_first(struct vmirq_irqfd *irqfd)
{
	/* Nobody knows it yet: nobody else writes. */
	uint64_t head = atomic_load_explicit(&irqfd->head, memory_order_relaxed);
	struct target t;

	/* Of this target a signal looks at nothing else. */
	if (irqfd->table->vm->irqchip && !irqfd_masked(irqfd) &&
	    route_kind_locked(irqfd->slot) == ROUTE_MSI) {
		unlock_copy(irqfd, head, HEAD_TARGET(TARGET_KERNEL, VMIRQ_NO_ROUTE, 0, 0));
		return;
	}
	t = prepare_target(irqfd);
	put_target(irqfd, head, &t);
}

void vmirq_irqfd_resolve(struct vmirq_irqfd *irqfd)
{
	struct target t;

	/* Under the slot's lock it stays so. */
	if (HEAD_KIND(irqfd_head(irqfd)) == TARGET_GONE)
		return;
	t = prepare_target(irqfd);
	put_target(irqfd, lock_copy(irqfd), &t);
}

void vmirq_irqfd_set_gone(struct vmirq_irqfd *irqfd)
{
	unlock_copy(irqfd, lock_copy(irqfd), TARGET_GONE);
}

static enum vmirq_verdict count_outcome(struct vmirq_irqfd *irqfd, enum vmirq_verdict verdict)
{
	counts_add(&irqfd->counts, verdict, 1);
	return verdict;
}

static enum vmirq_verdict raise_pins(struct vmirq_irqfd *irqfd)
{
	struct vmirq_vm *vm = irqfd->table->vm;

	if (irqfd->resample)
		return vmirq_line_assert_slot(vm->lines, irqfd->slot);
	return vmirq_line_pulse_slot(vm->lines, irqfd->slot);
}

/* For a signaller, who may not take a chip's lock; false: it must, after all. */
static bool put_off(struct vmirq_irqfd *irqfd, enum vmirq_verdict *verdict)
{
	/* Acquire: pairs with the release in vmirq_irqfd_make_deferred(). */
	struct deferred *d = atomic_load_explicit(&irqfd->deferred, memory_order_acquire);

	if (irqfd->resample && vmirq_line_in_kernel(irqfd->table->vm)) {
		/* Its level is the kernel's irqfd's to raise. */
		vmirq_guard_ring(irqfd->resample->guarded);
		*verdict = VMIRQ_HELD;
		return true;
	}
	if (d)
		*verdict = vmirq_irqfd_defer(irqfd, d);
	return d != NULL;
}

static enum vmirq_verdict send_by_kernel(struct vmirq_irqfd *irqfd)
{
	struct route route = vmirq_route_read(irqfd->slot);

	if (route.kind == ROUTE_MSI)
		return vmirq_route_send(irqfd->table->vm, &route.msi).verdict;
	return route.kind == ROUTE_PINS ? ROUTE_CHANGED : VMIRQ_NO_ROUTE;
}

/* Its own counts have been read for the last time, perhaps: those of its GSI have not. But until the GSI has memory
 * for them deassign still waits for whoever sees so. */
static enum vmirq_verdict count_late(struct vmirq_irqfd *irqfd)
{
	/* A signaller that is too late even for this may see who has the memory next: see irqfd_begin(). */
	struct route_slot *slot = __atomic_load_n(&irqfd->slot, __ATOMIC_RELAXED);
	/* Acquire: pairs with the release in vmirq_route_make_more(). */
	struct route_more *more = atomic_load_explicit(&slot->more, memory_order_acquire);

	if (!more)
		return count_outcome(irqfd, VMIRQ_DEASSIGNED);
	atomic_fetch_add_explicit(&more->late, 1, memory_order_relaxed);
	return VMIRQ_DEASSIGNED;
}

/* By the route, keeping what it came to. False: the route has changed meanwhile, or a mask, and nothing is
 * done. */
static bool try_route(struct vmirq_irqfd *irqfd, bool may_lock, enum vmirq_verdict *verdict)
{
	struct interrupt irq;
	struct target t;
	uint64_t head = irqfd_head(irqfd);

	if (HEAD_KIND(head) == TARGET_GONE) {
		*verdict = count_late(irqfd);
		return true;
	}
	t = resolve_route(irqfd, &irq);
	/* The route was read after the head: where that is still so, no newer one was stored. What stands there is
	 * not written again: a change of the route would have to wait for this thread, or, where this is a signal
	 * handler's that comes again and again, would never come to its turn. */
	if (!(head & HEAD_WRITTEN) && !is_in_copy(irqfd, head, &t) && try_lock_copy(irqfd, head))
		put_target(irqfd, head, &t);
	switch ((unsigned int)t.kind) {
	case TARGET_MASKED:
		return vmirq_irqfd_hold(irqfd, verdict);
	case TARGET_PINS:
		if (!may_lock && put_off(irqfd, verdict))
			return true;
		*verdict = raise_pins(irqfd);
		break;
	case TARGET_KERNEL:
		*verdict = send_by_kernel(irqfd);
		break;
	case TARGET_POST:
		*verdict = post_vector(irqfd->chip, t.posted, t.vector, t.level);
		break;
	case TARGET_DELIVER:
		*verdict = vmirq_deliver(irqfd->chip, &irq).verdict;
		break;
	default:
		*verdict = t.verdict;
		break;
	}
	if (unlikely(*verdict == ROUTE_CHANGED))
		return false;
	count_outcome(irqfd, *verdict);
	return true;
}

/* The rest of a signal where it is more than a post, each of them leaving the section. */

/* The copy is stale, being written, or no plain post. */
static __attribute__((noinline)) enum vmirq_verdict raise_slowly(struct vmirq_irqfd *irqfd,
								 struct reader *section,
								 bool may_lock)
{
	enum vmirq_verdict verdict;

	/* The section's fence: what is loaded from here on counts. */
	fence_full();
	while (!try_route(irqfd, may_lock, &verdict))
		;
	reader_exit(section);
	return verdict;
}

/* It was counted, and the copy is another now. */
static __attribute__((noinline)) enum vmirq_verdict raise_again(struct vmirq_irqfd *irqfd,
								struct reader *section,
								bool may_lock,
								enum vmirq_verdict guess)
{
	counts_add(&irqfd->counts, guess, (uint64_t)-1);
	return raise_slowly(irqfd, section, may_lock);
}

/* It was posted: somebody has to be told of it, or it was counted as what it is not. */
static __attribute__((noinline)) enum vmirq_verdict finish_post(struct vmirq_irqfd *irqfd,
								struct reader *section,
								_Atomic uint64_t *word,
								uint8_t vector, bool pending,
								enum vmirq_verdict guess)
{
	enum vmirq_verdict verdict = tell_vcpu(irqfd->chip, posted_of_word(word), vector, pending);

	if (verdict != guess) {
		counts_add(&irqfd->counts, guess, (uint64_t)-1);
		count_outcome(irqfd, verdict);
		if (verdict <= VMIRQ_COALESCED)
			atomic_store_explicit(&irqfd->guess, (uint8_t)verdict,
					      memory_order_relaxed);
	}
	reader_exit(section);
	return verdict;
}

/* In a section, which it leaves if it is its own: else `section` is READER_INNER. */
static inline __attribute__((always_inline)) enum vmirq_verdict raise(struct vmirq_irqfd *irqfd,
								      struct reader *section,
								      bool own, bool may_lock)
{
	uint64_t head = irqfd_head(irqfd);
	_Atomic uint64_t *word = atomic_load_explicit(&irqfd->word, memory_order_relaxed);
	enum vmirq_verdict guess = atomic_load_explicit(&irqfd->guess, memory_order_relaxed);
	const struct dest_map *map = &irqfd->chip->map;
	uint8_t vector = HEAD_VECTOR(head);
	uint64_t generation;
	uint32_t mode;
	bool pending;

	/* Few branches: each costs about as much as all that it looks at. */
	if (unlikely(HEAD_NO_EDGE(head) | posted_word_level(word, vector)))
		return raise_slowly(irqfd, section, may_lock);
	/* Count first, as the last one came to, and mend the count if it was not so: the locked add is
	 * then the fence that makes the section visible before the looks that follow. The descriptor's
	 * line is not looked at before it is written: another core has it, and would have to give it up
	 * twice. */
	counts_add(&irqfd->counts, guess, 1);
	fence_after_rmw();
	/* Acquire: before the head, with which it belongs. */
	generation = atomic_load_explicit(&irqfd->generation, memory_order_acquire);
	if (unlikely((dest_map_generation(map) ^ generation) | (irqfd_head(irqfd) ^ head)))
		return raise_again(irqfd, section, may_lock, guess);
	/* A and B in posted.h. */
	pending = vecset_word_test_and_set(word, vector);
	mode = atomic_load(&posted_of_word(word)->mode);
	if (unlikely((pending ^ (uint32_t)guess) | (mode ^ MODE_OUTSIDE)))
		return finish_post(irqfd, section, word, vector, pending, guess);
	if (own)
		reader_end(section, reader_state(section) - 1);
	return guess;
}

enum vmirq_verdict vmirq_irqfd_raise(struct vmirq_irqfd *irqfd)
{
	return raise(irqfd, READER_INNER, false, true);
}

/* In a section already, or without a record as yet. */
static __attribute__((noinline)) enum vmirq_verdict signal_inside(struct vmirq_irqfd *irqfd)
{
	struct reader *section = reader_enter_unfenced();
	enum vmirq_verdict verdict = raise(irqfd, READER_INNER, false, false);

	reader_exit(section);
	return verdict;
}

/* No stack frame: what is not a post and nothing else goes on elsewhere. */
enum vmirq_verdict vmirq_irqfd_signal(struct vmirq_irqfd *irqfd)
{
	struct reader *section = vmirq_reader_self;
	uint64_t state = reader_state(section);

	if (unlikely(state & 1))
		return signal_inside(irqfd);
	reader_begin(section, state);
	return raise(irqfd, section, true, false);
}

void vmirq_irqfd_read(struct vmirq_irqfd *irqfd, uint64_t n)
{
	if (n > 1)
		counts_add(&irqfd->counts, VMIRQ_EVENTFD_MERGED, n - 1);
	vmirq_irqfd_raise(irqfd);
}
