"""PyTorch's files, made byte by byte: what is read, and what every kind of malicious or damaged file is told."""

from __future__ import annotations

import builtins
import contextlib
import os
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest
from tests.nn.foreign.evil import (
    call,
    find,
    numbers,
    state,
    storage,
    tensor,
    text,
    whole,
    write_old,
    write_zip,
)

import chainrule as cr
from chainrule.core.errors import CheckpointError
from chainrule.nn.foreign import limits

FOUR = np.arange(4, dtype="<f4").tobytes()
PLAIN = state(w=tensor(storage()))


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        cr.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    return message.removeprefix(f"{path} ")


# ---------------------------------------------------------------------------------------------------- what is read
def test_both_formats_are_read(tmp_path):
    new = write_zip(tmp_path / "a.pt", PLAIN, {"0": FOUR})
    old = write_old(tmp_path / "b.pt", PLAIN, ["0"], struct.pack("<q", 4) + FOUR)
    for path in (new, old):
        assert {name: value.tolist() for name, value in cr.load(path).items()} == {"w": [0.0, 1.0, 2.0, 3.0]}


def test_windows_onto_a_shared_storage(tmp_path):
    parts = state(
        all=tensor(storage(count=6), 0, (2, 3), (3, 1)),
        turned=tensor(storage(count=6), 0, (3, 2), (1, 3)),
        column=tensor(storage(count=6), 1, (2,), (3,)),
        spread=tensor(storage(count=6), 5, (2, 2), (0, 0)),
        again=tensor(storage(count=6), 0, (2, 3), (3, 1)),
        none=tensor(storage(count=6), 9, (0, 3), (3, 1)),
        one=tensor(storage(count=6), 4, (), ()),
        wide=tensor(storage(count=6), 4, (1,), (1 << 62,)),
    )
    found = cr.load(write_zip(tmp_path / "a.pt", parts, {"0": np.arange(6, dtype="<f4").tobytes()}))
    assert {name: value.tolist() for name, value in found.items()} == {
        "all": [[0, 1, 2], [3, 4, 5]], "turned": [[0, 3], [1, 4], [2, 5]], "column": [1, 4],
        "spread": [[5, 5], [5, 5]], "again": [[0, 1, 2], [3, 4, 5]], "none": [], "one": 4, "wide": [4],
    }  # fmt: skip
    assert found["none"].shape == (0, 3)
    assert found["all"] is found["again"]


