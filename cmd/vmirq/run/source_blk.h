/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user-blk source, and the disk image behind it, as this process sees it.
 */
#ifndef VMIRQ_SOURCE_BLK_H
#define VMIRQ_SOURCE_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "source.h"

struct storage_daemon;
struct vhost_user_blk;
struct vhost_user_blk_done;
struct guest_disk;

/* Outstanding at once when not paced. */
#define BLK_REQUESTS 16

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

/* What word n of a sector is to be. */
typedef uint64_t blk_word_fn(uint64_t sector, uint64_t n);
/* splitmix64: no two words alike. */
blk_word_fn blk_pattern;

/* -errno of open; -ENODATA: less than a sector; -EISDIR, -EINVAL: neither a file nor a disk. */
int blk_image_open(struct blk_image *image, const char *path);
/* A small one in a temporary file. */
int blk_image_make(struct blk_image *image, blk_word_fn *word);
void blk_image_unlink(struct blk_image *image);
void blk_image_close(struct blk_image *image);

/* Where the n-th request reads: all over the image. */
uint64_t blk_image_sector(const struct blk_image *image, uint64_t n);
/* Byte for byte. */
bool blk_image_matches(const struct blk_image *image, const struct vhost_user_blk_done *done);

/* The device, with this process or the guest as its driver. */
struct blk {
	struct blk_image image;
	struct storage_daemon *daemon;
	struct vhost_user_blk *device;
	/* How often the handler had run when completions were last looked for. */
	uint64_t seen;
	uint64_t next;
	/* guest-blk. */
	uint64_t doorbell;
	bool has_doorbell;
	/* The guest has not gone on, though nothing failed. */
	bool stuck;
	/* NULL where this process is the driver. */
	struct guest_disk *disk;
};

enum exit_code blk_check_daemon(char *why, size_t size);
/* Why the device does not go on; prefers what the daemon said when it died. */
int blk_fail(struct source *source, int error, const char *what);
/* On the image the source names, or one made of `word`. With `kick`, which gets the source, always the
 * latter. */
int blk_open_device(struct source *source, blk_word_fn *word, int (*kick)(void *opaque));
void blk_close(struct source *source);

/* This process is the driver. */
int blk_raise(struct source *source, struct lane *lane);
int blk_handled(struct source *source);
int blk_finish(struct source *source);
int blk_alive(struct source *source);

#endif
