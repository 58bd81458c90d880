/* SPDX-License-Identifier: MIT */
/*
 * What `vmirq boot` was asked to do.
 */
#ifndef VMIRQ_BOOT_OPTIONS_H
#define VMIRQ_BOOT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <vmirq/vm.h>

#include "command.h"

struct boot_options {
	enum vmirq_irqchip irqchip;
	uint32_t vcpus;
	uint32_t memory_mib;
	uint32_t timeout_s;
	bool help;
	/* The image's name and what follows it, up to a NULL. */
	char **image;
};

/* EXIT_OK, or EXIT_USAGE with a line on stderr that names the argument. */
enum exit_code boot_options_parse(struct boot_options *options, int argc, char **argv);

void boot_help(void);

#endif
