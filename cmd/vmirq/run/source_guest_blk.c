// SPDX-License-Identifier: MIT
/*
 * A disk that the guest drives by itself, from the doorbell to the data: it submits a read, rings, takes
 * the interrupt, compares, and goes on. This process lends the memory, connects the other one that
 * serves the disk, binds the two eventfds, and watches.
 *
 * Where no code runs in the guest this process plays the driver, but rings the doorbell where a guest
 * would.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <vmirq/ioeventfd.h>
#include <vmirq/vm.h>

#include "guest_page.h"
#include "run.h"
#include "source_blk.h"
#include "storage_daemon.h"
#include "vhost_user_blk.h"
#include "vmm.h"

/* The guest needs some hundred instructions for a request, which /dev/kvm may have to emulate. */
#define COUNT_MAX 10000

static enum exit_code guest_check(const struct run_options *options, const char *arg, char *why,
				  size_t size)
{
	(void)options;
	if (arg && strcmp(arg, "mmio") != 0 && strcmp(arg, "pio") != 0) {
		snprintf(why, size, "'%s': must be mmio or pio", arg);
		return EXIT_USAGE;
	}
	return blk_check_daemon(why, size);
}

static bool rings_a_port(const struct source *source)
{
	return source->arg && strcmp(source->arg, "pio") == 0;
}

