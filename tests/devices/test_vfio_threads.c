// SPDX-License-Identifier: MIT
/* A device that signals at any moment, beside masks, exchanges and ends: nobody is told what he must not be,
 * and nothing that must be told is forgotten. */
#include "../line/pc_world.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "vfio_world.h"

#define GSI    9
#define VECTOR 0x61
#define ROUNDS 400

static struct stand_in s;

struct device {
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t sent;
};

/* A line that goes up and down, and a guest that plays with its Interrupt Disable bit. */
static void *move_the_line(void *opaque)
{
	struct device *d = opaque;

	while (!atomic_load(&d->stop)) {
		stand_in_line(&s, true);
		stand_in_disable_intx(&s, true);
		stand_in_disable_intx(&s, false);
		stand_in_line(&s, false);
		atomic_fetch_add(&d->sent, 1);
		sched_yield();
	}
	return NULL;
}

static void start(struct device *d, void *(*run)(void *))
{
	*d = (struct device){ .sent = 0 };
	assert_int_equal(pthread_create(&d->thread, NULL, run, d), 0);
	while (!atomic_load(&d->sent))
		sched_yield();
}

static void stop(struct device *d)
{
	atomic_store(&d->stop, true);
	pthread_join(d->thread, NULL);
}

/* CVE-2024-26810: once the mask has returned nothing is signalled, whatever the device does. */
static void masks_race_with_the_trigger(void **state)
{
	int trigger = bell();
	uint64_t seen = 0, heard = 0;
	struct device device;
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 0, 0);
	v = vfio_new(&s);
	start(&device, move_the_line);
	assert_int_equal(vfio_intx_enable(v, trigger, -1), 0);
	/* Until it has been heard often enough between the masks, too. */
	for (int i = 0; i < ROUNDS || (heard < 20 && i < 1000 * ROUNDS); i++) {
		assert_int_equal(vfio_mask(v, INTX, 0, 1, NULL), 0);
		seen = stand_in_signalled(&s);
		heard += unread(trigger);
		assert_int_equal(heard, seen);
		for (int n = 0; n < 5; n++)
			sched_yield();
		assert_int_equal(stand_in_signalled(&s), seen);
		assert_int_equal(unread(trigger), 0);
		assert_int_equal(vfio_unmask(v, INTX, 0, 1, NULL), 0);
		sched_yield();
	}
	assert_int_equal(vfio_disable(v, INTX), 0);
	seen = stand_in_signalled(&s);
	heard += unread(trigger);
	for (int n = 0; n < 20; n++)
		sched_yield();
	stop(&device);
	assert_int_equal(stand_in_signalled(&s), seen);
	assert_int_equal(unread(trigger), 0);
	assert_int_equal(heard, seen);
	assert_true(heard >= 20);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	close(trigger);
}

struct meddler {
	pthread_t thread;
	struct vfio *v;
	int fd;
	bool trigger;
};

static void *meddle(void *opaque)
{
	struct meddler *m = opaque;

	for (int i = 0; i < ROUNDS; i++) {
		/* -EINVAL: it is just disabled. */
		int ret = m->trigger ? vfio_intx_set_trigger(m->v, i % 2 ? m->fd : -1)
				     : vfio_intx_set_unmask(m->v, i % 2 ? m->fd : -1);

		if (ret && ret != -EINVAL)
			return m;
		ret = i % 3 ? vfio_unmask(m->v, INTX, 0, 1, NULL)
			    : vfio_mask(m->v, INTX, 0, 1, NULL);
		if (ret && ret != -EINVAL)
			return m;
	}
	return NULL;
}

/* CVE-2024-26812: triggers and unmask eventfds come and go under a device that signals and a guest that
 * ends; enabled once more at the end, a level is still a level. */
