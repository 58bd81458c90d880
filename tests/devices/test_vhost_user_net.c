// SPDX-License-Identifier: MIT
/*
 * The network driver against a device of our own making, which is good or bad, and then a real
 * storm, by DPDK; that part is skipped where there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "testpmd.h"
#include "vhost_user_net.h"
#include "virtqueue.h"

#define MEMORY	   (4u << 20)
#define GPA	   0x10000u
#define TIMEOUT_MS 1000
#define BUFFERS	   VHOST_USER_NET_BUFFERS
/* Of a real process on a busy machine. DPDK looks for a new connection once a second only. */
#define PATIENCE_MS 40000

static int memory_fd, peer;
static char *memory;
static struct vhost_user_net *net;
/* Where the receive queue has its rings: the same arithmetic, on memory of our own. */
static struct virtqueue shape;
static uint16_t used_index;
static bool (*checks)(const void *packet, size_t size);

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int make_memory(void **state)
{
	(void)state;
	memory_fd = memfd_create("guest", MFD_CLOEXEC);
	if (memory_fd < 0 || ftruncate(memory_fd, MEMORY))
		return -1;
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	return memory == MAP_FAILED ? -1 : 0;
}

static int drop_memory(void **state)
{
	(void)state;
	munmap(memory, MEMORY);
	return close(memory_fd);
}

static int open_on(int socket, int timeout_ms)
{
	struct vhost_user_net_config config = {
		.socket = socket,
		.timeout_ms = timeout_ms,
		.memory_fd = memory_fd,
		.memory = memory,
		.memory_size = MEMORY,
		.gpa = GPA,
		.check = checks,
	};

	net = NULL;
	return vhost_user_net_open(&config, &net);
}

static int make_pair(void)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	peer = fd[1];
	return fd[0];
}

/* The device offers this, and has said so before it is asked. */
static void offer(uint64_t features)
{
	struct {
		uint32_t header[3];
		uint32_t payload[2];
	} message = { { 1, 5, 8 }, { (uint32_t)features, (uint32_t)(features >> 32) } };

	assert_int_equal(write(peer, &message, sizeof(message)), sizeof(message));
}

static int open_device(void **state)
{
	static _Alignas(16) char scratch[16384];

	int socket;

	if (make_memory(state))
		return -1;
	socket = make_pair();
	offer(UINT64_C(1) << 32); /* VIRTIO_F_VERSION_1 */
	used_index = 0;
	virtqueue_init(&shape, BUFFERS, scratch, sizeof(scratch));
	shape.avail = (void *)(memory + GPA + ((char *)shape.avail - scratch));
	shape.used = (void *)(memory + GPA + ((char *)shape.used - scratch));
	if (open_on(socket, TIMEOUT_MS))
		return -1;
	return vhost_user_net_start(net);
}

static int close_device(void **state)
{
	vhost_user_net_close(net);
	close(peer);
	return drop_memory(state);
}

/* The device says that it has filled buffer `id` with that much. */
static void use(uint32_t id, uint32_t written)
{
	memcpy(&shape.used[2 + used_index % BUFFERS * 4], &id, sizeof(id));
	memcpy(&shape.used[4 + used_index % BUFFERS * 4], &written, sizeof(written));
	__atomic_store_n(&shape.used[1], ++used_index, __ATOMIC_RELEASE);
}

static uint16_t available(void)
{
	return __atomic_load_n(&shape.avail[1], __ATOMIC_ACQUIRE);
}

static void packets_are_counted_and_buffers_come_back(void **state)
{
	(void)state;
	assert_int_equal(available(), BUFFERS);
	assert_int_equal(vhost_user_net_poll(net), 0);
	/* Twice round the ring, so that every buffer has come back. */
	for (uint16_t i = 0; i < 2 * BUFFERS; i += 4) {
		for (uint16_t j = 0; j < 4; j++)
			use(shape.avail[2 + (i + j) % BUFFERS], 12 + 60);
		assert_int_equal(vhost_user_net_poll(net), 4);
		assert_int_equal(available(), BUFFERS + i + 4);
	}
	assert_int_equal(vhost_user_net_packets(net), 2 * BUFFERS);
	assert_int_equal(vhost_user_net_packet_bytes(net), 2 * BUFFERS * 60);
	assert_int_equal(vhost_user_net_start(net), -EALREADY);
}

static void a_full_ring_is_taken_at_once(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < BUFFERS; i++)
		use(i, 2048);
	assert_int_equal(vhost_user_net_poll(net), BUFFERS);
	assert_int_equal(vhost_user_net_poll(net), 0);
}

