/* SPDX-License-Identifier: MIT */
#ifndef BYPASS_MANAGER_H
#define BYPASS_MANAGER_H

#include "bypass/table.h"

/* Register an end that is as this one, the first member of one side's, and connect it. Errors as in
 * bypass.h. */
int vmirq_bypass_enter(struct vmirq_bypass *bypass, const struct bypass_end *as,
		       struct bypass_end **out);

/* Unregister an end; the one with this kind and token, if there is one. */
int vmirq_bypass_leave(struct bypass_end *end);
int vmirq_bypass_leave_token(struct vmirq_bypass *bypass, enum bypass_kind kind, uint64_t token);

/* How many are registered, of both kinds. */
size_t vmirq_bypass_ends(struct vmirq_bypass *bypass);

/* connect.c: the pairs whose callbacks the calling thread is in, the innermost first. */
struct bypass_call {
	const struct vmirq_consumer *consumer;
	const struct bypass_call *outer;
};
extern __thread const struct bypass_call *vmirq_bypass_calls
	__attribute__((tls_model("initial-exec")));

#endif
