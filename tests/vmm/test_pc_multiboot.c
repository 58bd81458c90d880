// SPDX-License-Identifier: MIT
/* The multiboot loader, on images made here and on ruins of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pc/multiboot.h"

#define MEMORY	  (UINT32_C(4) << 20)
#define TEXT_AT	  0x100000u
#define TEXT_LEN  64u
#define DATA_AT	  0x200000u
#define DATA_LEN  32u
#define BSS_LEN	  4096u
#define MAGIC	  0x1badb002u
#define HEADER_AT 0x80u
#define TEXT_FILE 0x80u
#define DATA_FILE (TEXT_FILE + TEXT_LEN)
#define FILE_LEN  (DATA_FILE + DATA_LEN)

struct file {
	Elf32_Ehdr elf;
	Elf32_Phdr ph[2];
	uint8_t pad[TEXT_FILE - sizeof(Elf32_Ehdr) - 2 * sizeof(Elf32_Phdr)];
	union {
		uint8_t text[TEXT_LEN];
		uint32_t header[3];
	};
	uint8_t data[DATA_LEN];
};

_Static_assert(sizeof(struct file) == FILE_LEN, "no holes");

/* Between guards, so that a sanitizer sees a byte beyond. */
static uint8_t *memory;

static struct file good_file(void)
{
	struct file f = { .elf = {
				  .e_type = ET_EXEC,
				  .e_machine = EM_386,
				  .e_version = EV_CURRENT,
				  .e_entry = TEXT_AT + 12,
				  .e_phoff = offsetof(struct file, ph),
				  .e_ehsize = sizeof(Elf32_Ehdr),
				  .e_phentsize = sizeof(Elf32_Phdr),
				  .e_phnum = 2,
			  } };

	memcpy(f.elf.e_ident, ELFMAG, SELFMAG);
	f.elf.e_ident[EI_CLASS] = ELFCLASS32;
	f.elf.e_ident[EI_DATA] = ELFDATA2LSB;
	f.elf.e_ident[EI_VERSION] = EV_CURRENT;
	f.ph[0] = (Elf32_Phdr){
		.p_type = PT_LOAD,
		.p_offset = TEXT_FILE,
		.p_vaddr = TEXT_AT,
		.p_paddr = TEXT_AT,
		.p_filesz = TEXT_LEN,
		.p_memsz = TEXT_LEN,
		.p_flags = PF_R | PF_X,
	};
	f.ph[1] = (Elf32_Phdr){
		.p_type = PT_LOAD,
		.p_offset = DATA_FILE,
		.p_vaddr = DATA_AT,
		.p_paddr = DATA_AT,
		.p_filesz = DATA_LEN,
		.p_memsz = DATA_LEN + BSS_LEN,
		.p_flags = PF_R | PF_W,
	};
	memset(f.text, 0x90, sizeof(f.text));
	memset(f.data, 0xda, sizeof(f.data));
	f.header[0] = MAGIC;
	f.header[1] = 0;
	f.header[2] = 0u - MAGIC;
	return f;
}

static int load_bytes(const void *file, size_t len, const char *cmdline,
		      struct multiboot_entry *entry, const char **why)
{
	/* Of its own size, so that reading beyond is seen. */
	uint8_t *copy = malloc(len ? len : 1);
	int result;

	assert_non_null(copy);
	memcpy(copy, file, len);
	memset(memory, 0x77, MEMORY);
	*why = NULL;
	result = multiboot_load(memory, MEMORY, copy, len, cmdline, entry, why);
	free(copy);
	if (result)
		assert_non_null(*why);
	return result;
}

static int load(const struct file *f)
{
	struct multiboot_entry entry;
	const char *why;

	return load_bytes(f, sizeof(*f), NULL, &entry, &why);
}

static uint32_t word(uint32_t gpa)
{
	uint32_t value;

	assert_true(gpa <= MEMORY - 4);
	memcpy(&value, memory + gpa, 4);
	return value;
}

