/* SPDX-License-Identifier: MIT */
#include "msix/msix.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/no_cancel.h"
#include "base/options.h"
#include "base/reader.h"
#include "base/vm.h"
#include "irqfd/bypass.h"

#include <vmirq/irqfd.h>

/* vmirq_msix_config as it was in the first release. */
#define CONFIG_LEAST sizeof(struct vmirq_msix_config)

#define MSI_FLAGS    (VMIRQ_MSIX_MSI | VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE)
#define ALL_FLAGS    (MSI_FLAGS | VMIRQ_MSIX_NO_BYPASS)

static bool config_valid(const struct vmirq_msix_config *config)
{
	uint32_t n = config->vectors;

	if (config->flags & ~ALL_FLAGS || !n)
		return false;
	if (config->flags & VMIRQ_MSIX_MSI)
		return n <= VMIRQ_MSI_MAX_VECTORS && !(n & (n - 1));
	return !(config->flags & MSI_FLAGS) && n <= VMIRQ_MSIX_MAX_VECTORS;
}

/* One that knows its owner: -EDEADLK. */
static void init_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t how;

	pthread_mutexattr_init(&how);
	pthread_mutexattr_settype(&how, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(mutex, &how);
	pthread_mutexattr_destroy(&how);
}

static void free_msix(struct vmirq_msix *msix)
{
	for (uint32_t v = 0; v < msix->n; v++)
		vmirq_irqfd_deassign_own(msix->vector[v].irqfd);
	vmirq_msix_free_gsis(msix);
	pthread_mutex_destroy(&msix->mutex);
	free(msix->changes);
	free(msix);
}

/* What an access of a guest's wants is made here. */
static int create_vectors(struct vmirq_msix *msix)
{
	uint32_t n = msix->config.vectors;
	int error = 0;

	msix->changes = calloc(n, sizeof(*msix->changes));
	if (!msix->changes)
		return -ENOMEM;
	while (msix->n < n && !error) {
		struct msix_vector *v = &msix->vector[msix->n];

		v->masked = true;
		error = vmirq_irqfd_assign_masked(msix->vm, &v->irqfd);
		if (!error)
			msix->n++;
	}
	return error;
}

int vmirq_msix_create(struct vmirq_vm *vm, const struct vmirq_msix_config *caller,
		      struct vmirq_msix **out)
{
	struct vmirq_msix_config config;
	struct vmirq_msix *msix;
	int error;

