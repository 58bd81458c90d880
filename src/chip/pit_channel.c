/* SPDX-License-Identifier: MIT */
/* Counts, outputs and edges of one 8254 counter; every section named is of Intel 231164. */
#include "chip/pit_channel.h"

#define BINARY_STATES 0x10000u
#define BCD_STATES    10000u

uint32_t vmirq_pit_pulses(uint16_t value, bool bcd)
{
	uint32_t n = value;

	if (bcd) {
		/* A digit above 9 is not defined; it counts for what it is. */
		n = (value >> 12) * 1000u + ((value >> 8) & 0xf) * 100u +
		    ((value >> 4) & 0xf) * 10u + (value & 0xf);
		return n ? n : BCD_STATES;
	}
	return n ? n : BINARY_STATES;
}

static uint16_t to_bcd(uint32_t n)
{
	n %= BCD_STATES;
	return (uint16_t)(n / 1000 << 12 | n / 100 % 10 << 8 | n / 10 % 10 << 4 | n % 10);
}

/* Mode 3: an odd count is high for one pulse more than it is low. */
static uint32_t high_part(uint32_t count)
{
	return (count + 1) / 2;
}

/* Pulses since the load; negative before it. */
static int64_t elapsed(const struct pit_channel *c, uint64_t t)
{
	int64_t e = (int64_t)(t - c->run.start);

	return c->held && e >= 0 ? (int64_t)c->held_at : e;
}

static bool loaded(const struct pit_channel *c, uint64_t t)
{
	return c->counting == PIT_COUNTING && elapsed(c, t) >= 0;
}

static uint32_t period_position(const struct pit_channel *c, uint64_t t)
{
	return (uint32_t)(((uint64_t)elapsed(c, t) + c->run.phase) % c->run.count);
}

/* Mode 3 counts down by two in each half, an odd count from the even number below it ("Mode 3"). */
static uint32_t square_wave_count(const struct pit_channel *c, uint64_t t)
{
	uint32_t n = c->run.count;
	uint32_t position = period_position(c, t);
	uint32_t high = high_part(n);

	return (n & ~1u) - 2 * (position < high ? position : position - high);
}

static uint32_t states(const struct pit_channel *c)
{
	return c->bcd ? BCD_STATES : BINARY_STATES;
}

/* What the counting element holds; as many as it has states stand for 0. */
static uint32_t element(const struct pit_channel *c, uint64_t t)
{
	uint64_t e;

	if (!loaded(c, t))
		return c->count_before;
	e = (uint64_t)elapsed(c, t);
	switch (c->mode) {
	case 2:
		return c->run.count - period_position(c, t);
	case 3:
		return square_wave_count(c, t);
	default:
		/* At zero it wraps around and goes on ("Operation Common to All Modes"). */
		return (uint32_t)(c->run.count + states(c) - e % states(c));
	}
}

uint16_t vmirq_pit_channel_count(const struct pit_channel *c, uint64_t t)
{
	uint32_t n = element(c, t);

	return c->bcd ? to_bcd(n) : (uint16_t)n;
}

bool vmirq_pit_channel_out(const struct pit_channel *c, uint64_t t)
{
	uint64_t e;

	/* "If GATE goes low during an output pulse, OUT is set high immediately." */
	if (pit_periodic(c) && c->held)
		return true;
	if (!loaded(c, t))
		return c->out_before;
	e = (uint64_t)elapsed(c, t);
	switch (c->mode) {
	case 2:
		/* Low for the one pulse at which the count is 1. A count of 1 is illegal. */
		return c->run.count == 1 || period_position(c, t) != c->run.count - 1;
	case 3:
		return period_position(c, t) < high_part(c->run.count);
	case 4:
	case 5:
		return e != c->run.count;
	default:
		return e >= c->run.count;
	}
}

bool vmirq_pit_channel_null_count(const struct pit_channel *c, uint64_t t)
{
	return c->counting == PIT_IDLE || c->unloaded || c->has_next || (c->fresh && !loaded(c, t));
}

