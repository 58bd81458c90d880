// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source_blk.h"
#include "vhost_user_blk.h"

#define SECTOR	     VHOST_USER_BLK_SECTOR
#define MADE_SECTORS (8u << 20 >> 9)
#define WORDS	     (SECTOR / sizeof(uint64_t))

int blk_image_open(struct blk_image *image, const char *path)
{
	struct stat st;
	off_t size;
	int ret = 0;

	*image = (struct blk_image){ .path = path };
	/* A FIFO would block the open. */
	image->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (image->fd < 0)
		return -errno;
	size = lseek(image->fd, 0, SEEK_END);
	if (fstat(image->fd, &st) < 0)
		ret = -errno;
	else if (S_ISDIR(st.st_mode))
		ret = -EISDIR;
	else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		ret = -EINVAL;
	else if (size < SECTOR)
		ret = -ENODATA;
	/* QEMU rounds up to whole sectors and fills with zeros, as pread_full() does here. */
	image->sectors = (uint64_t)(size + SECTOR - 1) / SECTOR;
	if (ret)
		close(image->fd);
	return ret;
}

/* splitmix64: no two sectors alike, none all zero, and it tells which one it is. */
static uint64_t pattern(uint64_t n)
{
	n += UINT64_C(0x9e3779b97f4a7c15);
	n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
	return n ^ n >> 31;
}

uint64_t blk_pattern(uint64_t sector, uint64_t n)
{
	return pattern(sector * WORDS + n);
}

static int fill(int fd, blk_word_fn *word)
{
	uint64_t block[128 * WORDS];

	for (uint64_t sector = 0; sector < MADE_SECTORS; sector += 128) {
		for (uint64_t i = 0; i < 128 * WORDS; i++)
			block[i] = word(sector + i / WORDS, i % WORDS);
		if (pwrite(fd, block, sizeof(block), (off_t)(sector * SECTOR)) != sizeof(block))
			return errno ? -errno : -ENOSPC;
	}
	return 0;
}

int blk_image_make(struct blk_image *image, blk_word_fn *word)
{
	const char *base = getenv("TMPDIR");
	int n, ret;

	*image = (struct blk_image){ .fd = -1, .sectors = MADE_SECTORS };
	if (!base || base[0] != '/')
		base = "/tmp";
	n = snprintf(image->made, sizeof(image->made), "%s/vmirq-disk-XXXXXX", base);
	if (n < 0 || (size_t)n >= sizeof(image->made))
		strcpy(image->made, "/tmp/vmirq-disk-XXXXXX");
	image->fd = mkostemp(image->made, O_CLOEXEC);
	if (image->fd < 0) {
		image->made[0] = '\0';
		return -errno;
	}
	image->path = image->made;
	errno = 0;
	ret = fill(image->fd, word);
	if (ret) {
		blk_image_unlink(image);
		blk_image_close(image);
	}
	return ret;
}

void blk_image_unlink(struct blk_image *image)
{
	if (image->made[0])
		unlink(image->made);
	image->made[0] = '\0';
}

void blk_image_close(struct blk_image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}

uint64_t blk_image_sector(const struct blk_image *image, uint64_t n)
{
	return pattern(n) % (image->sectors - image->request / SECTOR + 1);
}

bool blk_image_matches(const struct blk_image *image, const struct vhost_user_blk_done *done)
{
	char expected[8 * SECTOR];
	size_t have = 0;

	if (done->size > sizeof(expected))
		return false;
	while (have < done->size) {
		ssize_t n = pread(image->fd, expected + have, done->size - have,
				  (off_t)(done->sector * SECTOR + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (n == 0) {
			/* Past the end of an image that is no whole number of sectors. */
			memset(expected + have, 0, done->size - have);
			n = (ssize_t)(done->size - have);
		}
		have += (size_t)n;
	}
	return memcmp(expected, done->data, done->size) == 0;
}
