// SPDX-License-Identifier: MIT
/*
 * bring_up: what a VMM does when a guest enables 1024 MSI-X vectors.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmirq/route.h>

#include "bench_rows.h"
#include "bench_soft.h"

#define VECTORS 1024u

struct bring_up {
	struct bench_soft soft;
	struct bench_kvm kvm; /* the raw peer's */
	struct bench_kvm own; /* under libvmirq's kvm irqchip */
	struct vmirq_vm *vm;  /* around it */
	bool has_kvm;
	int fd[VECTORS];
	int twin[VECTORS]; /* duplicates, to be taken */
	uint32_t gsi[VECTORS];
	struct vmirq_irqfd *irqfd[VECTORS];
	struct vmirq_irqfd_config config[VECTORS];
	int error;
};

static void note_error(struct bring_up *t, int ret)
{
	if (ret && !t->error)
		t->error = ret;
}

static void up(struct bring_up *t, struct vmirq_vm *vm, bool eventfds)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config), .eventfd = -1 };

	for (uint32_t i = 0; i < VECTORS; i++) {
		note_error(t, vmirq_gsi_alloc(vm, &t->gsi[i]));
		note_error(t, vmirq_route_set_msi(vm, t->gsi[i], bench_msi_address(0),
						  bench_vector(i)));
	}
	for (uint32_t i = 0; i < VECTORS; i++) {
		config.gsi = t->gsi[i];
		if (eventfds)
			config.eventfd = t->fd[i];
		note_error(t, vmirq_irqfd_assign(vm, &config, &t->irqfd[i]));
	}
}

static void down(struct bring_up *t, struct vmirq_vm *vm)
{
	for (uint32_t i = 0; i < VECTORS; i++)
		note_error(t, vmirq_irqfd_deassign(t->irqfd[i]));
	note_error(t, vmirq_route_begin(vm));
	for (uint32_t i = 0; i < VECTORS; i++)
		note_error(t, vmirq_gsi_free(vm, t->gsi[i]));
	note_error(t, vmirq_route_commit(vm));
}

static uint64_t up_in_process(struct bring_up *t)
{
	uint64_t start = bench_now(), end;

	up(t, t->soft.vm, false);
	end = bench_now();
	down(t, t->soft.vm);
	return end - start;
}

static uint64_t up_eventfds(struct bring_up *t)
{
	uint64_t start = bench_now(), end;

	up(t, t->soft.vm, true);
	end = bench_now();
	down(t, t->soft.vm);
	return end - start;
}

/* One by one, or all in one call. */
static void bind_all(struct bring_up *t, const int *fd, uint32_t flags, bool at_once)
{
	for (uint32_t i = 0; i < VECTORS; i++) {
		t->config[i] = (struct vmirq_irqfd_config){ .size = sizeof(t->config[i]),
							    .gsi = t->gsi[i],
							    .flags = flags,
							    .eventfd = fd[i] };
		if (!at_once)
			note_error(t, vmirq_irqfd_assign(t->vm, &t->config[i], &t->irqfd[i]));
	}
	if (at_once)
		note_error(t, vmirq_irqfd_assign_many(t->vm, t->config, VECTORS, t->irqfd));
}

static uint64_t up_transaction(struct bring_up *t, const int *fd, uint32_t flags, bool at_once)
{
	uint64_t start = bench_now(), end;

	note_error(t, vmirq_route_begin(t->vm));
	for (uint32_t i = 0; i < VECTORS; i++) {
		note_error(t, vmirq_gsi_alloc(t->vm, &t->gsi[i]));
		note_error(t, vmirq_route_set_msi(t->vm, t->gsi[i], bench_msi_address(0),
						  bench_vector(i)));
	}
	note_error(t, vmirq_route_commit(t->vm));
	bind_all(t, fd, flags, at_once);
	end = bench_now();
	down(t, t->vm);
	return end - start;
}

/* The peer's eventfds are open already, too. */
static uint64_t up_taken(struct bring_up *t, bool at_once)
{
	for (uint32_t i = 0; i < VECTORS; i++) {
		t->twin[i] = fcntl(t->fd[i], F_DUPFD_CLOEXEC, 0);
		note_error(t, t->twin[i] < 0 ? -errno : 0);
	}
	return up_transaction(t, t->twin, VMIRQ_IRQFD_TAKE, at_once);
}

