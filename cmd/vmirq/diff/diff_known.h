/* SPDX-License-Identifier: MIT */
/*
 * What makes a difference a known one: a predicate for each line of the table in diff_known.c.
 */
#ifndef VMIRQ_DIFF_KNOWN_H
#define VMIRQ_DIFF_KNOWN_H

#include "diff_session.h"

bool is_directed_eoi(const struct session *s, const struct difference *d);
bool is_lagging_ppr(const struct session *s, const struct difference *d);
bool is_disabled(const struct session *s, const struct difference *d);
bool is_illegal_vector(const struct session *s, const struct difference *d);
bool is_stale_icr(const struct session *s, const struct difference *d);
bool is_icr_high(const struct session *s, const struct difference *d);
bool is_lvt_read_only(const struct session *s, const struct difference *d);
bool is_same_class(const struct session *s, const struct difference *d);
bool is_aliased_id(const struct session *s, const struct difference *d);
bool is_hash(const struct session *s, const struct difference *d);
bool is_hinted(const struct session *s, const struct difference *d);
bool is_logical_disabled(const struct session *s, const struct difference *d);
bool is_mixed_logical(const struct session *s, const struct difference *d);
bool is_nobody_remote_irr(const struct session *s, const struct difference *d);
bool is_unlatched(const struct session *s, const struct difference *d);
bool is_null_count(const struct session *s, const struct difference *d);
bool is_deassign(const struct session *s, const struct difference *d);
bool is_stale_timer(const struct session *s, const struct difference *d);
bool is_undrained(const struct session *s, const struct difference *d);
bool is_not_an_msi(const struct session *s, const struct difference *d);
bool is_nobody(const struct session *s, const struct difference *d);
bool is_no_smm(const struct session *s, const struct difference *d);
bool is_pit_tick(const struct session *s, const struct difference *d);

/* diff_bind_known.c */
bool is_no_4096_limit(const struct session *s, const struct difference *d);
bool is_gsi_limit(const struct session *s, const struct difference *d);
bool is_split_pins(const struct session *s, const struct difference *d);
bool is_split_resample(const struct session *s, const struct difference *d);
bool is_busy_everywhere(const struct session *s, const struct difference *d);

/* diff_qemu_known.c */
bool is_icw1_isr(const struct session *s, const struct difference *d);
bool is_icw1_single(const struct session *s, const struct difference *d);
bool is_cascade_pulse(const struct session *s, const struct difference *d);
bool is_cascade_late(const struct session *s, const struct difference *d);
bool is_special_mask_late(const struct session *s, const struct difference *d);
bool is_icw1_rotation(const struct session *s, const struct difference *d);
bool is_icw1_poll(const struct session *s, const struct difference *d);
bool is_narrow_window(const struct session *s, const struct difference *d);
bool is_no_such_register(const struct session *s, const struct difference *d);
bool is_line_as_edge(const struct session *s, const struct difference *d);
bool is_qemu_remote_irr(const struct session *s, const struct difference *d);

/* diff_message.c: what an operation sends, and to whom. */
#define MODE_LOWEST 1
#define MODE_SMI    2
#define MODE_INIT   5

/* The local APIC's register that a guest's operation is about, or ~0. */
uint64_t op_lapic_register(const struct op *op);
/* The delivery mode of a message or an IPI; ~0: it is neither. */
uint64_t op_mode(const struct op *op);
bool op_is_init(const struct op *op);
bool op_is_logical(const struct op *op);
/* By a logical destination, and not a vector. */
bool op_is_logical_event(const struct op *op);
/* Lowest priority or a redirection hint, by a logical destination. */
bool op_is_hashed(const struct op *op);
/* A message with a redirection hint to everybody, and not a vector. */
bool op_is_hinted_broadcast(const struct op *op);
/* A message to an address that is none of a message. */
bool op_is_strange_address(const struct op *op);
/* What the CPU was before it, and what it is after, may both matter. */
bool op_changes_mode(const struct op *op);
bool op_changes_enable(const struct op *op);
bool op_is_cr8_write(const struct op *op);
/* Programs a counter of the PIT. */
bool op_is_control_word(const struct op *op);

#endif