static void as_many_are_taken_as_was_asked(void **state)
{
	(void)state;
	assert_int_equal(vhost_user_net_waiting(net), 0);
	for (uint16_t i = 0; i < 3; i++)
		use(i, 64);
	assert_int_equal(vhost_user_net_waiting(net), 3);
	assert_int_equal(vhost_user_net_take(net, 1), 1);
	assert_int_equal(vhost_user_net_waiting(net), 2);
	assert_int_equal(available(), BUFFERS + 1);
	assert_int_equal(vhost_user_net_take(net, 5), 2);
	used_index = (uint16_t)(used_index + BUFFERS);
	use(0, 64);
	assert_int_equal(vhost_user_net_waiting(net), -EPROTO);
}

static bool begins_with_p(const void *packet, size_t size)
{
	return size == 60 && *(const char *)packet == 'p';
}

static int open_checking(void **state)
{
	checks = begins_with_p;
	return open_device(state);
}

static int close_checking(void **state)
{
	checks = NULL;
	return close_device(state);
}

/* Each buffer is wiped, so that one packet does not pass for two. */
static void a_packet_that_is_not_what_it_should_be_is_caught(void **state)
{
	char *buffers = memory + GPA + vhost_user_net_bytes() - BUFFERS * 2048;

	(void)state;
	buffers[3 * 2048 + 12] = 'p';
	use(3, 12 + 60);
	assert_int_equal(vhost_user_net_poll(net), 1);
	use(3, 12 + 60);
	assert_int_equal(vhost_user_net_poll(net), -EBADMSG);
	assert_int_equal(vhost_user_net_poll(net), -EBADMSG);
	assert_int_equal(vhost_user_net_waiting(net), -EBADMSG);
	assert_int_equal(vhost_user_net_packets(net), 1);
}

static void expect_broken(void)
{
	assert_int_equal(vhost_user_net_poll(net), -EPROTO);
	assert_int_equal(vhost_user_net_poll(net), -EPROTO);
	assert_int_equal(vhost_user_net_packets(net), 0);
}

static void a_buffer_that_is_none_is_caught(void **state)
{
	(void)state;
	use(BUFFERS, 64);
	expect_broken();
}

static void more_used_than_was_given_is_caught(void **state)
{
	(void)state;
	use(7, 64);
	assert_int_equal(vhost_user_net_poll(net), 1);
	/* Given back it is one of 256 again, and no more than those can be used before we look. */
	used_index = (uint16_t)(used_index + BUFFERS);
	use(7, 64);
	assert_int_equal(vhost_user_net_poll(net), -EPROTO);
}

static void a_packet_longer_than_its_buffer_is_caught(void **state)
{
	(void)state;
	use(0, 2049);
	expect_broken();
}

static void a_packet_without_header_is_caught(void **state)
{
	(void)state;
	use(0, 11);
	expect_broken();
}

static void a_device_that_goes_away_is_seen(void **state)
{
	(void)state;
	assert_int_equal(vhost_user_net_alive(net), 0);
	shutdown(peer, SHUT_RDWR);
	assert_int_equal(vhost_user_net_alive(net), -ECONNRESET);
	assert_int_equal(vhost_user_net_stop(net), -ECONNRESET);
}

static void a_device_that_does_not_stop_costs_the_timeout(void **state)
{
	int64_t start = now_ms();

	(void)state;
	assert_int_equal(vhost_user_net_stop(net), -ETIMEDOUT);
	assert_true(now_ms() - start < TIMEOUT_MS + 8000);
}

static void bad_devices_are_not_opened(void **state)
{
	static const char garbage[64] = "garbage garbage garbage garbage garbage";
	int64_t start = now_ms();
	int socket;

	(void)state;
	assert_int_equal(open_on(make_pair(), TIMEOUT_MS), -ETIMEDOUT);
	close(peer);
	socket = make_pair();
	close(peer);
	assert_int_equal(open_on(socket, TIMEOUT_MS), -ECONNRESET);
	socket = make_pair();
	assert_int_equal(write(peer, garbage, sizeof(garbage)), sizeof(garbage));
	assert_int_equal(open_on(socket, TIMEOUT_MS), -EPROTO);
	close(peer);
	socket = make_pair();
	offer(0);
	assert_int_equal(open_on(socket, TIMEOUT_MS), -ENOTSUP);
	close(peer);
	assert_true(now_ms() - start < TIMEOUT_MS + 8000);
	assert_null(net);
}

