# SPDX-License-Identifier: MIT
"""What the tests of the command share: run it bounded, check the laws of its account."""
import ast
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import traceback

VMIRQ = sys.argv[1]
VERDICTS = {'coalesced', 'no_route', 'no_target', 'apic_disabled', 'bad_vector', 'bad_message',
            'eventfd_merged', 'deassigned', 'rte_masked', 'pic_masked', 'remote_irr'}


class Skip(Exception):
    """This machine lacks what the test needs."""


# Of `vmirq run`.
KINDS = {'call', 'bypass', 'eventfd', 'msi', 'vhost-user-blk', 'vhost-user-net', 'guest-blk', 'e1000',
         'mailbox', 'msix', 'ipi', 'pirq-msi', 'pirq-intx', 'pirq-timer'}


def vmirq(*args, seconds=30, **how):
    return subprocess.run([VMIRQ, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=seconds, check=False, **how)


def start(*args, **how):
    return subprocess.Popen([VMIRQ, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **how)


def children_of(pid):
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            name, rest = path.read_text().split(' (', 1)[1].rsplit(') ', 1)
        except OSError:
            continue
        if int(rest.split()[1]) == pid:
            found.append((int(path.parent.name), name))
    return found


def child_of(process, begins):
    """The pid of the child whose program's name begins so, once it is there."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        for pid, name in children_of(process.pid):
            if name.startswith(begins):
                return pid
        time.sleep(0.01)
    raise AssertionError(f'no {begins} was started: {ended(process, 1)}')


def processor_time(pid):
    """In hundredths of a second; of one that is gone, more than anybody waits for."""
    try:
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(') ', 1)[1].split()
    except OSError:
        return math.inf
    return int(fields[11]) + int(fields[12])


def wait_until_busy(pid, hundredths):
    """Until it has run for so long: starting takes it less."""
    deadline = time.monotonic() + 20
    while processor_time(pid) < hundredths:
        assert time.monotonic() < deadline, f'process {pid} does nothing'
        time.sleep(0.01)


def gone(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(') ', 1)[1][0]
        except OSError:
            return True
        if state == 'Z':
            return True
        time.sleep(0.01)
    return False


def ended(process, seconds=20):
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return process.returncode, out, err


def has_one_line(text):
    return text.count('\n') == 1 and text.endswith('\n')


def check_source(source):
    name = source['name']
    for hidden in source['unobserved']:
        assert source[hidden] is None, f'{name}: {hidden}'
    if source['unobserved']:
        return
    assert VERDICTS <= set(source['verdicts']), name
    outcomes = source['delivered'] + sum(source['verdicts'].values()) + source['held']
    assert source['raised'] == outcomes, f'{name}: {source}'
    assert source['delivered'] == (source['handled'] + source['pending'] + source['lost'] -
                                   source['extra']), name
    assert source['merged'] <= source['verdicts']['coalesced'], name
    assert all(re.fullmatch('[a-z_]+', name) for name in source['facts']), source['facts']
    if source['own'] is not None:
        assert source['own'] == source['raised'], name
    latency = source['latency_ns']
    if latency is not None:
        assert 0 < latency['p50'] <= latency['p99'] <= latency['max'], name


def check_account(account):
    for key in ('version', 'cpu', 'irqchip', 'vcpus', 'seconds', 'lost', 'extra', 'sources'):
        assert key in account, key
    if account['irqchip'] == 'soft':
        assert all(s['unobserved'] == [] for s in account['sources'])
    for source in account['sources']:
        check_source(source)
    assert account['lost'] == sum(s['lost'] for s in account['sources'])


def run_json(*args, seconds=30, code=0):
    """The account of a run that must end with `code`; stdout has nothing else on it."""
    done = vmirq('run', *args, '--json', '-', seconds=seconds)
    if done.returncode == 77:
        raise Skip(done.stderr.strip())
    assert done.returncode == code, f'{done.returncode}: {done.stderr}'
    account = json.loads(done.stdout)
    check_account(account)
    if code == 0:
        # The kernel's local APIC may deliver a level once more.
        extra = sum(s['extra'] for s in account['sources']
                    if account['irqchip'] == 'soft' or s['kind'] not in ('e1000', 'pirq-intx'))
        assert account['lost'] == 0 and extra == 0, account
        assert account['stopped'] is None and account['error'] is None, account
    return account


def sources(account):
    return {source['name']: source for source in account['sources']}


def temporary_file(content):
    file = tempfile.NamedTemporaryFile(prefix='vmirq-test-')
    file.write(content)
    file.flush()
    return file


def forgotten():
    """A case that stands in the file and in no list."""
    tree = ast.parse(pathlib.Path(sys.argv[0]).read_text())
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return [f.name for f in tree.body if isinstance(f, ast.FunctionDef) and f.name not in named]


def main(*cases):
    """Run the cases; a skipped one does not hide the failure of another."""
    failed, skipped = 0, []
    for name in forgotten():
        print(f'FAILED {name}: nobody runs it')
        failed += 1
    for case in cases:
        start = time.monotonic()
        try:
            case()
            print(f'ok {case.__name__}, {time.monotonic() - start:.1f} s', flush=True)
        except Skip as why:
            skipped.append(f'SKIP: {case.__name__}: {why}')
        except (AssertionError, KeyError, ValueError, OSError, subprocess.TimeoutExpired):
            print(f'FAILED {case.__name__}')
            traceback.print_exc(file=sys.stdout)
            failed += 1
    for line in skipped:
        print(line)
    if failed:
        return 1
    return 77 if skipped else 0
