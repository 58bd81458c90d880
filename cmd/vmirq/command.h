/* SPDX-License-Identifier: MIT */
/*
 * The subcommands, and how they end.
 */
#ifndef VMIRQ_COMMAND_H
#define VMIRQ_COMMAND_H

enum exit_code {
	EXIT_OK = 0,
	/* Something was lost, was extra, failed or did not finish. */
	EXIT_FAILED = 1,
	/* Called in a way that cannot work; one line names the argument. */
	EXIT_USAGE = 2,
	/* This machine lacks what was asked for. */
	EXIT_LACKING = 77,
};

/* argv[0] is the subcommand's name. */
enum exit_code command_run(int argc, char **argv);
/* Also a guest's own status, 0 to 255. */
enum exit_code command_boot(int argc, char **argv);
enum exit_code command_diff(int argc, char **argv);
enum exit_code command_bench(int argc, char **argv);
/* Of `run`, for itself. */
enum exit_code command_mailbox_device(void);

#endif
