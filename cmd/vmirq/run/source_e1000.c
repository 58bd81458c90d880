// SPDX-License-Identifier: MIT
/*
 * Level-triggered interrupts: an e1000 in a QEMU of its own, its INTx on a pin of the IOAPIC. The guest's
 * handler reads the card's ICR, which is a question to that process, and then ends the interrupt, whereby
 * the card is asked (resamplefd) whether it still wants service.
 */
#include "source_e1000.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmirq/vm.h>

#include "e1000.h"
#include "guest_page.h"
#include "run.h"
#include "source.h"
#include "vmm.h"

#define START_MS   20000
#define MESSAGE_MS 5000

/* The pins that a PC leaves to PCI. */
#define FIRST_GSI 16
#define CARDS_MAX 8

/* 82093AA, 3.2.4. */
#define RTE_LEVEL	(UINT64_C(1) << 15)
#define RTE_DESTINATION 56

enum exit_code card_available(char *why, size_t size)
{
	if (!e1000_available())
		return EXIT_OK;
	snprintf(why, size,
		 "qemu-system-x86_64 is not installed (Debian: package "
		 "qemu-system-x86)");
	return EXIT_LACKING;
}

static enum exit_code card_check(const struct run_options *options, const char *arg, char *why,
				 size_t size)
{
	(void)arg;
	if (options->irqchip == VMIRQ_IRQCHIP_KVM &&
	    options->without & (VMIRQ_CAP_IRQFD | VMIRQ_CAP_IRQFD_RESAMPLE)) {
		snprintf(why, size, "on irqchip kvm an e1000 needs the kernel's resample irqfds");
		return EXIT_LACKING;
	}
	return card_available(why, size);
}

/* The guest's access to the card's registers, on the vCPU's thread. */
static void card_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct card *card = opaque;
	uint32_t value = 0;

	if (len > sizeof(value))
		return;
	if (is_write) {
		memcpy(&value, data, len);
		e1000_bar0_write(card->device, (uint32_t)offset, len, value);
		return;
	}
	/* One that is gone reads as all ones, as on a bus; alive() tells. */
	if (e1000_bar0_read(card->device, (uint32_t)offset, len, &value) == 0)
		memcpy(data, &value, len);
}

