// SPDX-License-Identifier: MIT
/* The kernel's doorbells: what irqfd/ioeventfd_cases.c says is what KVM_IOEVENTFD does; and the library
 * where it leaves them to the kernel, and where it could but is told not to. */
#include "../irqfd/ioeventfd_cases.h"
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <vmirq/ioeventfd.h>

#define BELL	   UINT64_C(0xd0000000)
#define DONE	   0x10
#define PATIENCE_S 20
#define VALUE	   0x6000u /* what an 8-byte write takes */
#define BEHIND	   0x40u   /* the program's end, where it goes on */

static int say_to_kernel(void *vm_fd, const struct kvm_ioeventfd *args)
{
	struct kvm_ioeventfd copy = *args;

	return ioctl(*(int *)vm_fd, KVM_IOEVENTFD, &copy) < 0 ? -errno : 0;
}

static int say_to_library(void *vm, const struct kvm_ioeventfd *args)
{
	return vmirq_ioeventfd(vm, args);
}

static int new_kvm_vm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), fd = ioctl(kvm, KVM_CREATE_VM, 0);

	assert_true(fd >= 0);
	close(kvm);
	return fd;
}

static struct vmirq_vm *new_vm(int kvm_vm_fd, uint32_t without)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .kvm_vm_fd = kvm_vm_fd,
					  .without = without };
	struct vmirq_vm *vm;

	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	return vm;
}

static void check_all_answers(const struct asked *asked)
{
	check_answers(asked);
	check_collisions(asked);
}

static void the_kernel_answers(void **state)
{
	int fd = new_kvm_vm();

	(void)state;
	check_all_answers(&(struct asked){ .ioeventfd = say_to_kernel, .opaque = &fd });
	close(fd);
}

static void the_library_asks_the_kernel(void **state)
{
	int fd = new_kvm_vm();
	struct vmirq_vm *vm = new_vm(fd, 0);

	(void)state;
	check_all_answers(&(struct asked){ .ioeventfd = say_to_library, .opaque = vm });
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	close(fd);
}

static void the_library_does_without(void **state)
{
	int fd = new_kvm_vm();
	struct vmirq_vm *vm = new_vm(fd, VMIRQ_CAP_IOEVENTFD);

	(void)state;
	check_all_answers(&(struct asked){ .ioeventfd = say_to_library, .opaque = vm });
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	close(fd);
}

/* Is this one free in the kernel? */
static bool is_free(int vm_fd, struct kvm_ioeventfd args)
{
	int error = say_to_kernel(&vm_fd, &args);

	assert_true(!error || error == -EEXIST);
	args.flags |= DEASSIGN;
	if (!error)
		assert_int_equal(say_to_kernel(&vm_fd, &args), 0);
	return !error;
}

static void what_is_left_goes_with_the_vm(void **state)
{
	int vm_fd = new_kvm_vm(), fd = eventfd(0, EFD_CLOEXEC), others = dup(fd);
	struct vmirq_vm *vm = new_vm(vm_fd, 0);
	struct kvm_ioeventfd bell[] = {
		{ .addr = BELL, .len = 4, .fd = fd },
		{ .addr = BELL + 8, .fd = fd },
		{ .addr = 0x600, .len = 2, .fd = fd, .flags = PIO },
		{ .addr = BELL + 16, .len = 1, .datamatch = 7, .fd = fd, .flags = DATAMATCH },
		{ .addr = BELL + 16, .len = 1, .datamatch = 8, .fd = fd, .flags = DATAMATCH },
	};
	struct kvm_ioeventfd own = { .addr = BELL + 32, .len = 4, .fd = others };
	size_t n = sizeof(bell) / sizeof(bell[0]);

	(void)state;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(vmirq_ioeventfd(vm, &bell[i]), 0);
	/* The VMM's own, by its own ioctl; one that it took back itself; one that is deassigned. */
	assert_int_equal(say_to_kernel(&vm_fd, &own), 0);
	bell[0].flags |= DEASSIGN;
	assert_int_equal(say_to_kernel(&vm_fd, &bell[0]), 0);
	bell[0].flags = 0;
	bell[4].flags |= DEASSIGN;
	assert_int_equal(vmirq_ioeventfd(vm, &bell[4]), 0);
	bell[4].flags = DATAMATCH;
	/* The library has its own duplicate. */
	close(fd);
	for (size_t i = 0; i < n; i++) {
		bell[i].fd = others;
		assert_int_equal(is_free(vm_fd, bell[i]), i == 0 || i == 4);
	}
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	for (size_t i = 0; i < n; i++)
		assert_true(is_free(vm_fd, bell[i]));
	assert_false(is_free(vm_fd, own));
	close(others);
	close(vm_fd);
}