/* The first n of the table that open_kvm() has filled. */
static void set_raw_routes(struct bring_up *t, uint32_t n)
{
	t->kvm.table->nr = n;
	note_error(t, ioctl(t->kvm.vm, KVM_SET_GSI_ROUTING, t->kvm.table));
}

static void raw_down(struct bring_up *t)
{
	for (uint32_t i = 0; i < VECTORS; i++)
		note_error(t, bench_kvm_irqfd(&t->kvm, i, t->fd[i], 0, KVM_IRQFD_FLAG_DEASSIGN));
	set_raw_routes(t, 0);
}

static uint64_t raw_one_by_one(struct bring_up *t)
{
	uint64_t start = bench_now(), end;

	for (uint32_t i = 0; i < VECTORS; i++) {
		set_raw_routes(t, i + 1);
		note_error(t, bench_kvm_irqfd(&t->kvm, i, t->fd[i], 0, 0));
	}
	end = bench_now();
	raw_down(t);
	return end - start;
}

static uint64_t raw_one_commit(struct bring_up *t)
{
	uint64_t start = bench_now(), end;

	set_raw_routes(t, VECTORS);
	for (uint32_t i = 0; i < VECTORS; i++)
		note_error(t, bench_kvm_irqfd(&t->kvm, i, t->fd[i], 0, 0));
	end = bench_now();
	raw_down(t);
	return end - start;
}

static int open_kvm(struct bring_up *t)
{
	struct vmirq_vm_config config = {
		.size = sizeof(config),
		.irqchip = VMIRQ_IRQCHIP_KVM,
		.max_vcpus = 1,
	};
	int ret = bench_kvm_open(&t->kvm, 1);

	if (ret)
		return ret;
	t->has_kvm = true;
	/* The largest first: it is the table's memory. */
	ret = bench_kvm_set_routes(&t->kvm, VECTORS);
	if (!ret)
		ret = bench_kvm_open_bare(&t->own);
	config.kvm_vm_fd = t->own.vm;
	if (!ret)
		ret = vmirq_vm_create(&config, &t->vm);
	return ret ? ret : bench_kvm_add_vcpus(&t->own, 1);
}

/* The same peers' samples stand in all cases. */
static void share(struct bench_case *c, const char *name, const struct samples *samples)
{
	struct bench_side *side = bench_side(c, BENCH_PEER, name);

	for (size_t i = 0; i < samples->n; i++)
		samples_add(&side->samples, (double)samples->value[i]);
}

static struct samples *ours(struct bench_case *c, const char *name)
{
	return &bench_side(c, BENCH_OURS, name)->samples;
}

static void turns(struct bench *b, struct bring_up *t, struct samples *in_process,
		  struct samples *eventfds, struct samples *taken, struct samples *single,
		  struct samples *duplicated, struct samples peer[2])
{
	uint64_t end = bench_now() + 2 * b->case_ns;
	bool first = false;

	do {
		/* Short beside the peers': more of them. */
		for (int i = 0; i < 4; i++)
			samples_add(in_process, (double)up_in_process(t) / 1000);
		if (t->has_kvm) {
			/* What each takes down, the kernel frees while the next one is measured. */
			first = !first;
			if (first)
				samples_add(taken, (double)up_taken(t, true) / 1000);
			samples_add(&peer[1], (double)raw_one_commit(t) / 1000);
			if (!first)
				samples_add(taken, (double)up_taken(t, true) / 1000);
		}
		samples_add(eventfds, (double)up_eventfds(t) / 1000);
		if (!t->has_kvm)
			continue;
		samples_add(single, (double)up_taken(t, false) / 1000);
		samples_add(duplicated, (double)up_transaction(t, t->fd, 0, true) / 1000);
		samples_add(&peer[0], (double)raw_one_by_one(t) / 1000);
	} while (bench_now() < end && !t->error);
}

static const char *const peers[] = { "kvm_one_by_one", "kvm_one_commit" };

