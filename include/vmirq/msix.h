/* SPDX-License-Identifier: MIT */
/**
 * @file msix.h
 * A device's MSI-X table and pending bits, or its MSI capability, by the PCI specification (PCI Local Bus
 * 3.0, 6.8): what the guest reads and writes there, and where the device's interrupts go.
 *
 * The VMM forwards the guest's accesses to the table, the PBA and the capability; the device raises
 * vectors, by vmirq_msix_trigger(), by an eventfd (the device's own, or one that a vector lends), or by the
 * vector's irqfd, which other parts of the library take. A vector that is raised while it is masked (its
 * own mask bit, the function's, or not enabled) is pending: seen in the PBA, and delivered once when it is
 * unmasked. A vector takes a GSI when it is first unmasked, and gives it back when the device is destroyed.
 * Meanwhile it is the vector's alone (route.h): the calls that change routes and vmirq_gsi_free() refuse it, and
 * vmirq_vm_load() does not touch it.
 *
 * Accounting: a vector's irqfd counts (vmirq_msix_irqfd(), vmirq_irqfd_counts()). Pending is `held`, a
 * further signal of a pending vector `coalesced`, and a pending one that is thrown away by reset or destroy
 * `deassigned`.
 *
 * Thread safety: every call but destroy from any thread, beside all others, unless said otherwise.
 * Progress: vmirq_msix_trigger() takes no lock. Every other call may block on another of the same device,
 * and on a change of routes; masking waits, as vmirq_vm_quiesce(), for signals under way. None may be made
 * from a callback that must not wait (kick, wake: -EDEADLK; resample), nor from that of a bypass producer
 * of one of the device's eventfds (-EDEADLK, and nothing is done, from destroy, from what changes that
 * vector's eventfd, and from all on the thread that changes an eventfd; on others it may wait for
 * ever). System calls: KVM_SET_GSI_ROUTING, KVM_IRQFD and KVM_SIGNAL_MSI (KVM, SPLIT), preadv2 and epoll_ctl where
 * a vector has an eventfd, futex, those of malloc; see vm.h for a thread's first call, and for long waits.
 *
 * No access of a guest's costs more than one turn over the vectors, with one KVM_SET_GSI_ROUTING.
 */
#ifndef VMIRQ_MSIX_H
#define VMIRQ_MSIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/observe.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmirq_vm;
struct vmirq_pump;
struct vmirq_irqfd;
struct vmirq_msix;

/** The most that a table has. */
#define VMIRQ_MSIX_MAX_VECTORS 2048
/** The most that an MSI capability has. */
#define VMIRQ_MSI_MAX_VECTORS 32

/** Bytes of a table, and of its PBA, of so many vectors. */
#define VMIRQ_MSIX_TABLE_SIZE(vectors) ((vectors)*16u)
#define VMIRQ_MSIX_PBA_SIZE(vectors)   (((vectors) + 63u) / 64u * 8u)

/** It is an MSI capability: 1, 2, 4, 8, 16 or 32 vectors. */
#define VMIRQ_MSIX_MSI (1u << 0)
/** With VMIRQ_MSIX_MSI: addresses of 64 bits. */
#define VMIRQ_MSIX_MSI_64BIT (1u << 1)
/** With VMIRQ_MSIX_MSI: a mask and a pending bit for each vector. */
#define VMIRQ_MSIX_MSI_MASKABLE (1u << 2)
/** Its vectors' eventfds are not consumers of the VM's bypass manager, as VMIRQ_IRQFD_NO_BYPASS of an irqfd. */
#define VMIRQ_MSIX_NO_BYPASS (1u << 3)

/** What vmirq_msix_create() wants to know. */
struct vmirq_msix_config {
	/** sizeof(struct vmirq_msix_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** 1..2048. */
	uint32_t vectors;
	/** VMIRQ_MSIX_*. */
	uint32_t flags;
	/** Reads the vectors' eventfds; NULL = the VM's own. Must outlive the device. */
	struct vmirq_pump *pump;
	/**
	 * NULL, or told of each vector that becomes masked (and then nothing of it is posted any more) or
	 * unmasked; all begin as masked. For back ends that stop signalling a masked vector. Called by the
	 * thread whose access it was, with no lock held, one call at a time. May trigger, and call
	 * whatever does not change masks of this device: what does is -EDEADLK.
	 */
	void (*masked)(void *opaque, uint32_t vector, bool masked);
	void *opaque;
};

