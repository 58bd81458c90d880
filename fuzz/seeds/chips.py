"""Seeds of the targets that are one chip each."""
from seeds.encode import d, ns, operations, q, w, write


def dest_map():
    x2apic, enabled, absent = 2, 1, 8
    flat, cluster = 1, 0

    def put(slot, flags, apic_id, ldr=0, dfr=flat):
        # 0x40..0x7f stand for ids around multiples of 255; 0xc0.. for any.
        name = bytes([apic_id]) if apic_id < 0x40 else bytes([0xc0]) + d(apic_id)
        return ('OP_SET', w(slot), flags, name, ldr, dfr)

    def match(way, apic_id):
        return ('OP_MATCH', way, bytes([apic_id]) if apic_id < 0x40 else bytes([0xc0]) + d(apic_id))

    every_way = [match(way, at) for way in range(4) for at in (0, 1, 0xff, 0xffffffff)]
    write('dest_map', [6], {
        'flat-logical': [put(i, enabled, i, 1 << i, flat) for i in range(8)] + every_way,
        'clusters': [put(i, enabled, i, (i // 4) << 4 | 1 << i % 4, cluster) for i in range(8)] + [
            match(1, 0x1f), match(1, 0x23)],
        'x2apic-logical': [put(i, enabled | x2apic, i * 3) for i in range(6)] + [
            match(1, 0xffff), ('OP_NEAR', w(2), 1, 0), ('OP_NEAR', w(5), 1, 1)],
        'ids-past-eight-bits': [
            put(0, enabled | x2apic, 0xff), put(1, enabled | x2apic, 0x100),
            put(2, enabled | x2apic, 0xfffffffe)] + every_way,
        'shared-id-and-removal': [put(i, enabled, 7, 1, flat) for i in range(4)] + [match(0, 7)] + [
            ('OP_REMOVE', w(1)), match(0, 7), ('OP_ALL',)],
        'mode-changes': [
            put(3, enabled, 3, 8, flat), put(3, enabled | x2apic, 3), match(1, 8),
            put(3, absent, 3), ('OP_ALL',), put(3, 0, 3, 8, cluster), match(1, 8)],
    }, operations('dest_map.c'))
    write('dest_map', [9], {
        'all-4096-slots': [put(4095, enabled | x2apic, 4095), put(64, enabled, 64, 1)] + [
            match(0, 4095), match(1, 0xff0000 | 0x8000), ('OP_ALL',)],
    }, operations('dest_map.c'))


def i8259():
    ops = operations('i8259.c')
    setup = [('OP_OUT', port, value) for port, value in (
        (0, 0x11), (1, 0x30), (1, 4), (1, 1), (2, 0x11), (3, 0x38), (3, 2), (3, 1), (1, 0), (3, 0))]
    high = 0x80
    eoi = [('OP_OUT', 2, 0x20), ('OP_OUT', 0, 0x20)]
    write('i8259', [0], {
        'edge-and-eoi': setup + [('OP_PULSE', 1), ('OP_ACKNOWLEDGE',), ('OP_OUT', 0, 0x20)],
        'slave': setup + [('OP_LINE', 12 | high), ('OP_ACKNOWLEDGE',)] + eoi + [('OP_LINE', 12)],
        'level-by-elcr': setup + [
            ('OP_OUT', 4, 0x20), ('OP_LINE', 5 | high), ('OP_ACKNOWLEDGE',), ('OP_OUT', 0, 0x20),
            ('OP_ACKNOWLEDGE',), ('OP_LINE', 5)] + eoi,
        'nesting-and-rotation': setup + [
            ('OP_PULSE', 5), ('OP_ACKNOWLEDGE',), ('OP_PULSE', 3), ('OP_ACKNOWLEDGE',),
            ('OP_OUT', 0, 0xa0), ('OP_OUT', 0, 0xc3), ('OP_OUT', 0, 0x65)],
        'poll': setup + [
            ('OP_PULSE', 4), ('OP_OUT', 0, 0x0c), ('OP_IN', 0), ('OP_OUT', 2, 0x0c), ('OP_IN', 3)],
        'spurious': setup + [
            ('OP_LINE', 7 | high), ('OP_LINE', 7), ('OP_SPURIOUS',), ('OP_PULSE', 15),
            ('OP_OUT', 3, 0xff), ('OP_SPURIOUS',)],
        'automatic-eoi': setup[:3] + [('OP_OUT', 1, 3)] + [
            ('OP_OUT', 0, 0x80), ('OP_PULSE', 0), ('OP_ACKNOWLEDGE',), ('OP_PULSE', 1)],
        'special-mask-and-nesting': setup[:3] + [
            ('OP_OUT', 1, 0x11), ('OP_OUT', 0, 0x68), ('OP_PULSE', 9), ('OP_ACKNOWLEDGE',),
            ('OP_PULSE', 8), ('OP_ACKNOWLEDGE',)],
        'half-initialized': setup[:2] + [
            ('OP_PULSE', 3), ('OP_ACKNOWLEDGE',), ('OP_OUT', 2, 0x10), ('OP_LINE', 9 | high),
            ('OP_RESET',), ('OP_LINE', 9)],
        'saved-and-loaded': setup + [
            ('OP_PULSE', 6), ('OP_SAVE_LOAD', 0), ('OP_SAVE_LOAD', 1),
            ('OP_LOAD', 0, 1, w(1), d(0xff)), ('OP_SET_ASSERTERS', 6, d(1)), ('OP_LINE', 6),
            ('OP_LOAD_BYTES', 1, bytes(15), 0xde)],
        'ocw3-reads': setup + [
            ('OP_PULSE', 3), ('OP_OUT', 0, 0x0a), ('OP_IN', 0), ('OP_OUT', 0, 0x0b), ('OP_IN', 0),
            ('OP_IN', 1), ('OP_IN', 4), ('OP_IN', 5)],
        'any-access': [
            ('OP_ACCESS', 1, 0, 2, d(0x1111)), ('OP_ACCESS', 0, 5, 4),
            ('OP_ACCESS', 7, d(0xffffffff), d(0xffffffff), d(0))],
    }, ops)
    write('i8259', [3], {
        'poll-and-special-mask-by-the-data-sheet': setup + [
            ('OP_PULSE', 4), ('OP_OUT', 0, 0x0c), ('OP_IN', 0), ('OP_OUT', 0, 0x68),
            ('OP_OUT', 1, 0x10), ('OP_PULSE', 5), ('OP_ACKNOWLEDGE',), ('OP_OUT', 0, 0x48),
            ('OP_OUT', 0, 0x0b), ('OP_IN', 0)],
    }, ops)
    # A byte for each callback: 0 = nothing, 1 = the operation that follows.
    write('i8259', [4], {
        'line-lowered-inside-ack': setup[:10] + [
            ('OP_OUT', 4, 0x20), ('OP_LINE', 5 | high, 0), ('OP_ACKNOWLEDGE', 0),
            ('OP_OUT', 0, 0x20, 1, ops['OP_LINE'], 5)],
    }, ops)


def pit():
    def program(counter, mode, count):
        return ('OP_PROGRAM', counter << 6 | mode << 1, w(count))

    write('pit', [0x05], {
        'periodic-with-reinjection': [
            program(0, 2, 0xffff), ('OP_CLOCK', ns(10 ** 9)), ('OP_EXPIRE',), ('OP_ACKED',),
            ('OP_ACKED',), ('OP_UNMASKED',), ('OP_ACKED',)],
        'square-wave-deadlines': [program(0, 3, 1000)] + [('OP_DEADLINE',)] * 4 + [('OP_IN', 0)],
        'one-shot': [
            program(0, 0, 100), ('OP_PULSES', w(50)), ('OP_IN', 0), ('OP_IN', 0),
            ('OP_PULSES', w(60)), ('OP_EXPIRE',), ('OP_IN', 0)],
        'strobes': [program(0, 4, 7), ('OP_DEADLINE',), program(0, 5, 9), ('OP_DEADLINE',)],
        'speaker-gate': [
            program(2, 1, 50), ('OP_OUT', 4, 1), ('OP_PULSES', w(10)), ('OP_IN', 4),
            ('OP_OUT', 4, 0), program(2, 2, 9), ('OP_OUT', 4, 3), ('OP_IN', 4)],
        'count-changed-while-it-runs': [
            program(0, 2, 500), ('OP_PULSES', w(100)), ('OP_OUT', 0, 10), ('OP_OUT', 0, 0),
            ('OP_DEADLINE',), ('OP_DEADLINE',)],
        'latch-and-read-back': [
            program(0, 2, 0x1234), ('OP_OUT', 3, 0), ('OP_IN', 0), ('OP_OUT', 3, 0xc2),
            ('OP_IN', 0), ('OP_IN', 0), ('OP_IN', 0)],
        'bcd': [
            ('OP_PROGRAM', 0x05, w(0x9999)), ('OP_PULSES', w(9000)), ('OP_IN', 0),
            ('OP_PROGRAM', 0x07, w(0xffff)), ('OP_DEADLINE',)],
        'largest-count-and-one': [
            program(0, 2, 0), ('OP_DEADLINE',), program(0, 2, 1), ('OP_DEADLINE',),
            program(0, 3, 1), ('OP_DEADLINE',)],
        'clock-to-its-end': [
            program(0, 2, 2), ('OP_CLOCK', ns(3600 * 10 ** 9)), ('OP_EXPIRE',),
            ('OP_CLOCK', 0x2f, w(0xffff)), ('OP_EXPIRE',), ('OP_CLOCK', 0x80, w(0)), ('OP_EXPIRE',),
            ('OP_LATE', ns(5))],
        'saved-and-loaded': [
            program(0, 3, 999), program(2, 2, 77), ('OP_PULSES', w(300)), ('OP_SAVE_LOAD',),
            ('OP_OUT', 4, 1), ('OP_SAVE_LOAD',), ('OP_LOAD', 0, 1, w(0), d(0)),
            ('OP_LOAD', 1, 1, w(72), d(1)), ('OP_LOAD_BYTES', 1, bytes(60))],
        'any-access': [
            ('OP_ACCESS', 0, 3, 1, bytes(16)), ('OP_ACCESS', 3, w(0x61), 4, bytes(16)),
            ('OP_ACCESS', 6, w(0xffff), d(0xffffffff), bytes(16)), ('OP_POLICY', 0), ('OP_RESET',)],
    }, operations('pit.c'))


def ioapic():
    ops = operations('ioapic.c')
    level, masked, logical = 0x8000, 0x10000, 0x800
    high = 0x80

    def rte(pin, low, dest=1):
        return [('OP_RTE_HIGH', pin, d(dest << 24)), ('OP_RTE_LOW', pin, d(low))]

    write('ioapic', [0x08], {
        'edge': rte(4, 0x41) + [('OP_LINE', 4 | high), ('OP_LINE', 4), ('OP_EOI', 0x41, 0)],
        'level-and-eoi': rte(5, level | 0x51) + [
            ('OP_LINE', 5 | high), ('OP_EOI', 0x51, 1), ('OP_LINE', 5), ('OP_EOI_OF_PIN', 5)],
        'two-asserters': rte(5, level | 0x51) + [
            ('OP_LINE', 5 | high), ('OP_LINE', 5 | high), ('OP_LINE', 5), ('OP_EOI', 0x51, 1),
            ('OP_LINE', 5), ('OP_EOI', 0x51, 1)],
        'masked-and-unmasked': rte(6, level | masked | 0x61) + [
            ('OP_LINE', 6 | high), ('OP_RTE_LOW', 6, d(level | 0x61)), ('OP_EOI', 0x61, 1)],
        'level-turned-edge': rte(7, level | 0x71) + [
            ('OP_LINE', 7 | high), ('OP_RTE_LOW', 7, d(masked | 0x71)),
            ('OP_RTE_LOW', 7, d(level | 0x71))],
        'nobody-there': [('OP_PRESENT', 0)] + rte(3, level | logical | 0x31, 0xff) + [
            ('OP_LINE', 3 | high), ('OP_PRESENT', 1), ('OP_RTE_HIGH', 3, d(2 << 24))],
        'storm': rte(2, level | 0x42) + [
            ('OP_LINE', 2 | high), ('OP_STORM', 2), ('OP_CLOCK', ns(10 ** 7)), ('OP_RETRY', 2)],
        'rtc-ticks': rte(8, 0x88) + [
            ('OP_LINE_STATUS', 8 | high), ('OP_LINE_STATUS', 8), ('OP_LINE_STATUS', 8 | high),
            ('OP_EOI', 0x88, 0), ('OP_FORGET_TICK', 0), ('OP_FORGET_TICK', 0x81, 0x22),
            ('OP_LINE_STATUS', 8)],
        'every-register':
            [('OP_REGISTER', sel, d(0xffffffff)) for sel in (0, 1, 2, 0x0f, 0x3f, 0x40, 0xff)] + [
            ('OP_READ', 0, 1, 4), ('OP_READ', 0, 1, 8), ('OP_READ', 0, 0, 1)],
        'eoi-register': rte(1, level | 0x33) + [
            ('OP_LINE', 1 | high), ('OP_LINE', 1), ('OP_WRITE', 0, 3, 4, q(0x33))],
        'any-access': [
            ('OP_WRITE', 1, 0x11, 2, q(1)), ('OP_READ', 1, 0xff, 8),
            ('OP_READ', 2, 0, 4, q((1 << 64) - 1)), ('OP_WRITE', 2, 0, 0xff, q(0), q(0))],
        'saved-and-loaded': rte(5, level | 0x51) + [
            ('OP_LINE', 5 | high), ('OP_SAVE_LOAD',), ('OP_LOAD', 1, w(0), d(0xfec01000)),
            ('OP_LOAD_PIN', 5, q(1 << 56 | level | 0x52), 1), ('OP_SET_ASSERTERS', 6, d(2))],
    }, ops)
    write('ioapic', [0x1b], {
        'many-pins': rte(100, level | 0x51) + rte(239, 0x62) + [
            ('OP_LINE', 100 | high), ('OP_SET_ASSERTERS', 239, d(1)), ('OP_EOI', 0x51, 1)],
    }, ops)
    # A byte for each callback: 0 = nothing, 1 = the operation that follows.
    write('ioapic', [0x48], {
        'eoi-inside-deliver': rte(9, level | 0x91) + [
            ('OP_LINE', 9 | high, 1, ops['OP_EOI'], 0x91, 1), ('OP_LINE', 9)],
        'line-lowered-inside-ack': rte(9, level | 0x91) + [
            ('OP_LINE', 9 | high, 0), ('OP_EOI', 0x91, 1, 1, ops['OP_LINE'], 9),
            ('OP_LINE', 9 | high, 0)],
        'masked-inside-deliver': rte(9, level | 0x91) + [
            ('OP_LINE', 9 | high, 1, ops['OP_RTE_LOW'], 9, d(level | masked | 0x92), 0, 0),
            ('OP_RESET',)],
    }, ops)


def state():
    ops = operations('state.c')
    high = 0x80
    head, vcpu, ioapic, pin = 48, 24 + 1056, 32, 24  # sizes in a blob: src/state/blob.h

    def patched(*patches):
        return [('OP_LOAD', len(patches), *(part for at, value in patches
                                            for part in (w(at), d(value))))]

    chips = head + 2 * vcpu
    pic = chips + 2 * ioapic + (24 + 32) * pin
    live = [
        ('OP_RTE', 5, 0, d(0x8051)), ('OP_RTE', 8, 0, d(0x81)), ('OP_RTE', 0x9c, 0, d(0x8061)),
        ('OP_LINE', 5 | high), ('OP_LINE', 8 | high), ('OP_MSI', 1, 0x77), ('OP_STEP', 1)]
    write('state', [], {
        'as-it-was': live + patched() + [('OP_STEP', 0), ('OP_EOI', 0), ('OP_BACK',)],
        'head': live + patched((24, 2)) + patched((32, 3)) + patched((36, 1), (40, 2)),
        'vcpu-events': live + patched((head + 8, 0xff)) + [('OP_STEP', 0), ('OP_STEP', 1)],
        'vcpu-taken-from-the-8259s': live + patched((head + 12, 0x00300020)) + [('OP_STEP', 0)],
        'vcpu-disabled': live + patched((head + 24, 0xfee00000)) + [('OP_STEP', 0)],
        'vcpu-timer': [('OP_REGISTER', 0, 0x32, d(0x20031)), ('OP_REGISTER', 0, 0x38, d(5000))]
            + patched((head + 24 + 16, 100)) + [('OP_TIME', ns(10 ** 6)), ('OP_STEP', 0)],
        'local-apic-any': live + patched((head + 64 + 0x200, 0xffffffff),
                                         (head + 64 + 0x100, 0xffffffff)) + [('OP_STEP', 0)],
        'ioapic-pins': live + patched((chips + ioapic + 5 * pin, 0x8059),
                                      (chips + ioapic + 6 * pin, 0x4000)),
        'ioapic-throttled': live + patched((chips + ioapic + 5 * pin + 8, 9999),
                                           (chips + ioapic + 5 * pin + 16, 1000))
            + [('OP_TIME', ns(10 ** 6)), ('OP_STEP', 0)],
        '8259s': live + patched((pic, 0xff), (pic + 8, 0x2008)) + [('OP_PORT', 0, 0x20)],
        'pit': [('OP_PORT', 6, 0x34), ('OP_PORT', 4, 0), ('OP_PORT', 4, 8)]
            + patched((pic + 32, 0), (pic + 32 + 112, 5)) + [('OP_TIME', ns(10 ** 7))],
        'lines': live + patched((0xfff0, 1)) + [('OP_LINE', 5), ('OP_LINE', 8)],
    }, ops)


def mailbox():
    ops = operations('mailbox.c')
    bits = 128  # where they begin in the page: struct vmirq_mailbox_page
    ones = q((1 << 64) - 1)
    some = [('OP_BIND', 3, 1), ('OP_BIND', 70, 2)]
    write('mailbox', w(99) + w(0), {
        'raised-and-polled': some + [('OP_START',), ('OP_RAISE', 3), ('OP_POLL',),
                                     ('OP_RAISE', 70), ('OP_STOP',), ('OP_RAISE', 200)],
        'raised-and-rung': some + [('OP_RAISE', 3), ('OP_DISPATCH',), ('OP_RAISE', 70),
                                   ('OP_RAISE', 3), ('OP_DISPATCH',)],
        'held-until-bound': [('OP_RAISE', 3), ('OP_POLL',), ('OP_RAISE', 3), ('OP_POLL',),
                             ('OP_BIND', 3, 5), ('OP_UNBIND', 3), ('OP_RAISE', 3), ('OP_RESET',)],
        'page-of-anything': some + [
            ('OP_WORD', w(0), ones), ('OP_WORD', w(64), ones), ('OP_WORD', w(bits), ones),
            ('OP_WORD', w(bits + 8), ones), ('OP_WORD', w(bits + 16), ones), ('OP_POLL',),
            ('OP_FILL', 0xff), ('OP_START',), ('OP_STOP',), ('OP_HOLE',), ('OP_POLL',),
            ('OP_TRUNCATE', 0, w(0))],
        'doorbell-misused': some + [
            ('OP_BLOCKING', 0), ('OP_RING', 0xc0, w(1)), ('OP_DISPATCH',), ('OP_RING', 0, w(1)),
            ('OP_UNRING',), ('OP_DISPATCH',), ('OP_RAISE', 3), ('OP_DISPATCH',)],
        'device-dies': some + [
            ('OP_WATCH', 1), ('OP_START',), ('OP_RAISE', 3), ('OP_HANG_UP',), ('OP_DISPATCH',),
            ('OP_WATCH', 1), ('OP_WATCH', 0), ('OP_STOP',)],
    }, ops)
    write('mailbox', w(99) + w(1000) + bytes([2]), {
        'over-its-rate': some + [
            ('OP_BIND', 4, 3), ('OP_RAISE', 3), ('OP_RAISE', 4), ('OP_RAISE', 70),
            ('OP_DISPATCH',), ('OP_RAISE', 3), ('OP_POLL',), ('OP_CLOCK', ns(10 ** 6)),
            ('OP_POLL',), ('OP_CLOCK', ns(10 ** 7)), ('OP_POLL',), ('OP_DISPATCH',)],
        'rings-in-vain': 4 * [('OP_RING', 0, w(1)), ('OP_DISPATCH',)]
            + [('OP_CLOCK', ns(10 ** 7)), ('OP_POLL',), ('OP_DISPATCH',)],
    }, ops)
