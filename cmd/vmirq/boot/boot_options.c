// SPDX-License-Identifier: MIT
#include "boot_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/boot.h"

#define TIMEOUT_MAX 86400
/* One MiB is what multiboot starts at, and has no room for an image. */
#define MEMORY_MIN 2
#define MEMORY_MAX 3072

static enum exit_code wrong(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "vmirq boot: %s '%s': %s\n", option, value, why);
	return EXIT_USAGE;
}

/* Digits only: strtoul alone would take "-1", " 5" and "+5". */
static enum exit_code parse_number(const char *option, const char *value, uint32_t min,
				   uint32_t max, uint32_t *out)
{
	bool digits = *value && !value[strspn(value, "0123456789")];
	unsigned long n;
	char why[80];

	errno = 0;
	n = strtoul(value, NULL, 10);
	if (!digits || errno || n < min || n > max) {
		snprintf(why, sizeof(why), "must be a whole number from %u to %u", min, max);
		return wrong(option, value, why);
	}
	*out = (uint32_t)n;
	return EXIT_OK;
}

static enum exit_code set_irqchip(struct boot_options *options, const char *name, const char *value)
{
	static const char *const names[] = {
		[VMIRQ_IRQCHIP_SOFT] = "soft",
		[VMIRQ_IRQCHIP_SPLIT] = "split",
		[VMIRQ_IRQCHIP_KVM] = "kvm",
	};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			options->irqchip = (enum vmirq_irqchip)i;
			return EXIT_OK;
		}
	}
	return wrong(name, value, "must be soft, split or kvm");
}

static enum exit_code set_vcpus(struct boot_options *options, const char *name, const char *value)
{
	return parse_number(name, value, 1, BOOT_VCPUS_MAX, &options->vcpus);
}

static enum exit_code set_memory(struct boot_options *options, const char *name, const char *value)
{
	return parse_number(name, value, MEMORY_MIN, MEMORY_MAX, &options->memory_mib);
}

static enum exit_code set_timeout(struct boot_options *options, const char *name, const char *value)
{
	return parse_number(name, value, 1, TIMEOUT_MAX, &options->timeout_s);
}

static const struct option {
	const char *name;
	enum exit_code (*set)(struct boot_options *options, const char *name, const char *value);
} table[] = {
	{ "--irqchip", set_irqchip },
	{ "--vcpus", set_vcpus },
	{ "--mem", set_memory },
	{ "--timeout", set_timeout },
};

static const struct option *find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strncmp(table[i].name, name, len) == 0 && !table[i].name[len])
			return &table[i];
	return NULL;
}

static enum exit_code complain(const char *what, const char *argument)
{
	fprintf(stderr, "vmirq boot: %s%s%s%s (see vmirq boot --help)\n", what,
		argument ? " '" : "", argument ? argument : "", argument ? "'" : "");
	return EXIT_USAGE;
}

enum exit_code boot_options_parse(struct boot_options *options, int argc, char **argv)
{
	int i;

	/* Options end at the image: what follows is the guest's. */
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		const char *equals = strchr(argv[i], '=');
		size_t len = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
		const struct option *option = find_option(argv[i], len);
		const char *value = equals ? equals + 1 : NULL;
		enum exit_code ret;

		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			options->help = true;
			return EXIT_OK;
		}
		if (!option)
			return complain("unknown option", argv[i]);
		if (!value && ++i == argc)
			return complain("a value is missing after", argv[i - 1]);
		ret = option->set(options, option->name, value ? value : argv[i]);
		if (ret != EXIT_OK)
			return ret;
	}
	if (i == argc)
		return complain("no image given", NULL);
	options->image = argv + i;
	return EXIT_OK;
}

void boot_help(void)
{
	fputs("usage: vmirq boot [OPTION...] IMAGE [ARGS...]\n"
	      "\n"
	      "Boots a multiboot 1 image (ELF32) on a small PC made for tests, as QEMU's\n"
	      "`-machine pc -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4\n"
	      "-kernel IMAGE -append ARGS` does, and ends as the guest asks it to by port 0xf4.\n"
	      "\n"
	      "  --irqchip WHAT  where the interrupt controllers are. soft: all here, in user space\n"
	      "                  (default); kvm: all in the kernel; split: the local APICs in the\n"
	      "                  kernel, the rest here\n"
	      "  --vcpus N       1 to 64 (default 1)\n"
	      "  --mem MIB       2 to 3072 (default 128)\n"
	      "  --timeout S     give up after S seconds and say where each vCPU is (default 60)\n"
	      "\n"
	      "The guest finds: serial port 0x3f8 (to stdout), debug exit 0xf4, pc-testdev 0x2000+n\n"
	      "(level of GSI n) and 0xe0, fw_cfg 0x510, an empty PCI bus 0xcf8, CMOS 0x70, 8259s, PIT,\n"
	      "IOAPIC 0xfec00000, local APICs in xAPIC mode. CPUs but the first wait for INIT and SIPI.\n"
	      "\n"
	      "The test guests (build/guests/tests) are given one more argument, `kvm`, where the local APICs\n"
	      "are the kernel's: they do not check there what the kernel is known to do otherwise than the\n"
	      "specification. level and modes then say `not for this irqchip`, and end with 77. Another\n"
	      "image's arguments stay as they are.\n"
	      "\n"
	      "examples:\n"
	      "  vmirq boot build/guests/tests/hello.elf\n"
	      "  vmirq boot --vcpus 4 build/guests/tests/ipi.elf\n"
	      "  vmirq boot --irqchip kvm build/guests/tests/timer.elf\n"
	      "\n"
	      "exit codes: what the guest wrote to port 0xf4, as (value << 1) | 1 (the test guests: 33 =\n"
	      "PASS, 35 = not, 77 = not for this irqchip); 1 also = it did not end in time or died, with lines\n"
	      "on stderr that say where; 2 = usage, or an image that cannot be booted; 77 = the machine lacks\n"
	      "what was asked for.\n",
	      stdout);
}
