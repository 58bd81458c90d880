# SPDX-License-Identifier: MIT
"""Who raises past the eventfd while somebody looks makes no system call for it, nor does who looks: counted by
strace, of all processes and threads of a run, small and large."""
import json
import shutil
import subprocess
import sys
import tempfile

from harness import VMIRQ, Skip, check_account, main

SMALL, LARGE, FEW = 20000, 1000000, 5000
# Threads that have nothing to do, and the command's own looks at how far the signals are (poll);
# how often depends on the time and not on the signals.
WAITS = {'clock_nanosleep', 'sched_yield', 'poll'}
# What a signal by an eventfd costs: who raises writes, who hears is woken and reads.
SIGNALS = {'write', 'read', 'preadv2', 'epoll_wait', 'epoll_pwait'}


def strace(log, *command):
    return subprocess.run(['strace', '-f', '-c', '-o', log, *command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          check=False)


def needs_strace():
    if not shutil.which('strace'):
        raise Skip('strace is not installed')
    if strace('/dev/null', 'true').returncode:
        raise Skip('strace may not trace here')


def calls_of(file):
    calls = {}
    for line in file.read().splitlines()[2:]:
        words = line.split()
        if len(words) >= 5 and words[-1] != 'total' and words[3].isdigit():
            calls[words[-1]] = int(words[3])
    return calls


def run(source, count, *options):
    """Its account, and how often each system call was made."""
    with tempfile.NamedTemporaryFile('r', prefix='vmirq-test-') as log:
        done = strace(log.name, VMIRQ, 'run', '--cpu', 'threads', '--source', source, '--count',
                      str(count), *options, '--json', '-')
        assert done.returncode == 0, done.stderr
        account = json.loads(done.stdout)
        check_account(account)
        assert account['lost'] == account['extra'] == 0, account
        return account['sources'][0], calls_of(log)


def total(calls, names):
    return sum(calls.get(name, 0) for name in names)


def check_rings(source, calls):
    """Every call that signals goes with a park: none is left for a raise that met somebody looking."""
    facts = source['facts']
    # A ring is heard once for each park, and there may be another that comes while it is.
    assert facts['rings'] <= facts['parks'], source
    assert total(calls, ['write']) <= 2 * facts['parks'] + 50, (source, calls)
    assert total(calls, SIGNALS) <= 6 * facts['parks'] + 200, (source, calls)


def they_do_not_grow_with_the_signals():
    needs_strace()
    small_source, small = run('mailbox', SMALL)
    large_source, large = run('mailbox', LARGE)
    assert large_source['own'] == LARGE, large_source
    check_rings(small_source, small)
    check_rings(large_source, large)
    grown = LARGE - SMALL
    calls = total(large, large) - total(large, WAITS) - total(small, small) + total(small, WAITS)
    signals = total(large, SIGNALS) - total(small, SIGNALS)
    print(f'{grown} more raises: {calls} more calls that are not waits, {signals} of them to '
          f'signal; of {small_source["own"]} raises, {small_source["paced"]} one at a time, '
          f'{small_source["facts"]["swept"]} were found with {small_source["facts"]["rings"]} rings')
    assert calls < grown / 10, (small, large)
    assert signals < grown / 100, (small, large)


def nor_with_a_bypass():
    needs_strace()
    # Busy: a vCPU that halts is woken, and how often it finds the time to depends on strace.
    _, small = run('bypass', SMALL, '--busy')
    source, large = run('bypass', LARGE, '--busy')
    assert source['facts']['bypass'] == LARGE, source
    calls = total(large, large) - total(large, WAITS) - total(small, small) + total(small, WAITS)
    signals = total(large, SIGNALS) - total(small, SIGNALS)
    print(f'bypass: {LARGE - SMALL} more raises, {calls} more calls, {signals} of them to signal')
    assert calls < 1000, (small, large)
    assert signals < 500, (small, large)


def by_eventfd_they_do():
    """So that the cases above can fail: the same process, one write for each."""
    needs_strace()
    _, calls = run('mailbox:eventfd', FEW)
    assert total(calls, ['write']) >= FEW, calls


if __name__ == '__main__':
    sys.exit(main(they_do_not_grow_with_the_signals, nor_with_a_bypass, by_eventfd_they_do))
