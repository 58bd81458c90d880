/* SPDX-License-Identifier: MIT */
/* What of a VM's chips is due when: the PIT's ticks, and pins that an EOI storm has throttled. */
#include "base/vm.h"
#include "line/line.h"

static uint64_t retry_deadline(const struct line_ioapic *io)
{
	uint64_t first = UINT64_MAX;

	for (uint32_t pin = 0; pin < io->ioapic.config.count; pin++) {
		uint64_t at = atomic_load_explicit(&io->retry_at[pin], memory_order_relaxed);

		if (at && at < first)
			first = at;
	}
	return first;
}

void vmirq_line_forget_retries(struct line_ioapic *io)
{
	for (uint32_t pin = 0; pin < io->ioapic.config.count; pin++)
		if (atomic_exchange_explicit(&io->retry_at[pin], 0, memory_order_relaxed))
			atomic_fetch_sub_explicit(&io->lines->throttled, 1, memory_order_relaxed);
}

uint64_t vmirq_vm_deadline(struct vmirq_vm *vm)
{
	struct line_domain *lines = vm->lines;
	uint64_t first = lines->has_pit ? vmirq_pit_deadline(&lines->pit) : UINT64_MAX;

	if (!atomic_load_explicit(&lines->throttled, memory_order_relaxed))
		return first;
	for (uint32_t i = 0; i < lines->ioapics; i++) {
		uint64_t retry = retry_deadline(lines->ioapic[i]);

		if (retry < first)
			first = retry;
	}
	return first;
}

static void retry_due(struct line_domain *lines, struct line_ioapic *io, uint64_t now)
{
	for (uint32_t pin = 0; pin < io->ioapic.config.count; pin++) {
		uint64_t at = atomic_load_explicit(&io->retry_at[pin], memory_order_relaxed);

		if (!at || at > now ||
		    !atomic_compare_exchange_strong_explicit(
			    &io->retry_at[pin], &at, 0, memory_order_relaxed, memory_order_relaxed))
			continue;
		atomic_fetch_sub_explicit(&lines->throttled, 1, memory_order_relaxed);
		vmirq_ioapic_retry(&io->ioapic, pin);
	}
}

void vmirq_vm_expire(struct vmirq_vm *vm)
{
	struct line_domain *lines = vm->lines;
	uint64_t now = vm->clock.now(vm->clock.opaque);

	if (lines->has_pit)
		vmirq_pit_expire(&lines->pit, now);
	if (atomic_load_explicit(&lines->throttled, memory_order_relaxed))
		for (uint32_t i = 0; i < lines->ioapics; i++)
			retry_due(lines, lines->ioapic[i], now);
	vmirq_lines_rearm(lines);
}

static void expired(void *opaque)
{
	struct line_domain *lines = opaque;

	vmirq_vm_expire(lines->vm);
}

int vmirq_lines_start_timer(struct line_domain *lines)
{
	if (lines->vm->own_clock)
		return 0;
	return vmirq_timer_create(&lines->timer, lines->vm->pump, expired, lines);
}

/* The lock keeps a later deadline from being set over by an earlier look. */
void vmirq_lines_rearm(struct line_domain *lines)
{
	if (!lines->timer.pump)
		return;
	pthread_mutex_lock(&lines->timer_mutex);
	vmirq_timer_set(&lines->timer, vmirq_vm_deadline(lines->vm));
	pthread_mutex_unlock(&lines->timer_mutex);
}
