// SPDX-License-Identifier: MIT
#include "pc.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "cmos.h"
#include "debug_exit.h"
#include "fw_cfg.h"
#include "pci.h"
#include "serial.h"
#include "testdev.h"

struct pc {
	struct pc_config config; /* never changes */
	pthread_mutex_t lock;	 /* guards all below */
	struct serial serial;
	struct testdev testdev;
	struct fw_cfg fw_cfg;
	struct pci pci;
	struct cmos cmos;
	/* The serial port's line. One thread at a time tells it, until what it told last is true,
	 * or two vCPUs' calls could leave the line as the first of them had it. */
	bool line_level;
	bool line_told;
	bool line_telling;
};

/* What an access leads to outside, found under the lock and done after it. */
struct outcome {
	struct testdev_line line;
	int status; /* -1: no exit */
};

int pc_create(const struct pc_config *config, struct pc **out)
{
	struct pc *pc;

	*out = NULL;
	if (!config->vcpus || config->vcpus > UINT16_MAX)
		return -EINVAL;
	pc = calloc(1, sizeof(*pc));
	if (!pc)
		return -ENOMEM;
	pc->config = *config;
	pthread_mutex_init(&pc->lock, NULL);
	serial_init(&pc->serial, config->output);
	testdev_init(&pc->testdev);
	fw_cfg_init(&pc->fw_cfg, config->vcpus, config->memory);
	pci_init(&pc->pci);
	cmos_init(&pc->cmos, config->vcpus, config->memory, config->now, config->opaque);
	*out = pc;
	return 0;
}

void pc_destroy(struct pc *pc)
{
	if (!pc)
		return;
	serial_flush(&pc->serial);
	pthread_mutex_destroy(&pc->lock);
	free(pc);
}

void pc_flush(struct pc *pc)
{
	pthread_mutex_lock(&pc->lock);
	serial_flush(&pc->serial);
	pthread_mutex_unlock(&pc->lock);
}

static bool access_port(struct pc *pc, uint16_t port, void *data, uint32_t len, bool is_write,
			struct outcome *outcome)
{
	if (serial_pio(&pc->serial, port, data, len, is_write)) {
		pc->line_level = serial_irq(&pc->serial);
		return true;
	}
	if (debug_exit_pio(port, data, len, is_write, &outcome->status)) {
		/* What was said before goes out before. */
		if (outcome->status >= 0)
			serial_flush(&pc->serial);
		return true;
	}
	return testdev_pio(&pc->testdev, port, data, len, is_write, &outcome->line) ||
	       fw_cfg_pio(&pc->fw_cfg, port, data, len, is_write) ||
	       pci_pio(&pc->pci, port, data, len, is_write) ||
	       cmos_pio(&pc->cmos, port, data, len, is_write);
}

/* Drops the lock. */
static void tell_line(struct pc *pc)
{
	const struct pc_config *config = &pc->config;
	void (*tell)(void *opaque, uint32_t gsi, bool level) =
		config->serial_line ? config->serial_line : config->set_gsi;

	if (pc->line_telling) {
		pthread_mutex_unlock(&pc->lock);
		return;
	}
	pc->line_telling = true;
	while (pc->line_told != pc->line_level) {
		bool level = pc->line_level;

		pthread_mutex_unlock(&pc->lock);
		if (tell)
			tell(config->opaque, SERIAL_GSI, level);
		pthread_mutex_lock(&pc->lock);
		pc->line_told = level;
	}
	pc->line_telling = false;
	pthread_mutex_unlock(&pc->lock);
}

bool pc_pio(struct pc *pc, uint16_t port, void *data, uint32_t len, bool is_write)
{
	struct outcome outcome = { .line = { .gsi = -1 }, .status = -1 };
	const struct pc_config *config = &pc->config;
	bool ours;

	if (len != 1 && len != 2 && len != 4)
		return false;
	pthread_mutex_lock(&pc->lock);
	ours = access_port(pc, port, data, len, is_write, &outcome);
	tell_line(pc);
	if (outcome.line.gsi >= 0 && config->set_gsi)
		config->set_gsi(config->opaque, (uint32_t)outcome.line.gsi, outcome.line.level);
	if (outcome.status >= 0 && config->exit)
		config->exit(config->opaque, outcome.status);
	return ours;
}

bool pc_mmio(struct pc *pc, uint64_t gpa, void *data, uint32_t len, bool is_write)
{
	bool ours;

	if (len < 1 || len > 8)
		return false;
	pthread_mutex_lock(&pc->lock);
	ours = testdev_mmio(&pc->testdev, gpa, data, len, is_write);
	pthread_mutex_unlock(&pc->lock);
	return ours;
}
