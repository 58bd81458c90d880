/* SPDX-License-Identifier: MIT */
/*
 * What `vmirq run` was asked to do.
 */
#ifndef VMIRQ_RUN_OPTIONS_H
#define VMIRQ_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"

/* Four vectors each fit between the first and the spurious one. */
#define RUN_SOURCES_MAX	  32
#define RUN_VCPUS_MAX	  64
#define RUN_PIRQS_MAX	  65536
#define RUN_RATE_MAX	  1000000
#define RUN_HALT_POLL_MAX 1000000000

struct source_kind;

enum run_cpu { RUN_CPU_AUTO, RUN_CPU_KVM, RUN_CPU_THREADS };

struct run_options {
	enum run_cpu cpu;
	uint32_t irqchip; /* enum vmirq_irqchip */
	uint32_t without; /* VMIRQ_CAP_* */
	uint32_t vcpus;
	/* Raises of each source. */
	uint64_t count;
	/* 0: until all are raised. */
	uint32_t seconds;
	uint32_t timeout_s;
	/* pirq-timer: how many, and how often a second each expires; 0 = as asked for by the kind. */
	uint32_t pirqs;
	uint32_t rate;
	/* A halted vCPU looks so long before it sleeps. */
	uint32_t poll_ns;
	bool paced;
	bool x2apic;
	bool busy;
	bool churn;
	bool bursts;
	/* NULL, a file's name, or "-". */
	const char *json;
	bool help;
	/* The sources named; none = all kinds the machine has. */
	uint32_t sources;
	struct {
		const struct source_kind *kind;
		const char *arg; /* behind the colon, or NULL */
	} source[RUN_SOURCES_MAX];
};

/* EXIT_OK, or EXIT_USAGE with a line on stderr that names the argument. */
enum exit_code run_options_parse(struct run_options *options, int argc, char **argv);

const char *run_irqchip_name(uint32_t irqchip);
/* Of bit n of `without`. */
const char *run_capability_name(uint32_t n);

void run_help(void);

#endif
