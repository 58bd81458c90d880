/* SPDX-License-Identifier: MIT */
/* PCI configuration mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2) of a bus with nothing on it. No lock
 * of its own. */
#ifndef PC_PCI_H
#define PC_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_ADDRESS_PORT 0xcf8
#define PCI_DATA_PORT	 0xcfc

struct pci {
	uint32_t address;
};

void pci_init(struct pci *p);
bool pci_pio(struct pci *p, uint16_t port, void *data, uint32_t len, bool is_write);

#endif
