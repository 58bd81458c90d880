/* SPDX-License-Identifier: MIT */
/* The IOAPIC: its window, lines, EOIs, retries and saved states, also from inside its callbacks. */
#include <string.h>

#include "check.h"
#include "chip/ioapic_pin.h"
#include "stream.h"

/* Operations. Their numbers stay: the corpus is written in them. */
enum op {
	OP_WRITE,	  /* flags, offset or address, length, value: any of it */
	OP_READ,	  /* flags, offset or address, length */
	OP_REGISTER,	  /* selector, value */
	OP_RTE_LOW,	  /* pin, value */
	OP_RTE_HIGH,	  /* pin, value */
	OP_LINE,	  /* pin, with bit 7: level */
	OP_LINE_STATUS,	  /* pin, with bit 7: level */
	OP_EOI,		  /* vector, level */
	OP_EOI_OF_PIN,	  /* pin: its vector, as a level */
	OP_STORM,	  /* pin: the last of too many EOIs */
	OP_RETRY,	  /* pin */
	OP_CLOCK,	  /* on by so many ns, scaled */
	OP_PRESENT,	  /* so many accept from now on */
	OP_FORGET_TICK,	  /* vCPU: a local APIC was reset, or (bit 7) loaded: who has what */
	OP_SAVE_LOAD,	  /* must change nothing that can be seen */
	OP_LOAD,	  /* patches to the saved state */
	OP_LOAD_PIN,	  /* pin, RTE, IRR */
	OP_SET_ASSERTERS, /* pin, count */
	OP_RESET,
	OPS,
};

#define BASE  UINT64_C(0xfec00000)
#define VCPUS 4u
/* A callback that does something which has a callback, and so on. */
#define DEEPEST 2
/* EOIs in a row: a few short of too many. */
#define LONG 9998

struct world {
	struct ioapic ioapic;
	struct ioapic_pin pins[IOAPIC_MAX_PINS];
	struct stream *stream;
	bool calls_back;
	int held;
	int depth;
	uint64_t now;
	uint32_t present; /* how many accept */
	uint8_t holding;  /* who has the RTC's vector, and (upper half) who is not meant */
	uint32_t sent;
	/* Nothing happened that may leave a high level unsent: nobody there, a throttled pin. */
	bool all_taken;
};

static void step(struct world *w);

static void lock(void *mutex)
{
	struct world *w = mutex;

	check(w->held++ == 0);
}

static void unlock(void *mutex)
{
	struct world *w = mutex;

	check(w->held-- == 1);
}

static uint64_t now(void *opaque)
{
	return ((struct world *)opaque)->now;
}

/* What a callback does, where callbacks do things: its first byte says whether anything. */
static void meanwhile(struct world *w)
{
	check(w->held == 0);
	if (!w->calls_back || w->depth >= DEEPEST || !take_bool(w->stream))
		return;
	w->depth++;
	step(w);
	w->depth--;
}

static struct delivery deliver(void *opaque, const struct interrupt *irq)
{
	struct world *w = opaque;
	uint32_t present = w->present;

	check(irq->interrupt && !irq->ipi && !irq->redirect && irq->mode < 8);
	w->sent++;
	if (!present)
		w->all_taken = false;
	for (uint32_t i = 0; irq->tick && i < present && irq->mode <= DELIVERY_LOWEST; i++)
		rtc_tick_note(irq->tick, i, irq->vector);
	meanwhile(w);
	return (struct delivery){ .verdict = present ? VMIRQ_DELIVERED : VMIRQ_NO_TARGET,
				  .accepted = present };
}

static enum holding holds(void *opaque, uint32_t vcpu, const struct interrupt *irq)
{
	struct world *w = opaque;

	check(w->held == 0 && vcpu < VCPUS && !irq->tick);
	if (w->holding >> 4 & 1u << vcpu)
		return HOLDS_UNMEANT;
	return w->holding & 1u << vcpu ? HOLDS : HOLDS_NOT;
}

static void pin_callback(void *opaque, uint32_t pin)
{
	struct world *w = opaque;

	check(pin < w->ioapic.config.count);
	meanwhile(w);
}

static void mask_changed(void *opaque, uint32_t pin, bool masked)
{
	(void)masked;
	pin_callback(opaque, pin);
}

