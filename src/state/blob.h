/* SPDX-License-Identifier: MIT */
/*
 * A whole VM in one blob. In this order, each as often as the head says: head, vCPUs, IOAPICs (a head
 * and its pins), 8259s, PIT, routing entries, GSIs. Numbers are the host's; nothing is padded unsaid.
 *
 * Left out is what follows from the rest (asserters of a pin: the sources of the GSIs that go there),
 * and what is not the interrupt domain's: counters, irqfds, notifiers.
 *
 * A blob is taken apart and checked into `struct parsed` before anything changes; what memory the rest
 * wants is made then, too.
 */
#ifndef STATE_BLOB_H
#define STATE_BLOB_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chip/ioapic.h"
#include "chip/lapic_state.h"
#include "chip/pit.h"

#define BLOB_MAGIC   UINT64_C(0x5351524956424f4c)
#define BLOB_VERSION 1u

/* What a VM must have in common with the one that was saved. */
enum blob_config {
	BLOB_PIC = 1 << 0,
	BLOB_PIT = 1 << 1,
	BLOB_PIT_DISCARD = 1 << 2,
	BLOB_IDS_32BIT = 1 << 3,
	BLOB_EXT_DEST_ID = 1 << 4,
	BLOB_SPEC = 1 << 5,
};

struct blob_head {
	uint64_t magic;
	uint64_t size;	  /* of all */
	uint64_t sources; /* allocated */
	uint32_t version;
	uint32_t config; /* enum blob_config */
	uint32_t vcpus, ioapics, routes, gsis;
};

struct blob_vcpu {
	uint32_t index;
	uint32_t apic_id;
	uint32_t events; /* those of the guest's */
	int16_t extint, extint_taken;
	uint8_t waits_for_sipi, halted;
	uint8_t has_tick, tick_vector; /* of the RTC */
	uint32_t reserved;
	struct lapic_image lapic;
};

struct blob_ioapic {
	uint64_t base;
	uint32_t ioregsel, id, endless_ticks;
	uint32_t pins, version;
	uint32_t reserved;
};

struct blob_pin {
	struct ioapic_pin_image pin;
	uint64_t retry_in; /* ns until a throttled pin is tried again, plus one; 0: it is not */
};

struct blob_pic {
	struct kvm_pic_state chip[2];
};

struct blob_pit {
	struct kvm_pit_state2 state;
	struct pit_extra extra;
};

/* One that is allocated or high. */
struct blob_gsi {
	uint32_t gsi;
	uint32_t allocated;
	uint64_t sources;
};

struct vmirq_vm;
struct vmirq_vcpu;
struct route_new_table;

struct parsed {
	struct blob_head head;
	struct blob_vcpu *vcpu;
	struct parsed_ioapic {
		struct ioapic_image image;
		uint64_t retry_in[IOAPIC_MAX_PINS];
	} * ioapic;
	struct blob_pic pic;
	struct blob_pit pit;
	struct kvm_irq_routing_entry *route;
	struct blob_gsi *gsi;
	struct route_new_table *table;
};

/* save.c, load.c: vmirq_vm_save() and _load(), but for what signals have queued, and pirqs. */
int64_t vmirq_state_save(struct vmirq_vm *vm, void *buffer, size_t size);
int vmirq_state_load(struct vmirq_vm *vm, const void *buffer, size_t size);

/* blob.c: what this VM is. */
uint32_t vmirq_state_config(const struct vmirq_vm *vm);
/* blob.c: the bytes after the head; false: they would not fit into any memory. */
bool vmirq_state_body_size(const struct vmirq_vm *vm, const struct blob_head *head, uint64_t *size);

/* parse.c: 0, -EINVAL or -ENOMEM. What it made is freed by the second. */
int vmirq_state_parse(struct vmirq_vm *vm, const void *buffer, size_t size, struct parsed *parsed);
void vmirq_state_parsed_free(struct parsed *parsed);

/* vcpu.c: all with the vCPU standing still. */
void vmirq_state_get_vcpu(struct vmirq_vcpu *vcpu, struct blob_vcpu *blob);
bool vmirq_state_vcpu_valid(const struct vmirq_vcpu *vcpu, const struct blob_vcpu *blob);
void vmirq_state_put_vcpu(struct vmirq_vcpu *vcpu, const struct blob_vcpu *blob);
/* vcpu.c: keep vCPUs from being made and destroyed. -EBUSY, and not kept: one's thread runs. */
int vmirq_state_hold_vcpus(struct vmirq_vm *vm);
void vmirq_state_let_go_vcpus(struct vmirq_vm *vm);
/* vcpu.c: the next one after this index that is there, or NULL. -1: the first. */
struct vmirq_vcpu *vmirq_state_next_vcpu(const struct vmirq_vm *vm, int64_t index);

#endif
