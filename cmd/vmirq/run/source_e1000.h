/* SPDX-License-Identifier: MIT */
/* The card of source_e1000.c, for sources that bind its line in another way. */
#ifndef VMIRQ_SOURCE_E1000_H
#define VMIRQ_SOURCE_E1000_H

#include <stdbool.h>
#include <stdint.h>

#include "source.h"

/* The card holds interrupts back so that there are some thousand a second. */
#define CARD_COUNT_MAX 5000
#define CARD_JOINS                                                                                 \
	"a cause that is set while one stands is the same, and after an interrupt the card holds " \
	"the next back for 128 us"

struct e1000;
struct guest_level;

/* source->private */
struct card {
	struct e1000 *device;
	uint32_t gsi;
	struct guest_level *level;
	/* How many causes had been found before the last raise. */
	uint64_t found;
	/* A cause stands, and no interrupt comes. */
	bool stands;
	/* Whoever binds it. */
	struct pirq_card *bound;
};

/* EXIT_LACKING, with a line in why: there is no QEMU. */
enum exit_code card_available(char *why, size_t size);
/* As in struct source_kind; card_start() binds nothing, card_stop() comes after the unbinding. */
int card_prepare(struct source *source);
int card_start(struct source *source);
void card_stop(struct source *source);
int card_raise(struct source *source, struct lane *lane);
int card_handled(struct source *source);
int card_alive(struct source *source);
int card_finish(struct source *source);
uint64_t card_missing(struct source *source);

#endif
