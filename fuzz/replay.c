/* SPDX-License-Identifier: MIT */
/*
 * A target without libFuzzer: runs it on each file of the folders (or files) named.
 *
 * usage: replay-TARGET PATH...
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "check.h"

#define LONGEST_INPUT (1u << 20)
/* libFuzzer's -timeout, for sanitizers that are several times slower. */
#define SECONDS 20

static unsigned int files;

static void stop(const char *path, const char *why)
{
	fprintf(stderr, "%s: %s\n", path, why);
	exit(2);
}

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *whole = malloc(LONGEST_INPUT), *exact;
	time_t start = time(NULL);
	size_t size;

	if (!file || !whole)
		stop(path, strerror(errno));
	size = fread(whole, 1, LONGEST_INPUT, file);
	fclose(file);
	/* Of its size to the byte, so that AddressSanitizer sees a read past it. */
	exact = malloc(size ? size : 1);
	if (!exact)
		stop(path, strerror(errno));
	memcpy(exact, whole, size);
	free(whole);
	/* The last one named is the one that crashed. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	if (time(NULL) - start > SECONDS)
		stop(path, "takes too long");
	files++;
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void run_folder(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, not_hidden, alphasort);

	if (n < 0)
		stop(path, strerror(errno));
	for (int i = 0; i < n; i++) {
		char name[4096];

		if (snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name) >=
		    (int)sizeof(name))
			stop(path, "name too long");
		run_file(name);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat status;

		if (stat(argv[i], &status) < 0)
			stop(argv[i], strerror(errno));
		if (S_ISDIR(status.st_mode))
			run_folder(argv[i]);
		else
			run_file(argv[i]);
	}
	if (!files) {
		fputs("no input\n", stderr);
		return 2;
	}
	printf("%u inputs, nothing found\n", files);
	return 0;
}
