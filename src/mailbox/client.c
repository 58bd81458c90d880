// SPDX-License-Identifier: MIT
/* The client's inline functions under their own names, for languages that cannot include them. */
#include <vmirq/version.h>

/* Their definitions are their declarations. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define VMIRQ_MAILBOX_INLINE VMIRQ_API
#include <vmirq/mailbox_client.h>
