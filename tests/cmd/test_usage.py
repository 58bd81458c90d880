# SPDX-License-Identifier: MIT
"""Arguments that cannot work: exit 2, and one line on stderr that names the argument."""
import re
import sys

from harness import has_one_line, main, temporary_file, vmirq

WRONG = [
    # arguments, what the line must name
    ((), 'subcommand'),
    (('dance',), "'dance'"),
    (('--dance',), "'--dance'"),
    (('--version', 'now'), "'now'"),
    (('run', 'dance'), "'dance'"),
    (('run', '--dance'), "'--dance'"),
    (('run', '--coun', '5'), "'--coun'"),
    (('run', '--count'), "'--count'"),
    (('run', '--count', ''), '--count'),
    (('run', '--count', '0'), 'must be a whole number from 1 to 1000000000000'),
    (('run', '--cpu', 'threads', '--without', 'irqfd'), "'irqfd'"),
    (('run', '--churn', '--source', 'e1000', '--source', 'msi'), "'--churn'"),
    (('bench', '--rows', 'msi_post', '--mixed'), "without '--rows'"),
    (('run', '--count', '-1'), "'-1'"),
    (('run', '--source', 'pirq-timer', '--pirqs', '-1'), 'a whole number from 1 to 65536'),
    (('boot', '--vcpus', '-1', 'image'), 'a whole number from 1 to 64'),
    (('diff', '--seed', 'x'), 'a whole number from'),
    (('run', '--count', '+1'), "'+1'"),
    (('run', '--count', ' 1'), "' 1'"),
    (('run', '--count', '1e3'), "'1e3'"),
    (('run', '--count', '0x10'), "'0x10'"),
    (('run', '--count', '18446744073709551616'), "'18446744073709551616'"),
    (('run', '--count', '18446744073709551615'), "'18446744073709551615'"),
    (('run', '--vcpus', '0'), "'0'"),
    (('run', '--vcpus', '65'), "'65'"),
    (('run', '--vcpus', '4294967295'), "'4294967295'"),
    (('run', '--vcpus', '4294967297'), "'4294967297'"),
    (('run', '--timeout', '0'), "'0'"),
    (('run', '--timeout', '4294967297'), "'4294967297'"),
    (('run', '--cpu', 'xen'), "'xen'"),
    (('run', '--irqchip', 'none'), "'none'"),
    (('run', '--cpu', 'threads', '--irqchip', 'kvm'), "'kvm'"),
    (('run', '--irqchip', 'split', '--cpu', 'threads'), "'split'"),
    (('run', '--without', 'kvm'), "'kvm'"),
    (('run', '--source', 'guest-blk:doorbell'), 'guest-blk'),
    (('run', '--source', 'e1000:x'), "'e1000:x'"),
    (('run', '--source', 'pirq-intx:x'), "'pirq-intx:x'"),
    (('run', '--source', 'pirq-msi:fast'), "'fast'"),
    (('run', '--source', 'pirq-msi:worker,'), "'worker,'"),
    (('run', '--source', 'pirq-msi:workers'), "'workers'"),
    (('run', '--source', 'pirq-msi:call,call'), "'call,call'"),
    (('run', '--source', 'pirq-msi:worker,call,worker'), "'worker,call,worker'"),
    (('run', '--source', 'pirq-msi:bypass,bypass'), "'bypass,bypass'"),
    (('run', '--source', 'pirq-timer:x'), "'x'"),
    (('run', '--source', 'pirq-timer', '--pirqs', '0'), "'0'"),
    (('run', '--source', 'pirq-timer', '--pirqs', '65537'), "'65537'"),
    (('run', '--source', 'pirq-timer', '--rate', '0'), "'0'"),
    (('run', '--source', 'pirq-timer', '--rate', '1000001'), "'1000001'"),
    (('run', '--source', 'pirq-timer', '--rate', '7', '--paced'), "'7'"),
    (('run', '--source', 'call', '--rate', '7'), "'7'"),
    (('run', '--halt-poll', '1000000001'), "'1000000001'"),
    (('run', '--irqchip', 'kvm', '--halt-poll', '7'), "'7'"),
    (('run', '--source', 'call', '--pirqs', '7'), "'7'"),
    (('run', '--paced=yes'), "'--paced=yes'"),
    (('run', '--source', 'smoke'), "'smoke'"),
    (('run', '--source', ''), '--source'),
    (('run', '--source', 'call:x'), "'call:x'"),
    (('run', '--source', 'vhost-user-blk:'), "'vhost-user-blk:'"),
    (('run', '--source', 'vhost-user-blk:/nonexistent/image'), '/nonexistent/image'),
    (('run', '--source', 'vhost-user-blk:/'), '/'),
    (('run', '--source', 'vhost-user-blk:/dev/null'), '/dev/null'),
    (('run', '--json', ''), '--json'),
    (('run', '--json', '/nonexistent/file'), '/nonexistent/file'),
    (('run',) + ('--source', 'call') * 33, "'call'"),
]


