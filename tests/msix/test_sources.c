// SPDX-License-Identifier: MIT
/*
 * A vector raised by whoever may raise one - a call, a bypass producer, a mailbox whose doorbell the pump hears, one
 * that is polled, a foreign eventfd - on every irqchip: held while it is masked and delivered once, followed when it
 * is sent elsewhere, saved and loaded.
 */
/* Its send() is not the socket's. */
#define send send_message
#include "../irqchip/world.h"
#undef send
#include "device.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <vmirq/bypass.h>
#include <vmirq/mailbox.h>
#include <vmirq/trigger.h>

#define BASE	    0x50u
#define ROUNDS	    60u
#define PATIENCE_MS 5000

enum kind { BY_CALL, BY_BYPASS, BY_MAILBOX, BY_POLLED_MAILBOX, BY_EVENTFD, KINDS };

struct source {
	enum kind kind;
	struct vmirq_msix *msix;
	uint32_t vector;
	int fd;
	struct vmirq_trigger *trigger;
	struct vmirq_mailbox *mailbox;
	struct vmirq_mailbox_client client;
};

static void open_mailbox(struct world *w, struct source *s)
{
	struct vmirq_mailbox_config config = { .size = sizeof(config), .count = 3 };

	assert_int_equal(vmirq_mailbox_create(w->vm, &config, &s->mailbox), 0);
	assert_int_equal(
		vmirq_mailbox_bind_irqfd(s->mailbox, 1, vmirq_msix_irqfd(s->msix, s->vector)), 0);
	assert_int_equal(vmirq_mailbox_client_attach(&s->client,
						     dup(vmirq_mailbox_memfd(s->mailbox)),
						     dup(vmirq_mailbox_doorbell(s->mailbox))),
			 0);
	if (s->kind == BY_POLLED_MAILBOX)
		vmirq_mailbox_start_looking(s->mailbox);
}

static void open_trigger(struct world *w, struct source *s)
{
	struct vmirq_trigger_config config = { .size = sizeof(config),
					       .bypass = vmirq_vm_bypass(w->vm),
					       .eventfd = s->fd };

	assert_int_equal(vmirq_trigger_create(&config, &s->trigger), 0);
}

static struct source open_source(struct world *w, struct vmirq_msix *msix, uint32_t vector,
				 enum kind kind)
{
	struct source s = { .kind = kind, .msix = msix, .vector = vector, .fd = -1 };

	if (kind == BY_BYPASS || kind == BY_EVENTFD) {
		s.fd = vmirq_msix_lend_eventfd(msix, vector);
		assert_true(s.fd >= 0);
	}
	if (kind == BY_BYPASS)
		open_trigger(w, &s);
	if (kind == BY_MAILBOX || kind == BY_POLLED_MAILBOX)
		open_mailbox(w, &s);
	return s;
}

static void close_source(struct source *s)
{
	if (s->mailbox) {
		if (s->kind == BY_POLLED_MAILBOX)
			assert_int_equal(vmirq_mailbox_stop_looking(s->mailbox), 0);
		vmirq_mailbox_client_detach(&s->client);
		assert_int_equal(vmirq_mailbox_unbind(s->mailbox, 1), 0);
		assert_int_equal(vmirq_mailbox_destroy(s->mailbox), 0);
	}
	assert_int_equal(vmirq_trigger_destroy(s->trigger), 0);
	if (s->fd >= 0)
		close(s->fd);
}

static uint64_t swept(const struct source *s)
{
	struct vmirq_mailbox_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_mailbox_counts(s->mailbox, &c), 0);
	return c.signalled;
}

