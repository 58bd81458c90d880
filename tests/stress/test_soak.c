// SPDX-License-Identifier: MIT
/*
 * Everything that a signal may meet past the eventfd, at once: triggers and irqfds that come and go, routes
 * that flip between what can be posted to and what cannot, MSI-X vectors that are masked and opened, and a
 * device process that is killed and followed by another. What the sources counted themselves is what the
 * routes were given, and what was delivered is what the handlers took: none lost, none doubled.
 *
 * VMIRQ_SOAK_SIGNALS says how many signals; a million else.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* Its send() is not the socket's. */
#define send send_message
#include "busy_pc.h"
#undef send

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/bypass.h>
#include <vmirq/mailbox.h>
#include <vmirq/msix.h>
#include <vmirq/trigger.h>

#include "soak_device.h"

#define SIGNALLERS   2
#define FIRST_GSI    30u
#define FIRST_PIN    16u
#define MAILBOX_GSI  40u
#define VECTORS	     2u	 /* of the MSI-X device, one for each signaller */
#define TURNS_A_LIFE 64u /* of the switcher, between two deaths of the device */
#define NMI_DATA     0x400u

/* One thread, its trigger, the irqfd of the same eventfd, and its MSI-X vector. */
struct signaller {
	pthread_t thread;
	int event;
	struct vmirq_trigger *trigger;
	struct vmirq_irqfd *irqfd; /* main's */
	struct vmirq_trigger *vector;
	int vector_event;
	uint64_t by_path[VMIRQ_PATHS], switches; /* of triggers that are gone */
	_Atomic uint64_t signals, vector_signals;
};

static struct busy_pc *pc;
static struct vmirq_msix *msix;
static struct vmirq_mailbox *mailbox;
static struct signaller signaller[SIGNALLERS];
static struct soak_counts *device;
static int device_memory;
static pid_t device_pid;
static int device_socket;
static uint32_t lives;
static uint64_t wanted;

static struct vmirq_trigger *new_trigger(int fd)
{
	struct vmirq_trigger_config config = { .size = sizeof(config),
					       .bypass = vmirq_vm_bypass(pc->vm),
					       .eventfd = fd };
	struct vmirq_trigger *trigger = NULL;

	busy_check(pc, vmirq_trigger_create(&config, &trigger) == 0);
	return trigger;
}

static void end_trigger(struct signaller *s)
{
	struct vmirq_trigger_counts c = { .size = sizeof(c) };

	busy_check(pc, vmirq_trigger_counts(s->trigger, &c) == 0);
	for (int p = 0; p < VMIRQ_PATHS; p++) {
		s->by_path[p] += c.path[p];
		s->switches += c.switched_to[p];
	}
	busy_check(pc, vmirq_trigger_destroy(s->trigger) == 0);
}

static void *run_signaller(void *argument)
{
	struct signaller *s = argument;
	uint32_t random = (uint32_t)(s - signaller) + 3;

	for (uint64_t n = 0; n < wanted / (2 * SIGNALLERS); n++) {
		vmirq_trigger_signal(s->trigger);
		atomic_fetch_add(&s->signals, 1);
		vmirq_trigger_signal(s->vector);
		atomic_fetch_add(&s->vector_signals, 1);
		if (next_random(&random) % 1024 == 0) {
			end_trigger(s);
			s->trigger = new_trigger(s->event);
		}
		if (next_random(&random) % 32 == 0)
			sched_yield();
	}
	return NULL;
}

static void assign(struct signaller *s)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = FIRST_GSI + (uint32_t)(s - signaller),
					     .eventfd = s->event };

	assert_int_equal(vmirq_irqfd_assign(pc->vm, &config, &s->irqfd), 0);
}

/* Each way by a vector of its own. */
enum way { HERE, THERE, NMI_MESSAGE, PIN, WAYS };

static void route(uint32_t i, enum way way)
{
	uint32_t gsi = FIRST_GSI + i, vcpu = way == THERE ? 1 - i : i;
	uint64_t address = 0xfee00000u | vcpu << 12;

	if (way == PIN)
		busy_pin(pc, gsi, FIRST_PIN + i);
	else
		assert_int_equal(
			vmirq_route_set_msi(pc->vm, gsi, address,
					    way == NMI_MESSAGE ? NMI_DATA : 0x40 + 2 * i + way),
			0);
}

static void msix_put(uint32_t vector, uint32_t offset, uint32_t value)
{
	assert_int_equal(vmirq_msix_table_access(msix, 16 * vector + offset, &value, 4, true), 0);
}

