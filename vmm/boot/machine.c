// SPDX-License-Identifier: MIT
/* Putting the machine together, running it, taking it apart. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <vmirq/kvm_run.h>
#include <vmirq/vcpu.h>

#include "boot_internal.h"
#include "pc/pc.h"

/* Where Intel's processors without unrestricted guest keep three pages of KVM's own (KVM API 4.35);
 * above all that multiboot calls memory, clear of the APICs and of pc-testdev. */
#define KVM_TSS_ADDRESS 0xfffbd000ul

static void on_kick(int signal)
{
	(void)signal;
}

void boot_end_with(struct boot *boot, enum boot_end end, int status, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&boot->end_lock);
	if (!boot->ended) {
		boot->ended = true;
		boot->end = end;
		boot->status = status;
		va_start(args, format);
		vsnprintf(boot->why, sizeof(boot->why), format, args);
		va_end(args);
		pthread_cond_signal(&boot->ended_cond);
	}
	pthread_mutex_unlock(&boot->end_lock);
}

static void testdev_line(void *opaque, uint32_t gsi, bool level)
{
	struct boot *boot = opaque;

	boot_line(boot, 0, gsi, level);
}

static void serial_line(void *opaque, uint32_t gsi, bool level)
{
	struct boot *boot = opaque;

	boot_line(boot, 1, gsi, level);
}

static void debug_exit(void *opaque, int status)
{
	boot_end_with(opaque, BOOT_EXITED, status, "the guest asked for it");
}

