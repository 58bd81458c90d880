/* SPDX-License-Identifier: MIT */
/* A device's vectors as its guest sees them: registers of the table, the PBA, the MSI capability. */
#ifndef TESTS_MSIX_DEVICE_H
#define TESTS_MSIX_DEVICE_H

#include "../support.h"

#include <vmirq/msix.h>

/* Words of an entry. */
enum { ENTRY_ADDRESS, ENTRY_ADDRESS_HI, ENTRY_DATA, ENTRY_CONTROL };

struct vmirq_msix *device_new(struct vmirq_vm *vm, uint32_t vectors);
struct vmirq_msix *device_new_msi(struct vmirq_vm *vm, uint32_t vectors, uint32_t flags);
void device_free(struct vmirq_msix *msix);

uint32_t table_read(struct vmirq_msix *msix, uint32_t vector, unsigned int word);
void table_write(struct vmirq_msix *msix, uint32_t vector, unsigned int word, uint32_t value);
/* The whole entry, as Linux writes it: the mask last. */
void table_put(struct vmirq_msix *msix, uint32_t vector, uint32_t dest, uint8_t apic_vector,
	       bool masked);
void table_mask(struct vmirq_msix *msix, uint32_t vector, bool masked);
void enable(struct vmirq_msix *msix);
bool pba_bit(struct vmirq_msix *msix, uint32_t vector);

uint32_t msi_read(struct vmirq_msix *msix, uint32_t offset, uint32_t len);
void msi_write(struct vmirq_msix *msix, uint32_t offset, uint32_t len, uint32_t value);

struct vmirq_route_counts vector_counts(struct vmirq_msix *msix, uint32_t vector);
/* GSIs that a VM can still give out, one after the other: how many, given back again. */
unsigned int free_gsis(struct vmirq_vm *vm);

#define assert_trigger(msix, vector, expected) \
	assert_verdict(vmirq_msix_trigger(msix, vector), expected)

#endif
