/* SPDX-License-Identifier: MIT */
/* A VM's blob, patched anyhow: it is refused and changes nothing, or loads a state that is good, that is
 * saved and loaded as the same, and that a guest and its devices can go on with. */
#include <errno.h>
#include <string.h>

#include <vmirq/line.h>
#include <vmirq/msi.h>
#include <vmirq/state.h>

#include "base/vm.h"
#include "check.h"
#include "line/line.h"
#include "stream.h"
#include "vcpu/vcpu.h"

#define VCPUS	  2u
#define BLOB_MAX  16384u
#define FIRST	  UINT64_C(0xfec00000)
#define SECOND	  UINT64_C(0xfec10000)
#define APIC_PAGE UINT64_C(0xfee00000)
#define EOI	  0xb0u

/* Operations. Their numbers stay: the corpus is written in them. */
enum op {
	OP_LOAD,     /* patches to the blob of now */
	OP_BACK,     /* the blob of before the last load */
	OP_LINE,     /* GSI with bit 7: level */
	OP_MSI,	     /* destination, vector */
	OP_STEP,     /* vCPU: take what comes */
	OP_EOI,	     /* vCPU */
	OP_REGISTER, /* vCPU, register, value */
	OP_RTE,	     /* IOAPIC and pin, half, value */
	OP_PORT,     /* which, value */
	OP_TIME,     /* ns, scaled */
};

struct world {
	struct vmirq_vm *vm;
	struct vmirq_vcpu *vcpu[VCPUS];
	uint64_t now;
	uint8_t blob[BLOB_MAX], again[BLOB_MAX], before[BLOB_MAX];
	size_t before_size;
};

static uint64_t now(void *opaque)
{
	return ((struct world *)opaque)->now;
}

static size_t save(struct world *w, uint8_t *blob)
{
	int64_t size;

	/* Its padding too. */
	memset(blob, 0, BLOB_MAX);
	size = vmirq_vm_save(w->vm, blob, BLOB_MAX);
	check(size > 0 && size <= BLOB_MAX);
	return (size_t)size;
}

static void check_state(struct world *w)
{
	struct line_domain *lines = w->vm->lines;

	for (uint32_t i = 0; i < VCPUS; i++)
		check(vmirq_lapic_validate(&w->vcpu[i]->lapic));
	for (uint32_t i = 0; i < lines->ioapics; i++)
		check(vmirq_ioapic_validate(&lines->ioapic[i]->ioapic));
	check(vmirq_i8259_validate(&lines->pic) && vmirq_pit_validate(&lines->pit));
}

static void load(struct world *w, struct stream *s)
{
	size_t size = save(w, w->before), loaded;
	int error;

	w->before_size = size;
	memcpy(w->blob, w->before, BLOB_MAX);
	take_patches(s, w->blob, size);
	error = vmirq_vm_load(w->vm, w->blob, size);
	check(!error || error == -EINVAL);
	loaded = save(w, w->blob);
	if (error)
		check(loaded == size && !memcmp(w->blob, w->before, size));
	check_state(w);
	check(!vmirq_vm_load(w->vm, w->blob, loaded));
	check(save(w, w->again) == loaded && !memcmp(w->blob, w->again, loaded));
}

static void take_what_comes(struct vmirq_vcpu *vcpu)
{
	uint32_t vector;

	for (unsigned int i = 0; i < 8; i++) {
		int step = vmirq_vcpu_step(vcpu, VMIRQ_CPU_INTERRUPTIBLE, &vector);

		vmirq_vcpu_leave(vcpu);
		check(step >= 0);
		if (step == VMIRQ_STEP_ENTER || step == VMIRQ_STEP_PARK)
			return;
		if (step == VMIRQ_STEP_INJECT)
			check(!vmirq_vcpu_ack(vcpu, vector));
	}
}

static void write_register(struct vmirq_vcpu *vcpu, uint32_t reg, uint32_t value)
{
	if (vmirq_vcpu_mmio(vcpu, (vmirq_vcpu_apic_base(vcpu) & ~UINT64_C(0xfff)) + reg, &value, 4,
			    true))
		vmirq_vcpu_wrmsr(vcpu, 0x800 + reg / 0x10, value);
}

static void write_rte(struct world *w, uint8_t which, uint8_t half, uint32_t value)
{
	uint32_t reg = 0x10 + 2 * (which & 0x3f) + (half & 1);
	uint64_t base = w->vm->lines->ioapic[which >> 7]->ioapic.base;

	vmirq_vm_mmio(w->vm, base, &reg, 4, true);
	vmirq_vm_mmio(w->vm, base + 0x10, &value, 4, true);
}

static void step(struct world *w, struct stream *s)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x40, 0x42, 0x43, 0x61 };
	struct kvm_msi msi = { .address_lo = 0xfee00000 };
	enum op op = take8(s);
	uint8_t a, b;

	switch (op) {
	case OP_LOAD:
		load(w, s);
		break;
	case OP_BACK:
		if (w->before_size)
			check(!vmirq_vm_load(w->vm, w->before, w->before_size));
		break;
	case OP_LINE:
		a = take8(s);
		vmirq_line_set(w->vm, a & 0x3f, 0, a & 0x80, NULL);
		break;
	case OP_MSI:
		msi.address_lo |= (uint32_t)take8(s) << 12;
		msi.data = take8(s);
		vmirq_msi_send(w->vm, &msi);
		break;
	case OP_STEP:
		take_what_comes(w->vcpu[take8(s) % VCPUS]);
		break;
	case OP_EOI:
		write_register(w->vcpu[take8(s) % VCPUS], EOI, 0);
		break;
	case OP_REGISTER:
		a = take8(s);
		b = take8(s) & 0x3f;
		write_register(w->vcpu[a % VCPUS], b * 0x10u, take32(s));
		break;
	case OP_RTE:
		a = take8(s);
		b = take8(s);
		write_rte(w, a, b, take32(s));
		break;
	case OP_PORT:
		a = take8(s);
		b = take8(s);
		vmirq_vm_pio(w->vm, ports[a % 8], &b, 1, true);
		break;
	case OP_TIME:
		w->now += take_scaled(s) % (UINT64_C(1) << 40);
		vmirq_vm_expire(w->vm);
		break;
	default:
		break;
	}
	check_state(w);
}

static void start(struct world *w)
{
	static const struct vmirq_ioapic_config ioapics[] = {
		{ .base = FIRST, .pins = 24, .version = 0x11 },
		{ .base = SECOND, .pins = 32, .version = 0x20 },
	};
	struct vmirq_clock clock = { .now = now, .opaque = w };
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = VCPUS,
					  .max_gsis = 64,
					  .flags = VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT,
					  .clock = &clock,
					  .ioapics = ioapics,
					  .n_ioapics = 2 };

	check(!vmirq_vm_create(&config, &w->vm));
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct vmirq_vcpu_config vcpu = { .size = sizeof(vcpu), .index = i, .apic_id = i };

		check(!vmirq_vcpu_create(w->vm, &vcpu, &w->vcpu[i]));
		write_register(w->vcpu[i], 0xf0, 0x1ff);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct stream s = { .at = data, .left = size };

	memset(&w, 0, sizeof(w));
	start(&w);
	while (s.left)
		step(&w, &s);
	check(!vmirq_vm_destroy(w.vm));
	return 0;
}
