/* SPDX-License-Identifier: MIT */
/* A mailbox whose device writes anything anywhere, while the VMM looks, binds and unbinds. One thread. */
#include <string.h>
#include <sys/eventfd.h>

#include "base/bits.h"
#include "check.h"
#include "mailbox/mailbox.h"
#include "stream.h"

#include <vmirq/irqfd.h>
#include <vmirq/observe.h>
#include <vmirq/vm.h>

#define GSIS 16u

/* Operations. Their numbers stay: the corpus is written in them. */
enum op {
	OP_WORD,     /* offset, value: anywhere in the page */
	OP_RAISE,    /* interrupt */
	OP_FILL,     /* byte: the whole page */
	OP_RING,     /* by how much, scaled */
	OP_UNRING,   /* the device reads its own doorbell */
	OP_BLOCKING, /* O_NONBLOCK or not */
	OP_HOLE,
	OP_TRUNCATE, /* to what, scaled */
	OP_POLL,
	OP_START,
	OP_STOP,
	OP_DISPATCH,
	OP_BIND,   /* interrupt, GSI */
	OP_UNBIND, /* interrupt */
	OP_RESET,
	OP_CLOCK, /* on by so many ns, scaled */
	OP_WATCH, /* whether */
	OP_HANG_UP,
	OPS,
};

struct bench {
	struct stream *stream;
	struct vmirq_vm *vm;
	struct vmirq_mailbox *mailbox;
	struct vmirq_mailbox_client client;
	struct rate limit; /* a copy: what it started with */
	uint64_t now;
	uint64_t raised; /* bits that have gone from the page while the VMM did something */
	uint64_t bound;	 /* GSIs that ever were */
	int peer;	 /* the device's end, or -1 */
	unsigned int deaths;
};

static uint64_t now(void *opaque)
{
	return ((struct bench *)opaque)->now;
}

static uint64_t bits_in_page(struct bench *b)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < b->client.count; i++)
		n += *vmirq_mailbox_word(b->client.page, i) >> (i % 64) & 1;
	return n;
}

static void count_death(void *opaque)
{
	((struct bench *)opaque)->deaths++;
}

static void create(struct bench *b, struct stream *s)
{
	struct vmirq_clock clock = { .now = now, .opaque = b };
	struct vmirq_vm_config vm_config = {
		.size = sizeof(vm_config), .max_vcpus = 1, .max_gsis = GSIS, .clock = &clock
	};
	struct vmirq_mailbox_config config = { .size = sizeof(config) };

	config.count = 1 + take16(s) % 200;
	config.rate = take16(s);
	config.burst = config.rate ? take8(s) : 0;
	*b = (struct bench){ .stream = s, .peer = -1 };
	check(vmirq_vm_create(&vm_config, &b->vm) == 0);
	check(vmirq_mailbox_create(b->vm, &config, &b->mailbox) == 0);
	b->limit = b->mailbox->rate;
	check(vmirq_mailbox_client_attach(&b->client, dup(vmirq_mailbox_memfd(b->mailbox)),
					  dup(vmirq_mailbox_doorbell(b->mailbox))) == 0);
}

static void destroy(struct bench *b)
{
	vmirq_mailbox_client_detach(&b->client);
	check(vmirq_mailbox_destroy(b->mailbox) == 0);
	check(vmirq_vm_destroy(b->vm) == 0);
	if (b->peer >= 0)
		close(b->peer);
}

/* The device's writes and reads of its doorbell do not block the fuzzer, whatever its flags are. */
static void use_doorbell(struct bench *b, bool rings)
{
	int flags = fcntl(b->client.doorbell, F_GETFL);
	uint64_t n = rings ? take_scaled(b->stream) : 0;

	fcntl(b->client.doorbell, F_SETFL, O_NONBLOCK);
	if (rings)
		(void)!write(b->client.doorbell, &n, sizeof(n));
	else
		(void)!read(b->client.doorbell, &n, sizeof(n));
	fcntl(b->client.doorbell, F_SETFL, flags);
}

static void raise_bit(struct bench *b)
{
	uint32_t i = take8(b->stream);
	int flags = fcntl(b->client.doorbell, F_GETFL), raised;

	fcntl(b->client.doorbell, F_SETFL, O_NONBLOCK);
	raised = vmirq_mailbox_client_raise(&b->client, i);
	check(i < b->client.count ? raised == 0 || raised == 1 : raised == -EINVAL);
	fcntl(b->client.doorbell, F_SETFL, flags);
}

