/* SPDX-License-Identifier: MIT */
/* Power-up, saved state and invariants of the 8254. */
#include "chip/pit.h"

/* A period this long is none: it would be 49 days. */
#define LONGEST_SHORTEST UINT64_C(0xffffffff)

#define FLAGS_KNOWN	 (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON)

static void power_up(struct pit *pit)
{
	/* Only counter 2 has a gate that software moves. */
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		vmirq_pit_channel_init(&pit->channel[i], i != 2);
	pit->speaker = false;
	pit->hpet_legacy = false;
	pit->due = 0;
	pit->pending = 0;
}

void vmirq_pit_init(struct pit *pit, const struct chip_host *host, void *mutex,
		    const struct pit_config *config)
{
	uint64_t ns = config->shortest;

	*pit = (struct pit){ .host = *host, .config = *config, .mutex = mutex };
	ns = ns > LONGEST_SHORTEST ? LONGEST_SHORTEST : ns;
	pit->shortest = (uint32_t)((ns * PIT_FREQUENCY + 999999999u) / 1000000000u);
	power_up(pit);
	vmirq_pit_advance(pit, host->now(host->opaque));
}

void vmirq_pit_reset(struct pit *pit)
{
	pit->host.lock(pit->mutex);
	vmirq_pit_advance(pit, pit->host.now(pit->host.opaque));
	power_up(pit);
	pit->host.unlock(pit->mutex);
	vmirq_pit_announce(pit, (struct pit_outcome){ .moved = true });
}

/* A count that was loaded into a younger clock began before its zero. */
static int64_t load_time(uint64_t tick)
{
	return (int64_t)tick < 0 ? -(int64_t)vmirq_pit_time_of(0 - tick)
				 : (int64_t)vmirq_pit_time_of(tick);
}

static void save_channel(const struct pit_channel *c, struct kvm_pit_channel_state *state)
{
	*state = (struct kvm_pit_channel_state){
		.count = c->count_register ? c->count_register : 0x10000,
		.latched_count = c->latched_count,
		.count_latched = c->count_latched,
		.status_latched = c->status_latched,
		.status = c->status,
		.read_state = c->read_state,
		.write_state = c->write_state,
		.write_latch = c->write_latch,
		.rw_mode = c->rw_mode,
		.mode = c->mode,
		.bcd = c->bcd,
		.gate = c->gate,
		.count_load_time = c->counting == PIT_COUNTING ? load_time(c->run.start) : 0,
	};
}

static void save_extra(const struct pit *pit, struct pit_extra *extra)
{
	*extra = (struct pit_extra){ .pending = pit->pending };
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		const struct pit_channel *c = &pit->channel[i];

		extra->channel[i].counting = c->counting;
		extra->channel[i].count_before = c->count_before;
		extra->channel[i].out_before = c->out_before;
		extra->channel[i].unloaded = c->unloaded;
		extra->channel[i].fresh = c->fresh;
		if (c->counting != PIT_COUNTING)
			continue;
		extra->channel[i].elapsed = c->held ? c->held_at : pit->tick - c->run.start;
		extra->channel[i].run_count = c->run.count;
		extra->channel[i].run_phase = c->run.phase;
		extra->channel[i].held = c->held;
		extra->channel[i].has_next = c->has_next;
		if (!c->has_next)
			continue;
		extra->channel[i].until_next = (uint32_t)(c->next.start - pit->tick);
		extra->channel[i].next_count = c->next.count;
		extra->channel[i].next_phase = c->next.phase;
	}
}

void vmirq_pit_save(struct pit *pit, struct kvm_pit_state2 *state, struct pit_extra *extra)
{
	pit->host.lock(pit->mutex);
	*state = (struct kvm_pit_state2){
		.flags = (pit->hpet_legacy ? KVM_PIT_FLAGS_HPET_LEGACY : 0u) |
			 (pit->speaker ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0u),
	};
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		save_channel(&pit->channel[i], &state->channels[i]);
	if (extra)
		save_extra(pit, extra);
	pit->host.unlock(pit->mutex);
}

static bool load_channel(struct pit_channel *c, const struct kvm_pit_channel_state *state,
			 bool has_gate)
{
	if (state->count > 0x10000 || state->bcd > 1 || state->gate > 1 ||
	    state->status_latched > 1 || (!state->gate && !has_gate))
		return false;
	*c = (struct pit_channel){
		/* 0 is the largest count here too (CVE-2015-7513). */
		.count_register = (uint16_t)state->count,
		.latched_count = state->latched_count,
		.count_latched = state->count_latched,
		.status = state->status,
		.read_state = state->read_state,
		.write_state = state->write_state,
		.write_latch = state->write_latch,
		.rw_mode = state->rw_mode,
		.mode = state->mode,
		.status_latched = state->status_latched,
		.bcd = state->bcd,
		.gate = state->gate,
		.out_before = state->mode != 0 && state->mode != PIT_MODE_NONE,
	};
	return vmirq_pit_channel_validate(c);
}

