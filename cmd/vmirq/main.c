// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <string.h>
#include <vmirq/version.h>

#include "command.h"
#include "streams.h"

static const struct subcommand {
	const char *name;
	enum exit_code (*run)(int argc, char **argv);
	const char *what;
} subcommands[] = {
	{ "run", command_run,
	  "carry interrupts into a guest from sources of every kind, and count" },
	{ "boot", command_boot, "boot a multiboot image made for QEMU's PC test machine" },
	{ "diff", command_diff,
	  "random operations on libvmirq's irqchip and the kernel's, side by side" },
	{ "bench", command_bench, "libvmirq, its peers and the floor, measured in turns" },
};

#define SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static void print_help(void)
{
	fputs("usage: vmirq SUBCOMMAND [OPTION...]\n"
	      "       vmirq --help | --version\n"
	      "\n"
	      "vmirq shows libvmirq at work: a library that carries an interrupt from whatever\n"
	      "raised it to the virtual CPU that must take it, and can say what became of every one.\n"
	      "\n"
	      "subcommands:\n",
	      stdout);
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		printf("  %-8s %s\n", subcommands[i].name, subcommands[i].what);
	fputs("\n"
	      "`vmirq SUBCOMMAND --help` tells the rest. To begin with:\n"
	      "\n"
	      "  vmirq run                                  all sources this machine has, a table\n"
	      "  vmirq run --cpu threads --vcpus 4          no /dev/kvm needed\n"
	      "  vmirq run --source vhost-user-blk:disk.img a real disk image served by another\n"
	      "                                             process, its reads checked byte for byte\n"
	      "  vmirq run --paced --json -                 latencies, for a program to read\n"
	      "\n"
	      "exit codes:\n"
	      "  0   every interrupt is accounted for: none lost, none extra, nothing failed\n"
	      "  1   something was lost, was extra, failed, or did not finish\n"
	      "  2   usage: an argument that cannot work, named in one line\n"
	      "  77  this machine lacks what was asked for (/dev/kvm, qemu-storage-daemon)\n"
	      "boot ends as its guest says.\n",
	      stdout);
}

static enum exit_code usage_error(const char *what, const char *argument)
{
	fprintf(stderr, "vmirq: %s%s%s%s (see vmirq --help)\n", what, argument ? " '" : "",
		argument ? argument : "", argument ? "'" : "");
	return EXIT_USAGE;
}

static const struct subcommand *find(const char *name)
{
	for (size_t i = 0; i < SUBCOMMANDS; i++) {
		if (strcmp(name, subcommands[i].name) == 0)
			return &subcommands[i];
	}
	return NULL;
}

/* vmirq help SUBCOMMAND */
static enum exit_code help_on(char *name)
{
	const struct subcommand *subcommand = find(name);
	char help[] = "--help", *argv[] = { name, help, NULL };

	return subcommand ? subcommand->run(2, argv) : usage_error("unknown subcommand", name);
}

static enum exit_code perform(int argc, char **argv)
{
	const struct subcommand *subcommand;

	if (argc < 2)
		return usage_error("no subcommand given", NULL);
	if (strcmp(argv[1], "help") == 0 && argc == 3)
		return help_on(argv[2]);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		if (argc > 2)
			return usage_error("unexpected argument", argv[2]);
		if (argv[1][2] == 'v')
			printf("vmirq %s\n", vmirq_version());
		else
			print_help();
		return EXIT_OK;
	}
	/* Not for people: see mailbox_device.c. */
	if (strcmp(argv[1], "mailbox-device") == 0 && argc == 2)
		return command_mailbox_device();
	if (argv[1][0] == '-')
		return usage_error("unknown option", argv[1]);
	subcommand = find(argv[1]);
	return subcommand ? subcommand->run(argc - 1, argv + 1)
			  : usage_error("unknown subcommand", argv[1]);
}

int main(int argc, char **argv)
{
	enum exit_code ret;

	streams_keep();
	ret = perform(argc, argv);
	return streams_end(argc > 1 && find(argv[1]) ? argv[1] : "", ret);
}
