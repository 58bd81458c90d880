# SPDX-License-Identifier: MIT
"""What `make run` builds: the command and its guests, and no more. `make` builds all."""
import pathlib
import shutil
import subprocess
import sys

from harness import VMIRQ, Skip, main

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(VMIRQ).resolve().parent


def said(*command):
    return subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True, timeout=30,
                          check=True).stdout


def objects(*targets):
    """The objects and programs that are made for these targets: the last word but one of each command."""
    commands = said('ninja', '-C', str(BUILD), '-t', 'commands', *targets).splitlines()
    return [line for line in commands if ' -o ' in line]


def make_names_the_target():
    if not shutil.which('make'):
        raise Skip('make is not installed')
    lines = said('make', '--no-print-directory', '-n', 'run').splitlines()
    assert 'scripts/build build what-runs' in lines, lines
    for target in ('all', 'install', 'lint'):
        assert 'scripts/build build' in said('make', '--no-print-directory', '-n', target).splitlines()


def the_target_is_what_runs():
    if not (BUILD / 'build.ninja').exists():
        raise Skip('not in a build directory')
    made = '\n'.join(objects('what-runs'))
    for wanted in ('-o vmirq ', 'guests/tests/hello.elf', 'cmd_vmirq_run_mailbox_device.c.o'):
        assert wanted in made, wanted
    for other in (' -o tests/', ' -o examples/', ' -o fuzz/'):
        assert other not in made, other
    assert len(objects('what-runs')) * 2 < len(objects('all')), len(objects('all'))


if __name__ == '__main__':
    sys.exit(main(make_names_the_target, the_target_is_what_runs))
