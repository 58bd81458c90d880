/* SPDX-License-Identifier: MIT */
/* A local APIC's saved state: the words of struct kvm_lapic_state. */
#ifndef CHIP_LAPIC_STATE_H
#define CHIP_LAPIC_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct lapic;

void vmirq_lapic_save(struct lapic *l, uint32_t *words);
/* False: no state a LAPIC can be in; nothing has changed. */
bool vmirq_lapic_load(struct lapic *l, const uint32_t *words);

#endif
