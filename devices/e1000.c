// SPDX-License-Identifier: MIT
#include "e1000.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "x_remote.h"
#include "x_remote_process.h"

/* Without its boot ROM, which would only be read from the disk. */
#define DEVICE "e1000,romfile="

/* PCI 3.0, 6.1: the header of configuration space. */
#define PCI_ID			 0x00
#define PCI_COMMAND		 0x04
#define PCI_BAR0		 0x10

#define PCI_COMMAND_MEMORY	 0x2u
#define PCI_COMMAND_INTX_DISABLE 0x400u

#define ID_82540EM		 0x100e8086u

/* Where BAR0 is in the device's own address space. Where a guest sees it is the VMM's affair. */
#define BAR0 0xfe000000u

/* How long a process whose socket is closed may take until it is dead. */
#define DEATH_MS 500

struct e1000 {
	struct x_remote remote;
	struct child child;
	bool own_child;
	int intr;
	int resample;
};

int e1000_available(void)
{
	return x_remote_process_available();
}

/* The device must have some memory for DMA, but asks for none: it gets a page of its own, not the
 * guest's, which is no business of its. */
static int give_memory(struct e1000 *e1000)
{
	size_t size = 4096;
	int ret, fd = memfd_create("e1000", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	ret = ftruncate(fd, (off_t)size) ? -errno : x_remote_set_memory(&e1000->remote, fd, size);
	close(fd);
	return ret;
}

/* Answers all ones where it does not decode, as a PCI bus does; so what was written is read back.
 * */
static int map_bar0(struct e1000 *e1000)
{
	struct x_remote *remote = &e1000->remote;
	uint32_t id = 0, size = 0, address = 0;
	int ret = x_remote_config_read(remote, PCI_ID, 4, &id);

	if (!ret)
		ret = x_remote_config_write(remote, PCI_BAR0, 4, UINT32_MAX);
	if (!ret)
		ret = x_remote_config_read(remote, PCI_BAR0, 4, &size);
	if (!ret)
		ret = x_remote_config_write(remote, PCI_BAR0, 4, BAR0);
	if (!ret)
		ret = x_remote_config_read(remote, PCI_BAR0, 4, &address);
	if (ret)
		return ret;
	/* 6.2.5.1: the bits that stay 0 are the size; of a 32-bit memory BAR the low four say so.
	 * */
	if (id != ID_82540EM || size != (uint32_t)-E1000_BAR0_SIZE || address != BAR0)
		return -EPROTO;
	return x_remote_config_write(remote, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

static int enable(struct e1000 *e1000)
{
	uint32_t causes, mask = 0;
	int ret = e1000_bar0_write(e1000, E1000_IMC, 4, UINT32_MAX);

	/* What the card has to say from its start is nobody's interrupt. */
	if (!ret)
		ret = e1000_read_icr(e1000, &causes);
	if (!ret)
		ret = e1000_bar0_write(e1000, E1000_IMS, 4, E1000_CAUSE_LSC);
	if (!ret)
		ret = e1000_bar0_read(e1000, E1000_IMS, 4, &mask);
	return !ret && mask != E1000_CAUSE_LSC ? -EPROTO : ret;
}

static int set_up(struct e1000 *e1000)
{
	int ret = give_memory(e1000);

	if (!ret)
		ret = x_remote_set_irqfd(&e1000->remote, e1000->intr, e1000->resample);
	if (!ret)
		ret = map_bar0(e1000);
	return ret ? ret : enable(e1000);
}

static int create(struct e1000 **out)
{
	struct e1000 *e1000 = calloc(1, sizeof(*e1000));
	int ret;

	if (!e1000)
		return -ENOMEM;
	e1000->remote.fd = -1;
	e1000->child = (struct child)CHILD_NONE;
	e1000->intr = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e1000->resample = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = e1000->intr < 0 || e1000->resample < 0 ? -errno : 0;
	if (ret)
		e1000_stop(e1000);
	else
		*out = e1000;
	return ret;
}

int e1000_attach(int socket, int timeout_ms, struct e1000 **out)
{
	struct e1000 *e1000;
	int ret = create(&e1000);

	if (ret) {
		close(socket);
		return ret;
	}
	ret = x_remote_attach(&e1000->remote, socket, -1, timeout_ms);
	if (!ret)
		ret = set_up(e1000);
	if (ret)
		e1000_stop(e1000);
	else
		*out = e1000;
	return ret;
}

int e1000_start(int start_ms, int timeout_ms, struct e1000 **out, char *why, size_t size)
{
	struct e1000 *e1000;
	int socket, ret = create(&e1000);

	if (size)
		why[0] = '\0';
	if (ret)
		return ret;
	ret = x_remote_process_start(&e1000->child, DEVICE, &socket);
	if (!ret) {
		e1000->own_child = true;
		ret = x_remote_attach(&e1000->remote, socket, e1000->child.death_fd, start_ms);
	}
	if (!ret)
		ret = set_up(e1000);
	if (!ret) {
		x_remote_set_timeout(&e1000->remote, timeout_ms);
		*out = e1000;
		return 0;
	}
	if (ret == -ECONNRESET && size && child_wait(&e1000->child, DEATH_MS))
		child_last_words(&e1000->child, why, size);
	e1000_stop(e1000);
	return ret;
}

void e1000_stop(struct e1000 *e1000)
{
	if (!e1000)
		return;
	x_remote_close(&e1000->remote);
	child_stop(&e1000->child);
	if (e1000->intr >= 0)
		close(e1000->intr);
	if (e1000->resample >= 0)
		close(e1000->resample);
	free(e1000);
}

int e1000_intr_fd(const struct e1000 *e1000)
{
	return e1000->intr;
}

int e1000_resample_fd(const struct e1000 *e1000)
{
	return e1000->resample;
}

int e1000_raise(struct e1000 *e1000)
{
	return e1000_bar0_write(e1000, E1000_ICS, 4, E1000_CAUSE_LSC);
}

int e1000_read_icr(struct e1000 *e1000, uint32_t *causes)
{
	return e1000_bar0_read(e1000, E1000_ICR, 4, causes);
}

int e1000_causes(struct e1000 *e1000, uint32_t *causes)
{
	return e1000_bar0_read(e1000, E1000_ICS, 4, causes);
}

static bool within_bar0(uint32_t offset, uint32_t size)
{
	return size <= 4 && offset < E1000_BAR0_SIZE && offset + size <= E1000_BAR0_SIZE;
}

int e1000_bar0_read(struct e1000 *e1000, uint32_t offset, uint32_t size, uint32_t *value)
{
	uint64_t read = 0;
	int ret;

	if (!within_bar0(offset, size))
		return -EINVAL;
	ret = x_remote_bar_read(&e1000->remote, BAR0 + offset, size, true, &read);
	if (!ret)
		*value = (uint32_t)read;
	return ret;
}

int e1000_bar0_write(struct e1000 *e1000, uint32_t offset, uint32_t size, uint32_t value)
{
	if (!within_bar0(offset, size))
		return -EINVAL;
	return x_remote_bar_write(&e1000->remote, BAR0 + offset, size, true, value);
}

int e1000_alive(struct e1000 *e1000)
{
	return x_remote_alive(&e1000->remote);
}

int e1000_death_fd(const struct e1000 *e1000)
{
	return e1000->child.death_fd;
}

pid_t e1000_pid(const struct e1000 *e1000)
{
	return e1000->own_child ? e1000->child.pid : 0;
}

void e1000_kill(struct e1000 *e1000)
{
	child_kill(&e1000->child);
}

const char *e1000_last_words(struct e1000 *e1000, char *buf, size_t size)
{
	if (e1000->own_child)
		return child_last_words(&e1000->child, buf, size);
	buf[0] = '\0';
	return buf;
}