static void throttled(void *opaque, uint32_t pin, uint64_t deadline)
{
	struct world *w = opaque;

	check(deadline > w->now);
	w->all_taken = false;
	pin_callback(opaque, pin);
}

static void access_any(struct world *w, bool is_write)
{
	static const uint8_t windows[] = { 0x00, 0x10, 0x20, 0x40 };
	struct stream *s = w->stream;
	uint8_t flags = take8(s), which = take8(s), len = take8(s);
	uint64_t base = w->ioapic.base, gpa = base + (flags & 1 ? which : windows[which & 3]);
	uint64_t value;

	if (flags & 2)
		gpa = take64(s);
	/* Whoever asks first whether it is there is told the truth; it must bear the rest. */
	if (vmirq_ioapic_claims(&w->ioapic, gpa, len))
		check(gpa - base < IOAPIC_MMIO_SIZE || !len);
	if (is_write) {
		vmirq_ioapic_write(&w->ioapic, gpa, len, take64(s));
		return;
	}
	value = vmirq_ioapic_read(&w->ioapic, gpa, len);
	check(value <= UINT32_MAX && (len >= 4 || !(value >> 8 * len)));
}

static void put_register(struct world *w, uint32_t selector, uint32_t value)
{
	uint64_t base = w->ioapic.base;

	vmirq_ioapic_write(&w->ioapic, base, 4, selector);
	vmirq_ioapic_write(&w->ioapic, base + 0x10, 4, value);
}

/* The selectors reach only so many pins of an IOAPIC with many. */
static void put_rte(struct world *w, bool high)
{
	uint32_t pin = take8(w->stream) % w->ioapic.config.count;

	put_register(w, IOAPIC_REG_RTE + 2 * pin + high, take32(w->stream));
}

static void set_line(struct world *w, uint8_t which, bool status)
{
	uint32_t pin = which & 0x7f;
	struct line_result result;

	result = status ? vmirq_ioapic_set_line_status(&w->ioapic, pin, which & 0x80)
			: vmirq_ioapic_set_line(&w->ioapic, pin, which & 0x80);
	check(result.status >= -1 && result.verdict < VMIRQ_VERDICTS);
	if (pin >= w->ioapic.config.count)
		check(result.verdict == VMIRQ_NO_ROUTE && result.status == -1);
}

static uint8_t vector_of(struct world *w, uint32_t pin)
{
	return (uint8_t)w->pins[pin % w->ioapic.config.count].rte;
}

/* A guest that ends a level and never quiets its device, as if it had done so for long. */
static void storm(struct world *w, uint32_t pin)
{
	pin %= w->ioapic.config.count;
	if (w->pins[pin].eois < LONG)
		w->pins[pin].eois = LONG;
	for (unsigned int i = 0; i < 3; i++)
		vmirq_ioapic_eoi(&w->ioapic, 0, vector_of(w, pin), true);
}

/* What is pending is sent by a load, so only where nothing is. */
static void save_load(struct world *w)
{
	struct kvm_ioapic_state saved, again;
	int depth = w->depth;

	memset(&saved, 0, sizeof(saved));
	memset(&again, 0, sizeof(again));
	vmirq_ioapic_save(&w->ioapic, &saved);
	w->depth = DEEPEST;
	check(vmirq_ioapic_load(&w->ioapic, &saved));
	w->depth = depth;
	vmirq_ioapic_save(&w->ioapic, &again);
	check(again.base_address == saved.base_address && again.id == saved.id &&
	      again.ioregsel == saved.ioregsel && !(again.irr & ~saved.irr));
	for (uint32_t n = 0; n < KVM_IOAPIC_NUM_PINS; n++)
		check((again.redirtbl[n].bits | RTE_REMOTE_IRR) ==
		      (saved.redirtbl[n].bits | RTE_REMOTE_IRR));
}

static void load(struct world *w)
{
	struct kvm_ioapic_state state;

	vmirq_ioapic_save(&w->ioapic, &state);
	take_patches(w->stream, &state, sizeof(state));
	vmirq_ioapic_load(&w->ioapic, &state);
}