static void numbers_out_of_range_are_refused(void **state)
{
	struct vhost_user_net_config config = { .memory_size = MEMORY, .memory = memory };
	static const uint64_t bad[] = { 1, MEMORY - 4096, UINT64_MAX & ~UINT64_C(4095) };
	struct vhost_user_net *out;

	(void)state;
	for (int i = 0; i < 4; i++) {
		config.gpa = i < 3 ? bad[i] : 0;
		config.memory_size = i < 3 ? MEMORY : vhost_user_net_bytes() - 1;
		config.socket = make_pair();
		assert_int_equal(vhost_user_net_open(&config, &out), -EINVAL);
		/* Taken over also on error. */
		assert_int_equal(close(config.socket), -1);
		close(peer);
	}
}

static void a_missing_program_is_enoent(void **state)
{
	char path[8192];
	struct testpmd *testpmd;

	(void)state;
	snprintf(path, sizeof(path), "%s", getenv("PATH") ? getenv("PATH") : "");
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(testpmd_available(), -ENOENT);
	assert_int_equal(testpmd_start(&testpmd), -ENOENT);
	setenv("PATH", path, 1);
}

/* From here on with the real program, whose files go where we can see that they are gone. */

static char directory[] = "/tmp/vmirq-test-XXXXXX";

static int begin(void **state)
{
	/* Again as mkdtemp() wants it. */
	memset(directory + strlen(directory) - 6, 'X', 6);
	if (!mkdtemp(directory) || setenv("TMPDIR", directory, 1))
		return -1;
	return make_memory(state);
}

/* Fails unless the directory is empty. */
static int end(void **state)
{
	unsetenv("TMPDIR");
	drop_memory(state);
	return rmdir(directory);
}

static struct testpmd *start(void)
{
	struct testpmd *testpmd;
	char words[300];
	int fd;

	if (testpmd_available()) {
		puts("SKIP: dpdk-testpmd is not installed (package dpdk-dev)");
		skip();
	}
	assert_int_equal(testpmd_start(&testpmd), 0);
	fd = testpmd_connect(testpmd, PATIENCE_MS);
	if (fd < 0) {
		testpmd_last_words(testpmd, words, sizeof(words));
		testpmd_stop(testpmd);
		fail_msg("testpmd_connect: %s %s", strerror(-fd), words);
	}
	/* Whatever becomes of us, it has left nothing. */
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(mkdir(directory, 0700), 0);
	assert_int_equal(open_on(fd, PATIENCE_MS), 0);
	return testpmd;
}

struct storm {
	uint64_t signals;
	uint64_t wakeups;
};

/* Take what comes for so long, or until the device ends it: 0, or what that says. */
static int weather(struct storm *storm, int ms)
{
	struct pollfd pfd = { .fd = vhost_user_net_call_fd(net), .events = POLLIN };
	int64_t until = now_ms() + ms;
	int ret = 0;

	while (ret >= 0 && now_ms() < until) {
		uint64_t n;

		if (poll(&pfd, 1, 20) == 1 && read(pfd.fd, &n, sizeof(n)) == sizeof(n)) {
			storm->signals += n;
			storm->wakeups++;
			ret = vhost_user_net_poll(net);
		} else {
			ret = vhost_user_net_alive(net);
		}
	}
	return ret < 0 ? ret : 0;
}

/* It is nice to others, who may leave it little time. */
static void weather_until_a_storm(struct storm *storm)
{
	int64_t until = now_ms() + PATIENCE_MS;

	do
		assert_int_equal(weather(storm, 200), 0);
	while ((!storm->signals || vhost_user_net_packets(net) <= BUFFERS) && now_ms() < until);
}

static void a_storm(void **state)
{
	struct testpmd *testpmd = start();
	struct storm storm = { 0 };
	pid_t pid = testpmd_pid(testpmd);
	uint64_t packets;

	(void)state;
	/* Nothing before it is let loose. */
	assert_int_equal(weather(&storm, 50), 0);
	assert_int_equal(storm.signals, 0);
	assert_int_equal(vhost_user_net_start(net), 0);
	weather_until_a_storm(&storm);
	packets = vhost_user_net_packets(net);
	printf("%llu signals, %llu wake-ups, %llu packets\n", (unsigned long long)storm.signals,
	       (unsigned long long)storm.wakeups, (unsigned long long)packets);
	assert_true(storm.signals > 0);
	assert_true(packets > BUFFERS);
	/* testpmd's are of 64 bytes. */
	assert_int_equal(vhost_user_net_packet_bytes(net), packets * 64);

	assert_int_equal(vhost_user_net_stop(net), 0);
	/* What was signalled before the stop may still be there. */
	weather(&storm, 20);
	storm.signals = 0;
	weather(&storm, 50);
	assert_int_equal(storm.signals, 0);
	assert_int_equal(testpmd_alive(testpmd), 0);
	vhost_user_net_close(net);
	testpmd_stop(testpmd);
	assert_int_equal(kill(pid, 0), -1);
}

