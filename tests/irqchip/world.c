// SPDX-License-Identifier: MIT
#include "world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SVR_ENABLED 0x1ffu
#define PATIENCE_MS 5000
#define QUIET_MS    20
#define IOREGSEL    0xfec00000u
#define IOWIN	    0xfec00010u

bool world_possible(enum vmirq_irqchip irqchip)
{
	int kvm;

	if (irqchip == VMIRQ_IRQCHIP_SOFT)
		return true;
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return false;
	close(kvm);
	return true;
}

static uint32_t apic_word(const struct kvm_lapic_state *state, unsigned int at)
{
	uint32_t word;

	memcpy(&word, state->regs + at, sizeof(word));
	return word;
}

static void put_apic_word(struct kvm_lapic_state *state, unsigned int at, uint32_t word)
{
	memcpy(state->regs + at, &word, sizeof(word));
}

static struct kvm_lapic_state lapic_of(struct world *w, unsigned int vcpu)
{
	struct kvm_lapic_state state;

	assert_int_equal(vmirq_vcpu_get_lapic(w->vcpu[vcpu], &state), 0);
	return state;
}

static void open_vm(struct world *w)
{
	w->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	assert_true(w->kvm >= 0);
	w->vm_fd = ioctl(w->kvm, KVM_CREATE_VM, 0);
	assert_true(w->vm_fd >= 0);
	w->run_size = (size_t)ioctl(w->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	ioctl(w->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
}

static void add_vcpu(struct world *w, unsigned int i)
{
	struct vmirq_vcpu_config config = { .size = sizeof(config), .index = i, .apic_id = i };
	struct kvm_lapic_state state;

	if (w->irqchip != VMIRQ_IRQCHIP_SOFT) {
		w->fd[i] = ioctl(w->vm_fd, KVM_CREATE_VCPU, (long)i);
		assert_true(w->fd[i] >= 0);
		w->run[i] =
			mmap(NULL, w->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd[i], 0);
		assert_ptr_not_equal(w->run[i], MAP_FAILED);
		config.kvm_run = w->run[i];
		config.kvm_vcpu_fd = w->fd[i];
	}
	assert_int_equal(vmirq_vcpu_create(w->vm, &config, &w->vcpu[i]), 0);
	w->n++;
	state = lapic_of(w, i);
	put_apic_word(&state, APIC_SVR, SVR_ENABLED);
	assert_int_equal(vmirq_vcpu_set_lapic(w->vcpu[i], &state), 0);
}

struct world *world_new(const struct world_config *c)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .irqchip = c->irqchip,
					  .max_gsis = 1u << 20,
					  .flags = c->flags,
					  .without = c->without,
					  .kernel_gsis = c->kernel_gsis };
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->irqchip = c->irqchip;
	if (w->irqchip != VMIRQ_IRQCHIP_SOFT) {
		open_vm(w);
		config.kvm_vm_fd = w->vm_fd;
	}
	assert_int_equal(vmirq_vm_create(&config, &w->vm), 0);
	for (unsigned int i = 0; i < WORLD_VCPUS; i++)
		add_vcpu(w, i);
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(w->vm)), 0);
	return w;
}

void world_free(struct world *w)
{
	assert_int_equal(vmirq_vm_destroy(w->vm), 0);
	if (w->irqchip != VMIRQ_IRQCHIP_SOFT) {
		for (unsigned int i = 0; i < w->n; i++) {
			munmap(w->run[i], w->run_size);
			close(w->fd[i]);
		}
		close(w->vm_fd);
		close(w->kvm);
	}
	free(w);
}

bool world_pending(struct world *w, unsigned int vcpu, uint8_t vector)
{
	struct kvm_lapic_state state = lapic_of(w, vcpu);

	return apic_word(&state, APIC_IRR + vector / 32 * 16) >> vector % 32 & 1;
}

