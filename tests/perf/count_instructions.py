#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: count_instructions.py PROGRAM

How many instructions a call is, counted by valgrind's callgrind, which no load on the machine changes.
The limits are what GCC 12 made of them at -O2 on x86-64, and a tenth; the loop's and the PLT's are in it.
A limit that is passed is not raised without saying what the instructions are for.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

CALLS = 200
# case: (function to look at, instructions a call)
CASES = {
    'fresh': ('measure_signal', 56),
    'pending': ('measure_signal', 56),
    'post_mask': ('measure_post_mask', 235),
    'route': ('measure_route', 557),
    'message': ('measure_message', 231),
    'ipi': ('measure_ipi', 136),
    'cluster': ('measure_cluster', 1358),
    'state': ('measure_state', 880),
    'level': ('measure_level', 1072),
    # A vector's GSI, its route and its irqfd; where the kernel reads it, with many at once.
    'bind': ('measure_bind', 795),
    'bind_kernel': ('measure_bind_kernel', 980),
}


def count(program, case, function, directory):
    out = os.path.join(directory, case)
    done = subprocess.run(
        ['valgrind', '--tool=callgrind', '--collect-atstart=no', '--toggle-collect=' + function,
         '--callgrind-out-file=' + out, program, case],
        capture_output=True, text=True, timeout=120, check=False,
        # Meson has freed memory filled.
        env=dict(os.environ, MALLOC_PERTURB_='0'))
    if done.returncode == 77:
        return None
    if done.returncode:
        sys.exit('%s: exit code %d\n%s' % (case, done.returncode, done.stderr))
    with open(out, encoding='ascii') as file:
        total = re.search(r'^(?:summary|totals): (\d+)', file.read(), re.M)
    return int(total.group(1)) / CALLS


def main():
    if not shutil.which('valgrind'):
        print('SKIP: valgrind is not installed')
        sys.exit(77)
    failed = 0
    with tempfile.TemporaryDirectory(prefix='vmirq-test-') as directory:
        for case, (function, measured) in CASES.items():
            n, limit = count(sys.argv[1], case, function, directory), measured * 1.1
            if n is None:
                print('skipped %s: there is no /dev/kvm to be used' % case)
                continue
            # Far fewer: what was counted is not the call.
            good = measured * 0.5 <= n <= limit
            failed += not good
            print('%s %s: %.1f instructions, at most %.1f' % ('ok' if good else 'FAILED', case, n,
                                                             limit))
    sys.exit(1 if failed else 0)


main()
