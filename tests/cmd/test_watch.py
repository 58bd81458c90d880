# SPDX-License-Identifier: MIT
"""A source that waits in vain: what is said of it, and what waits at the vCPU is not called lost."""
import ctypes
import json
import os
import pathlib
import sys
import time

from harness import Skip, check_account, ended, main, sources, start, vmirq

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


def ptrace(request, tid):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, tid, None, None) != 0:
        raise Skip(f'ptrace: {os.strerror(ctypes.get_errno())}')


def threads(pid):
    return sorted(int(path.name) for path in pathlib.Path(f'/proc/{pid}/task').iterdir())


def wait_for(what, seconds):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, 'it does not come'
        time.sleep(0.05)


def a_vcpu_that_stands_still():
    """Its interrupt is pending to the end: a failure, but no loss, and the vCPU took nothing else."""
    process = start('run', '--cpu', 'threads', '--vcpus', '1', '--source', 'call', '--paced',
                    '--count', '1000000000', '--json', '-')
    try:
        # The library's, the vCPU's and the source's come after main's, in that order.
        wait_for(lambda: len(threads(process.pid)) == 4, 10)
        time.sleep(0.2)
        vcpu, source = threads(process.pid)[2:]
        ptrace(PTRACE_SEIZE, vcpu)
        ptrace(PTRACE_INTERRUPT, vcpu)
        os.waitpid(vcpu, WALL)
        # The account follows at once, and then it is waited for the vCPU.
        wait_for(lambda: source not in threads(process.pid), 40)
        time.sleep(1)
        ptrace(PTRACE_DETACH, vcpu)
        code, out, err = ended(process, seconds=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert code == 1, (code, err)
    account = json.loads(out)
    check_account(account)
    call = sources(account)['call']
    assert call['pending'] == account['pending'] == 1, account
    assert account['lost'] == account['extra'] == call['lost'] == 0, account
    assert call['own'] == call['raised'] == call['handled'] + 1, call
    for words in ('no handler within 5 s', 'pending at the vCPU', 'its vCPU took nothing meanwhile'):
        assert words in call['error'], call['error']
    assert 'pending 1' in err and 'lost' not in err, err


def a_timeout_shows_what_does_not_get_on():
    """And that alone, with what the other vectors do in a line."""
    process = start('run', '--cpu', 'threads', '--vcpus', '2', '--source', 'call', '--source', 'pirq-timer',
                    '--count', '1000000000', '--timeout', '7', '--json', '-')
    try:
        wait_for(lambda: len(threads(process.pid)) >= 7, 10)
        # Each has had its turn alone, of two seconds at most.
        time.sleep(4.5)
        # Main's, the pump's and then the vCPUs'.
        vcpu = threads(process.pid)[3]
        ptrace(PTRACE_SEIZE, vcpu)
        ptrace(PTRACE_INTERRUPT, vcpu)
        os.waitpid(vcpu, WALL)
        err = ''
        while not err.rstrip().endswith('pending 0') and 'vCPU 1: taken' not in err:
            line = process.stderr.readline()
            assert line, err
            err += line
        ptrace(PTRACE_DETACH, vcpu)
        code, _, _ = ended(process, seconds=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert code == 1, (code, err)
    stuck = [line for line in err.splitlines() if line.startswith('    ') and '(vCPU' in line]
    # One of the two, whose thread it was.
    assert len(stuck) == 9 and any(all(f'(vCPU {n}, ' in line for line in stuck) for n in (0, 1)), err
    assert 'and 24 more vectors that do not get on' in err, err
    assert 'of 2 vectors 1 get on' in err, err


def a_timeout_of_what_gets_on_is_short():
    done = vmirq('run', '--cpu', 'threads', '--source', 'pirq-timer', '--count', '1000000000', '--timeout',
                 '1')
    assert done.returncode == 1, done
    assert 'of 64 vectors 64 get on' in done.stderr and 'held' not in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 5, done.stderr


if __name__ == '__main__':
    sys.exit(main(a_vcpu_that_stands_still, a_timeout_shows_what_does_not_get_on,
                  a_timeout_of_what_gets_on_is_short))
