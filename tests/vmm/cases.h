/* SPDX-License-Identifier: MIT */
/* What a VMM does on any CPU back end, and what its tests share. */
#ifndef CASES_H
#define CASES_H

#include <stdint.h>

#include "vmm.h"

/* The exit status of the test program: 77 and one line where the machine lacks this back end. */
int run_cases(enum vmm_cpu which);
/* 0, or -errno of creating such a VMM, said on stderr: -ENODEV where the machine lacks it. */
int have_cpu(enum vmm_cpu which);
/* A VMM that has started; anything else fails the test. */
struct vmm *boot(const struct vmm_config *config);
void send_msi(struct vmm *vmm, uint32_t apic_id, uint32_t vector);

#endif
