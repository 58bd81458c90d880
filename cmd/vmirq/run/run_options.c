// SPDX-License-Identifier: MIT
#include "run_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmirq/vm.h>

#include "source.h"

/* More would not end in a lifetime, and JSON readers keep integers exact to 2^53. */
#define COUNT_MAX UINT64_C(1000000000000)
/* With --seconds, which end it. */
#define COUNT_ANY UINT64_C(1000000000000000)
#define COUNT	  20000
/* A year. */
#define SECONDS_MAX 31536000
#define TIMEOUT_MAX 86400

/* By which name it was called: argv[0]. */
static const char *command = "run";

static enum exit_code wrong(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "vmirq %s: %s '%s': %s\n", command, option, value, why);
	return EXIT_USAGE;
}

/* Digits only: strtoull alone would take "-1", " 5" and "+5". */
static enum exit_code parse_number(const char *option, const char *value, uint64_t min,
				   uint64_t max, uint64_t *out)
{
	bool digits = *value && !value[strspn(value, "0123456789")];
	unsigned long long n;
	char why[80];

	errno = 0;
	n = strtoull(value, NULL, 10);
	if (!digits || errno || n < min || n > max) {
		snprintf(why, sizeof(why), "must be a whole number from %llu to %llu",
			 (unsigned long long)min, (unsigned long long)max);
		return wrong(option, value, why);
	}
	*out = n;
	return EXIT_OK;
}

static enum exit_code parse_u32(const char *option, const char *value, uint32_t max, uint32_t *out)
{
	uint64_t n = 0;
	enum exit_code ret = parse_number(option, value, 1, max, &n);

	*out = (uint32_t)n;
	return ret;
}

static enum exit_code set_cpu(struct run_options *options, const char *name, const char *value)
{
	static const char *const names[] = {
		[RUN_CPU_AUTO] = "auto",
		[RUN_CPU_KVM] = "kvm",
		[RUN_CPU_THREADS] = "threads",
	};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			options->cpu = (enum run_cpu)i;
			return EXIT_OK;
		}
	}
	return wrong(name, value, "must be auto, kvm or threads");
}

static const char *const irqchips[] = {
	[VMIRQ_IRQCHIP_SOFT] = "soft",
	[VMIRQ_IRQCHIP_KVM] = "kvm",
	[VMIRQ_IRQCHIP_SPLIT] = "split",
};

const char *run_irqchip_name(uint32_t irqchip)
{
	return irqchips[irqchip];
}

static enum exit_code set_irqchip(struct run_options *options, const char *name, const char *value)
{
	for (uint32_t i = 0; i < sizeof(irqchips) / sizeof(irqchips[0]); i++) {
		if (strcmp(value, irqchips[i]) == 0) {
			options->irqchip = i;
			return EXIT_OK;
		}
	}
	return wrong(name, value, "must be soft, split or kvm");
}

/* Bit n of VMIRQ_CAP_*. */
static const char *const capabilities[] = { "signal-msi", "irqfd", "resample", "ioeventfd" };

_Static_assert(VMIRQ_CAP_SIGNAL_MSI == 1u << 0 && VMIRQ_CAP_IRQFD == 1u << 1 &&
		       VMIRQ_CAP_IRQFD_RESAMPLE == 1u << 2 && VMIRQ_CAP_IOEVENTFD == 1u << 3,
	       "as named above");

const char *run_capability_name(uint32_t n)
{
	return capabilities[n];
}

static enum exit_code set_without(struct run_options *options, const char *name, const char *value)
{
	for (uint32_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		if (strcmp(value, capabilities[i]) == 0) {
			options->without |= UINT32_C(1) << i;
			return EXIT_OK;
		}
	}
	return wrong(name, value, "must be signal-msi, irqfd, resample or ioeventfd");
}

static enum exit_code set_vcpus(struct run_options *options, const char *name, const char *value)
{
	return parse_u32(name, value, RUN_VCPUS_MAX, &options->vcpus);
}

static enum exit_code set_count(struct run_options *options, const char *name, const char *value)
{
	return parse_number(name, value, 1, COUNT_MAX, &options->count);
}

static enum exit_code set_seconds(struct run_options *options, const char *name, const char *value)
{
	return parse_u32(name, value, SECONDS_MAX, &options->seconds);
}

static enum exit_code set_timeout(struct run_options *options, const char *name, const char *value)
{
	return parse_u32(name, value, TIMEOUT_MAX, &options->timeout_s);
}

static enum exit_code set_pirqs(struct run_options *options, const char *name, const char *value)
{
	return parse_u32(name, value, RUN_PIRQS_MAX, &options->pirqs);
}

static enum exit_code set_rate(struct run_options *options, const char *name, const char *value)
{
	return parse_u32(name, value, RUN_RATE_MAX, &options->rate);
}

static enum exit_code set_halt_poll(struct run_options *options, const char *name,
				    const char *value)
{
	uint64_t n = 0;
	enum exit_code ret = parse_number(name, value, 0, RUN_HALT_POLL_MAX, &n);

	options->poll_ns = (uint32_t)n;
	return ret;
}

static enum exit_code set_json(struct run_options *options, const char *name, const char *value)
{
	if (!*value)
		return wrong(name, value, "must be a file's name, or - for stdout");
	options->json = value;
	return EXIT_OK;
}

static enum exit_code add_source(struct run_options *options, const char *name, const char *value)
{
	const char *colon = strchr(value, ':');
	size_t len = colon ? (size_t)(colon - value) : strlen(value);
	const struct source_kind *kind = source_kind_find(value, len);
	char why[200] = "must be ";

