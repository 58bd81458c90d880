/* SPDX-License-Identifier: MIT */
/* A signal: by the copied target where it is good, else by the route itself. */
#include "irqfd/deferred.h"

#include "base/reader.h"
#include "base/vm.h"
#include "irqfd/mask.h"
#include "irqfd/resample.h"
#include "line/line.h"

static bool map_moved_on(const struct vmirq_irqfd *irqfd, uint64_t generation)
{
	return dest_map_generation(&irqfd->chip->map) != generation;
}

/* Store what was resolved; the caller is the one writer, by the sequence counter. */
static void put_target(struct vmirq_irqfd *irqfd, const struct target *t)
{
	atomic_store_explicit(&irqfd->posted, t->posted, memory_order_relaxed);
	atomic_store_explicit(&irqfd->generation, t->generation, memory_order_relaxed);
	atomic_store_explicit(&irqfd->target, TARGET_WORD(t->kind, t->verdict, t->vector, t->level),
			      memory_order_relaxed);
}

/* What the route comes to now. `irq` is filled for TARGET_DELIVER. */
static struct target resolve_route(const struct vmirq_irqfd *irqfd, struct interrupt *irq)
{
	struct route route;

	/* First: the slot of a masked one is not looked at. */
	if (irqfd_masked(irqfd))
		return (struct target){ .kind = (enum target_kind)TARGET_MASKED };
	route = vmirq_route_read(irqfd->slot);
	if (route.kind == ROUTE_NONE)
		return (struct target){ .kind = TARGET_VERDICT,
					.verdict = VMIRQ_NO_ROUTE,
					.generation = dest_map_generation(&irqfd->chip->map) };
	if (route.kind == ROUTE_PINS)
		return (struct target){ .kind = (enum target_kind)TARGET_PINS,
					.generation = dest_map_generation(&irqfd->chip->map) };
	if (irqfd->table->vm->irqchip)
		return (struct target){ .kind = (enum target_kind)TARGET_KERNEL,
					.generation = dest_map_generation(&irqfd->chip->map) };
	vmirq_msi_decode(&route.msi, irqfd->chip->format, irq);
	return vmirq_resolve(irqfd->chip, irq);
}

/* Become the copy's writer. A signal may be at it, and its thread be off the processor. */
static void lock_copy(struct vmirq_irqfd *irqfd)
{
	for (unsigned int turn = 0; !seq_write_try(&irqfd->seq, seq_peek(&irqfd->seq) & ~1u);
	     turn++)
		vmirq_back_off(turn);
}

void vmirq_irqfd_set_unknown(struct vmirq_irqfd *irqfd)
{
	lock_copy(irqfd);
	atomic_store_explicit(&irqfd->target, TARGET_UNKNOWN, memory_order_relaxed);
	seq_write_end(&irqfd->seq);
}

void vmirq_irqfd_resolve(struct vmirq_irqfd *irqfd)
{
	struct interrupt irq;
	struct target t = resolve_route(irqfd, &irq);

	if ((unsigned int)t.kind == TARGET_PINS)
		vmirq_irqfd_make_deferred(irqfd);
	lock_copy(irqfd);
	if (atomic_load_explicit(&irqfd->target, memory_order_relaxed) != TARGET_GONE)
		put_target(irqfd, &t);
	seq_write_end(&irqfd->seq);
}

void vmirq_irqfd_set_gone(struct vmirq_irqfd *irqfd)
{
	lock_copy(irqfd);
	atomic_store_explicit(&irqfd->target, TARGET_GONE, memory_order_relaxed);
	seq_write_end(&irqfd->seq);
}