/* The pump has heard the doorbell. */
static void await_sweep(const struct source *s, uint64_t n)
{
	for (int i = 0; i < PATIENCE_MS && swept(s) < n; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_int_equal(swept(s), n);
}

/* Once. What a device in another process set has been taken from the page when it returns. */
static void raise_by(struct source *s)
{
	uint64_t before;

	switch (s->kind) {
	case BY_CALL:
		vmirq_msix_trigger(s->msix, s->vector);
		break;
	case BY_BYPASS:
		vmirq_trigger_signal(s->trigger);
		break;
	case BY_MAILBOX:
		before = swept(s);
		assert_int_equal(vmirq_mailbox_client_raise(&s->client, 1), 1);
		await_sweep(s, before + 1);
		break;
	case BY_POLLED_MAILBOX:
		assert_int_equal(vmirq_mailbox_client_raise(&s->client, 1), 1);
		assert_int_equal(vmirq_mailbox_poll(s->mailbox), 1);
		break;
	default:
		world_write(s->fd, 1);
		break;
	}
}

enum mask { THE_VECTORS, THE_FUNCTIONS, DISABLED, MASKS };

static void set_mask(struct vmirq_msix *msix, uint32_t vector, enum mask mask, bool on)
{
	if (mask == THE_VECTORS)
		table_mask(msix, vector, on);
	else
		assert_int_equal(vmirq_msix_set_control(msix, !on || mask != DISABLED, on), 0);
}

static void masked_and_raised(struct world *w, struct source s[KINDS], enum mask mask)
{
	struct vmirq_msix *msix = s[0].msix;

	for (uint32_t k = 0; k < KINDS; k++)
		set_mask(msix, k, mask, true);
	for (uint32_t k = 0; k < KINDS; k++)
		for (int n = 0; n < 3; n++) {
			raise_by(&s[k]);
			assert_true(pba_bit(msix, k));
		}
	world_take_nothing(w);
	for (uint32_t k = 0; k < KINDS; k++)
		set_mask(msix, k, mask, false);
	for (uint32_t k = 0; k < KINDS; k++) {
		world_take(w, 2, (uint8_t)(BASE + k));
		assert_false(pba_bit(msix, k));
	}
	world_take_nothing(w);
	for (uint32_t k = 0; k < KINDS; k++) {
		raise_by(&s[k]);
		world_take(w, 2, (uint8_t)(BASE + k));
	}
}

static void masked_then_unmasked(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, KINDS);
	struct source s[KINDS];

	for (uint32_t k = 0; k < KINDS; k++) {
		s[k] = open_source(w, msix, k, (enum kind)k);
		table_put(msix, k, 2, (uint8_t)(BASE + k), false);
	}
	enable(msix);
	for (int mask = 0; mask < MASKS; mask++)
		masked_and_raised(w, s, (enum mask)mask);
	for (uint32_t k = 0; k < KINDS; k++)
		close_source(&s[k]);
	device_free(msix);
}

/* Where vector BASE or BASE + 1 stands; how often. */
static unsigned int stands(struct world *w, unsigned int *vcpu, uint8_t *vector)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < w->n; i++)
		for (uint8_t v = BASE; v < BASE + 2; v++)
			if (world_pending(w, i, v)) {
				*vcpu = i;
				*vector = v;
				n++;
			}
	return n;
}

struct raiser {
	struct source *source;
	_Atomic uint32_t round, done;
};

static void *raise_once_a_round(void *argument)
{
	struct raiser *r = argument;
	uint32_t round, last = 0;

	while ((round = atomic_load(&r->round)) != UINT32_MAX) {
		if (round != last) {
			raise_by(r->source);
			atomic_store(&r->done, round);
		}
		last = round;
		sched_yield();
	}
	return NULL;
}

