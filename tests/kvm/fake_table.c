// SPDX-License-Identifier: MIT
#include "fake_table.h"
#include "table_send.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

_Thread_local struct msi_message fake_delivered;
_Thread_local uint64_t fake_raised;

/* Beside others of its GSI: pins of different chips. */
static bool may_join(const struct kernel_route *route, const struct kvm_irq_routing_entry *entry)
{
	for (uint32_t i = 0; i < route->n; i++)
		if (entry->type != KVM_IRQ_ROUTING_IRQCHIP ||
		    route->entry[i].type != KVM_IRQ_ROUTING_IRQCHIP ||
		    entry->u.irqchip.irqchip == route->entry[i].u.irqchip.irqchip)
			return false;
	return route->n < ENTRIES_PER_GSI;
}

static bool add_entry(struct fake_kernel *k, const struct kvm_irq_routing_entry *entry)
{
	struct kernel_route *route;

	if (entry->gsi >= k->limit || entry->flags || !may_join(&k->route[entry->gsi], entry))
		return false;
	route = &k->route[entry->gsi];
	route->entry[route->n++] = *entry;
	return true;
}

static int fake_set(void *opaque, const struct kvm_irq_routing *table)
{
	struct fake_kernel *k = opaque;
	bool valid = true;
	int error = 0;

	if (k->slow)
		sched_yield();
	if (k->meanwhile)
		k->meanwhile(k);
	pthread_mutex_lock(&k->mutex);
	k->sets++;
	assert_int_equal(table->flags, 0);
	assert_true(table->nr <= k->entries);
	if (k->fail_from && k->sets >= k->fail_from && k->sets < k->fail_until) {
		error = -ENOMEM;
	} else {
		for (uint32_t gsi = 0; gsi < k->limit; gsi++)
			k->route[gsi].n = 0;
		for (uint32_t i = 0; i < table->nr; i++)
			valid = add_entry(k, &table->entries[i]) && valid;
		assert_true(valid);
		if (k->look)
			k->look(k);
	}
	pthread_mutex_unlock(&k->mutex);
	if (k->slow)
		sched_yield();
	return error;
}

/* One local APIC takes every message, two take those of logical mode. */
static int fake_raise(void *opaque, uint32_t gsi)
{
	struct fake_kernel *k = opaque;
	const struct kernel_route *route = &k->route[gsi];

	assert_true(gsi < k->limit);
	if (k->slow)
		sched_yield();
	pthread_mutex_lock(&k->mutex);
	assert_int_equal(route->n, 1);
	assert_int_equal(route->entry[0].type, KVM_IRQ_ROUTING_MSI);
	fake_delivered = (struct msi_message){ .address_lo = route->entry[0].u.msi.address_lo,
					       .address_hi = route->entry[0].u.msi.address_hi,
					       .data = route->entry[0].u.msi.data };
	fake_raised++;
	pthread_mutex_unlock(&k->mutex);
	return fake_delivered.address_lo & 4 ? 2 : 1;
}

void fake_start(struct fake_kernel *k, uint32_t limit, uint32_t reserved, uint32_t entries)
{
	struct kernel_table_config config = { .limit = limit,
					      .reserved = reserved,
					      .entries = entries,
					      .set = fake_set,
					      .opaque = k };

	memset(k, 0, sizeof(*k));
	k->limit = limit;
	k->entries = entries ? entries : limit;
	pthread_mutex_init(&k->mutex, NULL);
	assert_int_equal(vmirq_kernel_table_create(&config, &k->table), 0);
}

void fake_end(struct fake_kernel *k)
{
	vmirq_kernel_table_destroy(k->table);
	pthread_mutex_destroy(&k->mutex);
}

void fake_refuse(struct fake_kernel *k, uint64_t n)
{
	k->fail_from = k->sets + 1;
	k->fail_until = k->fail_from + n;
}

int fake_send(struct fake_kernel *k, struct msi_message msg)
{
	uint64_t before = fake_raised;
	int n = table_send(k->table, &msg, fake_raise, k);

	if (n < 0) {
		assert_int_equal(fake_raised, before);
		return n;
	}
	assert_int_equal(fake_raised, before + 1);
	assert_memory_equal(&fake_delivered, &msg, sizeof(msg));
	assert_int_equal(n, msg.address_lo & 4 ? 2 : 1);
	return n;
}

void fake_arrives(struct fake_kernel *k, struct msi_message msg)
{
	assert_true(fake_send(k, msg) > 0);
}

struct msi_message message(uint32_t n)
{
	return (struct msi_message){ .address_lo = MSI_ADDRESS_BASE | (n >> 7 & 0xff) << 12 |
						   (n >> 15 & 3) << 2,
				     .address_hi = n >> 17 << 8,
				     .data = 0x80 + (n & 0x7f) };
}

struct kernel_route message_route(uint32_t gsi, uint32_t n)
{
	struct msi_message msg = message(n);
	struct kernel_route route = { .gsi = gsi, .n = 1 };

	route.entry[0].gsi = gsi;
	route.entry[0].type = KVM_IRQ_ROUTING_MSI;
	route.entry[0].u.msi.address_lo = msg.address_lo;
	route.entry[0].u.msi.address_hi = msg.address_hi;
	route.entry[0].u.msi.data = msg.data;
	return route;
}

struct kernel_route pins_route(uint32_t gsi)
{
	struct kernel_route route = { .gsi = gsi };

	if (gsi < 16) {
		route.entry[0].u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER
							   : KVM_IRQCHIP_PIC_SLAVE;
		route.entry[0].u.irqchip.pin = gsi % 8;
		route.n++;
	}
	route.entry[route.n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	route.entry[route.n++].u.irqchip.pin = gsi % 24;
	for (uint32_t i = 0; i < route.n; i++) {
		route.entry[i].gsi = gsi;
		route.entry[i].type = KVM_IRQ_ROUTING_IRQCHIP;
	}
	return route;
}

struct kernel_route no_route(uint32_t gsi)
{
	return (struct kernel_route){ .gsi = gsi };
}

/* Compares the order of a GSI's entries too, which nobody has reason to change. */
bool is_route(const struct kernel_route *has, const struct kernel_route *wanted)
{
	return has->n == wanted->n &&
	       memcmp(has->entry, wanted->entry, has->n * sizeof(has->entry[0])) == 0;
}

bool is_same_message(const struct kernel_route *has, struct msi_message msg)
{
	struct kernel_route wanted = message_route(0, 0);

	wanted.entry[0].gsi = has->entry[0].gsi;
	wanted.entry[0].u.msi.address_lo = msg.address_lo;
	wanted.entry[0].u.msi.address_hi = msg.address_hi;
	wanted.entry[0].u.msi.data = msg.data;
	return is_route(has, &wanted);
}
