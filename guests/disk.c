// SPDX-License-Identifier: MIT
/*
 * A driver for the virtio disks of the guest page (virtio 1.2, 2.7 and 5.2).
 *
 * String instructions do the work on the data: where /dev/kvm emulates every instruction, one for a
 * whole sector is cheaper than a loop.
 */
#include "guest.h"

#define DESC_F_NEXT  1
#define DESC_F_WRITE 2
#define DESCRIPTORS  3

#define BLK_T_IN     0
#define BLK_S_OK     0
#define BLK_S_NONE   0xff

#define WORDS	     (GUEST_DISK_SECTOR / 8)

struct desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct avail {
	uint16_t flags;
	_Atomic uint16_t index;
	uint16_t ring[];
};

struct used {
	uint16_t flags;
	_Atomic uint16_t index;
	struct {
		uint32_t id;
		uint32_t length;
	} ring[];
};

static void fill(uint64_t address, uint64_t word, uint64_t words)
{
	__asm__ volatile("rep stosq" : "+D"(address), "+c"(words) : "a"(word) : "memory");
}

static bool holds(uint64_t address, uint64_t word, uint64_t words)
{
	bool equal;

	/* words is not 0, so the flags are those of a comparison. */
	__asm__ volatile("repe scasq"
			 : "=@cce"(equal), "+D"(address), "+c"(words)
			 : "a"(word)
			 : "memory");
	return equal;
}

static struct guest_disk_slot *slot_at(const struct guest_disk *disk, uint32_t slot)
{
	return (struct guest_disk_slot *)disk->slots + slot;
}

static uint64_t data_at(const struct guest_disk *disk, uint32_t slot)
{
	return disk->data + (uint64_t)slot * disk->sectors * GUEST_DISK_SECTOR;
}

static void lay_out(struct guest_disk *disk)
{
	struct desc *desc = (struct desc *)disk->desc;

	for (uint32_t i = 0; i < disk->window; i++, desc += DESCRIPTORS) {
		uint16_t next = (uint16_t)(i * DESCRIPTORS + 1);

		desc[0] = (struct desc){ (uint64_t)slot_at(disk, i), 16, DESC_F_NEXT, next };
		desc[1] = (struct desc){ data_at(disk, i), disk->sectors * GUEST_DISK_SECTOR,
					 DESC_F_WRITE | DESC_F_NEXT, (uint16_t)(next + 1) };
		desc[2] = (struct desc){ (uint64_t)&slot_at(disk, i)->status, 1, DESC_F_WRITE, 0 };
	}
	disk->free_slots = (1u << disk->window) - 1;
}

static void fail(struct guest_disk *disk, uint32_t error, uint64_t sector)
{
	atomic_store_explicit(&disk->bad_sector, sector, memory_order_relaxed);
	/* release: pairs with the acquire in the VMM's look at it */
	atomic_store_explicit(&disk->error, error, memory_order_release);
}

static void submit(struct guest_disk *disk)
{
	struct avail *avail = (struct avail *)disk->avail;
	uint64_t n = atomic_load_explicit(&disk->submitted, memory_order_relaxed);
	uint32_t slot = (uint32_t)__builtin_ctz(disk->free_slots);
	struct guest_disk_slot *request = slot_at(disk, slot);
	/* All over the disk. */
	uint64_t sector = (uint32_t)(n * 0x9e3779b1u) % (disk->capacity - disk->sectors + 1);

	disk->free_slots &= disk->free_slots - 1;
	disk->sector[slot] = sector;
	request->type = BLK_T_IN;
	request->sector = sector;
	request->status = BLK_S_NONE;
	/* So that what an earlier read has left cannot pass for this one's. */
	fill(data_at(disk, slot), 0, disk->sectors * WORDS);
	avail->ring[disk->avail_index & (disk->ring_size - 1)] = (uint16_t)(slot * DESCRIPTORS);
	disk->avail_index++;
	/* release: pairs with the device's read of the index before the ring (2.7.13.3) */
	atomic_store_explicit(&avail->index, disk->avail_index, memory_order_release);
	atomic_store_explicit(&disk->submitted, n + 1, memory_order_relaxed);
}

