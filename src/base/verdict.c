/* SPDX-License-Identifier: MIT */
#include <vmirq/observe.h>

static const char *const names[VMIRQ_VERDICTS] = {
	[VMIRQ_DELIVERED] = "delivered",	 [VMIRQ_COALESCED] = "coalesced",
	[VMIRQ_NO_ROUTE] = "no_route",		 [VMIRQ_NO_TARGET] = "no_target",
	[VMIRQ_APIC_DISABLED] = "apic_disabled", [VMIRQ_BAD_VECTOR] = "bad_vector",
	[VMIRQ_BAD_MESSAGE] = "bad_message",	 [VMIRQ_EVENTFD_MERGED] = "eventfd_merged",
	[VMIRQ_DEASSIGNED] = "deassigned",	 [VMIRQ_RTE_MASKED] = "rte_masked",
	[VMIRQ_PIC_MASKED] = "pic_masked",	 [VMIRQ_REMOTE_IRR] = "remote_irr",
};

const char *vmirq_verdict_name(enum vmirq_verdict verdict)
{
	if (verdict == VMIRQ_HELD)
		return "held";
	return (unsigned int)verdict < VMIRQ_VERDICTS ? names[verdict] : NULL;
}
