# SPDX-License-Identifier: MIT
"""Few descriptors: no signal, no hang, one line that is true, and the exit code that goes with it."""
import os
import resource
import shutil
import sys

from harness import Skip, main, vmirq

THREADS = ('--cpu', 'threads')
NEEDS = {'vhost-user-blk': 'qemu-storage-daemon', 'guest-blk': 'qemu-storage-daemon',
         'vhost-user-net': 'dpdk-testpmd', 'e1000': 'qemu-system-x86_64',
         'pirq-intx': 'qemu-system-x86_64'}
ALONE = ('call', 'bypass', 'bypass:flip', 'eventfd', 'msi', 'vhost-user-blk', 'guest-blk', 'e1000',
         'mailbox', 'mailbox:pump', 'mailbox:eventfd', 'msix', 'ipi', 'pirq-msi', 'pirq-msi:worker',
         'pirq-intx', 'pirq-timer')
TOGETHER = [('mailbox', 'call', 'eventfd', 'bypass', 'msix'),
            ('mailbox', 'mailbox:eventfd', 'mailbox:pump', 'mailbox', 'mailbox')]
TOO_MANY = 'Too many open files'


def is_there(name):
    program = NEEDS.get(name.split(':')[0])
    return not program or shutil.which(program)


def limited_to(n):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


def complaints(done):
    """What went wrong, a line each: on stderr, or in the table."""
    return (done.stderr.splitlines() +
            [line for line in done.stdout.splitlines() if 'FAILED' in line])


def sweep(*args, numbers):
    """The first number with which it does what it should; from there on it always does."""
    enough = None
    for n in numbers:
        done = vmirq('run', *args, '--count', '10', preexec_fn=limited_to(n))
        said = complaints(done)
        if done.returncode == 0:
            enough = enough or n
            assert said == [], (n, said)
            continue
        assert enough is None and done.returncode == 1, (args, n, enough, done)
        assert len(said) == 1, (args, n, done)
        # A device's process has no more than we have, and may say so in its own words.
        assert said[0].endswith(TOO_MANY) or 'qemu-' in said[0], (args, n, done)
    assert enough, args
    return enough


def parts(names):
    return tuple(part for name in names for part in ('--source', name))


def each_source_alone():
    for name in filter(is_there, ALONE):
        sweep(*THREADS, *parts([name]), numbers=range(4, 26))


def sources_together():
    for names in TOGETHER:
        sweep(*THREADS, *parts(names), numbers=range(4, 61))


def one_that_needs_more_says_so():
    if not is_there('vhost-user-net'):
        raise Skip('dpdk-testpmd is not installed')
    for n in (4, 12, 20, 31):
        done = vmirq('run', *THREADS, '--source', 'vhost-user-net', preexec_fn=limited_to(n))
        assert done.returncode == 77 and f'may have {n} ' in done.stderr, done


def on_kvm():
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be opened')
    for irqchip in ('soft', 'split', 'kvm'):
        sweep('--cpu', 'kvm', '--irqchip', irqchip, *parts(['call', 'mailbox']), numbers=range(4, 31))
    done = vmirq('diff', '--area', 'lapic', '--ops', '20', preexec_fn=limited_to(11))
    assert done.returncode == 1 and complaints(done)[0].endswith(TOO_MANY), done


if __name__ == '__main__':
    sys.exit(main(each_source_alone, sources_together, one_that_needs_more_says_so, on_kvm))
