# SPDX-License-Identifier: MIT
"""`vmirq boot`: what it takes, what it refuses, how it ends. For the guests: test_boot_guests.py."""
import fcntl
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

from harness import VMIRQ, Skip, has_one_line, main, temporary_file, vmirq

IMAGES = pathlib.Path(sys.argv[2])
HELLO = str(IMAGES / 'hello.elf')
PASS, FAIL = 33, 35
MARK = b'\0vmirq test guest\0'
F_SETPIPE_SZ = 1031

WRONG = [
    # arguments, what the line must name
    ((), 'no image'),
    (('--vcpus', '2'), 'no image'),
    (('--dance', HELLO), "'--dance'"),
    (('--irqchip', 'xen', HELLO), "'xen'"),
    (('--irqchip',), "'--irqchip'"),
    (('--vcpus', '0', HELLO), "'0'"),
    (('--vcpus', '65', HELLO), "'65'"),
    (('--vcpus', '-1', HELLO), "'-1'"),
    (('--mem', '1', HELLO), "'1'"),
    (('--mem', '3073', HELLO), "'3073'"),
    (('--mem', '1e3', HELLO), "'1e3'"),
    (('--timeout', '0', HELLO), "'0'"),
    (('/nonexistent/image',), '/nonexistent/image'),
    (('/',), 'not a regular file'),
    (('/dev/null',), 'not a regular file'),
    ((VMIRQ,), 'no multiboot header'),
    ((HELLO, 'x' * 4096), 'command line'),
]


def boot_any(*args, **how):
    done = vmirq('boot', *args, **how)
    if done.returncode == 77 and not done.stdout:
        raise Skip(done.stderr.strip())
    return done


def boot(*args, **how):
    done = boot_any(*args, **how)
    assert done.returncode != 77, done
    return done


def header(flags):
    return struct.pack('<III', 0x1badb002, flags, -(0x1badb002 + flags) & 0xffffffff)


def wrong_arguments_are_named():
    for args, named in WRONG:
        done = vmirq('boot', *args)
        assert done.returncode == 2, f'{args}: {done.returncode}'
        assert done.stdout == '', args
        assert has_one_line(done.stderr) and named in done.stderr, f'{args}: {done.stderr}'


def bad_images_are_refused_with_the_reason():
    elf = pathlib.Path(HELLO).read_bytes()
    for content, reason in (
            (b'', 'empty'),
            (b'x' * 10000, 'no multiboot header'),
            (header(0), 'ELF'),
            (header(4), 'memory information'),
            (header(0x10000), 'load addresses'),
            (header(0) + b'x' * 100, 'not an ELF'),
            (elf[:6000], 'end of the file'),
            (b'\0' * 8192 + elf, 'no multiboot header')):
        with temporary_file(content) as image:
            done = vmirq('boot', image.name)
        assert done.returncode == 2 and has_one_line(done.stderr), done
        assert image.name in done.stderr and reason in done.stderr, done.stderr


def a_fifo_is_refused_at_once():
    with tempfile.TemporaryDirectory() as directory:
        name = os.path.join(directory, 'fifo')
        os.mkfifo(name)
        done = vmirq('boot', name, seconds=10)
    assert done.returncode == 2 and 'not a regular file' in done.stderr, done


def the_guest_ends_it_with_its_own_status():
    done = boot(HELLO)
    assert done.returncode == PASS and done.stderr == '', done
    assert done.stdout == 'hello from CPU 0 of 1\nPASS hello\n', done.stdout
    done = boot(HELLO, 'fail')
    assert done.returncode == FAIL and 'FAIL hello' in done.stdout, done


def arguments_go_to_the_guest():
    # Also those that look like ours.
    done = boot('--vcpus=3', '--', HELLO, 'args', 'first', '--timeout', 'second=2')
    assert done.returncode == PASS and 'CPU 0 of 3' in done.stdout, done


