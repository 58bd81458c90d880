/* SPDX-License-Identifier: MIT */
/* A PC's chips, made and wired: what each calls, and who is told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"
#include "base/vm.h"
#include "chip/lapic.h"
#include "line/line.h"

#include <vmirq/route.h>

#define RTC_PIN 8

static const struct vmirq_ioapic_config pc_ioapic = {
	.base = UINT64_C(0xfec00000),
	.pins = IOAPIC_MIN_PINS,
	.version = IOAPIC_VERSION_82093,
};

static struct delivery ioapic_deliver(void *opaque, const struct interrupt *irq)
{
	struct line_ioapic *io = opaque;
	struct vmirq_vm *vm = io->lines->vm;
	struct chip *chip = vm->chip;
	struct reader *section = line_enter();
	struct msi_message msg;
	struct delivery d;

	if (vm->irqchip) {
		vmirq_msi_encode(irq, chip->format, &msg);
		d = vmirq_route_send(vm, &msg);
	} else {
		d = vmirq_deliver(chip, irq);
	}
	reader_exit(section);
	/* As /dev/kvm: nobody accepts one from an IOAPIC, so Remote-IRR is not set. */
	if (irq->mode == DELIVERY_EXTINT)
		d.accepted = 0;
	if (unlikely(d.verdict != VMIRQ_DELIVERED))
		counts_add(&chip->ioapic, d.verdict, 1);
	return d;
}

static struct target ioapic_resolve(void *opaque, const struct interrupt *irq)
{
	struct line_ioapic *io = opaque;
	struct reader *section = line_enter();
	struct target target = vmirq_resolve(io->lines->vm->chip, irq);

	reader_exit(section);
	return target;
}

uint64_t vmirq_line_delivered(const struct line_domain *lines)
{
	const struct counts *others = &lines->vm->chip->ioapic;
	uint64_t n = 0;

	for (uint32_t i = 0; i < lines->ioapics; i++)
		n += atomic_load_explicit(&lines->ioapic[i]->ioapic.sent, memory_order_relaxed);
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		n -= atomic_load_explicit(&others->verdict[i], memory_order_relaxed);
	return n;
}

static void pin_acked(struct line_domain *lines, enum pin_of chip, uint32_t pin)
{
	vmirq_line_notify(lines, VMIRQ_NOTICE_ACK, chip, pin, 0);
	if (lines->has_pit && vmirq_line_goes_to(lines, 0, chip, pin))
		vmirq_pit_acked(&lines->pit);
}

static void pin_masked(struct line_domain *lines, enum pin_of chip, uint32_t pin, bool masked)
{
	vmirq_line_notify(lines, VMIRQ_NOTICE_MASK, chip, pin, masked);
	if (lines->has_pit && !masked && vmirq_line_goes_to(lines, 0, chip, pin))
		vmirq_pit_unmasked(&lines->pit);
}

static void ioapic_ack(void *opaque, uint32_t pin)
{
	struct line_ioapic *io = opaque;

	pin_acked(io->lines, PIN_IOAPIC, IOAPIC_PIN(io->number, pin));
}

static void ioapic_mask_changed(void *opaque, uint32_t pin, bool masked)
{
	struct line_ioapic *io = opaque;

	pin_masked(io->lines, PIN_IOAPIC, IOAPIC_PIN(io->number, pin), masked);
}

static void ioapic_stands(void *opaque, uint32_t pin)
{
	struct line_ioapic *io = opaque;

	vmirq_line_notify(io->lines, NOTICE_STANDS, PIN_IOAPIC, IOAPIC_PIN(io->number, pin), 0);
}

static void ioapic_changed(void *opaque, uint32_t pin)
{
	struct line_ioapic *io = opaque;

	vmirq_line_commit_pin(io->lines, io, pin);
}

static void ioapic_throttled(void *opaque, uint32_t pin, uint64_t deadline)
{
	struct line_ioapic *io = opaque;

	if (!atomic_exchange_explicit(&io->retry_at[pin], deadline ? deadline : 1,
				      memory_order_relaxed))
		atomic_fetch_add_explicit(&io->lines->throttled, 1, memory_order_relaxed);
	vmirq_lines_rearm(io->lines);
}

static void pic_output_changed(void *opaque)
{
	struct line_domain *lines = opaque;
	struct chip *chip = lines->vm->chip;
	struct reader *section = reader_enter();

	if (!lines->vm->irqchip)
		vmirq_chip_pic_output(chip);
	else if (vmirq_i8259_output(&lines->pic))
		/* Who has the kernel's local APIC asks it: see kvm/kernel_run.c. */
		vmirq_post_event(chip, &chip->posted[0], EVENT_EXTINT);
	reader_exit(section);
}

