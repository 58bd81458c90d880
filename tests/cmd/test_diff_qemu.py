#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""vmirq diff --against qemu: a short run of each area, scripts, and a machine without QEMU."""
import json
import os
import sys
import tempfile

from harness import Skip, has_one_line, main, vmirq

AREAS = ('ioapic', 'pic')


def diff(*args, **how):
    done = vmirq('diff', *args, seconds=100, **how)
    if done.returncode == 77:
        assert has_one_line(done.stderr), done.stderr
        raise Skip(done.stderr.strip())
    return done


def diff_json(*args):
    done = diff('--against', 'qemu', *args, '--json', '-')
    assert done.returncode == 0, f'{args}: {done.returncode}\n{done.stderr}'
    return json.loads(done.stdout)


def check_tally(tally):
    known = tally['known_ops']
    assert tally['ops'] == tally['compared'] + tally['not_comparable'] + known, tally
    assert 2 * tally['compared'] >= tally['ops'] > 0, tally
    assert tally['mismatches'] == 0, tally


def each_area_agrees():
    account = diff_json('--ops', '4000', '--seed', '2')
    assert account['against'] == 'qemu'
    assert set(account['areas']) == set(AREAS)
    check_tally(account)
    for tally in account['areas'].values():
        assert tally['ops'] >= 2000
        check_tally(tally)
    for name in account['known_differences']:
        assert account['known_reasons'][name], name


def one_area_alone():
    account = diff_json('--area', 'pic', '--ops', '10')
    assert set(account['areas']) == {'pic'}
    check_tally(account)


def replay(area, text):
    with tempfile.NamedTemporaryFile('w', suffix='.diff') as script:
        script.write(f'config area={area} kernel=qemu chips=1 ids32=0 ids=0,1,2\n' + text)
        script.flush()
        return diff('--replay', script.name)


def scripts_replay():
    done = replay('pic', 'out width=1 at=0x20 value=0x0c\nin width=1 at=0x20\n')
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'no difference\n'


# What must be found: nothing in the table of known differences excuses these, and no area throws them.

def a_wrong_pin_is_found():
    # QEMU takes its input 0 for the PC's timer and raises pin 2; ours is told pin 0.
    done = replay('ioapic', 'write width=4 at=0xfec00000 value=0x14\n'
                  'write width=4 at=0xfec00010 value=0x8035\nline gsi=0 level=1\n')
    assert done.returncode == 1
    assert '# IOAPIC pin 2: soft 0x8035, qemu 0xc035' in done.stderr, done.stderr
    assert '# at operation 3: line gsi=0 level=1' in done.stderr


def a_wrong_request_is_found():
    # Two drive the master's pin 2, and QEMU's slave lowers what the script has raised.
    done = replay('pic', 'line gsi=0x22 level=1\nout width=1 at=0xa1 value=0x80\n'
                  'out width=1 at=0x20 value=0x0c\nin width=1 at=0x21\nline gsi=0x2c level=1\n')
    assert done.returncode == 1
    assert '# 8259 0 IRR: soft 0x0, qemu 0x4' in done.stderr, done.stderr


def what_qemu_has_not_is_refused():
    for text in ('msi data=0x41\n', 'line gsi=48 level=1\n'):
        assert replay('ioapic', text).returncode == 1, text


def without_qemu():
    with tempfile.TemporaryDirectory() as empty:
        done = vmirq('diff', '--against', 'qemu', env=dict(os.environ, PATH=empty))
    assert done.returncode == 77
    assert has_one_line(done.stderr), done.stderr


def a_qemu_that_dies_is_told():
    with tempfile.TemporaryDirectory() as there:
        name = os.path.join(there, 'qemu-system-x86_64')
        with open(name, 'w', encoding='ascii') as script:
            script.write('#!/bin/sh\nexit 3\n')
        os.chmod(name, 0o755)
        done = vmirq('diff', '--against', 'qemu', env=dict(os.environ, PATH=there))
    assert done.returncode == 1
    assert has_one_line(done.stderr) and 'ended with status 3' in done.stderr, done.stderr


def usage():
    for args in (['--against', 'xen'], ['--against', 'qemu', '--area', 'lapic'],
                 ['--area', 'pic,'], ['--area', 'lapic', '--against', 'qemu']):
        done = vmirq('diff', *args)
        assert done.returncode == 2, args
        assert has_one_line(done.stderr), args


if __name__ == '__main__':
    sys.exit(main(usage, without_qemu, a_qemu_that_dies_is_told, scripts_replay,
                  a_wrong_pin_is_found, a_wrong_request_is_found, what_qemu_has_not_is_refused,
                  one_area_alone, each_area_agrees))
