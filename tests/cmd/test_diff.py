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


def scripts_replay():
    done = replay(CONFIG + '# a comment\nwrite vcpu=0 width=4 at=0xfee00080 value=0x20\n'
                  'read vcpu=0 width=4 at=0xfee00080\nread-cr8 vcpu=0\n')
    if done.returncode == 77:
        raise Skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'no difference\n'


def a_difference_is_told():
    # Both irqchips do as they should; but no such script may pass: the kernel refuses the fd, we
    # are asked for a GSI past the limit that only soft has.
    done = replay(CONFIG + 'irqfd fd=0 gsi=5000 flags=0\n')
    if done.returncode == 77:
        raise Skip(done.stderr.strip())
    assert done.returncode == 1
    assert '# the call returns: soft -22, kernel 0' in done.stderr, done.stderr
    assert 'irqfd fd=0 gsi=0x1388' in done.stderr


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
                 ['--what'], ['extra'], ['--json', '']):
        done = vmirq('diff', *args)
        assert done.returncode == 2, args
        assert has_one_line(done.stderr), args
    assert vmirq('diff', '--help').returncode == 0


if __name__ == '__main__':
    sys.exit(main(usage, bad_scripts_are_refused, scripts_replay, a_difference_is_told,
                  the_same_seed_does_the_same, all_is_every_area, each_area_agrees))
