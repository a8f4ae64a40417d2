"""Files that a test writes: in PyTorch's formats without PyTorch, and with whatever pickle a test wants in them."""

from __future__ import annotations

import pickle
import struct
import zipfile

MAGIC = 0x1950A86A20F9469CFC6C


def op(name, argument=b""):
    """Return one instruction of a pickle."""
    codes = {"global": b"c", "reduce": b"R", "tuple": b"t", "mark": b"(", "stop": b".", "text": b"X", "int": b"J"}
    if name == "text":
        argument = struct.pack("<I", len(argument)) + argument
    return codes[name] + argument


def text(value):
    """Return the instruction that pushes a text."""
    return op("text", value.encode())


def whole(value):
    """Return the instruction that pushes a whole number: four bytes where they are enough."""
    if -(2**31) <= value < 2**31:
        return op("int", struct.pack("<i", value))
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def find(name):
    """Return the instruction that asks for a global."""
    module, _, attribute = name.rpartition(".")
    return op("global", f"{module}\n{attribute}\n".encode())


def call(name, *arguments):
    """Return the instructions that call a global."""
    return find(name) + op("mark") + b"".join(arguments) + op("tuple") + op("reduce")


def numbers(*values):
    """Return the instructions that push a tuple of whole numbers."""
    return op("mark") + b"".join(map(whole, values)) + op("tuple")


def storage(key="0", kind="torch.FloatStorage", count=4):
    """Return the instructions that push a storage."""
    return op("mark") + text("storage") + find(kind) + text(key) + text("cpu") + whole(count) + op("tuple") + b"Q"


def tensor(place, offset=0, shape=(4,), strides=(1,)):
    """Return the instructions that push a tensor."""
    parts = (place, whole(offset), numbers(*shape), numbers(*strides), b"\x89", call("collections.OrderedDict"))
    return call("torch._utils._rebuild_tensor_v2", *parts)


def state(**tensors):
    """Return a pickle of a dict."""
    return b"\x80\x02}(" + b"".join(text(name) + code for name, code in tensors.items()) + b"u."


def write_zip(path, pickled, storages=(), compression=zipfile.ZIP_STORED, **more):
    """Write a file in the zip format."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, data in dict(storages).items():
            archive.writestr(f"archive/data/{key}", data)
        for name, data in more.items():
            archive.writestr(f"archive/{name}", data)
    return path


def write_old(path, pickled, keys=(), data=b""):
    """Write a file in the format before."""
    head = [pickle.dumps(part, 2) for part in (MAGIC, 1001, {"little_endian": True})]
    path.write_bytes(b"".join([*head, pickled, pickle.dumps(list(keys), 2), data]))
    return path
