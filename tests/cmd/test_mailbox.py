# SPDX-License-Identifier: MIT
"""A device process that raises by bits of a shared page: its count against ours and the guest's."""
import json
import os
import signal
import sys

from harness import (Skip, check_account, child_of, children_of, ended, gone, has_one_line, main,
                     run_json, start, vmirq, wait_until_busy)

THREADS = ('--cpu', 'threads')
HOW = ('mailbox', 'mailbox:poll', 'mailbox:pump', 'mailbox:eventfd')
DEVICE = 'vmirq-mailbox'


def needs_kvm():
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be opened')


def check_facts(source, how):
    facts = source['facts']
    if how == 'mailbox:eventfd':
        assert facts == {}, source
        return
    # What the device saw newly set, and what we took from the page: two processes' counts.
    assert facts['swept'] == source['own'] - facts['coalesced_in_page'], source
    assert facts['coalesced_in_page'] <= source['verdicts']['coalesced'], source
    assert facts['rings'] <= source['own'], source
    assert ('parks' in facts) == (how != 'mailbox:pump'), source


def each_way_loses_nothing():
    for how in HOW:
        [source] = run_json(*THREADS, '--source', how, '--count', '100000')['sources']
        assert source['own'] == source['raised'] == 100000, source
        assert source['latency_ns']['samples'] == source['paced'], source
        check_facts(source, how)


def paths_are_told():
    account = run_json(*THREADS, *(part for how in HOW for part in ('--source', how)),
                       '--count', '100')
    assert [s['path'] for s in account['sources']] == [
        'mailbox -> poll -> post', 'mailbox -> poll -> post', 'mailbox -> pump -> post',
        'eventfd -> pump -> post'], account


def a_million_in_a_storm():
    [source] = run_json(*THREADS, '--source', 'mailbox', '--count', '1000000',
                        '--vcpus', '4')['sources']
    assert source['own'] == source['raised'] == 1000000, source
    check_facts(source, 'mailbox')


def paced_raises_are_an_interrupt_each():
    for how in HOW:
        [source] = run_json(*THREADS, '--source', how, '--count', '1000', '--paced')['sources']
        assert source['own'] == source['delivered'] == source['handled'] == 1000, source
        check_facts(source, how)


def any_count():
    for count in range(1, 5):
        [source] = run_json(*THREADS, '--source', 'mailbox', '--count', str(count))['sources']
        assert source['own'] == source['raised'] == count, source


def on_each_irqchip():
    needs_kvm()
    # Each two of irqchip, arguments and way meet once.
    for i, irqchip in enumerate(('soft', 'split', 'kvm')):
        for j, args in enumerate(((), ('--paced',), ('--without', 'signal-msi'))):
            [source] = run_json('--cpu', 'kvm', '--irqchip', irqchip, *args, '--source',
                                HOW[1 + (i + j) % 3], '--count', '500', seconds=60)['sources']
            assert source['own'] == 500, source
            assert ('kernel' in source['path']) == (irqchip != 'soft'), source


def exactly_so_many_however_the_storm_is_seen():
    for count in range(20000, 28000, 1000):
        [source] = run_json(*THREADS, '--source', 'mailbox', '--count', str(count))['sources']
        assert source['own'] == source['raised'] == count, source


def another_way_is_usage():
    done = vmirq('run', *THREADS, '--source', 'mailbox:pigeon')
    assert done.returncode == 2 and has_one_line(done.stderr) and 'pigeon' in done.stderr, done


def ended_by(number, how, word):
    """The device's end is its source's; the other one goes on. What it had raised is accounted for."""
    process = start('run', *THREADS, '--source', how, '--source', 'call', '--count', '60000',
                    '--paced', '--json', '-')
    pid = child_of(process, DEVICE)
    wait_until_busy(pid, 5)
    os.kill(pid, number)
    code, out, err = ended(process, seconds=60)
    assert code == 1, err
    account = json.loads(out)
    check_account(account)
    device, call = account['sources']
    assert account['lost'] == account['extra'] == 0, account
    assert word in device['error'], device
    assert has_one_line(err) and device['error'] in err, err
    assert device['raised'] < 60000, device
    assert call['handled'] == 60000 and call['error'] is None, call
    assert gone(pid)


def a_killed_device_ends_its_source_only():
    for how in HOW[1:]:
        ended_by(signal.SIGKILL, how, f'{DEVICE} was killed by signal 9')


def a_stopped_device_ends_its_source_only():
    ended_by(signal.SIGSTOP, 'mailbox', 'has not answered for 5 s')


def killed_in_the_storm():
    """At no particular moment, so in the midst of a raise, too."""
    for how in HOW[1:]:
        for hundredths in range(5, 10):
            process = start('run', *THREADS, '--source', how, '--count', '1000000000',
                            '--json', '-')
            pid = child_of(process, DEVICE)
            wait_until_busy(pid, hundredths)
            os.kill(pid, signal.SIGKILL)
            code, out, err = ended(process, seconds=30)
            assert code == 1, err
            account = json.loads(out)
            check_account(account)
            assert account['lost'] == account['extra'] == 0, account
            assert 'killed by signal 9' in account['sources'][0]['error'], account


def ctrl_c_gives_the_account_and_leaves_nobody():
    process = start('run', *THREADS, '--source', 'mailbox', '--count', '1000000000', '--json', '-')
    pid = child_of(process, DEVICE)
    wait_until_busy(pid, 10)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 1, err
    account = json.loads(out)
    check_account(account)
    assert account['stopped'] == 'interrupted' and account['lost'] == account['extra'] == 0, account
    check_facts(account['sources'][0], 'mailbox')
    # How many, once, and why no more: not that it ended after as many as it had raised.
    source = account['sources'][0]
    assert source['note'] == f"raised {source['raised']}: --count is 1000000000: interrupted", source
    assert gone(pid)


def a_killed_command_takes_its_device_along():
    process = start('run', *THREADS, '--source', 'mailbox', '--count', '1000000000')
    pid = child_of(process, DEVICE)
    process.kill()
    ended(process)
    assert gone(pid)


def nothing_is_left_behind():
    # For a time, so that the devices are there to be seen: a second, if this machine has the time to look.
    for seconds in ('1', '3', '9'):
        process = start('run', *THREADS, '--source', 'mailbox', '--source', 'mailbox:eventfd',
                        '--seconds', seconds)
        pids = []
        while process.poll() is None and len(pids) < 2:
            pids = [pid for pid, name in children_of(process.pid) if name.startswith(DEVICE)]
        code, out, err = ended(process)
        if len(pids) == 2:
            break
    assert len(pids) == 2, pids
    assert code == 0 and err == '', err
    assert 'coalesced_in_page' in out, out
    assert all(gone(pid) for pid in pids)


def by_hand_it_is_told():
    done = vmirq('mailbox-device')
    assert done.returncode == 1 and has_one_line(done.stderr), done


if __name__ == '__main__':
    sys.exit(main(each_way_loses_nothing, paths_are_told, a_million_in_a_storm,
                  paced_raises_are_an_interrupt_each, any_count, on_each_irqchip,
                  exactly_so_many_however_the_storm_is_seen,
                  another_way_is_usage, a_killed_device_ends_its_source_only,
                  a_stopped_device_ends_its_source_only, killed_in_the_storm,
                  ctrl_c_gives_the_account_and_leaves_nobody,
                  a_killed_command_takes_its_device_along, nothing_is_left_behind,
                  by_hand_it_is_told))
