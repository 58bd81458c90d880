// SPDX-License-Identifier: MIT
/*
 * The guest's start: its image, tables and page in memory, and the registers of a CPU that goes
 * straight to 64-bit mode. See guest_page.h for what is where.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm_internal.h"

/* guests/image.S */
extern const uint8_t guest_image[];
extern const uint64_t guest_image_size;

#define IMAGE_MAX (GUEST_PAGE_GPA - GUEST_IMAGE_GPA)

/* SDM vol. 3A 4.5: page table entries; 2.5: control registers; 3.4.5: descriptors. */
#define PTE_PRESENT	  (1ull << 0)
#define PTE_WRITE	  (1ull << 1)
#define PTE_NO_CACHE	  (1ull << 4)
#define PTE_LARGE	  (1ull << 7)

#define CR0_PE		  (1ull << 0)
#define CR0_MP		  (1ull << 1)
#define CR0_ET		  (1ull << 4)
#define CR0_NE		  (1ull << 5)
#define CR0_WP		  (1ull << 16)
#define CR0_PG		  (1ull << 31)

#define CR4_PAE		  (1ull << 5)

#define EFER_LME	  (1ull << 8)
#define EFER_LMA	  (1ull << 10)

#define RFLAGS_ALWAYS_ONE (1ull << 1)

#define SEGMENT_CODE	  11 /* execute, read, accessed */
#define SEGMENT_DATA	  3  /* read, write, accessed */
#define SEGMENT_BUSY_TSS  11
#define DESCRIPTOR_CODE64 0x00af9b000000ffffull
#define DESCRIPTOR_DATA	  0x00cf93000000ffffull

#define PAGE_SIZE	  4096ull
#define LARGE_PAGE_SIZE	  (2ull << 20)
#define IOAPIC_PAGE_GPA	  0xfec00000ull
#define APIC_PAGE_GPA	  0xfee00000ull

static void write_tables(struct vmm *vmm)
{
	uint64_t *gdt = vmm_memory(vmm, GUEST_GDT_GPA, PAGE_SIZE);
	uint64_t *tables = vmm_memory(vmm, GUEST_TABLES_GPA, 4 * PAGE_SIZE);
	uint64_t *pml4 = tables;
	uint64_t *pdpt = tables + 512;
	uint64_t *low = tables + 1024;
	uint64_t *high = tables + 1536;

	gdt[GUEST_CODE_SELECTOR / 8] = DESCRIPTOR_CODE64;
	gdt[GUEST_DATA_SELECTOR / 8] = DESCRIPTOR_DATA;

	pml4[0] = (GUEST_TABLES_GPA + PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
	pdpt[0] = (GUEST_TABLES_GPA + 2 * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
	pdpt[3] = (GUEST_TABLES_GPA + 3 * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
	for (uint64_t i = 0; i < 512; i++)
		low[i] = i * LARGE_PAGE_SIZE | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	high[IOAPIC_PAGE_GPA / LARGE_PAGE_SIZE % 512] = IOAPIC_PAGE_GPA | PTE_PRESENT | PTE_WRITE |
							PTE_LARGE | PTE_NO_CACHE;
	high[APIC_PAGE_GPA / LARGE_PAGE_SIZE % 512] = APIC_PAGE_GPA | PTE_PRESENT | PTE_WRITE |
						      PTE_LARGE | PTE_NO_CACHE;
}

static int read_image(void *to, const char *path, const char **why)
{
	size_t length = 0;
	ssize_t n;
	int err = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		err = -errno;
		*why = "the guest image cannot be opened";
		return err;
	}
	do {
		n = read(fd, (uint8_t *)to + length, IMAGE_MAX - length);
		if (n > 0)
			length += (size_t)n;
	} while ((n > 0 && length < IMAGE_MAX) || (n < 0 && errno == EINTR));
	if (n < 0) {
		err = -errno;
		*why = "the guest image cannot be read";
	} else if (length == 0 || length == IMAGE_MAX) {
		err = length ? -EFBIG : -ENOEXEC;
		*why = length ? "the guest image is larger than 1 MiB" : "the guest image is empty";
	}
	close(fd);
	return err;
}

int vmm_load_guest(struct vmm *vmm, const char **why)
{
	void *to = vmm_memory(vmm, GUEST_IMAGE_GPA, IMAGE_MAX);

	write_tables(vmm);
	if (vmm->config.guest_image)
		return read_image(to, vmm->config.guest_image, why);
	memcpy(to, guest_image, guest_image_size);
	return 0;
}

void vmm_write_guest_page(struct vmm *vmm)
{
	vmm->page = vmm_memory(vmm, GUEST_PAGE_GPA, sizeof(*vmm->page));
	vmm->page->magic = GUEST_PAGE_MAGIC;
	vmm->page->cpus = vmm->config.vcpus;
	vmm->page->flags = (vmm->config.busy ? GUEST_BUSY : 0) |
			   (vmm->config.x2apic ? GUEST_X2APIC : 0);
}

static int set_sregs(struct vmm_vcpu *v)
{
	const struct kvm_segment code = {
		.limit = 0xffffffff,
		.selector = GUEST_CODE_SELECTOR,
		.type = SEGMENT_CODE,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	const struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = GUEST_DATA_SELECTOR,
		.type = SEGMENT_DATA,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};
	/* Hardware will not enter 64-bit mode without one (SDM vol. 3C 26.3.1.2). */
	const struct kvm_segment tss = {
		.limit = 0xffff,
		.type = SEGMENT_BUSY_TSS,
		.present = 1,
	};
	struct kvm_sregs sregs;

	if (ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = tss;
	sregs.gdt.base = GUEST_GDT_GPA;
	sregs.gdt.limit = GUEST_DATA_SELECTOR + 7;
	sregs.idt.base = 0;
	sregs.idt.limit = 0; /* until the guest loads its own, a fault is a triple fault */
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	sregs.cr3 = GUEST_TABLES_GPA;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA;
	return ioctl(v->fd, KVM_SET_SREGS, &sregs) < 0 ? -errno : 0;
}

int vmm_set_boot_registers(struct vmm_vcpu *v)
{
	const struct kvm_regs regs = {
		.rip = GUEST_IMAGE_GPA,
		.rsp = GUEST_STACKS_GPA + (v->index + 1ull) * GUEST_STACK_SIZE,
		.rdi = v->index,
		.rsi = GUEST_PAGE_GPA,
		.rflags = RFLAGS_ALWAYS_ONE,
	};
	int err = set_sregs(v);

	if (err)
		return err;
	return ioctl(v->fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
}
