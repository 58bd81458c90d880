// SPDX-License-Identifier: MIT
/*
 * A storm: packets from a real dpdk-testpmd, which signals after every burst. Works as a driver does:
 * it looks for packets only after the guest's handler has run, so an interrupt that is lost is missed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "run.h"
#include "source.h"
#include "testpmd.h"
#include "vhost_user_net.h"
#include "vmm.h"

#define COUNT_MAX 100000
/* DPDK takes a second or so for each of these, and several where the machine is busy. */
#define CONNECT_MS 20000
#define MESSAGE_MS 20000
#define FILL_NS	   UINT64_C(20000000000)
/* It has the limit that we have, and with less than 21 does not answer, or not truly. */
#define DESCRIPTORS 32

struct net {
	struct testpmd *testpmd;
	struct vhost_user_net *device;
	/* How often the handler had run when packets were last looked for. */
	uint64_t seen;
	/* And when there were none left. */
	uint64_t drained;
};

static enum exit_code net_check(const struct run_options *options, const char *arg, char *why,
				size_t size)
{
	struct rlimit limit = { .rlim_cur = 0 };

	(void)options;
	(void)arg;
	getrlimit(RLIMIT_NOFILE, &limit);
	if (testpmd_available())
		snprintf(why, size, "dpdk-testpmd is not installed (Debian: package dpdk-dev)");
	else if (limit.rlim_cur < DESCRIPTORS)
		snprintf(
			why, size,
			"dpdk-testpmd needs %d descriptors, and a process may have %llu (ulimit -n)",
			DESCRIPTORS, (unsigned long long)limit.rlim_cur);
	else
		return EXIT_OK;
	return EXIT_LACKING;
}

static uint32_t big_endian_16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

/* What testpmd sends is 64 bytes: Ethernet, IPv4 with a checksum, UDP. */
static bool is_testpmds(const void *packet, size_t size)
{
	uint8_t p[64];
	uint32_t sum = 0;

	if (size != sizeof(p))
		return false;
	memcpy(p, packet, sizeof(p));
	for (int i = 0; i < 20; i += 2)
		sum += big_endian_16(p + 14 + i);
	sum = (sum & 0xffff) + (sum >> 16);
	/* RFC 791, 3.1 and RFC 768: the lengths, the protocol; the sum with its checksum is all ones. */
	return big_endian_16(p + 12) == 0x0800 && p[14] == 0x45 && p[23] == 17 && sum == 0xffff &&
	       big_endian_16(p + 16) == sizeof(p) - 14 && big_endian_16(p + 38) == sizeof(p) - 34;
}

/* Why the device does not go on. */
static int net_fail(struct source *source, int error, const char *what)
{
	struct net *net = source->private;
	char words[300];

	/* The socket closes a moment before the process can be waited for. */
	for (int i = 0; i < 100 && error == -ECONNRESET && !testpmd_alive(net->testpmd); i++)
		usleep(1000);
	testpmd_last_words(net->testpmd, words, sizeof(words));
	if (error == -EBADMSG && !words[0])
		return source_fail(source, error, "%s: a packet is not as testpmd makes them",
				   what);
	return source_fail_device(source, error, what, words);
}

/* It stops by itself when all buffers are full; then each one given back is a signal. */
static int wait_full(struct source *source)
{
	struct net *net = source->private;
	uint64_t end = now_ns() + FILL_NS;
	int n;

	while ((n = vhost_user_net_waiting(net->device)) != VHOST_USER_NET_BUFFERS) {
		int ret = n < 0 ? n : vhost_user_net_alive(net->device);

		if (!ret && now_ns() > end)
			ret = -ETIMEDOUT;
		if (ret)
			return net_fail(source, ret, "waiting for packets");
		usleep(1000);
	}
	return 0;
}

static int start_device(struct source *source)
{
	struct net *net = source->private;
	struct vmm *vmm = source->run->vmm;
	struct vhost_user_net_config config = {
		.timeout_ms = MESSAGE_MS,
		.memory_fd = vmm_memory_fd(vmm),
		.memory = vmm_memory(vmm, 0, vmm_memory_size(vmm)),
		.memory_size = vmm_memory_size(vmm),
		.gpa = source->run->next_device_memory,
		.check = is_testpmds,
	};
	int ret = testpmd_start(&net->testpmd);

	if (ret)
		return source_fail(source, ret, "dpdk-testpmd: %s", strerror(-ret));
	ret = testpmd_connect(net->testpmd, CONNECT_MS);
	if (ret < 0)
		return net_fail(source, ret, "starting");
	config.socket = ret;
	ret = vhost_user_net_open(&config, &net->device);
	if (ret)
		return net_fail(source, ret, "setting the device up");
	source->run->next_device_memory += (vhost_user_net_bytes() + 4095) & ~UINT64_C(4095);
	return 0;
}

