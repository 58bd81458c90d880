// SPDX-License-Identifier: MIT
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool no_output, told;

void streams_keep(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		no_output |= fd == STDOUT_FILENO;
		/* The lowest number that is free. The wrong way round: using it fails, as of one that is closed.
		 * Without /dev a path does as well, which nobody can read or write. */
		if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0 &&
		    open("/", O_PATH) < 0)
			_exit(EXIT_FAILED);
	}
}

bool streams_report(const char *command)
{
	if (no_output)
		fprintf(stderr, "vmirq %s: standard output is closed\n", command);
	return !no_output;
}

void streams_failed(const char *command, int error)
{
	if (!told)
		fprintf(stderr, "vmirq%s%s: standard output: %s\n", command[0] ? " " : "", command,
			error ? strerror(-error) : "not all could be written");
	told = true;
}

enum exit_code streams_end(const char *command, enum exit_code ret)
{
	errno = 0;
	if (fflush(stdout) != EOF) {
		if (!ferror(stdout))
			return ret;
		/* It failed before, and nobody has kept why: what fails now tells. */
		fputc('\n', stdout);
		fflush(stdout);
	}
	streams_failed(command, -errno);
	return ret == EXIT_OK ? EXIT_FAILED : ret;
}
