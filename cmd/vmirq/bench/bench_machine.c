// SPDX-License-Identifier: MIT
#include "bench_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static void look_at_processor(struct bench_machine *machine)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[200];

	while (file && fgets(line, sizeof(line), file)) {
		const char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		snprintf(machine->processor, sizeof(machine->processor), "%.*s",
			 (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (file)
		fclose(file);
}

void bench_machine_look(struct bench_machine *machine)
{
	struct utsname name;

	memset(machine, 0, sizeof(*machine));
	if (!uname(&name))
		snprintf(machine->kernel, sizeof(machine->kernel), "%s %.64s", "Linux",
			 name.release);
	look_at_processor(machine);
	machine->cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	machine->kvm = access("/dev/kvm", R_OK | W_OK) == 0;
	if (getloadavg(machine->load, 3) < 0)
		memset(machine->load, 0, sizeof(machine->load));
}

void bench_machine_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}
