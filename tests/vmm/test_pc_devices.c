// SPDX-License-Identifier: MIT
/* debug exit, pc-testdev, fw_cfg, PCI: each by its ports alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "pc/debug_exit.h"
#include "pc/fw_cfg.h"
#include "pc/pci.h"
#include "pc/testdev.h"

static void exit_status_is_qemus(void **state)
{
	static const struct {
		uint16_t port;
		uint32_t len;
		uint32_t value;
		int status;
	} cases[] = {
		{ 0xf4, 1, 0, 1 },
		{ 0xf4, 1, 1, 3 },
		{ 0xf4, 1, 0xff, 0x1ff },
		{ 0xf4, 2, 0x1234, 0x2469 },
		{ 0xf4, 4, 0x10, 0x21 },
		{ 0xf7, 1, 2, 5 },
		{ 0xf4, 4, 0xffffffff, 0x7fffffff },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t value = cases[i].value;
		int status = 0;

		assert_true(debug_exit_pio(cases[i].port, &value, cases[i].len, true, &status));
		assert_int_equal(status, cases[i].status);
		assert_true(debug_exit_pio(cases[i].port, &value, cases[i].len, false, &status));
		assert_int_equal(status, -1);
	}
}

static void exit_wants_its_ports(void **state)
{
	uint64_t value = 0;
	int status;

	(void)state;
	assert_false(debug_exit_pio(0xf3, &value, 1, true, &status));
	assert_false(debug_exit_pio(0xf8, &value, 1, true, &status));
	assert_false(debug_exit_pio(0xf4, &value, 0, true, &status));
	assert_false(debug_exit_pio(0xf4, &value, 8, true, &status));
	assert_int_equal(status, -1);
}

static struct testdev testdev;

static uint32_t echo_in(uint16_t port, uint32_t len)
{
	struct testdev_line line;
	uint32_t value = 0;

	assert_true(testdev_pio(&testdev, port, &value, len, false, &line));
	assert_int_equal(line.gsi, -1);
	return value;
}

static void echo_out(uint16_t port, uint32_t len, uint32_t value)
{
	struct testdev_line line;

	assert_true(testdev_pio(&testdev, port, &value, len, true, &line));
	assert_int_equal(line.gsi, -1);
}

static void echo_keeps_each_byte(void **state)
{
	(void)state;
	testdev_init(&testdev);
	echo_out(0xe0, 4, 0x44332211);
	assert_int_equal(echo_in(0xe0, 4), 0x44332211);
	assert_int_equal(echo_in(0xe1, 1), 0x22);
	assert_int_equal(echo_in(0xe2, 2), 0x4433);
	echo_out(0xe1, 1, 0xaa);
	echo_out(0xe2, 2, 0xccbb);
	assert_int_equal(echo_in(0xe8, 4), 0xccbbaa11);
	echo_out(0xe8, 4, 0x01020304);
	assert_int_equal(echo_in(0xe0, 4), 0x01020304);
	/* Over the end: what is in the register, and zeroes. */
	echo_out(0xe3, 4, 0xffffff99);
	assert_int_equal(echo_in(0xe0, 4), 0x99020304);
	assert_int_equal(echo_in(0xe2, 4), 0x9902);
	echo_out(0xe4, 4, 0x1000);
	assert_int_equal(echo_in(0xe4, 4), 0);
	assert_int_equal(echo_in(0xe0, 4), 0x99020304);
}

static void lines_by_port(void **state)
{
	struct testdev_line line;
	uint32_t value;

	(void)state;
	testdev_init(&testdev);
	for (uint16_t n = 0; n < 24; n++) {
		for (value = 0; value < 3; value++) {
			uint8_t byte = (uint8_t)value;

			assert_true(testdev_pio(&testdev, 0x2000 + n, &byte, 1, true, &line));
			assert_int_equal(line.gsi, n);
			assert_int_equal(line.level, value != 0);
			assert_true(testdev_pio(&testdev, 0x2000 + n, &byte, 1, false, &line));
			assert_int_equal(line.gsi, -1);
		}
	}
	assert_false(testdev_pio(&testdev, 0x2018, &value, 1, true, &line));
	assert_false(testdev_pio(&testdev, 0x1fff, &value, 1, true, &line));
	assert_false(testdev_pio(&testdev, 0x2000, &value, 2, true, &line));
	assert_int_equal(line.gsi, -1);
}

static void testdev_ports_and_lengths(void **state)
{
	(void)state;
	testdev_init(&testdev);
	for (uint32_t port = 0; port < 0x10000; port++) {
		for (uint32_t len = 0; len <= 8; len++) {
			struct testdev_line line;
			uint8_t data[16];
			bool ours = port >= 0x2000 && port < 0x2018 ? len == 1
				    : port >= 0xe0 && port < 0xec   ? len >= 1 && len <= 4
								    : false;

			memset(data, 0xa5, sizeof(data));
			assert_int_equal(
				testdev_pio(&testdev, (uint16_t)port, data, len, false, &line),
				ours);
			for (size_t i = ours ? len : 0; i < sizeof(data); i++)
				assert_int_equal(data[i], 0xa5);
		}
	}
}