	if (!kind) {
		for (uint32_t i = 0; i < source_kind_count; i++) {
			size_t at = strlen(why);

			snprintf(why + at, sizeof(why) - at, "%s%s",
				 i == 0			     ? ""
				 : i + 1 < source_kind_count ? ", "
							     : " or ",
				 source_kinds[i]->name);
		}
		return wrong(name, value, why);
	}
	if (colon && !kind->arg)
		return wrong(name, value, "this kind takes nothing after a colon");
	if (colon && !colon[1])
		return wrong(name, value, "nothing after the colon");
	if (options->sources == RUN_SOURCES_MAX)
		return wrong(name, value, "too many sources, at most 32");
	options->source[options->sources].kind = kind;
	options->source[options->sources].arg = colon ? colon + 1 : NULL;
	options->sources++;
	return EXIT_OK;
}

static const struct option {
	const char *name;
	/* Takes a value; or else sets this flag. */
	enum exit_code (*set)(struct run_options *options, const char *name, const char *value);
	size_t flag;
} table[] = {
	{ "--cpu", set_cpu, 0 },
	{ "--irqchip", set_irqchip, 0 },
	{ "--without", set_without, 0 },
	{ "--vcpus", set_vcpus, 0 },
	{ "--count", set_count, 0 },
	{ "--seconds", set_seconds, 0 },
	{ "--timeout", set_timeout, 0 },
	{ "--pirqs", set_pirqs, 0 },
	{ "--rate", set_rate, 0 },
	{ "--halt-poll", set_halt_poll, 0 },
	{ "--source", add_source, 0 },
	{ "--json", set_json, 0 },
	{ "--paced", NULL, offsetof(struct run_options, paced) },
	{ "--x2apic", NULL, offsetof(struct run_options, x2apic) },
	{ "--busy", NULL, offsetof(struct run_options, busy) },
	{ "--bursts", NULL, offsetof(struct run_options, bursts) },
	{ "--churn", NULL, offsetof(struct run_options, churn) },
	{ "--help", NULL, offsetof(struct run_options, help) },
};

static const struct option *find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strncmp(table[i].name, name, len) == 0 && !table[i].name[len])
			return &table[i];
	}
	return NULL;
}

static enum exit_code complain(const char *what, const char *argument)
{
	fprintf(stderr, "vmirq %s: %s '%s' (see vmirq run --help)\n", command, what, argument);
	return EXIT_USAGE;
}

static bool has_source(const struct run_options *options, const struct source_kind *kind)
{
	for (uint32_t i = 0; i < options->sources; i++)
		if (options->source[i].kind == kind)
			return true;
	return false;
}

static enum exit_code wrong_number(const char *option, uint32_t value, const char *why)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", value);
	return wrong(option, text, why);
}

/* Without any named there is one of each kind. */
static bool can_churn(const struct run_options *options)
{
	for (uint32_t i = 0; i < options->sources; i++)
		if (options->source[i].kind->churn)
			return true;
	return !options->sources;
}

/* Options that do not go together. */
static enum exit_code check_together(const struct run_options *options)
{
	if (options->sources && !has_source(options, &source_pirq_timer)) {
		if (options->pirqs)
			return wrong_number("--pirqs", options->pirqs,
					    "there is no source pirq-timer");
		if (options->rate)
			return wrong_number("--rate", options->rate,
					    "there is no source pirq-timer");
	}
	if (options->rate && options->paced)
		return wrong_number("--rate", options->rate,
				    "with --paced each raise waits for the handler of the last");
	if (options->cpu == RUN_CPU_THREADS && options->irqchip != VMIRQ_IRQCHIP_SOFT)
		return wrong("--irqchip", irqchips[options->irqchip],
			     "with --cpu threads it must be soft");
	if (options->cpu == RUN_CPU_THREADS && options->without)
		return wrong("--without", capabilities[__builtin_ctz(options->without)],
			     "with --cpu threads there is no kernel's to do without");
	if (options->poll_ns && options->irqchip != VMIRQ_IRQCHIP_SOFT)
		return wrong_number(
			"--halt-poll", options->poll_ns,
			"with --irqchip split or kvm the kernel polls, by its halt_poll_ns");
	if (options->poll_ns && options->busy)
		return wrong_number("--halt-poll", options->poll_ns, "with --busy no vCPU halts");
	if (options->bursts && options->paced)
		return complain("a paced source raises one at a time, so it goes without",
				"--bursts");
	if (options->churn && !can_churn(options))
		return complain("no source that is named has routes to change, so they go without",
				"--churn");
	if (options->churn && options->paced)
		return complain("a paced source waits for one vCPU, so it goes without", "--churn");
	return EXIT_OK;
}

enum exit_code run_options_parse(struct run_options *options, int argc, char **argv)
{
	command = argv[0];
	options->count = UINT64_MAX;
	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');
		size_t len = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
		const struct option *option = find_option(argv[i], len);
		const char *value = equals ? equals + 1 : NULL;
		enum exit_code ret;

		if (strcmp(argv[i], "-h") == 0)
			option = find_option("--help", strlen("--help"));
		if (!option)
			return complain(argv[i][0] == '-' ? "unknown option"
							  : "unexpected argument",
					argv[i]);
		if (!option->set) {
			if (value)
				return complain("this option takes no value:", argv[i]);
			*(bool *)((char *)options + option->flag) = true;
			continue;
		}
		if (!value && ++i == argc)
			return complain("a value is missing after", argv[i - 1]);
		ret = option->set(options, option->name, value ? value : argv[i]);
		if (ret != EXIT_OK)
			return ret;
	}
	if (options->count == UINT64_MAX)
		options->count = options->seconds ? COUNT_ANY : COUNT;
	return check_together(options);
}
