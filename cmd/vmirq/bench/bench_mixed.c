// SPDX-License-Identifier: MIT
/*
 * `vmirq bench --mixed`: a load that `vmirq run` knows how to make, for as long as one likes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_options.h"

enum exit_code bench_mixed(int argc, char **argv)
{
	static char name[] = "bench --mixed", churn[] = "--churn", bursts[] = "--bursts",
		    seconds[] = "--seconds=10";
	char **args = calloc((size_t)argc + 4, sizeof(*args));
	enum exit_code ret;

	if (!args) {
		fputs("vmirq bench: no memory\n", stderr);
		return EXIT_FAILED;
	}
	args[0] = name;
	args[1] = churn;
	args[2] = bursts;
	args[3] = seconds;
	/* Options that are given twice count as they come last. */
	memcpy(args + 4, argv + 1, ((size_t)argc - 1) * sizeof(*args));
	ret = command_run(argc + 3, args);
	free(args);
	return ret;
}