int bench_bring_up(struct bench *b)
{
	struct bench_case *soft = bench_case(b, "", "us");
	struct bench_case *eventfds = bench_case(b, "eventfds", "us");
	struct bench_case *kvm = bench_case(b, "kvm_transaction", "us");
	struct bench_case *single = bench_case(b, "kvm_transaction_single_assigns", "us");
	struct bench_case *duplicated = bench_case(b, "kvm_transaction_duplicated", "us");
	struct bring_up *t = calloc(1, sizeof(*t));
	struct samples peer[2] = { { 0 } };
	int ret = soft && eventfds && kvm && single && duplicated && t
			  ? bench_soft_open(&t->soft, 1, 0)
			  : -ENOMEM;

	if (ret) {
		free(t);
		return ret;
	}
	t->kvm = t->own = (struct bench_kvm){ .kvm = -1, .vm = -1 };
	for (uint32_t i = 0; i < VECTORS; i++) {
		t->fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ret = t->fd[i] < 0 ? -errno : ret;
	}
	if (!ret && open_kvm(t) && t->has_kvm)
		ret = -EIO;
	if (!ret)
		turns(b, t, ours(soft, "vmirq"), ours(eventfds, "vmirq"), ours(kvm, "vmirq_kvm"),
		      ours(single, "vmirq_kvm"), ours(duplicated, "vmirq_kvm"), peer);
	for (int i = 0; i < 2; i++) {
		if (t->has_kvm)
			share(soft, peers[i], &peer[i]);
	}
	if (t->has_kvm) {
		share(eventfds, peers[0], &peer[0]);
		share(kvm, peers[1], &peer[1]);
		share(single, peers[1], &peer[1]);
		share(duplicated, peers[1], &peer[1]);
	} else {
		bench_no_kvm(soft, &t->kvm);
		bench_no_kvm(eventfds, &t->kvm);
		bench_no_kvm(kvm, &t->kvm);
		bench_no_kvm(single, &t->kvm);
		bench_no_kvm(duplicated, &t->kvm);
	}
	bench_target(soft, BENCH_PEER_MIN, peers[0], 1000);
	bench_target(soft, BENCH_PEER_MIN, peers[1], 5);
	bench_target(eventfds, BENCH_PEER_MIN, peers[0], 8);
	bench_target(kvm, BENCH_PEER_MAX, peers[1], 1.1);
	bench_note(soft,
		   "A sample is %u vectors. Ours: GSIs allocated, routes set, irqfds signalled by "
		   "call bound: no eventfd, and no system call. The peers: eventfds that are open "
		   "already; KVM_SET_GSI_ROUTING and KVM_IRQFD for each vector, or one "
		   "KVM_SET_GSI_ROUTING for all.",
		   VECTORS);
	bench_note(eventfds,
		   "As above, with the same eventfds as the peer's: each is duplicated, told "
		   "from others by /proc, and watched by the pump.");
	bench_note(
		kvm,
		"libvmirq's kvm irqchip: GSIs allocated, all routes in one transaction, irqfds "
		"bound to the same eventfds in one call (vmirq_irqfd_assign_many()); the kernel reads "
		"them. The library takes descriptors "
		"that are open already (VMIRQ_IRQFD_TAKE), as the peer's are: it does not duplicate "
		"them, and closes them after the measurement. The peer does not allocate GSIs, nor "
		"know its irqfds again; it calls libc's ioctl(), which ours does not for KVM_IRQFD.");
	bench_note(
		single,
		"As above with a vmirq_irqfd_assign() for each. No target: what lies between the "
		"kernel's calls, it has mostly put out of the caches.");
	bench_note(
		duplicated,
		"As above without VMIRQ_IRQFD_TAKE: each eventfd is duplicated, which is a system "
		"call that the peer does not make. No target: a caller who keeps his descriptors "
		"has that to pay.");
	if (t->has_kvm) {
		vmirq_vm_destroy(t->vm);
		bench_kvm_close(&t->own);
		bench_kvm_close(&t->kvm);
	}
	for (uint32_t i = 0; i < VECTORS; i++) {
		if (t->fd[i] >= 0)
			close(t->fd[i]);
	}
	ret = ret ? ret : t->error;
	samples_free(&peer[0]);
	samples_free(&peer[1]);
	bench_soft_close(&t->soft);
	free(t);
	return ret;
}
