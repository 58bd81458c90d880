# SPDX-License-Identifier: MIT
"""Host interrupts: bound to messages, to a level, and timers by the thousand."""
import json
import os
import re
import resource
import shutil
import signal
import sys
import time

from harness import (Skip, check_account, ended, has_one_line, main, run_json, start, vmirq)

THREADS = ('--cpu', 'threads')
TIMERS = ('--source', 'pirq-timer')
MSIS = ('--source', 'pirq-msi', '--source', 'pirq-msi:call', '--source', 'pirq-msi:worker',
        '--source', 'pirq-msi:worker,call')
OTHERS = tuple(part for kind in ('bypass', 'eventfd', 'mailbox', 'mailbox:eventfd', 'msix', 'ipi')
               for part in ('--source', kind))


def needs_kvm():
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be opened')


def services_agree(source, n):
    """What the JSON says of the services follows from the services."""
    pirqs = source['pirqs']
    each = pirqs['services']
    assert len(each) == pirqs['n'] == n, pirqs['n']
    assert (pirqs['min'], pirqs['max']) == (min(each), max(each)), pirqs
    assert (pirqs['first'], pirqs['last']) == (each[0], each[-1]), pirqs
    assert abs(pirqs['mean'] - sum(each) / n) < 0.001 * pirqs['mean'], pirqs
    index = sum(each) ** 2 / (n * sum(x * x for x in each))
    assert abs(pirqs['fairness'] - index) < 0.00001, (pirqs['fairness'], index)
    assert sum(each) <= source['facts']['runs'], source['facts']
    return pirqs


def all_are_served_alike(source, n, count):
    assert source['own'] == count, source['own']
    pirqs = services_agree(source, n)
    assert pirqs['saturated'] is True, pirqs
    assert pirqs['fairness'] >= 0.999, pirqs['fairness']
    # Whoever is raised again waits for all others once, and for none twice.
    assert pirqs['max'] - pirqs['min'] <= 1, (pirqs['min'], pirqs['max'])
    assert pirqs['worst_wait_runs'] == n - 1, pirqs['worst_wait_runs']
    assert source['facts']['runs'] == count, source['facts']


def thousands_are_served_alike():
    account = run_json(*THREADS, *TIMERS, '--pirqs', '4096', '--count', '1000000', '--vcpus', '3',
                       seconds=120)
    [source] = account['sources']
    all_are_served_alike(source, 4096, 1000000)
    assert sum(source['pirqs']['services']) > 900000, source['pirqs']['mean']


def on_kvm_too():
    needs_kvm()
    [source] = run_json('--cpu', 'kvm', *TIMERS, '--pirqs', '1000', '--count', '200000',
                        seconds=60)['sources']
    all_are_served_alike(source, 1000, 200000)


def on_the_kernels_irqchips_too():
    needs_kvm()
    for irqchip in ('split', 'kvm'):
        account = run_json('--irqchip', irqchip, *TIMERS, *MSIS, '--pirqs', '300', '--count',
                           '20000', seconds=60)
        timer, fast, call, worker, both = account['sources']
        all_are_served_alike(timer, 300, 20000)
        assert 'raised' in fast['unobserved'], fast
        assert call['raised'] == worker['raised'] == both['raised'] == 20000, account
        assert all(s['handled'] > 0 for s in account['sources']), account


def a_trigger_skips_what_it_may():
    places = [THREADS]
    if os.access('/dev/kvm', os.R_OK | os.W_OK):
        places += [('--cpu', 'kvm'), ('--irqchip', 'split'), ('--irqchip', 'kvm')]
    for place in places:
        fast, worker = run_json(*place, '--source', 'pirq-msi:bypass', '--source',
                                'pirq-msi:worker,bypass', '--count', '3000')['sources']
        ours = '--irqchip' not in place
        # With the switch off, and where the kernel reads the eventfd, there is nobody to skip it to.
        assert fast['facts']['bypass' if ours else 'eventfd'] == 3000, fast['facts']
        assert worker['facts']['eventfd'] == 3000 and worker['facts']['bypass'] == 0, worker
        assert 0 < worker['facts']['runs'] <= 3000 and fast['handled'] > 0, worker
        if ours:
            assert fast['raised'] == 3000 and fast['verdicts']['eventfd_merged'] == 0, fast
    done = vmirq('run', *THREADS, '--source', 'pirq-msi:call,bypass')
    assert done.returncode == 2 and has_one_line(done.stderr), done


