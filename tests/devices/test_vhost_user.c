// SPDX-License-Identifier: MIT
/*
 * The front end against peers that behave, and that do not. What a peer will say is put into the
 * socket beforehand, so that no thread is needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vhost_user.h"

#define TIMEOUT_MS 500

enum { GET_FEATURES = 1, GET_VRING_BASE = 11, GET_PROTOCOL_FEATURES = 15, GET_CONFIG = 24 };

#define VERSION_1	  0x1u
#define REPLY		  0x5u
#define NEED_REPLY	  0x8u
#define PROTOCOL_FEATURES (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)
#define REPLY_ACK	  (UINT64_C(1) << VHOST_USER_PROTOCOL_F_REPLY_ACK)
#define CONFIG		  (UINT64_C(1) << VHOST_USER_PROTOCOL_F_CONFIG)

struct message {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
	uint64_t payload[40];
};

static struct vhost_user vu;
static int peer;

static int connect_pair(void **state)
{
	int fd[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -1;
	peer = fd[1];
	return vhost_user_attach(&vu, fd[0], TIMEOUT_MS);
}

static int disconnect(void **state)
{
	(void)state;
	vhost_user_close(&vu);
	if (peer >= 0)
		close(peer);
	return 0;
}

static void hang_up(void)
{
	close(peer);
	peer = -1;
}

static void say(uint32_t request, uint32_t flags, const void *payload, uint32_t size)
{
	uint32_t header[3] = { request, flags, size };

	assert_int_equal(write(peer, header, sizeof(header)), sizeof(header));
	if (size)
		assert_int_equal(write(peer, payload, size), size);
}

static void say_u64(uint32_t request, uint64_t value)
{
	say(request, REPLY, &value, sizeof(value));
}

/* What the front end has sent next; *fds: how many descriptors came with it (they are closed). */
static struct message heard(unsigned int *fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
		struct cmsghdr align;
	} control;
	struct message m = { 0 };
	struct iovec iov = { &m, 12 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control),
	};
	unsigned int n = 0;
	int got[8];

	assert_int_equal(recvmsg(peer, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), 12);
	assert_true(m.size <= sizeof(m.payload));
	if (m.size)
		assert_int_equal(recv(peer, m.payload, m.size, MSG_DONTWAIT), m.size);
	if (CMSG_FIRSTHDR(&msg)) {
		n = (unsigned int)((CMSG_FIRSTHDR(&msg)->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&msg)), n * sizeof(int));
		for (unsigned int i = 0; i < n; i++)
			close(got[i]);
	}
	if (fds)
		*fds = n;
	return m;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static unsigned int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int negotiate(void)
{
	return vhost_user_negotiate(&vu, 1, 1, REPLY_ACK | CONFIG);
}

static void agrees_on_what_both_have(void **state)
{
	(void)state;
	say_u64(GET_FEATURES, PROTOCOL_FEATURES | 0xff);
	say_u64(GET_PROTOCOL_FEATURES, CONFIG | 0x7);
	assert_int_equal(negotiate(), 0);
	assert_int_equal(vu.features, PROTOCOL_FEATURES | 1);
	assert_int_equal(vu.protocol_features, CONFIG);
	assert_int_equal(heard(NULL).request, 3); /* SET_OWNER */
	assert_int_equal(heard(NULL).request, GET_FEATURES);
	assert_int_equal(heard(NULL).request, GET_PROTOCOL_FEATURES);
	assert_int_equal(heard(NULL).payload[0], CONFIG);
	assert_int_equal(heard(NULL).payload[0], PROTOCOL_FEATURES | 1);
}

static void a_device_without_a_required_feature_is_refused(void **state)
{
	(void)state;
	say_u64(GET_FEATURES, PROTOCOL_FEATURES | 2);
	assert_int_equal(negotiate(), -ENOTSUP);
}

static void a_silent_peer_costs_the_timeout(void **state)
{
	int64_t start = now_ms();

	(void)state;
	assert_int_equal(negotiate(), -ETIMEDOUT);
	assert_in_range(now_ms() - start, TIMEOUT_MS - 1, 20 * TIMEOUT_MS);
}

