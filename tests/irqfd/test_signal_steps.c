// SPDX-License-Identifier: MIT
/*
 * A signal handler that signals an irqfd after each instruction of a change that its own thread makes of that
 * irqfd's route, or of its mask: the change comes to an end, and each signal has one outcome. The thread
 * single-steps itself (single_step.h).
 */
#include <signal.h>
#include <ucontext.h>

#include "../irqchip/world.h"
#include "../msix/device.h"
#include "../single_step.h"

#define GSI 60
#define PIN 20
/* No change takes so many. */
#define ENDLESS 100000

static struct vmirq_irqfd *irqfd;
static volatile sig_atomic_t steps, signals;

static void stepped(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (++steps >= ENDLESS) {
		/* It goes on, and ends, without. */
		((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
		return;
	}
	if (irqfd) {
		vmirq_irqfd_signal(irqfd);
		signals++;
	}
}

static void begin(void)
{
	steps = 0;
	step_on();
}

#define end()                                                  \
	do {                                                   \
		step_off();                                    \
		if (steps >= ENDLESS)                          \
			fail_msg("it did not come to an end"); \
	} while (0)

/* Each has one outcome, or is held still. */
static void check(void)
{
	struct vmirq_route_counts counts = { .size = sizeof(counts) };

	assert_int_equal(vmirq_irqfd_counts(irqfd, &counts), 0);
	assert_int_equal(counts.raised, signals);
	assert_int_equal(counts.verdict[VMIRQ_DEASSIGNED], 0);
}

static void start(struct vmirq_irqfd *of)
{
	signals = 0;
	irqfd = of;
}

static void stop(void)
{
	check();
	assert_true(signals > 500);
	irqfd = NULL;
}

static void put_message(struct world *w, uint64_t address, uint32_t data)
{
	int error;

	begin();
	error = vmirq_route_set_msi(w->vm, GSI, address, data);
	end();
	assert_int_equal(error, 0);
}

/* Of a vCPU, of several, a level, of nobody, and no message at all. */
static void test_messages(struct world *w)
{
	start(world_irqfd(w, GSI, -1));
	put_message(w, 0xfee00000, 0x41);
	put_message(w, 0xfee01000, 0x42);
	put_message(w, 0xfeeff000, 0x43);
	put_message(w, 0xfee00000, 0xc044);
	put_message(w, 0xfee01000, 0xc045);
	put_message(w, 0xfee77000, 0x46);
	put_message(w, 0xfee00000, 5);
	put_message(w, 0xfee00000, 0x47);
	stop();
}

static void test_no_route(struct world *w)
{
	start(world_irqfd(w, GSI, -1));
	put_message(w, 0xfee00000, 0x41);
	begin();
	vmirq_route_clear(w->vm, GSI);
	end();
	put_message(w, 0xfee00000, 0x41);
	stop();
}

static void put_pin(struct world *w, uint32_t pin)
{
	struct kvm_irq_routing_entry e = { .gsi = GSI,
					   .type = KVM_IRQ_ROUTING_IRQCHIP,
					   .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC,
							  .pin = pin } };
	int error;

	begin();
	error = vmirq_route_set(w->vm, &e, 1);
	end();
	assert_int_equal(error, 0);
}

static void test_pins(struct world *w)
{
	world_rte(w, PIN, 0, 0x51, false);
	world_rte(w, PIN + 1, 0, 0x52, false);
	start(world_irqfd(w, GSI, -1));
	put_pin(w, PIN);
	put_pin(w, PIN + 1);
	put_message(w, 0xfee00000, 0x41);
	put_pin(w, PIN);
	stop();
}

static void test_masks(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 1);

	table_put(msix, 0, 0, 0x61, true);
	enable(msix);
	start(vmirq_msix_irqfd(msix, 0));
	for (unsigned int i = 0; i < 4; i++) {
		begin();
		table_mask(msix, 0, i % 2);
		end();
	}
	begin();
	table_write(msix, 0, ENTRY_DATA, 0x62);
	end();
	stop();
	device_free(msix);
}

static void run(enum vmirq_irqchip irqchip, void (*test)(struct world *w))
{
	const struct world_config config = { .irqchip = irqchip, .flags = VMIRQ_VM_PC_CHIPS };
	struct world *w;

	if (!world_possible(irqchip))
		skip();
	w = world_new(&config);
	test(w);
	world_free(w);
}

/* Not where the library sends the kernel's messages by dynamic routes: a signal takes a lock there. */
#define ON(chip, what)                                  \
	static void what##_on_##chip(void **state)      \
	{                                               \
		(void)state;                            \
		run(VMIRQ_IRQCHIP_##chip, test_##what); \
	}
ON(SOFT, messages)
ON(SPLIT, messages)
ON(KVM, messages)
ON(SOFT, no_route)
ON(SPLIT, no_route)
ON(KVM, no_route)
ON(SOFT, pins)
ON(SPLIT, pins)
ON(KVM, pins)
ON(SOFT, masks)
ON(SPLIT, masks)
ON(KVM, masks)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_on_SOFT),  cmocka_unit_test(messages_on_SPLIT),
		cmocka_unit_test(messages_on_KVM),   cmocka_unit_test(no_route_on_SOFT),
		cmocka_unit_test(no_route_on_SPLIT), cmocka_unit_test(no_route_on_KVM),
		cmocka_unit_test(pins_on_SOFT),	     cmocka_unit_test(pins_on_SPLIT),
		cmocka_unit_test(pins_on_KVM),	     cmocka_unit_test(masks_on_SOFT),
		cmocka_unit_test(masks_on_SPLIT),    cmocka_unit_test(masks_on_KVM),
	};
	struct sigaction action = { .sa_sigaction = stepped, .sa_flags = SA_SIGINFO };

	if (!can_step(&action, &steps))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
