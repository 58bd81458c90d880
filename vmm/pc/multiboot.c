// SPDX-License-Identifier: MIT
/* The image: its header, its segments, its entry. */
#include "multiboot.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* 3.1.1, 3.1.2 */
#define HEADER_MAGIC  0x1badb002u
#define HEADER_WITHIN 8192u
/* Bits 0 (modules on pages, of which there are none) and 1 (memory information) are granted, bits
 * 16 and up are no demands; but 16 puts addresses in the header in the ELF headers' place. */
#define FLAGS_DEMANDS	0xffffu
#define FLAGS_GRANTED	0x3u
#define FLAGS_ADDRESSES 0x10000u

struct header {
	uint32_t magic;
	uint32_t flags;
	uint32_t checksum;
};

struct image {
	const uint8_t *file;
	uint64_t len;
	uint64_t memory_size;
	const char **why;
	Elf32_Ehdr elf;
	struct multiboot_range taken[MULTIBOOT_SEGMENTS_MOST];
	size_t count;
	bool has_entry;
	uint32_t entry;
};

static int refuse(const struct image *image, int error, const char *why)
{
	*image->why = why;
	return error;
}

/* [offset, offset + size) is in the file. */
static bool in_file(const struct image *image, uint64_t offset, uint64_t size)
{
	return size <= image->len && offset <= image->len - size;
}

static int find_header(const struct image *image, struct header *header)
{
	uint64_t end = image->len < HEADER_WITHIN ? image->len : HEADER_WITHIN;

	for (uint64_t at = 0; at + sizeof(*header) <= end; at += 4) {
		memcpy(header, image->file + at, sizeof(*header));
		if (header->magic == HEADER_MAGIC &&
		    header->magic + header->flags + header->checksum == 0)
			return 0;
	}
	return refuse(image, -ENOEXEC, "no multiboot header in the first 8 KiB");
}

static int check_header(const struct image *image)
{
	struct header header;
	int error = find_header(image, &header);

	if (error)
		return error;
	if (header.flags & FLAGS_ADDRESSES)
		return refuse(image, -ENOTSUP, "a multiboot header with load addresses");
	if (header.flags & FLAGS_DEMANDS & ~FLAGS_GRANTED)
		return refuse(image, -ENOTSUP,
			      "wants more of a boot loader than memory information");
	return 0;
}

static int check_elf(struct image *image)
{
	const Elf32_Ehdr *elf = &image->elf;

	if (!in_file(image, 0, sizeof(*elf)))
		return refuse(image, -ENOEXEC, "too short for an ELF file");
	memcpy(&image->elf, image->file, sizeof(*elf));
	if (memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0)
		return refuse(image, -ENOEXEC, "not an ELF file");
	if (elf->e_ident[EI_CLASS] != ELFCLASS32)
		return refuse(image, -ENOEXEC, "an ELF file that is not 32-bit");
	if (elf->e_ident[EI_DATA] != ELFDATA2LSB || elf->e_machine != EM_386 ||
	    elf->e_type != ET_EXEC)
		return refuse(image, -ENOEXEC, "an ELF file that is no i386 executable");
	if (elf->e_phentsize != sizeof(Elf32_Phdr) || !elf->e_phnum)
		return refuse(image, -ENOEXEC, "an ELF file without program headers");
	if (elf->e_phnum > MULTIBOOT_SEGMENTS_MOST)
		return refuse(image, -ENOTSUP, "an ELF file with more than 64 program headers");
	if (!in_file(image, elf->e_phoff, (uint64_t)elf->e_phnum * sizeof(Elf32_Phdr)))
		return refuse(image, -ENOEXEC, "ELF program headers beyond the end of the file");
	return 0;
}

static int take(struct image *image, const Elf32_Phdr *ph)
{
	struct multiboot_range range = { ph->p_paddr, (uint64_t)ph->p_paddr + ph->p_memsz };

	if (ph->p_filesz > ph->p_memsz)
		return refuse(image, -ENOEXEC,
			      "an ELF segment with more in the file than in memory");
	if (ph->p_filesz && !in_file(image, ph->p_offset, ph->p_filesz))
		return refuse(image, -ENOEXEC, "an ELF segment beyond the end of the file");
	if (range.end > image->memory_size)
		return refuse(image, -EFBIG, "an ELF segment beyond the end of memory");
	for (size_t i = 0; i < image->count; i++)
		if (range.start < image->taken[i].end && image->taken[i].start < range.end)
			return refuse(image, -ENOEXEC, "two ELF segments for the same memory");
	image->taken[image->count++] = range;
	return 0;
}

/* An entry address is virtual; what starts is where that part of the image was put. */
static void look_for_entry(struct image *image, const Elf32_Phdr *ph)
{
	uint32_t entry = image->elf.e_entry;

	if (image->has_entry || entry < ph->p_vaddr || entry - ph->p_vaddr >= ph->p_memsz)
		return;
	image->has_entry = true;
	image->entry = entry - ph->p_vaddr + ph->p_paddr;
}

static int load_segments(struct image *image, uint8_t *memory)
{
	for (unsigned int i = 0; i < image->elf.e_phnum; i++) {
		Elf32_Phdr ph;
		int error;

		memcpy(&ph, image->file + image->elf.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type != PT_LOAD || !ph.p_memsz)
			continue;
		error = take(image, &ph);
		if (error)
			return error;
		if (ph.p_filesz)
			memcpy(memory + ph.p_paddr, image->file + ph.p_offset, ph.p_filesz);
		memset(memory + ph.p_paddr + ph.p_filesz, 0, ph.p_memsz - ph.p_filesz);
		look_for_entry(image, &ph);
	}
	if (!image->count)
		return refuse(image, -ENOEXEC, "an ELF file with nothing to load");
	if (!image->has_entry)
		return refuse(image, -ENOEXEC, "an ELF entry outside of what is loaded");
	return 0;
}

int multiboot_load(void *memory, size_t size, const void *file, size_t len, const char *cmdline,
		   struct multiboot_entry *out, const char **why)
{
	const char *ignored = NULL;
	struct image image = {
		.file = file,
		.len = len,
		.memory_size = size,
		.why = why ? why : &ignored,
	};
	int error;

	if (size < MULTIBOOT_MEMORY_LEAST || size > MULTIBOOT_MEMORY_MOST)
		return refuse(&image, -EINVAL, "memory must be 1 MiB to 3 GiB");
	error = check_header(&image);
	if (!error)
		error = check_elf(&image);
	if (!error)
		error = load_segments(&image, memory);
	if (error)
		return error;
	*out = (struct multiboot_entry){ .eip = image.entry, .eax = MULTIBOOT_LOADER_MAGIC };
	return multiboot_write_info(memory, size, image.taken, image.count, cmdline ? cmdline : "",
				    &out->ebx, image.why);
}