@pytest.mark.parametrize(
    "kind, stored, dtype",
    [
        ("Double", "<f8", "float64"), ("Half", "<f2", "float32"), ("Long", "<i8", "int64"), ("Int", "<i4", "int32"),
        ("Short", "<i2", "int16"), ("Char", "i1", "int8"), ("Byte", "u1", "uint8"), ("Bool", "u1", "bool"),
        ("ComplexFloat", "<c8", "complex64"), ("ComplexDouble", "<c16", "complex128"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_type_of_number_in_both_byte_orders(tmp_path, kind, stored, dtype, order):
    values = np.array([0, 1, 2, 3]).astype(stored)
    data = values.astype(values.dtype.newbyteorder(">" if order == "big" else "<")).tobytes()
    path = write_zip(
        tmp_path / "a.pt", state(w=tensor(storage(kind=f"torch.{kind}Storage"))), {"0": data}, byteorder=order
    )
    found = cr.load(path)["w"]
    assert found.dtype.name == dtype
    np.testing.assert_array_equal(found.numpy(), values.astype(dtype))


def test_bfloat16(tmp_path):
    data = np.array([0x3F80, 0x4000, 0xBF80, 0x0001], "<u2").tobytes()
    found = cr.load(write_zip(tmp_path / "a.pt", state(w=tensor(storage(kind="torch.BFloat16Storage"))), {"0": data}))
    assert found["w"].dtype is cr.bfloat16
    assert found["w"].astype(cr.float32).tolist()[:3] == [1.0, 2.0, -1.0]


def inner(**tensors):
    return b"}(" + b"".join(text(name) + code for name, code in tensors.items()) + b"u"


def test_the_weights_of_a_checkpoint(tmp_path):
    w, v = tensor(storage()), tensor(storage(), 1, (2,), (1,))
    data = {"0": FOUR}
    usual = state(epoch=whole(3), state_dict=inner(w=w), optimizer=inner(state=b"}" + whole(0) + inner(m=v) + b"s"))
    assert list(cr.load(write_zip(tmp_path / "a.pt", usual, data))) == ["w"]
    two = state(model=inner(w=w), ema=inner(v=v), best=tensor(storage()))
    path = write_zip(tmp_path / "b.pt", two, data)
    assert list(cr.load(path)) == ["w"]
    assert cr.load(path, key="ema")["v"].tolist() == [1.0, 2.0]
    deep = write_zip(tmp_path / "c.pt", state(nets=inner(first=inner(w=w), second=inner(v=v))), data)
    assert list(cr.load(deep, key="nets.second")) == ["v"]
    assert refusal(deep) == (
        "holds several dicts of tensors, so say which with key=: 'nets.first' (1 tensors), 'nets.second' (1 tensors)."
    )
    with pytest.raises(CheckpointError) as caught:
        cr.load(deep, key="nets.secnd")
    assert str(caught.value) == (
        f"{deep} has no dict of tensors 'nets.secnd'; did you mean 'nets.second'? "
        "It has 'nets.first' (1 tensors), 'nets.second' (1 tensors)."
    )
    assert refusal(write_zip(tmp_path / "d.pt", state(epoch=whole(1)))) == (
        "holds no dict of tensors by name, as state_dict() gives it."
    )
    assert refusal(write_zip(tmp_path / "e.pt", b"\x80\x02" + w + b".", data)) == (
        "holds no dict of tensors by name, as state_dict() gives it."
    )


def test_only_the_wanted_storages_are_read(tmp_path):
    both = state(model=inner(w=tensor(storage())), optimizer=inner(m=tensor(storage("1"))))
    path = write_zip(tmp_path / "a.pt", both, {"0": FOUR})  # storage 1 is missing
    assert list(cr.load(path)) == ["w"]
    with pytest.raises(CheckpointError) as caught:
        cr.load(path, key="optimizer")
    assert str(caught.value) == f"{path} is damaged: its part archive/data/1 is missing."


# ---------------------------------------------------------------------------------------------------- what runs nothing
class Bomb:
    """Pickled, it asks for a call."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def asks_for(name):
    return (
        f"asks for the global {name}. Weights need only tensors, so it was not looked up and nothing was run. "
        "If you trust the file, save its weights alone, with PyTorch: torch.save(model.state_dict(), path)."
    )


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize(
    "bomb, name",
    [
        (lambda mark: Bomb(os.system, f"touch {mark}"), "posix.system"),
        (lambda mark: Bomb(builtins.eval, f"open({str(mark)!r}, 'w')"), "builtins.eval"),
        (lambda mark: Bomb(builtins.getattr, "text", "upper"), "builtins.getattr"),
        (lambda mark: Bomb(exec, f"open({str(mark)!r}, 'w')"), "builtins.exec"),
        (lambda mark: Bomb(open, str(mark), "w"), "io.open"),
    ],
    ids=["system", "eval", "getattr", "exec", "open"],
)
def test_a_global_of_pythons_is_named_and_not_run(tmp_path, bomb, name, protocol):
    mark = tmp_path / "it ran"
    content = pickle.dumps({"w": bomb(mark)}, protocol)
    name = name.replace("builtins.", "__builtin__.") if protocol < 3 else name
    for path in (write_zip(tmp_path / "a.pt", content), write_old(tmp_path / "b.pt", content)):
        assert refusal(path) == asks_for(name)
    assert not mark.exists()


@pytest.mark.parametrize(
    "code, message",
    [
        (find("torch._utils.__builtins__"), asks_for("torch._utils.__builtins__")),
        (b"\x8c\x05torch\x8c\x0d_utils.os.sys\x93", asks_for("torch._utils.os.sys")),
        (whole(1) + whole(2) + b"\x93", asks_for("tuple")),
        (b"cos\nsystem\n" + text("ls") + b"\x85R", asks_for("os.system")),
        (b"(S'ls'\nios\nsystem\n", "asks for the pickle instruction INST, which no weights need."),
        (b"(cos\nsystem\nS'ls'\no", asks_for("os.system")),
        (b"ccollections\nOrderedDict\n)\x81", "asks for the pickle instruction NEWOBJ, which no weights need."),
        (b"\x82\x01", "asks for the pickle instruction EXT1, which no weights need."),
        (b"\x97", "asks for the pickle instruction NEXT_BUFFER, which no weights need."),
        (text("os.system") + text("ls") + b"\x85R",
         "would call 'os.system' with tuple, which is no way to make a tensor."),
        (find("torch.float32") + text("ls") + b"\x85R",
         "would call torch.float32 with tuple, which is no way to make a tensor."),
        (find("collections.OrderedDict") + text("ls") + b"R",
         "would call collections.OrderedDict with 'ls', which is no way to make a tensor."),
        (call("collections.OrderedDict", text("ls")), "is damaged: it has an ordered dict that is none."),
        (call("torch.Size", text("ls")), "is damaged: it has a torch.Size that is none."),
        (call("torch._utils._rebuild_parameter", text("ls"), b"\x89", b"N"),
         "is damaged: _rebuild_parameter is asked for with arguments that describe no tensor."),
        (call("torch._utils._rebuild_tensor_v2", text("ls")),
         "is damaged: _rebuild_tensor_v2 is asked for with arguments that describe no tensor."),
        (call("torch._utils._rebuild_tensor_v3", text("ls")),
         "is damaged: _rebuild_tensor_v3 is asked for with arguments that describe no tensor."),
        (call("torch._tensor._rebuild_from_type_v2", text("ls"), b"N", b")", b"N"),
         "is damaged: _rebuild_from_type_v2 is asked for with arguments that describe no tensor."),
        (tensor(storage()) + b"}b", "is damaged: its pickle would set attributes of Placed."),
        (b"(" + text("file") + text("/etc/passwd") + b"tQ",
         "is damaged: it refers to something that is no storage."),
        (call("torch._utils._rebuild_sparse_tensor"),
         "holds a sparse tensor, which can't be read; with PyTorch, save x.to_dense() in its place."),
        (call("torch._utils._rebuild_qtensor"),
         "holds a quantised tensor, which can't be read; with PyTorch, save x.dequantize() in its place."),
        (storage(kind="torch.QInt8Storage"),
         "holds numbers of type torch.qint8, which no tensor here has: convert them with PyTorch."),
        (b"}" + numbers(1) + whole(1) + b"s", "has a dict with a key of type tuple, which no weights need."),
        (b"\x8b" + struct.pack("<i", 40) + b"\xff" * 39 + b"\x00", "is damaged: it has a whole number of 312 bits."),
    ],
)  # fmt: skip
def test_what_a_pickle_may_not_ask_for(tmp_path, code, message):
    assert refusal(write_zip(tmp_path / "a.pt", b"\x80\x04" + code + b".")) == message


def test_a_pickle_of_nested_tuples_takes_no_time(tmp_path):
    doubled = b")" + b"q\x00h\x00\x86" * 200  # each a pair of the one before: 2^200 leaves, if anybody counted them
    path = write_zip(tmp_path / "a.pt", b"\x80\x02}" + text("x") + doubled + b"s.")
    assert refusal(path) == "holds no dict of tensors by name, as state_dict() gives it."


def test_a_dict_that_holds_itself(tmp_path):
    path = write_zip(tmp_path / "a.pt", b"\x80\x02}q\x00" + text("x") + b"h\x00s.")
    assert refusal(path) == "holds no dict of tensors by name, as state_dict() gives it."


# ---------------------------------------------------------------------------------------------------- what is damaged
@pytest.mark.parametrize(
    "code, message",
    [
        (tensor(storage(), 0, (5,), (1,)), "is damaged: a tensor of shape (5,) with strides (1,) at offset 0 reaches "
         "element 5 of a storage of 4."),
        (tensor(storage(), 2, (2, 2), (1, 1)), "is damaged: a tensor of shape (2, 2) with strides (1, 1) at offset 2 "
         "reaches element 5 of a storage of 4."),
        (tensor(storage(), 0, (2,), (1 << 40,)), "is damaged: a tensor of shape (2,) with strides (1099511627776,) at "
         "offset 0 reaches element 1099511627777 of a storage of 4."),
        (tensor(storage(), 0, (-1,), (1,)),
         "is damaged: it has a tensor whose offset, shape or strides are no whole numbers >= 0."),
        (tensor(storage(), 0, (2, 2), (1,)),
         "is damaged: it has a tensor whose offset, shape or strides are no whole numbers >= 0."),
        (tensor(storage(), -4, (2,), (1,)),
         "is damaged: it has a tensor whose offset, shape or strides are no whole numbers >= 0."),
        (tensor(storage(), 0, (1,) * 40, (1,) * 40),
         "is damaged: it has a tensor whose offset, shape or strides are no whole numbers >= 0."),
        (tensor(storage(), 0, (0, 1 << 60), (1, 1)),
         "is damaged: it has a tensor of shape (0, 1152921504606846976)."),
        (tensor(storage(), 0, (1 << 40,), (0,)), "is refused: a tensor of shape (1099511627776,) would take 4.4 TB, "
         "and a file of SIZE may unpack to 268.4 MB in all."),
        (tensor(storage(), 0, (1 << 40, 1 << 40), (0, 0)), "is refused: a tensor of shape (1099511627776, "
         "1099511627776) would take more than 1000 TB, and a file of SIZE may unpack to 268.4 MB in all."),
        (tensor(storage(count=5), 0, (4,), (1,)), "is damaged: storage 0 has 16 bytes, its numbers need 20."),
        (tensor(storage("../1")), "is damaged: its part archive/data/../1 is missing."),
        (tensor(storage(count=-4)), "is damaged: it refers to something that is no storage."),
    ],
)  # fmt: skip
def test_a_tensor_that_reaches_out_of_its_storage(tmp_path, code, message):
    path = write_zip(tmp_path / "a.pt", state(w=code), {"0": FOUR})
    assert refusal(path) == message.replace("SIZE", f"{path.stat().st_size} bytes")


def test_the_allowance_is_that_of_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "FREE", 1 << 20)
    first, second = (tensor(storage(), offset, (120_000,), (0,)) for offset in (0, 1))  # 480 kB each
    path = write_zip(tmp_path / "a.pt", state(a=first, b=second, c=first), {"0": FOUR})
    assert cr.load(path)["b"].shape == (120_000,)  # a and c are one
    third = tensor(storage(), 2, (120_000,), (0,))
    path = write_zip(tmp_path / "b.pt", state(a=first, b=second, c=third), {"0": FOUR})
    assert refusal(path) == (
        f"is refused: a tensor of shape (120000,) would take 480.0 kB, and a file of {path.stat().st_size} bytes may "
        "unpack to 1.0 MB in all."
    )


def test_a_truncated_zip(tmp_path):
    whole_file = write_zip(tmp_path / "a.pt", PLAIN, {"0": FOUR}).read_bytes()
    path = tmp_path / "cut.pt"
    for length in (len(whole_file) - 1, len(whole_file) // 2, 40, 4):
        path.write_bytes(whole_file[:length])
        assert refusal(path) == "is truncated or damaged: File is not a zip file."


def test_a_truncated_old_file(tmp_path):
    whole_file = write_old(tmp_path / "a.pt", PLAIN, ["0"], struct.pack("<q", 4) + FOUR).read_bytes()
    path = tmp_path / "cut.pt"
    for length in range(20, len(whole_file)):
        path.write_bytes(whole_file[:length])
        message = refusal(path)
        assert message.startswith(("is truncated", "is damaged")), (length, message)
    path.write_bytes(whole_file[:-1])
    assert refusal(path) == "is truncated or damaged: storage 0 is not whole."


def test_a_flipped_byte_is_noticed(tmp_path):
    content = bytearray(write_zip(tmp_path / "a.pt", PLAIN, {"0": FOUR}).read_bytes())
    content[content.index(FOUR) + 5] ^= 1
    path = tmp_path / "b.pt"
    path.write_bytes(content)
    assert refusal(path) == ("is damaged: its part archive/data/0 can't be read: Bad CRC-32 for file 'archive/data/0'.")


def test_a_zip_bomb(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", state(w=tensor(storage(count=1 << 27))))
        with archive.open("a/data/0", "w", force_zip64=True) as file:
            for _ in range(512):
                file.write(b"\0" * (1 << 20))
    assert path.stat().st_size < 1 << 20
    assert refusal(path) == (
        f"is refused: its part a/data/0 would take 536.9 MB, and a file of {path.stat().st_size / 1000:.1f} kB may "
        "unpack to 268.4 MB in all."
    )


def test_every_broken_byte_gives_an_error_or_tensors(tmp_path):
    content = bytearray(write_old(tmp_path / "a.pt", PLAIN, ["0"], struct.pack("<q", 4) + FOUR).read_bytes())
    path = tmp_path / "b.pt"
    generator = np.random.default_rng(0)
    for place in range(20, len(content)):
        changed = bytearray(content)
        changed[place] = int(generator.integers(256))
        path.write_bytes(changed)
        with contextlib.suppress(CheckpointError):  # any other error fails the test
            assert all(value.size <= 4 for value in cr.load(path).values())


def test_random_changes_of_a_pickle_give_an_error_or_tensors(tmp_path):
    good, generator, read = state(w=tensor(storage()), v=tensor(storage(), 1, (2, 1), (1, 7))), random.Random(0), 0
    for _ in range(600):
        changed = bytearray(good)
        for _ in range(generator.randrange(1, 4)):
            place, other = generator.randrange(2, len(changed)), generator.randrange(2, len(changed))
            kind = generator.randrange(3)
            if kind == 0:
                changed[place] = generator.randrange(256)
            elif kind == 1:
                del changed[place : place + generator.randrange(1, 5)]
            else:
                changed[place:place] = changed[other : other + generator.randrange(1, 30)]
        path = write_zip(tmp_path / "a.pt", bytes(changed), {"0": FOUR})
        with contextlib.suppress(CheckpointError):  # any other error fails the test
            cr.load(path)
            read += 1
    assert 0 < read < 300


def test_other_archives_and_pickles(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refusal(path) == "is a zip archive, but not one that torch.save wrote: it has no single data.pkl."
    path = write_zip(tmp_path / "a.pt", PLAIN, {"0": FOUR}, **{"constants.pkl": b"x"})
    assert refusal(path) == (
        "is a TorchScript program, not weights alone; with PyTorch: "
        "torch.save(torch.jit.load(path).state_dict(), new_path)."
    )
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"w": [1.0]}))
    assert refusal(path) == "is a pickle, which could run code, and not in PyTorch's format: it was not opened."
