# SPDX-License-Identifier: MIT
"""Everything at once for a time, routes changing under it; and its two kinds that are new: IPIs, MSI-X."""
import json
import os
import signal
import subprocess
import sys
import time

from harness import (VMIRQ, Skip, check_account, ended, has_one_line, main, run_json, sources, start,
                     vmirq)

THREADS = ('--cpu', 'threads')
OURS = tuple(part for kind in ('call', 'bypass', 'eventfd', 'msi', 'mailbox', 'msix', 'ipi')
             for part in ('--source', kind))
CHURNED = {'call', 'bypass', 'eventfd', 'mailbox', 'msix', 'vhost-user-blk', 'guest-blk',
           'vhost-user-net'}
UNITS = {'signals', 'ipis', 'requests', 'route_changes'}


def needs_kvm():
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be opened')


def mixed(*args, seconds=60):
    done = vmirq('bench', '--mixed', *args, '--json', '-', seconds=seconds)
    assert done.returncode == 0, f'{done.returncode}: {done.stderr}'
    account = json.loads(done.stdout)
    check_account(account)
    return account


def check_load(account, seconds):
    """Each did its part, and what they did is what the second's figures say."""
    assert account['churn'] is account['bursts'] is True and account['seconds'] >= seconds, account
    rates = account['rates']
    assert set(rates) == UNITS | {'seconds'} and rates['seconds'] >= seconds, rates
    assert rates['signals'] > 0 and rates['ipis'] > 0, rates
    # The kernel waits for all its readers at each: on a crowded machine that has taken a second.
    assert rates['route_changes'] > 0 or account['irqchip'] != 'soft', rates
    changes = 0
    for source in account['sources']:
        assert (source['churned'] > 0) == (source['kind'] in CHURNED), source
        assert source['handled'] > 0 and source['count'] is None, source
        changes += source['churned']
    # A few are made after the time is up, to put things back.
    assert changes >= int(rates['route_changes'] * rates['seconds']) - 1, account
    ipi = sources(account)['ipi']
    assert ipi['own'] == ipi['handled'] >= int(rates['ipis'] * rates['seconds']) - 1, ipi


def all_kinds_at_once_lose_nothing():
    account = mixed(*THREADS, '--seconds', '2')
    assert account['lost'] == account['extra'] == account['stray'] == 0, account
    check_load(account, 2)
    seen = sources(account)
    assert seen['bypass']['facts']['switched_to_eventfd'] > 0, seen['bypass']
    if 'vhost-user-blk' in seen:
        assert seen['vhost-user-blk']['requests'] > 0 and account['rates']['requests'] > 0, account


def nobody_gets_ahead():
    """Of those that do not wait for the guest; a burst is a hundred, the last one may be cut short."""
    account = mixed(*THREADS, *OURS, '--source', 'pirq-msi', '--source', 'pirq-timer',
                    '--source', 'pirq-timer:handover', '--seconds', '2')
    raised = [s['own'] for s in account['sources'] if s['kind'] != 'ipi']
    assert min(raised) >= 100 and max(raised) - min(raised) <= 200, raised
    handover = sources(account)['pirq-timer:handover']
    assert handover['facts']['handovers'] > 0, handover


def on_each_irqchip():
    needs_kvm()
    for irqchip in ('soft', 'split', 'kvm'):
        account = mixed('--cpu', 'kvm', '--irqchip', irqchip, '--seconds', '1', *OURS)
        assert account['lost'] == account['extra'] == account['stray'] == 0, account
        check_load(account, 1)


def one_that_ends_as_its_irqfd_comes_again():
    """What the kernel finds in an eventfd it injects, and leaves there."""
    needs_kvm()
    for irqchip in ('split', 'kvm'):
        for count in ('64', '65'):
            run_json('--cpu', 'kvm', '--irqchip', irqchip, '--source', 'bypass:flip', '--count', count)


def four_vcpus_x2apic():
    check_load(mixed(*THREADS, *OURS, '--vcpus', '4', '--x2apic', '--seconds', '1'), 1)


