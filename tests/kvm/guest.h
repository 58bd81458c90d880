/* SPDX-License-Identifier: MIT */
/* A real-mode guest of a few bytes on /dev/kvm, with its local APICs in the library. */
#ifndef TESTS_KVM_GUEST_H
#define TESTS_KVM_GUEST_H

#include "../support.h"

#include <linux/kvm.h>
#include <vmirq/kvm_run.h>

#define GUEST_VCPUS 2

#define CODE	    0x1000u /* where the bootstrap processor starts */
#define COUNT	    0x7000u /* a byte that HANDLER counts in */
#define HANDLER	    0x2000u /* of every vector: OUT to HANDLED, count, EOI, IRET */
#define GP_HANDLER  0x2800u /* of #GP: OUT to FAULTED, HLT */
#define AP_PAGE	    0x5u    /* where a SIPI starts the other */
#define RESET_OUT   0x55    /* what the reset vector tells */
#define HANDLED	    0x77
#define FAULTED	    0x0d

/* Machine code, 16 bits. */
#define OUT(port)	      0xe6, (port)
#define IN(port)	      0xe4, (port)
#define OUT_EAX(port)	      0x66, 0xe7, (port)
#define AL(byte)	      0xb0, (byte)
#define CLI		      0xfa
#define STI		      0xfb
#define HLT		      0xf4
#define NOP		      0x90
#define SPIN		      0xeb, 0xfe
#define LE32(n)		      (n) & 0xff, (n) >> 8 & 0xff, (n) >> 16 & 0xff, (n) >> 24 & 0xff
#define EAX(n)		      0x66, 0xb8, LE32(n)
#define ECX(n)		      0x66, 0xb9, LE32(n)
#define EDX(n)		      0x66, 0xba, LE32(n)
#define ESI(n)		      0x66, 0xbe, LE32(n)
#define EDI(n)		      0x66, 0xbf, LE32(n)
#define STORE(address, value) 0x67, 0x66, 0xc7, 0x05, LE32(address), LE32(value)
#define LOAD_EAX(address)     0x67, 0x66, 0xa1, LE32(address)
#define MOVSD		      0x67, 0x66, 0xa5 /* ds:esi to es:edi */
#define RDMSR		      0x0f, 0x32
#define WRMSR		      0x0f, 0x30

/* sti; cmp byte [COUNT], n; jb to the cmp */
#define UNTIL_HANDLED(n) STI, 0x80, 0x3e, 0x00, 0x70, (n), 0x72, 0xf9

struct guest {
	struct soft s;
	int kvm, vm_fd;
	int fd[GUEST_VCPUS];
	struct kvm_run *run[GUEST_VCPUS];
	size_t run_size;
	uint8_t *memory; /* 64 KiB at 0, and 64 KiB below 4 GiB that hold the reset vector */
};

/* 77 for main() where there is no /dev/kvm to run it on; 0: there is. */
int guest_unavailable(void);
/* n vCPUs, the second waits for its SIPI; the calling thread runs both. Local APIC enabled. */
struct guest *guest_new(unsigned int n, uint32_t vm_flags, const uint8_t *code, size_t size);
void guest_put(struct guest *g, uint32_t address, const uint8_t *code, size_t size);
void guest_free(struct guest *g);

/* Runs to the next exit of the VMM's: this OUT. Returns what was put out. */
uint32_t guest_out(struct guest *g, unsigned int vcpu, uint8_t port);
/* Runs to an IN from this port; where the answer belongs. */
uint8_t *guest_in(struct guest *g, unsigned int vcpu, uint8_t port);
/* Runs to a read of memory that is not there; where the answer belongs. */
uint8_t *guest_read(struct guest *g, unsigned int vcpu, uint64_t gpa);
struct kvm_regs guest_regs(struct guest *g, unsigned int vcpu);
/* A fixed message to vCPU 0, delivered. */
void guest_msi(struct guest *g, uint8_t vector);

#define GUEST(n, flags, code) guest_new(n, flags, code, sizeof(code))

#endif
