// SPDX-License-Identifier: MIT
/*
 * `vmirq run` from its options to its exit code.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <vmirq/vm.h>

#include "run.h"
#include "streams.h"
#include "vmm.h"

#define PROGRESS_NS UINT64_C(200000000)
#define LOOK_NS	    10000000
/* After a stop a source has this long: its own waits are bounded well below it. */
#define STOP_NS UINT64_C(20000000000)

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* Once: a second one ends the process in the usual way, and the daemon dies with it. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int create_vmm(struct run *run, enum vmm_cpu cpu, const char **why)
{
	const struct vmm_config config = {
		.cpu = cpu,
		.vcpus = run->options->vcpus,
		.busy = run->options->busy,
		.poll_ns = run->options->poll_ns,
		.x2apic = run->options->x2apic,
		.irqchip = run->options->irqchip,
		.without = run->options->without,
		.chips = true,
	};
	int ret = vmm_create(&config, &run->vmm, why);

	run->cpu = cpu == VMM_CPU_KVM ? "kvm" : "threads";
	return ret;
}

static int kvm_opens(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* The machine has no such thing, and it is not just that this process may have no more of it. */
static bool machine_lacks(int error)
{
	return error != -EMFILE && error != -ENFILE && error != -ENOMEM;
}

/* The CPU back end that was asked for, or with auto the best there is. */
static enum exit_code choose_cpu(struct run *run)
{
	enum run_cpu wanted = run->options->cpu;
	const char *why = "";
	int ret;

	if (wanted != RUN_CPU_THREADS) {
		ret = kvm_opens();
		why = "/dev/kvm cannot be opened";
		if (!ret)
			ret = create_vmm(run, VMM_CPU_KVM, &why);
		if (!ret)
			return EXIT_OK;
		if (wanted == RUN_CPU_KVM || run->options->irqchip != VMIRQ_IRQCHIP_SOFT) {
			fprintf(stderr, "vmirq run: --cpu kvm, --irqchip %s: %s: %s\n",
				run_irqchip_name(run->options->irqchip), why, strerror(-ret));
			return machine_lacks(ret) ? EXIT_LACKING : EXIT_FAILED;
		}
		snprintf(run->cpu_note, sizeof(run->cpu_note), "%.120s: %.60s", why,
			 strerror(-ret));
	}
	ret = create_vmm(run, VMM_CPU_THREADS, &why);
	if (!ret)
		return EXIT_OK;
	fprintf(stderr, "vmirq run: the VM cannot be made: %s: %s\n", why, strerror(-ret));
	return EXIT_FAILED;
}

static int start_threads(struct run *run)
{
	sigset_t signals, before;
	int ret = 0;

	/* Theirs are main's, so that its sleep ends at once. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, &before);
	for (uint32_t i = 0; i < run->sources && !ret; i++) {
		struct source *source = &run->source[i];

		ret = -pthread_create(&source->thread, NULL, source_main, source);
		source->has_thread = !ret;
	}
	if (!ret)
		ret = run_churn_start(run);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret) {
		snprintf(run->error, sizeof(run->error), "a source's thread cannot be started: %s",
			 strerror(-ret));
		atomic_store(&run->stop, RUN_VCPU_FAILED);
	}
	return ret;
}

static bool all_done(const struct run *run)
{
	for (uint32_t i = 0; i < run->sources; i++) {
		/* Acquire: pairs with the release at the end of source_main(). */
		if (run->source[i].has_thread &&
		    atomic_load_explicit(&run->source[i].phase, memory_order_acquire) !=
			    SOURCE_DONE)
			return false;
	}
	return true;
}

static enum run_stop why_stop(struct run *run, uint64_t elapsed_ns)
{
	const char *why = "";

	if (interrupted)
		return RUN_INTERRUPTED;
	if (vmm_failed(run->vmm, &why)) {
		snprintf(run->error, sizeof(run->error), "%.390s", why);
		return RUN_VCPU_FAILED;
	}
	if (elapsed_ns > ((uint64_t)run->options->timeout_s + run->options->seconds) * 1000000000u)
		return RUN_TIMED_OUT;
	return RUN_GOES_ON;
}

