# SPDX-License-Identifier: MIT
"""Runs on plain threads, which every machine can do."""
import json
import os
import shutil
import sys
import tempfile

from harness import KINDS, Skip, check_account, main, run_json, sources, vmirq

THREADS = ('--cpu', 'threads')
OURS = ('--source', 'call', '--source', 'eventfd', '--source', 'msi')


def every_kind_is_there_or_skipped_with_a_reason():
    account = run_json(*THREADS, '--count', '500')
    seen = {s['kind'] for s in account['sources']} | {s['kind'] for s in account['skipped']}
    assert seen == KINDS, seen
    assert all(s['why'] for s in account['skipped'])
    for source in account['sources']:
        assert source['raised'] >= (500 if source['own'] is not None else 1), source


def a_storm_on_four_vcpus_loses_nothing():
    account = run_json(*THREADS, *OURS, '--vcpus', '4', '--count', '100000')
    assert [s['raised'] for s in account['sources']] == [100000] * 3


def a_bypass_skips_the_eventfd_and_comes_back_to_it():
    account = run_json(*THREADS, '--source', 'bypass', '--source', 'bypass:flip', '--count', '64000')
    assert account['kick'] is None, account
    steady, flips = account['sources']
    assert steady['path'] == 'bypass -> post', steady
    assert 'bypass' in flips['path'] and 'eventfd' in flips['path'], flips
    assert steady['facts'] == {'bypass': 64000, 'irqfd': 0, 'eventfd': 0, 'switched_to_bypass': 0,
                              'switched_to_irqfd': 0, 'switched_to_eventfd': 0}, steady
    ways = flips['facts']
    assert ways['eventfd'] == ways['switched_to_eventfd'] == 1000, ways
    # A lane's last signal may be the eventfd's.
    assert 996 <= ways['switched_to_bypass'] <= 1000, ways
    assert sum(ways[path] for path in ('bypass', 'irqfd', 'eventfd')) == 64000, ways


def what_a_bypass_may_be():
    done = vmirq('run', *THREADS, '--source', 'bypass:flop')
    assert done.returncode == 2 and 'bypass:flop' in done.stderr, done.stderr


def paced_raises_do_not_coalesce():
    account = run_json(*THREADS, *OURS, '--paced', '--count', '2000', '--vcpus', '3')
    for source in account['sources']:
        assert source['delivered'] == source['handled'] == 2000, source
        assert source['latency_ns']['samples'] == 2000, source


def x2apic_and_busy_guests_take_them_too():
    run_json(*THREADS, *OURS, '--x2apic', '--count', '2000')
    run_json(*THREADS, '--source', 'call', '--busy', '--vcpus', '1', '--count', '500')


def halted_vcpus_that_look_before_they_sleep():
    # Who looks for a whole second is in the way of who raises.
    for ns, count in (('1000', '2000'), ('200000', '2000'), ('1000000000', '300')):
        account = run_json(*THREADS, *OURS, '--halt-poll', ns, '--count', count)
        assert account['halt_poll_ns'] == int(ns), account
    run_json(*THREADS, *OURS, '--halt-poll', '50000', '--paced', '--count', '500')


def one_raise_is_enough_for_a_latency():
    account = run_json(*THREADS, '--source', 'call', '--count', '1', '--vcpus', '64')
    assert account['sources'][0]['latency_ns']['samples'] == 1


def named(*typed):
    return run_json(*THREADS, *(part for name in typed for part in ('--source', name)), '--count', '100')


def a_source_has_the_name_that_was_typed():
    account = named('bypass', 'bypass:flip', 'mailbox:eventfd', 'mailbox', 'bypass:flip',
                    'pirq-msi:worker,call', 'pirq-timer:handover')
    assert [(s['name'], s['kind'], s['arg']) for s in account['sources']] == [
        ('bypass', 'bypass', None), ('bypass:flip', 'bypass', 'flip'),
        ('mailbox:eventfd', 'mailbox', 'eventfd'), ('mailbox', 'mailbox', None),
        ('bypass:flip#2', 'bypass', 'flip'), ('pirq-msi:worker,call', 'pirq-msi', 'worker,call'),
        ('pirq-timer:handover', 'pirq-timer', 'handover')], account


