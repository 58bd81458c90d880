/* SPDX-License-Identifier: MIT */
/* The 8259s: ports, lines, acknowledges and saved states, also from inside their callbacks. */
#include <string.h>

#include "check.h"
#include "chip/i8259_chip.h"
#include "stream.h"

/* Operations. Their numbers stay: the corpus is written in them. */
enum op {
	OP_OUT,		  /* which of the six ports, value */
	OP_IN,		  /* which of the six ports */
	OP_ACCESS,	  /* flags, port, length, value: any of it */
	OP_LINE,	  /* pin, with bit 7: level */
	OP_PULSE,	  /* pin */
	OP_ACKNOWLEDGE,	  /* only while INT is high */
	OP_SPURIOUS,	  /* acknowledge whatever INT is */
	OP_SAVE_LOAD,	  /* chip: must change nothing */
	OP_LOAD,	  /* chip, patches to its saved state */
	OP_LOAD_BYTES,	  /* chip, the whole state */
	OP_SET_ASSERTERS, /* pin, count */
	OP_RESET,
	OPS,
};

/* A callback that does something which has a callback, and so on. */
#define DEEPEST 2

struct world {
	struct i8259 pic;
	struct stream *stream;
	bool calls_back;
	int held;
	int depth;
	uint32_t outputs;
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

static void output_changed(void *opaque)
{
	struct world *w = opaque;

	w->outputs++;
	meanwhile(w);
}

static void ack(void *opaque, uint32_t pin)
{
	check(pin < I8259_PINS);
	meanwhile(opaque);
}

static void mask_changed(void *opaque, uint32_t pin, bool masked)
{
	(void)masked;
	check(pin < I8259_PINS);
	meanwhile(opaque);
}

static uint32_t port_of(uint8_t which)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };

	return ports[which % (sizeof(ports) / sizeof(ports[0]))];
}

static void access_any(struct world *w)
{
	uint8_t flags = take8(w->stream);
	uint32_t port = flags & 2 ? take32(w->stream) : port_of(take8(w->stream));
	uint32_t len = flags & 4 ? take32(w->stream) : take8(w->stream) & 7;
	uint32_t value;

	/* A chip is only asked for what it claims; it must bear the rest. */
	if (vmirq_i8259_claims(port, len))
		check(port + len <= 0x4d2 && len <= 2);
	if (flags & 1) {
		vmirq_i8259_write(&w->pic, port, len, take32(w->stream));
		return;
	}
	value = vmirq_i8259_read(&w->pic, port, len);
	check(value <= 0xff);
}

static void set_line(struct world *w, uint32_t pin, bool level)
{
	struct line_result result = vmirq_i8259_set_line(&w->pic, pin, level);

	check(result.status >= -1 && result.status <= 1);
	check(result.verdict < VMIRQ_VERDICTS);
	if (pin >= I8259_PINS)
		check(result.verdict == VMIRQ_NO_ROUTE && result.status == -1);
}

static void acknowledge(struct world *w)
{
	bool output = vmirq_i8259_output(&w->pic);
	uint32_t outputs = w->outputs;
	uint8_t base[2] = { w->pic.chip[MASTER].irq_base, w->pic.chip[SLAVE].irq_base };
	uint8_t vector = vmirq_i8259_acknowledge(&w->pic);

	check((vector & 0xf8) == base[MASTER] || (vector & 0xf8) == base[SLAVE]);
	/* The receiver is told to look again, whatever it will see. */
	if (output)
		check(w->outputs > outputs);
}

static void save_load(struct world *w, uint32_t chip)
{
	struct kvm_pic_state saved, again;
	/* A load calls back: only without what happens there is it the same afterwards. */
	bool alone = !w->depth && !w->stream->left;

	if (!vmirq_i8259_save(&w->pic, chip, &saved)) {
		check(chip > SLAVE);
		return;
	}
	check(vmirq_i8259_load(&w->pic, chip, &saved));
	if (!alone)
		return;
	check(vmirq_i8259_save(&w->pic, chip, &again));
	check(again.imr == saved.imr && again.isr == saved.isr && again.elcr == saved.elcr);
}

static void load(struct world *w, bool whole)
{
	uint32_t chip = take8(w->stream) & 3;
	struct kvm_pic_state state;

	memset(&state, 0, sizeof(state));
	if (whole) {
		take_bytes(w->stream, &state, sizeof(state));
	} else {
		vmirq_i8259_save(&w->pic, chip, &state);
		take_patches(w->stream, &state, sizeof(state));
	}
	if (vmirq_i8259_load(&w->pic, chip, &state))
		check(chip <= SLAVE);
}

static void step(struct world *w)
{
	struct stream *s = w->stream;
	uint32_t pin;

	switch ((enum op)take8(s)) {
	case OP_OUT:
		pin = port_of(take8(s));
		vmirq_i8259_write(&w->pic, pin, 1, take8(s));
		break;
	case OP_IN:
		check(vmirq_i8259_read(&w->pic, port_of(take8(s)), 1) <= 0xff);
		break;
	case OP_ACCESS:
		access_any(w);
		break;
	case OP_LINE:
		pin = take8(s);
		set_line(w, pin & 0x1f, pin & 0x80);
		break;
	case OP_PULSE:
		pin = take8(s) & 0xf;
		set_line(w, pin, true);
		set_line(w, pin, false);
		break;
	case OP_ACKNOWLEDGE:
		if (vmirq_i8259_output(&w->pic))
			acknowledge(w);
		break;
	case OP_SPURIOUS:
		acknowledge(w);
		break;
	case OP_SAVE_LOAD:
		save_load(w, take8(s) & 3);
		break;
	case OP_LOAD:
		load(w, false);
		break;
	case OP_LOAD_BYTES:
		load(w, true);
		break;
	case OP_SET_ASSERTERS:
		pin = take8(s) & 0x1f;
		if (vmirq_i8259_set_asserters(&w->pic, pin, take32(s)))
			check(pin < I8259_PINS);
		break;
	case OP_RESET:
		vmirq_i8259_reset(&w->pic);
		break;
	default:
		break;
	}
	check(w->held == 0);
	check(vmirq_i8259_validate(&w->pic));
}

/* Nothing is under way: INT says what the master asks for. */
static void check_output(struct world *w)
{
	check(vmirq_i8259_output(&w->pic) == (vmirq_i8259_request(&w->pic, MASTER) != NO_PIN));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream s = { .at = data, .left = size };
	struct world w = { .stream = &s };
	uint8_t flags = take8(&s);

	w.calls_back = flags & 4;
	vmirq_i8259_init(&w.pic, &(struct i8259_config){
					 .host = { .lock = lock, .unlock = unlock },
					 .mutex = &w,
					 .calls = { .opaque = &w,
						    .output_changed = output_changed,
						    .ack = ack,
						    .mask_changed = mask_changed },
					 .poll_is_inta = flags & 1,
					 .special_mask_works = flags & 2,
				 });
	while (s.left) {
		step(&w);
		check_output(&w);
	}
	return 0;
}