def wrong_arguments_are_named():
    for args, named in WRONG:
        done = vmirq(*args)
        assert done.returncode == 2, f'{args}: {done.returncode}'
        assert done.stdout == '', args
        assert has_one_line(done.stderr) and named in done.stderr, f'{args}: {done.stderr}'


def an_image_shorter_than_a_sector_is_no_disk():
    with temporary_file(b'x' * 511) as image:
        done = vmirq('run', '--source', f'vhost-user-blk:{image.name}')
    assert done.returncode == 2 and image.name in done.stderr, done.stderr


def help_teaches():
    for args in (('--help',), ('-h',), ('help',), ('run', '--help'), ('help', 'run'),
                 ('run', '--count', '5', '--help')):
        done = vmirq(*args)
        assert done.returncode == 0 and not done.stderr, args
        assert 'exit codes' in done.stdout and '77' in done.stdout, args
    assert 'run' in vmirq('--help').stdout
    for name in ('run', 'boot', 'diff', 'bench'):
        assert vmirq('help', name).stdout == vmirq(name, '--help').stdout, name
    done = vmirq('help', 'nothing')
    assert done.returncode == 2 and 'nothing' in done.stderr and has_one_line(done.stderr), done
    shown = vmirq('run', '--help').stdout
    for word in ('--source', '--count', '--cpu', '--irqchip', '--vcpus', '--paced', '--json',
                 '--timeout', 'call', 'eventfd', 'msi', 'vhost-user-blk', 'vhost-user-net',
                 'guest-blk', 'e1000', 'mailbox', 'pirq-msi', 'pirq-intx', 'pirq-timer', '--pirqs',
                 '--rate', '--bursts', '--halt-poll', 'fairness', '--without', 'lost', 'examples'):
        assert word in shown, word


def help_explains_the_words_of_the_table():
    """What stands in a row's path; and nothing that is said of another line or nowhere."""
    shown = vmirq('run', '--help').stdout
    explained = shown[shown.index('The column `path`'):shown.index('In the table')]
    for word in ('eventfd', 'mailbox', 'vhost-user', 'MSI-X', 'ICR', 'bypass', 'pump', 'poll', 'pirq',
                 'worker', 'IOAPIC', 'post', 'kernel', "the kernel's irqfd"):
        assert re.search(f'^  (.*, )?{word}(,.*)?   ', explained, re.M), word
    assert 'lane' not in shown and 'same card' not in shown, shown


def version_is_one_line():
    done = vmirq('--version')
    assert done.returncode == 0 and has_one_line(done.stdout), done
    assert done.stdout.startswith('vmirq '), done.stdout


if __name__ == '__main__':
    sys.exit(main(wrong_arguments_are_named, an_image_shorter_than_a_sector_is_no_disk,
                  help_teaches, help_explains_the_words_of_the_table, version_is_one_line))