/**
 * Create: not enabled, every vector masked. To be destroyed before its VM: until then vmirq_vm_destroy() is -EBUSY.
 * -EINVAL: size, unknown flag, number of vectors. -E2BIG. -ENOMEM.
 */
VMIRQ_API int vmirq_msix_create(struct vmirq_vm *vm, const struct vmirq_msix_config *config,
				struct vmirq_msix **out);

/**
 * Unplug: vectors give back their eventfds and GSIs; nothing is posted once it has returned. No other call
 * may be under way. -EDEADLK. NULL is 0.
 */
VMIRQ_API int vmirq_msix_destroy(struct vmirq_msix *msix);

/**
 * A guest's access to the table, `offset` bytes into it; `len` bytes of `data` are read or filled. The
 * specification allows 4 and 8 bytes, aligned: of anything else, and beyond the table, writes are ignored
 * and reads give all ones. Reserved bits are 0. A change of an unmasked vector's message goes into
 * effect at once; no signal is lost or doubled by it.
 * 0: done, or ignored. -EINVAL: no device or no data, or it is an MSI capability. Where a vector was to be
 * unmasked or to go elsewhere, also -ENOSPC (no GSI), -ENOMEM, or what the kernel says: the registers are as
 * written, but none that this access was to unmask is (where only somebody to read its eventfd is missing,
 * that one is not), and what is open goes the old way. What is raised stays pending; the next write to
 * these vectors, or vmirq_msix_set_control(), tries again.
 */
VMIRQ_API int vmirq_msix_table_access(struct vmirq_msix *msix, uint64_t offset, void *data,
				      uint32_t len, bool is_write);

/**
 * A guest's access to the PBA. Sizes and ill-formed accesses as above; writes are ignored. A read takes
 * what stands in masked vectors' eventfds first.
 */
VMIRQ_API int vmirq_msix_pba_access(struct vmirq_msix *msix, uint64_t offset, void *data,
				    uint32_t len, bool is_write);

/**
 * The guest has written the capability's message control: bits 15 (enable) and 14 (function mask). All
 * that opens has its routes changed together. Errors as vmirq_msix_table_access(): then none that was to
 * be unmasked is.
 */
VMIRQ_API int vmirq_msix_set_control(struct vmirq_msix *msix, bool enable, bool function_mask);

/**
 * A guest's access to an MSI capability, `offset` bytes into it: 1, 2 or 4 bytes, aligned; others are
 * ignored and read as all ones. The next-capability byte reads 0: it is the VMM's. Of more vectors enabled
 * than there are, all are.
 * Errors as vmirq_msix_table_access(); -EINVAL also where it is an MSI-X table.
 */
VMIRQ_API int vmirq_msix_msi_access(struct vmirq_msix *msix, uint32_t offset, void *data,
				    uint32_t len, bool is_write);

/** How many vectors the guest lets the device use: all of a table; of an MSI capability what its Multiple
 *  Message Enable says. Those beyond are masked. */
VMIRQ_API uint32_t vmirq_msix_allocated(struct vmirq_msix *msix);

/**
 * Raise a vector. VMIRQ_HELD: it is masked, and now pending. VMIRQ_COALESCED also: it was pending already.
 * VMIRQ_NO_ROUTE and not counted: there is no such vector.
 * Any number of threads at once; lock-free; async-signal-safe, and system calls, as vmirq_irqfd_signal().
 */
VMIRQ_API enum vmirq_verdict vmirq_msix_trigger(struct vmirq_msix *msix, uint32_t vector);

/** What vmirq_msix_trigger() signals, for whoever wants an irqfd: the device's, until it is destroyed. To
 *  deassign it is -EBUSY. Its GSI is UINT32_MAX while it has none. NULL: no such vector. */
VMIRQ_API struct vmirq_irqfd *vmirq_msix_irqfd(struct vmirq_msix *msix, uint32_t vector);

