/* SPDX-License-Identifier: MIT */
/*
 * Bind many: each of the locks that an assign takes for itself but the GSI's is taken once for some, and between
 * the kernel's calls there is little else. By so many that what they have in memory stays in the caches from
 * one step to the next.
 */
#include <errno.h>

#include "base/call.h"
#include "base/reader.h"
#include "base/vm.h"
#include "irqfd/assign.h"
#include "irqfd/bypass.h"
#include "irqfd/deferred.h"

#define AT_ONCE 64u

struct many {
	struct vmirq_vm *vm;
	const struct vmirq_irqfd_config *config; /* as the caller has them */
	size_t n;
	struct vmirq_irqfd **irqfd;
	size_t taken, attached; /* the first of them */
	size_t expecting;	/* a bypass manager, if there will be one */
};

static const struct vmirq_irqfd_config *config_at(const struct many *m, size_t i)
{
	return (const void *)((const char *)m->config + i * m->config->size);
}

/* Of those up to `end`, and likewise below. */
static int take(struct many *m, size_t end)
{
	struct irqfd_table *table = m->vm->irqfds;
	size_t first = m->taken;
	bool out_of_memory = false;

	lock_take(&table->memory_lock);
	while (m->taken < end && !out_of_memory) {
		bool has_eventfd = config_at(m, m->taken)->eventfd >= 0;

		m->irqfd[m->taken] = vmirq_irqfd_take_locked(table, has_eventfd);
		out_of_memory = !m->irqfd[m->taken];
		m->taken += !out_of_memory;
	}
	lock_give(&table->memory_lock);
	for (size_t i = first; i < m->taken; i++)
		irqfd_begin(m->irqfd[i], table->unrouted, false, m->irqfd[i]->source != NULL);
	return out_of_memory ? -ENOMEM : 0;
}

static int begin(const struct many *m, size_t i)
{
	const struct vmirq_irqfd_config *config;
	struct vmirq_irqfd *irqfd = m->irqfd[i];
	struct vmirq_irqfd_config copy;
	struct route_slot *slot;
	int error = irqfd_read_config(m->vm, config_at(m, i), &copy, &config, &slot);

	if (error)
		return error;
	irqfd->slot = slot;
	if (unlikely(config->worker))
		error = vmirq_irqfd_defer_to(irqfd, config->worker);
	if (error || !irqfd->source)
		return error;
	error = vmirq_irqfd_open_source(irqfd->source, config->eventfd, irqfd_takes(config),
					config->pump ? config->pump : m->vm->pump);
	irqfd->source->no_bypass = config->flags & VMIRQ_IRQFD_NO_BYPASS;
	return error;
}

static int bind(const struct many *m, size_t end)
{
	int error = 0;

	for (size_t i = m->attached; i < end && !error; i++)
		error = begin(m, i);
	if (error)
		return error;
	vmirq_eventfd_hold();
	for (size_t i = m->attached; i < end && !error; i++) {
		struct irqfd_source *source = m->irqfd[i]->source;

		if (!source)
			continue;
		error = vmirq_eventfd_bind_held(&source->binding, source->fd,
						config_at(m, i)->token,
						irqfd_wanted_kernel(m->irqfd[i]));
		source->bound = !error;
	}
	vmirq_eventfd_release();
	return error;
}

/* What the kernel is to be asked for. Its calls are made one after the other: they put out of the caches, and of
 * the TLB, what would lie between them. */
struct calls {
	size_t n;
	struct vmirq_irqfd *irqfd[AT_ONCE];
	struct kvm_irqfd args[AT_ONCE];
};

static bool is_for_kernel(const struct vmirq_irqfd *irqfd)
{
	return irqfd->source && irqfd->source->binding.kernel;
}

/* Those whose GSI's route the kernel has, and only they, are counted and stay. */
static void use_as_is(const struct many *m, struct calls *calls)
{
	struct irqchip *irqchip = m->vm->irqchip;
	size_t n = calls->n;

	calls->n = 0;
	for (size_t first = 0; first < n;) {
		size_t end =
			first + irqchip->ops->use_as_is(irqchip, &calls->args[first], n - first);

		for (; first < end && calls->n != first; first++) {
			calls->irqfd[calls->n] = calls->irqfd[first];
			calls->args[calls->n++] = calls->args[first];
		}
		calls->n += end - first;
		first = end + 1;
	}
}

static void prepare_calls(const struct many *m, size_t end, struct calls *calls)
{
	calls->n = 0;
	for (size_t i = m->attached; i < end; i++) {
		struct vmirq_irqfd *irqfd = m->irqfd[i];

		if (!is_for_kernel(irqfd))
			continue;
		calls->irqfd[calls->n] = irqfd;
		calls->args[calls->n++] = irqfd_kernel_args(irqfd, 0);
	}
	if (calls->n)
		use_as_is(m, calls);
}

