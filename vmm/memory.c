// SPDX-License-Identifier: MIT
/* Guest memory: a memfd, so that devices in other processes can map it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm_internal.h"

int vmm_memory_open(struct vmm_memory *memory, size_t size)
{
	int fd = memfd_create("guest memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *base;
	int err;

	if (fd < 0)
		return -errno;
	/* Devices get the descriptor: one that could shrink it could kill the VMM with SIGBUS. */
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto fail;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		goto fail;
	*memory = (struct vmm_memory){ .fd = fd, .size = size, .base = base };
	return 0;
fail:
	err = -errno;
	close(fd);
	return err;
}

void vmm_memory_close(struct vmm_memory *memory)
{
	if (!memory->base)
		return;
	munmap(memory->base, memory->size);
	close(memory->fd);
	memory->base = NULL;
}

void *vmm_memory(struct vmm *vmm, uint64_t gpa, size_t len)
{
	if (gpa > vmm->memory.size || len > vmm->memory.size - gpa)
		return NULL;
	return vmm->memory.base + gpa;
}

int vmm_memory_fd(struct vmm *vmm)
{
	return vmm->memory.fd;
}

size_t vmm_memory_size(struct vmm *vmm)
{
	return vmm->memory.size;
}

uint64_t vmm_device_memory(struct vmm *vmm)
{
	(void)vmm;
	return GUEST_DEVICE_GPA;
}
