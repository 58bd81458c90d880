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
	for (uint32_t i = 0; i < route->has.n; i++)
		if (entry->type != KVM_IRQ_ROUTING_IRQCHIP ||
		    route->has.type != KVM_IRQ_ROUTING_IRQCHIP ||
		    entry->u.irqchip.irqchip == route->has.word[i] >> 16)
			return false;
	return route->has.n < ENTRIES_PER_GSI;
}

/* What an entry of its type does not use, this table leaves 0. */
static bool is_clean(const struct kvm_irq_routing_entry *entry, uint32_t used)
{
	for (uint32_t i = used; i < 8; i++)
		if (entry->u.pad[i])
			return false;
	return !entry->pad;
}

static bool add_entry(struct fake_kernel *k, const struct kvm_irq_routing_entry *entry)
{
	const struct kvm_irq_routing_irqchip *pin = &entry->u.irqchip;
	struct kernel_entries *has;

	if (entry->gsi >= k->limit || !may_join(&k->route[entry->gsi], entry))
		return false;
	has = &k->route[entry->gsi].has;
	has->type = (uint8_t)entry->type;
	has->flags = (uint16_t)entry->flags;
	if (entry->type == KVM_IRQ_ROUTING_MSI) {
		has->n = 1;
		has->word[0] = entry->u.msi.address_lo;
		has->word[1] = entry->u.msi.address_hi;
		has->word[2] = entry->u.msi.data;
		has->word[3] = entry->u.msi.devid;
		return is_clean(entry, 4) && entry->flags <= KVM_MSI_VALID_DEVID;
	}
	has->word[has->n++] = KERNEL_PIN(pin->irqchip, pin->pin);
	return is_clean(entry, 2) && !entry->flags && entry->type == KVM_IRQ_ROUTING_IRQCHIP;
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
			k->route[gsi] = (struct kernel_route){ .gsi = gsi };
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
	assert_int_equal(route->has.n, 1);
	assert_int_equal(route->has.type, KVM_IRQ_ROUTING_MSI);
	fake_delivered = (struct msi_message){ .address_lo = route->has.word[0],
					       .address_hi = route->has.word[1],
					       .data = route->has.word[2] };
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

	return (struct kernel_route){ .gsi = gsi, .has = kernel_message(&msg) };
}

struct kernel_route pins_route(uint32_t gsi)
{
	struct kernel_route route = { .gsi = gsi, .has = { .type = KVM_IRQ_ROUTING_IRQCHIP } };
	struct kernel_entries *has = &route.has;

	if (gsi < 16)
		has->word[has->n++] = KERNEL_PIN(
			gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
	has->word[has->n++] = KERNEL_PIN(KVM_IRQCHIP_IOAPIC, gsi % 24);
	return route;
}

struct kernel_route no_route(uint32_t gsi)
{
	return (struct kernel_route){ .gsi = gsi };
}

/* Compares the order of a GSI's entries too, which nobody has reason to change. */
bool is_route(const struct kernel_route *has, const struct kernel_route *wanted)
{
	return memcmp(&has->has, &wanted->has, sizeof(has->has)) == 0;
}

bool is_same_message(const struct kernel_route *has, struct msi_message msg)
{
	struct kernel_route wanted = { .has = kernel_message(&msg) };

	return is_route(has, &wanted);
}
