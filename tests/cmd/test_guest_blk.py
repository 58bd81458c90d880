# SPDX-License-Identifier: MIT
"""A disk the guest drives by itself; on threads its driver is here, but rings where a guest would."""
import json
import os
import pathlib
import shutil
import signal
import sys
import time

from harness import Skip, check_account, child_of, ended, has_one_line, main, run_json, start, vmirq

SOURCE = ('--source', 'guest-blk')
KVM = ('--cpu', 'kvm', *SOURCE)
THREADS = ('--cpu', 'threads', *SOURCE)


def needs_the_daemon():
    if not shutil.which('qemu-storage-daemon'):
        raise Skip('qemu-storage-daemon is not installed')


def needs_kvm():
    needs_the_daemon()
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be opened')


def the_guest_reads_it_all():
    needs_kvm()
    [source] = run_json(*KVM, '--count', '2000')['sources']
    assert source['requests'] == 2000 and source['own'] is None, source


def by_a_port():
    needs_kvm()
    for more in ((), ('--without', 'ioeventfd')):
        [source] = run_json('--cpu', 'kvm', '--source', 'guest-blk:pio', '--count', '1000',
                            *more)['sources']
        assert source['requests'] == 1000, source


def without_the_kernels_doorbell_ours_is_rung():
    needs_kvm()
    account = run_json(*KVM, '--count', '2000', '--without', 'ioeventfd')
    assert account['without'] == ['ioeventfd'], account
    assert account['sources'][0]['requests'] == 2000, account


def one_at_a_time_each_is_an_interrupt():
    needs_kvm()
    [source] = run_json(*KVM, '--count', '1000', '--paced')['sources']
    # The first sets the guest going, and one may come from the device's start.
    assert 1001 <= source['handled'] <= 1002, source
    assert source['verdicts']['coalesced'] == 0, source


def two_disks_of_one_busy_cpu_with_x2apic():
    needs_kvm()
    account = run_json(*KVM, *SOURCE, '--count', '500', '--vcpus', '1', '--x2apic', '--busy')
    assert [s['requests'] for s in account['sources']] == [500, 500], account


def one_to_read():
    needs_kvm()
    [source] = run_json(*KVM, '--count', '1')['sources']
    assert source['requests'] == 1, source


def threads_ring_where_a_guest_would():
    needs_the_daemon()
    for kind in ('guest-blk', 'guest-blk:pio'):
        [source] = run_json('--cpu', 'threads', '--source', kind, '--count', '2000')['sources']
        assert source['requests'] == 2000, source


def image_of(pid):
    """The daemon's image, which has no name any more."""
    for path in pathlib.Path(f'/proc/{pid}/fd').iterdir():
        try:
            if 'vmirq-disk' in os.readlink(path):
                return path
        except OSError:
            continue
    return None


def other_data_is_found_by_the_guest():
    needs_kvm()
    process = start('run', *KVM, '--count', '10000', '--paced', '--json', '-')
    pid = child_of(process, 'qemu-storage')
    while not image_of(pid) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.2)
    with open(image_of(pid), 'r+b', buffering=0) as image:
        for sector in range(16384):
            image.seek(sector * 512 + 504)  # its last word
            image.write(b'\xff')
    code, out, err = ended(process, 40)
    if code == 0:
        raise Skip('this machine is through with it before the data are changed')
    account = json.loads(out)
    check_account(account)
    assert 'the data read is not' in account['sources'][0]['error'], account
    assert account['lost'] == 0, account


def a_daemon_killed_in_mid_run_is_no_lost_interrupt():
    needs_kvm()
    process = start('run', *KVM, '--count', '10000', '--paced', '--json', '-')
    pid = child_of(process, 'qemu-storage')
    time.sleep(1)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    code, out, err = ended(process, 40)
    if code == 0:
        raise Skip('this machine is through with it in a second')
    account = json.loads(out)
    assert account['lost'] == account['extra'] == 0, account
    assert 'signal 9' in (account['error'] or account['sources'][0]['error']), account


def ctrl_c_in_mid_run():
    needs_kvm()
    process = start('run', *KVM, '--count', '10000', '--json', '-')
    child_of(process, 'qemu-storage')
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process, 40)
    account = json.loads(out)
    check_account(account)
    assert code == (1 if account['stopped'] else 0), err
    assert account['lost'] == account['extra'] == 0, account


def without_the_daemon_it_is_77():
    done = vmirq('run', *THREADS, env=dict(os.environ, PATH='/nonexistent'))
    assert done.returncode == 77 and has_one_line(done.stderr), done
    assert 'qemu-storage-daemon' in done.stderr, done


if __name__ == '__main__':
    sys.exit(main(the_guest_reads_it_all, by_a_port, without_the_kernels_doorbell_ours_is_rung,
                  one_at_a_time_each_is_an_interrupt, two_disks_of_one_busy_cpu_with_x2apic,
                  one_to_read, threads_ring_where_a_guest_would,
                  other_data_is_found_by_the_guest,
                  a_daemon_killed_in_mid_run_is_no_lost_interrupt, ctrl_c_in_mid_run,
                  without_the_daemon_it_is_77))
