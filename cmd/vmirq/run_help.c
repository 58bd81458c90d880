// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "run_options.h"
#include "source.h"

void run_help(void)
{
	fputs("usage: vmirq run [OPTION...]\n"
	      "\n"
	      "Starts a small guest whose interrupt controller is libvmirq's, raises interrupts from\n"
	      "sources of several kinds at once, and accounts for every one: what the source raised,\n"
	      "what the library made of it, and what the guest's own handlers counted.\n"
	      "\n"
	      "  --source KIND[:ARG]  a source; may be repeated (default: one of each kind that the\n"
	      "                       machine has). Kinds:\n",
	      stdout);
	for (uint32_t i = 0; i < source_kind_count; i++)
		printf("                         %s%s%s%s\n                           %s\n",
		       source_kinds[i]->name, source_kinds[i]->arg ? "[:" : "",
		       source_kinds[i]->arg ? source_kinds[i]->arg : "",
		       source_kinds[i]->arg ? "]" : "", source_kinds[i]->what);
	fputs("  --count N            raises of each source, to 10^12 (default 20000; vhost-user-blk:\n"
	      "                       requests, at most 20000; others also have their most)\n"
	      "  --seconds S          in place of --count: all sources at once, for S seconds, and how\n"
	      "                       many signals, IPIs, disk requests and changes of routes a second\n"
	      "                       (with it, --count is a bound)\n"
	      "  --churn              change routes while interrupts go by them: a lane takes the others'\n"
	      "                       of its source in turn; bypasses come and go; MSI-X vectors are\n"
	      "                       masked, written anew and opened. Not with --paced\n"
	      "  --cpu WHAT           kvm; threads: C handlers stand for the guest, no /dev/kvm\n"
	      "                       needed; auto: kvm where /dev/kvm opens, else threads (default)\n"
	      "  --irqchip WHERE      where the interrupt controller is. soft: in this process\n"
	      "                       (default); kvm: in the kernel; split: the local APICs there,\n"
	      "                       the IOAPIC and the 8259s here. The last two with --cpu kvm only\n"
	      "  --without WHAT       do as if the kernel had no signal-msi, irqfd, resample or\n"
	      "                       ioeventfd; may be repeated\n"
	      "  --vcpus N            1 to 64 (default 2)\n"
	      "  --paced              each source waits for the handler before its next raise, so that\n"
	      "                       nothing coalesces; without a handler within 5 s the interrupt is\n"
	      "                       lost, and the run says where it got stuck\n"
	      "  --x2apic             the guest uses its local APICs by MSR, not by memory\n"
	      "  --busy               vCPUs spin in the guest and do not HLT; wants a core for\n"
	      "                       each, or the latencies are the host's scheduler's\n"
	      "  --timeout S          give up after S seconds (beyond those of --seconds) and say where\n"
	      "                       everything is (default 120)\n"
	      "  --json FILE          the account for programs; - = stdout, with nothing else on it\n"
	      "\n"
	      "Without --paced a source raises as fast as it can: interrupts coalesce, as on hardware,\n"
	      "and the table says how many. Before that each source, alone, makes up to half of its\n"
	      "raises paced (at most 10000, at most 2 s): that is where the latency comes from. It is\n"
	      "the time from the raise until the source's thread sees that the guest's handler has\n"
	      "counted; with vhost-user-blk it includes the daemon's reading of the disk.\n"
	      "\n",
	      stdout);
	fputs("In the table; the JSON has the outcomes by their names in `verdicts`:\n"
	      "  raised     signals the library was given. Equals the source's own count (JSON: own;\n"
	      "             null where a device's signals cannot be counted from outside)\n"
	      "  delivered  newly taken by a vCPU (the library's `delivered` less `merged`),\n"
	      "             and a level that came while the one before was in service, and was\n"
	      "             delivered at its end (JSON: redelivered)\n"
	      "  coalesced  the vector was pending already: the guest sees one interrupt for both.\n"
	      "             The library's `coalesced`, and `merged`: joined in the vCPU's IRR\n"
	      "  other      all other outcomes, named below the table; eventfd_merged: several writes\n"
	      "             to an eventfd that were read at once\n"
	      "  held       given, but not decided yet\n"
	      "  handled    what the guest's handlers counted; must equal delivered, but on kvm and\n"
	      "             split, where how many joined in a vCPU's IRR is hidden\n"
	      "  lost/extra what is missing or too much between two of these counts\n"
	      "raised = delivered + coalesced + other + held holds in each row.\n"
	      "Below it (JSON: facts), with bypass which way the signals went, and how often the way changed;\n"
	      "with mailbox:\n"
	      "  coalesced_in_page  the bit was set already: the device saw it and the library did not;\n"
	      "                     part of coalesced. What the device set newly is what was swept\n"
	      "  rings, sweeps      doorbells heard; looks of the polling thread that found something\n"
	      "  parks              that thread found nothing for a while and went to sleep: the next\n"
	      "                     raise rings. Waking or kicking a vCPU is in none of these\n"
	      "\n"
	      "examples:\n"
	      "  vmirq run\n"
	      "  vmirq run --cpu threads --vcpus 4 --count 1000000 --json -\n"
	      "  vmirq run --source vhost-user-blk:disk.img --count 5000\n"
	      "  vmirq run --source call --source eventfd --paced\n"
	      "  vmirq run --cpu threads --seconds 60 --churn\n"
	      "  vmirq run --cpu threads --source mailbox --source mailbox:eventfd\n"
	      "\n"
	      "exit codes: 0 = nothing lost, nothing extra, nothing failed; 1 = otherwise, or not\n"
	      "finished (SIGINT and SIGTERM end a run early, the account is still given); 2 = usage;\n"
	      "77 = the machine lacks what was asked for by name.\n",
	      stdout);
}
