/* SPDX-License-Identifier: MIT */
/* Several vectors of one vCPU in one call. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/reader.h"
#include "chip/deliver.h"
#include "vcpu/kernel.h"

/* Nobody takes vectors 0..15 (SDM vol. 3A 11.5.2). */
#define ILLEGAL_VECTORS ((UINT64_C(1) << FIRST_LEGAL_VECTOR) - 1)

/* As popcount64(), in four bits each. */
static inline uint64_t nibble_counts(uint64_t v)
{
	v -= (v >> 1) & UINT64_C(0x5555555555555555);
	return (v & UINT64_C(0x3333333333333333)) + ((v >> 2) & UINT64_C(0x3333333333333333));
}

/* How many legal vectors there are: no more than 240, so that a byte holds them all. */
static inline uint32_t count(const uint64_t set[4])
{
	const uint64_t low = UINT64_C(0x0f0f0f0f0f0f0f0f);
	uint64_t a, b, bytes;

	if (likely(has_popcnt()))
		return (uint32_t)(popcnt(set[0]) + popcnt(set[1]) + popcnt(set[2]) +
				  popcnt(set[3]));
	a = nibble_counts(set[0]) + nibble_counts(set[1]);
	b = nibble_counts(set[2]) + nibble_counts(set[3]);
	bytes = (a & low) + ((a >> 4) & low) + (b & low) + ((b >> 4) & low);

	return (uint32_t)((bytes * UINT64_C(0x0101010101010101)) >> 56);
}

/* n that were counted as delivered came to this. */
static void recount(struct vmirq_vcpu *vcpu, enum vmirq_verdict verdict, uint32_t n)
{
	counts_add(&vcpu->masks, VMIRQ_DELIVERED, -(uint64_t)n);
	counts_add(&vcpu->masks, verdict, n);
}

/* Its APIC is in the map no more, or off there. */
static enum vmirq_verdict nobody(const struct vmirq_vcpu *vcpu)
{
	return atomic_load_explicit(&vcpu->posted->mode, memory_order_relaxed) == MODE_DEAD
		       ? VMIRQ_NO_TARGET
		       : VMIRQ_APIC_DISABLED;
}

static bool all_set(const uint64_t set[4], const uint64_t of[4])
{
	return !((set[0] ^ of[0]) | (set[1] ^ of[1]) | (set[2] ^ of[2]) | (set[3] ^ of[3]));
}

/* Inside a section whose fence was the count of `n` as delivered. Returns how many were. */
static uint32_t post(struct vmirq_vcpu *vcpu, const uint64_t vectors[4], uint32_t n,
		     uint64_t fresh[4])
{
	uint32_t newly;
	bool there;

	if (unlikely(!vmirq_dest_map_enabled(&vcpu->chip->map, vcpu->index))) {
		recount(vcpu, nobody(vcpu), n);
		return 0;
	}
	there = vmirq_post_mask(vcpu->chip, vcpu->posted, vectors, fresh);
	if (likely(all_set(fresh, vectors)))
		return n;
	newly = count(fresh);
	recount(vcpu, there ? VMIRQ_COALESCED : VMIRQ_NO_TARGET, n - newly);
	return newly;
}

int vmirq_vcpu_post_mask(struct vmirq_vcpu *vcpu, const uint64_t vectors[4], uint64_t newly[4])
{
	uint64_t legal[4], fresh[4] = { 0 };
	struct reader *section;
	uint64_t illegal;
	uint32_t n, posted;

	if (!vcpu || !vectors)
		return -EINVAL;
	if (vcpu_in_kernel(vcpu))
		return -EOPNOTSUPP;
	legal[0] = vectors[0];
	illegal = legal[0] & ILLEGAL_VECTORS;
	legal[0] &= ~ILLEGAL_VECTORS;
	legal[1] = vectors[1];
	legal[2] = vectors[2];
	legal[3] = vectors[3];
	n = count(legal);
	section = reader_enter_unfenced();
	/* As a signal does: count first, which is the section's fence, and mend the count. */
	counts_add(&vcpu->masks, VMIRQ_DELIVERED, n);
	fence_after_rmw();
	if (unlikely(illegal))
		counts_add(&vcpu->masks, VMIRQ_BAD_VECTOR, popcount64(illegal));
	posted = n ? post(vcpu, legal, n, fresh) : 0;
	reader_exit(section);
	if (newly)
		memcpy(newly, fresh, sizeof(fresh));
	return (int)posted;
}
