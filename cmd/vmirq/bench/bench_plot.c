// SPDX-License-Identifier: MIT
/*
 * --plot: an SVG for each row, by gnuplot, of how the samples are distributed.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PATH_ROOM 4096u

#define STEPS	  200

extern char **environ;

/* What is in it goes into double quotes of gnuplot's. */
static bool is_plain(const char *dir)
{
	return !strpbrk(dir, "\"\\`\n");
}

static uint32_t write_curves(struct bench_result *r, FILE *script, bool data)
{
	uint32_t curves = 0;

	for (uint32_t i = 0; i < r->n; i++) {
		struct bench_case *c = r->cases[i];

		for (uint32_t j = 0; j < c->sides; j++) {
			struct bench_side *side = &c->side[j];

			if (!side->samples.n)
				continue;
			if (!data) {
				fprintf(script,
					"%s $c%u using 1:2 with lines lw %d title \"%s%s%s\"",
					curves ? "," : "plot", curves,
					side->role == BENCH_OURS ? 3 : 1, c->name,
					c->name[0] ? ": " : "", side->name);
			} else {
				fprintf(script, "$c%u << EOD\n", curves);
				for (int k = 0; k <= STEPS; k++)
					fprintf(script, "%g %g\n",
						samples_quantile(&side->samples, (double)k / STEPS),
						100.0 * k / STEPS);
				fputs("EOD\n", script);
			}
			curves++;
		}
	}
	return curves;
}

static int write_script(struct bench_result *r, const char *dir, const char *path)
{
	FILE *script = fopen(path, "we");

	if (!script)
		return -errno;
	fprintf(script,
		"set terminal svg size 900,500 noenhanced\nset output \"%s/%s.svg\"\n"
		"set title \"%s: %s\"\nset xlabel \"%s\"\nset ylabel \"%% of samples\"\n"
		"set logscale x\nset grid\nset key outside bottom center\n",
		dir, r->row->name, r->row->name, r->row->what, r->cases[0]->unit);
	write_curves(r, script, true);
	write_curves(r, script, false);
	fputc('\n', script);
	return fclose(script) == EOF ? -errno : 0;
}

static int run_gnuplot(const char *path)
{
	char *const argv[] = { (char[]){ "gnuplot" }, (char *)path, NULL };
	int status, ret;
	pid_t pid;

	ret = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (ret)
		return -ret;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static bool has_samples(const struct bench_result *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		for (uint32_t j = 0; j < r->cases[i]->sides; j++) {
			if (r->cases[i]->side[j].samples.n)
				return true;
		}
	}
	return false;
}

int bench_plot_open(const char *dir)
{
	struct stat st;

	if (!is_plain(dir) || strlen(dir) > PATH_ROOM - 100) {
		fprintf(stderr, "vmirq bench: --plot %s: not a name for gnuplot\n", dir);
		return -EINVAL;
	}
	if (mkdir(dir, 0777) == 0)
		return 0;
	/* One that is there already may be no directory, or not ours to write. */
	if (errno == EEXIST && access(dir, W_OK | X_OK) == 0)
		errno = stat(dir, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
	if (errno) {
		fprintf(stderr, "vmirq bench: --plot %s: %s\n", dir, strerror(errno));
		return -errno;
	}
	return 0;
}

int bench_plot(struct bench *b, const char *dir)
{
	char path[PATH_ROOM];
	int ret = 0;

	for (uint32_t i = 0; i < b->rows && !ret; i++) {
		struct bench_result *r = &b->result[i];

		if (!has_samples(r))
			continue;
		snprintf(path, sizeof(path), "%s/%s.gnuplot", dir, r->row->name);
		ret = write_script(r, dir, path);
		if (!ret)
			ret = run_gnuplot(path);
	}
	if (ret == -ENOENT)
		fprintf(stderr,
			"vmirq bench: --plot %s: gnuplot is not installed; the .gnuplot scripts are there\n",
			dir);
	else if (ret)
		fprintf(stderr, "vmirq bench: --plot %s: %s\n", dir, strerror(-ret));
	return ret;
}
