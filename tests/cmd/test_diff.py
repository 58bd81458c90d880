#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""vmirq diff: a short run of each area, the account of it, scripts, usage."""
import json
import os
import sys
import tempfile

from harness import Skip, has_one_line, main, vmirq

AREAS = ('lapic', 'ioapic', 'pic', 'pit', 'msi', 'routing', 'irqfd')


def diff_json(*args):
    done = vmirq('diff', *args, '--json', '-', seconds=100)
    if done.returncode == 77:
        assert has_one_line(done.stderr), done.stderr
        raise Skip(done.stderr.strip())
    assert done.returncode == 0, f'{args}: {done.returncode}\n{done.stderr}'
    return json.loads(done.stdout)


def check_tally(tally):
    known = tally['known_ops']
    assert tally['ops'] == tally['compared'] + tally['not_comparable'] + known, tally
    assert 2 * tally['compared'] >= tally['ops'] > 0, tally
    assert tally['mismatches'] == 0, tally


def each_area_agrees():
    for area in AREAS:
        account = diff_json('--area', area, '--ops', '3000', '--seed', '2')
        assert set(account['areas']) == {area}
        assert account['ops'] >= 3000
        check_tally(account)
        check_tally(account['areas'][area])


def all_is_every_area():
    account = diff_json('--ops', '700')
    assert set(account['areas']) == set(AREAS)
    for tally in account['areas'].values():
        check_tally(tally)
    for name in account['known_differences']:
        assert account['known_reasons'][name], name


def the_same_seed_does_the_same():
    first, second = (diff_json('--area', 'msi', '--ops', '2000', '--seed', '9') for _ in range(2))
    first.pop('seconds')
    second.pop('seconds')
    assert first == second


def replay(text):
    with tempfile.NamedTemporaryFile('w', suffix='.diff') as script:
        script.write(text)
        script.flush()
        return vmirq('diff', '--replay', script.name)


CONFIG = 'config area=lapic kernel=full chips=0 ids32=0 ids=0,1,2\n'
HOSTILE = 'config area=routing kernel=full chips=1 ids32=0 ids=0,1,2\n'


def scripts_replay():
    done = replay(CONFIG + '# a comment\nwrite vcpu=0 width=4 at=0xfee00080 value=0x20\n'
                  'read vcpu=0 width=4 at=0xfee00080\nread-cr8 vcpu=0\n')
    if done.returncode == 77:
        raise Skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'no difference\n'


def a_difference_is_told():
    # Both irqchips do as they should; but no such script may pass. Ours is made without the chip; and
    # a line that stands while its route goes stays with the pin in the kernel, which no area throws.
    done = replay(CONFIG + 'route gsi=3 type=1 a=0 b=3\ncommit\n')
    if done.returncode == 77:
        raise Skip(done.stderr.strip())
    assert done.returncode == 1
    assert '# the call returns: soft -95, kernel 0' in done.stderr, done.stderr
    assert '# at operation 2: commit' in done.stderr
    done = replay(HOSTILE + 'line gsi=3 level=1\ncommit\n')
    assert done.returncode == 1
    assert '# 8259 0 state byte 0: soft 0x0, kernel 0x8' in done.stderr, done.stderr


# fd: 0..5 eventfds, 7 a pipe's end, 8 to 10 none, 11 a timer, 12 a file, 13 the same eventfd as 0.
ERRNOS = (
    'irqfd fd=9 gsi=1 flags=4\n', 'irqfd fd=9 gsi=1\n', 'irqfd fd=10 gsi=1 flags=1\n',
    'irqfd fd=7 gsi=1\nirqfd fd=11 gsi=1\nirqfd fd=12 gsi=1 flags=1\n',
    'irqfd fd=0 gsi=1\nirqfd fd=0 gsi=1\nirqfd fd=13 gsi=2\nirqfd fd=13 gsi=2 flags=1\n'
    'irqfd fd=13 gsi=1 flags=1\nirqfd fd=0 gsi=4095\n',
    'irqfd-elsewhere fd=0 gsi=1\nirqfd-elsewhere fd=0 gsi=2\n',
    'route-fill gsi=0 n=4096\ncommit\nroute-fill gsi=1 n=4096\ncommit\ncommit\n',
    'route gsi=1 type=2 a=0xfee00000\nroute gsi=1 type=1 a=0 b=1\ncommit\n',
    'route gsi=1 type=1 a=0 b=1\nroute gsi=1 type=1 a=0 b=2\ncommit\n',
    'route gsi=1 type=1 a=0 b=8\ncommit\nroute gsi=1 type=1 a=2 b=24\ncommit\n',
    'route gsi=1 type=1 a=3 b=0\ncommit\nroute gsi=1 type=0\ncommit\n',
    'route gsi=1 type=2 flags=2 a=0xfee00000\ncommit\nroute gsi=4096 type=2\ncommit\n',
    'msi address_lo=0xfee00000 data=0x41 flags=2\n', 'line gsi=3 level=0xffffffff plain=1\n',
)


def errnos_agree():
    for text in ERRNOS:
        done = replay(HOSTILE + text)
        if done.returncode == 77:
            raise Skip(done.stderr.strip())
        assert done.returncode == 0, f'{text}{done.stderr}'


def what_differs_is_counted():
    account = diff_json('--area', 'pit,routing', '--ops', '8000', '--seed', '4')
    assert set(account['areas']) == {'pit', 'routing'}
    for name in ('no-4096-limit', 'gsi-limit', 'split-pins'):
        assert account['known_differences'][name] > 0, name
    for tally in account['areas'].values():
        check_tally(tally)


def bad_scripts_are_refused():
    for text in ('', 'read vcpu=0\n', CONFIG + 'nonsense\n', CONFIG + 'read vcpu=3 width=4\n',
                 CONFIG + 'read vcpu=0 width=3\n', CONFIG + 'read cpu=0\n',
                 CONFIG + 'lapic-set vcpu=0 reg=0x3fe\n', 'config area=none\n'):
        done = replay(text)
        assert done.returncode == 2, text
        assert has_one_line(done.stderr), text
    assert vmirq('diff', '--replay', os.devnull + '/x').returncode == 2


def usage():
    for args in (['--area', 'none'], ['--ops', '0'], ['--ops', '-1'], ['--seed', 'x'], ['--ops'],
                 ['--what'], ['extra'], ['--json', ''], ['--area', 'irqfd,'], ['--area', ',irqfd'],
                 ['--area', 'irqfd,all']):
        done = vmirq('diff', *args)
        assert done.returncode == 2, args
        assert has_one_line(done.stderr), args
    assert vmirq('diff', '--help').returncode == 0


if __name__ == '__main__':
    sys.exit(main(usage, bad_scripts_are_refused, scripts_replay, a_difference_is_told,
                  errnos_agree, what_differs_is_counted,
                  the_same_seed_does_the_same, all_is_every_area, each_area_agrees))
