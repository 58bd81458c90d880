// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"

#define OPS_MAX UINT64_C(1000000000000)
#define KVM_OPS 70000
/* A round trip through a socket each, at the least. */
#define QEMU_OPS 20000

static void print_areas(const struct area_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		printf(" %s", set->area[i]->name);
}

void diff_help(void)
{
	fputs("usage: vmirq diff [OPTION...]\n"
	      "\n"
	      "Does the same random operations to two irqchips, libvmirq's and the kernel's own, and\n"
	      "compares what the guest and the VMM can see of them. Register accesses are made by a\n"
	      "small guest on each side; calls of the VMM also get arguments that nobody means, and\n"
	      "their errno is compared. A difference is shrunk to the shortest script that shows it\n"
	      "and printed (on stderr). Differences that are wanted are counted, with reasons.\n"
	      "\n"
	      "  --against WHAT  kvm (default), or qemu: QEMU's IOAPIC and 8259s, moved by qtest;\n"
	      "                  compared is what registers and ports read, and the 8259s' output\n"
	      "  --area NAMES    all (default), or some of these, with commas between:\n"
	      "                   ",
	      stdout);
	print_areas(&areas_kvm);
	fputs("\n                  against qemu:", stdout);
	print_areas(&areas_qemu);
	fputs("\n"
	      "  --ops N         operations in all, at least (default 70000; against qemu 20000)\n"
	      "  --seed S        the same seed throws the same operations (default 1)\n"
	      "  --replay FILE   do what a printed script says, in place of the above\n"
	      "  --json FILE     the result for programs; - = stdout, with nothing else on it\n"
	      "\n"
	      "exit codes: 0 no mismatch, and at least half of each area's operations compared;\n"
	      "1 otherwise; 2 usage; 77 this machine has no /dev/kvm, or one without irqchips, or\n"
	      "no QEMU\n",
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
	bool digits = *value && !value[strspn(value, "0123456789")];

	errno = 0;
	*out = strtoull(value, NULL, 10);
	if (!digits || errno || *out < min || *out > max) {
		char why[80];

		snprintf(why, sizeof(why), "must be a whole number from %llu to %llu",
			 (unsigned long long)min, (unsigned long long)max);
		return wrong(option, value, why);
	}
	return EXIT_OK;
}

static enum exit_code set_text(const char *option, const char *value, const char **out)
{
	if (!*value)
		return wrong(option, value, "must not be empty");
	*out = value;
	return EXIT_OK;
}

static enum exit_code set_against(struct diff_options *options, const char *value)
{
	options->against = strcmp(value, "qemu") == 0 ? &areas_qemu : &areas_kvm;
	return strcmp(value, options->against->against) == 0
		       ? EXIT_OK
		       : wrong("--against", value, "must be kvm or qemu");
}

/* "ioapic,pic", or "all": once all options are read, because --against may come last. */
static enum exit_code find_areas(struct diff_options *options)
{
	const char *list = options->area;

	if (!list || strcmp(list, "all") == 0) {
		options->areas = (1u << options->against->n) - 1;
		return EXIT_OK;
	}
	for (;;) {
		size_t len = strcspn(list, ","), i = 0;
		const struct area *area = area_find(options->against, list, len);

		if (!area)
			return wrong(
				"--area", options->area,
				options->against == &areas_qemu
					? "against qemu there are ioapic, pic and all"
					: "there are lapic, ioapic, pic, pit, msi, routing, irqfd and all");
		while (options->against->area[i] != area)
			i++;
		options->areas |= 1u << i;
		if (!list[len])
			return EXIT_OK;
		list += len + 1;
	}
}

/* What was not said. */
static enum exit_code complete(struct diff_options *options)
{
	if (!options->ops)
		options->ops = options->against == &areas_qemu ? QEMU_OPS : KVM_OPS;
	return find_areas(options);
}

static enum exit_code set(struct diff_options *options, const char *name, size_t len,
			  const char *value)
{
	if (len == 6 && strncmp(name, "--area", len) == 0)
		return set_text("--area", value, &options->area);
	if (len == 5 && strncmp(name, "--ops", len) == 0)
		return set_number("--ops", value, 1, OPS_MAX, &options->ops);
	if (len == 9 && strncmp(name, "--against", len) == 0)
		return set_against(options, value);
	if (strncmp(name, "--seed", len) == 0)
		return set_number("--seed", value, 0, UINT64_MAX, &options->seed);
	if (strncmp(name, "--json", len) == 0)
		return set_text("--json", value, &options->json);
	return set_text("--replay", value, &options->replay);
}

static bool known_option(const char *name, size_t len)
{
	static const char *const names[] = { "--area", "--against", "--ops",
					     "--seed", "--json",    "--replay" };

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
			return wrong("a value is missing after", name, "see vmirq diff --help");
		ret = set(options, name, len, value ? value : argv[i]);
		if (ret != EXIT_OK)
			return ret;
	}
	return complete(options);
}
