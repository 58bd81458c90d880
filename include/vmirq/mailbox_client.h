/* SPDX-License-Identifier: MIT */
/**
 * @file mailbox_client.h
 * The device's side of a mailbox: the shared page's layout, and a few inline functions for C and C++ that
 * need libc only. A device in a process of its own sets a bit per interrupt, and rings a doorbell if nobody
 * is looking.
 *
 *	struct vmirq_mailbox_client client;
 *
 *	vmirq_mailbox_client_receive(socket, &client);	the VMM's vmirq_mailbox_send()
 *	vmirq_mailbox_client_raise(&client, 3);
 *	vmirq_mailbox_client_detach(&client);
 *
 * That the VMM is gone a device learns from its socket (POLLHUP, or a read of 0 bytes), which it should watch: page and
 * doorbell are its own as well, so raising goes on as if somebody would look.
 *
 * The layout below is ABI: version 1 stays as it is.
 */
#ifndef VMIRQ_MAILBOX_CLIENT_H
#define VMIRQ_MAILBOX_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library has the functions under the same names, for languages that cannot include this. */
#ifndef VMIRQ_MAILBOX_INLINE
#define VMIRQ_MAILBOX_INLINE static inline
#endif

#define VMIRQ_MAILBOX_MAGIC   0x584f424du /* "MBOX" */
#define VMIRQ_MAILBOX_VERSION 1u
/** Interrupts that one mailbox may have. */
#define VMIRQ_MAILBOX_MAX 65536u

/**
 * The page. In the host's byte order, three parts that share no cache line: what is constant; what the VMM
 * writes; what both write. The words follow the struct: bit i % 64 of word i / 64 is interrupt i. A device
 * sets bits with a locked OR, the VMM takes them with an exchange for 0.
 */
struct vmirq_mailbox_page {
	uint32_t magic;
	uint32_t version;
	uint32_t bytes; /**< of the memfd: vmirq_mailbox_bytes(count) */
	uint32_t count; /**< interrupts */
	uint8_t reserved0[48];
	/**
	 * Stored by the VMM only. Odd: somebody looks at the bits, or will without being told. Even: nobody
	 * does, and who sets a bit must ring once for this value. It only grows.
	 */
	uint64_t looking;
	uint8_t reserved1[56];
};

/** What the VMM sends along with the memfd and the doorbell, in this order. The version is for other
 *  implementations: the page has it, too. */
struct vmirq_mailbox_hello {
	uint32_t magic;
	uint32_t version;
};

/** A device's handle. Not to be looked into. */
struct vmirq_mailbox_client {
	struct vmirq_mailbox_page *page;
	uint32_t bytes;
	uint32_t count;
	uint64_t rung; /* the value of `looking` that the doorbell was last rung for */
	int doorbell;
};

/** The memfd's size for so many interrupts: whole pages of 4096 bytes. */
VMIRQ_MAILBOX_INLINE uint32_t vmirq_mailbox_bytes(uint32_t count)
{
	uint32_t bytes = (uint32_t)sizeof(struct vmirq_mailbox_page) + (count + 63u) / 64u * 8u;

	return (bytes + 4095u) & ~4095u;
}

/** The word that holds interrupt i. */
VMIRQ_MAILBOX_INLINE uint64_t *vmirq_mailbox_word(struct vmirq_mailbox_page *page, uint32_t i)
{
	return (uint64_t *)(page + 1) + i / 64u;
}

/** Is it a mailbox of `bytes`, and of how many interrupts? Called by attach. */
VMIRQ_MAILBOX_INLINE int vmirq_mailbox_check_page(const struct vmirq_mailbox_page *page,
						  size_t bytes, uint32_t *count)
{
	/* Read once: what is in the page may change. */
	uint32_t n = __atomic_load_n(&page->count, __ATOMIC_RELAXED);

	if (__atomic_load_n(&page->magic, __ATOMIC_RELAXED) != VMIRQ_MAILBOX_MAGIC)
		return -EPROTO;
	if (__atomic_load_n(&page->version, __ATOMIC_RELAXED) != VMIRQ_MAILBOX_VERSION)
		return -EPROTONOSUPPORT;
	if (n < 1 || n > VMIRQ_MAILBOX_MAX || vmirq_mailbox_bytes(n) != bytes)
		return -EPROTO;
	*count = n;
	return 0;
}

/**
 * Map the page. On success both descriptors are the client's: the memfd is closed, the doorbell by detach.
 * On failure they stay the caller's. Not thread-safe.
 * -EBADF and whatever fstat() and mmap() say; -EPERM: the memfd is not sealed, so whoever else has it could
 * kill this process by truncating it; -EPROTONOSUPPORT: another version; -EPROTO: not a mailbox.
 */
