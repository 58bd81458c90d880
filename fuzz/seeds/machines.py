"""Seeds of the targets that are a VM with vCPUs."""
from seeds.encode import d, ns, operations, q, w, write

SVR, LVT_TIMER, TMICT, TDCR, EOI = 0x0f, 0x32, 0x38, 0x3e, 0x0b
INTERRUPTIBLE, HALTED = 1, 2


def lapic():
    take = ('OP_RUN', 0, INTERRUPTIBLE)

    def msi(dest, vector):
        return ('OP_MSI', 0, dest, w(vector))

    def ipi(low, dest=0):
        return ('OP_IPI', 0, d(low), d(dest))

    ops = operations('machine.h')
    write('lapic', [0, 0], {
        'msi-taken': [msi(0, 0x41), msi(0, 0x42), take],
        'nesting': [
            msi(0, 0x41), ('OP_NEXT', 0), msi(0, 0x61), ('OP_NEXT', 0), ('OP_UNACK', 0, w(0x61)),
            ('OP_REGISTER', 0, EOI, d(0)), take],
        'task-priority': [
            ('OP_CR8', 0, 5), msi(0, 0x41), ('OP_STEP', 0, 0), ('OP_LEAVE', 0), ('OP_CR8', 0, 0),
            take],
        'kicked-in-the-guest': [
            ('OP_STEP', 1, INTERRUPTIBLE), msi(1, 0x51), ('OP_RUN', 1, INTERRUPTIBLE | HALTED),
            ('OP_PARK', 1)],
        'ipi-shorthands': [ipi(0x40041), ipi(0x80042), ipi(0xc0043), ipi(0x44, 1), take],
        'init-and-sipi': [
            ipi(0x4500, 1), ipi(0x4699, 1), ('OP_STEP', 1, 0), ('OP_STEP', 1, 0),
            ('OP_STEP', 1, 0)],
        'periodic-timer': [
            ('OP_REGISTER', 0, LVT_TIMER, d(0x20030)), ('OP_REGISTER', 0, TDCR, d(0xb)),
            ('OP_REGISTER', 0, TMICT, d(1000000)), ('OP_CLOCK_DUE', 0), take,
            ('OP_CLOCK', ns(3600 * 10 ** 9)), take, ('OP_REGISTER', 0, TMICT, d(0))],
        'timer-count-before-mode': [
            ('OP_REGISTER', 0, TMICT, d(1)), ('OP_REGISTER', 0, TDCR, d(0)),
            ('OP_REGISTER', 0, LVT_TIMER, d(0x20031)), ('OP_CLOCK', ns(5)),
            ('OP_MMIO', 0, 0, w(0x390), 4), take],
        'tsc-deadline': [
            ('OP_REGISTER', 0, LVT_TIMER, d(0x40032)), ('OP_WRMSR', 0, 2, q(1000)),
            ('OP_CLOCK_DUE', 0), take, ('OP_WRMSR', 0, 2, q((1 << 64) - 1)), take],
        'software-disabled': [
            msi(0, 0x41), ('OP_REGISTER', 0, SVR, d(0xff)), msi(0, 0x42), take,
            ('OP_REGISTER', 0, SVR, d(0x1ff)), take],
        'mode-transitions': [
            ('OP_APIC_BASE', 0, 0xd, 0), msi(0, 0x41), ('OP_APIC_BASE', 0, 9, 0),
            ('OP_APIC_BASE', 0, 1, 0), msi(0, 0x42), ('OP_APIC_BASE', 0, 9, 0), take],
        'error-vector-illegal': [
            ('OP_REGISTER', 0, 0x37, d(3)), ('OP_REGISTER', 0, 0x28, d(0)), ipi(3),
            ('OP_REGISTER', 0, 0x28, d(0)), take],
        'logical-destinations': [
            ('OP_REGISTER', 1, 0x0d, d(2 << 24)), ('OP_REGISTER', 2, 0x0d, d(6 << 24)),
            ('OP_MSI', 1, 6, w(0x45)), ('OP_MSI', 3, 6, w(0x146)), ('OP_REGISTER', 1, 0x0e, d(0)),
            ('OP_RUN', 1, 1), ('OP_RUN', 2, 1)],
        'saved-and-loaded': [
            msi(0, 0x41), msi(0, 0x51), ('OP_NEXT', 0), ('OP_SAVE_LOAD', 0), take,
            ('OP_SET_LAPIC', 0, 1, 3, w(0xf0), d(0x1ff), w(0x210), d(2), w(0x320), d(0x30)), take,
            ('OP_SET_LAPIC', 0, 0, 1, w(0x200), d(1)), ('OP_MP_STATE', 0, 3)],
        'unplug-and-plug': [
            msi(1, 0x41), ('OP_DESTROY_CPU', 1), msi(1, 0x42), ('OP_CREATE_CPU', 1, 0),
            ('OP_CREATE_CPU', 4, 1), ('OP_MSI', 8, 0xf2, w(0x43), d(0x7fffff00)), ('OP_RUN', 4, 1)],
        'stopped': [
            ('OP_ASK', 0, 4), ('OP_ASK', 0, 2), ('OP_ASK', 0, 0), take, ('OP_ASK', 0, 3), take,
            ('OP_RESET_VM',), ('OP_ASK', 0, 5), ('OP_RESET_VM',), ('OP_RESET_CPU', 0)],
        'any-access': [
            ('OP_MMIO', 0, 1, w(0x0f2), 3, q(0x123456)), ('OP_MMIO', 0, 0, w(0xffd), 16),
            ('OP_MMIO', 0, 3, q((1 << 64) - 4), 8, q(0)), ('OP_RDMSR', 0, 0, 0xff),
            ('OP_RDMSR', 0, 3, d(0xbff)), ('OP_WRMSR', 0, 1, q(0xfee00d00))],
        'nmis': [
            ('OP_NMI', 0), ('OP_MSI', 0, 0, w(0x400)), ('OP_MSI', 32, 0, w(0x400)),
            ('OP_STEP', 0, 4), take],
    }, ops)
    write('lapic', [1, 5], {
        'x2apic-ids': [
            ('OP_MSI', 8, 0xff, w(0x41), d(0xffffff00)), ('OP_MSI', 8, 1, w(0x42), d(0x100)),
            ('OP_RUN', 3, 1), ('OP_IPI', 3, d(0x43), d(0xffffffff)), ('OP_RUN', 0, 1),
            ('OP_IPI', 3, d(0x844), d(0x3)), ('OP_REGISTER', 0, 0x3f, d(0x45)), ('OP_RUN', 0, 1),
            ('OP_STEP', 0, HALTED), ('OP_MSI', 0, 0, w(0x46)), ('OP_RUN', 0, 1)],
    }, ops)