def without_signal_msi_the_worker_has_them():
    needs_kvm()
    account = run_json('--irqchip', 'split', '--without', 'signal-msi', *MSIS, '--count', '1000')
    for source in account['sources']:
        assert 'worker' in source['path'] and source['facts']['runs'] > 0, source


def each_way_of_a_message():
    account = run_json(*THREADS, *MSIS, '--count', '20000')
    fast, call, worker, both = account['sources']
    for source in account['sources']:
        assert source['raised'] == source['own'] == 20000, source
        assert 0 < source['handled'] <= 20000, source
    # An eventfd's writes may be joined, calls not; and only a worker runs, no more often than it is raised.
    for source in (call, both):
        assert source['verdicts']['eventfd_merged'] == 0, source
    for source in (fast, call):
        assert source['facts'] == {} and source['pirqs'] is None, source
        assert 'worker' not in source['path'], source
    for source in (worker, both):
        read = 20000 - source['verdicts']['eventfd_merged']
        assert source['handled'] <= source['facts']['runs'] <= read, source
        assert source['facts']['wakes'] <= source['facts']['runs'], source
        assert sum(source['pirqs']['services']) == source['facts']['runs'], source
        services_agree(source, 2)


def paced_none_is_coalesced():
    account = run_json(*THREADS, *MSIS, *TIMERS, '--paced', '--count', '1000', '--pirqs', '100')
    for source in account['sources']:
        assert source['delivered'] == source['handled'] == 1000, source
    timer = account['sources'][-1]
    assert timer['pirqs']['saturated'] is False and timer['pirqs']['worst_wait_ns'] is None, timer
    assert sum(timer['pirqs']['services']) == 1000, timer['pirqs']


def few_raises_of_many():
    for pirqs, count in (('1', '1'), ('1', '3000'), ('300', '1'), ('300', '7'), ('65536', '40')):
        [source] = run_json(*THREADS, *TIMERS, '--pirqs', pirqs, '--count', count)['sources']
        assert source['raised'] == source['own'] == int(count), source['raised']


def expirations_are_raised_or_merged():
    # The second rate is more than anybody can take.
    for rate, count, pirqs in (('500', '20000', '100'), ('1000000', '5000', '8')):
        [source] = run_json(*THREADS, *TIMERS, '--rate', rate, '--count', count, '--pirqs',
                            pirqs)['sources']
        facts = source['facts']
        assert facts['expirations'] == source['raised'] + facts['expirations_merged'], source
        assert source['raised'] == int(count) and source['own'] == int(count), source
        assert services_agree(source, int(pirqs))['saturated'] is False
    assert facts['expirations_merged'] > 0, facts


def the_worker_is_taken_away_all_the_time():
    [source] = run_json(*THREADS, '--source', 'pirq-timer:handover', '--pirqs', '500', '--count',
                        '1000000', seconds=60)['sources']
    assert source['facts']['handovers'] > 0, source['facts']
    all_are_served_alike(source, 500, 1000000)


def many_sources_share_the_vectors():
    account = run_json(*THREADS, *TIMERS * 6, '--source', 'call', '--count', '2000', '--vcpus', '5')
    assert [s['raised'] for s in account['sources']] == [2000] * 7


def an_end_in_the_midst_has_its_account():
    for how in ((), ('--rate', '10')):
        process = start('run', *THREADS, *TIMERS, *how, '--count', '1000000000', '--json', '-')
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        code, out, err = ended(process)
        assert code == 1, err
        account = json.loads(out)
        check_account(account)
        assert account['stopped'] == 'interrupted' and account['lost'] == 0, account
        assert 0 < account['sources'][0]['raised'] < 1000000000, account


