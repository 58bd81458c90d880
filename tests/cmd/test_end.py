# SPDX-License-Identifier: MIT
"""Runs that do not end well: killed daemon, Ctrl-C, time-out. None hangs, each account holds."""
import json
import os
import shutil
import signal
import sys

from harness import (Skip, check_account, child_of, ended, gone, main, start, vmirq,
                     wait_until_busy)

LONG = ('run', '--cpu', 'threads', '--count', '1000000000', '--json', '-')


def daemon_of(process):
    """In mid-run: to start takes it less."""
    pid = child_of(process, 'qemu-storage')
    wait_until_busy(pid, 10)
    return pid


def needs_the_daemon():
    if not shutil.which('qemu-storage-daemon'):
        raise Skip('qemu-storage-daemon is not installed')


def daemon_ended_by(number, *words):
    needs_the_daemon()
    process = start('run', '--cpu', 'threads', '--source', 'vhost-user-blk', '--source', 'call',
                    '--count', '30000', '--paced', '--json', '-')
    pid = daemon_of(process)
    os.kill(pid, number)
    code, out, err = ended(process)
    assert code == 1, err
    account = json.loads(out)
    check_account(account)
    disk, call = account['sources']
    assert account['lost'] == account['extra'] == 0, account
    assert disk['error'] in err and any(word in disk['error'] for word in words), disk
    assert disk['requests'] < 30000, disk
    assert call['handled'] == 30000 and call['error'] is None, call


def a_daemon_killed_in_mid_run_ends_its_source_only():
    daemon_ended_by(signal.SIGKILL, 'killed by signal 9')


def a_daemon_that_leaves_in_mid_run_ends_its_source_only():
    # It closes its socket before it ends: which of the two is seen first is a matter of chance.
    daemon_ended_by(signal.SIGTERM, 'qemu-storage-daemon', 'the device is gone')


def run_with_a_stopped_daemon():
    process = start('run', '--cpu', 'threads', '--source', 'vhost-user-blk', '--count', '30000',
                    '--json', '-')
    pid = daemon_of(process)
    os.kill(pid, signal.SIGSTOP)
    return pid, *ended(process)


def a_daemon_that_hangs_is_given_up():
    needs_the_daemon()
    # Where this process was held up, it may have been through by then.
    for _ in range(5):
        pid, code, out, err = run_with_a_stopped_daemon()
        if code:
            break
    assert code == 1, err
    check_account(json.loads(out))
    # In a storm, or in the signals one by one before it.
    assert ' 5 s' in json.loads(out)['sources'][0]['error'], out
    assert gone(pid)


def ctrl_c_prints_what_there_is():
    process = start(*LONG)
    wait_until_busy(process.pid, 30)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 1, err
    account = json.loads(out)
    check_account(account)
    assert account['stopped'] == 'interrupted', account
    assert account['lost'] == account['extra'] == 0, account


def a_killed_command_takes_its_daemon_along():
    needs_the_daemon()
    process = start(*LONG)
    pid = daemon_of(process)
    process.kill()
    ended(process)
    assert gone(pid)


def a_timeout_says_where_everything_is():
    done = vmirq(*LONG, '--timeout', '1', seconds=20)
    assert done.returncode == 1, done.stderr
    account = json.loads(done.stdout)
    check_account(account)
    assert account['stopped'] == 'timed out', account
    for word in ('timed out', 'call:', 'vCPU 0', 'vCPU 1'):
        assert word in done.stderr, done.stderr


if __name__ == '__main__':
    sys.exit(main(a_daemon_killed_in_mid_run_ends_its_source_only,
                  a_daemon_that_leaves_in_mid_run_ends_its_source_only,
                  a_daemon_that_hangs_is_given_up, ctrl_c_prints_what_there_is,
                  a_killed_command_takes_its_daemon_along,
                  a_timeout_says_where_everything_is))
