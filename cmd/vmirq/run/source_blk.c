// SPDX-License-Identifier: MIT
/*
 * A disk served by a real qemu-storage-daemon. Works as a driver does: it looks for completions only
 * after the guest's handler has run, so an interrupt that is lost is missed.
 */
#include "source_blk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "run.h"
#include "storage_daemon.h"
#include "vhost_user_blk.h"

/* A request costs the daemon some tens of microseconds: a million would take a minute. */
#define COUNT_MAX 20000
static enum exit_code blk_check(const struct run_options *options, const char *arg, char *why,
				size_t size)
{
	(void)options;
	if (arg) {
		struct blk_image image;
		int ret = blk_image_open(&image, arg);

		if (ret) {
			snprintf(why, size, "%s: %s", arg,
				 ret == -ENODATA ? "not even a sector long" : strerror(-ret));
			return EXIT_USAGE;
		}
		blk_image_close(&image);
	}
	return blk_check_daemon(why, size);
}

static int blk_open(struct source *source)
{
	return blk_open_device(source, blk_pattern, NULL);
}

/* Take and check what is complete. Returns how many. */
static int take_all(struct source *source)
{
	struct blk *blk = source->private;
	struct vhost_user_blk_done done;
	int ret, n = 0;

	while ((ret = vhost_user_blk_take(blk->device, &done)) == 1) {
		if (!blk_image_matches(&blk->image, &done)) {
			return source_fail(source, -EBADMSG,
					   "the data read at sector %llu is not the image's",
					   (unsigned long long)done.sector);
		}
		atomic_fetch_add_explicit(&source->requests, 1, memory_order_relaxed);
		n++;
	}
	return ret < 0 ? blk_fail(source, ret, "reading the disk") : n;
}

int blk_handled(struct source *source)
{
	struct blk *blk = source->private;
	int ret;

	blk->seen = lane_handled(source, &source->lane[0]);
	ret = take_all(source);
	return ret < 0 ? ret : vhost_user_blk_outstanding(blk->device) == 0;
}

/* Until fewer than `limit` are outstanding. */
static int wait_room(struct source *source, uint32_t limit)
{
	struct blk *blk = source->private;
	char where[360];
	int ret = 0;

	while (ret >= 0 && vhost_user_blk_outstanding(blk->device) >= limit) {
		ret = wait_handled(source, &source->lane[0], blk->seen, LOST_NS);
		if (ret == -ETIMEDOUT)
			break;
		if (!ret)
			ret = blk_handled(source);
	}
	if (ret != -ETIMEDOUT)
		return ret < 0 ? ret : 0;
	watch_words(source, &source->lane[0], where, sizeof(where));
	ret = take_all(source);
	if (ret > 0)
		return source_fail(source, -ETIMEDOUT,
				   "%d requests are complete, but no handler has run "
				   "for 5 s: %s",
				   ret, where);
	return ret < 0 ? ret
		       : blk_fail(source, -ETIMEDOUT, "the device has answered nothing for 5 s");
}

int blk_raise(struct source *source, struct lane *lane)
{
	struct blk *blk = source->private;
	uint64_t sector;
	int ret = wait_room(source, BLK_REQUESTS);

	(void)lane;
	if (ret)
		return ret;
	sector = blk_image_sector(&blk->image, blk->next++);
	ret = vhost_user_blk_submit(blk->device, sector);
	return ret ? blk_fail(source, ret, "submitting a request") : 0;
}

int blk_alive(struct source *source)
{
	struct blk *blk = source->private;
	int ret = vhost_user_blk_alive(blk->device);

	if (!ret && storage_daemon_alive(blk->daemon))
		ret = -ECONNRESET;
	return ret ? blk_fail(source, ret, "the device is gone") : 0;
}

int blk_finish(struct source *source)
{
	struct blk *blk = source->private;
	int stopped, ret = 0;

	if (!source->error[0])
		ret = wait_room(source, 1);
	/* When the run is being stopped, what is outstanding is let be. */
	if (!source->error[0]) {
		stopped = vhost_user_blk_stop(blk->device);
		if (stopped)
			ret = blk_fail(source, stopped, "stopping the device");
	}
	/* One that has gone wrong may still signal, while the account is being taken. */
	if (source->error[0])
		storage_daemon_kill(blk->daemon);
	return ret;
}

const struct source_kind source_vhost_user_blk = {
	.name = "vhost-user-blk",
	.path = "vhost-user -> pump -> post",
	.arg = "IMAGE",
	.what = "a disk image served by a real qemu-storage-daemon, its reads compared",
	.unit = RUN_REQUESTS,
	.waits = true,
	.count_max = COUNT_MAX,
	.lanes_max = 1,
	.requests = "requests, all data as in the image",
	.joins = "the device signals once for several that are complete",
	.check = blk_check,
	.open = blk_open,
	.raise = blk_raise,
	.churn = lanes_churn,
	.handled = blk_handled,
	.finish = blk_finish,
	.alive = blk_alive,
	.close = blk_close,
};
