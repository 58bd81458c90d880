/* SPDX-License-Identifier: MIT */
/* An MSI capability (PCI 6.8.1): its registers by offset, and the vectors' messages by them. */
#include <errno.h>
#include <string.h>

#include "msix/msix.h"

#define CAPABILITY_ID	  5u
#define CONTROL_64BIT	  (1u << 7)
#define CONTROL_MASKABLE  (1u << 8)
#define CONTROL_MMC_SHIFT 1
#define CONTROL_WRITABLE  (MSI_ENABLE | MSI_MME)

/* Words of the capability, and their offsets. */
enum msi_word {
	MSI_CONTROL,
	MSI_ADDRESS_LO,
	MSI_ADDRESS_HI,
	MSI_DATA,
	MSI_MASK,
	MSI_PENDING,
	MSI_NONE
};

static enum msi_word word_at(const struct vmirq_msix *msix, uint32_t offset)
{
	uint32_t word = offset / 4;

	if (word >= MSI_ADDRESS_HI && !(msix->config.flags & VMIRQ_MSIX_MSI_64BIT))
		word++;
	if (word > (msix->config.flags & VMIRQ_MSIX_MSI_MASKABLE ? MSI_PENDING : MSI_DATA))
		return MSI_NONE;
	return (enum msi_word)word;
}

/* log2 of how many there are. */
static uint32_t capable(const struct vmirq_msix *msix)
{
	return (uint32_t)__builtin_ctz(msix->n);
}

static uint32_t pending_bits(struct vmirq_msix *msix)
{
	uint32_t bits = 0;

	vmirq_msix_drain(msix, 0, msix->n);
	for (uint32_t i = 0; i < msix->n; i++)
		bits |= (uint32_t)irqfd_pending(msix->vector[i].irqfd) << i;
	return bits;
}

static uint32_t control_bits(const struct vmirq_msix *msix)
{
	uint32_t flags = msix->config.flags;

	return msix->control | capable(msix) << CONTROL_MMC_SHIFT |
	       (flags & VMIRQ_MSIX_MSI_64BIT ? CONTROL_64BIT : 0) |
	       (flags & VMIRQ_MSIX_MSI_MASKABLE ? CONTROL_MASKABLE : 0);
}

static uint32_t read_word(struct vmirq_msix *msix, enum msi_word word)
{
	switch (word) {
	case MSI_CONTROL:
		return CAPABILITY_ID | control_bits(msix) << 16;
	case MSI_ADDRESS_LO:
		return msix->address_lo;
	case MSI_ADDRESS_HI:
		return msix->address_hi;
	case MSI_DATA:
		return msix->data;
	case MSI_MASK:
		return msix->mask;
	case MSI_PENDING:
		return pending_bits(msix);
	default:
		return UINT32_MAX;
	}
}

static uint32_t all_vectors(const struct vmirq_msix *msix)
{
	return msix->n == 32 ? UINT32_MAX : (1u << msix->n) - 1;
}

static void write_control(struct vmirq_msix *msix, uint32_t value)
{
	uint32_t mme = (value & MSI_MME) >> MSI_MME_SHIFT;

	if (mme > capable(msix))
		mme = capable(msix);
	msix->control = (value & MSI_ENABLE) | mme << MSI_MME_SHIFT;
}

static void write_word(struct vmirq_msix *msix, enum msi_word word, uint32_t value)
{
	switch (word) {
	case MSI_CONTROL:
		write_control(msix, value >> 16);
		break;
	case MSI_ADDRESS_LO:
		msix->address_lo = value & ~3u;
		break;
	case MSI_ADDRESS_HI:
		msix->address_hi = value;
		break;
	case MSI_DATA:
		msix->data = value & 0xffff;
		break;
	case MSI_MASK:
		msix->mask = value & all_vectors(msix);
		break;
	default:
		break;
	}
}

void vmirq_msix_spread(struct vmirq_msix *msix)
{
	uint32_t allocated = 1u << ((msix->control & MSI_MME) >> MSI_MME_SHIFT);

	msix->enabled = msix->control & MSI_ENABLE;
	atomic_store_explicit(&msix->allocated, allocated, memory_order_relaxed);
	for (uint32_t i = 0; i < msix->n; i++) {
		struct msix_vector *v = &msix->vector[i];

		v->message = (struct msi_message){
			.address_lo = msix->address_lo,
			.address_hi = msix->address_hi,
			.data = (msix->data & ~(allocated - 1)) | (i & (allocated - 1)),
		};
		v->masked = i >= allocated || (msix->mask >> i & 1);
	}
}

static bool well_formed(uint32_t offset, uint32_t len)
{
	return (len == 1 || len == 2 || len == 4) && offset % len == 0;
}

int vmirq_msix_msi_access(struct vmirq_msix *msix, uint32_t offset, void *data, uint32_t len,
			  bool is_write)
{
	enum msi_word word;
	uint32_t value;
	int error;

	if (!msix || !msix_is_msi(msix) || (len && !data))
		return -EINVAL;
	word = well_formed(offset, len) ? word_at(msix, offset) : MSI_NONE;
	if (word == MSI_NONE) {
		if (!is_write && len)
			memset(data, 0xff, len);
		return 0;
	}
	error = is_write ? vmirq_msix_begin(msix) : vmirq_msix_lock(msix);
	if (error)
		return error;
	/* A write leaves the word's other bytes as they are. */
	value = is_write && word == MSI_PENDING ? 0 : read_word(msix, word);
	if (is_write) {
		memcpy((char *)&value + offset % 4, data, len);
		write_word(msix, word, value);
		vmirq_msix_spread(msix);
		error = vmirq_msix_apply(msix, 0, msix->n);
	} else {
		memcpy(data, (char *)&value + offset % 4, len);
	}
	return vmirq_msix_end(msix, 0, is_write ? msix->n : 0, error);
}
