// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "virtqueue.h"

#define SIZE 8

static _Alignas(16) uint8_t memory[8192];
static struct virtqueue vq;

/* What a descriptor is to the device (virtio 1.2, 2.7.5). */
struct desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

static struct desc desc_at(unsigned int i)
{
	struct desc d;

	memcpy(&d, memory + i * sizeof(d), sizeof(d));
	return d;
}

static uint16_t avail_entry(uint16_t n)
{
	return vq.avail[2 + n % SIZE];
}

static uint16_t used_index;

/* The device's side: say that it is done with `id`. */
static void complete(uint32_t id, uint32_t written)
{
	memcpy(&vq.used[2 + used_index % SIZE * 4], &id, sizeof(id));
	memcpy(&vq.used[4 + used_index % SIZE * 4], &written, sizeof(written));
	vq.used[1] = ++used_index;
}

static int add(unsigned int segments, uint32_t token)
{
	struct virtqueue_segment s[SIZE + 1];

	for (unsigned int i = 0; i < segments; i++)
		s[i] = (struct virtqueue_segment){ 0x1000u * (i + 1), 100, i > 0 };
	return virtqueue_add(&vq, s, segments, token);
}

static int fresh(void **state)
{
	(void)state;
	memset(memory, 0xee, sizeof(memory));
	used_index = 0;
	return virtqueue_init(&vq, SIZE, memory, sizeof(memory));
}

static void refuses_what_is_no_queue(void **state)
{
	(void)state;
	assert_int_equal(virtqueue_init(&vq, 0, memory, sizeof(memory)), -EINVAL);
	assert_int_equal(virtqueue_init(&vq, 3, memory, sizeof(memory)), -EINVAL);
	assert_int_equal(virtqueue_init(&vq, 512, memory, sizeof(memory)), -EINVAL);
	assert_int_equal(virtqueue_init(&vq, 8, memory + 1, sizeof(memory) - 1), -EINVAL);
	assert_int_equal(virtqueue_init(&vq, 8, memory, virtqueue_bytes(8) - 1), -EINVAL);
	assert_int_equal(virtqueue_init(&vq, 8, memory, virtqueue_bytes(8)), 0);
}

static void writes_no_byte_past_its_memory(void **state)
{
	(void)state;
	assert_int_equal(memory[virtqueue_bytes(SIZE)], 0xee);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(add(2, i), 0);
	assert_int_equal(memory[virtqueue_bytes(SIZE)], 0xee);
}

static void chains_descriptors_as_the_device_expects(void **state)
{
	struct desc d;

	(void)state;
	assert_int_equal(add(3, 7), 0);
	assert_int_equal(vq.avail[1], 1);
	d = desc_at(avail_entry(0));
	assert_int_equal(d.gpa, 0x1000);
	assert_int_equal(d.flags, 1);
	d = desc_at(d.next);
	assert_int_equal(d.gpa, 0x2000);
	assert_int_equal(d.len, 100);
	assert_int_equal(d.flags, 3);
	d = desc_at(d.next);
	assert_int_equal(d.gpa, 0x3000);
	assert_int_equal(d.flags, 2);
}

static void refuses_a_bad_chain(void **state)
{
	struct virtqueue_segment backwards[2] = { { 0, 1, true }, { 0, 1, false } };
	struct virtqueue_segment huge[2] = { { 0, UINT32_MAX, true }, { 0, UINT32_MAX, true } };

	(void)state;
	assert_int_equal(virtqueue_add(&vq, NULL, 0, 0), -EINVAL);
	assert_int_equal(virtqueue_add(&vq, backwards, 2, 0), -EINVAL);
	assert_int_equal(virtqueue_add(&vq, huge, 2, 0), -EINVAL);
	assert_int_equal(vq.avail[1], 0);
}

static void says_when_it_is_full(void **state)
{
	struct virtqueue_used used;

	(void)state;
	assert_int_equal(add(SIZE + 1, 0), -ENOSPC);
	assert_int_equal(add(5, 0), 0);
	assert_int_equal(add(4, 1), -ENOSPC);
	assert_int_equal(add(3, 1), 0);
	assert_int_equal(add(1, 2), -ENOSPC);
	complete(avail_entry(0), 400);
	assert_int_equal(virtqueue_take(&vq, &used), 1);
	assert_int_equal(add(5, 2), 0);
}