static void killed_in_mid_storm_it_says_so(void **state)
{
	struct testpmd *testpmd = start();
	struct pollfd death = { .fd = testpmd_death_fd(testpmd), .events = POLLIN };
	struct storm storm = { 0 };
	char words[200];

	(void)state;
	assert_int_equal(vhost_user_net_start(net), 0);
	assert_int_equal(weather(&storm, 100), 0);
	assert_string_equal(testpmd_last_words(testpmd, words, sizeof(words)), "");
	kill(testpmd_pid(testpmd), SIGKILL);
	assert_int_equal(weather(&storm, PATIENCE_MS), -ECONNRESET);
	if (death.fd >= 0)
		assert_int_equal(poll(&death, 1, PATIENCE_MS), 1);
	testpmd_kill(testpmd);
	assert_int_equal(testpmd_alive(testpmd), -ECHILD);
	assert_non_null(strstr(testpmd_last_words(testpmd, words, sizeof(words)), "signal 9"));
	assert_int_equal(vhost_user_net_stop(net), -ECONNRESET);
	vhost_user_net_close(net);
	testpmd_stop(testpmd);
	/* Reaped. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void held_it_is_silent_and_let_go_it_goes_on(void **state)
{
	struct testpmd *testpmd = start();
	struct storm storm = { 0 };
	int status = 0;

	(void)state;
	assert_int_equal(vhost_user_net_start(net), 0);
	assert_int_equal(weather(&storm, 100), 0);
	testpmd_hold(testpmd, true);
	/* Each of its threads has stopped. */
	assert_int_equal(waitpid(testpmd_pid(testpmd), &status, WUNTRACED), testpmd_pid(testpmd));
	assert_true(WIFSTOPPED(status));
	weather(&storm, 20);
	storm.signals = 0;
	assert_int_equal(weather(&storm, 100), 0);
	assert_int_equal(storm.signals, 0);
	testpmd_hold(testpmd, false);
	for (int i = 0; i < 100 && !storm.signals; i++)
		assert_int_equal(weather(&storm, 100), 0);
	assert_true(storm.signals > 0);
	testpmd_hold(testpmd, true);
	vhost_user_net_close(net);
	testpmd_stop(testpmd);
}

/* It may be anywhere in its start; and whether it listens to SIGTERM there is its own affair. */
static void stopped_while_it_starts_it_leaves_nothing(void **state)
{
	struct testpmd *testpmd;

	(void)state;
	if (testpmd_available())
		skip();
	for (int ms = 0; ms < 200; ms += 60) {
		assert_int_equal(testpmd_start(&testpmd), 0);
		poll(NULL, 0, ms);
		testpmd_stop(testpmd);
		assert_int_equal(rmdir(directory), 0);
		assert_int_equal(mkdir(directory, 0700), 0);
	}
}

#define DEVICE(name)	  cmocka_unit_test_setup_teardown(name, open_device, close_device)
#define MEMORY_ONLY(name) cmocka_unit_test_setup_teardown(name, make_memory, drop_memory)
#define REAL(name)	  cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE(packets_are_counted_and_buffers_come_back),
		DEVICE(a_full_ring_is_taken_at_once),
		DEVICE(as_many_are_taken_as_was_asked),
		cmocka_unit_test_setup_teardown(a_packet_that_is_not_what_it_should_be_is_caught,
						open_checking, close_checking),
		DEVICE(a_buffer_that_is_none_is_caught),
		DEVICE(more_used_than_was_given_is_caught),
		DEVICE(a_packet_longer_than_its_buffer_is_caught),
		DEVICE(a_packet_without_header_is_caught),
		DEVICE(a_device_that_goes_away_is_seen),
		DEVICE(a_device_that_does_not_stop_costs_the_timeout),
		MEMORY_ONLY(bad_devices_are_not_opened),
		MEMORY_ONLY(numbers_out_of_range_are_refused),
		cmocka_unit_test(a_missing_program_is_enoent),
		REAL(a_storm),
		REAL(killed_in_mid_storm_it_says_so),
		REAL(held_it_is_silent_and_let_go_it_goes_on),
		REAL(stopped_while_it_starts_it_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
