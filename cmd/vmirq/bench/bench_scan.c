// SPDX-License-Identifier: MIT
#include "bench_scan.h"

#include <stddef.h>

void bench_scan_raise(struct bench_scan *s, uint32_t i)
{
	__atomic_exchange_n(&s->pending[i], 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&s->scheduled, __ATOMIC_RELAXED))
		__atomic_exchange_n(&s->scheduled, 1, __ATOMIC_SEQ_CST);
}

uint32_t bench_scan_run(struct bench_scan *s, uint32_t max, uint64_t *served)
{
	uint32_t done = 0;

	__atomic_exchange_n(&s->scheduled, 0, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < s->n && done < max; i++) {
		if (!__atomic_load_n(&s->pending[i], __ATOMIC_RELAXED))
			continue;
		__atomic_exchange_n(&s->pending[i], 0, __ATOMIC_SEQ_CST);
		vmirq_irqfd_signal(s->irqfd);
		done++;
		if (served)
			served[i]++;
	}
	return done;
}
