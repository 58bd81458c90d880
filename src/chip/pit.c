/* SPDX-License-Identifier: MIT */
/* Ports, deadline and re-injection of the 8254. */
#include "chip/pit.h"

#define NS_PER_SECOND UINT64_C(1000000000)

/* Port 0x61. */
#define SPEAKER_GATE	0x01u
#define SPEAKER_DATA	0x02u
#define SPEAKER_REFRESH 0x10u
#define SPEAKER_OUT	0x20u

/* Counter 1 of a PC asks for a memory refresh every 18 pulses; bit 4 toggles with each. */
#define REFRESH_PULSES 18u

/* Control word. */
#define CONTROL_READ_BACK  3u
#define READ_BACK_NO_COUNT 0x20u
#define READ_BACK_NO_STATE 0x10u

/* In two parts, so that neither way needs more than 64 bits. */
static uint64_t tick_of(uint64_t ns)
{
	return ns / NS_PER_SECOND * PIT_FREQUENCY +
	       ns % NS_PER_SECOND * PIT_FREQUENCY / NS_PER_SECOND;
}

/* The first ns at which the clock shows this pulse. */
uint64_t vmirq_pit_time_of(uint64_t tick)
{
	uint64_t seconds = tick / PIT_FREQUENCY;
	uint64_t rest = tick % PIT_FREQUENCY;

	if (seconds >= UINT64_MAX / NS_PER_SECOND)
		return UINT64_MAX;
	return seconds * NS_PER_SECOND + (rest * NS_PER_SECOND + PIT_FREQUENCY - 1) / PIT_FREQUENCY;
}

void vmirq_pit_advance(struct pit *pit, uint64_t now)
{
	uint64_t tick = tick_of(now);

	/* Whoever read the clock first may come second. */
	if (tick < pit->tick)
		return;
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		uint64_t edges =
			vmirq_pit_channel_advance(&pit->channel[i], pit->tick, tick, pit->shortest);

		if (i == 0)
			pit->due += edges;
	}
	pit->tick = tick;
}

static uint64_t deadline(const struct pit *pit)
{
	uint64_t edge;

	if (pit->hpet_legacy ||
	    !vmirq_pit_channel_edge(&pit->channel[0], pit->tick, pit->shortest, &edge))
		return UINT64_MAX;
	return vmirq_pit_time_of(edge);
}

/* What has come due is looked at. True: raise IRQ 0 once the lock is dropped. */
static bool take_due(struct pit *pit)
{
	uint64_t due = pit->due;

	pit->due = 0;
	if (!due || pit->hpet_legacy)
		return false;
	pit->ticks += due;
	if (pit->config.policy == PIT_REINJECT) {
		bool in_flight = pit->pending;

		pit->pending += (uint32_t)(due < UINT32_MAX - pit->pending
						   ? due
						   : UINT32_MAX - pit->pending);
		if (in_flight)
			return false;
	}
	pit->raised++;
	return true;
}

void vmirq_pit_announce(struct pit *pit, struct pit_outcome outcome)
{
	if (outcome.raise) {
		pit->config.set_irq(pit->config.opaque, true);
		pit->config.set_irq(pit->config.opaque, false);
	}
	if (outcome.moved && pit->config.deadline_changed)
		pit->config.deadline_changed(pit->config.opaque);
}

static uint8_t status(const struct pit *pit, const struct pit_channel *c)
{
	return (uint8_t)(vmirq_pit_channel_out(c, pit->tick) << 7 |
			 vmirq_pit_channel_null_count(c, pit->tick) << 6 | c->rw_mode << 4 |
			 (c->mode & 7) << 1 | c->bcd);
}

/* What is latched already stays latched ("Counter Latch Command", "Read-Back Command"). */
static void latch_count(const struct pit *pit, struct pit_channel *c)
{
	if (c->count_latched)
		return;
	c->latched_count = vmirq_pit_channel_count(c, pit->tick);
	c->count_latched = c->rw_mode;
}

static void latch_status(const struct pit *pit, struct pit_channel *c)
{
	if (c->status_latched)
		return;
	c->status = status(pit, c);
	c->status_latched = true;
}

static void write_control(struct pit *pit, uint8_t value)
{
	uint8_t which = value >> 6;
	uint8_t access = (value >> 4) & 3;

	if (which == CONTROL_READ_BACK) {
		for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
			if (!(value & 2u << i))
				continue;
			if (!(value & READ_BACK_NO_COUNT))
				latch_count(pit, &pit->channel[i]);
			if (!(value & READ_BACK_NO_STATE))
				latch_status(pit, &pit->channel[i]);
		}
	} else if (access == PIT_ACCESS_LATCH) {
		latch_count(pit, &pit->channel[which]);
	} else {
		vmirq_pit_channel_control(&pit->channel[which], pit->tick, access, (value >> 1) & 7,
					  value & 1);
	}
}

static void load_count(struct pit *pit, struct pit_channel *c, uint16_t value)
{
	vmirq_pit_channel_load(c, pit->tick, value);
	/* As KVM: a new period owes no tick of the old one. */
	if (c == &pit->channel[0])
		pit->pending = 0;
}

