// SPDX-License-Identifier: MIT
/* A mailbox's descriptors, its memory, and its end. */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/no_cancel.h"
#include "base/options.h"
#include "base/reader.h"
#include "base/vm.h"

/* vmirq_mailbox_config as it was in the first release. */
#define CONFIG_LEAST sizeof(struct vmirq_mailbox_config)

/* Linux 6.3; an older kernel says EINVAL, and where it is needed it is known. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

static int create_memfd(uint32_t bytes, int *out)
{
	int fd = memfd_create("vmirq-mailbox", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	int error;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("vmirq-mailbox", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	/* A device that could truncate it could kill us: a load past the end is SIGBUS. */
	if (ftruncate(fd, bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		error = -errno;
		no_cancel_close(fd);
		return error;
	}
	*out = fd;
	return 0;
}

static int map_page(struct vmirq_mailbox *mailbox)
{
	struct vmirq_mailbox_page *page;
	int error;

	mailbox->bytes = vmirq_mailbox_bytes(mailbox->count);
	error = create_memfd(mailbox->bytes, &mailbox->memfd);
	if (error)
		return error;
	page = mmap(NULL, mailbox->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mailbox->memfd, 0);
	if (page == MAP_FAILED)
		return -errno;
	page->magic = VMIRQ_MAILBOX_MAGIC;
	page->version = VMIRQ_MAILBOX_VERSION;
	page->bytes = mailbox->bytes;
	page->count = mailbox->count;
	mailbox->page = page;
	return 0;
}

static int add_to_pump(struct vmirq_mailbox *mailbox)
{
	int error;

	if (mailbox->rate.rate && !mailbox->vm->own_clock) {
		error = vmirq_timer_create(&mailbox->timer, mailbox->pump, vmirq_mailbox_expired,
					   mailbox);
		if (error)
			return error;
	}
	mailbox->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mailbox->doorbell < 0)
		return -errno;
	return vmirq_pump_add(mailbox->pump, mailbox->doorbell, vmirq_mailbox_rung, mailbox,
			      &mailbox->entry);
}

/* Nobody looks any more, and nothing is bound. */
static void free_mailbox(struct vmirq_mailbox *mailbox)
{
	vmirq_timer_destroy(&mailbox->timer); /* where create failed after it */
	if (mailbox->doorbell >= 0)
		no_cancel_close(mailbox->doorbell);
	if (mailbox->page)
		munmap(mailbox->page, mailbox->bytes);
	if (mailbox->memfd >= 0)
		no_cancel_close(mailbox->memfd);
	pthread_mutex_destroy(&mailbox->mutex);
	pthread_mutex_destroy(&mailbox->config_mutex);
	free(mailbox->kept);
	free(mailbox->bit);
	free(mailbox);
}

static struct vmirq_mailbox *allocate(struct vmirq_vm *vm,
				      const struct vmirq_mailbox_config *config)
{
	struct vmirq_mailbox *mailbox = calloc(1, sizeof(*mailbox));

	if (!mailbox)
		return NULL;
	mailbox->vm = vm;
	mailbox->pump = config->pump ? config->pump : vm->pump;
	mailbox->count = config->count;
	mailbox->words = BITS_WORDS(config->count);
	mailbox->memfd = -1;
	mailbox->doorbell = -1;
	mailbox->peer = -1;
	pthread_mutex_init(&mailbox->mutex, NULL);
	pthread_mutex_init(&mailbox->config_mutex, NULL);
	rate_init(&mailbox->rate, config->rate, config->burst ? config->burst : config->count,
		  vm->clock.now(vm->clock.opaque));
	mailbox->kept = calloc(mailbox->words, sizeof(*mailbox->kept));
	mailbox->bit = calloc((size_t)mailbox->words * 64, sizeof(*mailbox->bit));
	if (!mailbox->kept || !mailbox->bit) {
		free_mailbox(mailbox);
		return NULL;
	}
	return mailbox;
}

int vmirq_mailbox_create(struct vmirq_vm *vm, const struct vmirq_mailbox_config *caller,
			 struct vmirq_mailbox **out)
{
	struct vmirq_mailbox_config config;
	struct vmirq_mailbox *mailbox;
	int error;

	if (!vm || !caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (error)
		return error;
	if (!config.count || config.count > VMIRQ_MAILBOX_MAX || config.flags ||
	    (config.burst && !config.rate))
		return -EINVAL;
	mailbox = allocate(vm, &config);
	if (!mailbox)
		return -ENOMEM;
	error = map_page(mailbox);
	if (!error)
		error = add_to_pump(mailbox);
	if (error) {
		free_mailbox(mailbox);
	} else {
		vm_device_made(vm);
		*out = mailbox;
	}
	return error;
}

int vmirq_mailbox_destroy(struct vmirq_mailbox *mailbox)
{
	struct vmirq_vm *vm;

	if (!mailbox)
		return 0;
	if (reader_inside())
		return -EDEADLK;
	vm = mailbox->vm;
	vmirq_mailbox_unwatch(mailbox);
	vmirq_mailbox_look(mailbox);
	/* From now on neither the doorbell's callback sets the timer, nor the timer's the doorbell. */
	pthread_mutex_lock(&mailbox->mutex);
	mailbox->closing = true;
	pthread_mutex_unlock(&mailbox->mutex);
	vmirq_timer_destroy(&mailbox->timer);
	vmirq_pump_remove(mailbox->pump, mailbox->entry);
	vmirq_mailbox_unbind_all(mailbox);
	free_mailbox(mailbox);
	vm_device_gone(vm);
	return 0;
}

int vmirq_mailbox_memfd(const struct vmirq_mailbox *mailbox)
{
	return mailbox ? mailbox->memfd : -EINVAL;
}

int vmirq_mailbox_doorbell(const struct vmirq_mailbox *mailbox)
{
	return mailbox ? mailbox->doorbell : -EINVAL;
}

int vmirq_mailbox_counts(const struct vmirq_mailbox *mailbox, struct vmirq_mailbox_counts *out)
{
	if (!mailbox || !out || out->size < sizeof(*out))
		return -EINVAL;
	/* What is longer than ours stays as it is. */
	out->raised = atomic_load_explicit(&mailbox->raised, memory_order_relaxed);
	out->signalled = atomic_load_explicit(&mailbox->signalled, memory_order_relaxed);
	out->coalesced = atomic_load_explicit(&mailbox->coalesced, memory_order_relaxed);
	out->dropped = atomic_load_explicit(&mailbox->dropped, memory_order_relaxed);
	out->doorbells = atomic_load_explicit(&mailbox->doorbells, memory_order_relaxed);
	out->throttles = atomic_load_explicit(&mailbox->throttles, memory_order_relaxed);
	out->throttled = atomic_load_explicit(&mailbox->throttled, memory_order_relaxed);
	out->dead = atomic_load_explicit(&mailbox->dead, memory_order_relaxed);
	out->held = 0;
	for (uint32_t w = 0; w < mailbox->words; w++)
		out->held +=
			popcount64(atomic_load_explicit(&mailbox->kept[w], memory_order_relaxed));
	return 0;
}

void vmirq_mailbox_reset(struct vmirq_mailbox *mailbox)
{
	if (!mailbox)
		return;
	for (uint32_t w = 0; w < mailbox->words; w++)
		vmirq_mailbox_drop(mailbox, w);
}
