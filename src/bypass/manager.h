/* SPDX-License-Identifier: MIT */
#ifndef BYPASS_MANAGER_H
#define BYPASS_MANAGER_H

#include "bypass/table.h"

/* Register an end that is set up but for its `bypass`, and connect it. Where it fails the end is the
 * caller's again. Errors as in bypass.h. */
int vmirq_bypass_enter(struct vmirq_bypass *bypass, struct bypass_end *end);

/* Unregister and free an end; the one with this kind and token, if there is one. */
int vmirq_bypass_leave(struct bypass_end *end);
int vmirq_bypass_leave_token(struct vmirq_bypass *bypass, enum bypass_kind kind, uint64_t token);

/* How many are registered, of both kinds. */
size_t vmirq_bypass_ends(struct vmirq_bypass *bypass);

#endif
