// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "bench.h"

void bench_help(void)
{
	fputs("usage: vmirq bench [OPTION...]\n"
	      "       vmirq bench --mixed [OPTION of vmirq run...]\n"
	      "\n"
	      "How fast libvmirq is, held against what else there is. Each row measures three kinds of\n"
	      "side in turns, in short slices, in this one process, so that whatever else the machine\n"
	      "does hits all alike:\n"
	      "\n"
	      "  ours   libvmirq, by its public calls, as any program would link it\n"
	      "  peer   another way to the same end: mostly the real /dev/kvm, also eventfd, epoll; a\n"
	      "         name that begins with port_ is our own port of an algorithm\n"
	      "  floor  what cannot be done without: a locked operation, a line that crosses to another\n"
	      "         core, a futex's wake-up, a cache miss\n"
	      "\n"
	      "Read the ratios, not the times: a time is the machine's on that day. Each row's note says\n"
	      "what each side does and does not do: some win because they make no system call.\n"
	      "\n"
	      "  --rows LIST   only these rows, with commas between (below)\n"
	      "  --quick       all rows within a minute: coarser, the same fields. Without it a run takes\n"
	      "                up to ten minutes\n"
	      "  --json FILE   for programs; - = stdout, with nothing else on it\n"
	      "  --mixed       no rows, but a load: short for `vmirq run --churn --bursts --seconds 10`, all that\n"
	      "                raises interrupts here at once, while their routes change. What follows\n"
	      "                are options of vmirq run (--seconds 3600, --cpu threads, --json -, ...)\n"
	      "  --plot DIR    a file ROW.svg for each row, by gnuplot: how the samples are distributed\n"
	      "\n"
	      "rows:\n",
	      stdout);
	for (uint32_t i = 0; i < bench_rows_count; i++)
		printf("  %-18s %s\n", bench_rows[i].name, bench_rows[i].what);
	fputs("\n"
	      "Figures: p50, p99 and max over samples, none left out unless the note says so and counts\n"
	      "them. A sample is one operation where that takes microseconds, else the mean of a batch,\n"
	      "as the note says; a batch's p99 is not an operation's. Where a row has two threads they\n"
	      "are bound to the first two CPUs that this process may use.\n"
	      "\n"
	      "JSON: {\"machine\": {...}, \"rows\": [...]}. A row has\n"
	      "  name, unit, what, note\n"
	      "  ours, floor   {\"p50\", \"p99\", \"max\", \"runs\", ...}, null where there is none, or not yet\n"
	      "  peers         the same by the peer's name\n"
	      "  ratio_floor   ours / floor: smaller is better\n"
	      "  ratio_peer    by name, peer / ours: how many times as fast ours is\n"
	      "  values        figures that are no durations: lost, torn, bytes\n"
	      "  target        ratio_floor_max, ratio_peer_min, ours_over_peer_max, p99_max, values_max\n"
	      "  met           whether all targets are, also those of cases; false if one was not measured\n"
	      "  cases         other sizes and kinds of the row, the same fields each\n"
	      "\n"
	      "examples:\n"
	      "  vmirq bench --quick\n"
	      "  vmirq bench --rows msi_post,wake_parked\n"
	      "  vmirq bench --json bench.json --plot plots\n"
	      "  vmirq bench --mixed --seconds 60 --cpu threads\n"
	      "\n"
	      "exit codes: 0 = measured, whether targets are met or not; 1 = a row failed, or an interrupt\n"
	      "was lost, torn or unaccounted for in it; 2 = usage. Without /dev/kvm its peers and its rows\n"
	      "are left out, and their notes say so. 77 = --plot without gnuplot, all else done.\n",
	      stdout);
}
