// SPDX-License-Identifier: MIT
/*
 * A source's name: what was typed, printable and not too long, and no other's.
 */
#include <stdio.h>
#include <string.h>

#include "run.h"

/* A file's name may be of any length. */
#define TEXT_MAX 36
#define CUT	 "..."

/* Printable ASCII; another character is a question mark. */
static void clean(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		/* Of UTF-8 all bytes but a character's first. */
		if (((unsigned char)*at & 0xc0) == 0x80)
			continue;
		*to++ = (char)(*at >= ' ' && *at <= '~' ? *at : '?');
	}
	*to = '\0';
}

/* Of an argument that is too long its end, which tells more of a path. */
static void write_text(char *text, size_t size, const char *kind, const char *arg)
{
	size_t room = TEXT_MAX - strlen(kind) - 1, len = arg ? strlen(arg) : 0;
	bool cut = len > room;

	snprintf(text, size, "%s%s%s%s", kind, arg ? ":" : "", cut ? CUT : "",
		 cut   ? arg + len - (room - strlen(CUT))
		 : arg ? arg
		       : "");
	clean(text);
}

static bool is_taken(const struct run *run, const struct source *source)
{
	for (const struct source *s = run->source; s < source; s++)
		if (strcmp(s->name, source->name) == 0)
			return true;
	return false;
}

void run_name_source(const struct run *run, struct source *source)
{
	char text[TEXT_MAX + 1];

	write_text(text, sizeof(text), source->kind->name, source->arg);
	snprintf(source->name, sizeof(source->name), "%s", text);
	for (uint32_t n = 2; is_taken(run, source); n++)
		snprintf(source->name, sizeof(source->name), "%s#%u", text, n);
}

int run_name_width(const struct run *run)
{
	size_t width = 16;

	for (uint32_t i = 0; i < run->sources; i++) {
		size_t len = strlen(run->source[i].name);

		width = len > width ? len : width;
	}
	return (int)width;
}
