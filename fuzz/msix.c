/* SPDX-License-Identifier: MIT */
/* A device's vectors: the guest's accesses to table, PBA and MSI capability, signals, eventfds, states. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/irqfd.h>
#include <vmirq/msix.h>
#include <vmirq/observe.h>
#include <vmirq/route.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#include "check.h"
#include "stream.h"

/* Operations. Their numbers stay: the corpus is written in them. */
enum op {
	OP_WORD,    /* vector, word, value: a table's word is written */
	OP_TABLE,   /* flags, offset, length, bytes: any access to the table */
	OP_PBA,	    /* the same, to the PBA */
	OP_MSI,	    /* the same, to the MSI capability */
	OP_CONTROL, /* bit 0 enable, bit 1 function mask */
	OP_TRIGGER, /* vector */
	OP_WRITE,   /* which eventfd, count */
	OP_DISPATCH,
	OP_EVENTFD, /* vector, which eventfd; bit 7: none */
	OP_PENDING, /* vector */
	OP_RESET,
	OP_SAVE_LOAD, /* must change nothing */
	OP_LOAD,      /* patches to its state */
	OP_GSIS,      /* so many are left for the vectors */
	OPS,
};

#define MOST	 80u
#define EVENTFDS 3u
#define GSIS	 192u
#define LONGEST	 64u

struct world {
	struct stream *stream;
	struct vmirq_vm *vm;
	struct vmirq_msix *msix;
	uint32_t n;
	bool msi;
	bool failed; /* something could not open: it may be pending though unmasked */
	int fd[EVENTFDS];
	uint32_t user[EVENTFDS]; /* its vector, plus one */
	uint64_t unread[EVENTFDS];
	uint64_t raised[MOST]; /* at least; with what is unread, at most */
	uint32_t taken[GSIS], n_taken;
};

static struct vmirq_route_counts counts_of(struct world *w, uint32_t v)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };
	uint64_t sum;

	check(!vmirq_irqfd_counts(vmirq_msix_irqfd(w->msix, v), &c));
	sum = c.held;
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		sum += c.verdict[i];
	check(c.raised == sum && c.held <= 1);
	return c;
}

static bool masked(struct world *w, uint32_t v, const struct vmirq_msix_state *s)
{
	if (w->msi)
		return !(s->control & 1) || v >= vmirq_msix_allocated(w->msix) ||
		       (s->msi_mask >> v & 1);
	return s->control != 0x8000 || s->entry[v].flags & VMIRQ_MSIX_ENTRY_MASKED;
}

static void result(struct world *w, int error)
{
	check(error == 0 || error == -ENOSPC);
	if (error)
		w->failed = true;
}

static uint64_t unread_of(const struct world *w, uint32_t v)
{
	for (uint32_t i = 0; i < EVENTFDS; i++)
		if (w->user[i] == v + 1)
			return w->unread[i];
	return 0;
}

/* The registers say who is masked; pending is who may be; the books are good. */
static void check_all(struct world *w)
{
	struct vmirq_msix_state s = { .size = sizeof(s) };

	check(!vmirq_msix_save(w->msix, &s));
	check(s.vectors == w->n);
	for (uint32_t v = 0; v < w->n; v++) {
		struct vmirq_route_counts c = counts_of(w, v);
		bool pending = s.entry[v].flags & VMIRQ_MSIX_ENTRY_PENDING;

		check(pending == c.held);
		if (!masked(w, v, &s) && !w->failed)
			check(!pending);
		check(c.raised >= w->raised[v] && c.raised <= w->raised[v] + unread_of(w, v));
	}
}

/* All that stands in the eventfd has been read now. */
static void was_read(struct world *w, uint32_t i)
{
	if (w->user[i])
		w->raised[w->user[i] - 1] += w->unread[i];
	w->unread[i] = 0;
}

static void access_any(struct world *w, enum op op)
{
	uint8_t flags = take8(w->stream);
	uint64_t offset = flags & 2 ? take_scaled(w->stream) : take16(w->stream);
	uint32_t len = flags & 4 ? take8(w->stream) % (LONGEST + 1) : 4u << (flags >> 3 & 1);
	uint8_t bytes[LONGEST + 1];
	bool is_write = flags & 1;
	int error;

	memset(bytes, 0x5a, sizeof(bytes));
	if (is_write)
		take_bytes(w->stream, bytes, len);
	if (op == OP_TABLE)
		error = vmirq_msix_table_access(w->msix, offset, bytes, len, is_write);
	else if (op == OP_PBA)
		error = vmirq_msix_pba_access(w->msix, offset, bytes, len, is_write);
	else
		error = vmirq_msix_msi_access(w->msix, (uint32_t)offset, bytes, len, is_write);
	if (w->msi == (op == OP_MSI))
		result(w, error);
	else
		check(error == -EINVAL);
	/* The last is nobody's. */
	check(bytes[LONGEST] == 0x5a);
}

