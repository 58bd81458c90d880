/* SPDX-License-Identifier: MIT */
/* Doorbells of one bus, sorted. No write matches two: those that would collide are refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "irqfd/ioeventfd.h"

static int compare(const struct doorbell_key *a, const struct doorbell_key *b)
{
	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	if (a->any_data != b->any_data)
		return a->any_data ? -1 : 1;
	return a->data < b->data ? -1 : a->data > b->data;
}

static bool is_greater(const struct doorbell_array *array, size_t i, const struct doorbell_key *key)
{
	if (array->at[i].addr != key->addr)
		return array->at[i].addr > key->addr;
	return compare(&array->at[i].bell->key, key) > 0;
}

size_t vmirq_doorbell_place(const struct doorbell_array *array, const struct doorbell_key *key)
{
	size_t low = 0, high = array ? array->n : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (is_greater(array, middle, key))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* One search will do: what takes any length is alone at its address, and what takes any data is alone
 * with its length there; so whatever matches is the greatest that is not greater than the write. */
struct doorbell *vmirq_doorbell_match(const struct doorbell_array *array, uint64_t addr,
				      uint32_t len, uint64_t data)
{
	const struct doorbell_key write = { .addr = addr, .len = len, .data = data };
	size_t place = vmirq_doorbell_place(array, &write);
	struct doorbell *bell;

	if (!place || array->at[place - 1].addr != addr)
		return NULL;
	bell = array->at[place - 1].bell;
	if (!bell->key.len)
		return bell;
	if (bell->key.len != len)
		return NULL;
	return bell->key.any_data || bell->key.data == data ? bell : NULL;
}

struct doorbell *vmirq_doorbell_find(const struct doorbell_array *array,
				     const struct doorbell_key *key, size_t *index)
{
	size_t place = vmirq_doorbell_place(array, key);

	if (!place || compare(&array->at[place - 1].bell->key, key) != 0)
		return NULL;
	*index = place - 1;
	return array->at[place - 1].bell;
}

static bool both_match(const struct doorbell_key *a, const struct doorbell_key *b)
{
	if (a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (a->any_data || b->any_data || a->data == b->data);
}

/* Looking at the neighbours will do, for the same reason. */
bool vmirq_doorbell_collides(const struct doorbell_array *array, const struct doorbell_key *key)
{
	size_t place = vmirq_doorbell_place(array, key);

	return (place > 0 && both_match(&array->at[place - 1].bell->key, key)) ||
	       (array && place < array->n && both_match(&array->at[place].bell->key, key));
}

static struct doorbell_array *new_array(size_t n)
{
	struct doorbell_array *array = malloc(sizeof(*array) + n * sizeof(array->at[0]));

	if (array)
		array->n = n;
	return array;
}

/* Part of `from` to part of `to`. */
static void copy(struct doorbell_array *to, size_t to_index, const struct doorbell_array *from,
		 size_t index, size_t n)
{
	if (n)
		memcpy(&to->at[to_index], &from->at[index], n * sizeof(to->at[0]));
}

struct doorbell_array *vmirq_doorbell_with(const struct doorbell_array *array,
					   struct doorbell *bell)
{
	size_t n = array ? array->n : 0, place = vmirq_doorbell_place(array, &bell->key);
	struct doorbell_array *more = new_array(n + 1);

	if (!more)
		return NULL;
	copy(more, 0, array, 0, place);
	more->at[place].addr = bell->key.addr;
	more->at[place].bell = bell;
	copy(more, place + 1, array, place, n - place);
	return more;
}

int vmirq_doorbell_without(const struct doorbell_array *array, size_t index,
			   struct doorbell_array **out)
{
	*out = NULL;
	if (array->n == 1)
		return 0;
	*out = new_array(array->n - 1);
	if (!*out)
		return -ENOMEM;
	copy(*out, 0, array, 0, index);
	copy(*out, index, array, index + 1, array->n - index - 1);
	return 0;
}
