# SPDX-License-Identifier: MIT
"""A disk served by the real qemu-storage-daemon."""
import glob
import os
import shutil
import sys

from harness import Skip, has_one_line, main, run_json, temporary_file, vmirq

THREADS = ('--cpu', 'threads')


def needs_the_daemon():
    if not shutil.which('qemu-storage-daemon'):
        raise Skip('qemu-storage-daemon is not installed')


def an_image_of_our_own_is_read():
    needs_the_daemon()
    [source] = run_json(*THREADS, '--source', 'vhost-user-blk', '--count', '3000')['sources']
    assert source['requests'] == 3000 and source['own'] is None, source
    assert source['error'] is None, source


def paced_requests_are_an_interrupt_each():
    needs_the_daemon()
    [source] = run_json(*THREADS, '--source', 'vhost-user-blk', '--count', '1000',
                        '--paced')['sources']
    # One signal may come from the device's start.
    assert 1000 <= source['handled'] <= 1001, source
    assert source['latency_ns']['samples'] == 1000, source


def a_given_image_is_compared_and_left_alone():
    needs_the_daemon()
    content = os.urandom(100 * 512 + 300)  # not a whole number of sectors
    with temporary_file(content) as image:
        [source] = run_json(*THREADS, '--source', f'vhost-user-blk:{image.name}',
                            '--count', '2000')['sources']
        with open(image.name, 'rb') as file:
            assert file.read() == content
    assert source['requests'] == 2000, source


def a_disk_of_one_sector_will_do():
    needs_the_daemon()
    with temporary_file(b's' * 512) as image:
        run_json(*THREADS, '--source', f'vhost-user-blk:{image.name}', '--count', '100')


def a_capped_count_is_told():
    needs_the_daemon()
    [source] = run_json(*THREADS, '--source', 'vhost-user-blk', '--count', '20001',
                        '--timeout', '25')['sources']
    assert source['requests'] == source['count'] == 20000, source
    assert 'capped' in source['note'], source


def two_disks_at_once():
    needs_the_daemon()
    account = run_json(*THREADS, *('--source', 'vhost-user-blk') * 2, '--count', '500')
    assert [s['requests'] for s in account['sources']] == [500, 500], account


def kvm_too():
    needs_the_daemon()
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be opened')
    [source] = run_json('--cpu', 'kvm', '--source', 'vhost-user-blk', '--count', '1000')['sources']
    assert source['requests'] == 1000, source


def without_the_daemon_the_kind_is_skipped_or_77():
    env = dict(os.environ, PATH='/nonexistent')
    done = vmirq('run', *THREADS, '--source', 'vhost-user-blk', env=env)
    assert done.returncode == 77 and has_one_line(done.stderr), done
    assert 'qemu-storage-daemon' in done.stderr, done
    done = vmirq('run', *THREADS, '--count', '100', env=env)
    skipped = [line for line in done.stderr.splitlines() if 'vhost-user-blk' in line]
    assert done.returncode == 0 and len(skipped) == 1, done
    assert 'vhost-user-blk: skipped' in done.stdout, done


def nothing_is_left_in_the_file_system():
    needs_the_daemon()
    with temporary_file(b'') as marker:
        directory = marker.name + '.d'
    os.mkdir(directory)
    try:
        run_json(*THREADS, '--source', 'vhost-user-blk', '--count', '10')
        done = vmirq('run', *THREADS, '--source', 'vhost-user-blk', '--count', '10',
                     env=dict(os.environ, TMPDIR=directory))
        assert done.returncode == 0, done
        assert not glob.glob(directory + '/*')
    finally:
        shutil.rmtree(directory)


if __name__ == '__main__':
    sys.exit(main(an_image_of_our_own_is_read, paced_requests_are_an_interrupt_each,
                  a_given_image_is_compared_and_left_alone, a_disk_of_one_sector_will_do,
                  a_capped_count_is_told, two_disks_at_once, kvm_too,
                  without_the_daemon_the_kind_is_skipped_or_77,
                  nothing_is_left_in_the_file_system))