/* Rising edges of one run repeat every `every` pulses from `base`; 0: there is one, at `base`. */
static void edge_series(const struct pit_channel *c, const struct pit_run *run, uint32_t shortest,
			uint64_t *base, uint64_t *every)
{
	*every = 0;
	if (pit_periodic(c)) {
		*base = run->start - run->phase;
		*every = run->count;
		if (run->count < shortest)
			*every *= (shortest + run->count - 1) / run->count;
	} else {
		/* Modes 4 and 5 are low for a pulse when the count is over. */
		*base = run->start + run->count + (c->mode >= 4);
	}
}

static bool has_edges(const struct pit_channel *c, const struct pit_run *run)
{
	return c->counting == PIT_COUNTING && !c->held && !(pit_periodic(c) && run->count == 1);
}

/* The first edge of this run after pulse `t`. */
static bool next_in_run(const struct pit_channel *c, const struct pit_run *run, uint64_t t,
			uint32_t shortest, uint64_t *edge)
{
	uint64_t base;
	uint64_t every;

	if (!has_edges(c, run))
		return false;
	edge_series(c, run, shortest, &base, &every);
	if (!every) {
		*edge = base;
		return (int64_t)(base - t) > 0;
	}
	if ((int64_t)(t - base) < 0)
		t = base;
	*edge = base + ((t - base) / every + 1) * every;
	return true;
}

static uint64_t edges_in_run(const struct pit_channel *c, uint64_t from, uint64_t to,
			     uint32_t shortest)
{
	uint64_t base;
	uint64_t every;

	if (!has_edges(c, &c->run))
		return 0;
	edge_series(c, &c->run, shortest, &base, &every);
	if (!every)
		return (int64_t)(base - from) > 0 && (int64_t)(to - base) >= 0;
	if ((int64_t)(from - base) < 0)
		from = base;
	if ((int64_t)(to - from) < 0)
		return 0;
	return (to - base) / every - (from - base) / every;
}

bool vmirq_pit_channel_edge(const struct pit_channel *c, uint64_t t, uint32_t shortest,
			    uint64_t *edge)
{
	bool found = next_in_run(c, &c->run, t, shortest, edge);

	if (!c->has_next || (found && (int64_t)(*edge - c->next.start) <= 0))
		return found;
	if ((int64_t)(c->next.start - t) > 0)
		t = c->next.start;
	return next_in_run(c, &c->next, t, shortest, edge);
}

uint64_t vmirq_pit_channel_advance(struct pit_channel *c, uint64_t from, uint64_t to,
				   uint32_t shortest)
{
	uint64_t edges = 0;

	if (c->has_next && (int64_t)(to - c->next.start) >= 0) {
		edges = edges_in_run(c, from, c->next.start, shortest);
		from = c->next.start;
		c->run = c->next;
		c->has_next = false;
	}
	return edges + edges_in_run(c, from, to, shortest);
}

/* The element holds still at what it shows now, until it is loaded again. */
static void stop(struct pit_channel *c, uint64_t t)
{
	c->count_before = element(c, t) % states(c);
	c->counting = PIT_IDLE;
	c->held = false;
	c->has_next = false;
	c->unloaded = false;
}

/* The element is loaded at the next pulse ("... will be loaded on the next CLK pulse"). */
static void start(struct pit_channel *c, uint64_t t, bool fresh)
{
	bool out = vmirq_pit_channel_out(c, t);

	stop(c, t);
	c->out_before = out && c->mode != 0;
	c->counting = PIT_COUNTING;
	c->fresh = fresh;
	c->run = (struct pit_run){
		.start = t + 1,
		.count = vmirq_pit_pulses(c->count_register, c->bcd),
	};
	/* With the gate low it is loaded all the same, and does not count. */
	c->held = !c->gate && !pit_triggered(c);
	c->held_at = 0;
}

void vmirq_pit_channel_control(struct pit_channel *c, uint64_t t, uint8_t access, uint8_t mode,
			       bool bcd)
{
	/* Where this raises OUT a real IRQ 0 would see an edge; no guest waits for it, KVM has none. */
	stop(c, t);
	c->rw_mode = access;
	c->read_state = access;
	c->write_state = access;
	/* "until the Counter is reprogrammed" ("Counter Latch Command"). */
	c->count_latched = 0;
	c->status_latched = false;
	c->mode = mode > 5 ? mode - 4 : mode;
	c->bcd = bcd;
	c->out_before = c->mode != 0;
}