	if (!vm || !caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (error)
		return error;
	if (!config_valid(&config))
		return -EINVAL;
	if (reader_inside())
		return -EDEADLK;
	msix = calloc(1, sizeof(*msix) + config.vectors * sizeof(msix->vector[0]));
	if (!msix)
		return -ENOMEM;
	msix->vm = vm;
	msix->config = config;
	init_mutex(&msix->mutex);
	atomic_store_explicit(&msix->allocated, config.flags & VMIRQ_MSIX_MSI ? 1 : config.vectors,
			      memory_order_relaxed);
	error = create_vectors(msix);
	if (error) {
		free_msix(msix);
	} else {
		vm_device_made(vm);
		*out = msix;
	}
	return error;
}

/* Is the thread in a callback of a pair of its vectors'? */
static bool in_callback(const struct vmirq_msix *msix)
{
	for (uint32_t v = 0; v < msix->n; v++)
		if (vmirq_irqfd_in_callback(msix->vector[v].irqfd))
			return true;
	return false;
}

int vmirq_msix_destroy(struct vmirq_msix *msix)
{
	struct vmirq_vm *vm;

	if (!msix)
		return 0;
	if (reader_inside() || in_callback(msix))
		return -EDEADLK;
	vm = msix->vm;
	free_msix(msix);
	vm_device_gone(vm);
	return 0;
}

int vmirq_msix_lock(struct vmirq_msix *msix)
{
	if (!msix)
		return -EINVAL;
	if (reader_inside())
		return -EDEADLK;
	/* The thread has it where a bypass producer's callback, under vmirq_msix_set_eventfd(), calls us. */
	return -pthread_mutex_lock(&msix->mutex);
}

int vmirq_msix_begin(struct vmirq_msix *msix)
{
	int error = vmirq_msix_lock(msix);

	if (!error && msix->telling && pthread_equal(msix->teller, pthread_self())) {
		pthread_mutex_unlock(&msix->mutex);
		error = -EDEADLK;
	}
	return error;
}

/* One thread at a time, so that the last call says what is; each tells of its own vectors only, so that one
 * guest's CPU does not work for another. */
static void tell(struct vmirq_msix *msix, uint32_t first, uint32_t n)
{
	while (msix->telling)
		vmirq_wait_mutex(&msix->tellers, &msix->mutex);
	for (uint32_t i = first; i < first + n; i++) {
		struct msix_vector *v = &msix->vector[i];
		bool open = v->open;

		if (v->told == open)
			continue;
		v->told = open;
		msix->telling = true;
		msix->teller = pthread_self();
		pthread_mutex_unlock(&msix->mutex);
		msix->config.masked(msix->config.opaque, i, !open);
		pthread_mutex_lock(&msix->mutex);
	}
	msix->telling = false;
	waiters_wake(&msix->tellers);
}

int vmirq_msix_end(struct vmirq_msix *msix, uint32_t first, uint32_t n, int error)
{
	if (n && msix->config.masked)
		tell(msix, first, n);
	pthread_mutex_unlock(&msix->mutex);
	return error;
}

enum vmirq_verdict vmirq_msix_trigger(struct vmirq_msix *msix, uint32_t vector)
{
	if (!msix || vector >= msix->n)
		return VMIRQ_NO_ROUTE;
	return vmirq_irqfd_signal(msix->vector[vector].irqfd);
}

struct vmirq_irqfd *vmirq_msix_irqfd(struct vmirq_msix *msix, uint32_t vector)
{
	return msix && vector < msix->n ? msix->vector[vector].irqfd : NULL;
}

uint32_t vmirq_msix_allocated(struct vmirq_msix *msix)
{
	return msix ? atomic_load_explicit(&msix->allocated, memory_order_relaxed) : 0;
}

int vmirq_msix_set_eventfd(struct vmirq_msix *msix, uint32_t vector, int fd, uint64_t token)
{
	uint64_t kernels;
	int error;

	if (!msix || vector >= msix->n || token & UINT64_C(1) << 63)
		return -EINVAL;
	if (fd < -1)
		return -EBADF;
	/* With a token of the caller's nobody else asks before the old one is gone. */
	error = fd >= 0 && token ? vmirq_eventfd_token(fd, &kernels) : 0;
	if (error && error != -ENOSYS)
		return error;
	error = vmirq_msix_lock(msix);
	if (error)
		return error;
	error = vmirq_irqfd_set_eventfd(msix->vector[vector].irqfd, msix->config.pump, fd, token,
					!(msix->config.flags & VMIRQ_MSIX_NO_BYPASS));
	pthread_mutex_unlock(&msix->mutex);
	return error;
}

int vmirq_msix_lend_eventfd(struct vmirq_msix *msix, uint32_t vector)
{
	int fd, error;

	if (!msix || vector >= msix->n)
		return -EINVAL;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	error = vmirq_msix_set_eventfd(msix, vector, fd, 0);
	if (error)
		no_cancel_close(fd);
	return error ? error : fd;
}

int vmirq_msix_pending(struct vmirq_msix *msix, uint32_t vector)
{
	int result;

	if (!msix || vector >= msix->n)
		return -EINVAL;
	result = vmirq_msix_lock(msix);
	if (result)
		return result;
	vmirq_msix_drain(msix, vector, 1);
	result = irqfd_pending(msix->vector[vector].irqfd);
	pthread_mutex_unlock(&msix->mutex);
	return result;
}

int vmirq_msix_gsi(struct vmirq_msix *msix, uint32_t vector, uint32_t *gsi)
{
	int error;

	if (!msix || vector >= msix->n || !gsi)
		return -EINVAL;
	error = vmirq_msix_lock(msix);
	if (error)
		return error;
	if (msix->vector[vector].slot)
		*gsi = msix->vector[vector].slot->gsi;
	else
		error = -ENOENT;
	pthread_mutex_unlock(&msix->mutex);
	return error;
}
