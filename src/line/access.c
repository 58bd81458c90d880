/* SPDX-License-Identifier: MIT */
/* The guest's accesses to chips that belong to the VM. */
#include <errno.h>
#include <string.h>

#include "base/vm.h"
#include "line/line.h"

static uint64_t load_bytes(const void *data, uint32_t len)
{
	uint64_t value = 0;

	memcpy(&value, data, len < sizeof(value) ? len : sizeof(value));
	return value;
}

static void store_bytes(void *data, uint32_t len, uint64_t value)
{
	memset(data, 0, len);
	memcpy(data, &value, len < sizeof(value) ? len : sizeof(value));
}

bool vmirq_lines_mmio(struct line_domain *lines, uint64_t gpa, void *data, uint32_t len,
		      bool is_write)
{
	for (uint32_t i = 0; i < lines->ioapics; i++) {
		struct ioapic *ioapic = &lines->ioapic[i]->ioapic;

		if (!vmirq_ioapic_claims(ioapic, gpa, len))
			continue;
		if (is_write)
			vmirq_line_write_ioapic(lines, lines->ioapic[i], gpa, len,
						load_bytes(data, len));
		else
			store_bytes(data, len, vmirq_ioapic_read(ioapic, gpa, len));
		return true;
	}
	return false;
}

bool vmirq_lines_pio(struct line_domain *lines, uint16_t port, void *data, uint32_t len,
		     bool is_write)
{
	if (lines->has_pic && vmirq_i8259_claims(port, len)) {
		if (is_write)
			vmirq_i8259_write(&lines->pic, port, len, (uint32_t)load_bytes(data, len));
		else
			store_bytes(data, len, vmirq_i8259_read(&lines->pic, port, len));
		return true;
	}
	return lines->has_pit && vmirq_pit_pio(&lines->pit, port, data, len, is_write);
}
