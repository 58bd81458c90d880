/* SPDX-License-Identifier: MIT */
/* The shortest script that still shows a difference. */
#ifndef VMIRQ_DIFF_SHRINK_H
#define VMIRQ_DIFF_SHRINK_H

#include "diff_session.h"

/* Delta debugging, each try on fresh VMs, for at most `seconds`. `script` is cut in place, and
 * `difference` is the one of what is left. */
void script_shrink(struct script *script, struct difference *difference, double seconds);

#endif
