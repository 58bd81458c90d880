// SPDX-License-Identifier: MIT
#include "diff_op.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "diff_area.h"

static const struct spec {
	const char *name;
	const char *arg[OP_ARGS];
} specs[OP_KINDS] = {
	[OP_READ] = { "read", { "vcpu", "width", "at" } },
	[OP_WRITE] = { "write", { "vcpu", "width", "at", "value" } },
	[OP_IN] = { "in", { "vcpu", "width", "at" } },
	[OP_OUT] = { "out", { "vcpu", "width", "at", "value" } },
	[OP_RDMSR] = { "rdmsr", { "vcpu", "width", "at" } },
	[OP_WRMSR] = { "wrmsr", { "vcpu", "width", "at", "value" } },
	[OP_READ_CR8] = { "read-cr8", { "vcpu" } },
	[OP_WRITE_CR8] = { "write-cr8", { "vcpu", "width", "at", "value" } },
	[OP_MSI] = { "msi", { "address_lo", "address_hi", "data", "flags" } },
	/* plain: KVM_IRQ_LINE, else KVM_IRQ_LINE_STATUS. */
	[OP_LINE] = { "line", { "gsi", "level", "plain" } },
	[OP_LAPIC_SET] = { "lapic-set", { "vcpu", "reg", "keep", "set" } },
	[OP_LAPIC_CROSS] = { "lapic-cross", { "vcpu" } },
	[OP_ROUTE] = { "route", { "gsi", "type", "flags", "a", "b", "c", "d" } },
	[OP_ROUTE_FILL] = { "route-fill", { "gsi", "n" } },
	[OP_COMMIT] = { "commit", { NULL } },
	[OP_IRQFD] = { "irqfd", { "fd", "gsi", "flags", "resamplefd" } },
	[OP_IRQFD_ELSEWHERE] = { "irqfd-elsewhere", { "fd", "gsi", "flags", "resamplefd" } },
	[OP_IOEVENTFD] = { "ioeventfd", { "fd", "addr", "len", "flags", "datamatch" } },
	[OP_EVENTFD_WRITE] = { "eventfd-write", { "fd", "value" } },
	[OP_EVENTFD_READ] = { "eventfd-read", { "fd" } },
	[OP_IOAPIC_SET] = { "ioapic-set", { "field", "keep", "set" } },
	[OP_PIC_SET] = { "pic-set", { "chip", "field", "value" } },
	[OP_PIT_SET] = { "pit-set", { "channel", "field", "value" } },
	[OP_CHIPS_CROSS] = { "chips-cross", { NULL } },
	[OP_WAIT] = { "wait", { "us" } },
};

int script_add(struct script *script, const struct op *op)
{
	if (script->n == script->room) {
		size_t room = script->room ? 2 * script->room : 256;
		struct op *ops = realloc(script->op, room * sizeof(*ops));

		if (!ops)
			return -ENOMEM;
		script->op = ops;
		script->room = room;
	}
	script->op[script->n++] = *op;
	return 0;
}

void script_free(struct script *script)
{
	free(script->op);
	script->op = NULL;
	script->n = script->room = 0;
}

void op_format(const struct op *op, char *buf, size_t size)
{
	const struct spec *spec = &specs[op->kind];
	int at = snprintf(buf, size, "%s", spec->name);

	for (unsigned int i = 0; i < OP_ARGS && spec->arg[i]; i++) {
		if (at < 0 || (size_t)at >= size)
			return;
		at += snprintf(buf + at, size - (size_t)at,
			       op->arg[i] < 10 ? " %s=%" PRIu64 : " %s=0x%" PRIx64, spec->arg[i],
			       op->arg[i]);
	}
}

static const char *const kernel_names[] = {
	[SIDE_FULL] = "full", [SIDE_SPLIT] = "split", [SIDE_QEMU] = "qemu"
};