static int open_kvm(struct boot *boot, const char **why)
{
	boot->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (boot->kvm_fd < 0) {
		*why = "/dev/kvm cannot be opened";
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			return -errno;
		*why = errno == EACCES || errno == EPERM ? "no permission to use /dev/kvm"
							 : "this machine has no /dev/kvm";
		return -ENODEV;
	}
	*why = "this machine's /dev/kvm is too old";
	if (ioctl(boot->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION ||
	    ioctl(boot->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0)
		return -ENODEV;
	boot->run_size = ioctl(boot->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	return boot->run_size < 0 ? -errno : 0;
}

static int open_vm(struct boot *boot, const char **why)
{
	const struct kvm_userspace_memory_region region = {
		.memory_size = boot->memory.size,
		.userspace_addr = (uintptr_t)boot->memory.base,
	};

	*why = "KVM_CREATE_VM failed";
	boot->vm_fd = ioctl(boot->kvm_fd, KVM_CREATE_VM, 0);
	if (boot->vm_fd < 0)
		return -errno;
	*why = "KVM refused the guest's memory";
	if (ioctl(boot->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 &&
	    ioctl(boot->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDRESS) < 0)
		return -errno;
	return ioctl(boot->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int open_vcpu(struct boot_vcpu *v, const char **why)
{
	void *run;
	int error;

	*why = "KVM_CREATE_VCPU failed";
	v->fd = ioctl(v->boot->vm_fd, KVM_CREATE_VCPU, (unsigned long)v->index);
	if (v->fd < 0)
		return -errno;
	run = mmap(NULL, (size_t)v->boot->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	v->run = run;
	*why = "KVM refused the CPUID";
	error = boot_set_cpuid(v);
	if (error)
		return error;
	*why = "KVM refused the registers";
	error = v->index == 0 ? boot_set_entry(v) : 0;
	if (error)
		return error;
	*why = "the vCPU cannot be made";
	return boot_chips_vcpu_open(v);
}

static int open_devices(struct boot *boot, const char **why)
{
	const struct pc_config config = {
		.memory = boot->config.memory,
		.vcpus = boot->config.vcpus,
		.output = boot->config.output,
		.opaque = boot,
		.set_gsi = testdev_line,
		.serial_line = serial_line,
		.exit = debug_exit,
	};

	*why = "out of memory";
	return pc_create(&config, &boot->pc);
}

/* All that vCPUs need before they are made. */
static int open_machine(struct boot *boot, const char **why)
{
	const struct boot_config *config = &boot->config;
	int error;

	/* The image first: it is the user's own, and is told of even where there is no /dev/kvm. */
	*why = "the guest's memory cannot be had";
	error = vmm_memory_open(&boot->memory, config->memory);
	if (!error)
		error = multiboot_load(boot->memory.base, config->memory, config->image,
				       config->image_size, config->cmdline, &boot->entry, why);
	if (!error)
		error = open_devices(boot, why);
	if (!error)
		error = open_kvm(boot, why);
	if (!error)
		error = open_vm(boot, why);
	return error ? error : boot_chips_open(boot, why);
}

int boot_create(const struct boot_config *config, struct boot **out, const char **why)
{
	struct boot *boot = calloc(1, sizeof(*boot));
	pthread_condattr_t attr;
	int error;

	*out = NULL;
	*why = "out of memory";
	if (!boot)
		return -ENOMEM;
	boot->config = *config;
	boot->kvm_fd = boot->vm_fd = -1;
	pthread_mutex_init(&boot->end_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&boot->ended_cond, &attr);
	pthread_condattr_destroy(&attr);
	for (uint32_t i = 0; i < config->vcpus; i++)
		boot->vcpus[i] = (struct boot_vcpu){ .boot = boot, .index = i, .fd = -1 };

	error = open_machine(boot, why);
	for (uint32_t i = 0; !error && i < config->vcpus; i++)
		error = open_vcpu(&boot->vcpus[i], why);
	if (!error) {
		*why = "the chips do not take what firmware writes to them";
		error = boot_firmware(boot);
	}
	if (error) {
		boot_destroy(boot);
		return error;
	}
	*out = boot;
	return 0;
}

static void *vcpu_thread(void *opaque)
{
	struct boot_vcpu *v = opaque;
	int error = vmirq_vcpu_bind_thread(v->vcpu);

	if (!error) {
		do {
			error = vmirq_kvm_run(v->vcpu);
		} while (error == -EINTR || (error == 0 && boot_exit(v)));
		vmirq_vcpu_unbind_thread(v->vcpu);
	}
	if (error && error != -ECANCELED)
		boot_end_with(v->boot, BOOT_DIED, 0, "vCPU %u: KVM_RUN failed with errno %d",
			      v->index, -error);
	return NULL;
}

static int start_threads(struct boot *boot)
{
	/* No SA_RESTART: the signal is to end KVM_RUN. */
	const struct sigaction kick = { .sa_handler = on_kick };

	if (sigaction(BOOT_KICK_SIGNAL, &kick, NULL) < 0)
		return -errno;
	for (uint32_t i = 0; i < boot->config.vcpus; i++) {
		int error =
			pthread_create(&boot->vcpus[i].thread, NULL, vcpu_thread, &boot->vcpus[i]);

		if (error)
			return -error;
		boot->vcpus[i].has_thread = true;
	}
	return 0;
}

static void stop_threads(struct boot *boot)
{
	boot_chips_stop(boot);
	for (uint32_t i = 0; i < boot->config.vcpus; i++)
		if (boot->vcpus[i].has_thread)
			pthread_join(boot->vcpus[i].thread, NULL);
}

static void wait_for_end(struct boot *boot, uint32_t seconds)
{
	struct timespec until;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)seconds;
	pthread_mutex_lock(&boot->end_lock);
	while (!boot->ended && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&boot->ended_cond, &boot->end_lock, &until);
	pthread_mutex_unlock(&boot->end_lock);
}

int boot_run(struct boot *boot, uint32_t seconds, enum boot_end *end, int *status, const char **why)
{
	int error = boot_chips_start(boot);

	*why = "the vCPUs' threads cannot be started";
	if (!error)
		error = start_threads(boot);
	if (!error)
		wait_for_end(boot, seconds);
	/* Only the first end counts. */
	boot_end_with(boot, BOOT_HUNG, 0, "no end after %u s", seconds);
	stop_threads(boot);
	pc_flush(boot->pc);
	*end = boot->end;
	*status = boot->status;
	return error;
}

static void close_vcpu(struct boot_vcpu *v)
{
	if (v->run)
		munmap(v->run, (size_t)v->boot->run_size);
	if (v->fd >= 0)
		close(v->fd);
}

void boot_destroy(struct boot *boot)
{
	if (!boot)
		return;
	boot_chips_close(boot);
	pc_destroy(boot->pc);
	for (uint32_t i = 0; i < boot->config.vcpus; i++)
		close_vcpu(&boot->vcpus[i]);
	if (boot->vm_fd >= 0)
		close(boot->vm_fd);
	if (boot->kvm_fd >= 0)
		close(boot->kvm_fd);
	vmm_memory_close(&boot->memory);
	pthread_cond_destroy(&boot->ended_cond);
	pthread_mutex_destroy(&boot->end_lock);
	free(boot);
}
