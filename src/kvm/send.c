/* SPDX-License-Identifier: MIT */
/* Messages to the kernel's local APICs. The system call is made in the function that returns to whoever sends,
 * or one deeper: see base/call.h. */
#include "kvm/send.h"

#include "base/call.h"
#include "base/reader.h"
#include "chip/deliver.h"
#include "kvm/slots.h"

static struct kernel_irqchip *of(struct irqchip *irqchip)
{
	return (struct kernel_irqchip *)irqchip;
}

/* The kernel says how many took it, never what was wrong: that can be seen on the message. */
static inline enum vmirq_verdict expect(const struct msi_message *msg)
{
	uint8_t mode = msi_mode(msg);

	if (!msi_is_interrupt(msg) || mode == DELIVERY_RESERVED || mode == DELIVERY_SIPI)
		return VMIRQ_BAD_MESSAGE;
	if (msi_vector(msg) < FIRST_LEGAL_VECTOR &&
	    (mode == DELIVERY_FIXED || mode == DELIVERY_LOWEST))
		return VMIRQ_BAD_VECTOR;
	return VMIRQ_DELIVERED;
}

/* Counted first, as nearly every message ends. The locked add is the section's fence, too. */
static inline void count_first(struct counts *counts, enum vmirq_verdict expected)
{
	if (likely(counts != NULL)) {
		counts_add(counts, expected, 1);
		fence_after_rmw();
	} else {
		fence_full();
	}
}

/* Nobody took it. */
static __attribute__((noinline)) int finish_untaken(struct counts *counts,
						    enum vmirq_verdict expected,
						    enum vmirq_verdict *verdict)
{
	if (expected == VMIRQ_DELIVERED) {
		expected = VMIRQ_NO_TARGET;
		if (counts) {
			counts_sub(counts, VMIRQ_DELIVERED, 1);
			counts_add(counts, expected, 1);
		}
	}
	if (verdict)
		*verdict = expected;
	return 0;
}

static inline int finish(int accepted, struct counts *counts, enum vmirq_verdict expected,
			 enum vmirq_verdict *verdict)
{
	if (unlikely(accepted <= 0))
		return finish_untaken(counts, expected, verdict);
	if (verdict)
		*verdict = expected;
	return accepted;
}

static inline struct msi_message message_of(const struct kvm_msi *msi)
{
	return (struct msi_message){ .address_lo = msi->address_lo,
				     .address_hi = msi->address_hi,
				     .data = msi->data };
}

int vmirq_kernel_send(struct irqchip *irqchip, const struct kvm_msi *msg, struct counts *counts,
		      enum vmirq_verdict *verdict)
{
	struct kvm_msi msi = { .address_lo = msg->address_lo,
			       .address_hi = msg->address_hi,
			       .data = msg->data };
	const struct msi_message message = message_of(msg);
	struct reader *section = reader_enter_unfenced();
	enum vmirq_verdict expected = expect(&message);
	int accepted;

	count_first(counts, expected);
	accepted = kernel_call(of(irqchip)->vm_fd, KVM_SIGNAL_MSI, &msi);
	reader_exit(section);
	return finish(accepted, counts, expected, verdict);
}

/* How many took it; or an error. */
static inline int raise_gsi(const struct kernel_irqchip *k, uint32_t gsi)
{
	struct kvm_irq_level line = { .irq = gsi, .level = 1 };
	int error = kernel_call(k->vm_fd, KVM_IRQ_LINE_STATUS, &line);

	return unlikely(error < 0) ? error : (int)line.status;
}

/* The section is entered, the table held where it can be, and the message counted. */
static __attribute__((noinline)) int send_held(struct kernel_irqchip *k, const struct kvm_msi *msi,
					       struct counts *counts, enum vmirq_verdict expected,
					       enum vmirq_verdict *verdict, struct reader *section)
{
	const struct msi_message message = message_of(msi);
	struct reader *record = reader_record(section);
	int gsi = vmirq_kernel_table_find(k->table, record, &message), accepted = 0;

	if (likely(gsi >= 0)) {
		accepted = raise_gsi(k, (uint32_t)gsi);
		vmirq_kernel_table_found(k->table, record);
	}
	reader_exit(section);
	return finish(accepted, counts, expected, verdict);
}

/* Inside another section or without a record, of an odd form, or not counted. */
static __attribute__((noinline)) int send_slowly(struct kernel_irqchip *k,
						 const struct kvm_msi *msi, struct counts *counts,
						 enum vmirq_verdict *verdict)
{
	const struct msi_message message = message_of(msi);
	struct reader *section = reader_enter_unfenced();
	enum vmirq_verdict expected = expect(&message);

	vmirq_kernel_table_seek(k->table, reader_record(section));
	count_first(counts, expected);
	return send_held(k, msi, counts, expected, verdict, section);
}

/* Here only what most are: an interrupt that has its route. All else goes on elsewhere. */
int vmirq_kernel_send_by_route(struct irqchip *irqchip, const struct kvm_msi *msi,
			       struct counts *counts, enum vmirq_verdict *verdict)
{
	const struct msi_message message = message_of(msi);
	struct kernel_irqchip *k = of(irqchip);
	struct kernel_table *t = k->table;
	struct reader *section = vmirq_reader_self;
	uint64_t state = reader_state(section);
	const uint32_t *bucket;
	uint32_t gsi;
	int accepted;

	if (unlikely((state & 1) || !counts || expect(&message) != VMIRQ_DELIVERED))
		return send_slowly(k, msi, counts, verdict);
	bucket = kernel_table_bucket(t, &message);
	reader_begin(section, state);
	vmirq_kernel_table_seek(t, section);
	count_first(counts, VMIRQ_DELIVERED);
	gsi = kernel_table_find_now(t, bucket, &message);
	if (unlikely(gsi == NO_GSI))
		return send_held(k, msi, counts, VMIRQ_DELIVERED, verdict, section);
	accepted = raise_gsi(k, gsi);
	vmirq_kernel_table_found(t, section);
	reader_end(section, reader_state(section) - 1);
	return finish(accepted, counts, VMIRQ_DELIVERED, verdict);
}