/* A guest that writes what it is told to, and tells when it is through. */

static size_t put_address(uint8_t *code, uint64_t addr)
{
	const uint8_t bytes[] = { LE32(addr) };

	memcpy(code, bytes, sizeof(bytes));
	return sizeof(bytes);
}

static size_t store(uint8_t *code, uint64_t addr, uint32_t len, uint64_t data)
{
	/* mov byte, word, dword [addr], data; movq mm0, [VALUE]; movq [addr], mm0 */
	static const uint8_t byte[] = { 0x67, 0xc6, 0x05 }, word[] = { 0x67, 0xc7, 0x05 },
			     dword[] = { 0x67, 0x66, 0xc7, 0x05 },
			     movq[] = {
				     0x67, 0x0f, 0x6f, 0x05, LE32(VALUE), 0x67, 0x0f, 0x7f, 0x05
			     };
	const uint8_t *how = len == 1 ? byte : len == 2 ? word : len == 4 ? dword : movq;
	size_t n = len == 8 ? sizeof(movq) : len == 4 ? sizeof(dword) : sizeof(byte);

	memcpy(code, how, n);
	n += put_address(code + n, addr);
	if (len < 8) {
		memcpy(code + n, &data, len);
		n += len;
	}
	return n;
}

static size_t out(uint8_t *code, uint64_t port, uint32_t len, uint64_t data)
{
	const uint8_t registers[] = { EDX(port), EAX(data) };
	size_t n = sizeof(registers);

	memcpy(code, registers, n);
	if (len == 4)
		code[n++] = 0x66;
	code[n++] = len == 1 ? 0xee : 0xef;
	return n;
}

/* What the guest writes that is not taken. */
static void assert_exit(struct guest *g, bool pio, uint64_t addr, uint32_t len, uint64_t data)
{
	struct kvm_run *run = g->run[0];

	if (pio) {
		assert_int_equal(run->exit_reason, KVM_EXIT_IO);
		assert_int_equal(run->io.port, addr);
		assert_int_equal(run->io.size, len);
		return;
	}
	assert_int_equal(run->exit_reason, KVM_EXIT_MMIO);
	assert_true(run->mmio.is_write);
	assert_int_equal(run->mmio.phys_addr, addr);
	assert_int_equal(run->mmio.len, len);
	assert_memory_equal(run->mmio.data, &data, len);
}

static bool guest_writes(struct guest *g, bool pio, uint64_t addr, uint32_t len, uint64_t data)
{
	uint8_t code[BEHIND];
	bool taken;

	/* For this write, not for all of them: see guest_new(). */
	alarm(PATIENCE_S);
	memset(code, NOP, sizeof(code));
	if (pio)
		out(code, addr, len, data);
	else
		store(code, addr, len, data);
	guest_put(g, VALUE, (const uint8_t *)&data, sizeof(data));
	guest_put(g, CODE, code, sizeof(code));
	assert_int_equal(vmirq_kvm_run(g->s.vcpu[0]), 0);
	taken = g->run[0]->exit_reason == KVM_EXIT_IO && g->run[0]->io.port == DONE;
	if (!taken) {
		assert_exit(g, pio, addr, len, data);
		guest_out(g, 0, DONE);
	}
	return taken;
}