static void change_something(uint32_t *random)
{
	uint32_t i = next_random(random) % SIGNALLERS;

	switch (next_random(random) % 8) {
	case 0:
		assert_int_equal(vmirq_irqfd_deassign(signaller[i].irqfd), 0);
		if (next_random(random) % 2)
			sched_yield();
		assign(&signaller[i]);
		break;
	case 1:
	case 2:
	case 3:
		route(i, (enum way)(next_random(random) % WAYS));
		break;
	case 4:
		msix_put(i, 12, 1);
		break;
	case 5:
		msix_put(i, 12, 0);
		break;
	case 6:
		/* Open or not, to another vCPU. */
		msix_put(i, 0, 0xfee00000u | next_random(random) % 2 << 12);
		break;
	default:
		assert_int_equal(vmirq_msix_set_control(msix, true, next_random(random) % 4 == 0),
				 0);
		break;
	}
}

/* It lies beside this program. */
static void device_path(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *name;

	assert_true(n > 0);
	path[n] = '\0';
	name = strrchr(path, '/') + 1;
	snprintf(name, size - (size_t)(name - path), "soak_device");
}

static void start_device(void)
{
	char path[4096], socket_number[12], memory_number[12];
	int pair[2];

	device_path(path, sizeof(path));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(socket_number, sizeof(socket_number), "%d", pair[1]);
	snprintf(memory_number, sizeof(memory_number), "%d", device_memory);
	device_pid = fork();
	assert_true(device_pid >= 0);
	if (device_pid == 0) {
		fcntl(pair[1], F_SETFD, 0);
		execl(path, path, socket_number, memory_number, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	device_socket = pair[0];
	assert_int_equal(vmirq_mailbox_send(mailbox, device_socket), 0);
	assert_int_equal(vmirq_mailbox_watch(mailbox, device_socket, NULL, NULL), 0);
	lives++;
}

static void kill_device(void)
{
	assert_int_equal(kill(device_pid, SIGKILL), 0);
	assert_int_equal(waitpid(device_pid, NULL, 0), device_pid);
	close(device_socket);
}

static void stop_device(void)
{
	int status = -1;

	atomic_store(&device->stop, 1);
	assert_int_equal(waitpid(device_pid, &status, 0), device_pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(device_socket);
}

static void start_mailbox(void)
{
	struct vmirq_mailbox_config config = { .size = sizeof(config), .count = SOAK_INTERRUPTS };

	device_memory = memfd_create("soak", 0);
	assert_true(device_memory >= 0);
	assert_int_equal(ftruncate(device_memory, sizeof(*device)), 0);
	device = mmap(NULL, sizeof(*device), PROT_READ | PROT_WRITE, MAP_SHARED, device_memory, 0);
	assert_true(device != MAP_FAILED);
	assert_int_equal(vmirq_mailbox_create(pc->vm, &config, &mailbox), 0);
	for (uint32_t i = 0; i < SOAK_INTERRUPTS; i++) {
		uint64_t address = 0xfee00000u | i % BUSY_VCPUS << 12;

		assert_int_equal(vmirq_route_set_msi(pc->vm, MAILBOX_GSI + i, address, 0x60 + i),
				 0);
		assert_int_equal(vmirq_mailbox_bind(mailbox, i, MAILBOX_GSI + i), 0);
	}
	start_device();
}

static void start_msix(void)
{
	struct vmirq_msix_config config = { .size = sizeof(config), .vectors = VECTORS };

	assert_int_equal(vmirq_msix_create(pc->vm, &config, &msix), 0);
	assert_int_equal(vmirq_msix_set_control(msix, true, false), 0);
	for (uint32_t i = 0; i < VECTORS; i++) {
		msix_put(i, 0, 0xfee00000u | i << 12);
		msix_put(i, 8, 0x50 + i);
		msix_put(i, 12, 0);
	}
}

static void start(void)
{
	const char *text = getenv("VMIRQ_SOAK_SIGNALS");

	wanted = text ? strtoull(text, NULL, 10) : 1000000;
	assert_true(wanted >= 1000);
	pc = busy_new();
	start_msix();
	for (uint32_t i = 0; i < SIGNALLERS; i++) {
		struct signaller *s = &signaller[i];

		assert_int_equal(vmirq_route_clear(pc->vm, FIRST_PIN + i), 0);
		busy_rte(pc, FIRST_PIN + i, i % BUSY_VCPUS, 0x70 + i);
		s->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		s->trigger = new_trigger(s->event);
		route(i, HERE);
		assign(s);
		s->vector_event = vmirq_msix_lend_eventfd(msix, i);
		assert_true(s->vector_event >= 0);
		s->vector = new_trigger(s->vector_event);
	}
	start_mailbox();
	for (uint32_t i = 0; i < SIGNALLERS; i++)
		assert_int_equal(
			pthread_create(&signaller[i].thread, NULL, run_signaller, &signaller[i]),
			0);
}

static bool signals_go_on(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < SIGNALLERS; i++)
		n += atomic_load(&signaller[i].signals);
	return n < wanted / (2 * SIGNALLERS) * SIGNALLERS;
}

/* Nobody signals. Unmask everything, and let all that is held come. */
static void settle(void)
{
	assert_int_equal(vmirq_msix_set_control(msix, true, false), 0);
	for (uint32_t i = 0; i < VECTORS; i++)
		msix_put(i, 12, 0);
	vmirq_mailbox_poll(mailbox);
	for (uint32_t i = 0; i < SIGNALLERS; i++) {
		/* Deassign leaves no signal unread, and none on its way. */
		assert_int_equal(vmirq_irqfd_deassign(signaller[i].irqfd), 0);
		assert_int_equal(vmirq_vm_quiesce(pc->vm), 0);
	}
}

static void balance_signaller(uint32_t i)
{
	struct signaller *s = &signaller[i];
	struct vmirq_route_counts gsi = busy_gsi_counts(pc, FIRST_GSI + i);
	struct vmirq_route_counts vector = { .size = sizeof(vector) };
	struct vmirq_trigger_counts ways = { .size = sizeof(ways) };
	uint64_t paths = 0;
	eventfd_t unread;

	end_trigger(s);
	for (int p = 0; p < VMIRQ_PATHS; p++)
		paths += s->by_path[p];
	assert_int_equal(paths, s->signals);
	assert_int_equal(gsi.raised, s->signals);
	assert_int_equal(gsi.held, 0);
	assert_int_equal(gsi.verdict[VMIRQ_DEASSIGNED], 0);
	assert_int_equal(gsi.verdict[VMIRQ_NO_ROUTE], 0);
	assert_int_equal(eventfd_read(s->event, &unread), -1);
	/* Each way was gone. */
	for (int p = 0; p < VMIRQ_PATHS; p++)
		assert_true(s->by_path[p] > 0);
	assert_true(s->switches > 0);
	assert_int_equal(vmirq_irqfd_counts(vmirq_msix_irqfd(msix, i), &vector), 0);
	assert_int_equal(vector.raised, s->vector_signals);
	assert_int_equal(vector.held, 0);
	/* It was raised while it was open, and while it was masked. */
	assert_int_equal(vmirq_trigger_counts(s->vector, &ways), 0);
	assert_int_equal(ways.path[VMIRQ_PATH_BYPASS] + ways.path[VMIRQ_PATH_IRQFD],
			 s->vector_signals);
	assert_true(ways.switched_to[VMIRQ_PATH_BYPASS] > 0 &&
		    ways.switched_to[VMIRQ_PATH_IRQFD] > 0);
	assert_int_equal(vmirq_trigger_destroy(s->vector), 0);
	assert_int_equal(vmirq_msix_set_eventfd(msix, i, -1, 0), 0);
	close(s->vector_event);
	close(s->event);
}

static void balance_mailbox(void)
{
	struct vmirq_mailbox_counts c = { .size = sizeof(c) };
	uint64_t raised = 0;

	assert_int_equal(vmirq_mailbox_counts(mailbox, &c), 0);
	assert_int_equal(c.held, 0);
	assert_int_equal(c.raised, c.signalled + c.coalesced);
	for (uint32_t i = 0; i < SOAK_INTERRUPTS; i++)
		raised += busy_gsi_counts(pc, MAILBOX_GSI + i).raised;
	assert_int_equal(raised, c.signalled);
	/* Who was killed between raising and counting may have raised one more. */
	assert_true(c.raised >= device->newly);
	assert_true(c.raised - device->newly <= device->begun - device->over);
	assert_true(device->begun - device->over <= lives);
	print_message("%u lives of the device, %llu raises\n", lives,
		      (unsigned long long)device->over);
	assert_true(device->newly > 0);
	/* It was killed, and followed by another. */
	assert_true(lives > 1);
	assert_int_equal(vmirq_mailbox_destroy(mailbox), 0);
}

/* To the end, but a process takes its time to start. */
static uint32_t most_lives(void)
{
	return 100 + (uint32_t)(wanted / 20000);
}

static void nothing_lost_nothing_doubled(void **state)
{
	uint32_t random = 11, turns = 0;

	(void)state;
	start();
	while (signals_go_on()) {
		change_something(&random);
		if (++turns % TURNS_A_LIFE == 0 && lives < most_lives()) {
			kill_device();
			start_device();
		}
		if (turns % 4 == 0)
			sched_yield();
	}
	for (uint32_t i = 0; i < SIGNALLERS; i++)
		pthread_join(signaller[i].thread, NULL);
	stop_device();
	settle();
	busy_stop(pc);
	for (uint32_t i = 0; i < SIGNALLERS; i++)
		balance_signaller(i);
	balance_mailbox();
	assert_int_equal(vmirq_msix_destroy(msix), 0);
	assert_int_equal(busy_posted(pc), busy_delivered(pc));
	print_message("%u changes\n", turns);
	busy_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_lost_nothing_doubled) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