static void load_pin(struct world *w)
{
	uint32_t pin = take8(w->stream);
	struct ioapic_pin_state state;

	state.rte = take64(w->stream);
	state.irr = take_bool(w->stream);
	if (vmirq_ioapic_load_pin(&w->ioapic, pin, &state))
		check(pin < w->ioapic.config.count);
}

static void step_other(struct world *w, enum op op)
{
	struct stream *s = w->stream;
	uint64_t ns;
	uint8_t byte;

	switch (op) {
	case OP_STORM:
		storm(w, take8(s));
		break;
	case OP_RETRY:
		vmirq_ioapic_retry(&w->ioapic, take8(s));
		break;
	case OP_CLOCK:
		ns = take_scaled(s);
		w->now = ns < UINT64_MAX / 2 - w->now ? w->now + ns : UINT64_MAX / 2;
		break;
	case OP_PRESENT:
		w->present = take8(s) & 3;
		break;
	case OP_FORGET_TICK:
		byte = take8(s);
		if (byte & 0x80)
			w->holding = take8(s);
		if (byte & 0x80)
			vmirq_ioapic_restore_tick(&w->ioapic, byte % VCPUS);
		else
			vmirq_ioapic_forget_tick(&w->ioapic, byte % VCPUS);
		break;
	case OP_SAVE_LOAD:
		save_load(w);
		break;
	case OP_LOAD:
		load(w);
		break;
	case OP_LOAD_PIN:
		load_pin(w);
		break;
	case OP_SET_ASSERTERS:
		byte = take8(s);
		vmirq_ioapic_set_asserters(&w->ioapic, byte, take32(s));
		break;
	case OP_RESET:
		vmirq_ioapic_reset(&w->ioapic);
		break;
	default:
		break;
	}
}

static void step(struct world *w)
{
	struct stream *s = w->stream;
	enum op op = take8(s);
	uint8_t byte, flags;

	switch (op) {
	case OP_WRITE:
	case OP_READ:
		access_any(w, op == OP_WRITE);
		break;
	case OP_REGISTER:
		byte = take8(s);
		put_register(w, byte, take32(s));
		break;
	case OP_RTE_LOW:
	case OP_RTE_HIGH:
		put_rte(w, op == OP_RTE_HIGH);
		break;
	case OP_LINE:
	case OP_LINE_STATUS:
		set_line(w, take8(s), op == OP_LINE_STATUS);
		break;
	case OP_EOI:
		byte = take8(s);
		flags = take8(s);
		vmirq_ioapic_eoi(&w->ioapic, flags >> 1 & 3, byte, flags & 1);
		break;
	case OP_EOI_OF_PIN:
		vmirq_ioapic_eoi(&w->ioapic, 0, vector_of(w, take8(s)), true);
		break;
	default:
		step_other(w, op);
		break;
	}
	check(w->held == 0);
	check(vmirq_ioapic_validate(&w->ioapic));
}

/* Where everything sent was accepted and nothing is throttled, no level waits for anybody. */
static void check_no_level_waits(const struct world *w)
{
	for (uint32_t n = 0; w->all_taken && n < w->ioapic.config.count; n++)
		check(!pin_wants(&w->pins[n]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t counts[] = { 24, 24, 32, 240 };
	struct stream s = { .at = data, .left = size };
	struct world w = { .stream = &s, .present = 1, .all_taken = true };
	uint8_t flags = take8(&s);
	struct ioapic_config config = {
		.host = { .opaque = &w, .now = now, .lock = lock, .unlock = unlock },
		.mutex = &w,
		.calls = { .opaque = &w,
			   .deliver = deliver,
			   .ack = pin_callback,
			   .mask_changed = mask_changed,
			   .changed = pin_callback,
			   .holds = holds,
			   .throttled = flags & 0x20 ? NULL : throttled },
		.pins = w.pins,
		.count = counts[flags & 3],
		.rtc_pin = flags & 4 ? IOAPIC_NO_PIN : 8,
		.vcpus = VCPUS,
		.base = BASE,
		.version = flags & 8 ? IOAPIC_VERSION_EOI : IOAPIC_VERSION_82093,
		.format = { .ext_dest_id = flags & 0x10 },
	};

	w.calls_back = flags & 0x40;
	check(vmirq_ioapic_init(&w.ioapic, &config));
	while (s.left) {
		step(&w);
		check_no_level_waits(&w);
	}
	return 0;
}
