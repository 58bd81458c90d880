/* SPDX-License-Identifier: MIT */
/*
 * The disk image behind a vhost-user-blk source, as this process sees it.
 */
#ifndef VMIRQ_SOURCE_BLK_H
#define VMIRQ_SOURCE_BLK_H

#include <stdbool.h>
#include <stdint.h>

struct vhost_user_blk_done;

struct blk_image {
	int fd;
	/* What the daemon is to open. */
	const char *path;
	/* Of an image of our own making, until it is unlinked; "" = not ours. */
	char made[100];
	uint64_t sectors;
	/* Bytes of a request. */
	uint32_t request;
};

/* -errno of open; -ENODATA: less than a sector; -EISDIR, -EINVAL: neither a file nor a disk. */
int blk_image_open(struct blk_image *image, const char *path);
/* A small one in a temporary file, a pattern of its own in each sector. */
int blk_image_make(struct blk_image *image);
void blk_image_unlink(struct blk_image *image);
void blk_image_close(struct blk_image *image);

/* Where the n-th request reads: all over the image. */
uint64_t blk_image_sector(const struct blk_image *image, uint64_t n);
/* Byte for byte. */
bool blk_image_matches(const struct blk_image *image, const struct vhost_user_blk_done *done);

#endif
