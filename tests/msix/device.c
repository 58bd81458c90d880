// SPDX-License-Identifier: MIT
#include "device.h"

#include <stdlib.h>

struct vmirq_msix *device_new_msi(struct vmirq_vm *vm, uint32_t vectors, uint32_t flags)
{
	struct vmirq_msix_config config = { .size = sizeof(config),
					    .vectors = vectors,
					    .flags = flags };
	struct vmirq_msix *msix = NULL;

	assert_int_equal(vmirq_msix_create(vm, &config, &msix), 0);
	assert_non_null(msix);
	return msix;
}

struct vmirq_msix *device_new(struct vmirq_vm *vm, uint32_t vectors)
{
	return device_new_msi(vm, vectors, 0);
}

void device_free(struct vmirq_msix *msix)
{
	assert_int_equal(vmirq_msix_destroy(msix), 0);
}

uint32_t table_read(struct vmirq_msix *msix, uint32_t vector, unsigned int word)
{
	uint32_t value = 0xdeadbeef;

	assert_int_equal(vmirq_msix_table_access(msix, vector * 16u + word * 4, &value, 4, false),
			 0);
	return value;
}

void table_write(struct vmirq_msix *msix, uint32_t vector, unsigned int word, uint32_t value)
{
	assert_int_equal(vmirq_msix_table_access(msix, vector * 16u + word * 4, &value, 4, true),
			 0);
}

void table_put(struct vmirq_msix *msix, uint32_t vector, uint32_t dest, uint8_t apic_vector,
	       bool masked)
{
	table_write(msix, vector, ENTRY_ADDRESS, 0xfee00000u | dest << 12);
	table_write(msix, vector, ENTRY_ADDRESS_HI, 0);
	table_write(msix, vector, ENTRY_DATA, apic_vector);
	table_mask(msix, vector, masked);
}

void table_mask(struct vmirq_msix *msix, uint32_t vector, bool masked)
{
	table_write(msix, vector, ENTRY_CONTROL, masked);
}

void enable(struct vmirq_msix *msix)
{
	assert_int_equal(vmirq_msix_set_control(msix, true, false), 0);
}

bool pba_bit(struct vmirq_msix *msix, uint32_t vector)
{
	uint64_t bits = 0;

	assert_int_equal(vmirq_msix_pba_access(msix, vector / 64 * 8, &bits, 8, false), 0);
	return bits >> vector % 64 & 1;
}

uint32_t msi_read(struct vmirq_msix *msix, uint32_t offset, uint32_t len)
{
	uint32_t value = 0;

	assert_int_equal(vmirq_msix_msi_access(msix, offset, &value, len, false), 0);
	return value;
}

void msi_write(struct vmirq_msix *msix, uint32_t offset, uint32_t len, uint32_t value)
{
	assert_int_equal(vmirq_msix_msi_access(msix, offset, &value, len, true), 0);
}

struct vmirq_route_counts vector_counts(struct vmirq_msix *msix, uint32_t vector)
{
	struct vmirq_irqfd *irqfd = vmirq_msix_irqfd(msix, vector);

	assert_non_null(irqfd);
	return counts_of(irqfd);
}

unsigned int free_gsis(struct vmirq_vm *vm)
{
	uint32_t *gsi = malloc(SOFT_GSIS * sizeof(*gsi));
	unsigned int n = 0;

	assert_non_null(gsi);
	while (n < SOFT_GSIS && !vmirq_gsi_alloc(vm, &gsi[n]))
		n++;
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(vmirq_gsi_free(vm, gsi[i]), 0);
	free(gsi);
	return n;
}