/* The handler where no code runs in the guest. */
static void card_handler(void *opaque, uint32_t vcpu)
{
	struct card *card = opaque;
	uint32_t causes = 0;
	_Atomic uint64_t *count;

	(void)vcpu;
	e1000_read_icr(card->device, &causes);
	count = causes & card->level->mask ? &card->level->found : &card->level->idle;
	/* One writer. */
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

int card_prepare(struct source *source)
{
	struct run *run = source->run;
	struct guest_page *page = vmm_guest_page(run->vmm);
	struct card *card = calloc(1, sizeof(*card));
	uint32_t n = run->next_card++;
	uint64_t gpa = GUEST_CARD_GPA + (uint64_t)n * GUEST_CARD_SIZE;
	const struct lane *lane = &source->lane[0];

	if (!card)
		return source_fail(source, -ENOMEM, "no memory");
	source->private = card;
	if (n >= CARDS_MAX)
		return source_fail(source, -ENOSPC, "there are pins for %d cards only", CARDS_MAX);
	card->gsi = FIRST_GSI + n;
	card->level = &page->level[lane->vector];
	card->level->cause = gpa + E1000_ICR;
	card->level->mask = E1000_CAUSE_LSC;
	page->rte[card->gsi] = lane->vector | RTE_LEVEL | (uint64_t)lane->vcpu << RTE_DESTINATION;
	vmm_set_handler(run->vmm, lane->vector, card_handler, card);
	return vmm_add_mmio(run->vmm, gpa, GUEST_CARD_SIZE, card_access, card);
}

/* Why the device does not go on; prefers what QEMU said when it died. */
static int card_fail(struct source *source, int error, const char *what)
{
	struct card *card = source->private;
	char words[300];

	/* The socket closes a moment before the process can be waited for. */
	for (int i = 0; i < 100 && error == -ECONNRESET; i++) {
		if (e1000_last_words(card->device, words, sizeof(words))[0])
			return source_fail(source, error, "%s: %s", what, words);
		usleep(1000);
	}
	return source_fail(source, error, "%s: %s", what, strerror(-error));
}

int card_start(struct source *source)
{
	struct card *card = source->private;
	char why[300];
	int ret = e1000_start(START_MS, MESSAGE_MS, &card->device, why, sizeof(why));

	if (ret)
		return source_fail(source, ret, "qemu-system-x86_64: %s",
				   why[0] ? why : strerror(-ret));
	return 0;
}

static int card_open(struct source *source)
{
	const struct card *card = source->private;
	int ret = card_start(source);

	return ret ? ret
		   : lane_bind_level(source, &source->lane[0], card->gsi,
				     e1000_intr_fd(card->device), e1000_resample_fd(card->device));
}

void card_stop(struct source *source)
{
	struct card *card = source->private;

	if (!card)
		return;
	e1000_stop(card->device);
	free(card);
}

static void card_close(struct source *source)
{
	lane_unbind(source, &source->lane[0]);
	card_stop(source);
}

static uint64_t found(const struct card *card)
{
	return atomic_load_explicit(&card->level->found, memory_order_relaxed);
}

int card_raise(struct source *source, struct lane *lane)
{
	struct card *card = source->private;
	int ret;

	(void)lane;
	card->found = found(card);
	ret = e1000_raise(card->device);
	return ret ? card_fail(source, ret, "raising a cause") : 0;
}

/* One that found no cause was signalled twice, and the first has had it. */
int card_handled(struct source *source)
{
	struct card *card = source->private;

	return found(card) != card->found;
}

int card_alive(struct source *source)
{
	struct card *card = source->private;
	int ret = e1000_alive(card->device);

	return ret ? card_fail(source, ret, "the device is gone") : 0;
}

/* Until no cause stands: each raise has had its interrupt. */
static int wait_quiet(struct source *source)
{
	struct card *card = source->private;
	uint32_t causes;
	char where[360];

	source->watch.began = 0;
	for (;;) {
		int ret = e1000_causes(card->device, &causes);

		if (ret)
			return card_fail(source, ret, "reading the causes");
		if (!(causes & E1000_CAUSE_LSC))
			return 0;
		if (watch_expired(source, &source->lane[0], LOST_NS))
			break;
		usleep(1000);
	}
	card->stands = true;
	watch_words(source, &source->lane[0], where, sizeof(where));
	return source_fail(source, -ETIMEDOUT,
			   "a cause stands, but no handler has read it for 5 s: %s", where);
}

int card_finish(struct source *source)
{
	struct card *card = source->private;
	uint64_t idle = atomic_load_explicit(&card->level->idle, memory_order_relaxed);
	int ret = 0;

	if (!source->error[0])
		ret = wait_quiet(source);
	if (!source->error[0])
		ret = e1000_bar0_write(card->device, E1000_IMC, 4, UINT32_MAX);
	atomic_store_explicit(&source->requests, found(card), memory_order_relaxed);
	if (idle)
		snprintf(source->note, sizeof(source->note),
			 "%llu interrupts found no cause: resampled after it was raised again, "
			 "before it was seen",
			 (unsigned long long)idle);
	/* One that has gone wrong may still signal, while the account is being taken. */
	if (source->error[0] || ret)
		e1000_kill(card->device);
	return ret;
}

uint64_t card_missing(struct source *source)
{
	struct card *card = source->private;

	return card->stands;
}

const struct source_kind source_e1000 = {
	.name = "e1000",
	.path = "pump -> IOAPIC -> post",
	.what = "INTx, a level, of an e1000 in a real QEMU; the handler reads its ICR",
	.count_max = CARD_COUNT_MAX,
	.lanes_max = 1,
	.requests = "causes, found and cleared by the handler",
	.joins = CARD_JOINS,
	.check = card_check,
	.prepare = card_prepare,
	.open = card_open,
	.raise = card_raise,
	.handled = card_handled,
	.finish = card_finish,
	.missing = card_missing,
	.alive = card_alive,
	.close = card_close,
};