def vm():
    ops = operations('machine.h', 'vm.h')
    take = ('OP_RUN', 0, INTERRUPTIBLE)
    level, high = 0x8000, 0x80
    pic = ('OP_PIC_INIT', 0x30, 1, 0, 0)
    write('vm', [0, 0], {
        'ioapic-level': [
            ('OP_IOAPIC_RTE', 10, d(level | 0x51), 0), ('OP_LINE', 10, 1 | high), take,
            ('OP_LINE', 10, 2 | high), ('OP_LINE', 10, 1), ('OP_LINE', 10, 2), take],
        'storm-and-throttle': [
            ('OP_IOAPIC_RTE', 10, d(level | 0x51), 0), ('OP_STORM', 10), ('OP_LINE', 10, 1 | high),
            take, ('OP_STEP', 0, HALTED), ('OP_VM_DUE',), take, ('OP_LINE', 10, 1), take],
        'pic-edge': [
            pic, ('OP_PULSE', 1, 0), take, ('OP_VM_PIO', 1, 0, 1, 0x20), ('OP_PULSE', 12, 0), take],
        'pic-automatic-eoi': [
            ('OP_PIC_INIT', 0x30, 3, 0, 0), ('OP_NOTIFIER', 0, 3, 0), ('OP_LINE', 3, high), take,
            ('OP_LINE', 3, 0)],
        'pit-ticks': [
            pic, ('OP_PIT_PROGRAM', 4, w(0x4000)), ('OP_VM_DUE',), take,
            ('OP_VM_PIO', 1, 0, 1, 0x20), ('OP_CLOCK', ns(10 ** 9)), ('OP_EXPIRE',), take,
            ('OP_VM_PIO', 1, 0, 1, 0x20), take],
        'irqfd-msi': [
            ('OP_ROUTE_MSI', 30, 0, 0, w(0x41)), ('OP_ASSIGN', 0, 30, 0), ('OP_SIGNAL', 0),
            ('OP_SIGNAL', 0), take, ('OP_ROUTE_MSI', 30, 0, 1, w(0x42)), ('OP_SIGNAL', 0),
            ('OP_ROUTE_CLEAR', 30), ('OP_SIGNAL', 0), ('OP_DEASSIGN', 0)],
        'irqfd-to-pins': [
            pic, ('OP_IOAPIC_RTE', 4, d(0x44), 0), ('OP_ASSIGN', 0, 4, 0), ('OP_SIGNAL', 0), take,
            ('OP_LINE', 4, high), ('OP_SIGNAL', 0), ('OP_LINE', 4, 0)],
        'eventfds': [
            ('OP_EVENTFD', 1, w(5)), ('OP_ROUTE_MSI', 31, 0, 0, w(0x43)), ('OP_ASSIGN', 1, 31, 1),
            ('OP_DISPATCH',), take, ('OP_EVENTFD', 1, w(2)), ('OP_DEASSIGN', 1),
            ('OP_KVM_IRQFD', 2, 31, 0), ('OP_KVM_IRQFD', 2, 31, 1)],
        'notifier-lowers-the-line': [
            ('OP_IOAPIC_RTE', 11, d(level | 0x61), 0), ('OP_NOTIFIER', 0, 11, 0),
            ('OP_LINE', 11, high), ('OP_RUN', 0, 1, 1, ops['OP_LINE'], 11, 0),
            ('OP_NOTIFIER', 0, 11, 0)],
        'mask-notifier': [
            ('OP_NOTIFIER', 1, 12, 1), ('OP_LINE', 12, high),
            ('OP_IOAPIC_RTE', 12, d(level | 0x62), 0, 1, ops['OP_LINE'], 12, 0), take],
        'reroute-while-high': [
            ('OP_LINE', 20, high), ('OP_IOAPIC_RTE', 20, d(level | 0x71), 0),
            ('OP_ROUTE_PINS', 20, 4, 21), ('OP_IOAPIC_RTE', 21, d(level | 0x72), 0),
            ('OP_ROUTE_MSI', 20, 0, 0, w(0x73)), ('OP_LINE', 20, 1 | high), take, ('OP_ROUTE_PC',),
            ('OP_LINE', 20, 0), ('OP_LINE', 20, 1), take],
        'whole-tables': [
            ('OP_ROUTE_ALL', 2, 1, 5, 2, 20, 2, 40, 0, 0, w(0x41)), ('OP_PULSE', 5, 0),
            ('OP_ROUTE_ANY', 2, 1, 6, 0, 3, 1, 6, 2, 3), ('OP_PULSE', 6, 0), ('OP_ROUTE_ALL', 0),
            ('OP_GSI_ALLOC',), ('OP_GSI_FREE', 24)],
        'sources': [
            ('OP_SOURCE_ALLOC',), ('OP_LINE', 9, 1 | high), ('OP_LINE', 40, 1 | high),
            ('OP_SOURCE_FREE', 1), ('OP_LINE', 127, high), ('OP_LINE', 9, 64)],
        'saved-and-loaded': [
            pic, ('OP_LINE', 9, high), ('OP_SAVE_LOAD_CHIPS',),
            ('OP_SET_IRQCHIP', 2, 1, w(24), d(0x59)), ('OP_SET_IRQCHIP', 0, 1, w(1), d(0x02)),
            ('OP_SET_PIT2', 1, w(0), d(0)), ('OP_VM_DUE',), take],
        'saved-and-loaded-whole': [
            pic, ('OP_IOAPIC_RTE', 10, d(level | 0x51), 0), ('OP_LINE', 10, high),
            ('OP_PIT_PROGRAM', 4, w(100)), ('OP_SAVE_LOAD_VM',), take, ('OP_VM_DUE',),
            ('OP_NEXT', 0), ('OP_SAVE_LOAD_VM',), ('OP_LINE', 10, 0), take],
        'reset-with-all-under-way': [
            pic, ('OP_IOAPIC_RTE', 10, d(level | 0x51), 0), ('OP_LINE', 10, high),
            ('OP_PIT_PROGRAM', 4, w(100)), ('OP_CLOCK', ns(10 ** 8)), ('OP_EXPIRE',),
            ('OP_NEXT', 0), ('OP_RESET_VM',), ('OP_QUIESCE',), take],
        'any-access': [
            ('OP_VM_MMIO', 3, 0x12, 3, 1, 2, 3), ('OP_VM_MMIO', 4, 0, q(0xfec000fe), 4),
            ('OP_VM_PIO', 3, w(0x43), 2, w(0x30)), ('OP_VM_PIO', 2, w(0xffff), 16)],
    }, ops)