static void a_good_image_is_laid_out(void **state)
{
	struct multiboot_entry entry;
	struct file f = good_file();
	const char *why;
	uint32_t info;

	(void)state;
	assert_int_equal(load_bytes(&f, sizeof(f), "image.flat --one two", &entry, &why), 0);
	assert_null(why);
	assert_int_equal(entry.eip, TEXT_AT + 12);
	assert_int_equal(entry.eax, 0x2badb002);
	assert_memory_equal(memory + TEXT_AT, f.text, TEXT_LEN);
	assert_memory_equal(memory + DATA_AT, f.data, DATA_LEN);
	for (uint32_t i = 0; i < BSS_LEN; i++)
		assert_int_equal(memory[DATA_AT + DATA_LEN + i], 0);
	assert_int_equal(memory[DATA_AT + DATA_LEN + BSS_LEN], 0x77);
	assert_int_equal(memory[TEXT_AT - 1], 0x77);

	info = entry.ebx;
	assert_in_range(info, 0x1000, 0x9fbff);
	assert_int_equal(info % 4, 0);
	assert_int_equal(word(info) & 0x4d, 0x4d);
	assert_int_equal(word(info + 4), 639);
	assert_int_equal(word(info + 8), MEMORY / 1024 - 1024);
	assert_string_equal(memory + word(info + 16), "image.flat --one two");
	assert_int_equal(word(info + 20), 0); /* modules */
	assert_string_equal(memory + word(info + 64), "vmirq");
}

static void the_memory_map_covers_memory(void **state)
{
	static const uint64_t expected[][3] = {
		{ 0, 0x9fc00, 1 },
		{ 0x9fc00, 0x400, 2 },
		{ 0xf0000, 0x10000, 2 },
		{ 0x100000, MEMORY - 0x100000, 1 },
	};
	struct multiboot_entry entry;
	struct file f = good_file();
	const char *why;
	uint32_t at;
	uint32_t end;

	(void)state;
	assert_int_equal(load_bytes(&f, sizeof(f), NULL, &entry, &why), 0);
	at = word(entry.ebx + 48);
	end = at + word(entry.ebx + 44);
	for (size_t i = 0; i < 4; i++) {
		assert_true(at < end);
		assert_int_equal(word(at + 4) | (uint64_t)word(at + 8) << 32, expected[i][0]);
		assert_int_equal(word(at + 12) | (uint64_t)word(at + 16) << 32, expected[i][1]);
		assert_int_equal(word(at + 20), expected[i][2]);
		at += word(at) + 4;
	}
	assert_int_equal(at, end);
	assert_string_equal(memory + word(entry.ebx + 16), "");
}

static void every_truncation_is_refused(void **state)
{
	struct file f = good_file();

	(void)state;
	for (size_t len = 0; len < sizeof(f); len++) {
		struct multiboot_entry entry;
		const char *why;

		assert_int_equal(load_bytes(&f, len, NULL, &entry, &why), -ENOEXEC);
	}
}