static enum vmirq_verdict count_outcome(struct vmirq_irqfd *irqfd, enum vmirq_verdict verdict)
{
	if (verdict == VMIRQ_DELIVERED)
		atomic_fetch_add_explicit(&irqfd->delivered, 1, memory_order_relaxed);
	else if (verdict == VMIRQ_COALESCED)
		atomic_fetch_add_explicit(&irqfd->coalesced, 1, memory_order_relaxed);
	else
		counts_add(&irqfd->rest, verdict, 1);
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
		vmirq_writer_ring(irqfd->resample->writer);
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

/* By the route, keeping what it came to. False: the route has changed meanwhile, or a mask, and nothing is
 * done. */
static bool try_route(struct vmirq_irqfd *irqfd, bool may_lock, enum vmirq_verdict *verdict)
{
	struct interrupt irq;
	struct target t;
	uint32_t seq = seq_peek(&irqfd->seq);

	if (atomic_load_explicit(&irqfd->target, memory_order_relaxed) == TARGET_GONE) {
		*verdict = count_outcome(irqfd, VMIRQ_DEASSIGNED);
		return true;
	}
	t = resolve_route(irqfd, &irq);
	/* The route was read after seq: where seq_write_try() succeeds no newer one was stored. */
	if (!(seq & 1) && seq_write_try(&irqfd->seq, seq)) {
		put_target(irqfd, &t);
		seq_write_end(&irqfd->seq);
	}
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

/* The copy is stale, being written, or no plain post. */
static __attribute__((noinline)) enum vmirq_verdict raise_slowly(struct vmirq_irqfd *irqfd,
								 bool may_lock)
{
	enum vmirq_verdict verdict;

	/* The section's fence: what is loaded from here on counts. */
	fence_full();
	while (!try_route(irqfd, may_lock, &verdict))
		;
	return verdict;
}

/* It was counted as `guess` and came to something else. */
static __attribute__((noinline)) enum vmirq_verdict mend_count(struct vmirq_irqfd *irqfd,
							       bool guess_coalesced,
							       enum vmirq_verdict verdict)
{
	atomic_fetch_sub_explicit(guess_coalesced ? &irqfd->coalesced : &irqfd->delivered, 1,
				  memory_order_relaxed);
	return count_outcome(irqfd, verdict);
}

static __attribute__((noinline)) enum vmirq_verdict raise_again(struct vmirq_irqfd *irqfd,
								bool guess_coalesced, bool may_lock)
{
	atomic_fetch_sub_explicit(guess_coalesced ? &irqfd->coalesced : &irqfd->delivered, 1,
				  memory_order_relaxed);
	return raise_slowly(irqfd, may_lock);
}

static inline __attribute__((always_inline)) enum vmirq_verdict raise(struct vmirq_irqfd *irqfd,
								      bool may_lock)
{
	uint32_t seq = seq_peek(&irqfd->seq);
	uint32_t word = atomic_load_explicit(&irqfd->target, memory_order_relaxed);
	struct posted *posted = atomic_load_explicit(&irqfd->posted, memory_order_relaxed);
	uint64_t generation = atomic_load_explicit(&irqfd->generation, memory_order_relaxed);
	uint8_t vector = (uint8_t)(word >> 16);
	enum vmirq_verdict verdict;
	bool coalesced;

	/* Torn, or being written (odd): `posted` must not be followed. */
	if (unlikely((word & 0xff) != TARGET_POST || (seq & 1) || seq_read_retry(&irqfd->seq, seq)))
		return raise_slowly(irqfd, may_lock);
	/* Count first, by what it looks like, and mend the count if it was not so: the locked add is
	 * then the fence that makes the section visible before the looks that follow. */
	coalesced = vecset_test(&posted->vectors, vector);
	atomic_fetch_add_explicit(coalesced ? &irqfd->coalesced : &irqfd->delivered, 1,
				  memory_order_relaxed);
	fence_after_rmw();
	if (unlikely(seq_read_retry(&irqfd->seq, seq) || map_moved_on(irqfd, generation)))
		return raise_again(irqfd, coalesced, may_lock);
	verdict = post_vector(irqfd->chip, posted, vector, word >> 24);
	if (unlikely(verdict != (coalesced ? VMIRQ_COALESCED : VMIRQ_DELIVERED)))
		return mend_count(irqfd, coalesced, verdict);
	return verdict;
}

enum vmirq_verdict vmirq_irqfd_raise(struct vmirq_irqfd *irqfd)
{
	return raise(irqfd, true);
}

enum vmirq_verdict vmirq_irqfd_signal(struct vmirq_irqfd *irqfd)
{
	struct reader *section = reader_enter_unfenced();
	enum vmirq_verdict verdict = raise(irqfd, false);

	reader_exit(section);
	return verdict;
}

void vmirq_irqfd_read(struct vmirq_irqfd *irqfd, uint64_t n)
{
	if (n > 1)
		counts_add(&irqfd->rest, VMIRQ_EVENTFD_MERGED, n - 1);
	vmirq_irqfd_raise(irqfd);
}
