// SPDX-License-Identifier: MIT
#include "json.h"

#include <errno.h>

int json_write(json_t *object, FILE *out)
{
	int ret = json_dumpf(object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(8));

	json_decref(object);
	if (ret || fputc('\n', out) == EOF || fflush(out) == EOF)
		return errno ? -errno : -EIO;
	return 0;
}
