/* SPDX-License-Identifier: MIT */
/* The PIT: ports, a clock that jumps, acknowledges and saved states. */
#include <string.h>

#include "check.h"
#include "chip/pit.h"
#include "stream.h"

/* Operations. Their numbers stay: the corpus is written in them. */
enum op {
	OP_OUT,	       /* port's number, value */
	OP_IN,	       /* port's number */
	OP_ACCESS,     /* flags, port, length, data: any of it */
	OP_PROGRAM,    /* counter and mode, count: both bytes */
	OP_CLOCK,      /* on by so many ns, scaled */
	OP_PULSES,     /* on by so many pulses of the PIT */
	OP_DEADLINE,   /* to the next deadline, unless it is for ever */
	OP_EXPIRE,     /* what the owner's timer does */
	OP_LATE,       /* expire with a time that is past */
	OP_ACKED,      /* by the guest */
	OP_UNMASKED,   /* by the guest */
	OP_POLICY,     /* which */
	OP_SAVE_LOAD,  /* must change nothing that can be seen */
	OP_LOAD,       /* flags, patches to the state, patches to what is beside it */
	OP_LOAD_BYTES, /* flags, the whole state, what is beside it */
	OP_RESET,
	OPS,
};

struct bench {
	struct pit pit;
	struct stream *stream;
	uint64_t now;
	bool locked, level;
	bool ack; /* each tick at once, as a guest that keeps up */
	uint32_t raised;
};

static void lock(void *mutex)
{
	struct bench *b = mutex;

	check(!b->locked);
	b->locked = true;
}

static void unlock(void *mutex)
{
	struct bench *b = mutex;

	check(b->locked);
	b->locked = false;
}

static uint64_t now(void *opaque)
{
	return ((struct bench *)opaque)->now;
}

static void set_irq(void *opaque, bool level)
{
	struct bench *b = opaque;

	check(!b->locked);
	check(b->level == !level);
	b->level = level;
	b->raised += level;
}

static void deadline_changed(void *opaque)
{
	check(!((struct bench *)opaque)->locked);
}

/* A 64-bit clock of ns stands at its end. */
static void go_on(struct bench *b, uint64_t ns)
{
	b->now = ns < UINT64_MAX - b->now ? b->now + ns : UINT64_MAX;
}

/* The owner's timer: a tick at most, and then none is due. */
static void expire(struct bench *b, uint64_t at)
{
	uint32_t raised = b->raised;
	uint64_t deadline;

	vmirq_pit_expire(&b->pit, at);
	check(b->raised <= raised + 1);
	deadline = vmirq_pit_deadline(&b->pit);
	check(deadline > at || deadline == UINT64_MAX);
}

static uint16_t port_of(uint8_t n)
{
	static const uint16_t ports[] = { 0x40, 0x41, 0x42, 0x43, 0x61 };

	return ports[n % (sizeof(ports) / sizeof(ports[0]))];
}

static void pio(struct bench *b, uint16_t port, uint8_t value, bool is_write)
{
	check(vmirq_pit_pio(&b->pit, port, &value, 1, is_write));
}

static void access_any(struct bench *b)
{
	struct stream *s = b->stream;
	uint8_t flags = take8(s), room[16];
	uint16_t port = flags & 2 ? take16(s) : port_of(take8(s));
	uint32_t len = flags & 4 ? take32(s) : take8(s) & 7;
	/* At the end of its room, so that AddressSanitizer sees an access past it. */
	uint8_t *data = room + sizeof(room) - (len < sizeof(room) ? len : sizeof(room));

	take_bytes(s, room, sizeof(room));
	if (vmirq_pit_pio(&b->pit, port, data, len, flags & 1))
		check(len >= 1 && len <= 4);
}

static void program(struct bench *b)
{
	uint8_t what = take8(b->stream);
	uint16_t count = take16(b->stream);

	pio(b, 0x43, (what & 0xc0) | 0x30 | (what & 0xf), true);
	if (what >> 6 == 3)
		return;
	pio(b, port_of(what >> 6), (uint8_t)count, true);
	pio(b, port_of(what >> 6), (uint8_t)(count >> 8), true);
}

/* While the gate holds a counter, what it has counted is kept and not when it was loaded. */
static void forget_load_times(const struct pit_extra *extra, struct kvm_pit_state2 *state)
{
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		if (extra->channel[i].held)
			state->channels[i].count_load_time = 0;
}

