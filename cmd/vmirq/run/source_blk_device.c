// SPDX-License-Identifier: MIT
/* A qemu-storage-daemon with an image, and its device, from the start to the end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"
#include "source_blk.h"
#include "storage_daemon.h"
#include "vhost_user_blk.h"
#include "vmm.h"

#define CONNECT_MS 10000
#define MESSAGE_MS 5000

enum exit_code blk_check_daemon(char *why, size_t size)
{
	if (!storage_daemon_available())
		return EXIT_OK;
	snprintf(why, size,
		 "qemu-storage-daemon is not installed (Debian: package qemu-system-common)");
	return EXIT_LACKING;
}

/* Why the device does not go on. */
int blk_fail(struct source *source, int error, const char *what)
{
	struct blk *blk = source->private;
	char words[300];

	/* The socket closes a moment before the process can be waited for. */
	for (int i = 0; i < 100 && error == -ECONNRESET && !storage_daemon_alive(blk->daemon); i++)
		usleep(1000);
	storage_daemon_last_words(blk->daemon, words, sizeof(words));
	return source_fail_device(source, error, what, words);
}

static int start_device(struct source *source, const char *image, int (*kick)(void *opaque))
{
	struct blk *blk = source->private;
	struct vmm *vmm = source->run->vmm;
	struct vhost_user_blk_config config = {
		.timeout_ms = MESSAGE_MS,
		.memory_fd = vmm_memory_fd(vmm),
		.memory = vmm_memory(vmm, 0, vmm_memory_size(vmm)),
		.memory_size = vmm_memory_size(vmm),
		.gpa = source->run->next_device_memory,
		.requests = BLK_REQUESTS,
		.sectors = blk->image.sectors >= 8 ? 8 : 1,
		.kick = kick,
		.opaque = source,
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

int blk_open_device(struct source *source, blk_word_fn *word, int (*kick)(void *opaque))
{
	struct blk *blk = calloc(1, sizeof(*blk));
	int ret;

	if (!blk)
		return source_fail(source, -ENOMEM, "no memory");
	source->private = blk;
	ret = source->arg && !kick ? blk_image_open(&blk->image, source->arg)
				   : blk_image_make(&blk->image, word);
	if (ret) {
		blk->image.fd = -1;
		return source_fail(source, ret, "disk image: %s", strerror(-ret));
	}
	ret = start_device(source, blk->image.path, kick);
	/* The daemon has it open by now; so nothing is left behind however we end. */
	blk_image_unlink(&blk->image);
	return ret ? ret : lane_bind(source, &source->lane[0], vhost_user_blk_call_fd(blk->device));
}

void blk_close(struct source *source)
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
