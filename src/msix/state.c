/* SPDX-License-Identifier: MIT */
/* Reset, save, load. */
#include <errno.h>
#include <string.h>

#include "base/reader.h"
#include "msix/msix.h"

#define ENTRY_FLAGS (VMIRQ_MSIX_ENTRY_MASKED | VMIRQ_MSIX_ENTRY_PENDING)

/* Everything masked, whatever the registers say. */
static void close_all(struct vmirq_msix *msix)
{
	msix->enabled = false;
	/* Nothing opens, so nothing fails. */
	vmirq_msix_apply(msix, 0, msix->n);
}

static void clear_registers(struct vmirq_msix *msix)
{
	msix->function_mask = false;
	msix->control = msix->address_lo = msix->address_hi = msix->data = msix->mask = 0;
	for (uint32_t i = 0; i < msix->n; i++) {
		msix->vector[i].message = (struct msi_message){ 0 };
		msix->vector[i].masked = true;
	}
	if (msix_is_msi(msix))
		vmirq_msix_spread(msix);
}

int vmirq_msix_reset(struct vmirq_msix *msix)
{
	int error = vmirq_msix_begin(msix);

	if (error)
		return error;
	close_all(msix);
	clear_registers(msix);
	vmirq_msix_drain(msix, 0, msix->n);
	for (uint32_t i = 0; i < msix->n; i++)
		vmirq_irqfd_clear_pending(msix->vector[i].irqfd);
	return vmirq_msix_end(msix, 0, msix->n, 0);
}

static uint64_t wide(uint32_t hi, uint32_t lo)
{
	return (uint64_t)hi << 32 | lo;
}

static void save_entry(const struct vmirq_msix *msix, uint32_t i, struct vmirq_msix_entry *entry)
{
	const struct msix_vector *v = &msix->vector[i];

	*entry = (struct vmirq_msix_entry){ 0 };
	if (!msix_is_msi(msix)) {
		entry->address = wide(v->message.address_hi, v->message.address_lo);
		entry->data = v->message.data;
		entry->flags = v->masked ? VMIRQ_MSIX_ENTRY_MASKED : 0;
	}
	if (irqfd_pending(v->irqfd))
		entry->flags |= VMIRQ_MSIX_ENTRY_PENDING;
}

static uint32_t control_of(const struct vmirq_msix *msix)
{
	if (msix_is_msi(msix))
		return msix->control;
	return (msix->enabled ? MSIX_ENABLE : 0) | (msix->function_mask ? MSIX_FUNCTION_MASK : 0);
}

int vmirq_msix_save(struct vmirq_msix *msix, struct vmirq_msix_state *state)
{
	int error;

	if (!msix || !state || state->size < VMIRQ_MSIX_STATE_SIZE(msix->n))
		return -EINVAL;
	error = vmirq_msix_lock(msix);
	if (error)
		return error;
	vmirq_msix_drain(msix, 0, msix->n);
	state->vectors = msix->n;
	state->control = control_of(msix);
	state->msi_address = wide(msix->address_hi, msix->address_lo);
	state->msi_data = msix->data;
	state->msi_mask = msix->mask;
	for (uint32_t i = 0; i < msix->n; i++)
		save_entry(msix, i, &state->entry[i]);
	pthread_mutex_unlock(&msix->mutex);
	return 0;
}

static bool msi_valid(const struct vmirq_msix *msix, const struct vmirq_msix_state *s)
{
	uint32_t flags = msix->config.flags;
	uint32_t mme = (s->control & MSI_MME) >> MSI_MME_SHIFT;

	return !(s->control & ~(MSI_ENABLE | MSI_MME)) && mme <= 5 && 1u << mme <= msix->n &&
	       !(s->msi_address & 3) && s->msi_data <= 0xffff &&
	       (flags & VMIRQ_MSIX_MSI_64BIT || s->msi_address <= UINT32_MAX) &&
	       (flags & VMIRQ_MSIX_MSI_MASKABLE || !s->msi_mask) &&
	       !((uint64_t)s->msi_mask >> msix->n);
}

static bool state_valid(const struct vmirq_msix *msix, const struct vmirq_msix_state *s)
{
	bool msi = msix_is_msi(msix);

	if (s->size < VMIRQ_MSIX_STATE_SIZE(msix->n) || s->vectors != msix->n)
		return false;
	if (msi ? !msi_valid(msix, s)
		: s->control & ~(MSIX_ENABLE | MSIX_FUNCTION_MASK) || s->msi_address ||
			    s->msi_data || s->msi_mask)
		return false;
	for (uint32_t i = 0; i < msix->n; i++) {
		const struct vmirq_msix_entry *e = &s->entry[i];

		if (e->flags & ~(msi ? VMIRQ_MSIX_ENTRY_PENDING : ENTRY_FLAGS) ||
		    (msi && (e->address || e->data)) || e->address & 3)
			return false;
	}
	return true;
}

static void put_registers(struct vmirq_msix *msix, const struct vmirq_msix_state *s)
{
	for (uint32_t i = 0; i < msix->n; i++) {
		const struct vmirq_msix_entry *e = &s->entry[i];
		struct msix_vector *v = &msix->vector[i];

		v->message = (struct msi_message){ .address_lo = (uint32_t)e->address,
						   .address_hi = (uint32_t)(e->address >> 32),
						   .data = e->data };
		v->masked = e->flags & VMIRQ_MSIX_ENTRY_MASKED;
		if (e->flags & VMIRQ_MSIX_ENTRY_PENDING)
			vmirq_irqfd_set_pending(v->irqfd);
	}
	if (!msix_is_msi(msix)) {
		msix->enabled = s->control & MSIX_ENABLE;
		msix->function_mask = s->control & MSIX_FUNCTION_MASK;
		return;
	}
	msix->control = s->control;
	msix->address_lo = (uint32_t)s->msi_address;
	msix->address_hi = (uint32_t)(s->msi_address >> 32);
	msix->data = s->msi_data;
	msix->mask = s->msi_mask;
	vmirq_msix_spread(msix);
}

int vmirq_msix_load(struct vmirq_msix *msix, const struct vmirq_msix_state *state)
{
	int error;

	if (!msix || !state || !state_valid(msix, state))
		return -EINVAL;
	error = vmirq_msix_begin(msix);
	if (error)
		return error;
	close_all(msix);
	put_registers(msix, state);
	error = vmirq_msix_apply(msix, 0, msix->n);
	return vmirq_msix_end(msix, 0, msix->n, error);
}
