// SPDX-License-Identifier: MIT
/*
 * Fixed and lowest-priority IPIs to every kind of destination (SDM vol. 3A 11.6.1, 11.6.2, 11.12.9
 * to 11.12.11), in xAPIC mode and in x2APIC mode.
 */
#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/smp.h"
#include "lib/test.h"

#define VECTOR 0x61

const char test_name[] = "ipi";

static uint32_t everybody(void)
{
	return (1u << cpu_count) - 1;
}

static uint32_t ones(uint32_t mask)
{
	uint32_t n = 0;

	for (; mask; mask &= mask - 1)
		n++;
	return n;
}

/* One IPI came to exactly these CPUs. */
static void check_came_to(const char *what, uint32_t wanted)
{
	uint32_t came = 0;

	WAIT_UNTIL(count_everywhere(VECTOR) >= ones(wanted));
	settle();
	for (uint32_t i = 0; i < cpu_count; i++) {
		if (count_of(i, VECTOR))
			came |= 1u << i;
		if (count_of(i, VECTOR) > 1)
			check_failed("ipi.c", __LINE__, what, count_of(i, VECTOR), 1);
	}
	if (came != wanted)
		check_failed("ipi.c", __LINE__, what, came, wanted);
	forget_interrupts();
}

static void send(uint32_t icr, uint32_t destination)
{
	apic_icr(icr | ICR_ASSERT | VECTOR, destination);
}

static void shorthands(void)
{
	/* The destination does not matter. */
	send(ICR_SELF, 3);
	check_came_to("self", 1);
	send(ICR_ALL, 3);
	check_came_to("all", everybody());
	send(ICR_ALL_BUT_SELF, 0);
	check_came_to("all but self", everybody() & ~1u);
}

static void physical(void)
{
	for (uint32_t i = 0; i < cpu_count; i++) {
		send(ICR_FIXED, i);
		check_came_to("physical", 1u << i);
	}
	send(ICR_FIXED, cpu_count + 2);
	check_came_to("physical, to nobody", 0);
}

static void physical_broadcast(uint32_t destination)
{
	send(ICR_FIXED, destination);
	check_came_to("physical broadcast", everybody());
}

static void send_to_first(void *arg)
{
	(void)arg;
	send(ICR_FIXED, 0);
}

static void send_all_but_self(void *arg)
{
	(void)arg;
	send(ICR_ALL_BUT_SELF, 0);
}

static void from_others(void)
{
	for (uint32_t i = 1; i < cpu_count; i++) {
		on_cpu(i, send_to_first, 0);
		check_came_to("from another CPU", 1);
		on_cpu(i, send_all_but_self, 0);
		check_came_to("from another CPU, all but self", everybody() & ~(1u << i));
	}
}

/* Any one of them, and no other. */
static void lowest(uint32_t icr, uint32_t destination)
{
	send(icr | ICR_LOWEST, destination);
	CHECK_COMES(count_everywhere(VECTOR));
	settle();
	CHECK_EQ(count_everywhere(VECTOR), 1);
	forget_interrupts();
}

static void set_flat(void *arg)
{
	(void)arg;
	apic_write(APIC_DFR, DFR_FLAT);
	apic_write(APIC_LDR, 1u << (24 + this_cpu()->index));
}

static void flat(void)
{
	on_all_cpus(set_flat, 0);
	for (uint32_t mask = 1; mask <= everybody(); mask++) {
		send(ICR_LOGICAL, mask);
		check_came_to("flat", mask);
	}
	send(ICR_LOGICAL, 0xff);
	check_came_to("flat broadcast", everybody());
	send(ICR_LOGICAL, 0x80);
	check_came_to("flat, to nobody", 0);
	lowest(ICR_LOGICAL, everybody());
	lowest(ICR_LOGICAL, 1);
}

/* Two CPUs to a cluster. */
static void set_cluster(void *arg)
{
	uint32_t i = this_cpu()->index;

	(void)arg;
	apic_write(APIC_DFR, DFR_CLUSTER);
	apic_write(APIC_LDR, ((i / 2) << 4 | 1u << i % 2) << 24);
}

static void cluster(void)
{
	on_all_cpus(set_cluster, 0);
	for (uint32_t i = 0; i < cpu_count; i++) {
		send(ICR_LOGICAL, (i / 2) << 4 | 1u << i % 2);
		check_came_to("cluster", 1u << i);
	}
	for (uint32_t c = 0; c * 2 < cpu_count; c++) {
		send(ICR_LOGICAL, c << 4 | 0xf);
		check_came_to("all of a cluster", 3u << 2 * c & everybody());
	}
	/* QEMU 7.2 knows no broadcast in this model. */
	if (!has_arg("qemu")) {
		send(ICR_LOGICAL, 0xff);
		check_came_to("cluster broadcast", everybody());
	}
	send(ICR_LOGICAL, 0x71);
	check_came_to("cluster, to nobody", 0);
	on_all_cpus(set_flat, 0);
}

static uint32_t ldr;

static void read_ldr(void *arg)
{
	(void)arg;
	ldr = apic_read(APIC_LDR);
}

static void x2apic_logical(void)
{
	for (uint32_t i = 0; i < cpu_count; i++) {
		on_cpu(i, read_ldr, 0);
		CHECK_EQ(ldr, (i >> 4) << 16 | 1u << (i & 15));
	}
	for (uint32_t mask = 1; mask <= everybody(); mask++) {
		send(ICR_LOGICAL, mask);
		check_came_to("x2APIC logical", mask);
	}
	send(ICR_LOGICAL, 0xffffffff);
	check_came_to("x2APIC logical broadcast", everybody());
	send(ICR_LOGICAL, 0x10001);
	check_came_to("x2APIC logical, another cluster", 0);
	lowest(ICR_LOGICAL, everybody());
}

static void x2apic(void)
{
	on_all_cpus(apic_to_x2apic, 0);
	shorthands();
	physical();
	physical_broadcast(0xffffffff);
	from_others();
	x2apic_logical();
	wrmsr(0x83f, VECTOR);
	check_came_to("SELF IPI register", 1);
	CHECK(!wrmsr_safe(0x83f, 0x100)); /* reserved bits */
	on_all_cpus(apic_to_xapic, 0);
}

/* Half of them: ids are ids in both modes (SDM vol. 3A 11.12.8). What 0xff is to an x2APIC
 * differs. */
static void mixed(void)
{
	for (uint32_t i = 1; i < cpu_count; i += 2)
		on_cpu(i, apic_to_x2apic, 0);
	physical();
	from_others();
	shorthands();
	for (uint32_t i = 1; i < cpu_count; i += 2)
		on_cpu(i, apic_to_xapic, 0);
}

void test_main(void)
{
	interrupts_on();
	smp_start();
	shorthands();
	physical();
	physical_broadcast(0xff);
	from_others();
	flat();
	cluster();
	if (!has_x2apic()) {
		print("x2APIC left out: the CPU has none\n");
		return;
	}
	x2apic();
	mixed();
}