def a_time_without_churn():
    account = run_json(*THREADS, *OURS, '--seconds', '1')
    assert account['rates']['route_changes'] == 0, account
    assert all(s['churned'] == 0 and s['handled'] > 0 for s in account['sources']), account


def a_time_one_by_one():
    account = run_json(*THREADS, '--source', 'call', '--source', 'msix', '--paced', '--seconds', '1')
    for source in account['sources']:
        assert source['raised'] == source['handled'] == source['paced'] > 0, source


def a_count_bounds_it():
    account = run_json(*THREADS, *OURS, '--churn', '--seconds', '600', '--count', '3000')
    assert all(s['raised'] == 3000 for s in account['sources']), account
    assert account['rates']['seconds'] < 600 and account['rates']['signals'] > 0, account


def one_that_is_interrupted_is_accounted_for():
    process = start('bench', '--mixed', *THREADS, *OURS, '--seconds', '3600', '--json', '-')
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process, seconds=30)
    assert code == 1 and 'interrupted' in err, err
    account = json.loads(out)
    check_account(account)
    assert account['lost'] == account['extra'] == 0, account


def a_terminal_sees_each_second():
    ours, theirs = os.openpty()
    with subprocess.Popen([VMIRQ, 'bench', '--mixed', *THREADS, *OURS, '--seconds', '2'],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=theirs) as process:
        os.close(theirs)
        seen = b''
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:
            pass  # its other end is closed
        assert process.wait(30) == 0, seen
    os.close(ours)
    assert b'signals' in seen and b'changes of routes a second' in seen, seen


def ipis_are_as_many_as_asked_for():
    for vcpus in (2, 3, 4, 7):
        for count in (1, 2, 3, 4, 5, 1003):
            [ipi] = run_json(*THREADS, '--source', 'ipi', '--count', str(count), '--vcpus',
                             str(vcpus), *(('--x2apic',) if count % 2 else ()))['sources']
            assert ipi['own'] == ipi['delivered'] == ipi['handled'] == count, ipi


def ipis_of_a_real_guest():
    needs_kvm()
    for irqchip in ('soft', 'split', 'kvm'):
        for mode in ((), ('--x2apic',)):
            [ipi] = run_json('--cpu', 'kvm', '--irqchip', irqchip, *mode, '--source', 'ipi',
                             '--count', '500', '--vcpus', '3')['sources']
            assert ipi['own'] == ipi['handled'] == 500, ipi
            assert ipi['path'] == ('ICR -> post' if irqchip == 'soft' else 'ICR -> kernel'), ipi


def msix_vectors_take_their_interrupts():
    for args in ((), ('--paced',)):
        [msix] = run_json(*THREADS, '--source', 'msix', '--count', '4000', *args)['sources']
        assert msix['own'] == msix['raised'] == 4000, msix
        assert not args or msix['handled'] == 4000, msix


def what_cannot_be():
    for args, word in ((('run', '--churn', '--paced'), '--churn'),
                       (('run', '--bursts', '--paced'), '--bursts'),
                       (('run', '--seconds', '0'), '--seconds'),
                       (('run', *THREADS, '--source', 'ipi', '--source', 'ipi'), 'once'),
                       (('run', *THREADS, '--source', 'ipi', '--vcpus', '1'), 'nobody'),
                       (('bench', '--quick', '--mixed'), '--mixed'),
                       (('bench', '--mixed', '--rows', 'msi_post'), '--rows')):
        done = vmirq(*args)
        assert done.returncode == 2 and has_one_line(done.stderr) and word in done.stderr, done


if __name__ == '__main__':
    sys.exit(main(all_kinds_at_once_lose_nothing, nobody_gets_ahead, on_each_irqchip,
                  one_that_ends_as_its_irqfd_comes_again, four_vcpus_x2apic,
                  a_time_without_churn, a_time_one_by_one, a_count_bounds_it,
                  one_that_is_interrupted_is_accounted_for, a_terminal_sees_each_second,
                  ipis_are_as_many_as_asked_for, ipis_of_a_real_guest,
                  msix_vectors_take_their_interrupts, what_cannot_be))
