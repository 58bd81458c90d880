// SPDX-License-Identifier: MIT
#include "pci.h"

#include <string.h>

/* Enable, bus, device, function, register: the other bits read 0. */
#define ADDRESS_BITS 0x80fffffcu

void pci_init(struct pci *p)
{
	p->address = 0;
}

bool pci_pio(struct pci *p, uint16_t port, void *data, uint32_t len, bool is_write)
{
	/* "only as a full DWORD"; anything narrower passes to other devices (0xcf9 is one). */
	if (port == PCI_ADDRESS_PORT && len == 4) {
		if (is_write) {
			memcpy(&p->address, data, 4);
			p->address &= ADDRESS_BITS;
		} else {
			memcpy(data, &p->address, 4);
		}
		return true;
	}
	if (port < PCI_DATA_PORT || port >= PCI_DATA_PORT + 4)
		return false;
	/* Master abort. */
	if (!is_write)
		memset(data, 0xff, len);
	return true;
}
