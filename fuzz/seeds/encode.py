"""Operations and their operands as bytes (fuzz/stream.h), and the files they go to."""
import pathlib
import re
import struct

FUZZ = pathlib.Path(__file__).resolve().parent.parent


def operations(*files):
    """OP_NAME -> its number, from the enums of these files."""
    ops = {}
    for file in files:
        text = re.sub(r'/\*.*?\*/', '', (FUZZ / file).read_text(), flags=re.S)
        for body in re.findall(r'enum \w*op \{(.*?)\}', text, flags=re.S):
            value = 0
            for item in body.replace('\n', ' ').split(','):
                name, _, given = (part.strip() for part in item.partition('='))
                if name:
                    value = ops[given] if given in ops else int(given) if given else value
                    ops[name] = value
                    value += 1
    return ops


def w(value):
    return struct.pack('<H', value)


def d(value):
    return struct.pack('<I', value & 0xffffffff)


def q(value):
    return struct.pack('<Q', value)


def ns(value):
    """As take_scaled() reads it, no less than value."""
    shift = max(value.bit_length() - 16, 0)
    return bytes([shift]) + w(-(-value >> shift) if value >> shift < 0xffff else 0xffff)


def write(target, head, seeds, ops):
    folder = FUZZ / 'corpus' / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, steps in seeds.items():
        whole = bytes(head)
        for op, *parts in steps:
            whole += bytes([ops[op]])
            for part in parts:
                whole += part if isinstance(part, bytes) else bytes([part])
        (folder / name).write_bytes(whole)