static void a_peer_that_drips_costs_no_more(void **state)
{
	int64_t start = now_ms();

	(void)state;
	assert_int_equal(write(peer, "\1\0\0\0\5", 5), 5);
	assert_int_equal(negotiate(), -ETIMEDOUT);
	assert_in_range(now_ms() - start, TIMEOUT_MS - 1, 20 * TIMEOUT_MS);
}

static void a_peer_that_never_reads_does_not_block(void **state)
{
	int small = 1, ret = 0;

	(void)state;
	assert_int_equal(setsockopt(vu.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	/* Without acknowledgements nothing else would stop it. */
	for (int i = 0; i < 10000 && !ret; i++) {
		struct vhost_user_vring vring = { .kick = 0, .call = 0 };

		ret = vhost_user_start_vring(&vu, &vring);
	}
	assert_int_equal(ret, -ETIMEDOUT);
}

static void a_closed_socket_is_a_reset_and_no_sigpipe(void **state)
{
	(void)state;
	hang_up();
	assert_int_equal(negotiate(), -ECONNRESET);
	assert_int_equal(vhost_user_alive(&vu), -ECONNRESET);
}

static void an_answer_cut_short_is_a_reset(void **state)
{
	(void)state;
	assert_int_equal(write(peer, "\1\0\0\0\5\0\0\0\10\0\0\0half", 16), 16);
	shutdown(peer, SHUT_WR);
	assert_int_equal(negotiate(), -ECONNRESET);
}

static void wrong_answers_are_a_protocol_error(void **state)
{
	static const struct {
		uint32_t request, flags, size;
	} wrong[] = {
		{ GET_VRING_BASE, REPLY, 8 },
		{ GET_FEATURES, VERSION_1, 8 },	     /* not a reply */
		{ GET_FEATURES, 0x4, 8 },	     /* version 0 */
		{ GET_FEATURES, 0x6, 8 },	     /* version 2 */
		{ GET_FEATURES, REPLY, 4 },	     /* short */
		{ GET_FEATURES, REPLY, 16 },	     /* long */
		{ GET_FEATURES, REPLY, 0 },	     /* empty */
		{ GET_FEATURES, REPLY, UINT32_MAX }, /* longer than memory */
		{ UINT32_MAX, UINT32_MAX, UINT32_MAX },
	};
	uint64_t payload[2] = { UINT64_MAX, UINT64_MAX };

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint32_t header[3] = { wrong[i].request, wrong[i].flags, wrong[i].size };

		disconnect(state);
		connect_pair(state);
		assert_int_equal(write(peer, header, sizeof(header)), sizeof(header));
		assert_int_equal(write(peer, payload, sizeof(payload)), sizeof(payload));
		assert_int_equal(negotiate(), -EPROTO);
	}
}

static void descriptors_in_an_answer_do_not_stay_open(void **state)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char answer[20] = "\1\0\0\0\5\0\0\0\10\0\0\0";
	struct iovec iov = { answer, sizeof(answer) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	unsigned int before = open_descriptors();

	(void)state;
	if (!cmsg)
		fail();
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &peer, sizeof(int));
	assert_int_equal(sendmsg(peer, &msg, 0), sizeof(answer));
	assert_int_equal(negotiate(), -ENOTSUP);
	assert_int_equal(open_descriptors(), before);
}

static void an_acknowledged_failure_is_told(void **state)
{
	struct vhost_user_region region = { .fd = 0, .size = 4096 };

	(void)state;
	vu.protocol_features = REPLY_ACK;
	say_u64(5, 0);
	assert_int_equal(vhost_user_set_memory(&vu, &region, 1), 0);
	say_u64(5, 1);
	assert_int_equal(vhost_user_set_memory(&vu, &region, 1), -EIO);
	assert_int_equal(heard(NULL).flags, VERSION_1 | NEED_REPLY);
}

static void memory_goes_with_its_descriptors(void **state)
{
	struct vhost_user_region regions[2] = {
		{ .fd = 0, .gpa = 0, .size = 4096, .address = &vu },
		{ .fd = 0, .gpa = 1 << 20, .size = 8192, .offset = 4096 },
	};
	struct message m;
	unsigned int fds;

	(void)state;
	assert_int_equal(vhost_user_set_memory(&vu, regions, 0), -EINVAL);
	assert_int_equal(vhost_user_set_memory(&vu, regions, 9), -EINVAL);
	assert_int_equal(vhost_user_set_memory(&vu, regions, 2), 0);
	m = heard(&fds);
	assert_int_equal(fds, 2);
	assert_int_equal(m.request, 5);
	assert_int_equal(m.size, 8 + 2 * 32);
	assert_int_equal(m.payload[0], 2);
	assert_int_equal(m.payload[3], (uintptr_t)&vu);
	assert_int_equal(m.payload[5], 1 << 20);
	assert_int_equal(m.payload[8], 4096);
}