/* On its GSI before the kernel has it: while the places are held, and it is owned, nobody looks for it there. */
static void watch(const struct many *m, struct vmirq_irqfd *irqfd)
{
	vmirq_route_lock(m->vm->routes, irqfd->slot);
	vmirq_irqfd_resolve_first(irqfd);
	vmirq_route_watch(m->vm->routes, irqfd->slot, &irqfd->watcher);
	vmirq_route_unlock(m->vm->routes, irqfd->slot);
}

/* One that was to be the kernel's is the pump's: whether another is the same is not the kernel's to say. */
static int name_calls(const struct calls *calls)
{
	uint64_t unused;
	int error = 0;

	for (size_t i = 0; i < calls->n && !error; i++)
		error = vmirq_eventfd_name(&calls->irqfd[i]->source->binding, &unused);
	return error;
}

/* None after an error. */
static int make_calls(const struct many *m, struct calls *calls, int error)
{
	struct irqchip *irqchip = m->vm->irqchip;
	size_t made = 0;

	while (made < calls->n && !error) {
		int result = kernel_call(m->vm->kvm_fd, KVM_IRQFD, &calls->args[made]);

		if (unlikely(result < 0))
			error = result;
		else
			made++;
	}
	for (size_t i = 0; i < made; i++)
		irqfd_set_place(calls->irqfd[i], IRQFD_IN_KERNEL);
	for (size_t i = made; i < calls->n; i++)
		irqchip->ops->unuse(irqchip, calls->args[i].gsi);
	return error;
}

static int attach(struct many *m, size_t end)
{
	bool sent_away = false;
	struct calls calls;
	size_t watched = 0;
	int error = 0;

	prepare_calls(m, end, &calls);
	while (m->attached < end && !error) {
		struct vmirq_irqfd *irqfd = m->irqfd[m->attached];

		if (watched < calls.n && calls.irqfd[watched] == irqfd) {
			watch(m, irqfd);
			watched++;
		} else {
			bool for_kernel = is_for_kernel(irqfd);

			error = irqfd_attach(irqfd);
			sent_away |= for_kernel && !is_for_kernel(irqfd);
		}
		m->attached += !error;
	}
	if (unlikely(sent_away && !error))
		error = name_calls(&calls);
	/* Those not watched as yet have an error before them. */
	return make_calls(m, &calls, error);
}

/* Until there is a manager: it does not go again. */
static void expect_bypass(struct many *m, size_t end)
{
	if (vmirq_irqfd_expect_bypass(m->vm->irqfds, &m->irqfd[m->expecting], end - m->expecting))
		m->expecting = end;
}

static int set_up(struct many *m)
{
	int error = 0;

	irqfd_hold_places(m->vm->irqfds);
	while (m->attached < m->n && !error) {
		size_t end = m->n - m->attached > AT_ONCE ? m->attached + AT_ONCE : m->n;

		error = take(m, end);
		if (!error)
			error = bind(m, end);
		if (!error)
			error = attach(m, end);
		if (!error)
			expect_bypass(m, end);
	}
	irqfd_release_places(m->vm->irqfds);
	for (size_t i = 0; i < m->taken && error; i++) {
		if (i < m->attached)
			vmirq_irqfd_unassign(m->irqfd[i]);
		else
			vmirq_irqfd_take_down(m->irqfd[i]);
	}
	return error;
}

/* Their sizes say where the next one is. */
static int check(const struct many *m)
{
	if (m->config->size < sizeof(*m->config))
		return -EINVAL;
	if (m->config->size > OPTIONS_SIZE_MAX)
		return -E2BIG;
	for (size_t i = 0; i < m->n; i++)
		if (config_at(m, i)->size != m->config->size ||
		    (config_at(m, i)->flags & VMIRQ_IRQFD_RESAMPLE))
			return -EINVAL;
	return 0;
}

int vmirq_irqfd_assign_many(struct vmirq_vm *vm, const struct vmirq_irqfd_config *configs, size_t n,
			    struct vmirq_irqfd **irqfds)
{
	struct many m = { .vm = vm, .config = configs, .n = n, .irqfd = irqfds };
	int error;

	if (!vm || (n && (!configs || !irqfds)))
		return -EINVAL;
	if (!n)
		return 0;
	if (reader_inside())
		return -EDEADLK;
	error = check(&m);
	if (!error)
		error = set_up(&m);
	if (error)
		return error;
	for (size_t i = m.expecting; i < n; i++)
		vmirq_irqfd_enter_bypass(irqfds[i]);
	for (size_t i = 0; i < n; i++)
		if (irqfds[i]->source)
			irqfd_disown(irqfds[i]);
	return 0;
}
