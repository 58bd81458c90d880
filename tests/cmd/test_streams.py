# SPDX-License-Identifier: MIT
"""Standard descriptors that are closed when the command starts, or cannot be written."""
import os
import subprocess
import sys
import tempfile

from harness import VMIRQ, has_one_line, main

CALL = ('run', '--cpu', 'threads', '--source', 'call', '--source', 'mailbox', '--count', '200')
SHORT = [
    CALL,
    ('bench', '--quick', '--rows', 'msi_post'),
    ('bench', '--mixed', '--cpu', 'threads', '--source', 'call', '--seconds', '1'),
    ('diff', '--area', 'lapic', '--ops', '10'),
    ('boot', '/dev/null'),
]
HELP = [('--help',), ('--version',), ('help', 'run')] + [(name, '--help') for name in
                                                         ('run', 'bench', 'diff', 'boot')]


def without(closed, *args, **how):
    """Those that are not closed are pipes or, of input, /dev/null."""
    def close():
        for fd in closed:
            os.close(fd)
    return subprocess.run([VMIRQ, *args], stdin=subprocess.DEVNULL, text=True, timeout=60,
                          check=False, preexec_fn=close,
                          **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **how})


def each_closed_one_is_left_alone():
    """What is written to a number that was free may be the guest's memory, or a file."""
    for closed in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        with tempfile.TemporaryDirectory() as directory:
            name = os.path.join(directory, 'account.json')
            done = without(closed, *CALL, '--json', name)
            report = open(name, encoding='utf-8').read() if os.path.exists(name) else ''
        assert done.returncode == (1 if 1 in closed else 0), (closed, done)
        if 1 in closed:
            assert report == '', (closed, report)
        else:
            assert report.startswith('{') and report.endswith('}\n'), (closed, report)
            assert 'Nothing lost' in done.stdout, (closed, done)
        if 1 in closed and 2 not in closed:
            assert has_one_line(done.stderr) and 'standard output' in done.stderr, (closed, done)
        else:
            assert done.stderr == '', (closed, done)


def each_subcommand_says_that_it_cannot_report():
    for args in SHORT + HELP:
        done = without((1,), *args)
        assert done.returncode == 1, (args, done)
        assert has_one_line(done.stderr) and 'standard output' in done.stderr, (args, done)
    done = without((1,), 'run', '--json', '-', '--cpu', 'threads', '--source', 'call')
    assert done.returncode == 1 and has_one_line(done.stderr), done


def a_wrong_argument_is_that_first():
    for closed in ((1,), (0, 1)):
        done = without(closed, 'run', '--dance')
        assert done.returncode == 2 and '--dance' in done.stderr, done


def what_cannot_be_written_is_told():
    if not os.path.exists('/dev/full'):
        return
    for args in HELP + [CALL, CALL + ('--json', '-'), ('bench', '--quick', '--rows', 'msi_post')]:
        with open('/dev/full', 'w', encoding='utf-8') as full:
            done = without((), *args, stdout=full)
        assert done.returncode == 1, (args, done)
        assert has_one_line(done.stderr) and 'No space left' in done.stderr, (args, done)


if __name__ == '__main__':
    sys.exit(main(each_closed_one_is_left_alone, each_subcommand_says_that_it_cannot_report,
                  a_wrong_argument_is_that_first, what_cannot_be_written_is_told))