/* One that is complete. False: it was the last, by its error. */
static bool complete(struct guest_disk *disk, uint32_t id, uint32_t length)
{
	uint32_t slot = id / DESCRIPTORS;
	uint64_t sector;

	if (id % DESCRIPTORS || slot >= disk->window || (disk->free_slots & 1u << slot)) {
		fail(disk, GUEST_DISK_RING, id);
		return false;
	}
	sector = disk->sector[slot];
	if (slot_at(disk, slot)->status != BLK_S_OK) {
		fail(disk, GUEST_DISK_STATUS, sector);
		return false;
	}
	if (length != disk->sectors * GUEST_DISK_SECTOR + 1) {
		fail(disk, GUEST_DISK_LENGTH, sector);
		return false;
	}
	for (uint64_t i = 0; i < disk->sectors; i++) {
		if (!holds(data_at(disk, slot) + i * GUEST_DISK_SECTOR, guest_disk_word(sector + i),
			   WORDS)) {
			fail(disk, GUEST_DISK_DATA, sector + i);
			return false;
		}
	}
	disk->free_slots |= 1u << slot;
	/* One writer. release: pairs with the acquire in the VMM's look at it */
	atomic_store_explicit(&disk->completed,
			      atomic_load_explicit(&disk->completed, memory_order_relaxed) + 1,
			      memory_order_release);
	return true;
}

/* False: nothing was there, or an error. */
static bool take_all(struct guest_disk *disk)
{
	struct used *used = (struct used *)disk->used;
	bool any = false;

	/* acquire: pairs with the device's store of the index after the data (2.7.14) */
	while (atomic_load_explicit(&used->index, memory_order_acquire) != disk->used_index) {
		uint32_t at = disk->used_index++ & (disk->ring_size - 1);

		if (!complete(disk, used->ring[at].id, used->ring[at].length))
			return false;
		any = true;
	}
	return any;
}

static void ring(const struct guest_disk *disk)
{
	if (disk->flags & GUEST_DISK_PORT)
		outl((uint16_t)disk->doorbell, 0);
	else
		*(volatile uint32_t *)disk->doorbell = 0;
}

/* The handler has run since we last looked. */
static void drive(struct guest_disk *disk, uint64_t handled)
{
	uint64_t submitted = atomic_load_explicit(&disk->submitted, memory_order_relaxed);
	uint64_t count = atomic_load_explicit(&disk->count, memory_order_relaxed);

	disk->seen = handled;
	if (submitted == 0)
		lay_out(disk);
	else if (!take_all(disk))
		atomic_store_explicit(&disk->idle,
				      atomic_load_explicit(&disk->idle, memory_order_relaxed) + 1,
				      memory_order_relaxed);
	if (atomic_load_explicit(&disk->error, memory_order_relaxed))
		return;
	if (!disk->free_slots || submitted >= count)
		return;
	for (; disk->free_slots && submitted < count; submitted++)
		submit(disk);
	ring(disk);
}

static struct guest_disk *next_with_work(uint64_t cpu, struct guest_page *page, uint64_t *handled)
{
	/* acquire: pairs with the VMM's store once the disk is there */
	uint32_t disks = atomic_load_explicit(&page->disks, memory_order_acquire);

	for (uint32_t i = 0; i < disks; i++) {
		struct guest_disk *disk = &page->disk[i];

		if (disk->cpu != cpu || atomic_load_explicit(&disk->error, memory_order_relaxed))
			continue;
		*handled = atomic_load_explicit(&page->handled[cpu][disk->vector],
						memory_order_acquire);
		if (*handled != disk->seen)
			return disk;
	}
	return NULL;
}

bool disks_drive(uint64_t cpu, struct guest_page *page)
{
	uint64_t handled;
	struct guest_disk *disk = next_with_work(cpu, page, &handled);

	if (!disk)
		return false;
	__asm__ volatile("sti" : : : "memory");
	drive(disk, handled);
	return true;
}
