/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: what a guest writes, and the eventfd that it adds to.
 *
 * Each bus has an immutable sorted array of them, exchanged as a whole.
 *
 *	guest's write				deassign
 *	  enter a read section (full fence)	  publish an array without it, under the mutex
 *	  load the array, search, ring		  vmirq_reader_wait()
 *	  leave the section			  nothing of it is rung from here on
 *
 * Where the doorbells are the kernel's, the arrays only remember what is to be deassigned when the VM
 * goes, and belong to the mutex.
 */
#ifndef IRQFD_IOEVENTFD_H
#define IRQFD_IOEVENTFD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmirq/ioeventfd.h>

struct fd_guard;
struct guarded_fd;

/* No x86 guest can write to CCW, but the kernel keeps one: what is there collides. */
enum doorbell_bus { BUS_MMIO, BUS_PIO, BUS_CCW, DOORBELL_BUSES };

/* Sorted by address, length, any data before some, data. */
struct doorbell_key {
	uint64_t addr;
	uint64_t data; /* 0 with any_data */
	uint32_t len;  /* 0: any */
	bool any_data;
};

struct doorbell {
	struct doorbell_key key;
	enum doorbell_bus bus;
	uint64_t token;		    /* which eventfd; not with the kernel's */
	int fd;			    /* our own duplicate, or -1 where the guard has it */
	struct guarded_fd *guarded; /* NULL: trusted, or the kernel's */
	struct kvm_ioeventfd args;
};

struct doorbell_array {
	size_t n;
	struct {
		uint64_t addr; /* the key's, so that most of a search stays in here */
		struct doorbell *bell;
	} at[];
};

struct ioeventfd_table {
	int kernel;		/* the KVM VM that they go to, or -1 */
	struct fd_guard *guard; /* the VM's */
	pthread_mutex_t mutex;	/* of who changes an array; nothing of ours is taken under it */
	/* NULL: none. */
	struct doorbell_array *_Atomic array[DOORBELL_BUSES];
};

/* `kvm_fd`: a KVM VM to leave them to, or -1. */
int vmirq_ioeventfd_table_create(int kvm_fd, struct fd_guard *guard, struct ioeventfd_table **out);
/* Deassigns whatever is left; no guest writes any more. */
void vmirq_ioeventfd_table_destroy(struct ioeventfd_table *table);

/* A guest's write: true if it rang a doorbell. */
bool vmirq_ioeventfd_write(struct ioeventfd_table *table, enum doorbell_bus bus, uint64_t addr,
			   const void *data, uint32_t len);

/* ioeventfd_array.c. Where `key` would go: what is before is not greater. `array` may be NULL. */
size_t vmirq_doorbell_place(const struct doorbell_array *array, const struct doorbell_key *key);
struct doorbell *vmirq_doorbell_match(const struct doorbell_array *array, uint64_t addr,
				      uint32_t len, uint64_t data);
/* The one with exactly this key, and its index. */
struct doorbell *vmirq_doorbell_find(const struct doorbell_array *array,
				     const struct doorbell_key *key, size_t *index);
/* Is there one that some write would match besides? */
bool vmirq_doorbell_collides(const struct doorbell_array *array, const struct doorbell_key *key);
/* A new array; NULL: no memory. */
struct doorbell_array *vmirq_doorbell_with(const struct doorbell_array *array,
					   struct doorbell *bell);
/* A new array in *out, NULL when it would be empty; -ENOMEM. */
int vmirq_doorbell_without(const struct doorbell_array *array, size_t index,
			   struct doorbell_array **out);

/* ioeventfd_soft.c, ioeventfd_kernel.c. Assign takes the doorbell over if it returns 0. */
int vmirq_ioeventfd_assign_soft(struct ioeventfd_table *table, struct doorbell *bell,
				const struct vmirq_ioeventfd_config *config);
int vmirq_ioeventfd_deassign_soft(struct ioeventfd_table *table, const struct doorbell *like,
				  const struct vmirq_ioeventfd_config *config);
void vmirq_doorbell_free_soft(struct doorbell *bell);
int vmirq_ioeventfd_assign_kernel(struct ioeventfd_table *table, struct doorbell *bell);
int vmirq_ioeventfd_deassign_kernel(struct ioeventfd_table *table, const struct doorbell *like);
void vmirq_doorbell_free_kernel(struct ioeventfd_table *table, struct doorbell *bell);

#endif
