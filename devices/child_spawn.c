// SPDX-License-Identifier: MIT
#include "child_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Above every number the program is to find something at. */
#define OUT_OF_THE_WAY (CHILD_SPAWN_FD + 1)

int child_spawn_find(const char *program, char *path, size_t size)
{
	const char *at = getenv("PATH");

	/* Found already. */
	if (strchr(program, '/'))
		return snprintf(path, size, "%s", program) < (int)size && !access(path, X_OK)
			       ? 0
			       : -ENOENT;
	if (!at || !*at)
		at = "/usr/local/bin:/usr/bin:/bin";
	while (*at) {
		size_t len = strcspn(at, ":");
		int n = snprintf(path, size, "%.*s/%s", (int)len, at, program);

		/* An empty or relative part would start what lies in the current directory. */
		if (at[0] == '/' && n > 0 && (size_t)n < size && !access(path, X_OK))
			return 0;
		at += len;
		at += *at == ':';
	}
	return -ENOENT;
}

/* 0, 1, 2 and, if there is one to pass, 3; nothing else survives the exec. */
static int place_descriptors(int output, int pass)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	unsigned int first = pass < 0 ? CHILD_SPAWN_FD : CHILD_SPAWN_FD + 1;

	if (null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
		return -1;
	if (pass >= 0 && dup2(pass, CHILD_SPAWN_FD) < 0)
		return -1;
	/* Ours are all close-on-exec; what we were started with may not be. Best effort: the call
	 * is of Linux 5.11. */
	syscall(SYS_close_range, first, ~0u, CLOSE_RANGE_CLOEXEC);
	return 0;
}

/* Few are left, perhaps: one that is not in the way stays. */
static int out_of_the_way(int fd)
{
	int ret = fd < OUT_OF_THE_WAY ? fcntl(fd, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY) : fd;

	/* All numbers there may be are lower. */
	if (ret < 0 && errno == EINVAL)
		errno = EMFILE;
	return ret;
}

/* 0 once all have been found room for. */
static int take_away(struct child_spawn *how, int *report)
{
	int away = out_of_the_way(*report);

	/* Or it stays where it is, to tell of that. */
	if (away < 0)
		return -1;
	*report = away;
	how->output = out_of_the_way(how->output);
	if (how->output >= 0 && how->pass >= 0)
		return how->pass = out_of_the_way(how->pass);
	return how->output;
}

/* Between fork and exec, possibly of a process with threads: async-signal-safe calls only. */
static void __attribute__((noreturn)) child(const struct child_spawn *how, int report, pid_t parent)
{
	struct sigaction standard = { .sa_handler = SIG_DFL };
	struct child_spawn placed = *how;
	sigset_t none;
	int error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It may have died before the line above. */
	if (getppid() != parent)
		_exit(127);
	/* Not setsid(): where the kernel groups by session for fairness (autogroup), that has been
	 * seen to leave a woken daemon without a CPU for seconds on a busy machine (Linux 6.18). */
	setpgid(0, 0);
	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &standard, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A parent without standard descriptors may hold any of these at a number wanted below. */
	if (take_away(&placed, &report) >= 0 && !place_descriptors(placed.output, placed.pass))
		execve(how->argv[0], how->argv, how->environment);
	error = errno;
	if (write(report, &error, sizeof(error)) != sizeof(error))
		_exit(126);
	_exit(127);
}

int child_spawn(const struct child_spawn *how, pid_t *pid)
{
	int report[2], error = 0;
	pid_t parent = getpid(), made;
	ssize_t n;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	made = fork();
	if (made == 0)
		child(how, report[1], parent);
	error = made < 0 ? errno : 0;
	close(report[1]);
	if (made > 0) {
		/* Ends when exec closes the pipe, or brings exec's error. */
		do
			n = read(report[0], &error, sizeof(error));
		while (n < 0 && errno == EINTR);
		if (n != 0) {
			if (n < 0)
				kill(made, SIGKILL);
			waitpid(made, NULL, 0);
			error = n == sizeof(error) ? error : EIO;
		}
	}
	close(report[0]);
	if (!error)
		*pid = made;
	return -error;
}
