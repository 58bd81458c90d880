// SPDX-License-Identifier: MIT
/*
 * A device in a process of its own that raises without end, until it is told to stop or is killed. Its
 * arguments: its socket's descriptor, and that of the memory where it counts.
 */
#include <sched.h>
#include <stdlib.h>

#include <vmirq/mailbox_client.h>

#include "soak_device.h"

int main(int argc, char **argv)
{
	struct vmirq_mailbox_client client;
	struct soak_counts *counts;
	uint32_t n = 0;

	if (argc < 3 || vmirq_mailbox_client_receive(atoi(argv[1]), &client) < 0)
		return 1;
	counts = (struct soak_counts *)mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE,
					    MAP_SHARED, atoi(argv[2]), 0);
	if (counts == MAP_FAILED)
		return 1;
	while (!atomic_load(&counts->stop)) {
		int raised;

		atomic_fetch_add(&counts->begun, 1);
		raised = vmirq_mailbox_client_raise(&client, n++ % SOAK_INTERRUPTS);
		if (raised < 0)
			return 1;
		atomic_fetch_add(&counts->newly, (uint64_t)raised);
		atomic_fetch_add(&counts->over, 1);
		if (n % 16 == 0)
			sched_yield();
	}
	vmirq_mailbox_client_detach(&client);
	return 0;
}