static int net_open(struct source *source)
{
	struct net *net = calloc(1, sizeof(*net));
	int ret;

	if (!net)
		return source_fail(source, -ENOMEM, "no memory");
	source->private = net;
	ret = start_device(source);
	if (!ret)
		ret = lane_bind(source, &source->lane[0], vhost_user_net_call_fd(net->device));
	if (ret)
		return ret;
	ret = vhost_user_net_start(net->device);
	if (ret)
		return net_fail(source, ret, "starting the device");
	ret = wait_full(source);
	/* It spins also when it has nothing to do. */
	testpmd_hold(net->testpmd, true);
	return ret;
}

static void net_rest(struct source *source, bool rest)
{
	struct net *net = source->private;

	testpmd_hold(net->testpmd, rest);
}

static void net_close(struct source *source)
{
	struct net *net = source->private;

	lane_unbind(source, &source->lane[0]);
	if (!net)
		return;
	vhost_user_net_close(net->device);
	testpmd_stop(net->testpmd);
	free(net);
}

/* The handler has run as often as net->seen says: take at most `max` packets. */
static int take(struct source *source, uint32_t max)
{
	struct net *net = source->private;
	int ret = vhost_user_net_take(net->device, max);

	if (ret < 0)
		return net_fail(source, ret, "receiving");
	atomic_fetch_add_explicit(&source->requests, (uint64_t)ret, memory_order_relaxed);
	if (vhost_user_net_waiting(net->device) == 0)
		net->drained = net->seen;
	return 0;
}

static int net_alive(struct source *source)
{
	struct net *net = source->private;
	int ret = vhost_user_net_alive(net->device);

	if (!ret && testpmd_alive(net->testpmd))
		ret = -ECONNRESET;
	return ret ? net_fail(source, ret, "the device is gone") : 0;
}

static int net_no_handler(struct source *source)
{
	struct net *net = source->private;
	int waiting = vhost_user_net_waiting(net->device);
	char where[360];

	watch_words(source, &source->lane[0], where, sizeof(where));
	if (waiting > 0)
		return source_fail(source, -ETIMEDOUT,
				   "%d packets wait, but no handler has run for 5 s: %s", waiting,
				   where);
	return net_fail(source, -ETIMEDOUT, "the device has sent nothing for 5 s");
}

/* Give buffers back: one, which is one signal, or all, which is a storm of them. In the storm one
 * raise is as many signals as there are until the handler has run. */
static int net_raise(struct source *source, struct lane *lane)
{
	struct net *net = source->private;
	bool paced = atomic_load_explicit(&source->phase, memory_order_relaxed) == SOURCE_PACED;
	int ret = take(source, paced ? 1 : VHOST_USER_NET_BUFFERS);

	if (ret || paced)
		return ret;
	ret = wait_handled(source, lane, net->seen, LOST_NS);
	if (ret == -ETIMEDOUT)
		return net_no_handler(source);
	net->seen = lane_handled(source, lane);
	return ret;
}

static int net_handled(struct source *source)
{
	struct net *net = source->private;

	net->seen = lane_handled(source, &source->lane[0]);
	return 1;
}

/* The signals, which only the eventfd knows. Where the kernel reads it, the interrupts. */
static uint64_t net_raised(struct source *source)
{
	const struct lane *lane = &source->lane[0];
	struct vmirq_route_counts route = { .size = sizeof(route) };

	vmirq_irqfd_counts(lane->irqfd, &route);
	return route.unobserved ? lane_handled(source, lane) : route.raised;
}

static int net_finish(struct source *source)
{
	struct net *net = source->private;
	int ret = 0;

	if (!source->error[0])
		ret = vhost_user_net_stop(net->device);
	if (ret)
		net_fail(source, ret, "stopping the device");
	/* One that has gone wrong may still signal, while the account is being taken. */
	testpmd_kill(net->testpmd);
	return ret;
}

/* What came after the ring was last empty had to be followed by an interrupt. */
static uint64_t net_missing(struct source *source)
{
	struct net *net = source->private;
	uint64_t handled = lane_handled(source, &source->lane[0]);
	bool waits = vhost_user_net_waiting(net->device) > 0;

	if (waits && handled == net->drained) {
		source_fail(source, -ETIMEDOUT,
			    "packets wait, and no handler has run after they came");
		return 1;
	}
	net->seen = handled;
	/* For the check of their data. */
	if (!source->error[0])
		take(source, VHOST_USER_NET_BUFFERS);
	return 0;
}

const struct source_kind source_vhost_user_net = {
	.name = "vhost-user-net",
	.path = "vhost-user -> pump -> post",
	.what = "a storm of packets from a real dpdk-testpmd; N are its signals",
	.waits = true,
	.count_max = COUNT_MAX,
	.lanes_max = 1,
	.requests = "packets, each as testpmd makes them",
	.check = net_check,
	.open = net_open,
	.raise = net_raise,
	.churn = lanes_churn,
	.handled = net_handled,
	.raised = net_raised,
	.rest = net_rest,
	.finish = net_finish,
	.missing = net_missing,
	.alive = net_alive,
	.close = net_close,
};
