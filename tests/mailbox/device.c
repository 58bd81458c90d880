// SPDX-License-Identifier: MIT
/*
 * A device in a process of its own: raises the interrupts whose numbers come over its socket, and answers each
 * with whether it was newly raised. Not linked with the library. Its one argument is the socket's descriptor.
 */
#include <stdlib.h>

#include <vmirq/mailbox_client.h>

int main(int argc, char **argv)
{
	struct vmirq_mailbox_client client;
	int socket = argc > 1 ? atoi(argv[1]) : 0;
	uint32_t i;

	if (vmirq_mailbox_client_receive(socket, &client) < 0)
		return 1;
	while (read(socket, &i, sizeof(i)) == (ssize_t)sizeof(i)) {
		int32_t raised = vmirq_mailbox_client_raise(&client, i);

		if (write(socket, &raised, sizeof(raised)) < 0)
			break;
	}
	vmirq_mailbox_client_detach(&client);
	return 0;
}