void script_print(const struct script *script, FILE *out)
{
	char text[200];

	fprintf(out, "config area=%s kernel=%s chips=%d ids32=%d ids=%u,%u,%u\n", script->area,
		kernel_names[script->kernel], script->chips, script->ids_32bit, script->apic_id[0],
		script->apic_id[1], script->apic_id[2]);
	for (size_t i = 0; i < script->n; i++) {
		op_format(&script->op[i], text, sizeof(text));
		fprintf(out, "%s\n", text);
	}
}

static int read_config(struct script *script, const char *text)
{
	char area[16], kernel[16];
	const struct area *found;
	int chips, ids_32bit;

	if (sscanf(text, "config area=%15s kernel=%15s chips=%d ids32=%d ids=%u,%u,%u", area,
		   kernel, &chips, &ids_32bit, &script->apic_id[0], &script->apic_id[1],
		   &script->apic_id[2]) != 7)
		return -EINVAL;
	script->kernel = SIDE_FULL;
	for (enum side_kind kind = SIDE_SPLIT; kind <= SIDE_QEMU; kind++)
		if (strcmp(kernel, kernel_names[kind]) == 0)
			script->kernel = kind;
	found = area_find(script->kernel == SIDE_QEMU ? &areas_qemu : &areas_kvm, area,
			  strlen(area));
	script->area = found ? found->name : NULL;
	script->chips = chips;
	script->ids_32bit = ids_32bit;
	return found ? 0 : -EINVAL;
}

static int read_args(const struct spec *spec, struct op *op, char **rest)
{
	for (char *word = strtok_r(NULL, " \t", rest); word; word = strtok_r(NULL, " \t", rest)) {
		char *equals = strchr(word, '='), *end;
		unsigned int i = 0;

		if (!equals)
			return -EINVAL;
		*equals = '\0';
		while (i < OP_ARGS && spec->arg[i] && strcmp(spec->arg[i], word) != 0)
			i++;
		if (i == OP_ARGS || !spec->arg[i])
			return -EINVAL;
		op->arg[i] = strtoull(equals + 1, &end, 0);
		if (end == equals + 1 || *end)
			return -EINVAL;
	}
	return 0;
}

/* What would lead out of a table when it is executed. */
static int check_op(const struct op *op)
{
	bool names_vcpu = op_is_guest(op) || op->kind == OP_LAPIC_SET || op->kind == OP_LAPIC_CROSS;
	uint64_t width = op->arg[ARG_WIDTH];

	if (names_vcpu && op->arg[ARG_VCPU] >= SIDE_VCPUS)
		return -EINVAL;
	if (op->kind <= OP_OUT && width != 1 && width != 2 && width != 4 && width != 8)
		return -EINVAL;
	if ((op->kind == OP_IN || op->kind == OP_OUT) && width == 8)
		return -EINVAL;
	return op->kind == OP_LAPIC_SET && op->arg[1] > KVM_APIC_REG_SIZE - 4 ? -EINVAL : 0;
}

static int read_line(struct script *script, char *text)
{
	struct op op = { .kind = OP_READ };
	char *rest, *name;
	int error;

	text[strcspn(text, "#\n")] = '\0';
	if (!text[strspn(text, " \t")])
		return 0;
	if (strncmp(text, "config ", 7) == 0)
		return read_config(script, text);
	name = strtok_r(text, " \t", &rest);
	for (int i = 0; i < OP_KINDS; i++) {
		if (strcmp(specs[i].name, name) != 0)
			continue;
		op.kind = (enum op_kind)i;
		error = read_args(&specs[i], &op, &rest);
		if (!error)
			error = check_op(&op);
		return error ? error : script_add(script, &op);
	}
	return -EINVAL;
}

int script_read(struct script *script, const char *path, size_t *line)
{
	FILE *in = fopen(path, "re");
	char text[400];
	int error = 0;

	*line = 0;
	if (!in)
		return -errno;
	*script = (struct script){ .area = NULL };
	while (!error && fgets(text, sizeof(text), in)) {
		++*line;
		error = read_line(script, text);
	}
	fclose(in);
	/* Without a config there is nothing to run it on. */
	if (!error && !script->area) {
		*line = 1;
		error = -EINVAL;
	}
	if (error)
		script_free(script);
	return error;
}
