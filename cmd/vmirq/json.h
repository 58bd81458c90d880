/* SPDX-License-Identifier: MIT */
#ifndef VMIRQ_JSON_H
#define VMIRQ_JSON_H

#include <jansson.h>
#include <stdio.h>

/* Write it, with a newline, and free it. 0 or -errno. */
int json_write(json_t *object, FILE *out);

#endif