/* Watch until all sources are done. -ETIMEDOUT: one does not even stop. */
static int watch(struct run *run)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	uint64_t start = now_ns(), shown = start, stopped = 0;

	while (!all_done(run)) {
		uint64_t now = now_ns();

		if (!run_stops(run)) {
			enum run_stop stop = why_stop(run, now - start);

			if (stop == RUN_TIMED_OUT || stop == RUN_VCPU_FAILED) {
				run_progress_clear();
				fprintf(stderr,
					"vmirq run: %s after %.1f s; where everything is:\n",
					run_stop_name(stop), (double)(now - start) / 1e9);
				run_print_whereabouts(run, stderr);
			}
			atomic_store_explicit(&run->stop, stop, memory_order_relaxed);
		}
		if (run_stops(run)) {
			stopped = stopped ? stopped : now;
			if (now - stopped > STOP_NS)
				return -ETIMEDOUT;
		}
		run_rates_look(run, now);
		if (now - shown > PROGRESS_NS) {
			run_progress(run, (double)(now - start) / 1e9);
			shown = now;
		}
		nanosleep(&pause, NULL);
	}
	run_rates_end(run, now_ns());
	run_progress_clear();
	run->seconds = (double)(now_ns() - start) / 1e9;
	return 0;
}

static void join_threads(struct run *run)
{
	for (uint32_t i = 0; i < run->sources; i++) {
		if (run->source[i].has_thread)
			pthread_join(run->source[i].thread, NULL);
	}
}

/* Start everything, let it run, take the account. */
static void carry_out(struct run *run)
{
	const char *why = "";

	run->vm = vmm_vm(run->vmm);
	if (run_prepare_sources(run)) {
		run_close_sources(run);
		return;
	}
	if (vmm_start(run->vmm, &why)) {
		snprintf(run->error, sizeof(run->error), "the guest does not start: %.330s", why);
		run_close_sources(run);
		return;
	}
	if (!run_open_sources(run)) {
		start_threads(run);
		if (watch(run)) {
			/* A thread that hangs in the library holds what would have to be freed.
			 * The daemon dies with us. */
			fputs("vmirq run: a source does not stop; it is left, and nothing is "
			      "accounted for\n",
			      stderr);
			_exit(EXIT_FAILED);
		}
		join_threads(run);
		run_churn_stop(run);
		run_account(run);
	}
	/* First, since a handler may use what a source frees. */
	if (vmm_stop(run->vmm, &why) && !run->error[0])
		snprintf(run->error, sizeof(run->error), "%.390s", why);
	run_close_sources(run);
}

static enum exit_code report(struct run *run, FILE *json)
{
	int ret;

	if (json == stdout)
		run_print_failures(run, stderr);
	else
		run_print_table(run, stdout);
	if (json) {
		ret = run_write_json(run, json);
		if (json != stdout && fclose(json) == EOF && !ret)
			ret = -errno;
		if (ret && json == stdout)
			streams_failed("run", ret);
		else if (ret)
			fprintf(stderr, "vmirq run: --json %s: %s\n", run->options->json,
				strerror(-ret));
		if (ret)
			return EXIT_FAILED;
	}
	return run_is_good(run) ? EXIT_OK : EXIT_FAILED;
}

static enum exit_code run_with(struct run *run)
{
	const char *name = run->options->json;
	enum exit_code ret = run_choose_sources(run);
	FILE *json = NULL;

	if (ret != EXIT_OK)
		return ret;
	/* A name that cannot be written is better known before the run than after it. */
	if (name) {
		json = strcmp(name, "-") == 0 ? stdout : fopen(name, "we");
		if (!json) {
			fprintf(stderr, "vmirq run: --json %s: %s\n", name, strerror(errno));
			return EXIT_USAGE;
		}
	}
	ret = choose_cpu(run);
	if (ret == EXIT_OK) {
		carry_out(run);
		ret = report(run, json);
		vmm_destroy(run->vmm);
	} else if (json && json != stdout) {
		fclose(json);
	}
	return ret;
}

enum exit_code command_run(int argc, char **argv)
{
	struct run_options options = {
		.irqchip = VMIRQ_IRQCHIP_SOFT,
		.vcpus = 2,
		.timeout_s = 120,
	};
	enum exit_code ret = run_options_parse(&options, argc, argv);
	struct run *run;

	if (ret != EXIT_OK)
		return ret;
	if (options.help) {
		run_help();
		return EXIT_OK;
	}
	if (!streams_report(argv[0]))
		return EXIT_FAILED;
	/* The latencies of all sources make it large. */
	run = calloc(1, sizeof(*run));
	if (!run) {
		fputs("vmirq run: no memory\n", stderr);
		return EXIT_FAILED;
	}
	run->options = &options;
	pthread_mutex_init(&run->turn, NULL);
	catch_signals();
	ret = run_with(run);
	pthread_mutex_destroy(&run->turn);
	for (uint32_t i = 0; i < run->sources; i++)
		services_free(&run->source[i].services);
	free(run);
	return ret;
}