/* One field is wrong. */
static void broken_fields_are_refused(void **state)
{
	static const struct {
		size_t offset;
		uint32_t value;
		unsigned int bytes;
		int error;
	} cases[] = {
#define CASE(field, value, bytes, error) { offsetof(struct file, field), (value), (bytes), (error) }
		CASE(header[0], MAGIC + 1, 4, -ENOEXEC),
		CASE(header[2], 0, 4, -ENOEXEC),
		CASE(elf.e_ident[0], 0, 1, -ENOEXEC),
		CASE(elf.e_ident[EI_CLASS], ELFCLASS64, 1, -ENOEXEC),
		CASE(elf.e_ident[EI_DATA], ELFDATA2MSB, 1, -ENOEXEC),
		CASE(elf.e_type, ET_DYN, 2, -ENOEXEC),
		CASE(elf.e_machine, EM_X86_64, 2, -ENOEXEC),
		CASE(elf.e_phentsize, 0, 2, -ENOEXEC),
		CASE(elf.e_phentsize, 31, 2, -ENOEXEC),
		CASE(elf.e_phnum, 0, 2, -ENOEXEC),
		CASE(elf.e_phnum, 9, 2, -ENOEXEC),
		CASE(elf.e_phnum, 0xffff, 2, -ENOTSUP),
		CASE(elf.e_phoff, FILE_LEN, 4, -ENOEXEC),
		CASE(elf.e_phoff, 0xffffffff, 4, -ENOEXEC),
		CASE(elf.e_phoff, 0xffffffc0, 4, -ENOEXEC),
		CASE(elf.e_entry, 0, 4, -ENOEXEC),
		CASE(elf.e_entry, TEXT_AT - 1, 4, -ENOEXEC),
		CASE(elf.e_entry, TEXT_AT + TEXT_LEN, 4, -ENOEXEC),
		CASE(elf.e_entry, 0xffffffff, 4, -ENOEXEC),
		CASE(ph[0].p_offset, 0xffffffff, 4, -ENOEXEC),
		CASE(ph[0].p_offset, FILE_LEN - TEXT_LEN + 1, 4, -ENOEXEC),
		CASE(ph[0].p_filesz, TEXT_LEN + 1, 4, -ENOEXEC),
		CASE(ph[0].p_filesz, 0xffffffff, 4, -ENOEXEC),
		CASE(ph[0].p_memsz, TEXT_LEN - 1, 4, -ENOEXEC),
		CASE(ph[0].p_memsz, 0xffffffff, 4, -EFBIG),
		CASE(ph[0].p_paddr, MEMORY - TEXT_LEN + 1, 4, -EFBIG),
		CASE(ph[0].p_paddr, MEMORY, 4, -EFBIG),
		CASE(ph[0].p_paddr, 0xffffffff, 4, -EFBIG),
		CASE(ph[0].p_paddr, 0xffffffc0, 4, -EFBIG),
		CASE(ph[0].p_paddr, DATA_AT, 4, -ENOEXEC),
		CASE(ph[0].p_paddr, DATA_AT + DATA_LEN + BSS_LEN - 1, 4, -ENOEXEC),
		CASE(ph[0].p_paddr, DATA_AT - TEXT_LEN + 1, 4, -ENOEXEC),
		CASE(ph[1].p_memsz, MEMORY - DATA_AT + 1, 4, -EFBIG),
		CASE(ph[1].p_memsz, 0u - DATA_AT, 4, -EFBIG),
		/* And what is well yet. */
		CASE(ph[0].p_paddr, DATA_AT - TEXT_LEN, 4, 0),
		CASE(ph[0].p_paddr, DATA_AT + DATA_LEN + BSS_LEN, 4, 0),
		CASE(ph[0].p_paddr, MEMORY - TEXT_LEN, 4, 0),
		CASE(ph[0].p_paddr, 0, 4, 0),
		CASE(ph[1].p_memsz, MEMORY - DATA_AT, 4, 0),
		CASE(ph[1].p_type, PT_NOTE, 4, 0),
		CASE(ph[1].p_memsz, DATA_LEN, 4, 0),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct file f = good_file();

		memcpy((uint8_t *)&f + cases[i].offset, &cases[i].value, cases[i].bytes);
		if (load(&f) != cases[i].error)
			fail_msg("case %zu: %d, not %d", i, load(&f), cases[i].error);
	}
}

static void header_flags(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 32; bit++) {
		struct file f = good_file();

		f.header[1] = UINT32_C(1) << bit;
		f.header[2] = 0u - MAGIC - f.header[1];
		assert_int_equal(load(&f), (bit >= 2 && bit <= 16) ? -ENOTSUP : 0);
	}
}

static void the_header_is_aligned_and_near(void **state)
{
	static const uint32_t header[] = { MAGIC, 0, 0u - MAGIC };
	static const struct {
		size_t at;
		int error;
	} cases[] = {
		{ 0x100, 0 },		{ 0x102, -ENOEXEC }, { 8192 - 12, 0 },
		{ 8192 - 8, -ENOEXEC }, { 8192, -ENOEXEC },  { 8192 - 13, -ENOEXEC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static uint8_t bytes[9000];
		struct multiboot_entry entry;
		struct file f = good_file();
		const char *why;

		f.header[0] = 0;
		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, &f, sizeof(f));
		memcpy(bytes + cases[i].at, header, sizeof(header));
		assert_int_equal(load_bytes(bytes, sizeof(bytes), NULL, &entry, &why),
				 cases[i].error);
	}
}

static void the_entry_is_where_it_was_put(void **state)
{
	struct multiboot_entry entry;
	struct file f = good_file();
	const char *why;

	(void)state;
	f.ph[0].p_vaddr = 0xc0100000;
	f.elf.e_entry = 0xc0100010;
	assert_int_equal(load_bytes(&f, sizeof(f), NULL, &entry, &why), 0);
	assert_int_equal(entry.eip, TEXT_AT + 0x10);
	/* A segment may end where addresses do. */
	f.ph[0].p_vaddr = 0u - TEXT_LEN;
	f.elf.e_entry = 0xffffffff;
	assert_int_equal(load_bytes(&f, sizeof(f), NULL, &entry, &why), 0);
	assert_int_equal(entry.eip, TEXT_AT + TEXT_LEN - 1);
}