static void testdev_memory_is_memory(void **state)
{
	static const uint32_t lengths[] = { 1, 2, 4, 8 };
	uint64_t value = UINT64_C(0x8877665544332211);
	uint64_t read = 0;

	(void)state;
	testdev_init(&testdev);
	for (size_t i = 0; i < 4; i++) {
		uint64_t last = 0xff010000 - lengths[i];

		read = 0;
		assert_true(testdev_mmio(&testdev, last, &value, lengths[i], true));
		assert_true(testdev_mmio(&testdev, last, &read, lengths[i], false));
		assert_memory_equal(&read, &value, lengths[i]);
		assert_false(testdev_mmio(&testdev, last + 1, &value, lengths[i], true));
		assert_false(testdev_mmio(&testdev, 0xfeffffff, &value, lengths[i], true));
	}
	assert_false(testdev_mmio(&testdev, UINT64_MAX, &value, 8, true));
	assert_false(testdev_mmio(&testdev, 0, &value, 8, false));
}

static uint64_t fw_cfg_item(struct fw_cfg *f, uint16_t key)
{
	uint64_t value = 0;

	assert_true(fw_cfg_pio(f, 0x510, &key, 2, true));
	for (unsigned int i = 0; i < 8; i++) {
		uint8_t byte = 0xaa;

		assert_true(fw_cfg_pio(f, 0x511, &byte, 1, false));
		value |= (uint64_t)byte << 8 * i;
	}
	return value;
}

static void fw_cfg_items(void **state)
{
	struct fw_cfg f;
	uint8_t byte = 0;

	(void)state;
	fw_cfg_init(&f, 3, UINT64_C(0x123456000));
	assert_int_equal(fw_cfg_item(&f, 0), 0x554d4551); /* "QEMU" */
	assert_int_equal(fw_cfg_item(&f, 1), 1);
	assert_int_equal(fw_cfg_item(&f, 3), UINT64_C(0x123456000));
	assert_int_equal(fw_cfg_item(&f, 5), 3);
	assert_int_equal(fw_cfg_item(&f, 0x4005), 3);
	assert_int_equal(fw_cfg_item(&f, 0x0f), 3);
	for (uint32_t key = 0x10; key < 0x10000; key++)
		if ((key & 0xbfff) > 0x0f)
			assert_int_equal(fw_cfg_item(&f, (uint16_t)key), 0);
	/* Past the end it stays 0; a selection begins anew. */
	fw_cfg_item(&f, 0);
	for (unsigned int i = 0; i < 100; i++) {
		assert_true(fw_cfg_pio(&f, 0x511, &byte, 1, false));
		assert_int_equal(byte, 0);
	}
	assert_true(fw_cfg_pio(&f, 0x511, &byte, 1, true));
	assert_true(fw_cfg_pio(&f, 0x510, &byte, 1, true));
	assert_int_equal(fw_cfg_item(&f, 0), 0x554d4551);
	assert_false(fw_cfg_pio(&f, 0x512, &byte, 1, false));
	assert_false(fw_cfg_pio(&f, 0x50f, &byte, 1, false));
}

static void pci_bus_is_empty(void **state)
{
	struct pci p;
	uint32_t value;

	(void)state;
	pci_init(&p);
	for (uint32_t device = 0; device < 32; device++) {
		value = 0x80000000 | device << 11 | 3;
		assert_true(pci_pio(&p, 0xcf8, &value, 4, true));
		assert_true(pci_pio(&p, 0xcf8, &value, 4, false));
		assert_int_equal(value, 0x80000000 | device << 11);
		for (uint16_t port = 0xcfc; port < 0xd00; port++) {
			uint8_t data[8] = { 0 };

			assert_true(pci_pio(&p, port, data, 4, false));
			assert_memory_equal(data, "\xff\xff\xff\xff\0\0\0", 8);
			assert_true(pci_pio(&p, port, data, 4, true));
		}
	}
	value = 0;
	assert_false(pci_pio(&p, 0xcf8, &value, 1, true));
	assert_false(pci_pio(&p, 0xcf9, &value, 1, true));
	assert_false(pci_pio(&p, 0xcfa, &value, 2, false));
	assert_false(pci_pio(&p, 0xd00, &value, 4, false));
	assert_true(pci_pio(&p, 0xcf8, &value, 4, false));
	assert_int_equal(value, 0x80000000 | 31 << 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_status_is_qemus),
		cmocka_unit_test(exit_wants_its_ports),
		cmocka_unit_test(echo_keeps_each_byte),
		cmocka_unit_test(lines_by_port),
		cmocka_unit_test(testdev_ports_and_lengths),
		cmocka_unit_test(testdev_memory_is_memory),
		cmocka_unit_test(fw_cfg_items),
		cmocka_unit_test(pci_bus_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