static struct guest *new_guest(void)
{
	static const uint8_t behind[] = { OUT(DONE), 0xe9, LE32(-(BEHIND + 5u)) };
	uint8_t code[BEHIND + 5];

	memset(code, NOP, BEHIND);
	/* jmp near to the start; its distance has 16 bits. */
	memcpy(code + BEHIND, behind, 5);
	return guest_new(1, 0, code, sizeof(code));
}

struct side {
	struct guest *g;
	struct vmirq_vm *vm;
};

static int side_says(void *opaque, const struct kvm_ioeventfd *args)
{
	struct side *side = opaque;

	return side->vm ? vmirq_ioeventfd(side->vm, args) : say_to_kernel(&side->g->vm_fd, args);
}

static bool side_writes(void *opaque, bool pio, uint64_t addr, uint32_t len, uint64_t data)
{
	struct side *side = opaque;

	return guest_writes(side->g, pio, addr, len, data);
}

static void check_guest(struct side *side)
{
	struct asked asked = { .ioeventfd = side_says,
			       .write = side_writes,
			       .opaque = side,
			       .lengths = { { 1, 2, 4 }, { 1, 2, 4, 8 } } };

	guest_out(side->g, 0, DONE);
	check_matches(&asked);
	guest_free(side->g);
}

static void the_kernel_matches(void **state)
{
	struct side side = { .g = new_guest() };

	(void)state;
	check_guest(&side);
}

static void the_kernel_matches_the_librarys(void **state)
{
	struct side side = { .g = new_guest() };
	struct vmirq_vm *vm = side.vm = new_vm(side.g->vm_fd, 0);
	struct kvm_ioeventfd bell = { .addr = BELL, .len = 4, .fd = eventfd(0, EFD_CLOEXEC) };
	uint32_t data = 0;

	(void)state;
	/* They are not looked for here as well. */
	assert_int_equal(vmirq_ioeventfd(vm, &bell), 0);
	assert_int_equal(vmirq_vm_mmio(vm, BELL, &data, 4, true), -ENOENT);
	check_guest(&side);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	close(bell.fd);
}

static void the_library_matches(void **state)
{
	struct side side = { .g = new_guest() };

	(void)state;
	side.vm = side.g->s.vm;
	check_guest(&side);
}

struct deassign {
	struct vmirq_vm *vm;
	struct kvm_ioeventfd bell;
	int result;
};

static void *deassign_cancelled(void *argument)
{
	struct deassign *d = argument;

	pthread_cancel(pthread_self());
	d->result = vmirq_ioeventfd(d->vm, &d->bell);
	pthread_testcancel();
	return NULL;
}

/* The mutex is not left locked. */
static void a_deassign_is_cancelled(void **state)
{
	int fd = new_kvm_vm();
	struct deassign d = { .vm = new_vm(fd, 0),
			      .bell = { .addr = BELL, .len = 4, .fd = eventfd(0, EFD_NONBLOCK) },
			      .result = -1 };
	pthread_t thread;
	void *result = NULL;

	(void)state;
	alarm(PATIENCE_S);
	assert_int_equal(vmirq_ioeventfd(d.vm, &d.bell), 0);
	d.bell.flags = DEASSIGN;
	assert_int_equal(pthread_create(&thread, NULL, deassign_cancelled, &d), 0);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(vmirq_ioeventfd(d.vm, &d.bell), -ENOENT);
	assert_int_equal(d.result, 0);
	alarm(0);
	assert_int_equal(vmirq_vm_destroy(d.vm), 0);
	close(d.bell.fd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_answers),
		cmocka_unit_test(the_library_asks_the_kernel),
		cmocka_unit_test(the_library_does_without),
		cmocka_unit_test(what_is_left_goes_with_the_vm),
		cmocka_unit_test(a_deassign_is_cancelled),
		cmocka_unit_test(the_kernel_matches),
		cmocka_unit_test(the_kernel_matches_the_librarys),
		cmocka_unit_test(the_library_matches),
	};
	int unavailable = guest_unavailable();

	return unavailable ? unavailable : cmocka_run_group_tests(tests, NULL, NULL);
}