def test_guests_are_told_of_the_kernels_local_apics():
    # Where it is not told, this one passes on soft only.
    timer = IMAGES / 'timer.elf'
    done = boot('--irqchip', 'kvm', str(timer))
    assert done.returncode == PASS, done
    for irqchip in ('split', 'kvm'):
        done = boot_any('--irqchip', irqchip, str(IMAGES / 'level.elf'))
        assert done.returncode == 77 and 'not for this irqchip' in done.stdout, done
    # Another image's arguments are its own.
    content = timer.read_bytes()
    assert content.count(MARK) == 1
    with temporary_file(content.replace(MARK, b'x' * len(MARK))) as image:
        done = boot('--irqchip', 'kvm', image.name)
        assert done.returncode == FAIL, done
        done = boot('--irqchip', 'kvm', image.name, 'kvm')
        assert done.returncode == PASS, done


def memory_may_be_little_or_much():
    for mib in ('2', '3072'):
        done = boot('--mem', mib, HELLO)
        assert done.returncode == PASS, f'{mib}: {done}'


def a_guest_that_hangs_is_told_of():
    for irqchip in ('soft', 'split', 'kvm'):
        start = time.monotonic()
        done = boot('--irqchip', irqchip, '--vcpus', '2', '--timeout', '1', HELLO, 'hang')
        assert time.monotonic() - start < 10
        assert done.returncode == 1 and 'PASS' not in done.stdout, done
        lines = done.stderr.splitlines()
        assert HELLO in lines[0] and 'no end after 1 s' in lines[0], lines
        assert lines[1].startswith('  vCPU 0: halted at rip 0x10'), lines
        assert 'interrupts off' in lines[1] and 'IRR 0x61' in lines[1], lines
        [other] = [line for line in lines if line.startswith('  vCPU 1:')]
        assert 'waiting for SIPI' in other, lines
        assert any(line.startswith('  IOAPIC:') for line in lines), lines
        if irqchip == 'soft':
            counts = '    vector 0x61: posted 1, merged 0, taken 0, reset 0, pending 1'
            assert counts in lines, lines


def a_guest_that_spins_is_told_of():
    done = boot('--timeout', '1', HELLO, 'spin')
    assert done.returncode == 1 and '  vCPU 0: running at rip 0x10' in done.stderr, done


def a_triple_fault_is_told_of():
    for irqchip in ('soft', 'split', 'kvm'):
        done = boot('--irqchip', irqchip, HELLO, 'crash')
        assert done.returncode == 1 and 'vCPU 0: triple fault' in done.stderr, done
        assert '  vCPU 0: ' in done.stderr, done


def output_that_nobody_reads_does_not_hold_it():
    boot(HELLO)  # to skip where there is no /dev/kvm
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
        # The guest has to fill the rest in a second, a byte an exit.
        os.write(writer, bytes(4000))
        done = subprocess.run([VMIRQ, 'boot', '--timeout', '1', HELLO, 'flood'], stdout=writer,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              timeout=25, check=False)
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 1 and 'does not stop' in done.stderr, done


def help_teaches():
    done = vmirq('boot', '--help')
    assert done.returncode == 0 and not done.stderr, done
    for word in ('--irqchip', '--vcpus', '--mem', '--timeout', 'exit codes', '77', '0xf4'):
        assert word in done.stdout, word


if __name__ == '__main__':
    sys.exit(main(wrong_arguments_are_named, bad_images_are_refused_with_the_reason,
                  a_fifo_is_refused_at_once, the_guest_ends_it_with_its_own_status,
                  arguments_go_to_the_guest, test_guests_are_told_of_the_kernels_local_apics,
                  memory_may_be_little_or_much,
                  a_guest_that_hangs_is_told_of, a_guest_that_spins_is_told_of,
                  a_triple_fault_is_told_of,
                  output_that_nobody_reads_does_not_hold_it, help_teaches))