VMIRQ_MAILBOX_INLINE int vmirq_mailbox_client_attach(struct vmirq_mailbox_client *client, int memfd,
						     int doorbell)
{
	struct vmirq_mailbox_page *page;
	struct stat file;
	uint32_t count;
	size_t bytes;
	int seals, error;

	/* If it fails it has no interrupts, and detach does nothing. */
	memset(client, 0, sizeof(*client));
	client->doorbell = -1;
	if (fstat(memfd, &file) < 0 || fcntl(doorbell, F_GETFD) < 0)
		return -errno;
	/* F_GET_SEALS, and F_SEAL_SHRINK, which want _GNU_SOURCE. */
	seals = fcntl(memfd, 1024 + 10);
	if (seals < 0 || !(seals & 2))
		return -EPERM;
	if (file.st_size < 4096 || file.st_size > (1 << 20))
		return -EPROTO;
	bytes = (size_t)file.st_size;
	page = (struct vmirq_mailbox_page *)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
						 memfd, 0);
	if (page == MAP_FAILED)
		return -errno;
	error = vmirq_mailbox_check_page(page, bytes, &count);
	if (error) {
		munmap(page, bytes);
		return error;
	}
	client->count = count;
	client->page = page;
	client->bytes = (uint32_t)bytes;
	client->doorbell = doorbell;
	client->rung = 1; /* odd: for none */
	close(memfd);
	return 0;
}

/** Ring for `turn`, which was found in `looking`. Called by raise. */
VMIRQ_MAILBOX_INLINE int vmirq_mailbox_client_ring(struct vmirq_mailbox_client *client,
						   uint64_t turn)
{
	const uint64_t one = 1;
	int saved = errno, error = 0;
	ssize_t n;

	do
		n = write(client->doorbell, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	/* Full has been rung. */
	if (n < 0 && errno != EAGAIN)
		error = -errno;
	errno = saved;
	/* Once it has rung, so that a thread that is held up here only makes others ring again.
	 * Release: pairs with the acquire in raise. */
	if (!error)
		__atomic_store_n(&client->rung, turn, __ATOMIC_RELEASE);
	return error;
}

/**
 * Raise interrupt i. What the device wrote before it, the guest's handler finds. Returns 1, or 0 where i is
 * still set from an earlier call, with which it becomes one; -EINVAL: there is no interrupt i; or what
 * write() says of the doorbell (the bit is set all the same).
 * Any number of threads at once, lock-free, async-signal-safe. System calls: none while the VMM looks;
 * one write() for the first raise after it has stopped.
 */
VMIRQ_MAILBOX_INLINE int vmirq_mailbox_client_raise(struct vmirq_mailbox_client *client, uint32_t i)
{
	uint64_t bit = UINT64_C(1) << (i & 63u), old, turn;
	int error;

	if (i >= client->count)
		return -EINVAL;
	/* Both sequentially consistent. Who stops looking stores `looking`, and then loads the bits; who begins
	 * to look, too: so either that finds this bit, or this load finds what was stored. Also where the bit
	 * looks set already: the guest may be about to take it, and not see what was written since. */
	old = __atomic_fetch_or(vmirq_mailbox_word(client->page, i), bit, __ATOMIC_SEQ_CST);
	turn = __atomic_load_n(&client->page->looking, __ATOMIC_SEQ_CST);
	/* Acquire: pairs with the release in ring. Also where the bit was set before: whoever set it may
	 * not have come to ring. */
	if (!(turn & 1) && __atomic_load_n(&client->rung, __ATOMIC_ACQUIRE) != turn) {
		error = vmirq_mailbox_client_ring(client, turn);
		if (error)
			return error;
	}
	return !(old & bit);
}

/** Unmap, and close the doorbell. Nothing else may run on this client. */
VMIRQ_MAILBOX_INLINE void vmirq_mailbox_client_detach(struct vmirq_mailbox_client *client)
{
	if (client->page) {
		munmap(client->page, client->bytes);
		close(client->doorbell);
	}
	client->page = NULL;
	client->count = 0;
	client->doorbell = -1;
}

/** The descriptors that came with a message: how many, the first two in fds. */
VMIRQ_MAILBOX_INLINE int vmirq_mailbox_client_take_fds(struct msghdr *message, int fds[2])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	if (c->cmsg_len == CMSG_LEN(sizeof(int))) {
		memcpy(fds, CMSG_DATA(c), sizeof(int));
		return 1;
	}
	memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
	return 2;
}

/**
 * Receive what vmirq_mailbox_send() sent over a Unix socket, and attach. As recvmsg() on that socket; blocks if
 * that does. -ECONNRESET: the VMM has closed it; -EPROTO: something else came; or as attach.
 */
VMIRQ_MAILBOX_INLINE int vmirq_mailbox_client_receive(int socket,
						      struct vmirq_mailbox_client *client)
{
	struct vmirq_mailbox_hello hello;
	/* Room for two descriptors and no more: the kernel closes what does not fit. */
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part;
	struct msghdr message;
	int fds[2] = { -1, -1 }, n, error;
	ssize_t got;

	memset(client, 0, sizeof(*client));
	memset(&message, 0, sizeof(message));
	part.iov_base = &hello;
	part.iov_len = sizeof(hello);
	message.msg_iov = &part;
	message.msg_iovlen = 1;
	message.msg_control = control.bytes;
	message.msg_controllen = sizeof(control.bytes);
	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got < 0 ? -errno : -ECONNRESET;
	n = vmirq_mailbox_client_take_fds(&message, fds);
	if (got != (ssize_t)sizeof(hello) || n != 2 || hello.magic != VMIRQ_MAILBOX_MAGIC)
		error = -EPROTO;
	else
		/* Which looks at the version, too. */
		error = vmirq_mailbox_client_attach(client, fds[0], fds[1]);
	for (int i = 0; error && i < n; i++)
		close(fds[i]);
	return error;
}

#ifdef __cplusplus
}
#endif
#endif