static int bind_doorbell(struct source *source, bool bind)
{
	struct blk *blk = source->private;
	const struct kvm_ioeventfd doorbell = {
		.addr = blk->doorbell,
		.len = GUEST_DOORBELL_SIZE,
		.fd = vhost_user_blk_kick_fd(blk->device),
		.flags = (rings_a_port(source) ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (bind ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};
	int ret = vmirq_ioeventfd(source->run->vm, &doorbell);

	return ret ? source_fail(source, ret, "the doorbell: %s", strerror(-ret)) : 0;
}

/* As a guest's write that has left the guest. */
static int ring(void *opaque)
{
	struct source *source = opaque;
	struct blk *blk = source->private;
	uint32_t queue = 0;

	if (rings_a_port(source))
		return vmirq_vm_pio(source->run->vm, (uint16_t)blk->doorbell, &queue, sizeof(queue),
				    true);
	return vmirq_vm_mmio(source->run->vm, blk->doorbell, &queue, sizeof(queue), true);
}

static uint64_t word(uint64_t sector, uint64_t n)
{
	(void)n;
	return guest_disk_word(sector);
}

static void describe(struct source *source, uint32_t n)
{
	const struct run *run = source->run;
	struct blk *blk = source->private;
	struct guest_disk *disk = &vmm_guest_page(run->vmm)->disk[n];
	struct vhost_user_blk_layout layout;

	vhost_user_blk_layout(blk->device, &layout);
	disk->cpu = source->lane[0].vcpu;
	disk->vector = source->lane[0].vector;
	disk->flags = rings_a_port(source) ? GUEST_DISK_PORT : 0;
	disk->window = run->options->paced ? 1 : GUEST_DISK_REQUESTS;
	disk->doorbell = blk->doorbell;
	disk->desc = layout.desc;
	disk->avail = layout.avail;
	disk->used = layout.used;
	disk->ring_size = layout.ring_size;
	disk->sectors = 1;
	disk->capacity = blk->image.sectors;
	disk->slots = layout.slots;
	disk->data = layout.data;
	atomic_store_explicit(&disk->count, source->count, memory_order_relaxed);
	blk->disk = disk;
	source->drives_itself = true;
}

static int guest_open(struct source *source)
{
	struct guest_page *page = vmm_guest_page(source->run->vmm);
	uint32_t n = source->run->next_disk++;
	struct blk *blk;
	int ret = blk_open_device(source, word, ring);

	if (ret)
		return ret;
	blk = source->private;
	blk->doorbell = (rings_a_port(source) ? GUEST_DOORBELL_PORT : GUEST_DOORBELL_GPA) +
			(uint64_t)n * GUEST_DOORBELL_SIZE;
	ret = bind_doorbell(source, true);
	blk->has_doorbell = !ret;
	if (!ret && vmm_runs_code(source->run->vmm)) {
		describe(source, n);
		/* release: pairs with the guest's acquire */
		atomic_store_explicit(&page->disks, n + 1, memory_order_release);
	}
	return ret;
}

static void guest_close(struct source *source)
{
	struct blk *blk = source->private;

	if (blk && blk->has_doorbell)
		bind_doorbell(source, false);
	blk_close(source);
}

static const char *disk_error(uint32_t error)
{
	static const char *const names[] = {
		[GUEST_DISK_RING] = "the used ring names what is not outstanding, at",
		[GUEST_DISK_STATUS] = "the device failed to read sector",
		[GUEST_DISK_LENGTH] = "the device has not filled the buffer of sector",
		[GUEST_DISK_DATA] = "the data read is not the image's, at sector",
	};

	return error < sizeof(names) / sizeof(names[0]) ? names[error] : "unknown error at";
}

static uint64_t completed(const struct blk *blk)
{
	/* acquire: pairs with the release in the guest */
	return atomic_load_explicit(&blk->disk->completed, memory_order_acquire);
}

static uint64_t submitted(const struct blk *blk)
{
	return atomic_load_explicit(&blk->disk->submitted, memory_order_relaxed);
}

static int guest_stuck(struct source *source)
{
	struct blk *blk = source->private;
	char where[360];

	/* One that waits in the vCPU's IRR is not lost. */
	blk->stuck = run_hides_vectors(source->run) ||
		     !lane_may_be_pending(source, &source->lane[0]);
	watch_words(source, &source->lane[0], where, sizeof(where));
	return source_fail(source, -ETIMEDOUT,
			   "the guest has completed nothing for 5 s, %llu of %llu submitted: %s",
			   (unsigned long long)completed(blk), (unsigned long long)submitted(blk),
			   where);
}

static int guest_error(struct source *source)
{
	struct blk *blk = source->private;
	/* acquire: pairs with the release in the guest */
	uint32_t error = atomic_load_explicit(&blk->disk->error, memory_order_acquire);

	if (!error)
		return 0;
	return source_fail(source, -EIO, "the guest says: %s %llu", disk_error(error),
			   (unsigned long long)atomic_load_explicit(&blk->disk->bad_sector,
								    memory_order_relaxed));
}

/* Wait until the guest has completed more than `before`. */
static int wait_completed(struct source *source, uint64_t before, bool also_if_stopping)
{
	struct blk *blk = source->private;
	struct backoff b = { 0 };
	uint64_t look = 0;

	source->watch.began = 0;
	while (completed(blk) == before) {
		uint64_t now;
		int ret = guest_error(source);

		if (ret || !backoff(&b)) {
			if (ret)
				return ret;
			continue;
		}
		if (run_stops(source->run) && !also_if_stopping)
			return -ECANCELED;
		if (watch_expired(source, &source->lane[0], LOST_NS))
			return guest_stuck(source);
		now = now_ns();
		if (now < look)
			continue;
		ret = blk_alive(source);
		if (ret)
			return ret;
		look = now + 10000000;
	}
	return 0;
}

static int guest_raise(struct source *source, struct lane *lane)
{
	struct guest_page *page = vmm_guest_page(source->run->vmm);
	struct blk *blk = source->private;

	if (!blk->disk)
		return blk_raise(source, lane);
	if (!submitted(blk)) {
		atomic_store_explicit(&page->has_disk[lane->vcpu], 1, memory_order_relaxed);
		/* Its first interrupt, by us. */
		vmirq_irqfd_signal(lane->irqfd);
	}
	return wait_completed(source, atomic_load_explicit(&source->raised, memory_order_relaxed),
			      false);
}

static uint64_t guest_raised(struct source *source)
{
	struct blk *blk = source->private;

	return blk->disk ? completed(blk)
			 : atomic_load_explicit(&source->raised, memory_order_relaxed) + 1;
}

/* Until the guest has nothing outstanding, and seems to begin nothing. */
static int wait_idle(struct source *source)
{
	struct blk *blk = source->private;
	uint64_t n;

	do {
		while ((n = completed(blk)) < submitted(blk)) {
			int ret = wait_completed(source, n, true);

			if (ret)
				return ret;
		}
		usleep(5000);
	} while (completed(blk) < submitted(blk));
	return 0;
}

static int guest_finish(struct source *source)
{
	struct blk *blk = source->private;
	int ret = 0;

	if (!blk->disk)
		return blk_finish(source);
	/* A run that ends early: no more from here on. */
	atomic_store_explicit(&blk->disk->count, 0, memory_order_relaxed);
	if (!source->error[0])
		ret = wait_idle(source);
	atomic_store_explicit(&source->requests, completed(blk), memory_order_relaxed);
	if (!source->error[0]) {
		ret = vhost_user_blk_stop(blk->device);
		if (ret)
			blk_fail(source, ret, "stopping the device");
	}
	/* One that has gone wrong may still signal, while the account is being taken. */
	if (source->error[0])
		storage_daemon_kill(blk->daemon);
	return ret;
}

/* A request that is answered and not taken waits for an interrupt. */
static uint64_t guest_missing(struct source *source)
{
	struct blk *blk = source->private;

	/* But a daemon that is gone answers nothing. */
	if (!blk->disk || (source->error[0] && !blk->stuck))
		return 0;
	return submitted(blk) - completed(blk);
}

const struct source_kind source_guest_blk = {
	.name = "guest-blk",
	.path = "vhost-user -> pump -> post",
	.arg = "mmio|pio",
	.what = "a disk served by qemu-storage-daemon that the guest drives by itself, from its\n"
		"                           doorbell (an ioeventfd) to the data; N are its requests",
	.unit = RUN_REQUESTS,
	.waits = true,
	.count_max = COUNT_MAX,
	.lanes_max = 1,
	.requests = "requests, all data as on the disk",
	.joins = "the device signals once for several that are complete",
	.check = guest_check,
	.open = guest_open,
	.raise = guest_raise,
	.churn = lanes_churn,
	.handled = blk_handled,
	.raised = guest_raised,
	.finish = guest_finish,
	.missing = guest_missing,
	.alive = blk_alive,
	.close = guest_close,
};