static void gives_back_what_is_done_in_the_devices_order(void **state)
{
	struct virtqueue_used used;

	(void)state;
	assert_int_equal(add(2, 10), 0);
	assert_int_equal(add(2, 11), 0);
	assert_int_equal(virtqueue_ready(&vq), 0);
	assert_int_equal(virtqueue_take(&vq, &used), 0);
	complete(avail_entry(1), 100);
	complete(avail_entry(0), 0);
	assert_int_equal(virtqueue_take(&vq, &used), 1);
	assert_int_equal(used.token, 11);
	assert_int_equal(used.written, 100);
	assert_int_equal(virtqueue_take(&vq, &used), 1);
	assert_int_equal(used.token, 10);
	assert_int_equal(virtqueue_take(&vq, &used), 0);
	assert_int_equal(vq.outstanding, 0);
}

/* The indices are 16 bits wide and wrap. */
static void goes_on_past_65536_requests(void **state)
{
	struct virtqueue_used used;

	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		assert_int_equal(add(1 + i % 3, i), 0);
		complete(avail_entry((uint16_t)i), 0);
		assert_int_equal(virtqueue_take(&vq, &used), 1);
		assert_int_equal(used.token, i);
	}
	assert_int_equal(vq.free_count, SIZE);
}

static void a_device_that_completes_too_much_is_caught(void **state)
{
	struct virtqueue_used used;

	(void)state;
	assert_int_equal(add(2, 0), 0);
	complete(avail_entry(0), 0);
	complete(avail_entry(0), 0);
	assert_int_equal(virtqueue_ready(&vq), -EPROTO);
	assert_int_equal(virtqueue_take(&vq, &used), -EPROTO);
}

static void a_request_completes_once(void **state)
{
	struct virtqueue_used used;

	(void)state;
	assert_int_equal(add(2, 0), 0);
	assert_int_equal(add(2, 1), 0);
	complete(avail_entry(0), 0);
	complete(avail_entry(0), 0);
	assert_int_equal(virtqueue_take(&vq, &used), 1);
	assert_int_equal(virtqueue_take(&vq, &used), -EPROTO);
}

static void ids_that_name_no_request_are_caught(void **state)
{
	static const uint32_t ids[] = { SIZE, UINT32_MAX, 0x10000, 1 /* not a head */ };
	struct virtqueue_used used;

	for (unsigned int i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		fresh(state);
		assert_int_equal(add(2, 0), 0);
		assert_int_equal(avail_entry(0), 0);
		complete(ids[i], 0);
		assert_int_equal(virtqueue_take(&vq, &used), -EPROTO);
	}
}

static void a_device_cannot_have_written_more_than_there_is_room(void **state)
{
	struct virtqueue_used used;

	(void)state;
	assert_int_equal(add(3, 0), 0);
	complete(avail_entry(0), 201);
	assert_int_equal(virtqueue_take(&vq, &used), -EPROTO);
}

static void scribbling_on_the_rings_does_not_reach_the_driver(void **state)
{
	struct virtqueue_used used;
	uint16_t head;

	(void)state;
	assert_int_equal(add(3, 42), 0);
	head = avail_entry(0);
	/* Every descriptor and the available ring: links into nowhere. */
	memset(memory, 0xff, (size_t)SIZE * 16 + 4 + 2u * SIZE);
	complete(head, 200);
	assert_int_equal(virtqueue_take(&vq, &used), 1);
	assert_int_equal(used.token, 42);
	assert_int_equal(vq.free_count, SIZE);
	assert_int_equal(add(SIZE, 43), 0);
	assert_int_equal(vq.avail[1], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_is_no_queue),
		cmocka_unit_test_setup(writes_no_byte_past_its_memory, fresh),
		cmocka_unit_test_setup(chains_descriptors_as_the_device_expects, fresh),
		cmocka_unit_test_setup(refuses_a_bad_chain, fresh),
		cmocka_unit_test_setup(says_when_it_is_full, fresh),
		cmocka_unit_test_setup(gives_back_what_is_done_in_the_devices_order, fresh),
		cmocka_unit_test_setup(goes_on_past_65536_requests, fresh),
		cmocka_unit_test_setup(a_device_that_completes_too_much_is_caught, fresh),
		cmocka_unit_test_setup(a_request_completes_once, fresh),
		cmocka_unit_test_setup(ids_that_name_no_request_are_caught, fresh),
		cmocka_unit_test_setup(a_device_cannot_have_written_more_than_there_is_room, fresh),
		cmocka_unit_test_setup(scribbling_on_the_rings_does_not_reach_the_driver, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