def limited(n=80):
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


def soft_limited():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))


def descriptors_that_cannot_be_had():
    done = vmirq('run', *THREADS, *TIMERS, '--rate', '100', preexec_fn=limited)
    assert done.returncode == 77 and has_one_line(done.stderr), done
    assert 'needs 98 descriptors' in done.stderr and 'may have 80' in done.stderr, done
    assert done.stdout == '', done
    # What it says that it needs is enough, also for others beside it.
    for sources, vcpus in ((TIMERS, '2'), (TIMERS * 2 + MSIS[:2], '4'), (TIMERS + OTHERS, '4')):
        args = ('run', *THREADS, *sources, '--vcpus', vcpus, '--rate', '5000', '--count', '100')
        done = vmirq(*args, preexec_fn=limited)
        assert done.returncode == 77, done
        needed = int(re.search('needs ([0-9]+) ', done.stderr)[1])
        done = vmirq(*args, preexec_fn=lambda n=needed: limited(n))
        assert done.returncode == 0 and needed < 400, done
    done = vmirq('run', *THREADS, *TIMERS, '--rate', '5000', '--count', '3000', '--pirqs', '150',
                 preexec_fn=soft_limited)
    assert done.returncode == 0, done
    # Without a rate they take none.
    done = vmirq('run', *THREADS, *TIMERS, '--pirqs', '5000', '--count', '3000', preexec_fn=limited)
    assert done.returncode == 0, done


def a_level_is_unmasked_at_its_eoi():
    if not shutil.which('qemu-system-x86_64'):
        raise Skip('qemu-system-x86_64 is not installed')
    places = [THREADS]
    if os.access('/dev/kvm', os.R_OK | os.W_OK):
        places += [('--cpu', 'kvm'), ('--irqchip', 'split')]
    for place in places:
        for how in (('--paced',), ()):
            [source] = run_json(*place, '--source', 'pirq-intx', '--count', '1000' if how else '2000',
                                *how)['sources']
            facts = source['facts']
            assert source['requests'] >= (1000 if how else 1), source
            assert 0 < facts['unmasks'] <= source['handled'], source
            assert source['handled'] <= facts['runs'], source
            # A run is an assertion or meets one; each handler that found a cause had an interrupt.
            assert source['requests'] <= source['handled'], source


def the_longest_path_has_room():
    """In the table each row is as wide as the next."""
    if not shutil.which('qemu-system-x86_64'):
        raise Skip('qemu-system-x86_64 is not installed')
    done = vmirq('run', *THREADS, '--source', 'pirq-intx', '--source', 'call', '--count', '10')
    rows = [line for line in done.stdout.splitlines()
            if line.startswith(('source ', 'pirq-intx ', 'call '))]
    assert done.returncode == 0 and len(rows) == 3, done
    assert len({len(row) for row in rows}) == 1, rows


def on_the_kernels_ioapic_a_level_cannot_be():
    done = vmirq('run', '--irqchip', 'kvm', '--source', 'pirq-intx')
    assert done.returncode == 77 and has_one_line(done.stderr) and 'EOI' in done.stderr, done


if __name__ == '__main__':
    sys.exit(main(thousands_are_served_alike, on_kvm_too, on_the_kernels_irqchips_too,
                  a_trigger_skips_what_it_may, without_signal_msi_the_worker_has_them,
                  each_way_of_a_message, paced_none_is_coalesced, few_raises_of_many, expirations_are_raised_or_merged,
                  the_worker_is_taken_away_all_the_time, many_sources_share_the_vectors,
                  an_end_in_the_midst_has_its_account, descriptors_that_cannot_be_had,
                  a_level_is_unmasked_at_its_eoi, the_longest_path_has_room,
                  on_the_kernels_ioapic_a_level_cannot_be))
