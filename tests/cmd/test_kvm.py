# SPDX-License-Identifier: MIT
"""Runs of the real guest on /dev/kvm; 77 where there is none."""
import os
import sys

from harness import has_one_line, main, run_json, vmirq

KVM = ('--cpu', 'kvm')
OURS = ('--source', 'call', '--source', 'eventfd', '--source', 'msi')


def a_storm_loses_nothing():
    account = run_json(*KVM, *OURS, '--count', '5000', '--vcpus', '2')
    assert account['cpu'] == 'kvm'
    assert [s['raised'] for s in account['sources']] == [5000] * 3


def each_paced_raise_is_one_handler():
    account = run_json(*KVM, *OURS, '--count', '1000', '--paced')
    for source in account['sources']:
        assert source['delivered'] == source['handled'] == 1000, source


def x2apic():
    run_json(*KVM, *OURS, '--count', '1000', '--x2apic', '--vcpus', '3')


def busy():
    run_json(*KVM, '--source', 'call', '--source', 'msi', '--count', '100', '--busy',
             '--vcpus', '1')


def halted_vcpus_that_look_before_they_sleep():
    run_json(*KVM, *OURS, '--count', '1000', '--halt-poll', '200000', '--vcpus', '3')


def that_a_kick_is_needed_is_told():
    for irqchip, word in (('soft', 'by a signal'), ('split', 'the kernel'), ('kvm', 'the kernel')):
        args = ('--irqchip', irqchip, '--source', 'bypass', '--source', 'mailbox', '--count', '100')
        assert word in run_json(*KVM, *args)['kick'], irqchip
        done = vmirq('run', *KVM, *args)
        assert done.returncode == 0 and 'kick' in done.stdout and word in done.stdout, done


def auto_takes_kvm():
    assert run_json('--source', 'call', '--count', '100')['cpu'] == 'kvm'


def lacking_kvm_is_77_in_one_line():
    done = vmirq('run', *KVM)
    assert done.returncode == 77 and has_one_line(done.stderr), done
    assert '/dev/kvm' in done.stderr and done.stdout == '', done
    account = run_json('--cpu', 'auto', '--source', 'call', '--count', '100')
    assert account['cpu'] == 'threads' and '/dev/kvm' in account['cpu_note'], account
    print('SKIP: /dev/kvm cannot be opened')


if __name__ == '__main__':
    if os.access('/dev/kvm', os.R_OK | os.W_OK):
        sys.exit(main(a_storm_loses_nothing, each_paced_raise_is_one_handler, x2apic, busy,
                      halted_vcpus_that_look_before_they_sleep,
                      that_a_kick_is_needed_is_told, auto_takes_kvm))
    sys.exit(main(lacking_kvm_is_77_in_one_line) or 77)