static void pause_ms(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

void world_take(struct world *w, unsigned int vcpu, uint8_t vector)
{
	const unsigned int at = APIC_IRR + vector / 32 * 16;
	struct kvm_lapic_state state;

	for (int i = 0; i < PATIENCE_MS && !world_pending(w, vcpu, vector); i++)
		pause_ms();
	state = lapic_of(w, vcpu);
	if (!(apic_word(&state, at) >> vector % 32 & 1))
		fail_msg("vector %#x has not come to vCPU %u", vector, vcpu);
	put_apic_word(&state, at, apic_word(&state, at) & ~(1u << vector % 32));
	assert_int_equal(vmirq_vcpu_set_lapic(w->vcpu[vcpu], &state), 0);
}

void world_take_nothing(struct world *w)
{
	for (int i = 0; i < QUIET_MS; i++)
		pause_ms();
	for (unsigned int v = 0; v < w->n; v++) {
		struct kvm_lapic_state state = lapic_of(w, v);

		for (unsigned int i = 0; i < 8; i++)
			if (apic_word(&state, APIC_IRR + i * 16))
				fail_msg("vCPU %u has IRR[%u] = %#x", v, i,
					 apic_word(&state, APIC_IRR + i * 16));
	}
}

void world_route(struct world *w, uint32_t gsi, unsigned int vcpu, uint8_t vector)
{
	assert_int_equal(vmirq_route_set_msi(w->vm, gsi, 0xfee00000u | vcpu << 12, vector), 0);
}

static void ioapic_put(struct world *w, uint32_t reg, uint32_t value)
{
	assert_int_equal(vmirq_vm_mmio(w->vm, IOREGSEL, &reg, 4, true), 0);
	assert_int_equal(vmirq_vm_mmio(w->vm, IOWIN, &value, 4, true), 0);
}

void world_rte(struct world *w, uint32_t pin, unsigned int vcpu, uint8_t vector, bool level)
{
	uint32_t low = vector | (level ? 1u << 15 : 0);

	if (w->irqchip == VMIRQ_IRQCHIP_KVM) {
		struct kvm_irqchip state = { .chip_id = KVM_IRQCHIP_IOAPIC };

		assert_int_equal(vmirq_vm_get_irqchip(w->vm, &state), 0);
		state.chip.ioapic.redirtbl[pin].bits = (uint64_t)vcpu << 56 | low;
		assert_int_equal(vmirq_vm_set_irqchip(w->vm, &state), 0);
		return;
	}
	ioapic_put(w, 0x11 + 2 * pin, vcpu << 24);
	ioapic_put(w, 0x10 + 2 * pin, low);
}

struct vmirq_irqfd *world_irqfd(struct world *w, uint32_t gsi, int eventfd)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = gsi,
					     .eventfd = eventfd };
	struct vmirq_irqfd *irqfd;

	assert_int_equal(vmirq_irqfd_assign(w->vm, &config, &irqfd), 0);
	return irqfd;
}

void world_write(int eventfd, uint64_t n)
{
	assert_int_equal(write(eventfd, &n, sizeof(n)), sizeof(n));
}

static const struct {
	const char *name;
	struct world_config config;
} worlds[] = {
	{ "soft", { .irqchip = VMIRQ_IRQCHIP_SOFT, .flags = VMIRQ_VM_PC_CHIPS } },
	{ "split", { .irqchip = VMIRQ_IRQCHIP_SPLIT, .flags = VMIRQ_VM_PC_CHIPS } },
	{ "kvm", { .irqchip = VMIRQ_IRQCHIP_KVM, .flags = VMIRQ_VM_PC_CHIPS } },
	{ "split without irqfd",
	  { .irqchip = VMIRQ_IRQCHIP_SPLIT,
	    .flags = VMIRQ_VM_PC_CHIPS,
	    .without = VMIRQ_CAP_IRQFD } },
	{ "kvm without irqfd",
	  { .irqchip = VMIRQ_IRQCHIP_KVM,
	    .flags = VMIRQ_VM_PC_CHIPS,
	    .without = VMIRQ_CAP_IRQFD } },
	{ "split without signal-msi",
	  { .irqchip = VMIRQ_IRQCHIP_SPLIT,
	    .flags = VMIRQ_VM_PC_CHIPS,
	    .without = VMIRQ_CAP_SIGNAL_MSI } },
	{ "kvm with 64 GSIs, without both",
	  { .irqchip = VMIRQ_IRQCHIP_KVM,
	    .flags = VMIRQ_VM_PC_CHIPS,
	    .without = VMIRQ_CAP_IRQFD | VMIRQ_CAP_SIGNAL_MSI,
	    .kernel_gsis = 64 } },
};

enum { WORLDS = sizeof(worlds) / sizeof(worlds[0]), CASES_MAX = 32 };

/* What one test is. */
struct pairing {
	const struct world_config *config;
	void (*run)(struct world *w);
	char name[80];
};

static void run_pairing(void **state)
{
	const struct pairing *p = *state;
	struct world *w;

	if (!world_possible(p->config->irqchip))
		skip();
	w = world_new(p->config);
	p->run(w);
	world_free(w);
}

int world_run_cases(const struct world_case *cases, size_t n)
{
	static struct CMUnitTest tests[WORLDS * CASES_MAX];
	static struct pairing pairings[WORLDS * CASES_MAX];
	size_t count = 0;

	if (n > CASES_MAX)
		return 1;
	for (size_t world = 0; world < WORLDS; world++) {
		for (size_t i = 0; i < n; i++, count++) {
			struct pairing *p = &pairings[count];

			p->config = &worlds[world].config;
			p->run = cases[i].run;
			snprintf(p->name, sizeof(p->name), "%s: %s", worlds[world].name,
				 cases[i].name);
			tests[count] = (struct CMUnitTest){ .name = p->name,
							    .test_func = run_pairing,
							    .initial_state = p };
		}
	}
	return _cmocka_run_group_tests("irqchips", tests, count, NULL, NULL);
}