/* The information keeps away from the image, and the image may leave it no room. */
static void low_images_leave_room_or_not(void **state)
{
	static const struct {
		uint32_t start;
		uint32_t len;
		int error;
	} cases[] = {
		{ 0x9f000, 0x1000, 0 }, { 0x90000, 0x10000, 0 },
		{ 0x2000, 0x9e000, 0 }, { 0x1080, 0x9eb80, -ENOSPC },
		{ 0x1100, 0x9eb00, 0 }, { 0, 0x9fc00, -ENOSPC },
		{ 0, 0x9f000, 0 },	{ 0, 0x9fb80, -ENOSPC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct multiboot_entry entry;
		struct file f = good_file();
		const char *why;
		int result;

		f.ph[1].p_paddr = cases[i].start;
		f.ph[1].p_memsz = cases[i].len;
		result = load_bytes(&f, sizeof(f), "x", &entry, &why);
		assert_int_equal(result, cases[i].error);
		if (result)
			continue;
		assert_in_range(entry.ebx, 0x1000, 0x9fc00 - 88);
		assert_true(entry.ebx >= cases[i].start + cases[i].len ||
			    entry.ebx + 88 <= cases[i].start);
		assert_string_equal(memory + word(entry.ebx + 16), "x");
	}
}

static void command_lines_are_bounded(void **state)
{
	static char line[5000];
	struct multiboot_entry entry;
	struct file f = good_file();
	const char *why;

	(void)state;
	memset(line, 'a', sizeof(line) - 1);
	assert_int_equal(load_bytes(&f, sizeof(f), line, &entry, &why), -E2BIG);
	line[4096] = 0;
	assert_int_equal(load_bytes(&f, sizeof(f), line, &entry, &why), -E2BIG);
	line[4095] = 0;
	assert_int_equal(load_bytes(&f, sizeof(f), line, &entry, &why), 0);
	assert_string_equal(memory + word(entry.ebx + 16), line);
	assert_true(entry.ebx + 4096 <= 0x9fc00);
}

static void memory_size_is_bounded(void **state)
{
	struct multiboot_entry entry;
	struct file f = good_file();
	const char *why;

	(void)state;
	assert_int_equal(multiboot_load(memory, 0, &f, sizeof(f), NULL, &entry, &why), -EINVAL);
	assert_int_equal(multiboot_load(memory, 0xfffff, &f, sizeof(f), NULL, &entry, &why),
			 -EINVAL);
	assert_int_equal(multiboot_load(memory, 0xc0000001, &f, sizeof(f), NULL, &entry, NULL),
			 -EINVAL);
}

static void any_file_is_loaded_or_refused(void **state)
{
	uint64_t seed = 1;
	unsigned int loaded = 0;

	(void)state;
	for (unsigned int i = 0; i < 3000; i++) {
		struct file f = good_file();
		uint32_t *words = (uint32_t *)&f;
		unsigned int changes = i % 4;

		for (unsigned int n = 0; n <= changes; n++) {
			uint32_t value;

			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
			value = (uint32_t)(seed >> 24);
			if (seed >> 63)
				value &= 0x3fffff;
			words[(seed >> 33) %
			      (sizeof(Elf32_Ehdr) / 4 + 2 * sizeof(Elf32_Phdr) / 4)] = value;
		}
		loaded += load(&f) == 0;
	}
	assert_in_range(loaded, 100, 2900);
}

static int get_memory(void **state)
{
	(void)state;
	memory = malloc(MEMORY);
	return !memory;
}

static int put_memory(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_image_is_laid_out),
		cmocka_unit_test(the_memory_map_covers_memory),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(broken_fields_are_refused),
		cmocka_unit_test(header_flags),
		cmocka_unit_test(the_header_is_aligned_and_near),
		cmocka_unit_test(the_entry_is_where_it_was_put),
		cmocka_unit_test(low_images_leave_room_or_not),
		cmocka_unit_test(command_lines_are_bounded),
		cmocka_unit_test(memory_size_is_bounded),
		cmocka_unit_test(any_file_is_loaded_or_refused),
	};

	return cmocka_run_group_tests(tests, get_memory, put_memory);
}
