/* SPDX-License-Identifier: MIT */
#ifndef KVM_START_H
#define KVM_START_H

#include <stdbool.h>
#include <stdint.h>

/* -errno of the ioctl that failed. */
int vmirq_kvm_do_init(int vcpu_fd);
int vmirq_kvm_do_sipi(int vcpu_fd, uint8_t page);

#endif
