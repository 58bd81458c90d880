/* SPDX-License-Identifier: MIT */
/**
 * @file side.h
 * One of two irqchips that `vmirq diff` holds side by side: a KVM VM of puppet CPUs, with libvmirq's
 * soft irqchip or with the kernel's own, behind the same calls.
 *
 * All CPUs are run by the one thread that owns the side, one after the other: nothing happens
 * beside anything, so a sequence of calls can be repeated. Calls return what the kernel's ioctl
 * would, or -errno.
 */
#ifndef VMM_DIFF_SIDE_H
#define VMM_DIFF_SIDE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "puppet_page.h"

#define SIDE_VCPUS 3
/* As many as the kernel has. */
#define SIDE_GSIS 4096

struct vmirq_vm;
struct vmirq_vcpu;

enum side_kind {
	SIDE_SOFT,  /* libvmirq */
	SIDE_FULL,  /* KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2 */
	SIDE_SPLIT, /* KVM_CAP_SPLIT_IRQCHIP: local APICs only */
	SIDE_QEMU,  /* another program's: nothing that side_open() could open */
};

struct side_config {
	enum side_kind kind;
	bool chips; /* soft: IOAPIC, 8259s and PIT too */
	bool ids_32bit;
	uint32_t apic_id[SIDE_VCPUS]; /* the first is 0: the kernel wants its bootstrap CPU so */
};

/* What has reached a CPU beside vectors; taken by side_take_events(). */
struct side_events {
	bool nmi;
	bool smi;
	bool init;
	bool waits_for_sipi;
};

struct side_vcpu {
	int fd;
	struct kvm_run *run;
	struct vmirq_vcpu *vcpu; /* soft */
	uint32_t apic_id;
	struct puppet_page *page;
	uint64_t apic_base; /* as of the last run */
};

struct side {
	struct side_config config;
	const struct side_ops *ops;
	int kvm_fd;
	int vm_fd;
	int run_size;
	uint8_t *memory;
	struct vmirq_vm *vm; /* soft */
	/* The other VM: soft's, or the kernel's. */
	struct vmirq_vm *other_vm;
	int other_vm_fd;
	struct side_vcpu vcpu[SIDE_VCPUS];
	bool takes_smi;
	char why[160]; /* what failed, for people */
};

/* What the two kinds do differently. */
struct side_ops {
	int (*prepare)(struct side *side);
	int (*vcpu_open)(struct side *side, struct side_vcpu *v, uint32_t index);
	void (*close)(struct side *side);
	/* Until an exit that is the VMM's. */
	int (*enter)(struct side *side, struct side_vcpu *v);
	uint64_t (*apic_base)(const struct side_vcpu *v);
	int (*take_events)(struct side *side, struct side_vcpu *v, struct side_events *events);
	int (*get_lapic)(struct side_vcpu *v, struct kvm_lapic_state *state);
	int (*set_lapic)(struct side_vcpu *v, const struct kvm_lapic_state *state);
	int (*msi)(struct side *side, const struct kvm_msi *msi);
	/* *status as KVM_IRQ_LINE_STATUS gives it; NULL: as KVM_IRQ_LINE. */
	int (*line)(struct side *side, uint32_t gsi, uint32_t level, int *status);
	int (*routes)(struct side *side, const struct kvm_irq_routing *table);
	int (*irqfd)(struct side *side, const struct kvm_irqfd *args);
	/* The same in another VM of this side, which is made when it is first used. */
	int (*irqfd_elsewhere)(struct side *side, const struct kvm_irqfd *args);
	/* What was written to eventfds is read. */
	void (*pump)(struct side *side);
	int (*get_irqchip)(struct side *side, struct kvm_irqchip *state);
	int (*set_irqchip)(struct side *side, const struct kvm_irqchip *state);
	int (*get_pit)(struct side *side, struct kvm_pit_state2 *state);
	int (*set_pit)(struct side *side, const struct kvm_pit_state2 *state);
	/* The VM's ports and memory: soft only. -ENOENT: nobody's. */
	int (*mmio)(struct side *side, uint64_t gpa, void *data, uint32_t len, bool is_write);
	int (*pio)(struct side *side, uint16_t port, void *data, uint32_t len, bool is_write);
};

extern const struct side_ops side_soft;
extern const struct side_ops side_kernel;

/* KVM_IOEVENTFD: the kernel's, and ours, which is NULL where this release has none. */
int side_kernel_ioeventfd(struct side *side, const struct kvm_ioeventfd *args);
extern int (*const side_soft_ioeventfd)(struct side *side, const struct kvm_ioeventfd *args);

/* -ENODEV: this machine has not got it; side->why says what. */
int side_open(struct side *side, const struct side_config *config);
void side_close(struct side *side);

/* Execute the CPU's page. -EIO, with side->why: the puppet died, or was stuck for a second. */
int side_run(struct side *side, uint32_t vcpu);
/* Page tables, descriptor tables, and the gates of the puppet's handlers; start.c. */
void side_write_tables(uint8_t *memory);
/* Registers as at the start: 64-bit mode, at the page's first operation. */
int side_set_registers(struct side *side, struct side_vcpu *v);

#endif