static void write_word(struct world *w)
{
	uint32_t v = take8(w->stream) % w->n, word = take8(w->stream) & 3;
	uint32_t value = take32(w->stream), got = 0;
	int error = vmirq_msix_table_access(w->msix, v * 16 + word * 4, &value, 4, true);

	if (w->msi) {
		check(error == -EINVAL);
		return;
	}
	result(w, error);
	check(!vmirq_msix_table_access(w->msix, v * 16 + word * 4, &got, 4, false));
	check(got == (word == 0 ? value & ~3u : word == 3 ? value & 1 : value));
}

static void trigger(struct world *w)
{
	struct vmirq_msix_state s = { .size = sizeof(s) };
	uint32_t v = take8(w->stream) % (w->n + 1);
	enum vmirq_verdict verdict;
	bool closed, held;

	if (v == w->n) {
		check(vmirq_msix_trigger(w->msix, v) == VMIRQ_NO_ROUTE);
		return;
	}
	check(!vmirq_msix_save(w->msix, &s));
	closed = masked(w, v, &s);
	held = s.entry[v].flags & VMIRQ_MSIX_ENTRY_PENDING;
	verdict = vmirq_msix_trigger(w->msix, v);
	w->raised[v]++;
	if (closed)
		check(verdict == (held ? VMIRQ_COALESCED : VMIRQ_HELD));
	else if (!w->failed)
		check(verdict < VMIRQ_VERDICTS && verdict != VMIRQ_DEASSIGNED);
}

static void set_eventfd(struct world *w)
{
	uint32_t v = take8(w->stream) % w->n, which = take8(w->stream);
	uint32_t i = which % EVENTFDS;
	int error = vmirq_msix_set_eventfd(w->msix, v, which & 0x80 ? -1 : w->fd[i],
					   which & 0x80 ? 0 : i + 1);

	if (!(which & 0x80) && w->user[i]) {
		check(error == (w->user[i] == v + 1 ? 0 : -EBUSY));
		return;
	}
	check(!error);
	for (uint32_t old = 0; old < EVENTFDS; old++)
		if (w->user[old] == v + 1) {
			was_read(w, old);
			w->user[old] = 0;
		}
	if (!(which & 0x80))
		w->user[i] = v + 1;
}

static void dispatch(struct world *w)
{
	while (vmirq_pump_dispatch(vmirq_vm_pump(w->vm), 0) > 0)
		;
	for (uint32_t i = 0; i < EVENTFDS; i++)
		if (w->user[i])
			was_read(w, i);
}

static void save_load(struct world *w)
{
	struct vmirq_msix_state before = { .size = sizeof(before) }, after = before;

	check(!vmirq_msix_save(w->msix, &before));
	/* What is pending is so already. */
	result(w, vmirq_msix_load(w->msix, &before));
	check(!vmirq_msix_save(w->msix, &after));
	if (!w->failed)
		check(!memcmp(&before, &after, VMIRQ_MSIX_STATE_SIZE(w->n)));
}

static void load(struct world *w)
{
	struct vmirq_msix_state s = { .size = sizeof(s) }, before;
	int error;

	check(!vmirq_msix_save(w->msix, &s));
	before = s;
	take_patches(w->stream, &s, VMIRQ_MSIX_STATE_SIZE(w->n));
	/* That much there is. */
	if (s.size > sizeof(s))
		s.size = sizeof(s);
	error = vmirq_msix_load(w->msix, &s);
	if (error == -EINVAL)
		return;
	for (uint32_t v = 0; v < w->n; v++)
		w->raised[v] +=
			!!(s.entry[v].flags & ~before.entry[v].flags & VMIRQ_MSIX_ENTRY_PENDING);
	result(w, error);
}

static void leave_gsis(struct world *w, uint32_t left)
{
	while (w->n_taken)
		check(!vmirq_gsi_free(w->vm, w->taken[--w->n_taken]));
	while (!vmirq_gsi_alloc(w->vm, &w->taken[w->n_taken]))
		w->n_taken++;
	while (w->n_taken && left--)
		check(!vmirq_gsi_free(w->vm, w->taken[--w->n_taken]));
}

