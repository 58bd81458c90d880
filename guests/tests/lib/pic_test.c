// SPDX-License-Identifier: MIT
#include "pic_test.h"

#include "cpu.h"
#include "ioapic.h"
#include "test.h"

void pic_end(struct frame *frame)
{
	bool slave = frame->vector >= PIC_SLAVE_VECTOR;

	if (slave)
		pic_command(PIC_SLAVE, OCW2_EOI);
	pic_command(PIC_MASTER, OCW2_EOI);
}

void pic_count_and_end(struct frame *frame)
{
	count_interrupt(frame);
	pic_end(frame);
}

void pic_count_only(struct frame *frame)
{
	count_interrupt(frame);
}

void pic_set_all(handler *fn)
{
	for (uint32_t irq = 0; irq < 16; irq++)
		set_handler(VECTOR(irq), fn);
}

/* Anew: interrupts off, as ICW1 opens every line for a while. */
void pic_begin_as(uint8_t icw4_master, uint8_t icw4_slave, uint16_t mask)
{
	interrupts_off();
	for (uint32_t irq = 3; irq < 16; irq++)
		line_set(irq, false);
	pic_init(icw4_master, icw4_slave);
	pic_elcr(0);
	pic_mask(mask);
	pic_set_all(pic_count_and_end);
	interrupts_on();
	forget_interrupts();
}

void pic_begin(uint16_t mask)
{
	pic_begin_as(ICW4_8086, ICW4_8086, mask);
}

void pic_check_log(const char *file, uint32_t line, uint32_t n, const uint32_t *words)
{
	WAIT_UNTIL(logged(0) >= n);
	settle();
	check_equal(file, line, "how many came", logged(0), n);
	for (uint32_t i = 0; i < n; i++)
		check_equal(file, line, "which came", log_at(0, i), words[i]);
	forget_interrupts();
}