/**
 * Have the vector raised by this eventfd (duplicated), in place of the one it has; -1 = by none. What was
 * written to the old one is raised, or pending. `token` as in vmirq_irqfd_config. While the vector is
 * masked the pump reads it, otherwise the kernel where it can. Of an EFD_SEMAPHORE what is left of a write
 * may be one interrupt more when the vector is masked and unmasked, as when the kernel's irqfd is assigned. So may,
 * once in some 100,000 times, a write that falls just into the unmask: KVM_IRQFD itself injects it twice then.
 * The eventfd that the vector has already, by whatever descriptor, is 0 and nothing is done; but with another token
 * (or with none in place of one) it is bound anew, under that.
 * -EINVAL: no such vector, not an eventfd. -EBADF, -EBUSY, -ENOSYS, -EMFILE, -ENOMEM as
 * vmirq_irqfd_assign(). -EDEADLK: see above. An error but for -ENOMEM leaves the old one.
 */
VMIRQ_API int vmirq_msix_set_eventfd(struct vmirq_msix *msix, uint32_t vector, int eventfd,
				     uint64_t token);

/** Make an eventfd that raises the vector, as above, and return it: the caller's, to hand on and to close. */
VMIRQ_API int vmirq_msix_lend_eventfd(struct vmirq_msix *msix, uint32_t vector);

/** Is the vector pending? 1 or 0; takes what stands in a masked vector's eventfd first. -EINVAL: no such
 *  vector. */
VMIRQ_API int vmirq_msix_pending(struct vmirq_msix *msix, uint32_t vector);

/** The vector's GSI. -ENOENT: it has none. -EINVAL: no such vector. */
VMIRQ_API int vmirq_msix_gsi(struct vmirq_msix *msix, uint32_t vector, uint32_t *gsi);

/** As a reset of the function: not enabled, all masked, registers 0, nothing pending. Eventfds and GSIs
 *  stay; what is unread in the eventfds is taken and thrown away. */
VMIRQ_API int vmirq_msix_reset(struct vmirq_msix *msix);

/** A table's entry in struct vmirq_msix_state. */
struct vmirq_msix_entry {
	uint64_t address; /**< bits 1:0 are 0 */
	uint32_t data;
	uint32_t flags; /**< VMIRQ_MSIX_ENTRY_* */
};
#define VMIRQ_MSIX_ENTRY_MASKED	 (1u << 0)
#define VMIRQ_MSIX_ENTRY_PENDING (1u << 1)

/** Registers and pending bits. Of an MSI capability the entries say what is pending, and nothing else. */
struct vmirq_msix_state {
	/** Bytes there are: VMIRQ_MSIX_STATE_SIZE(vectors) are enough. */
	size_t size;
	uint32_t vectors;
	/** The capability's message control: of MSI-X bits 15 and 14, of MSI bits 0 and 6:4. */
	uint32_t control;
	/** Of MSI; else 0. */
	uint64_t msi_address;
	uint32_t msi_data;
	uint32_t msi_mask;
	struct vmirq_msix_entry entry[VMIRQ_MSIX_MAX_VECTORS];
};
#define VMIRQ_MSIX_STATE_SIZE(vectors) \
	(offsetof(struct vmirq_msix_state, entry) + (vectors) * sizeof(struct vmirq_msix_entry))

/**
 * Save: fills all but `size`. What stands in masked vectors' eventfds is taken first and is pending; what
 * is unread of unmasked ones stays in them. -EINVAL: `size` is too small.
 */
VMIRQ_API int vmirq_msix_save(struct vmirq_msix *msix, struct vmirq_msix_state *state);

/**
 * Load into a device of the same kind and number of vectors: what is pending is delivered if its
 * vector is unmasked. Vectors that were pending before still are: see vmirq_msix_reset().
 * In the counters a vector that is pending in the state and was not so here is one more raised, `held` until it is
 * delivered; it is in those of the device that it was saved from, too. One that was pending here counts nothing.
 * -EINVAL, and nothing has changed: a size too small, another number of vectors, a register's reserved
 * bit, an unknown flag. Other errors as vmirq_msix_table_access(): it is loaded.
 */
VMIRQ_API int vmirq_msix_load(struct vmirq_msix *msix, const struct vmirq_msix_state *state);

#ifdef __cplusplus
}
#endif
#endif