static void take_control(struct world *w)
{
	uint8_t bits = take8(w->stream);
	int error = vmirq_msix_set_control(w->msix, bits & 1, bits & 2);

	if (w->msi)
		check(error == -EINVAL);
	else
		result(w, error);
	/* All that wants to be open is, or nobody is. */
	if (!error)
		w->failed = false;
}

static void write_eventfd(struct world *w)
{
	uint32_t i = take8(w->stream) % EVENTFDS;
	uint64_t n = take8(w->stream);

	if (n && w->user[i]) {
		check(!eventfd_write(w->fd[i], n));
		w->unread[i] += n;
	}
}

static void reset(struct world *w)
{
	check(!vmirq_msix_reset(w->msix));
	for (uint32_t i = 0; i < EVENTFDS; i++)
		was_read(w, i);
	w->failed = false;
	for (uint32_t v = 0; v < w->n; v++)
		check(vmirq_msix_pending(w->msix, v) == 0);
}

static void step(struct world *w)
{
	uint32_t v;
	enum op op = (enum op)take8(w->stream);

	switch (op) {
	case OP_WORD:
		write_word(w);
		break;
	case OP_TABLE:
	case OP_PBA:
	case OP_MSI:
		access_any(w, op);
		break;
	case OP_CONTROL:
		take_control(w);
		break;
	case OP_TRIGGER:
		trigger(w);
		break;
	case OP_WRITE:
		write_eventfd(w);
		break;
	case OP_DISPATCH:
		dispatch(w);
		break;
	case OP_EVENTFD:
		set_eventfd(w);
		break;
	case OP_PENDING:
		v = take8(w->stream) % w->n;
		check(vmirq_msix_pending(w->msix, v) == (int)counts_of(w, v).held);
		break;
	case OP_RESET:
		reset(w);
		break;
	case OP_SAVE_LOAD:
		save_load(w);
		break;
	case OP_LOAD:
		load(w);
		break;
	case OP_GSIS:
		leave_gsis(w, take8(w->stream));
		break;
	default:
		break;
	}
}

static void start(struct world *w)
{
	struct vmirq_vm_config vm = { .size = sizeof(vm), .max_vcpus = 2, .max_gsis = GSIS };
	struct vmirq_msix_config device = { .size = sizeof(device) };
	struct vmirq_vcpu_config vcpu = { .size = sizeof(vcpu) };
	struct vmirq_vcpu *first;
	uint32_t svr = 0x1ff;
	uint8_t kind = take8(w->stream);

	w->msi = kind & 1;
	w->n = w->msi ? 1u << (take8(w->stream) % 6) : 1 + take8(w->stream) % MOST;
	device.vectors = w->n;
	if (w->msi)
		device.flags = VMIRQ_MSIX_MSI |
			       (kind & (VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE));
	if (kind & 8)
		vm.flags = VMIRQ_VM_MSI_32BIT_IDS;
	check(!vmirq_vm_create(&vm, &w->vm));
	check(!vmirq_vcpu_create(w->vm, &vcpu, &first));
	check(!vmirq_vcpu_mmio(first, 0xfee000f0, &svr, 4, true));
	check(!vmirq_msix_create(w->vm, &device, &w->msix));
	for (uint32_t i = 0; i < EVENTFDS; i++) {
		w->fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		check(w->fd[i] >= 0);
	}
}

static void end(struct world *w)
{
	for (uint32_t i = 0; i < EVENTFDS; i++)
		if (w->user[i]) {
			check(!vmirq_msix_set_eventfd(w->msix, w->user[i] - 1, -1, 0));
			was_read(w, i);
		}
	/* Every signal has had an outcome, or waits. */
	for (uint32_t v = 0; v < w->n; v++)
		check(counts_of(w, v).raised == w->raised[v]);
	check(!vmirq_msix_destroy(w->msix));
	leave_gsis(w, GSIS);
	check(!w->n_taken);
	check(!vmirq_vm_destroy(w->vm));
	for (uint32_t i = 0; i < EVENTFDS; i++)
		close(w->fd[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream s = { .at = data, .left = size };
	struct world w = { .stream = &s };

	start(&w);
	while (s.left) {
		step(&w);
		check_all(&w);
	}
	end(&w);
	return 0;
}
