# SPDX-License-Identifier: MIT
"""The test guests on one machine: `vmirq boot` with soft or kvm, or QEMU, which judges the guests.

A guest is told by an argument, `kvm` or `qemu`, which machine it is on where that one is known to
do otherwise than the specification; the reason stands in the guest. `vmirq boot` adds `kvm` by
itself. On soft a guest is told nothing.
"""
import os
import pathlib
import shutil
import subprocess
import sys

from harness import VMIRQ, Skip, main

WHERE = sys.argv[2]
IMAGES = pathlib.Path(sys.argv[3])
PASS = 33
SKIPPED = 77
SECONDS = 25
# These count ticks in a stretch of time: where the host takes the vCPU's thread away in the middle of one there is
# a tick more. What is wrong is wrong each time.
TIMED = {'pit', 'timer'}
TIMES = 3

# The guest; numbers of vCPUs; whether it is for the kernel's local APICs; why it is not run under QEMU's TCG.
GUESTS = [
    ('hello', (1, 2, 4), True, None),
    ('smp', (1, 2, 4), True, None),
    ('ipi', (1, 2, 4), True, None),
    ('delivery', (1, 2, 4), True, None),
    ('priority', (1,), True, None),  # kvm: without nesting
    ('level', (1, 2, 4), False, None),
    ('ioapic', (1, 2, 4), True, None),
    ('pic', (1,), True, None),
    ('pic_modes', (1,), True, None),
    ('pit', (1,), True, None),
    ('timer', (1, 2, 4), True, None),
    ('nmi', (1, 2, 4), True, None),
    ('modes', (1, 2, 4), False, 'its APIC knows no disabled mode'),
]


def command_for(name, vcpus):
    image = str(IMAGES / f'{name}.elf')
    if WHERE == 'qemu':
        return ['qemu-system-x86_64', '-accel', 'tcg', '-machine', 'pc', '-cpu', 'max',
                '-smp', str(vcpus), '-m', '128', '-nodefaults', '-display', 'none',
                '-serial', 'stdio', '-device', 'pc-testdev',
                '-device', 'isa-debug-exit,iobase=0xf4,iosize=0x4',
                '-kernel', image, '-append', 'qemu']
    return [VMIRQ, 'boot', '--irqchip', WHERE, '--vcpus', str(vcpus), '--timeout',
            str(SECONDS - 5), image]


def run(name, vcpus, for_kvm):
    done = subprocess.run(command_for(name, vcpus), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=SECONDS, check=False)
    if WHERE != 'qemu' and done.returncode == 77 and not done.stdout:
        raise Skip(done.stderr.strip())
    said = f'{vcpus} vCPUs: {done.returncode}\n{done.stdout}{done.stderr}'
    if WHERE in ('kvm', 'split') and not for_kvm:
        assert done.returncode == SKIPPED, said
        assert done.stdout.startswith(f'SKIP {name}: not for this irqchip: '), said
        return
    assert done.returncode == PASS, said
    assert done.stdout.endswith(f'PASS {name}\n'), said
    # Nothing is passed over for want of a feature but under QEMU.
    assert WHERE == 'qemu' or 'left out' not in done.stdout, said


def case_for(name, vcpus, for_kvm, not_qemu):
    counts = vcpus if WHERE == 'soft' else vcpus[-1:]

    def case():
        if WHERE == 'qemu' and not_qemu:
            print(f'   {name} is not for {WHERE}: {not_qemu}')
            return
        for count in counts:
            for last in [False] * (TIMES - 1 if name in TIMED else 0) + [True]:
                try:
                    run(name, count, for_kvm)
                    break
                except AssertionError as error:
                    if last:
                        raise
                    print(f'   {name} again, {error}')
    case.__name__ = name
    return case


def cases():
    if WHERE == 'qemu' and not shutil.which('qemu-system-x86_64'):
        print('SKIP: qemu-system-x86_64 is not installed')
        return 77
    if WHERE != 'qemu' and not os.access('/dev/kvm', os.R_OK | os.W_OK):
        print('SKIP: /dev/kvm cannot be opened')
        return 77
    return main(*(case_for(*guest) for guest in GUESTS))


if __name__ == '__main__':
    sys.exit(cases())
