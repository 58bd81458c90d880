// SPDX-License-Identifier: MIT
/* The 8259s have no names of their own in QEMU, only numbers among what hangs nowhere (QMP reference:
 * qom-list, qom-get). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "qtest_door.h"

#define PLACE "/machine/unattached"

/* The answer, as it is written; events between are nobody's business. */
static int ask(struct qtest *q, const char *command, char **answer)
{
	int error = qtest_put(q, "%s", command);

	do
		error = error ? error : qtest_line(q, answer);
	while (!error && strncmp(*answer, "{\"return\"", 9) != 0 &&
	       strncmp(*answer, "{\"error\"", 8) != 0);
	if (!error && (*answer)[2] == 'e')
		error = -ENODEV;
	return error;
}

/* Of a list of {"name": "device[6]", "type": "child<isa-i8259>"}, members in any order: the name in
 * the object that has the type at `at`. */
static int name_beside(const char *list, const char *at, char *name, size_t size)
{
	const char *open = at, *close = strchr(at, '}'), *found;

	while (open > list && *open != '{')
		open--;
	found = strstr(open, "\"name\": \"");
	if (!close || !found || found > close)
		return -ENODEV;
	found += strlen("\"name\": \"");
	if (strcspn(found, "\"") >= size)
		return -ENODEV;
	snprintf(name, size, "%.*s", (int)strcspn(found, "\""), found);
	return 0;
}

/* Both, in no order. */
static int list_pics(struct qtest *q, struct qtest_names *names)
{
	char *list, *at, name[32];
	int error = ask(q, "{\"execute\": \"qmp_capabilities\"}", &list);

	if (!error)
		error = ask(q,
			    "{\"execute\": \"qom-list\", \"arguments\": {\"path\": \"" PLACE "\"}}",
			    &list);
	if (error)
		return error;
	at = list;
	for (int i = 0; i < 2; i++) {
		at = strstr(at, "\"child<isa-i8259>\"");
		if (!at || name_beside(list, at, name, sizeof(name)))
			return -ENODEV;
		snprintf(names->pic[i], sizeof(names->pic[i]), PLACE "/%s", name);
		at++;
	}
	return 0;
}

static int put_master_first(struct qtest *q, struct qtest_names *names)
{
	struct qtest_names other = *names;
	char command[200], *answer;
	int error;

	snprintf(command, sizeof(command),
		 "{\"execute\": \"qom-get\", \"arguments\": {\"path\": \"%s\", \"property\": "
		 "\"master\"}}",
		 names->pic[1]);
	error = ask(q, command, &answer);
	if (error || !strstr(answer, "true"))
		return error;
	memcpy(names->pic[0], other.pic[1], sizeof(names->pic[0]));
	memcpy(names->pic[1], other.pic[0], sizeof(names->pic[1]));
	return 0;
}

int qtest_find(struct qtest *q, struct qtest_names *names)
{
	int error = qtest_open(q, QTEST_DOOR_QMP);

	if (!error)
		error = list_pics(q, names);
	return error ? error : put_master_first(q, names);
}