static void all_of_it_changes(void **state)
{
	int trigger = bell(), unmask = bell();
	struct meddler m[2] = { { .fd = trigger, .trigger = true }, { .fd = unmask } };
	const uint64_t one = 1;
	struct device device;
	struct vfio *v;
	void *failed;

	(void)state;
	stand_in_start(&s, 0, 0);
	v = vfio_new(&s);
	start(&device, move_the_line);
	assert_int_equal(vfio_intx_enable(v, trigger, unmask), 0);
	for (int i = 0; i < 2; i++) {
		m[i].v = v;
		assert_int_equal(pthread_create(&m[i].thread, NULL, meddle, &m[i]), 0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(write(unmask, &one, sizeof(one)), sizeof(one));
		if (i % 10 == 0) {
			assert_int_equal(vfio_disable(v, INTX), 0);
			assert_int_equal(vfio_intx_enable(v, trigger, unmask), 0);
		}
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(m[i].thread, &failed);
		assert_null(failed);
	}
	assert_int_equal(vfio_disable(v, INTX), 0);
	stop(&device);
	unread(trigger);
	unread(unmask);
	stand_in_line(&s, true);
	assert_int_equal(unread(trigger), 0);
	assert_int_equal(vfio_intx_enable(v, trigger, -1), 0);
	assert_int_equal(unread(trigger), 1);
	assert_int_equal(vfio_unmask(v, INTX, 0, 1, NULL), 0);
	assert_int_equal(unread(trigger), 1);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	close(trigger);
	close(unmask);
}

static void *send_messages(void *opaque)
{
	struct device *d = opaque;

	while (!atomic_load(&d->stop)) {
		stand_in_message(&s, MSIX, 0);
		atomic_fetch_add(&d->sent, 1);
		sched_yield();
	}
	return NULL;
}

/* Exchanged between two eventfds under messages: from then on the old one hears nothing. */
static void switched_under_messages(void **state)
{
	int fd[2] = { bell(), bell() };
	struct device device;
	uint64_t heard = 0;
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 0, 4);
	v = vfio_new(&s);
	assert_int_equal(vfio_msi_enable(v, MSIX, fd, 1, NULL), 0);
	start(&device, send_messages);
	for (int i = 1; i <= ROUNDS; i++) {
		assert_int_equal(vfio_msi_switch(v, MSIX, 0, fd[i % 2]), 0);
		/* The old one has been emptied and stays so. */
		sched_yield();
		assert_int_equal(unread(fd[(i + 1) % 2]), 0);
		heard += unread(fd[i % 2]);
	}
	stop(&device);
	unread(fd[0]);
	unread(fd[1]);
	assert_true(heard > 0);
	assert_int_equal(s.lost, 0);
	stand_in_message(&s, MSIX, 0);
	assert_int_equal(unread(fd[ROUNDS % 2]), 1);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	close(fd[0]);
	close(fd[1]);
}

/* Disabled at any moment under a running pump: from then on the vCPU takes what was written before, no
 * more. */
static void disabled_under_a_running_pump(void **state)
{
	int trigger = bell(), unmask = bell();

	(void)state;
	for (int i = 0; i < 50; i++) {
		struct soft *vm = pc_new(1, 0);
		struct vmirq_irqfd_config config = { .size = sizeof(config),
						     .gsi = GSI,
						     .flags = VMIRQ_IRQFD_RESAMPLE,
						     .eventfd = trigger,
						     .resamplefd = unmask };
		struct vmirq_irqfd *irqfd;
		struct device device;
		struct vfio *v;
		uint64_t signalled;

		stand_in_start(&s, 0, 0);
		v = vfio_new(&s);
		rte_put(vm, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
		assert_int_equal(vmirq_pump_start(vmirq_vm_pump(vm->vm)), 0);
		assert_int_equal(vmirq_irqfd_assign(vm->vm, &config, &irqfd), 0);
		start(&device, move_the_line);
		assert_int_equal(vfio_intx_enable(v, trigger, unmask), 0);
		for (int n = 0; n < i; n++) {
			int vector = vmirq_vcpu_next_vector(vm->vcpu[0]);

			if (vector == VECTOR) {
				assert_int_equal(vmirq_vcpu_ack(vm->vcpu[0], VECTOR), 0);
				end_service(vm->vcpu[0]);
			}
			sched_yield();
		}
		assert_int_equal(vfio_disable(v, INTX), 0);
		signalled = stand_in_signalled(&s);
		assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		take_all(vm->vcpu[0], NULL);
		sched_yield();
		stop(&device);
		take_nothing(vm->vcpu[0]);
		assert_int_equal(stand_in_signalled(&s), signalled);
		assert_true(counts_of_vector(vm->vcpu[0], VECTOR).taken <= signalled);
		assert_int_equal(unread(trigger), 0);
		unread(unmask);
		assert_int_equal(vfio_close(v), 0);
		stand_in_stop(&s);
		pc_free(vm);
	}
	close(trigger);
	close(unmask);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masks_race_with_the_trigger),
		cmocka_unit_test(all_of_it_changes),
		cmocka_unit_test(switched_under_messages),
		cmocka_unit_test(disabled_under_a_running_pump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
