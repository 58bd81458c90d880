// SPDX-License-Identifier: MIT
/*
 * A disk served by a real qemu-storage-daemon. Works as a driver does: it looks for completions only
 * after the guest's handler has run, so an interrupt that is lost is missed.
 */
#include "source_blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"
#include "storage_daemon.h"
#include "vhost_user_blk.h"
#include "vmm.h"

/* A request costs the daemon some tens of microseconds: a million would take a minute. */
#define COUNT_MAX 20000
/* Outstanding at once when not paced. */
#define REQUESTS   16
#define CONNECT_MS 10000
#define MESSAGE_MS 5000

struct blk {
	struct blk_image image;
	struct storage_daemon *daemon;
	struct vhost_user_blk *device;
	/* How often the handler had run when completions were last looked for. */
	uint64_t seen;
	uint64_t next;
};

static enum exit_code blk_check(const char *arg, char *why, size_t size)
{
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
	if (storage_daemon_available()) {
		snprintf(why, size,
			 "qemu-storage-daemon is not installed "
			 "(Debian: package qemu-system-common)");
		return EXIT_LACKING;
	}
	return EXIT_OK;
}

/* Why the device does not go on; prefers what the daemon said when it died. */
static int blk_fail(struct source *source, int error, const char *what)
{
	struct blk *blk = source->private;
	char words[300];

	/* The socket closes a moment before the process can be waited for. */
	for (int i = 0; i < 100 && error == -ECONNRESET && !storage_daemon_alive(blk->daemon); i++)
		usleep(1000);
	storage_daemon_last_words(blk->daemon, words, sizeof(words));
	if (words[0])
		return source_fail(source, error, "%s: %s", what, words);
	return source_fail(source, error, "%s: %s", what, strerror(-error));
}

static int start_device(struct source *source, const char *image)
{
	struct blk *blk = source->private;
	struct vmm *vmm = source->run->vmm;
	struct vhost_user_blk_config config = {
		.timeout_ms = MESSAGE_MS,
		.memory_fd = vmm_memory_fd(vmm),
		.memory = vmm_memory(vmm, 0, vmm_memory_size(vmm)),
		.memory_size = vmm_memory_size(vmm),
		.gpa = source->run->next_device_memory,
		.requests = REQUESTS,
		.sectors = blk->image.sectors >= 8 ? 8 : 1,
	};
	int ret = storage_daemon_start(image, &blk->daemon);

	if (ret)
		return source_fail(source, ret, "qemu-storage-daemon: %s", strerror(-ret));
	ret = storage_daemon_connect(blk->daemon, CONNECT_MS);
	if (ret < 0)
		return blk_fail(source, ret, "starting");
	config.socket = ret;
	ret = vhost_user_blk_open(&config, &blk->device);
	if (ret)
		return blk_fail(source, ret, "setting the device up");
	if (vhost_user_blk_capacity(blk->device) != blk->image.sectors)
		return blk_fail(source, -EPROTO, "the device has another size than the image");
	source->run->next_device_memory +=
		(vhost_user_blk_bytes(config.requests, config.sectors) + 4095) & ~UINT64_C(4095);
	blk->image.request = config.sectors * VHOST_USER_BLK_SECTOR;
	return 0;
}

static int blk_open(struct source *source)
{
	struct blk *blk = calloc(1, sizeof(*blk));
	int ret;

	if (!blk)
		return source_fail(source, -ENOMEM, "no memory");
	source->private = blk;
	ret = source->arg ? blk_image_open(&blk->image, source->arg) : blk_image_make(&blk->image);
	if (ret) {
		blk->image.fd = -1;
		return source_fail(source, ret, "disk image: %s", strerror(-ret));
	}
	ret = start_device(source, blk->image.path);
	/* The daemon has it open by now; so nothing is left behind however we end. */
	blk_image_unlink(&blk->image);
	return ret ? ret : lane_bind(source, &source->lane[0], vhost_user_blk_call_fd(blk->device));
}

static void blk_close(struct source *source)
{
	struct blk *blk = source->private;

	lane_unbind(source, &source->lane[0]);
	if (!blk)
		return;
	vhost_user_blk_close(blk->device);
	storage_daemon_stop(blk->daemon);
	blk_image_unlink(&blk->image);
	blk_image_close(&blk->image);
	free(blk);
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

static int blk_handled(struct source *source)
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
	char where[300];
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
	lane_where(source, &source->lane[0], where, sizeof(where));
	ret = take_all(source);
	if (ret > 0)
		return source_fail(source, -ETIMEDOUT,
				   "%d requests are complete, but no handler has run "
				   "for 5 s: %s",
				   ret, where);
	return ret < 0 ? ret
		       : blk_fail(source, -ETIMEDOUT, "the device has answered nothing for 5 s");
}

static int blk_raise(struct source *source, struct lane *lane)
{
	struct blk *blk = source->private;
	uint64_t sector;
	int ret = wait_room(source, REQUESTS);

	(void)lane;
	if (ret)
		return ret;
	sector = blk_image_sector(&blk->image, blk->next++);
	ret = vhost_user_blk_submit(blk->device, sector);
	return ret ? blk_fail(source, ret, "submitting a request") : 0;
}

static int blk_alive(struct source *source)
{
	struct blk *blk = source->private;
	int ret = vhost_user_blk_alive(blk->device);

	if (!ret && storage_daemon_alive(blk->daemon))
		ret = -ECONNRESET;
	return ret ? blk_fail(source, ret, "the device is gone") : 0;
}

static int blk_finish(struct source *source)
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
	.count_max = COUNT_MAX,
	.lanes_max = 1,
	.requests = "requests, all data as in the image",
	.check = blk_check,
	.open = blk_open,
	.raise = blk_raise,
	.handled = blk_handled,
	.finish = blk_finish,
	.alive = blk_alive,
	.close = blk_close,
};