/* One raise, anywhere, while its entry is written to: with the vector's mask as Linux does it, and without. */
static void one_round(struct world *w, struct raiser *r, uint32_t round)
{
	struct source *s = r->source;
	unsigned int vcpu = 0;
	uint8_t vector = 0;

	atomic_store(&r->round, round);
	for (uint32_t i = 0; i < 1 + round % 3; i++) {
		if (round % 2)
			table_mask(s->msix, s->vector, true);
		table_write(s->msix, s->vector, ENTRY_ADDRESS,
			    0xfee00000u | (round + i) % WORLD_VCPUS << 12);
		table_write(s->msix, s->vector, ENTRY_DATA, BASE + (round / 2 + i) % 2);
		if (round % 2)
			table_mask(s->msix, s->vector, false);
	}
	for (int i = 0; i < PATIENCE_MS && !stands(w, &vcpu, &vector); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	while (atomic_load(&r->done) != round)
		sched_yield();
	assert_int_equal(stands(w, &vcpu, &vector), 1);
	world_take(w, vcpu, vector);
}

/* Of each raise there is one interrupt, by the old message or the new. */
static void sent_elsewhere_while_raised(struct world *w)
{
	for (int kind = 0; kind < KINDS; kind++) {
		struct vmirq_msix *msix = device_new(w->vm, 2);
		struct source s = open_source(w, msix, 1, (enum kind)kind);
		struct raiser r = { .source = &s };
		pthread_t thread;

		table_put(msix, 1, 0, BASE, false);
		enable(msix);
		assert_int_equal(pthread_create(&thread, NULL, raise_once_a_round, &r), 0);
		for (uint32_t round = 1; round <= ROUNDS; round++)
			one_round(w, &r, round);
		atomic_store(&r.round, UINT32_MAX);
		pthread_join(thread, NULL);
		world_take_nothing(w);
		if (w->irqchip == VMIRQ_IRQCHIP_SOFT)
			assert_int_equal(vector_counts(msix, 1).raised, ROUNDS);
		close_source(&s);
		device_free(msix);
	}
}

static struct vmirq_msix *new_device(struct world *w, bool msi)
{
	const uint32_t flags = VMIRQ_MSIX_MSI | VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE;

	return msi ? device_new_msi(w->vm, 8, flags) : device_new(w->vm, 8);
}

/* All open but vector `masked`. */
static void set_up(struct vmirq_msix *msix, bool msi, uint32_t masked)
{
	if (msi) {
		msi_write(msix, 0x04, 4, 0xfee01000);
		msi_write(msix, 0x0c, 2, BASE);
		msi_write(msix, 0x10, 4, 1u << masked);
		msi_write(msix, 0x02, 2, 0x31);
		return;
	}
	for (uint32_t v = 0; v < 8; v++)
		table_put(msix, v, 1, (uint8_t)(BASE + v), v == masked);
	enable(msix);
}

static void unmask(struct vmirq_msix *msix, bool msi, uint32_t v)
{
	if (msi)
		msi_write(msix, 0x10, 4, 0);
	else
		table_mask(msix, v, false);
}

static void saved_and_loaded(struct world *w, bool msi)
{
	struct vmirq_msix_state state = { .size = sizeof(state) };

	for (uint32_t k = 0; k < KINDS; k++) {
		struct vmirq_msix *msix = new_device(w, msi);
		struct source s = open_source(w, msix, 1 + k, (enum kind)k);

		set_up(msix, msi, 1 + k);
		raise_by(&s);
		assert_int_equal(vmirq_msix_save(msix, &state), 0);
		close_source(&s);
		device_free(msix);
		msix = new_device(w, msi);
		s = open_source(w, msix, 1 + k, (enum kind)k);
		assert_int_equal(vmirq_msix_load(msix, &state), 0);
		assert_int_equal(vmirq_msix_pending(msix, 1 + k), 1);
		if (s.kind == BY_EVENTFD)
			world_take_nothing(w);
		unmask(msix, msi, 1 + k);
		world_take(w, 1, (uint8_t)(BASE + 1 + k));
		raise_by(&s);
		world_take(w, 1, (uint8_t)(BASE + 1 + k));
		/* The others are as they were, too. */
		vmirq_msix_trigger(msix, 7);
		world_take(w, 1, BASE + 7);
		close_source(&s);
		device_free(msix);
	}
}

static void table_saved_and_loaded(struct world *w)
{
	saved_and_loaded(w, false);
}

static void msi_saved_and_loaded(struct world *w)
{
	saved_and_loaded(w, true);
}

/* GSIs are had at the first unmask and given back at unplug: the next device has the same, and who reads its
 * eventfds is who read the first one's. */
static void unplugged(struct world *w)
{
	enum { MANY = 20, PLUGS = 30 };
	uint32_t gsi[MANY], first[MANY];
	unsigned int hidden = 0;

	for (int plug = 0; plug < PLUGS; plug++) {
		struct vmirq_msix *msix = device_new(w->vm, MANY);
		unsigned int unobserved = 0;

		for (uint32_t v = 0; v < MANY; v++) {
			close(vmirq_msix_lend_eventfd(msix, v));
			table_put(msix, v, v % WORLD_VCPUS, (uint8_t)(BASE + v), false);
			assert_int_equal(vmirq_msix_gsi(msix, v, &gsi[v]), -ENOENT);
		}
		enable(msix);
		for (uint32_t v = 0; v < MANY; v++) {
			assert_int_equal(vmirq_msix_gsi(msix, v, &gsi[v]), 0);
			unobserved += vector_counts(msix, v).unobserved;
		}
		if (!plug) {
			memcpy(first, gsi, sizeof(gsi));
			hidden = unobserved;
		}
		assert_memory_equal(gsi, first, sizeof(gsi));
		assert_int_equal(unobserved, hidden);
		device_free(msix);
	}
}

int main(void)
{
	static const struct world_case cases[] = {
		{ "masked, then unmasked", masked_then_unmasked },
		{ "sent elsewhere while raised", sent_elsewhere_while_raised },
		{ "a table saved and loaded", table_saved_and_loaded },
		{ "MSI saved and loaded", msi_saved_and_loaded },
		{ "unplugged", unplugged },
	};

	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
