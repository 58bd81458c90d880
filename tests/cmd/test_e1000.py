# SPDX-License-Identifier: MIT
"""Level-triggered interrupts of the e1000 of a real QEMU."""
import json
import os
import shutil
import signal
import sys
import time

from harness import (Skip, check_account, child_of, ended, gone, has_one_line, main, run_json, start,
                     vmirq)

E1000 = ('--source', 'e1000')


def needs_qemu(cpu='threads'):
    if not shutil.which('qemu-system-x86_64'):
        raise Skip('qemu-system-x86_64 is not installed')
    if cpu == 'kvm' and not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be opened')


def paced_each_cause_is_found(cpu):
    [source] = run_json('--cpu', cpu, *E1000, '--count', '1000', '--paced')['sources']
    assert source['requests'] == source['paced'] == 1000, source
    assert source['handled'] >= 1000 and source['own'] is None, source


def a_storm_leaves_no_cause_standing(cpu):
    [source] = run_json('--cpu', cpu, *E1000, '--count', '2000')['sources']
    assert 1000 <= source['requests'] <= source['handled'], source


def beside_others_with_x2apic(cpu):
    run_json('--cpu', cpu, *E1000 * 2, '--source', 'call', '--source', 'eventfd', '--x2apic',
             '--count', '500', '--vcpus', '3')


def fewer_than_asked_for_has_its_reason(cpu):
    [source] = run_json('--cpu', cpu, *E1000, '--count', '20000')['sources']
    assert source['count'] == 5000 and 'capped at 5000' in source['note'], source
    assert source['raised'] >= 5000 or 'while one stands' in source['note'], source
    # An edge more may come at its start.
    [source] = run_json('--cpu', cpu, *E1000, '--count', '1000', '--paced')['sources']
    assert source['raised'] < 1000 or '--count' not in (source['note'] or ''), source


def on_threads():
    needs_qemu()
    for case in (paced_each_cause_is_found, a_storm_leaves_no_cause_standing,
                 beside_others_with_x2apic, fewer_than_asked_for_has_its_reason):
        case('threads')


def on_kvm():
    needs_qemu('kvm')
    for case in (paced_each_cause_is_found, a_storm_leaves_no_cause_standing,
                 beside_others_with_x2apic):
        case('kvm')


def more_cards_than_pins():
    needs_qemu()
    done = vmirq('run', '--cpu', 'threads', *E1000 * 9, '--count', '1')
    assert done.returncode == 1 and '8 cards only' in done.stdout, done


def killed_after(seconds):
    """True: in mid-run, neither before it began nor after it was through."""
    process = start('run', '--cpu', 'threads', *E1000, '--source', 'call', '--count', '5000',
                    '--paced', '--json', '-')
    pid = child_of(process, 'qemu-system')
    time.sleep(seconds)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    code, out, err = ended(process)
    account = json.loads(out)
    check_account(account)
    assert account['lost'] == account['extra'] == 0, account
    assert gone(pid)
    card, call = account['sources']
    if account['error'] or card['error'] is None:
        assert code == (1 if account['error'] else 0), err
        return False
    assert code == 1 and 'signal 9' in card['error'], (card, err)
    assert card['requests'] <= 5000 and call['error'] is None, account
    return True


def killed_in_mid_run_it_ends_its_source_only():
    needs_qemu()
    if not any(killed_after(seconds) for seconds in (0.6, 0.4, 0.3, 0.5, 0.2, 1, 2)):
        print('SKIP: it was never killed in mid-run')


def without_qemu_it_is_77():
    done = vmirq('run', '--cpu', 'threads', *E1000, env=dict(os.environ, PATH='/nonexistent'))
    assert done.returncode == 77 and has_one_line(done.stderr), done
    assert 'qemu-system-x86_64' in done.stderr, done


if __name__ == '__main__':
    sys.exit(main(on_threads, on_kvm, more_cards_than_pins,
                  killed_in_mid_run_it_ends_its_source_only, without_qemu_it_is_77))