def a_name_is_text_of_bounded_length():
    if not shutil.which('qemu-storage-daemon'):
        raise Skip('qemu-storage-daemon is not installed')
    with tempfile.TemporaryDirectory() as directory:
        # Two with the same end, one whose name is no UTF-8, one with a line's end in it.
        paths = [os.path.join(directory, name, 'x' * 60) for name in ('a', 'b')]
        paths += [os.path.join(directory, 'é').encode() + b'\xff', os.path.join(directory, 'a\nb')]
        for path in paths:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as file:
                file.write(b'x' * 65536)
        account = named(*(b'vhost-user-blk:' + os.fsencode(path) for path in paths))
        table = vmirq('run', *THREADS, '--count', '10', '--source', 'call', *(
            part for path in paths for part in ('--source', b'vhost-user-blk:' + os.fsencode(path))))
    names = [s['name'] for s in account['sources']]
    assert names[1] == names[0] + '#2' and names[0].startswith('vhost-user-blk:...xxx'), names
    assert all(name.isascii() and name.isprintable() and len(name) <= 40 for name in names), names
    assert [s['arg'] for s in account['sources']][:2] == paths[:2], account
    assert account['sources'][2]['arg'].endswith('/???') and '\n' in account['sources'][3]['arg'], names
    rows = table.stdout.splitlines()[2:8]
    assert [row.split()[0] for row in rows] == ['source', 'call'] + names, table.stdout
    assert len({len(row) for row in rows}) == 1, table.stdout


def sources_of_one_kind_have_accounts_of_their_own():
    account = run_json(*THREADS, *('--source', 'msi') * 3, *('--source', 'call') * 2,
                       '--count', '5000')
    assert list(sources(account)) == ['msi', 'msi#2', 'msi#3', 'call', 'call#2']
    assert all(s['raised'] == 5000 for s in account['sources'])


def as_many_sources_as_there_may_be():
    account = run_json(*THREADS, *('--source', 'call') * 32, '--count', '100', '--vcpus', '5')
    assert len(account['sources']) == 32


def a_file_gets_the_json_and_stdout_the_table():
    with tempfile.TemporaryDirectory() as directory:
        name = os.path.join(directory, 'account.json')
        done = vmirq('run', *THREADS, *OURS, '--count', '1000', '--json', name)
        assert done.returncode == 0, done.stderr
        with open(name, encoding='utf-8') as file:
            check_account(json.load(file))
    assert done.stderr == '', done.stderr  # no progress but on a terminal
    for word in ('raised', 'delivered', 'coalesced', 'handled', 'lost', 'Nothing lost'):
        assert word in done.stdout, done.stdout


def a_full_disk_is_told():
    if not os.path.exists('/dev/full'):
        return
    done = vmirq('run', *THREADS, '--source', 'call', '--count', '10', '--json', '/dev/full')
    assert done.returncode == 1 and '/dev/full' in done.stderr, done


if __name__ == '__main__':
    sys.exit(main(every_kind_is_there_or_skipped_with_a_reason,
                  a_storm_on_four_vcpus_loses_nothing,
                  a_bypass_skips_the_eventfd_and_comes_back_to_it, what_a_bypass_may_be,
                  paced_raises_do_not_coalesce,
                  x2apic_and_busy_guests_take_them_too,
                  halted_vcpus_that_look_before_they_sleep,
                  one_raise_is_enough_for_a_latency,
                  a_source_has_the_name_that_was_typed, a_name_is_text_of_bounded_length,
                  sources_of_one_kind_have_accounts_of_their_own,
                  as_many_sources_as_there_may_be, a_file_gets_the_json_and_stdout_the_table,
                  a_full_disk_is_told))