static bool load_extra(struct pit *next, const struct pit_extra *extra)
{
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		struct pit_channel *c = &next->channel[i];
		int64_t elapsed = (int64_t)extra->channel[i].elapsed;

		if (extra->channel[i].held > 1 || extra->channel[i].has_next > 1 ||
		    extra->channel[i].unloaded > 1 || extra->channel[i].fresh > 1 ||
		    extra->channel[i].out_before > 1 ||
		    elapsed < (extra->channel[i].held ? 0 : -1) || elapsed > INT64_MAX / 2)
			return false;
		c->counting = extra->channel[i].counting;
		c->count_before = extra->channel[i].count_before;
		c->out_before = extra->channel[i].out_before;
		c->unloaded = extra->channel[i].unloaded;
		c->fresh = extra->channel[i].fresh;
		c->held = extra->channel[i].held;
		c->held_at = c->held ? extra->channel[i].elapsed : 0;
		c->has_next = extra->channel[i].has_next;
		c->run.start = next->tick - extra->channel[i].elapsed;
		c->run.count = extra->channel[i].run_count;
		c->run.phase = extra->channel[i].run_phase;
		c->next.start = next->tick + extra->channel[i].until_next;
		c->next.count = extra->channel[i].next_count;
		c->next.phase = extra->channel[i].next_phase;
		/* It takes over within the period that runs. */
		if (c->has_next && (elapsed < 0 || !extra->channel[i].until_next ||
				    extra->channel[i].until_next > extra->channel[i].run_count))
			return false;
		if (!vmirq_pit_channel_validate(c))
			return false;
	}
	if (next->config.policy == PIT_REINJECT) {
		next->pending = extra->pending;
		next->ticks += extra->pending;
	}
	return true;
}

/* Without more: each count begins now, as KVM_SET_PIT2 has it. */
static void start_all(struct pit *next)
{
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		struct pit_channel *c = &next->channel[i];

		/* Half a count is written: in mode 0 that holds the counter. */
		if (c->mode != 0 || c->write_state != PIT_ACCESS_WORD2)
			vmirq_pit_channel_load(c, next->tick, c->count_register);
	}
}

/* What it would be; the lock is held. */
static bool make_next(const struct pit *pit, const struct kvm_pit_state2 *state,
		      const struct pit_extra *extra, struct pit *next)
{
	bool valid = !(state->flags & ~FLAGS_KNOWN);

	for (unsigned int i = 0; i < sizeof(state->reserved) / sizeof(state->reserved[0]); i++)
		valid = valid && !state->reserved[i];
	*next = *pit;
	vmirq_pit_advance(next, next->host.now(next->host.opaque));
	next->due = 0;
	next->speaker = state->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	next->hpet_legacy = state->flags & KVM_PIT_FLAGS_HPET_LEGACY;
	next->pending = 0;
	for (unsigned int i = 0; i < PIT_CHANNELS && valid; i++)
		valid = load_channel(&next->channel[i], &state->channels[i], i == 2);
	if (valid && extra)
		valid = load_extra(next, extra);
	else if (valid)
		start_all(next);
	return valid;
}

bool vmirq_pit_load(struct pit *pit, const struct kvm_pit_state2 *state,
		    const struct pit_extra *extra)
{
	struct pit next;
	bool valid;

	pit->host.lock(pit->mutex);
	valid = make_next(pit, state, extra, &next);
	if (valid)
		*pit = next;
	pit->host.unlock(pit->mutex);
	if (valid)
		vmirq_pit_announce(pit, (struct pit_outcome){ .moved = true });
	return valid;
}

bool vmirq_pit_loadable(struct pit *pit, const struct kvm_pit_state2 *state,
			const struct pit_extra *extra)
{
	struct pit next;
	bool valid;

	pit->host.lock(pit->mutex);
	valid = make_next(pit, state, extra, &next);
	pit->host.unlock(pit->mutex);
	return valid;
}

bool vmirq_pit_validate(struct pit *pit)
{
	bool valid;

	pit->host.lock(pit->mutex);
	valid = !pit->due && pit->channel[0].gate && pit->channel[1].gate &&
		pit->raised <= pit->ticks && (pit->config.policy == PIT_REINJECT || !pit->pending);
	for (unsigned int i = 0; i < PIT_CHANNELS && valid; i++) {
		const struct pit_channel *c = &pit->channel[i];

		valid = vmirq_pit_channel_validate(c) &&
			(!c->has_next || c->next.start > pit->tick);
	}
	pit->host.unlock(pit->mutex);
	return valid;
}
