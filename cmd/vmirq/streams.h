/* SPDX-License-Identifier: MIT */
/*
 * Standard input, output and error, any of which may be closed when the command starts.
 */
#ifndef VMIRQ_STREAMS_H
#define VMIRQ_STREAMS_H

#include <stdbool.h>

#include "command.h"

/* First of all: their numbers are nobody else's, who would then be written to. */
void streams_keep(void);

/* Before long work: what it comes to can be told. False after a line. */
bool streams_report(const char *command);

/* Writing to standard output has failed: a line, and streams_end() says no more. */
void streams_failed(const char *command, int error);

/* Last: what was printed has been written, or a line says that it has not. How the command ends. */
enum exit_code streams_end(const char *command, enum exit_code ret);

#endif
