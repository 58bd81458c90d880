// SPDX-License-Identifier: MIT
/* `vmirq boot`: a multiboot image on the machine of vmm/boot. */
#include "boot/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot_options.h"
#include "streams.h"

#define MIB ((size_t)1 << 20)
/* As much as the largest guest has memory. */
#define IMAGE_MAX (3072 * MIB)
/* Past the time given to the guest: where stdout is a pipe that nobody reads, a vCPU that prints
 * never comes back. */
#define STUCK_SECONDS 10u

/* What our test guests have behind their multiboot header (guests/tests/lib/entry.S), which is in so many bytes;
 * and the argument that tells them of a local APIC that does otherwise than the specification. */
#define HEADER_WITHIN  8192u
#define GUEST_MARK     "\0vmirq test guest"
#define WORD_OF_KERNEL "kvm"

struct file {
	uint8_t *bytes;
	size_t size;
};

static const char stuck_line[] =
	"vmirq boot: the time is over and a vCPU does not stop (does anybody read stdout?)\n";

static void on_stuck(int signal)
{
	(void)signal;
	if (write(STDERR_FILENO, stuck_line, sizeof(stuck_line) - 1) < 0)
		_exit(EXIT_FAILED);
	_exit(EXIT_FAILED);
}

static enum exit_code refuse(const char *name, const char *why)
{
	fprintf(stderr, "vmirq boot: %s: %s\n", name, why);
	return EXIT_USAGE;
}

static int read_all(int fd, struct file *file)
{
	size_t at = 0;

	while (at < file->size) {
		ssize_t n = read(fd, file->bytes + at, file->size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		at += (size_t)n;
	}
	file->size = at;
	return 0;
}

static enum exit_code read_open_image(const char *name, int fd, struct file *file)
{
	struct stat stat;
	int error;

	if (fstat(fd, &stat) < 0)
		return refuse(name, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return refuse(name, "not a regular file");
	if (stat.st_size == 0)
		return refuse(name, "the file is empty");
	if ((uint64_t)stat.st_size > IMAGE_MAX)
		return refuse(name, "larger than any guest's memory");
	file->size = (size_t)stat.st_size;
	file->bytes = malloc(file->size);
	if (!file->bytes)
		return refuse(name, "too large for this machine's memory");
	error = read_all(fd, file);
	return error ? refuse(name, strerror(-error)) : EXIT_OK;
}

static enum exit_code read_image(const char *name, struct file *file)
{
	/* O_NONBLOCK: a FIFO that nobody writes to is refused, not waited for. */
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum exit_code ret;

	if (fd < 0)
		return refuse(name, strerror(errno));
	ret = read_open_image(name, fd, file);
	close(fd);
	return ret;
}

static bool is_test_guest(const struct file *file)
{
	size_t within = file->size < HEADER_WITHIN ? file->size : HEADER_WITHIN;

	return memmem(file->bytes, within, GUEST_MARK, sizeof(GUEST_MARK));
}

/* As QEMU: the image's name, then the arguments, with a space between. `last` may be NULL. */
static char *make_cmdline(char **words, const char *last)
{
	size_t size = last ? strlen(last) + 2 : 1;
	char *line;
	char *to;

	for (char **word = words; *word; word++)
		size += strlen(*word) + 1;
	line = malloc(size);
	if (!line)
		return NULL;
	to = line;
	for (char **word = words; *word; word++) {
		if (word != words)
			*to++ = ' ';
		to = stpcpy(to, *word);
	}
	if (last) {
		*to++ = ' ';
		to = stpcpy(to, last);
	}
	*to = '\0';
	return line;
}

static char *cmdline_for(const struct boot_options *options, const struct file *file)
{
	bool kernel = options->irqchip != VMIRQ_IRQCHIP_SOFT;

	return make_cmdline(options->image, kernel && is_test_guest(file) ? WORD_OF_KERNEL : NULL);
}

static enum exit_code cannot_start(const char *name, int error, const char *why)
{
	switch (error) {
	case -ENODEV:
		fprintf(stderr, "vmirq boot: %s\n", why);
		return EXIT_LACKING;
	case -ENOEXEC:
	case -ENOTSUP:
	case -EFBIG:
	case -E2BIG:
	case -ENOSPC:
		return refuse(name, why);
	default:
		fprintf(stderr, "vmirq boot: %s: %s\n", why, strerror(-error));
		return EXIT_FAILED;
	}
}

/* Returns the guest's own status too, which is no enum exit_code but shares its way out. */
static int run(struct boot *boot, const struct boot_options *options)
{
	const struct sigaction stuck = { .sa_handler = on_stuck };
	enum boot_end end;
	const char *why = NULL;
	int status = 0;
	int error;

	sigaction(SIGALRM, &stuck, NULL);
	alarm(options->timeout_s + STUCK_SECONDS);
	error = boot_run(boot, options->timeout_s, &end, &status, &why);
	alarm(0);
	if (error)
		return (int)cannot_start(options->image[0], error, why);
	if (end == BOOT_EXITED)
		return status & 0xff;
	fprintf(stderr, "vmirq boot: %s: ", options->image[0]);
	boot_report(boot, stderr);
	return EXIT_FAILED;
}

static int boot_image(const struct boot_options *options, const struct file *file,
		      const char *cmdline)
{
	const struct boot_config config = {
		.irqchip = options->irqchip,
		.vcpus = options->vcpus,
		.memory = options->memory_mib * MIB,
		.output = STDOUT_FILENO,
		.image = file->bytes,
		.image_size = file->size,
		.cmdline = cmdline,
	};
	struct boot *boot;
	const char *why;
	int error = boot_create(&config, &boot, &why);
	int ret;

	if (error)
		return (int)cannot_start(options->image[0], error, why);
	ret = run(boot, options);
	boot_destroy(boot);
	return ret;
}

enum exit_code command_boot(int argc, char **argv)
{
	struct boot_options options = {
		.irqchip = VMIRQ_IRQCHIP_SOFT,
		.vcpus = 1,
		.memory_mib = 128,
		.timeout_s = 60,
	};
	struct file file = { .bytes = NULL };
	char *cmdline = NULL;
	enum exit_code ret = boot_options_parse(&options, argc, argv);

	if (ret != EXIT_OK)
		return ret;
	if (options.help) {
		boot_help();
		return EXIT_OK;
	}
	if (!streams_report("boot"))
		return EXIT_FAILED;
	ret = read_image(options.image[0], &file);
	if (ret == EXIT_OK) {
		cmdline = cmdline_for(&options, &file);
		ret = cmdline ? (enum exit_code)boot_image(&options, &file, cmdline) : EXIT_FAILED;
	}
	free(cmdline);
	free(file.bytes);
	return ret;
}
