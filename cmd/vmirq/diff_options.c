// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"

#define OPS_MAX UINT64_C(1000000000000)

void diff_help(void)
{
	fputs("usage: vmirq diff [OPTION...]\n"
	      "\n"
	      "Does the same random operations to two irqchips, libvmirq's and the kernel's own, and\n"
	      "compares what the guest and the VMM can see of them. Register accesses are made by a\n"
	      "small guest on each side. A difference is shrunk to the shortest script that shows it\n"
	      "and printed (on stderr).\n"
	      "\n"
	      "  --area NAME     all (default), or one of:",
	      stdout);
	for (size_t i = 0; i < area_count; i++)
		printf(" %s", areas[i]->name);
	fputs("\n"
	      "  --ops N         operations in all (default 70000)\n"
	      "  --seed S        the same seed throws the same operations (default 1)\n"
	      "  --replay FILE   do what a printed script says, in place of the above\n"
	      "  --json FILE     the result for programs; - = stdout, with nothing else on it\n"
	      "\n"
	      "exit codes: 0 no mismatch, and at least half of each area's operations compared;\n"
	      "1 otherwise; 2 usage; 77 this machine has no /dev/kvm, or one without irqchips\n",
	      stdout);
}

static enum exit_code wrong(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "vmirq diff: %s '%s': %s\n", option, value, why);
	return EXIT_USAGE;
}

/* Digits only: strtoull alone would take "-1", " 5" and "+5". */
static enum exit_code set_number(const char *option, const char *value, uint64_t min, uint64_t max,
				 uint64_t *out)
{
	if (!*value || value[strspn(value, "0123456789")])
		return wrong(option, value, "not a whole number");
	errno = 0;
	*out = strtoull(value, NULL, 10);
	if (errno || *out < min || *out > max)
		return wrong(option, value, "out of range");
	return EXIT_OK;
}

static enum exit_code set_text(const char *option, const char *value, const char **out)
{
	if (!*value)
		return wrong(option, value, "must be a file's name");
	*out = value;
	return EXIT_OK;
}

static enum exit_code set_area(struct diff_options *options, const char *value)
{
	options->area = area_find(value);
	return options->area || strcmp(value, "all") == 0
		       ? EXIT_OK
		       : wrong("--area", value, "no such area (see vmirq diff --help)");
}

static enum exit_code set(struct diff_options *options, const char *name, size_t len,
			  const char *value)
{
	if (len == 6 && strncmp(name, "--area", len) == 0)
		return set_area(options, value);
	if (len == 5 && strncmp(name, "--ops", len) == 0)
		return set_number("--ops", value, 1, OPS_MAX, &options->ops);
	if (strncmp(name, "--seed", len) == 0)
		return set_number("--seed", value, 0, UINT64_MAX, &options->seed);
	if (strncmp(name, "--json", len) == 0)
		return set_text("--json", value, &options->json);
	return set_text("--replay", value, &options->replay);
}

static bool known_option(const char *name, size_t len)
{
	static const char *const names[] = { "--area", "--ops", "--seed", "--json", "--replay" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
			return true;
	return false;
}

enum exit_code diff_options_parse(struct diff_options *options, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i], *equals = strchr(name, '=');
		size_t len = equals ? (size_t)(equals - name) : strlen(name);
		const char *value = equals ? equals + 1 : NULL;
		enum exit_code ret;

		if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
			options->help = true;
			continue;
		}
		if (!known_option(name, len)) {
			fprintf(stderr, "vmirq diff: %s '%s' (see vmirq diff --help)\n",
				name[0] == '-' ? "unknown option" : "unexpected argument", name);
			return EXIT_USAGE;
		}
		if (!value && ++i == argc)
			return wrong("a value is missing behind", name, "see vmirq diff --help");
		ret = set(options, name, len, value ? value : argv[i]);
		if (ret != EXIT_OK)
			return ret;
	}
	return EXIT_OK;
}
