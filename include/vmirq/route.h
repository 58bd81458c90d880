/* SPDX-License-Identifier: MIT */
/**
 * @file route.h
 * The GSI routing table: where each GSI goes, in struct kvm_irq_routing_entry.
 *
 * A slot per GSI: changing one route touches that slot and the irqfds bound to it, nothing else, and
 * returns at once. A signal already begun may still take the old way until vmirq_vm_quiesce().
 *
 * On KVM and SPLIT the kernel's table follows: a change is one KVM_SET_GSI_ROUTING, a transaction's
 * changes together are. The kernel's errors are passed on, and then nothing has changed.
 *
 * Whose GSI it is. An MSI-X vector's (msix.h) and that of a pirq's message (passthrough.h) are theirs alone, from when
 * they take one to when they give it back: nobody else can route them. What the VMM uses it names itself, or has from
 * vmirq_gsi_alloc(). That gives out, and vectors and messages take, only what is in no use: neither routed nor
 * allocated, nor with an irqfd, a mailbox's interrupt or a pirq's line bound to it, routed or not. So numbers of the
 * VMM's own and allocated ones may be mixed if the VMM uses its own first, or keeps to those below 24; one above
 * that it has never used may become a vector's at any moment.
 *
 * On KVM and SPLIT what changes a route at once, and a commit, is -EDEADLK, and changes nothing, from a kick, wake or
 * pump callback (a mailbox's `dead`, a pirq's unmask by the watchdog): whoever has the kernel's table may be waiting
 * for that callback to end.
 *
 * Thread safety: every call from any thread, beside every other and beside signals. Progress: may
 * block on another change of a GSI nearby (KVM and SPLIT: of any GSI); no system call but for memory the
 * first time, and the kernel's.
 */
#ifndef VMIRQ_ROUTE_H
#define VMIRQ_ROUTE_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmirq_vm;

/**
 * Replace the route of entries[0].gsi; all n entries (1 or more) name that GSI.
 * MSI: one entry, flags 0 or KVM_MSI_VALID_DEVID.
 * -EINVAL: mixed GSIs, unknown type or flag, an MSI beside another entry, pin out of range, the same
 * irqchip twice, GSI past the VM's limit, or with 32-bit ids address_hi & 0xff not 0. A failed call
 * leaves the old route. -EOPNOTSUPP: a chip this VM has not got. -EBUSY: an MSI-X vector's GSI, or a pirq's message's.
 * -ENOMEM.
 */
VMIRQ_API int vmirq_route_set(struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries,
			      size_t n);

/** One MSI route, in the fields' own words. Errors as vmirq_route_set(). */
VMIRQ_API int vmirq_route_set_msi(struct vmirq_vm *vm, uint32_t gsi, uint64_t address,
				  uint32_t data);

/** Take a GSI's route away; signals count as `no_route` from then. -EINVAL: GSI past the limit. -EBUSY: as
 *  vmirq_route_set(). KVM and SPLIT: KVM_SET_GSI_ROUTING's error. */
VMIRQ_API int vmirq_route_clear(struct vmirq_vm *vm, uint32_t gsi);

/**
 * Replace the whole table, as KVM_SET_GSI_ROUTING: all of it or, on error, nothing.
 * GSIs not named lose their route, but for those of MSI-X vectors and of pirqs' messages. n = 0 is legal. Errors as
 * vmirq_route_set(); -EBUSY also: a transaction is open.
 */
VMIRQ_API int vmirq_route_set_all(struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries,
				  size_t n);

/** The PC's routes (see VMIRQ_VM_PC_CHIPS) on GSIs 0..23; others stay. -EOPNOTSUPP: the VM has not got
 *  the chips. */
VMIRQ_API int vmirq_route_pc_default(struct vmirq_vm *vm);

/**
 * Group changes. From here to commit, or abort, what the calling thread changes by vmirq_route_set(), _set_msi(),
 * _clear() and vmirq_gsi_free() is checked and kept, and changes nothing yet: vmirq_route_get() and signals
 * see the old routes. Changes by other threads are made at once as ever. vmirq_route_set_all() and
 * _pc_default() are -EBUSY meanwhile.
 * -EBUSY: a transaction is open already, by this thread (they do not nest) or another. -ENOMEM.
 */
VMIRQ_API int vmirq_route_begin(struct vmirq_vm *vm);

/**
 * Make the changes, of each GSI the last; on KVM and SPLIT with at most one KVM_SET_GSI_ROUTING, and
 * none if nothing changes there. On error nothing is changed. Either way the transaction is over.
 * Signals may see some of the routes changed and others not yet.
 * -EINVAL: this thread has none open. -EBUSY: a GSI in it that was free has become a vector's or a pirq's message's
 * since. -ENOMEM, or KVM_SET_GSI_ROUTING's error.
 */
VMIRQ_API int vmirq_route_commit(struct vmirq_vm *vm);

/** End it and change nothing. -EINVAL: this thread has none open. */
VMIRQ_API int vmirq_route_abort(struct vmirq_vm *vm);

/** Read a GSI's route: returns how many entries it has and stores at most `max` of them.
 *  -EINVAL: GSI past the limit. */
VMIRQ_API int vmirq_route_get(struct vmirq_vm *vm, uint32_t gsi,
			      struct kvm_irq_routing_entry *entries, size_t max);

/** Take the lowest GSI, 24 or above, that is in no use (see above). -ENOSPC. */
VMIRQ_API int vmirq_gsi_alloc(struct vmirq_vm *vm, uint32_t *gsi);

/** Give it back; its route is cleared. -EINVAL: not allocated. Else as vmirq_route_clear(), and then it is
 *  still allocated. */
VMIRQ_API int vmirq_gsi_free(struct vmirq_vm *vm, uint32_t gsi);

#ifdef __cplusplus
}
#endif
#endif
