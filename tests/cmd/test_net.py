# SPDX-License-Identifier: MIT
"""A storm of packets from the real dpdk-testpmd."""
import glob
import json
import os
import shutil
import signal
import sys
import tempfile

from harness import (Skip, check_account, child_of, ended, gone, has_one_line, main, run_json, start,
                     vmirq, wait_until_busy)

NET = ('--cpu', 'threads', '--source', 'vhost-user-net')


def needs_testpmd():
    if not shutil.which('dpdk-testpmd'):
        raise Skip('dpdk-testpmd is not installed')


def a_storm_loses_nothing():
    needs_testpmd()
    [source] = run_json(*NET, '--count', '5000')['sources']
    assert source['raised'] >= 5000 and source['own'] is None, source
    assert source['requests'] > 256 and source['handled'] > 0, source
    assert source['latency_ns']['samples'] == source['paced'] > 0, source


def a_paced_buffer_is_an_interrupt():
    needs_testpmd()
    [source] = run_json(*NET, '--count', '1000', '--paced')['sources']
    # And those of the ring's first filling, which may coalesce.
    assert 1001 <= source['handled'] <= 1256 and source['paced'] == 1000, source
    assert source['requests'] == 1256, source


def kvm_too():
    needs_testpmd()
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be opened')
    [source] = run_json('--cpu', 'kvm', *NET[2:], '--count', '2000')['sources']
    assert source['raised'] >= 2000, source


def beside_others_it_rests_until_its_turn():
    needs_testpmd()
    account = run_json(*NET, '--source', 'call', '--source', 'eventfd', '--count', '2000')
    assert [s['raised'] >= 2000 for s in account['sources']] == [True] * 3, account


def killed_in_mid_run_it_ends_its_source_only():
    needs_testpmd()
    process = start('run', *NET, '--source', 'call', '--count', '100000', '--paced', '--json', '-')
    pid = child_of(process, 'dpdk-testpmd')
    # It looks for a new connection once a second.
    wait_until_busy(pid, 120)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    code, out, err = ended(process)
    if code == 0:
        raise Skip('this machine is through with it before that')
    account = json.loads(out)
    check_account(account)
    net, call = account['sources']
    assert account['lost'] == account['extra'] == 0, account
    assert 'signal 9' in (net['error'] or account['error']), account
    assert call['error'] is None, call


def without_testpmd_the_kind_is_77():
    done = vmirq('run', *NET, env=dict(os.environ, PATH='/nonexistent'))
    assert done.returncode == 77 and has_one_line(done.stderr), done
    assert 'dpdk-testpmd' in done.stderr, done


def nothing_is_left():
    needs_testpmd()
    with tempfile.TemporaryDirectory() as directory:
        process = start('run', *NET, '--count', '1000', env=dict(os.environ, TMPDIR=directory))
        pid = child_of(process, 'dpdk-testpmd')
        code, out, err = ended(process)
        assert code == 0, (out, err)
        assert gone(pid)
        assert not glob.glob(directory + '/*')


if __name__ == '__main__':
    sys.exit(main(a_storm_loses_nothing, a_paced_buffer_is_an_interrupt, kvm_too,
                  beside_others_it_rests_until_its_turn,
                  killed_in_mid_run_it_ends_its_source_only, without_testpmd_the_kind_is_77,
                  nothing_is_left))