static enum pin_of pic_chip(uint32_t pin)
{
	return pin < 8 ? PIN_MASTER : PIN_SLAVE;
}

static void pic_ack(void *opaque, uint32_t pin)
{
	pin_acked(opaque, pic_chip(pin), pin % 8);
}

static void pic_mask_changed(void *opaque, uint32_t pin, bool masked)
{
	pin_masked(opaque, pic_chip(pin), pin % 8, masked);
}

static void pit_set_irq(void *opaque, bool level)
{
	struct line_domain *lines = opaque;

	vmirq_line_set_any(lines->vm, 0, SOURCE_PIT, level, NULL);
}

static void pit_deadline_changed(void *opaque)
{
	vmirq_lines_rearm(opaque);
}

static off_path void broadcast_eoi_to_all(struct line_domain *lines, uint32_t vcpu, uint8_t vector,
					  bool level)
{
	for (uint32_t i = 0; i < lines->ioapics; i++)
		vmirq_ioapic_eoi(&lines->ioapic[i]->ioapic, vcpu, vector, level);
}

static void broadcast_eoi(void *opaque, uint32_t vcpu, uint8_t vector, bool level)
{
	struct line_domain *lines = opaque;

	if (likely(lines->ioapics == 1))
		vmirq_ioapic_eoi(&lines->ioapic[0]->ioapic, vcpu, vector, level);
	else
		broadcast_eoi_to_all(lines, vcpu, vector, level);
}

static void lapic_replaced(void *opaque, uint32_t vcpu, bool gone)
{
	struct line_domain *lines = opaque;
	struct ioapic *first = &lines->ioapic[0]->ioapic;

	if (gone)
		vmirq_ioapic_forget_tick(first, vcpu);
	else
		vmirq_ioapic_restore_tick(first, vcpu);
}

static enum holding ioapic_holds(void *opaque, uint32_t vcpu, const struct interrupt *irq)
{
	struct line_ioapic *io = opaque;

	return vmirq_chip_holds(io->lines->vm->chip, vcpu, irq);
}

/* Before the version is cut to its register's width; and an address is one chip's. */
static bool config_possible(const struct line_domain *lines,
			    const struct vmirq_ioapic_config *config)
{
	for (uint32_t i = 0; i < lines->ioapics; i++)
		if (lines->ioapic[i]->ioapic.config.base == config->base)
			return false;
	return config->version <= UINT8_MAX;
}

static int add_ioapic(struct line_domain *lines, const struct vmirq_ioapic_config *config)
{
	struct route_table *routes = lines->vm->routes;
	struct line_ioapic *io;

	if (!config_possible(lines, config))
		return -EINVAL;
	io = aligned_alloc(CACHE_LINE, sizeof(*io));
	if (!io)
		return -ENOMEM;
	memset(io, 0, sizeof(*io));
	io->lines = lines;
	io->number = lines->ioapics;
	io->lock = io->number ? &io->own_lock : &lines->chips_lock;
	if (!vmirq_ioapic_init(
		    &io->ioapic,
		    &(struct ioapic_config){
			    .host = lines->vm->chip->host,
			    .mutex = io->lock,
			    .calls = { .opaque = io,
				       .deliver = ioapic_deliver,
				       .resolve = ioapic_resolve,
				       .ack = ioapic_ack,
				       .mask_changed = ioapic_mask_changed,
				       .stands = ioapic_stands,
				       .changed = ioapic_changed,
				       .holds = ioapic_holds,
				       .throttled = ioapic_throttled },
			    .pins = io->pin,
			    .count = config->pins,
			    /* Who has taken its
						     * tick only our own local
						     * APICs tell. */
			    .rtc_pin = io->number || lines->vm->irqchip ? IOAPIC_NO_PIN : RTC_PIN,
			    .vcpus = lines->vm->chip->vcpus,
			    .base = config->base,
			    .id = (uint8_t)io->number,
			    .version = (uint8_t)config->version,
			    .format = lines->vm->chip->format,
			    .map = lines->vm->irqchip ? NULL : &lines->vm->chip->map,
		    })) {
		free(io);
		return -EINVAL;
	}
	if (config->version == IOAPIC_VERSION_EOI)
		lines->vm->chip->directed_eoi = true;
	routes->ioapic_pins[lines->ioapics] = config->pins;
	lines->ioapic[lines->ioapics++] = io;
	routes->ioapics = lines->ioapics;
	return 0;
}

