/* SPDX-License-Identifier: MIT */
/* A guest's accesses to the MSI-X table and PBA (PCI 6.8.2). */
#include <errno.h>
#include <string.h>

#include "base/reader.h"
#include "msix/msix.h"

#define ENTRY_BYTES   16u
#define ADDRESS_BITS  (~3u) /* 1:0 are 0 (6.8.2.4) */
#define VECTOR_MASKED 1u

enum entry_word { WORD_ADDRESS_LO, WORD_ADDRESS_HI, WORD_DATA, WORD_CONTROL };

/* Whole words, aligned, inside. */
static bool well_formed(uint64_t offset, uint32_t len, uint64_t size)
{
	return (len == 4 || len == 8) && offset % len == 0 && offset < size && len <= size - offset;
}

static uint32_t read_word(const struct vmirq_msix *msix, uint32_t word)
{
	const struct msix_vector *v = &msix->vector[word / 4];

	switch ((enum entry_word)(word % 4)) {
	case WORD_ADDRESS_LO:
		return v->message.address_lo;
	case WORD_ADDRESS_HI:
		return v->message.address_hi;
	case WORD_DATA:
		return v->message.data;
	default:
		return v->masked ? VECTOR_MASKED : 0;
	}
}

static void write_word(struct vmirq_msix *msix, uint32_t word, uint32_t value)
{
	struct msix_vector *v = &msix->vector[word / 4];

	switch ((enum entry_word)(word % 4)) {
	case WORD_ADDRESS_LO:
		v->message.address_lo = value & ADDRESS_BITS;
		break;
	case WORD_ADDRESS_HI:
		v->message.address_hi = value;
		break;
	case WORD_DATA:
		v->message.data = value;
		break;
	default:
		v->masked = value & VECTOR_MASKED;
		break;
	}
}

static int access_words(struct vmirq_msix *msix, uint32_t offset, void *data, uint32_t len,
			bool is_write)
{
	uint32_t words[2];

	if (is_write)
		memcpy(words, data, len);
	for (uint32_t i = 0; i < len / 4; i++) {
		if (is_write)
			write_word(msix, offset / 4 + i, words[i]);
		else
			words[i] = read_word(msix, offset / 4 + i);
	}
	if (is_write)
		return vmirq_msix_apply(msix, offset / ENTRY_BYTES, 1);
	memcpy(data, words, len);
	return 0;
}

int vmirq_msix_table_access(struct vmirq_msix *msix, uint64_t offset, void *data, uint32_t len,
			    bool is_write)
{
	int error;

	if (!msix || msix_is_msi(msix) || (len && !data))
		return -EINVAL;
	if (!well_formed(offset, len, VMIRQ_MSIX_TABLE_SIZE(msix->n))) {
		if (!is_write && len)
			memset(data, 0xff, len);
		return 0;
	}
	error = is_write ? vmirq_msix_begin(msix) : vmirq_msix_lock(msix);
	if (error)
		return error;
	error = access_words(msix, (uint32_t)offset, data, len, is_write);
	return vmirq_msix_end(msix, (uint32_t)offset / ENTRY_BYTES, is_write, error);
}

void vmirq_msix_drain(struct vmirq_msix *msix, uint32_t first, uint32_t n)
{
	bool any = false;

	for (uint32_t i = first; i < first + n; i++) {
		struct msix_vector *v = &msix->vector[i];

		if (v->open || !v->irqfd->source)
			continue;
		vmirq_irqfd_drain(v->irqfd);
		any = true;
	}
	/* What the pump has read and not raised yet. */
	if (any)
		vmirq_reader_wait();
}

int vmirq_msix_pba_access(struct vmirq_msix *msix, uint64_t offset, void *data, uint32_t len,
			  bool is_write)
{
	uint32_t first, end;
	uint64_t bits = 0;
	int error;

	if (!msix || msix_is_msi(msix) || (len && !data))
		return -EINVAL;
	if (is_write)
		return 0;
	if (!well_formed(offset, len, VMIRQ_MSIX_PBA_SIZE(msix->n))) {
		if (len)
			memset(data, 0xff, len);
		return 0;
	}
	error = vmirq_msix_lock(msix);
	if (error)
		return error;
	first = (uint32_t)offset * 8;
	end = first + len * 8 < msix->n ? first + len * 8 : msix->n;
	if (first < end)
		vmirq_msix_drain(msix, first, end - first);
	for (uint32_t i = first; i < end; i++)
		bits |= (uint64_t)irqfd_pending(msix->vector[i].irqfd) << (i - first);
	pthread_mutex_unlock(&msix->mutex);
	/* The guest's byte order is ours. */
	memcpy(data, &bits, len);
	return 0;
}

int vmirq_msix_set_control(struct vmirq_msix *msix, bool enable, bool function_mask)
{
	int error;

	if (!msix || msix_is_msi(msix))
		return -EINVAL;
	error = vmirq_msix_begin(msix);
	if (error)
		return error;
	msix->enabled = enable;
	msix->function_mask = function_mask;
	error = vmirq_msix_apply(msix, 0, msix->n);
	return vmirq_msix_end(msix, 0, msix->n, error);
}
