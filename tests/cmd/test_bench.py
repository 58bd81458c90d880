# SPDX-License-Identifier: MIT
"""vmirq bench: what it says must hang together. Nothing is asserted of any figure."""
import json
import pathlib
import shutil
import sys
import tempfile

from harness import Skip, has_one_line, main, vmirq

ROWS = ['msi_post', 'msi_post_pending', 'msi_post_batch', 'msi_post_contended', 'cross_core',
        'wake_parked', 'eventfd_path', 'route_update', 'route_update_fire', 'bring_up',
        'mask_pending', 'bypass_register', 'dirq', 'level_cycle', 'state', 'ipi', 'dynamic_msi',
        'kvm_inject', 'guest_round_trip', 'scale']
BOUNDS = {'ratio_floor_max', 'ratio_peer_min', 'ours_over_peer_max', 'p99_max', 'values_max'}


def close(a, b):
    return abs(a - b) <= 1e-5 * max(abs(a), abs(b))


def check_side(side):
    if side is not None:
        assert 0 <= side['p50'] <= side['p99'] <= side['max'], side
        assert side['runs'] > 0, side


def check_ratio(ratio, above, below):
    if above is None or below is None:
        assert ratio is None, ratio
    elif below['p50'] > 0:
        assert close(ratio, above['p50'] / below['p50']), (ratio, above, below)


def is_met(case):
    """The verdict, found anew from what else the JSON says."""
    ours, target, values = case['ours'], case['target'], case['values']
    if ours is None:
        return False
    met = [case['ratio_peer'].get(peer) is not None and case['ratio_peer'][peer] >= limit
           for peer, limit in target.get('ratio_peer_min', {}).items()]
    met += [case['ratio_peer'].get(peer) is not None and 1 / case['ratio_peer'][peer] <= limit
            for peer, limit in target.get('ours_over_peer_max', {}).items()]
    met += [name in values and values[name] <= limit
            for name, limit in target.get('values_max', {}).items()]
    if 'ratio_floor_max' in target:
        ratio = case['ratio_floor']
        met.append(ratio is not None and ratio <= target['ratio_floor_max'])
    if 'p99_max' in target:
        met.append(ours['p99'] <= target['p99_max'])
    return all(met)


def check_case(case):
    for field in ('name', 'unit', 'note', 'ours', 'floor', 'peers', 'ratio_floor', 'ratio_peer',
                  'target', 'values', 'met'):
        assert field in case, (field, case)
    # A further case may be there for comparison only.
    assert set(case['target']) <= BOUNDS and (case['target'] or case['name']), case
    assert case['note'], case['name']
    for side in [case['ours'], case['floor'], *case['peers'].values()]:
        check_side(side)
    check_ratio(case['ratio_floor'], case['ours'], case['floor'])
    assert set(case['ratio_peer']) == set(case['peers']), case
    for name, peer in case['peers'].items():
        check_ratio(case['ratio_peer'][name], peer, case['ours'])


def check_row(row):
    for case in [row, *row['cases']]:
        check_case(case)
    assert row['met'] == all(is_met(case) for case in [row, *row['cases']]), row
    assert row['lost'] == 0 and row['error'] is None, row


def bench(*args, code=0):
    done = vmirq('bench', '--quick', *args, '--json', '-', seconds=60)
    assert done.returncode == code, (done.returncode, done.stderr)
    shown = json.loads(done.stdout)
    for field in ('kernel', 'processor', 'cpus', 'kvm', 'load_before', 'load_after'):
        assert field in shown['machine'], field
    assert shown['quick'] is True
    for row in shown['rows']:
        check_row(row)
    return shown


def two_rows_are_measured():
    shown = bench('--rows', 'state,msi_post_pending')
    rows = {row['name']: row for row in shown['rows']}
    assert list(rows) == ['msi_post_pending', 'state'], list(rows)
    for row in rows.values():
        assert row['ours'] is not None and row['floor'] is not None, row
        if shown['machine']['kvm']:
            assert row['peers'] and None not in row['peers'].values(), row
        else:
            assert '/dev/kvm' in row['note'], row


def a_row_of_two_threads_is_measured():
    row = bench('--rows=wake_parked')['rows'][0]
    assert row['ours'] is not None and set(row['peers']) == {'eventfd_read', 'epoll_wait'}, row
    calls = row['values'].get('system_calls_not_parked')
    assert calls is None or calls == 0, row


def a_row_of_what_is_not_there_stands():
    for row in bench('--rows', 'msi_post_batch,dirq')['rows']:
        if row['ours'] is None:
            assert not row['met'] and 'Not measured' in row['note'], row


def the_table_says_the_same():
    done = vmirq('bench', '--quick', '--rows', 'state')
    assert done.returncode == 0, done.stderr
    for word in ('state', 'ours', 'floor', 'p50', 'p99', 'target', 'load'):
        assert word in done.stdout, (word, done.stdout)


def plots_are_drawn():
    with tempfile.TemporaryDirectory(prefix='vmirq-test-') as directory:
        done = vmirq('bench', '--quick', '--rows', 'state', '--plot', directory)
        if not shutil.which('gnuplot'):
            assert done.returncode == 77 and has_one_line(done.stderr), done
            raise Skip('no gnuplot; bench says so')
        assert done.returncode == 0, done.stderr
        assert '<svg' in (pathlib.Path(directory) / 'state.svg').read_text(), directory


def wrong_arguments_are_named():
    for args, named in ((('--rows', 'msi_past'), "'msi_past'"), (('--rows', 'state,'), "''"),
                        (('--rows',), '--rows'), (('--quickly',), "'--quickly'"),
                        (('state',), "'state'"), (('--json', ''), '--json'),
                        (('--json', '/nonexistent/file'), '/nonexistent/file'),
                        (('--plot', '/nonexistent/directory'), '/nonexistent/directory')):
        done = vmirq('bench', *args)
        assert done.returncode == 2 and done.stdout == '', (args, done)
        assert has_one_line(done.stderr) and named in done.stderr, (args, done.stderr)


def help_teaches():
    done = vmirq('bench', '--help')
    assert done.returncode == 0 and not done.stderr, done
    for word in ROWS + ['--rows', '--quick', '--json', '--plot', 'ratio_floor', 'ratio_peer',
                        'peer', 'floor', 'p99', 'examples', 'exit codes', '77']:
        assert word in done.stdout, word


if __name__ == '__main__':
    sys.exit(main(two_rows_are_measured, a_row_of_two_threads_is_measured,
                  a_row_of_what_is_not_there_stands, the_table_says_the_same, plots_are_drawn,
                  wrong_arguments_are_named, help_teaches))
