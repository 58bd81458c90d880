// SPDX-License-Identifier: MIT
/* Differences that are known and wanted, each with its reason. All of them. */
#include "diff_known.h"

const struct known known_differences[] = {
	{ "directed-eoi",
	  "the kernel's split irqchip offers EOI-broadcast suppression; soft does with an IOAPIC "
	  "that has an EOI register, and this one has not",
	  is_directed_eoi, true },
	{ "ppr-lags",
	  "after KVM_SET_LAPIC the kernel's PPR is of before, until the CPU runs; ours follows at "
	  "once",
	  is_lagging_ppr, true },
	{ "disable-resets",
	  "disabled by IA32_APIC_BASE, a local APIC is as after power-up (SDM vol. 3A 11.4.3); the "
	  "kernel keeps its registers",
	  is_disabled, false },
	{ "no-smm", "this kernel is built without SMM: an SMI is dropped", is_no_smm, true },
	{ "illegal-vector",
	  "vectors 0 to 15 are illegal and never pending (SDM vol. 3A 11.5.2); the kernel sets "
	  "their bits in IRR and TMR, where nothing comes of them",
	  is_illegal_vector, true },
	{ "icr-high",
	  "the kernel keeps an x2APIC's ICR as 64 bits and shows its upper half at 0x304 too",
	  is_icr_high, true },
	{ "stale-icr", "in x2APIC mode anew, the kernel's ICR has the upper half of the last time",
	  is_stale_icr, false },
	{ "lvt-read-only",
	  "delivery status and Remote-IRR of an LVT entry are read-only (SDM vol. 3A 11.5.1); the "
	  "kernel stores what is written",
	  is_lvt_read_only, true },
	{ "cr8-same-class",
	  "MOV to CR8 of the class that TPR has already clears TPR bits 3:0; without a local APIC of "
	  "its own the kernel shows CR8 only, which has not changed",
	  is_same_class, false },
	{ "aliased-id",
	  "in xAPIC mode the kernel's CPUs with ids above 255 also answer to the id's low 8 bits",
	  is_aliased_id, false },
	{ "hash",
	  "lowest priority by a logical destination: the kernel chooses among all bits of the mask, "
	  "also those that are nobody's, and then drops the message; soft among those who can take it",
	  is_hash, false },
	{ "broadcast-hint",
	  "with a redirection hint to the physical 0xff the kernel turns any delivery mode into fixed",
	  is_hinted, false },
	{ "logical-disabled",
	  "NMI, SMI and INIT reach a software-disabled local APIC (SDM vol. 3A 11.4.7.2); by a logical "
	  "destination the kernel does not find it",
	  is_logical_disabled, false },
	{ "mixed-logical",
	  "while some local APICs are in x2APIC mode and others are not, the kernel finds logical "
	  "destinations of all by the rules of some",
	  is_mixed_logical, false },
	{ "nobody-remote-irr",
	  "a level that no local APIC takes leaves Remote-IRR clear; in the kernel it is set where "
	  "delivery said -1 (see \"nobody\"), and the pin is stuck",
	  is_nobody_remote_irr, false },
	{ "reprogram-unlatches",
	  "a control word drops what was latched (82C54 data sheet); the kernel keeps it",
	  is_unlatched, false },
	{ "pit-tick", "the PIT's output rises on one side a moment before the other", is_pit_tick,
	  true },
	{ "null-count",
	  "the status byte of a PIT channel says in bit 6 that a new count is not loaded yet; the "
	  "kernel's never does",
	  is_null_count, true },
	{ "deassign-delivers",
	  "deassign delivers what was written before the call; the kernel throws it away",
	  is_deassign, false },
	{ "stale-timer",
	  "a timer that runs out while its LVT entry is masked is gone (SDM vol. 3A 11.5.1), as is a "
	  "one-shot that has run out; the kernel delivers the first at unmask, TSC_DEADLINE reading as "
	  "before, and the second again when its state is loaded",
	  is_stale_timer, false },
	{ "undrained",
	  "an eventfd that is readable when it is bound raises once, and soft has read it; the kernel "
	  "has not (KVM API 4.75)",
	  is_undrained, false },
	{ "not-an-msi",
	  "a message to an address outside 0xfeexxxxx is none; the kernel takes its low bits all the "
	  "same",
	  is_not_an_msi, false },
	{ "nobody",
	  "a message that nobody takes is 0 here; the kernel says 0 or -1, by whether an LDR of "
	  "several bits has switched off its map of destinations",
	  is_nobody, true },
};
const size_t known_count = sizeof(known_differences) / sizeof(known_differences[0]);
