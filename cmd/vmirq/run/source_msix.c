// SPDX-License-Identifier: MIT
/*
 * A device in this process with an MSI-X table, a vector of it for each lane. With --churn somebody writes
 * to the table and to the capability all the while, as a guest's driver may.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmirq/msix.h>

#include "run.h"
#include "source.h"

/* PCI Local Bus 3.0, 6.8.2. */
#define ENTRY_SIZE    16
#define ENTRY_ADDRESS 0
#define ENTRY_DATA    8
#define ENTRY_CONTROL 12
#define ENTRY_MASKED  1u

static int write_entry(struct source *source, uint32_t entry, uint32_t offset, uint64_t value,
		       uint32_t len)
{
	return vmirq_msix_table_access(source->private, entry * ENTRY_SIZE + offset, &value, len,
				       true);
}

static int write_message(struct source *source, uint32_t entry, const struct lane *to)
{
	int ret = write_entry(source, entry, ENTRY_ADDRESS, lane_msi_address(to), 8);

	return ret ? ret : write_entry(source, entry, ENTRY_DATA, to->vector, 4);
}

static int open_vector(struct source *source, uint32_t i)
{
	struct lane *lane = &source->lane[i];
	int ret = write_message(source, i, lane);

	if (!ret)
		ret = write_entry(source, i, ENTRY_CONTROL, 0, 4);
	if (!ret)
		ret = vmirq_msix_gsi(source->private, i, &lane->gsi);
	if (!ret)
		lane->irqfd = vmirq_msix_irqfd(source->private, i);
	return ret;
}

static int msix_open(struct source *source)
{
	const struct vmirq_msix_config config = { .size = sizeof(config),
						  .vectors = source->lanes };
	struct vmirq_msix *msix = NULL;
	int ret = vmirq_msix_create(source->run->vm, &config, &msix);

	source->private = msix;
	if (!ret)
		ret = vmirq_msix_set_control(msix, true, false);
	for (uint32_t i = 0; i < source->lanes && !ret; i++)
		ret = open_vector(source, i);
	return ret ? source_fail(source, ret, "the MSI-X table: %s", strerror(-ret)) : 0;
}

static int msix_raise(struct source *source, struct lane *lane)
{
	vmirq_msix_trigger(source->private, (uint32_t)(lane - source->lane));
	lane_count(lane);
	return 0;
}

/* Mask a vector, give it another message, open it again; at times the whole function is masked. */
static int msix_churn(struct source *source, uint64_t turn)
{
	uint32_t i = (uint32_t)(turn % source->lanes);
	uint32_t to = (uint32_t)((i + turn / source->lanes) % source->lanes);
	bool function = turn % 16 == 0;
	int ret;

	ret = function ? vmirq_msix_set_control(source->private, true, true)
		       : write_entry(source, i, ENTRY_CONTROL, ENTRY_MASKED, 4);
	if (!ret)
		ret = write_message(source, i, &source->lane[to]);
	if (!ret)
		ret = function ? vmirq_msix_set_control(source->private, true, false)
			       : write_entry(source, i, ENTRY_CONTROL, 0, 4);
	return ret;
}

static void msix_close(struct source *source)
{
	vmirq_msix_destroy(source->private);
}

const struct source_kind source_msix = {
	.name = "msix",
	.path = "MSI-X -> post",
	.what = "a device in this process raises vectors of its MSI-X table",
	.lanes_max = LANES_MAX,
	.counts_itself = true,
	.open = msix_open,
	.raise = msix_raise,
	.churn = msix_churn,
	.close = msix_close,
};