/* What the device does; false: none of its operations. */
static bool device_step(struct bench *b, enum op op)
{
	struct stream *s = b->stream;
	int memfd = vmirq_mailbox_memfd(b->mailbox);
	uint64_t word;
	size_t at;

	switch (op) {
	case OP_WORD:
		at = take16(s) % (b->client.bytes - sizeof(word) + 1);
		word = take64(s);
		memcpy((char *)b->client.page + at, &word, sizeof(word));
		break;
	case OP_RAISE:
		raise_bit(b);
		break;
	case OP_FILL:
		memset(b->client.page, take8(s), b->client.bytes);
		break;
	case OP_RING:
		use_doorbell(b, true);
		break;
	case OP_UNRING:
		use_doorbell(b, false);
		break;
	case OP_BLOCKING:
		fcntl(b->client.doorbell, F_SETFL, take_bool(s) ? O_NONBLOCK : 0);
		break;
	case OP_HOLE:
		fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, b->client.bytes);
		break;
	case OP_TRUNCATE:
		word = take_scaled(s) & INT64_MAX;
		check(ftruncate(memfd, (off_t)word) < 0 || word == b->client.bytes);
		break;
	case OP_HANG_UP:
		if (b->peer >= 0)
			close(b->peer);
		b->peer = -1;
		break;
	default:
		return false;
	}
	return true;
}

static void watch(struct bench *b)
{
	int pair[2];

	if (!take_bool(b->stream)) {
		check(vmirq_mailbox_watch(b->mailbox, -1, NULL, NULL) == 0);
		return;
	}
	if (b->peer >= 0)
		close(b->peer);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	check(vmirq_mailbox_watch(b->mailbox, pair[0], count_death, b) == 0);
	close(pair[0]);
	b->peer = pair[1];
}

static void bind_bit(struct bench *b)
{
	uint32_t i = take8(b->stream), gsi = take8(b->stream) % (GSIS + 1);
	int error = vmirq_mailbox_bind(b->mailbox, i, gsi);

	if (i >= b->client.count)
		check(error == -EINVAL);
	else
		check(error == 0 || error == -EBUSY || (error == -EINVAL && gsi == GSIS));
	if (!error)
		b->bound |= bit64(gsi);
}

static void vmm_step(struct bench *b, enum op op)
{
	int n;

	switch (op) {
	case OP_POLL:
		check(vmirq_mailbox_poll(b->mailbox) >= 0);
		break;
	case OP_START:
		vmirq_mailbox_start_looking(b->mailbox);
		break;
	case OP_STOP:
		n = vmirq_mailbox_stop_looking(b->mailbox);
		check(n >= 0 || n == -EINVAL);
		/* The last one leaves nothing behind that nobody will be told of. */
		if (n >= 0 && !b->mailbox->lookers)
			check(bits_in_page(b) == 0);
		break;
	case OP_DISPATCH:
		n = vmirq_pump_dispatch(vmirq_vm_pump(b->vm), 0);
		check(n >= 0 && n <= 3);
		break;
	case OP_BIND:
		bind_bit(b);
		break;
	case OP_UNBIND:
		n = vmirq_mailbox_unbind(b->mailbox, take8(b->stream));
		check(n == 0 || n == -ENOENT || n == -EINVAL);
		break;
	case OP_RESET:
		vmirq_mailbox_reset(b->mailbox);
		check(bits_in_page(b) == 0);
		break;
	case OP_WATCH:
		watch(b);
		break;
	default:
		break;
	}
}

static void go_on(struct bench *b)
{
	uint64_t ns = take_scaled(b->stream);

	b->now = ns < UINT64_MAX - b->now ? b->now + ns : UINT64_MAX;
}

/* No more than the bucket held at first and what has flowed in since. */
static bool within_rate(const struct bench *b, uint64_t signals)
{
	return !b->limit.rate ||
	       (double)signals <= (double)b->limit.burst +
					  (double)b->now / 1e9 * (double)b->limit.rate * 1.0001 + 1;
}

static void check_laws(struct bench *b)
{
	const struct vmirq_mailbox *m = b->mailbox;
	struct vmirq_mailbox_counts c = { .size = sizeof(c) };
	uint64_t signalled = 0;

	check(vmirq_mailbox_counts(m, &c) == 0);
	check(c.raised == b->raised);
	check(c.raised == c.signalled + c.coalesced + c.dropped + c.held);
	check(c.held <= b->client.count);
	check(within_rate(b, c.signalled));
	for (uint32_t gsi = 0; gsi < GSIS; gsi++) {
		struct vmirq_route_counts r = { .size = sizeof(r) };

		check(vmirq_gsi_counts(b->vm, gsi, &r) == 0);
		check(r.raised == 0 || (b->bound & bit64(gsi)));
		check(r.verdict[VMIRQ_NO_ROUTE] == r.raised);
		signalled += r.raised;
	}
	check(signalled == c.signalled);
	check(m->lookers == m->pollers + c.throttled);
	check((m->turn & 1) == (m->lookers > 0));
	check((vmirq_mailbox_deadline(m) != UINT64_MAX) <= c.throttled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream stream = { .at = data, .left = size };
	struct bench b;

	create(&b, &stream);
	while (stream.left) {
		enum op op = (enum op)(take8(&stream) % OPS);
		uint64_t before;

		if (op == OP_CLOCK) {
			go_on(&b);
			continue;
		}
		if (device_step(&b, op))
			continue;
		before = bits_in_page(&b);
		vmm_step(&b, op);
		b.raised += before - bits_in_page(&b);
		check_laws(&b);
	}
	destroy(&b);
	return 0;
}
