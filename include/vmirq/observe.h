/* SPDX-License-Identifier: MIT */
/**
 * @file observe.h
 * What became of every interrupt: verdicts and exact counters.
 *
 * Three laws hold at any quiet moment (no call in flight on the VM):
 *
 *   route:   raised = sum(verdicts, `delivered` among them) + held
 *   vCPU:    posted = merged + taken + reset + pending, for each vector
 *   run:     what the source counted = raised; what the guest's handlers counted = taken
 *
 * "Lost" is never a remainder of one of these: it is the difference between two counts
 * taken independently, one by the library and one by the source or the guest.
 *
 * The calls here only read, may run beside anything and make no system call; vmirq_gsi_counts() may
 * block on a change of a GSI nearby, the others never do.
 * A read beside a signal in flight may see that signal in one counter and not yet in another.
 */
#ifndef VMIRQ_OBSERVE_H
#define VMIRQ_OBSERVE_H

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
struct vmirq_vcpu;
struct vmirq_irqfd;

/** The one outcome of a raised interrupt. */
enum vmirq_verdict {
	/** At least one target's descriptor newly took it. Where the vCPU then finds the vector in its
	 *  IRR already, the two are one to the guest: vmirq_vector_counts.merged. */
	VMIRQ_DELIVERED = 0,
	/** Every target already had it pending: the guest will see one interrupt for both. */
	VMIRQ_COALESCED,
	/** The GSI has no route. */
	VMIRQ_NO_ROUTE,
	/** No vCPU has this destination, or the one that had it is gone. */
	VMIRQ_NO_TARGET,
	/** The destination's local APIC is software- or hardware-disabled (SDM vol. 3A 11.4.3). */
	VMIRQ_APIC_DISABLED,
	/** Fixed delivery with a vector below 16 (SDM vol. 3A 11.5.2). */
	VMIRQ_BAD_VECTOR,
	/** Not an interrupt message: address outside 0xfeexxxxx, or a reserved delivery mode. */
	VMIRQ_BAD_MESSAGE,
	/** A write to an eventfd that was joined with an earlier one before it was read. */
	VMIRQ_EVENTFD_MERGED,
	/** Read from an eventfd whose irqfd was being deassigned, or left unread there; pending in an MSI-X
	 *  vector that was reset or destroyed; or queued in a pirq that was unbound. */
	VMIRQ_DEASSIGNED,
	/** The IOAPIC's redirection entry is masked. */
	VMIRQ_RTE_MASKED,
	/** The 8259 has the line masked. */
	VMIRQ_PIC_MASKED,
	/** A level is being serviced: Remote-IRR is set. */
	VMIRQ_REMOTE_IRR,
	VMIRQ_VERDICTS,
	/** No outcome yet: it waits for a chip's lock, or its MSI-X vector is masked (both are in
	 *  vmirq_route_counts.held), or it was written to an eventfd that the kernel reads. */
	VMIRQ_HELD = 255
};

/** The verdict's name in lower case ("no_route"; "held"), or NULL for a value that is none. */
VMIRQ_API const char *vmirq_verdict_name(enum vmirq_verdict verdict);

/** Counters of one route, one irqfd or one kind of direct message. Set `size` before the call. */
struct vmirq_route_counts {
	size_t size;
	/** Signals the library was given. */
	uint64_t raised;
	/** Given, but not decided yet: written to an eventfd and read, queued, or masked. */
	uint64_t held;
	/** By outcome; verdict[VMIRQ_DELIVERED] is "delivered". */
	uint64_t verdict[VMIRQ_VERDICTS];
	/** Eventfds bound here that the kernel reads by itself (KVM, SPLIT): what is written to them is in no
	 *  count. */
	uint64_t unobserved;
};

/** Counters of one vector on one vCPU. Set `size` before the call. */
struct vmirq_vector_counts {
	size_t size;
	/** Newly posted by anybody: device, message or IPI. */
	uint64_t posted;
	/** Found its IRR bit already set when the vCPU folded it in. */
	uint64_t merged;
	/** Taken by the guest: acknowledged, and not taken back by an aborted entry. */
	uint64_t taken;
	/** Thrown away by a reset, INIT or a disable of the local APIC. */
	uint64_t reset;
	/** Waiting now: posted or in IRR. */
	uint64_t pending;
};

/** Everything ever signalled on this GSI, also by irqfds that are deassigned since.
 *  -EINVAL: a size this library does not know, or a GSI past the VM's limit. */
VMIRQ_API int vmirq_gsi_counts(struct vmirq_vm *vm, uint32_t gsi, struct vmirq_route_counts *out);

/** What this irqfd was signalled. -EINVAL as above. */
VMIRQ_API int vmirq_irqfd_counts(struct vmirq_irqfd *irqfd, struct vmirq_route_counts *out);

/** Messages sent with vmirq_msi_send(). -EINVAL as above. */
VMIRQ_API int vmirq_msi_counts(struct vmirq_vm *vm, struct vmirq_route_counts *out);

/** IPIs the guest sent through its ICRs (one unit per write). -EINVAL as above. */
VMIRQ_API int vmirq_ipi_counts(struct vmirq_vm *vm, struct vmirq_route_counts *out);

/** What vmirq_vcpu_post_mask() was given for this vCPU, one unit a vector. -EINVAL as above. */
VMIRQ_API int vmirq_vcpu_counts(struct vmirq_vcpu *vcpu, struct vmirq_route_counts *out);

/** One vector of one vCPU. -EINVAL: unknown size, or vector > 255. -EOPNOTSUPP: the local APIC is the
 *  kernel's (KVM, SPLIT), which does not count. */
VMIRQ_API int vmirq_vector_counts(struct vmirq_vcpu *vcpu, uint32_t vector,
				  struct vmirq_vector_counts *out);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif
