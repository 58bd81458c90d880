// SPDX-License-Identifier: MIT
/*
 * The block driver against a device of our own making, which answers well or badly. The device has
 * no protocol features, so it answers one message only and the rest is in the rings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_user_blk.h"
#include "virtqueue.h"

#define MEMORY	 (1u << 20)
#define GPA	 0x10000u
#define REQUESTS 2

static int memory_fd, peer;
static char *memory;
static struct vhost_user_blk *blk;
/* Where the queue has its rings: the same arithmetic, on memory of our own. */
static struct virtqueue shape;
static uint16_t used_index;

struct desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

static int (*doorbell)(void *opaque);
static int rung;

static int open_device(void **state)
{
	static _Alignas(16) char scratch[4096];
	struct vhost_user_blk_config config = {
		.timeout_ms = 200,
		.memory_size = MEMORY,
		.gpa = GPA,
		.requests = REQUESTS,
		.sectors = 1,
		.kick = doorbell,
		.opaque = &rung,
	};
	struct {
		uint32_t header[3];
		uint32_t payload[2];
	} features = { { 1, 5, 8 }, { 0, 1 } }; /* VIRTIO_F_VERSION_1 */
	int fd[2];

	(void)state;
	used_index = 0;
	memory_fd = memfd_create("guest", MFD_CLOEXEC);
	if (memory_fd < 0 || ftruncate(memory_fd, MEMORY))
		return -1;
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (memory == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -1;
	peer = fd[1];
	if (write(peer, &features, sizeof(features)) != sizeof(features))
		return -1;
	config.memory_fd = memory_fd;
	config.memory = memory;
	config.socket = fd[0];
	virtqueue_init(&shape, 8, scratch, sizeof(scratch));
	shape.avail = (void *)(memory + GPA + ((char *)shape.avail - scratch));
	shape.used = (void *)(memory + GPA + ((char *)shape.used - scratch));
	return vhost_user_blk_open(&config, &blk);
}

static int close_device(void **state)
{
	(void)state;
	vhost_user_blk_close(blk);
	close(peer);
	munmap(memory, MEMORY);
	close(memory_fd);
	return 0;
}

static struct desc desc_at(uint16_t i)
{
	struct desc d;

	memcpy(&d, memory + GPA + i * sizeof(d), sizeof(d));
	return d;
}

/* Do the n-th request: fill the data, set the status, say so much is written. */
static void serve(uint16_t n, char fill, uint8_t status, uint32_t written)
{
	uint16_t head = shape.avail[2 + n % 8];
	struct desc data = desc_at(desc_at(head).next);
	uint32_t id = head;

	memset(memory + data.gpa, fill, data.len);
	memory[desc_at(data.next).gpa] = (char)status;
	memcpy(&shape.used[2 + used_index % 8 * 4], &id, sizeof(id));
	memcpy(&shape.used[4 + used_index % 8 * 4], &written, sizeof(written));
	shape.used[1] = ++used_index;
}

static uint64_t sector_asked(uint16_t n)
{
	uint64_t sector;

	memcpy(&sector, memory + desc_at(shape.avail[2 + n % 8]).gpa + 8, sizeof(sector));
	return sector;
}

static void reads_what_the_device_serves(void **state)
{
	struct vhost_user_blk_done done;

	(void)state;
	assert_int_equal(vhost_user_blk_submit(blk, 11), 0);
	assert_int_equal(vhost_user_blk_submit(blk, 22), 0);
	assert_int_equal(vhost_user_blk_submit(blk, 33), -EAGAIN);
	assert_int_equal(vhost_user_blk_outstanding(blk), 2);
	assert_int_equal(vhost_user_blk_take(blk, &done), 0);
	assert_int_equal(sector_asked(0), 11);
	serve(1, 'b', 0, 513);
	serve(0, 'a', 0, 513);
	assert_int_equal(vhost_user_blk_take(blk, &done), 1);
	assert_int_equal(done.sector, 22);
	assert_int_equal(done.size, 512);
	assert_int_equal(((const char *)done.data)[511], 'b');
	assert_int_equal(vhost_user_blk_take(blk, &done), 1);
	assert_int_equal(done.sector, 11);
	assert_int_equal(vhost_user_blk_take(blk, &done), 0);
	assert_int_equal(vhost_user_blk_outstanding(blk), 0);
}

/* What a driver in the guest is told is where this one has it. */
static void the_layout_is_that_of_the_queue(void **state)
{
	struct vhost_user_blk_layout layout;

	(void)state;
	vhost_user_blk_layout(blk, &layout);
	assert_int_equal(layout.ring_size, 8);
	assert_int_equal(layout.desc, GPA);
	assert_ptr_equal(memory + layout.avail, shape.avail);
	assert_ptr_equal(memory + layout.used, shape.used);
	assert_int_equal(vhost_user_blk_submit(blk, 44), 0);
	assert_int_equal(vhost_user_blk_submit(blk, 55), 0);
	for (uint16_t i = 0; i < REQUESTS; i++) {
		struct desc header = desc_at(shape.avail[2 + i]);
		struct desc data = desc_at(header.next);

		assert_int_equal(header.gpa, layout.slots + i * 64u);
		assert_int_equal(data.gpa, layout.data + i * 512u);
		assert_int_equal(desc_at(data.next).gpa, header.gpa + 16);
	}
}

static int ring(void *opaque)
{
	int *n = opaque;

	return ++*n == 2 ? -EIO : 0;
}

static int open_with_doorbell(void **state)
{
	doorbell = ring;
	rung = 0;
	return open_device(state);
}

static int close_with_doorbell(void **state)
{
	doorbell = NULL;
	return close_device(state);
}

static void a_doorbell_of_the_callers_is_rung_and_no_other(void **state)
{
	struct pollfd kick = { .fd = vhost_user_blk_kick_fd(blk), .events = POLLIN };

	(void)state;
	assert_int_equal(vhost_user_blk_submit(blk, 1), 0);
	assert_int_equal(rung, 1);
	assert_int_equal(poll(&kick, 1, 0), 0);
	assert_int_equal(vhost_user_blk_submit(blk, 2), -EIO);
}

static void a_failed_read_is_told(void **state)
{
	struct vhost_user_blk_done done;

	(void)state;
	assert_int_equal(vhost_user_blk_submit(blk, 0), 0);
	serve(0, 'x', 1, 1);
	assert_int_equal(vhost_user_blk_take(blk, &done), -EIO);
}

static void a_completion_without_status_is_caught(void **state)
{
	struct vhost_user_blk_done done;

	(void)state;
	assert_int_equal(vhost_user_blk_submit(blk, 0), 0);
	serve(0, 'x', 0xff, 513);
	assert_int_equal(vhost_user_blk_take(blk, &done), -EPROTO);
}

static void a_short_read_is_caught(void **state)
{
	struct vhost_user_blk_done done;

	(void)state;
	assert_int_equal(vhost_user_blk_submit(blk, 0), 0);
	serve(0, 'x', 0, 512);
	assert_int_equal(vhost_user_blk_take(blk, &done), -EPROTO);
}

static void a_device_that_goes_away_is_seen(void **state)
{
	(void)state;
	assert_int_equal(vhost_user_blk_alive(blk), 0);
	shutdown(peer, SHUT_RDWR);
	assert_int_equal(vhost_user_blk_alive(blk), -ECONNRESET);
	assert_int_equal(vhost_user_blk_stop(blk), -ECONNRESET);
}

static void numbers_out_of_range_are_refused(void **state)
{
	const struct vhost_user_blk_config good = {
		.memory_size = MEMORY,
		.memory = memory,
		.gpa = GPA,
		.requests = 1,
		.sectors = 1,
	};
	struct vhost_user_blk_config bad[6];
	struct vhost_user_blk *out;

	(void)state;
	for (unsigned int i = 0; i < 6; i++)
		bad[i] = good;
	bad[0].requests = 0;
	bad[1].requests = VHOST_USER_BLK_REQUESTS_MAX + 1;
	bad[2].sectors = 9;
	bad[3].gpa = GPA + 1;
	bad[4].gpa = MEMORY;
	bad[5].gpa = UINT64_MAX & ~UINT64_C(4095);
	for (unsigned int i = 0; i < 6; i++) {
		bad[i].socket = dup(peer);
		assert_int_equal(vhost_user_blk_open(&bad[i], &out), -EINVAL);
		/* Taken over also on error. */
		assert_int_equal(close(bad[i].socket), -1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_device, close_device)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_what_the_device_serves),
		TEST(the_layout_is_that_of_the_queue),
		cmocka_unit_test_setup_teardown(a_doorbell_of_the_callers_is_rung_and_no_other,
						open_with_doorbell, close_with_doorbell),
		TEST(a_failed_read_is_told),
		TEST(a_completion_without_status_is_caught),
		TEST(a_short_read_is_caught),
		TEST(a_device_that_goes_away_is_seen),
		TEST(numbers_out_of_range_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