static void add_pic(struct line_domain *lines, bool spec)
{
	struct vmirq_vm *vm = lines->vm;

	vmirq_i8259_init(&lines->pic, &(struct i8259_config){
					      .host = vm->chip->host,
					      .mutex = &lines->chips_lock,
					      .calls = { .opaque = lines,
							 .output_changed = pic_output_changed,
							 .ack = pic_ack,
							 .mask_changed = pic_mask_changed },
					      .poll_is_inta = spec,
					      .special_mask_works = spec,
				      });
	lines->has_pic = true;
	vm->routes->pic_pins = I8259_PINS;
	vm->chip->pic = &lines->pic;
}

static void add_pit(struct line_domain *lines, bool discard)
{
	vmirq_pit_init(&lines->pit, &lines->vm->chip->host, &lines->pit_mutex,
		       &(struct pit_config){
			       .policy = discard ? PIT_DISCARD : PIT_REINJECT,
			       .shortest = PIT_SHORTEST_KVM,
			       .opaque = lines,
			       .set_irq = pit_set_irq,
			       .deadline_changed = pit_deadline_changed,
		       });
	lines->has_pit = true;
	lines->pit_reinjects = !discard;
}

/* The kernel has made them. */
static int use_kernels_chips(struct line_domain *lines, const struct line_config *config)
{
	struct route_table *routes = lines->vm->routes;

	if (config->n_ioapics)
		return -EINVAL;
	routes->pic_pins = I8259_PINS;
	routes->ioapics = 1;
	routes->ioapic_pins[0] = IOAPIC_MIN_PINS;
	return config->pc_chips ? vmirq_route_pc_default(lines->vm) : 0;
}

static int add_chips(struct line_domain *lines, const struct line_config *config)
{
	const struct vmirq_ioapic_config *ioapics = config->n_ioapics ? config->ioapics
								      : &pc_ioapic;
	uint32_t n = config->n_ioapics ? config->n_ioapics : 1;
	int error = 0;

	for (uint32_t i = 0; i < n && !error; i++)
		error = add_ioapic(lines, &ioapics[i]);
	if (error)
		return error;
	lines->vm->chip->eoi_opaque = lines;
	lines->vm->chip->eoi = broadcast_eoi;
	lines->vm->chip->lapic_replaced = lapic_replaced;
	add_pic(lines, config->spec);
	if (config->pit)
		add_pit(lines, config->pit_discard);
	error = vmirq_lines_start_timer(lines);
	return error ? error : vmirq_route_pc_default(lines->vm);
}

int vmirq_lines_create(struct vmirq_vm *vm, const struct line_config *config,
		       struct line_domain **out)
{
	struct line_domain *lines = calloc(1, sizeof(*lines));

	if (!lines)
		return -ENOMEM;
	lines->vm = vm;
	pthread_mutex_init(&lines->split_mutex, NULL);
	pthread_mutex_init(&lines->source_mutex, NULL);
	pthread_mutex_init(&lines->timer_mutex, NULL);
	vm->routes->moved = vmirq_line_moved;
	vm->routes->moved_opaque = lines;
	/* Known to the VM before it can fail: what was made is taken apart with it. */
	*out = lines;
	if (vmirq_line_in_kernel(vm))
		return use_kernels_chips(lines, config);
	return config->pc_chips ? add_chips(lines, config) : 0;
}

int vmirq_lines_reset(struct line_domain *lines)
{
	if (vmirq_line_in_kernel(lines->vm))
		return vmirq_kernel_reset_chips(lines->vm);
	/* First: the 8259s' reset acknowledges what was in service, and a tick still owed would follow. */
	if (lines->has_pit)
		vmirq_pit_reset(&lines->pit);
	for (uint32_t i = 0; i < lines->ioapics; i++) {
		vmirq_ioapic_reset(&lines->ioapic[i]->ioapic);
		vmirq_line_forget_retries(lines->ioapic[i]);
	}
	vmirq_line_commit_ioapics(lines);
	if (lines->has_pic)
		vmirq_i8259_reset(&lines->pic);
	return 0;
}

void vmirq_lines_destroy(struct line_domain *lines)
{
	struct vmirq_notifier *first;

	if (!lines)
		return;
	vmirq_timer_destroy(&lines->timer);
	while ((first = atomic_load_explicit(&lines->notifiers, memory_order_relaxed)))
		vmirq_notifier_remove(first);
	for (uint32_t i = 0; i < lines->ioapics; i++)
		free(lines->ioapic[i]);
	pthread_mutex_destroy(&lines->split_mutex);
	pthread_mutex_destroy(&lines->source_mutex);
	pthread_mutex_destroy(&lines->timer_mutex);
	free(lines);
}
