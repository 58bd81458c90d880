// SPDX-License-Identifier: MIT
/* Sources in this process: a call on an irqfd without an eventfd, and a message sent directly. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <vmirq/msi.h>

#include "run.h"
#include "source.h"

static int call_open(struct source *source)
{
	int ret = 0;

	for (uint32_t i = 0; i < source->lanes && !ret; i++)
		ret = lane_bind(source, &source->lane[i], -1);
	return ret;
}

static int call_raise(struct source *source, struct lane *lane)
{
	(void)source;
	/* What became of it is the library's to count. */
	vmirq_irqfd_signal(lane->irqfd);
	lane_count(lane);
	return 0;
}

static void call_close(struct source *source)
{
	for (uint32_t i = 0; i < source->lanes; i++)
		lane_unbind(source, &source->lane[i]);
}

const struct source_kind source_call = {
	.name = "call",
	.path = "post",
	.what = "this process signals an irqfd that has no eventfd",
	.lanes_max = LANES_MAX,
	.counts_itself = true,
	.open = call_open,
	.raise = call_raise,
	.churn = lanes_churn,
	.close = call_close,
};

static int msi_open(struct source *source)
{
	(void)source;
	return 0;
}

static int msi_raise(struct source *source, struct lane *lane)
{
	uint64_t address = lane_msi_address(lane);
	struct kvm_msi msi = {
		.address_lo = (uint32_t)address,
		.address_hi = (uint32_t)(address >> 32),
		.data = lane->vector,
	};
	enum vmirq_verdict verdict = VMIRQ_VERDICTS;
	int ret = vmirq_msi_send_verdict(source->run->vm, &msi, &verdict);

	if (ret < 0 || verdict >= VMIRQ_VERDICTS)
		return source_fail(source, ret < 0 ? ret : -EPROTO, "sending a message: %s",
				   ret < 0 ? strerror(-ret) : "no verdict came back");
	lane_count(lane);
	lane->returned[verdict]++;
	return 0;
}

static void msi_close(struct source *source)
{
	(void)source;
}

const struct source_kind source_msi = {
	.name = "msi",
	.path = "post",
	.what = "this process sends MSI messages directly, without a GSI",
	.lanes_max = LANES_MAX,
	.counts_itself = true,
	.open = msi_open,
	.raise = msi_raise,
	.close = msi_close,
};
