// SPDX-License-Identifier: MIT
#include "bench_options.h"

#include <stdio.h>
#include <string.h>

#include "bench.h"

static enum exit_code wrong(const char *what, const char *argument)
{
	fprintf(stderr, "vmirq bench: %s '%s' (see vmirq bench --help)\n", what, argument);
	return EXIT_USAGE;
}

static enum exit_code set_rows(struct bench_options *options, const char *list)
{
	const char *at = list;

	for (;;) {
		size_t len = strcspn(at, ",");
		const struct bench_row *row = bench_row_find(at, len);

		if (!row) {
			fprintf(stderr, "vmirq bench: --rows: no row is called '%.*s'; they are",
				(int)(len < 60 ? len : 60), at);
			for (uint32_t i = 0; i < bench_rows_count; i++)
				fprintf(stderr, "%s %s", i ? "," : "", bench_rows[i].name);
			fputc('\n', stderr);
			return EXIT_USAGE;
		}
		options->rows |= UINT32_C(1) << (row - bench_rows);
		if (!at[len])
			return EXIT_OK;
		at += len + 1;
	}
}

static enum exit_code set_value(struct bench_options *options, const char *name, const char *value)
{
	if (strcmp(name, "--rows") == 0)
		return set_rows(options, value);
	if (!*value)
		return wrong("nothing is named after", name);
	if (strcmp(name, "--json") == 0)
		options->json = value;
	else
		options->plot = value;
	return EXIT_OK;
}

static const char *const with_value[] = { "--rows", "--json", "--plot" };

static const char *find_with_value(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(with_value) / sizeof(with_value[0]); i++) {
		if (strlen(with_value[i]) == len && strncmp(with_value[i], name, len) == 0)
			return with_value[i];
	}
	return NULL;
}

enum exit_code bench_options_parse(struct bench_options *options, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');
		size_t len = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
		const char *name = find_with_value(argv[i], len);
		enum exit_code ret;

		if (strcmp(argv[i], "--mixed") == 0)
			return wrong("--mixed is no row: it stands first, and goes without",
				     argv[1]);
		if (strcmp(argv[i], "--quick") == 0) {
			options->quick = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			options->help = true;
		} else if (!name) {
			return wrong(argv[i][0] == '-' ? "unknown option" : "unexpected argument",
				     argv[i]);
		} else {
			if (!equals && ++i == argc)
				return wrong("a value is missing after", name);
			ret = set_value(options, name, equals ? equals + 1 : argv[i]);
			if (ret != EXIT_OK)
				return ret;
		}
	}
	if (!options->rows)
		options->rows = (uint32_t)((UINT64_C(1) << bench_rows_count) - 1);
	return EXIT_OK;
}
