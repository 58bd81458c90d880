// SPDX-License-Identifier: MIT
#include "testpmd.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child.h"
#include "child_server.h"

#define PROGRAM	    "dpdk-testpmd"
#define SOCKET_NAME "net.sock"
#define NICE	    10

struct testpmd {
	struct child child;
	struct child_server server;
	/* DPDK's run-time directory and the one above it, made in ours ("" = not named yet). */
	char run_time[128];
	char prefix[40];
};

int testpmd_available(void)
{
	return child_available(PROGRAM);
}

/* "(0-1)@(CPUs)": its two threads, the one that waits and the one that sends, both wherever we may
 * run. By itself it would pin each to a CPU, one of which we may not have, or need. */
static int lcores(char *text, size_t size)
{
	const char *separator = "";
	size_t at;
	cpu_set_t set;
	int n = snprintf(text, size, "(0-1)@(");

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return -errno;
	at = (size_t)n;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		n = snprintf(text + at, size - at, "%s%d", separator, cpu);
		/* Enough of them already: the rest is left out. */
		if (n < 0 || at + (size_t)n + 2 > size)
			break;
		at += (size_t)n;
		separator = ",";
	}
	if (at + 2 > size)
		return -ENAMETOOLONG;
	memcpy(text + at, ")", 2);
	return 0;
}

/* What of all this is why:
 *   --no-huge -m 64	 ordinary memory, and a bound on it
 *   --no-shconf	 no files shared with other DPDK processes, and so none left behind
 *   --file-prefix	 names the directory it makes all the same
 *   --stats-period	 without it, it ends at the end of its input, which is empty
 *   --no-mlockall	 it would lock more memory than an ordinary user may */
static int spawn(struct testpmd *testpmd)
{
	char cpus[1024], prefix[80], vdev[sizeof(testpmd->server.address.sun_path) + 40];
	char run_time[sizeof(testpmd->server.directory) + 40];
	char fixed[][24] = { "-m", "64", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry" };
	char lcores_option[] = "--lcores", vdev_option[] = "--vdev", end_of_options[] = "--";
	char own[][24] = { "--forward-mode=txonly",
			   "--no-mlockall",
			   "--total-num-mbufs=2048",
			   "--txd=256",
			   "--rxd=256",
			   "--stats-period=86400" };
	char *argv[] = { NULL,	      fixed[0], fixed[1],	fixed[2], fixed[3],
			 fixed[4],    fixed[5], lcores_option,	cpus,	  prefix,
			 vdev_option, vdev,	end_of_options, own[0],	  own[1],
			 own[2],      own[3],	own[4],		own[5],	  NULL };
	int ret = lcores(cpus, sizeof(cpus));

	if (ret)
		return ret;
	snprintf(prefix, sizeof(prefix), "--file-prefix=%s", testpmd->prefix);
	snprintf(vdev, sizeof(vdev), "net_vhost0,iface=%s", testpmd->server.address.sun_path);
	/* Where systemd would tell it to put its run-time files. */
	snprintf(run_time, sizeof(run_time), "RUNTIME_DIRECTORY=%s", testpmd->server.directory);
	ret = child_start(&testpmd->child, PROGRAM, argv, run_time, -1);
	/* Before it has threads, which inherit it. Whoever takes the packets needs a CPU, too. */
	if (!ret)
		setpriority(PRIO_PROCESS, (id_t)testpmd->child.pid, NICE);
	return ret;
}

static void remove_files(struct testpmd *testpmd)
{
	char *slash;

	if (!testpmd->server.directory[0])
		return;
	rmdir(testpmd->run_time);
	slash = strrchr(testpmd->run_time, '/');
	if (slash)
		*slash = '\0';
	rmdir(testpmd->run_time);
	child_server_remove(&testpmd->server);
}

int testpmd_start(struct testpmd **out)
{
	struct testpmd *testpmd = calloc(1, sizeof(*testpmd));
	int ret;

	if (!testpmd)
		return -ENOMEM;
	testpmd->child = (struct child)CHILD_NONE;
	ret = testpmd_available();
	if (!ret)
		ret = child_server_prepare(&testpmd->server, SOCKET_NAME);
	/* DPDK's own options end a value at a comma. */
	if (!ret && strchr(testpmd->server.directory, ','))
		ret = -EINVAL;
	if (!ret) {
		snprintf(testpmd->prefix, sizeof(testpmd->prefix), "vmirq-%d", (int)getpid());
		snprintf(testpmd->run_time, sizeof(testpmd->run_time), "%s/dpdk/%s",
			 testpmd->server.directory, testpmd->prefix);
		ret = spawn(testpmd);
	}
	if (ret) {
		testpmd_stop(testpmd);
		return ret;
	}
	*out = testpmd;
	return 0;
}

int testpmd_connect(struct testpmd *testpmd, int timeout_ms)
{
	int fd = child_server_connect(&testpmd->server, &testpmd->child, timeout_ms);

	/* It makes its run-time directory before its socket. */
	if (fd >= 0)
		remove_files(testpmd);
	return fd;
}

int testpmd_alive(struct testpmd *testpmd)
{
	return child_alive(&testpmd->child);
}

const char *testpmd_last_words(struct testpmd *testpmd, char *buf, size_t size)
{
	return child_last_words(&testpmd->child, buf, size);
}

pid_t testpmd_pid(const struct testpmd *testpmd)
{
	return testpmd->child.pid;
}

int testpmd_death_fd(const struct testpmd *testpmd)
{
	return testpmd->child.death_fd;
}

void testpmd_hold(struct testpmd *testpmd, bool hold)
{
	/* Until it is reaped its pid is nobody else's. */
	if (!testpmd->child.dead)
		kill(testpmd->child.pid, hold ? SIGSTOP : SIGCONT);
}

void testpmd_kill(struct testpmd *testpmd)
{
	child_kill(&testpmd->child);
}

void testpmd_stop(struct testpmd *testpmd)
{
	if (!testpmd)
		return;
	/* One that is held would not see the SIGTERM. */
	testpmd_hold(testpmd, false);
	child_stop(&testpmd->child);
	remove_files(testpmd);
	free(testpmd);
}