/* Saved, loaded and saved again it is the same, and so is what it does next. */
static void save_load(struct bench *b)
{
	struct kvm_pit_state2 state[2];
	struct pit_extra extra[2];
	uint64_t deadline;

	/* So that there is no tick between the two. */
	expire(b, b->now);
	deadline = vmirq_pit_deadline(&b->pit);
	memset(state, 0, sizeof(state));
	memset(extra, 0, sizeof(extra));
	vmirq_pit_save(&b->pit, &state[0], &extra[0]);
	check(vmirq_pit_load(&b->pit, &state[0], &extra[0]));
	vmirq_pit_save(&b->pit, &state[1], &extra[1]);
	forget_load_times(&extra[0], &state[0]);
	forget_load_times(&extra[1], &state[1]);
	check(!memcmp(&state[0], &state[1], sizeof(state[0])));
	check(!memcmp(extra[0].channel, extra[1].channel, sizeof(extra[0].channel)));
	check(extra[0].pending == extra[1].pending);
	check(vmirq_pit_deadline(&b->pit) == deadline);
}

static void load(struct bench *b, bool whole)
{
	struct kvm_pit_state2 state;
	struct pit_extra extra;
	uint8_t flags = take8(b->stream);

	memset(&state, 0, sizeof(state));
	memset(&extra, 0, sizeof(extra));
	if (whole) {
		take_bytes(b->stream, state.channels, sizeof(state.channels));
		state.flags = take8(b->stream);
		if (flags & 1)
			take_bytes(b->stream, &extra, sizeof(extra));
	} else {
		vmirq_pit_save(&b->pit, &state, &extra);
		take_patches(b->stream, &state, sizeof(state));
		if (flags & 1)
			take_patches(b->stream, &extra, sizeof(extra));
	}
	vmirq_pit_load(&b->pit, &state, flags & 1 ? &extra : NULL);
}

static void step(struct bench *b)
{
	struct stream *s = b->stream;
	uint64_t at;
	uint8_t byte;

	switch ((enum op)take8(s)) {
	case OP_OUT:
		byte = take8(s);
		pio(b, port_of(byte), take8(s), true);
		break;
	case OP_IN:
		pio(b, port_of(take8(s)), 0, false);
		break;
	case OP_ACCESS:
		access_any(b);
		break;
	case OP_PROGRAM:
		program(b);
		break;
	case OP_CLOCK:
		go_on(b, take_scaled(s));
		break;
	case OP_PULSES:
		go_on(b, vmirq_pit_time_of(take16(s)));
		break;
	case OP_DEADLINE:
		at = vmirq_pit_deadline(&b->pit);
		if (at != UINT64_MAX && at > b->now)
			b->now = at;
		expire(b, b->now);
		break;
	case OP_EXPIRE:
		expire(b, b->now);
		break;
	case OP_LATE:
		at = take_scaled(s);
		vmirq_pit_expire(&b->pit, at < b->now ? b->now - at : 0);
		break;
	case OP_ACKED:
		vmirq_pit_acked(&b->pit);
		break;
	case OP_UNMASKED:
		vmirq_pit_unmasked(&b->pit);
		break;
	case OP_POLICY:
		vmirq_pit_set_policy(&b->pit, take_bool(s) ? PIT_REINJECT : PIT_DISCARD);
		break;
	case OP_SAVE_LOAD:
		save_load(b);
		break;
	case OP_LOAD:
		load(b, false);
		break;
	case OP_LOAD_BYTES:
		load(b, true);
		break;
	case OP_RESET:
		vmirq_pit_reset(&b->pit);
		break;
	default:
		break;
	}
	check(!b->locked && !b->level);
	check(vmirq_pit_validate(&b->pit));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t shortest[] = { 0, 1, PIT_SHORTEST_KVM, UINT64_MAX };
	struct stream s = { .at = data, .left = size };
	struct bench b = { .stream = &s };
	const struct chip_host host = { .opaque = &b, .now = now, .lock = lock, .unlock = unlock };
	uint8_t flags = take8(&s);
	const struct pit_config config = {
		.policy = flags & 1 ? PIT_REINJECT : PIT_DISCARD,
		.shortest = shortest[flags >> 1 & 3],
		.opaque = &b,
		.set_irq = set_irq,
		.deadline_changed = flags & 8 ? NULL : deadline_changed,
	};

	vmirq_pit_init(&b.pit, &host, &b, &config);
	check(vmirq_pit_validate(&b.pit));
	while (s.left)
		step(&b);
	return 0;
}
