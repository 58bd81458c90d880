"""Seeds of the targets that are a device's side."""
from seeds.encode import d, operations, w, write


def msix():
    ops = operations('msix.c')
    table, msi = 0, 7  # the first byte of the head
    masked = 1

    def entry(v, vector, mask=0):
        return [('OP_WORD', v, 0, d(0xfee00000)), ('OP_WORD', v, 2, d(vector)),
                ('OP_WORD', v, 3, d(mask))]

    on, function_mask = ('OP_CONTROL', 1), ('OP_CONTROL', 3)

    def access(op, offset, length, value=None):
        flags = 4 | (value is not None)
        body = value.to_bytes(length, 'little') if value is not None else b''
        return (op, flags, w(offset), length, body)

    write('msix', [table, 3], {
        'pending-and-unmasked': entry(1, 0x41) + [
            ('OP_TRIGGER', 1), ('OP_PENDING', 1), on, ('OP_TRIGGER', 1), function_mask,
            ('OP_TRIGGER', 1), on],
        'own-mask': entry(0, 0x40, masked) + [
            on, ('OP_TRIGGER', 0), ('OP_TRIGGER', 0)] + entry(0, 0x50) + entry(0, 0x51),
        'eventfd': entry(2, 0x42) + [
            ('OP_EVENTFD', 2, 0), ('OP_WRITE', 0, 3), ('OP_PENDING', 2), on, ('OP_WRITE', 0, 2),
            ('OP_DISPATCH',), function_mask, ('OP_WRITE', 0, 1), ('OP_EVENTFD', 2, 1),
            ('OP_EVENTFD', 1, 1), ('OP_EVENTFD', 2, 0x80), on],
        'any-access': [access('OP_TABLE', 0, 8, 0xfee00000), access('OP_TABLE', 14, 4, 1),
                       access('OP_TABLE', 60, 8, 1), access('OP_TABLE', 1, 1),
                       access('OP_PBA', 0, 8), access('OP_PBA', 4, 8), access('OP_PBA', 0, 4, 1),
                       access('OP_MSI', 0, 4)],
        'no-gsis': entry(0, 0x40) + entry(1, 0x41) + [
            ('OP_TRIGGER', 0), ('OP_GSIS', 1), on, ('OP_TRIGGER', 1), ('OP_GSIS', 100), on],
        'saved-and-loaded': entry(0, 0x40) + [
            ('OP_TRIGGER', 0), ('OP_SAVE_LOAD',), ('OP_LOAD', 1, w(12), d(0x8000)),
            ('OP_LOAD', 2, w(8), d(9), w(12), d(1)), ('OP_RESET',)],
    }, ops)
    write('msix', [table, 79], {
        'past-64': entry(70, 0x45) + [('OP_TRIGGER', 70), access('OP_PBA', 8, 8), on,
                                      ('OP_TRIGGER', 79)],
    }, ops)
    write('msix', [msi, 5], {
        'msi-of-32': [
            access('OP_MSI', 4, 4, 0xfee00000), access('OP_MSI', 12, 2, 0x60),
            access('OP_MSI', 16, 4, 0x80000000), access('OP_MSI', 2, 2, 0x51), ('OP_TRIGGER', 31),
            access('OP_MSI', 20, 4), access('OP_MSI', 19, 1, 0), ('OP_TRIGGER', 3),
            access('OP_MSI', 2, 2, 0x11), ('OP_TRIGGER', 3), ('OP_SAVE_LOAD',),
            access('OP_MSI', 2, 1, 0x51), ('OP_RESET',), access('OP_TABLE', 0, 4, 0), on],
    }, ops)
    write('msix', [1, 0], {
        'msi-of-one': [
            access('OP_MSI', 4, 4, 0xfee00000), access('OP_MSI', 8, 2, 0x60),
            access('OP_MSI', 2, 2, 1), ('OP_TRIGGER', 0), access('OP_MSI', 12, 4)],
    }, ops)
