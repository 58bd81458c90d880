# SPDX-License-Identifier: MIT
"""The kernel's irqchips: what they hide is said, and the rest holds."""
import os
import sys

from harness import KINDS, Skip, has_one_line, main, run_json, sources, vmirq

OURS = ('--source', 'call', '--source', 'eventfd', '--source', 'msi')
VECTORS = ['merged', 'redelivered', 'pending']
RAISES = ['raised', 'delivered', 'verdicts', 'held']


def needs_kvm():
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be opened')


def run(irqchip, *args):
    return run_json('--cpu', 'kvm', '--irqchip', irqchip, *args, seconds=60)


def storm(irqchip):
    account = run(irqchip, *OURS, '--count', '3000')
    assert account['irqchip'] == irqchip and account['cpu'] == 'kvm'
    by_name = sources(account)
    assert by_name['call']['unobserved'] == by_name['msi']['unobserved'] == VECTORS, account
    assert by_name['eventfd']['unobserved'] == RAISES + VECTORS, account
    assert by_name['call']['raised'] == by_name['call']['own'] == 3000, account
    for source in account['sources']:
        assert source['paced'] < source['handled'] <= 3000, source


def paced(irqchip):
    account = run(irqchip, *OURS, '--count', '1000', '--paced')
    for source in account['sources']:
        assert source['own'] == source['handled'] == 1000, source
        assert source['latency_ns']['samples'] == 1000, source


def all_kinds(irqchip):
    account = run(irqchip, '--count', '300')
    seen = {s['kind'] for s in account['sources']} | {s['kind'] for s in account['skipped']}
    assert seen == KINDS, seen
    for source in account['sources']:
        if source['kind'] in ('vhost-user-blk', 'guest-blk'):
            assert source['requests'] == 300, source


def without_irqfd(irqchip):
    account = run(irqchip, *OURS, '--count', '1000', '--without', 'irqfd')
    assert account['without'] == ['irqfd']
    eventfd = sources(account)['eventfd']
    assert eventfd['unobserved'] == VECTORS and eventfd['raised'] == 1000, eventfd


def a_trigger_that_posts_nothing(irqchip):
    """What the kernel does not read goes by a call, and no path is said to be a bypass."""
    for without, path, way in ((), "the kernel's irqfd", 'eventfd'), (('irqfd',), 'kernel', 'irqfd'):
        args = [arg for name in without for arg in ('--without', name)]
        seen = sources(run(irqchip, '--source', 'bypass', '--count', '500', *args))['bypass']
        assert seen['path'] == path and seen['facts'][way] == 500, seen


def without_signal_msi(irqchip):
    account = run(irqchip, *OURS, '--count', '500', '--without', 'signal-msi')
    assert [s['own'] for s in account['sources']] == [500] * 3, account


def x2apic_and_more_vcpus(irqchip):
    run(irqchip, *OURS, '--count', '500', '--x2apic', '--vcpus', '4')


def every_case(irqchip):
    needs_kvm()
    for case in (storm, paced, all_kinds, without_irqfd, a_trigger_that_posts_nothing,
                 without_signal_msi, x2apic_and_more_vcpus):
        print(irqchip, case.__name__)
        case(irqchip)


def split():
    every_case('split')


def kvm():
    every_case('kvm')


def a_level_that_the_kernel_cannot_resample_is_77():
    needs_kvm()
    done = vmirq('run', '--irqchip', 'kvm', '--without', 'resample', '--source', 'e1000')
    assert done.returncode == 77 and has_one_line(done.stderr), done


if __name__ == '__main__':
    sys.exit(main(split, kvm, a_level_that_the_kernel_cannot_resample_is_77))