void vmirq_pit_channel_half(struct pit_channel *c, uint64_t t)
{
	/* "Writing the first byte disables counting. OUT is set low immediately" ("Mode 0"). */
	if (c->mode != 0)
		return;
	stop(c, t);
	c->out_before = false;
}

/* A new count of a running periodic counter waits for the end of the period, in mode 3 of the half
 * period ("Mode 2", "Mode 3"). */
static void load_later(struct pit_channel *c, uint64_t t)
{
	uint32_t count = vmirq_pit_pulses(c->count_register, c->bcd);
	uint32_t position = period_position(c, t);

	c->has_next = true;
	c->next = (struct pit_run){ .start = t + c->run.count - position, .count = count };
	if (c->mode == 3 && position < high_part(c->run.count)) {
		c->next.start = t + high_part(c->run.count) - position;
		c->next.phase = high_part(count);
	}
}

void vmirq_pit_channel_load(struct pit_channel *c, uint64_t t, uint16_t value)
{
	c->count_register = value;
	if (c->mode == PIT_MODE_NONE)
		return;
	if (c->counting == PIT_COUNTING && !loaded(c, t) && c->mode != 0) {
		/* The pulse that loads finds the newer count. */
		c->run.count = vmirq_pit_pulses(value, c->bcd);
		c->fresh = true;
	} else if (pit_triggered(c)) {
		if (c->counting == PIT_IDLE)
			c->counting = PIT_ARMED;
		c->unloaded = true;
	} else if (!pit_periodic(c) || c->counting == PIT_IDLE) {
		start(c, t, true);
	} else if (c->held) {
		c->unloaded = true;
	} else {
		load_later(c, t);
	}
}

void vmirq_pit_channel_gate(struct pit_channel *c, uint64_t t, bool gate)
{
	bool rising = gate && !c->gate;
	bool falling = !gate && c->gate;

	c->gate = gate;
	if (pit_triggered(c)) {
		if (rising && c->counting != PIT_IDLE)
			start(c, t, vmirq_pit_channel_null_count(c, t));
		return;
	}
	if (c->counting != PIT_COUNTING)
		return;
	if (falling) {
		c->held_at = loaded(c, t) ? (uint64_t)elapsed(c, t) : 0;
		c->held = true;
		c->unloaded |= c->has_next;
		c->has_next = false;
	} else if (rising && pit_periodic(c)) {
		start(c, t, vmirq_pit_channel_null_count(c, t));
	} else if (rising) {
		if (loaded(c, t))
			c->run.start = t - c->held_at;
		c->held = false;
	}
}

void vmirq_pit_channel_init(struct pit_channel *c, bool gate)
{
	*c = (struct pit_channel){ .mode = PIT_MODE_NONE, .gate = gate };
}

static bool valid_run(const struct pit_run *run, uint8_t mode)
{
	return run->count >= 1 && run->count <= BINARY_STATES &&
	       run->phase <= (mode == 3 ? high_part(run->count) : 0);
}

bool vmirq_pit_channel_validate(const struct pit_channel *c)
{
	if ((c->mode > 5 && c->mode != PIT_MODE_NONE) || c->counting > PIT_COUNTING ||
	    c->count_before > BINARY_STATES || c->rw_mode > PIT_ACCESS_WORD ||
	    c->count_latched > PIT_ACCESS_WORD || c->read_state > PIT_ACCESS_WORD2 ||
	    c->write_state > PIT_ACCESS_WORD2)
		return false;
	if (c->counting != PIT_COUNTING)
		return !c->held && !c->has_next && (c->counting == PIT_IDLE || pit_triggered(c));
	if (c->mode == PIT_MODE_NONE || !valid_run(&c->run, c->mode))
		return false;
	if (c->held && (c->gate || pit_triggered(c)))
		return false;
	return !c->has_next || (pit_periodic(c) && !c->held && valid_run(&c->next, c->mode));
}
