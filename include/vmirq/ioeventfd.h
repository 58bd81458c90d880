/* SPDX-License-Identifier: MIT */
/**
 * @file ioeventfd.h
 * ioeventfds: doorbells. A guest's write of a certain length and value to a certain address adds 1 to an
 * eventfd, and that is all there is to it: no exit for the VMM to handle.
 *
 * Where the VM has a KVM VM (vmirq_vm_config.kvm_vm_fd) whose kernel has KVM_CAP_IOEVENTFD, and is not told to
 * do without it, they are the kernel's: writes that match never leave it. Else vmirq_vm_mmio() and
 * vmirq_vm_pio() find them, and return 0 for a write that matched.
 *
 * Which comes first: a chip's registers. A write that a chip of this VM claims rings no doorbell in
 * vmirq_vm_mmio() and vmirq_vm_pio(), nor in vmirq_kvm_run(). The kernel knows only its own chips:
 * a doorbell of the kernel's that lies on a register of a chip here swallows its writes.
 *
 * What matches: the same address; the same length, or any when `len` is 0 (one address still: a write
 * that begins there); with KVM_IOEVENTFD_FLAG_DATAMATCH the same value. The value written is compared
 * zero-extended to all 64 bits of `datamatch`, so one too wide for its length never matches. Reads
 * never match.
 */
#ifndef VMIRQ_IOEVENTFD_H
#define VMIRQ_IOEVENTFD_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
/* A call may have its struct's name, as stat() has. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

struct vmirq_vm;

/**
 * KVM_IOEVENTFD in the kernel's own words (KVM API 4.59): assign, or deassign with
 * KVM_IOEVENTFD_FLAG_DEASSIGN. Errors are the kernel's on every irqchip, oddities too: as Linux 6.18 does
 * on x86.
 *
 * Assign. First -EINVAL: len not 0, 1, 2, 4 or 8; addr + len past 2^64; a flag outside
 * KVM_IOEVENTFD_VALID_FLAG_MASK; DATAMATCH with len 0. Then -EBADF: not a descriptor; -EINVAL: not an
 * eventfd. Then -EEXIST: some write would match this one and one that is there (any eventfd, the same
 * one too). `datamatch` without DATAMATCH, and `pad`, are not looked at. An I/O port past 0xffff is
 * taken and never matches. VIRTIO_CCW_NOTIFY is taken and never matches (PIO beside it wins).
 *
 * Deassign. -EBADF, -EINVAL: the descriptor, as above. -ENOENT: none with this address, length,
 * eventfd (a duplicate will do), DATAMATCH or not, and value. Nothing else is checked.
 * Once it has returned nothing more is written to the eventfd by it; all that was rung before the call
 * has been written, unless the eventfd was full.
 *
 * Without the kernel also -ENOMEM; -EMFILE; -EAGAIN: no thread to be had for the VM's first; -ENOSYS: there is
 * no /proc to tell an eventfd by; -EDEADLK: from a callback of the library. With it, whatever the ioctl says.
 *
 * The library keeps its own duplicate until deassign or vmirq_vm_destroy(), which deassigns what is
 * left, in the kernel too: closing the caller's copy is harmless, but deassign wants one.
 *
 * Whoever else holds the eventfd is not trusted: it may fill it and clear O_NONBLOCK, and a write
 * would block for ever. So, without the kernel, one thread of the VM's, made with the first such
 * doorbell, looks after the vCPUs' threads that write, and takes out what an eventfd is full of, which
 * ends the write, within some 10 ms; where many threads fill it again at once, when it comes before them. After
 * eight such blocks that one is not written to any more. A peer that makes room again within a tick of 5 ms is not
 * found out, and may have each write blocked for so long. A ring that finds it full (2^64-2) and O_NONBLOCK is
 * dropped: it is readable. A child of fork() has no such thread. See vmirq_ioeventfd_config() for those that can be
 * trusted.
 *
 * System calls, for a seccomp filter. Whoever brings the guest's write (vmirq_vm_mmio(), vmirq_vm_pio(),
 * vmirq_kvm_run()): write; futex where the VM's thread sleeps; no others, whatever the peer does. The VM's
 * thread, under the filter of the one that assigned the first: futex; where somebody is blocked ppoll and preadv2.
 * Where that ppoll is refused nobody is let through.
 *
 * Thread safety: any thread, beside everything. Progress: may block on another assign or deassign, and
 * for as long as guest writes under way take: microseconds, or longer where an eventfd makes one block, as
 * above. Cost: a write is found in O(log n), an assign or deassign costs O(n).
 */
VMIRQ_API int vmirq_ioeventfd(struct vmirq_vm *vm, const struct kvm_ioeventfd *args);

/** Whoever holds the eventfd keeps it O_NONBLOCK, or never full: nobody looks after who writes to it, and no
 *  thread is made. A ring that finds it full (2^64-2) is dropped. */
#define VMIRQ_IOEVENTFD_TRUSTED (1u << 0)

/** What the kernel's struct has no words for; of use where the doorbell is not the kernel's. */
struct vmirq_ioeventfd_config {
	/** sizeof(struct vmirq_ioeventfd_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	struct kvm_ioeventfd kernel;
	/** VMIRQ_IOEVENTFD_* flags. Not looked at by deassign. */
	uint32_t flags;
	/** 0. */
	uint32_t reserved;
	/** What tells this eventfd from others; 0 = ask /proc/self/fdinfo (4 us). A caller without /proc
	 *  passes its own number, 1 to 2^63-1, answers for the descriptor being an eventfd, and
	 *  deassigns with the same number; the descriptor is not looked at then. */
	uint64_t token;
};

/** As vmirq_ioeventfd(). Also -EINVAL: size, flag, reserved, token; -E2BIG. */
VMIRQ_API int vmirq_ioeventfd_config(struct vmirq_vm *vm,
				     const struct vmirq_ioeventfd_config *config);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif
