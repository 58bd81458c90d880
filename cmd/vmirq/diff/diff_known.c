// SPDX-License-Identifier: MIT
/* Differences that are known and wanted, each with its reason. All of them. */
#include "diff_known.h"

const struct known known_differences[] = {
	{ "directed-eoi",
	  "the kernel's split irqchip offers EOI-broadcast suppression; soft does with an IOAPIC "
	  "that has an EOI register, and this one has not",
	  is_directed_eoi, KERNEL_PASSES },
	{ "ppr-lags",
	  "after KVM_SET_LAPIC the kernel's PPR is of before, until the CPU runs; ours follows at "
	  "once",
	  is_lagging_ppr, KERNEL_PASSES },
	{ "disable-resets",
	  "disabled by IA32_APIC_BASE, a local APIC is as after power-up (SDM vol. 3A 11.4.3); the "
	  "kernel keeps its registers",
	  is_disabled, KERNEL_STAYS },
	{ "no-smm", "this kernel is built without SMM: an SMI is dropped", is_no_smm,
	  KERNEL_PASSES },
	{ "illegal-vector",
	  "vectors 0 to 15 are illegal and never pending (SDM vol. 3A 11.5.2); the kernel sets "
	  "their bits in IRR and TMR, where nothing comes of them",
	  is_illegal_vector, KERNEL_PASSES },
	{ "icr-high",
	  "the kernel keeps an x2APIC's ICR as 64 bits and shows its upper half at 0x304 too",
	  is_icr_high, KERNEL_PASSES },
	{ "stale-icr", "in x2APIC mode anew, the kernel's ICR has the upper half of the last time",
	  is_stale_icr, KERNEL_STAYS },
	{ "lvt-read-only",
	  "delivery status and Remote-IRR of an LVT entry are read-only (SDM vol. 3A 11.5.1); the "
	  "kernel stores what is written",
	  is_lvt_read_only, KERNEL_PASSES },
	{ "cr8-same-class",
	  "MOV to CR8 of the class that TPR has already clears TPR bits 3:0; without a local APIC of "
	  "its own the kernel shows CR8 only, which has not changed",
	  is_same_class, KERNEL_STAYS },
	{ "aliased-id",
	  "in xAPIC mode the kernel's CPUs with ids above 255 also answer to the id's low 8 bits",
	  is_aliased_id, KERNEL_STAYS },
	{ "hash",
	  "lowest priority by a logical destination: the kernel chooses among all bits of the mask, "
	  "also those that are nobody's, and then drops the message; soft among those who can take it",
	  is_hash, KERNEL_STAYS },
	{ "broadcast-hint",
	  "with a redirection hint to the physical 0xff the kernel turns any delivery mode into fixed",
	  is_hinted, KERNEL_STAYS },
	{ "logical-disabled",
	  "NMI, SMI and INIT reach a software-disabled local APIC (SDM vol. 3A 11.4.7.2); by a logical "
	  "destination the kernel does not find it",
	  is_logical_disabled, KERNEL_STAYS },
	{ "mixed-logical",
	  "while some local APICs are in x2APIC mode and others are not, the kernel finds logical "
	  "destinations of all by the rules of some",
	  is_mixed_logical, KERNEL_STAYS },
	{ "nobody-remote-irr",
	  "a level that no local APIC takes leaves Remote-IRR clear; in the kernel it is set where "
	  "delivery said -1 (see \"nobody\"), and the pin is stuck",
	  is_nobody_remote_irr, KERNEL_STAYS },
	{ "reprogram-unlatches",
	  "a control word drops what was latched (82C54 data sheet); the kernel keeps it",
	  is_unlatched, KERNEL_STAYS },
	{ "pit-tick", "the PIT's output rises on one side a moment before the other", is_pit_tick,
	  KERNEL_PASSES },
	{ "null-count",
	  "the status byte of a PIT channel says in bit 6 that a new count is not loaded yet; the "
	  "kernel's never does",
	  is_null_count, KERNEL_PASSES },
	{ "deassign-delivers",
	  "deassign delivers what was written before the call; the kernel throws it away",
	  is_deassign, KERNEL_STAYS },
	{ "stale-timer",
	  "a timer that runs out while its LVT entry is masked is gone (SDM vol. 3A 11.5.1), as is a "
	  "one-shot that has run out; the kernel delivers the first at unmask, TSC_DEADLINE reading as "
	  "before, and the second again when its state is loaded",
	  is_stale_timer, KERNEL_STAYS },
	{ "undrained",
	  "an eventfd that is readable when it is bound raises once, and soft has read it; the kernel "
	  "has not (KVM API 4.75)",
	  is_undrained, KERNEL_STAYS },
	{ "not-an-msi",
	  "a message to an address outside 0xfeexxxxx is none; the kernel takes its low bits all the "
	  "same",
	  is_not_an_msi, KERNEL_STAYS },
	{ "nobody",
	  "a message that nobody takes is 0 here; the kernel says 0 or -1, by whether an LDR of "
	  "several bits has switched off its map of destinations",
	  is_nobody, KERNEL_PASSES },
	{ "no-4096-limit",
	  "libvmirq takes tables of any length; the kernel's have 4096 entries at most",
	  is_no_4096_limit, KERNEL_STAYS },
	{ "gsi-limit",
	  "a GSI past the VM's limit is -EINVAL here everywhere; the kernel binds an irqfd to it that can "
	  "never have a route, and a line there is one that nobody takes",
	  is_gsi_limit, KERNEL_STAYS },
	{ "split-pins",
	  "with the kernel's split irqchip, routes to pins go to libvmirq's own chips; the kernel refuses "
	  "them",
	  is_split_pins, KERNEL_STAYS },
	{ "split-resample",
	  "with the kernel's split irqchip libvmirq resamples by its own chips; the kernel refuses",
	  is_split_resample, KERNEL_STAYS },
	{ "busy-everywhere",
	  "an eventfd that another VM has bound is -EBUSY here; in the kernel from Linux 6.17 on",
	  is_busy_everywhere, KERNEL_STAYS },
	{ "icw1-isr",
	  "QEMU's 8259 forgets what is in service at ICW1; that is not among what ICW1 does (8259A data "
	  "sheet, \"ICW1 and ICW2\"), and the kernel's keeps it",
	  is_icw1_isr, QEMU_STAYS },
	{ "icw1-single",
	  "after an ICW1 with SNGL an 8259 expects no ICW3 (8259A data sheet, \"ICW3\"); ours does, as "
	  "the kernel's: a PC's are a pair",
	  is_icw1_single, QEMU_STAYS },
	{ "cascade-pulse",
	  "a slave that still asks is an edge for our master each time the slave is looked at, as in the "
	  "kernel; in QEMU only when its INT rises",
	  is_cascade_pulse, QEMU_STAYS },
	{ "cascade-late",
	  "a slave that asks again because ICW1 has cleared its mask is seen by our master at its next "
	  "change, as in the kernel; in QEMU at once",
	  is_cascade_late, QEMU_STAYS },
	{ "special-mask-late",
	  "special mask mode lets a request through at once (8259A data sheet, \"Special Mask Mode\"); "
	  "QEMU's INT shows it at the next change",
	  is_special_mask_late, QEMU_STAYS },
	{ "icw1-rotation",
	  "QEMU's ICW1 also ends rotation in automatic EOI mode, which the data sheet leaves to OCW2; the "
	  "kernel's does not",
	  is_icw1_rotation, QEMU_STAYS },
	{ "icw1-poll",
	  "QEMU's ICW1 also takes back a poll command, of which the data sheet says nothing; the kernel's "
	  "does not",
	  is_icw1_poll, QEMU_STAYS },
	{ "no-such-register",
	  "an IOAPIC register that is not there reads as ones, as in the kernel; QEMU's as 0",
	  is_no_such_register, QEMU_PASSES },
	{ "narrow-window",
	  "the IOAPIC is accessed with 32 bits (82093AA 3.0); a narrower read gets the low part, as in the "
	  "kernel; in QEMU 0",
	  is_narrow_window, QEMU_PASSES },
	{ "line-as-edge",
	  "a level-triggered RTE goes by the line as it is (82093AA 3.2.4); QEMU does not know that it rose "
	  "or fell while its RTE was edge-triggered",
	  is_line_as_edge, QEMU_STAYS },
	{ "qemu-remote-irr",
	  "Remote-IRR is set when a local APIC accepts a level (82093AA 3.2.4), which none does with ExtINT; "
	  "QEMU sets it when it sends one, whoever takes it",
	  is_qemu_remote_irr, QEMU_STAYS },
};
const size_t known_count = sizeof(known_differences) / sizeof(known_differences[0]);
