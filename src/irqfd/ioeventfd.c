/* SPDX-License-Identifier: MIT */
/* KVM_IOEVENTFD: what it says, and whose it is. */
#include "irqfd/ioeventfd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/options.h"
#include "base/reader.h"
#include "base/vm.h"
#include "irqfd/eventfd.h"

/* vmirq_ioeventfd_config as it was in the first release. */
#define CONFIG_LEAST sizeof(struct vmirq_ioeventfd_config)

static bool has(const struct kvm_ioeventfd *args, uint32_t flag)
{
	return args->flags & flag;
}

static bool is_length(uint32_t len)
{
	return len == 0 || len == 1 || len == 2 || len == 4 || len == 8;
}

/* Of what is to be assigned; deassign only compares. */
static bool is_valid(const struct kvm_ioeventfd *args)
{
	return is_length(args->len) && args->addr + args->len >= args->addr &&
	       !(args->flags & ~(uint32_t)KVM_IOEVENTFD_VALID_FLAG_MASK) &&
	       (args->len || !has(args, KVM_IOEVENTFD_FLAG_DATAMATCH));
}

static enum doorbell_bus bus_of(const struct kvm_ioeventfd *args)
{
	if (has(args, KVM_IOEVENTFD_FLAG_PIO))
		return BUS_PIO;
	return has(args, KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY) ? BUS_CCW : BUS_MMIO;
}

static struct doorbell doorbell_of(const struct kvm_ioeventfd *args)
{
	bool any_data = !has(args, KVM_IOEVENTFD_FLAG_DATAMATCH);

	return (struct doorbell){
		.key = { .addr = args->addr,
			 .data = any_data ? 0 : args->datamatch,
			 .len = args->len,
			 .any_data = any_data },
		.bus = bus_of(args),
		.fd = -1,
		.args = *args,
	};
}

static int assign(struct ioeventfd_table *table, const struct vmirq_ioeventfd_config *config)
{
	struct doorbell *bell = malloc(sizeof(*bell));
	int error;

	if (!bell)
		return -ENOMEM;
	*bell = doorbell_of(&config->kernel);
	if (table->kernel >= 0)
		error = vmirq_ioeventfd_assign_kernel(table, bell);
	else if (!is_valid(&config->kernel))
		error = -EINVAL;
	else
		error = vmirq_ioeventfd_assign_soft(table, bell, config);
	if (error)
		free(bell);
	return error;
}

static int deassign(struct ioeventfd_table *table, const struct vmirq_ioeventfd_config *config)
{
	struct doorbell like = doorbell_of(&config->kernel);

	return table->kernel >= 0 ? vmirq_ioeventfd_deassign_kernel(table, &like)
				  : vmirq_ioeventfd_deassign_soft(table, &like, config);
}

static int act(struct vmirq_vm *vm, const struct vmirq_ioeventfd_config *config)
{
	if (reader_inside())
		return -EDEADLK;
	return has(&config->kernel, KVM_IOEVENTFD_FLAG_DEASSIGN) ? deassign(vm->ioeventfds, config)
								 : assign(vm->ioeventfds, config);
}

int vmirq_ioeventfd(struct vmirq_vm *vm, const struct kvm_ioeventfd *args)
{
	struct vmirq_ioeventfd_config config = { .size = sizeof(config) };

	if (!vm || !args)
		return -EINVAL;
	config.kernel = *args;
	return act(vm, &config);
}

int vmirq_ioeventfd_config(struct vmirq_vm *vm, const struct vmirq_ioeventfd_config *caller)
{
	struct vmirq_ioeventfd_config config;
	int error;

	if (!vm || !caller)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (error)
		return error;
	if ((config.flags & ~VMIRQ_IOEVENTFD_TRUSTED) || config.reserved ||
	    (config.token & KERNELS_TOKEN))
		return -EINVAL;
	return act(vm, &config);
}

int vmirq_ioeventfd_table_create(int kvm_fd, struct fd_guard *guard, struct ioeventfd_table **out)
{
	struct ioeventfd_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	pthread_mutex_init(&table->mutex, NULL);
	table->guard = guard;
	table->kernel = -1;
	if (kvm_fd >= 0 && ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD) > 0)
		table->kernel = kvm_fd;
	*out = table;
	return 0;
}

void vmirq_ioeventfd_table_destroy(struct ioeventfd_table *table)
{
	if (!table)
		return;
	for (int bus = 0; bus < DOORBELL_BUSES; bus++) {
		struct doorbell_array *array =
			atomic_load_explicit(&table->array[bus], memory_order_relaxed);

		for (size_t i = 0; array && i < array->n; i++)
			if (table->kernel >= 0)
				vmirq_doorbell_free_kernel(table, array->at[i].bell);
			else
				vmirq_doorbell_free_soft(array->at[i].bell);
		free(array);
	}
	pthread_mutex_destroy(&table->mutex);
	free(table);
}