static void a_vring_is_kicked_last_and_enabled(void **state)
{
	int kick = eventfd(0, EFD_CLOEXEC), call = eventfd(0, EFD_CLOEXEC);
	struct vhost_user_vring vring = { .size = 16, .kick = kick, .call = call };
	static const uint32_t order[] = { 8, 10, 9, 13, 12, 18 };

	(void)state;
	vu.features = PROTOCOL_FEATURES;
	assert_int_equal(vhost_user_start_vring(&vu, &vring), 0);
	for (unsigned int i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		unsigned int fds;

		assert_int_equal(heard(&fds).request, order[i]);
		assert_int_equal(fds, order[i] == 12 || order[i] == 13);
	}
	close(kick);
	close(call);
}

static void a_stopped_vring_must_be_the_one_asked_for(void **state)
{
	static const uint32_t answers[][2] = { { 1, 0 }, { 0, 0x10000 } };
	uint32_t good[2] = { 0, 77 };
	uint16_t base = 0;

	(void)state;
	say(GET_VRING_BASE, REPLY, good, sizeof(good));
	assert_int_equal(vhost_user_stop_vring(&vu, 0, &base), 0);
	assert_int_equal(base, 77);
	for (unsigned int i = 0; i < 2; i++) {
		say(GET_VRING_BASE, REPLY, answers[i], sizeof(answers[i]));
		assert_int_equal(vhost_user_stop_vring(&vu, 0, &base), -EPROTO);
	}
}

static void configuration_space_is_bounded(void **state)
{
	struct {
		uint32_t offset, size, flags;
		uint32_t data[2];
	} answer = { 0, 8, 0, { 5, 6 } };
	uint32_t config[2];
	char big[VHOST_USER_CONFIG_MAX + 1];

	(void)state;
	assert_int_equal(vhost_user_get_config(&vu, config, 8), -ENOTSUP);
	vu.protocol_features = CONFIG;
	assert_int_equal(vhost_user_get_config(&vu, big, sizeof(big)), -EINVAL);
	say(GET_CONFIG, REPLY, &answer, sizeof(answer));
	assert_int_equal(vhost_user_get_config(&vu, config, 8), 0);
	assert_int_equal(config[1], 6);
	answer.size = 4;
	say(GET_CONFIG, REPLY, &answer, sizeof(answer));
	assert_int_equal(vhost_user_get_config(&vu, config, 8), -EPROTO);
	/* What the device says when it cannot. */
	say(GET_CONFIG, REPLY, NULL, 0);
	assert_int_equal(vhost_user_get_config(&vu, config, 8), -EPROTO);
}

static void a_peer_that_speaks_unasked_is_found(void **state)
{
	(void)state;
	assert_int_equal(vhost_user_alive(&vu), 0);
	assert_int_equal(write(peer, "x", 1), 1);
	assert_int_equal(vhost_user_alive(&vu), -EPROTO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connect_pair, disconnect)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(agrees_on_what_both_have),
		TEST(a_device_without_a_required_feature_is_refused),
		TEST(a_silent_peer_costs_the_timeout),
		TEST(a_peer_that_drips_costs_no_more),
		TEST(a_peer_that_never_reads_does_not_block),
		TEST(a_closed_socket_is_a_reset_and_no_sigpipe),
		TEST(an_answer_cut_short_is_a_reset),
		TEST(wrong_answers_are_a_protocol_error),
		TEST(descriptors_in_an_answer_do_not_stay_open),
		TEST(an_acknowledged_failure_is_told),
		TEST(memory_goes_with_its_descriptors),
		TEST(a_vring_is_kicked_last_and_enabled),
		TEST(a_stopped_vring_must_be_the_one_asked_for),
		TEST(configuration_space_is_bounded),
		TEST(a_peer_that_speaks_unasked_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