static void write_counter(struct pit *pit, struct pit_channel *c, uint8_t value)
{
	switch (c->write_state) {
	case PIT_ACCESS_WORD:
		c->write_latch = value;
		c->write_state = PIT_ACCESS_WORD2;
		vmirq_pit_channel_half(c, pit->tick);
		break;
	case PIT_ACCESS_WORD2:
		c->write_state = PIT_ACCESS_WORD;
		load_count(pit, c, (uint16_t)(value << 8 | c->write_latch));
		break;
	case PIT_ACCESS_MSB:
		load_count(pit, c, (uint16_t)(value << 8));
		break;
	default:
		load_count(pit, c, value);
		break;
	}
}

static uint8_t read_latched(struct pit_channel *c)
{
	uint8_t which = c->count_latched;

	/* Of two bytes the second is left. */
	c->count_latched = which == PIT_ACCESS_WORD ? PIT_ACCESS_MSB : 0;
	return (uint8_t)(which == PIT_ACCESS_MSB ? c->latched_count >> 8 : c->latched_count);
}

static uint8_t read_counter(struct pit *pit, struct pit_channel *c)
{
	uint16_t count;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->count_latched)
		return read_latched(c);
	count = vmirq_pit_channel_count(c, pit->tick);
	switch (c->read_state) {
	case PIT_ACCESS_WORD:
		c->read_state = PIT_ACCESS_WORD2;
		return (uint8_t)count;
	case PIT_ACCESS_WORD2:
		c->read_state = PIT_ACCESS_WORD;
		return (uint8_t)(count >> 8);
	case PIT_ACCESS_MSB:
		return (uint8_t)(count >> 8);
	default:
		return (uint8_t)count;
	}
}

static uint8_t read_speaker(const struct pit *pit)
{
	const struct pit_channel *c = &pit->channel[2];

	return (uint8_t)((c->gate ? SPEAKER_GATE : 0) | (pit->speaker ? SPEAKER_DATA : 0) |
			 (pit->tick / REFRESH_PULSES & 1 ? SPEAKER_REFRESH : 0) |
			 (vmirq_pit_channel_out(c, pit->tick) ? SPEAKER_OUT : 0));
}

static uint8_t read_port(struct pit *pit, uint16_t port)
{
	if (port == PIT_PORT_SPEAKER)
		return read_speaker(pit);
	/* The control word cannot be read (CVE-2015-3214). */
	if (port == PIT_PORT_CONTROL)
		return 0;
	return read_counter(pit, &pit->channel[port - PIT_PORT]);
}

static void write_port(struct pit *pit, uint16_t port, uint8_t value)
{
	if (port == PIT_PORT_SPEAKER) {
		pit->speaker = value & SPEAKER_DATA;
		vmirq_pit_channel_gate(&pit->channel[2], pit->tick, value & SPEAKER_GATE);
	} else if (port == PIT_PORT_CONTROL) {
		write_control(pit, value);
	} else {
		write_counter(pit, &pit->channel[port - PIT_PORT], value);
	}
}

static bool ours(uint16_t port, uint32_t len)
{
	uint32_t room = port == PIT_PORT_SPEAKER		       ? 4
			: port >= PIT_PORT && port <= PIT_PORT_CONTROL ? 4u - (port - PIT_PORT)
								       : 0;

	return len >= 1 && len <= room;
}

bool vmirq_pit_pio(struct pit *pit, uint16_t port, void *data, uint32_t len, bool is_write)
{
	struct pit_outcome outcome;
	uint8_t *byte = data;
	uint64_t before;

	if (!ours(port, len))
		return false;

	pit->host.lock(pit->mutex);
	before = deadline(pit);
	vmirq_pit_advance(pit, pit->host.now(pit->host.opaque));
	/* What was over before the access is not undone by it. */
	outcome.raise = take_due(pit);
	if (is_write)
		write_port(pit, port, byte[0]);
	else
		byte[0] = read_port(pit, port);
	outcome.moved = deadline(pit) != before;
	pit->host.unlock(pit->mutex);

	for (uint32_t i = 1; i < len && !is_write; i++)
		byte[i] = 0;
	vmirq_pit_announce(pit, outcome);
	return true;
}

uint64_t vmirq_pit_deadline(struct pit *pit)
{
	uint64_t at;

	pit->host.lock(pit->mutex);
	at = deadline(pit);
	pit->host.unlock(pit->mutex);
	return at;
}

void vmirq_pit_expire(struct pit *pit, uint64_t now)
{
	struct pit_outcome outcome = { .moved = false };

	pit->host.lock(pit->mutex);
	vmirq_pit_advance(pit, now);
	outcome.raise = take_due(pit);
	pit->host.unlock(pit->mutex);
	vmirq_pit_announce(pit, outcome);
}

void vmirq_pit_acked(struct pit *pit)
{
	struct pit_outcome outcome = { .raise = false };

	pit->host.lock(pit->mutex);
	if (pit->pending && --pit->pending) {
		pit->raised++;
		outcome.raise = true;
	}
	pit->host.unlock(pit->mutex);
	vmirq_pit_announce(pit, outcome);
}

void vmirq_pit_unmasked(struct pit *pit)
{
	pit->host.lock(pit->mutex);
	pit->pending = 0;
	pit->host.unlock(pit->mutex);
}

void vmirq_pit_set_policy(struct pit *pit, enum pit_policy policy)
{
	pit->host.lock(pit->mutex);
	if (pit->config.policy != policy)
		pit->pending = 0;
	pit->config.policy = policy;
	pit->host.unlock(pit->mutex);
}
