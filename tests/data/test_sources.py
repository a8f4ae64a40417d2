"""CSV and NumPy files: what is read, and every hole and typing error with its line and column."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule.core.errors import DataError, MissingDataError
from chainrule.data import ArrayDataset, TableDataset, from_csv, from_numpy

IRIS = """sepal length,sepal width,petal length,species
5.1,3.5,1.4,setosa
7.0,3.2,4.7,versicolor

6.3,3.3,6.0,"virginica"
4.9,3.0,1.4,setosa
"""


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@pytest.fixture
def table(tmp_path):
    def write(text: str, name: str = "t.csv", encoding: str = "utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_features_and_named_classes(table):
    data = from_csv(table(IRIS), target="species")
    assert isinstance(data, TableDataset)
    assert data.features.dtype == np.float32
    assert data.features.tolist() == np.float32([[5.1, 3.5, 1.4], [7, 3.2, 4.7], [6.3, 3.3, 6], [4.9, 3, 1.4]]).tolist()
    assert data.target.tolist() == [0, 1, 2, 0]
    assert data.target.dtype == np.int64
    assert data.classes == ("setosa", "versicolor", "virginica")
    assert data.feature_names == ("sepal length", "sepal width", "petal length")
    assert data.target_name == "species"
    x, y = data[1]
    assert x[0] == 7
    assert y == 1


def test_chosen_features_in_their_order(table):
    data = from_csv(table(IRIS), target="species", features=["petal length", "sepal width"])
    assert data.features[0].tolist() == np.float32([1.4, 3.5]).tolist()
    assert data.feature_names == ("petal length", "sepal width")


def test_without_a_target(table):
    data = from_csv(table("a;b\n1; 2\n3;4"), delimiter=";")
    assert data.features.tolist() == [[1, 2], [3, 4]]
    assert len(data.arrays) == 1
    assert data.target_name is None


@pytest.mark.parametrize(
    "values, categorical, dtype, target, classes",
    [
        (("3", "1"), None, "int64", [3, 1], None),
        (("3.0", "1.0"), None, "int64", [3, 1], None),
        (("0.5", "1"), None, "float32", [0.5, 1.0], None),
        (("3", "1"), True, "int64", [1, 0], ("1", "3")),
        (("3", "x"), None, "int64", [0, 1], ("3", "x")),
    ],
)
def test_kinds_of_targets(table, values, categorical, dtype, target, classes):
    data = from_csv(table(f"x,y\n0,{values[0]}\n0,{values[1]}\n"), target="y", categorical=categorical)
    assert (data.target.dtype, data.target.tolist(), data.classes) == (np.dtype(dtype), target, classes)


def test_byte_order_mark_and_other_encodings(table):
    assert from_csv(table("\ufeffx,y\n1,2\n"), target="y").feature_names == ("x",)
    path = table("größe,y\n1,2\n", encoding="latin-1")
    with raises(DataError, "from_csv: t.csv is not utf-8-sig text; pass its encoding=, such as 'latin-1'."):
        from_csv(path)
    assert from_csv(path, target="y", encoding="latin-1").feature_names == ("größe",)


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("", {}, "t.csv is empty; its first line must name the columns."),
        ("a,b\n", {}, "t.csv has a header line and no rows."),
        ("a,b,a\n1,2,3\n", {}, "t.csv names a column twice: 'a'."),
        (
            "a,b\n1,2\n3\n",
            {},
            "t.csv line 3 has 1 values, the header has 2 columns. Check the quotes and the delimiter ','.",
        ),
        ("a,b\n1,2\n\n3,\n", {}, "t.csv line 4, column 'b' is empty. Fill it in, or drop the row."),
        ("a,b\n1,NA\n", {}, "t.csv line 2, column 'b' is missing ('NA'). Fill it in, or drop the row."),
        ("a,b\n1,nan\n", {}, "t.csv line 2, column 'b' is missing ('nan'). Fill it in, or drop the row."),
        (
            "a,y\n1,cat\n2,?\n",
            {"target": "y"},
            "t.csv line 3, column 'y' is missing ('?'). Fill it in, or drop the row.",
        ),
        ("a,b\n1,inf\n", {}, "t.csv line 2, column 'b' is 'inf'; values must be finite."),
        (
            "a,b\n1,red\n",
            {},
            "t.csv line 2, column 'b' is 'red', which is no number. "
            "Leave the column out with features=, or replace text by numbers.",
        ),
        (
            "a,y\n1,cat\n",
            {"target": "y", "categorical": False},
            "t.csv line 2, column 'y' is 'cat', which is no number. "
            "Leave the column out with features=, or replace text by numbers.",
        ),
        ('a,b\n1,"2\n', {}, "t.csv line 2 is not readable as CSV: unexpected end of data."),
        ("y\n1\n", {"target": "y"}, "t.csv has no column left for the features; its columns are y."),
    ],
)
def test_damaged_tables(table, text, options, message):
    with raises(DataError, f"from_csv: {message}"):
        from_csv(table(text), **options)


def test_unknown_columns(table):
    path = table(IRIS)
    columns = "Its columns are sepal length, sepal width, petal length, species."
    with raises(DataError, f"from_csv.target: t.csv has no column 'specie'; did you mean 'species'? {columns}"):
        from_csv(path, target="specie")
    with raises(DataError, f"from_csv.features: t.csv has no column 'x'. {columns}"):
        from_csv(path, features=["x"])


def test_missing_files(tmp_path):
    for read, name in ((from_csv, "none.csv"), (from_numpy, "none.npy")):
        with raises(
            MissingDataError,
            f"{read.__name__}: there is no file {tmp_path / name}; check the name and the folder.",
        ):
            read(tmp_path / name)


def test_npy(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2))
    data = from_numpy(tmp_path / "a.npy")
    assert type(data) is ArrayDataset
    assert data.arrays[0].tolist() == [[0, 1], [2, 3], [4, 5]]
    with raises(DataError, "from_numpy.names chooses arrays of a .npz file; a.npy holds a single one without a name."):
        from_numpy(tmp_path / "a.npy", names=["x"])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    save(tmp_path / "a.npz", x=np.zeros((3, 2)), y=np.arange(3), extra=np.ones(7))
    data = from_numpy(tmp_path / "a.npz", names=("y", "x"))
    assert data.names == ("y", "x")
    assert data.y.tolist() == [0, 1, 2]
    with raises(
        DataError,
        "ArrayDataset needs arrays of equal length; got 3, 3, 7. Row i of each array must belong to sample i.",
    ):
        from_numpy(tmp_path / "a.npz")
    with raises(DataError, "from_numpy: a.npz has no array 'z'. Its arrays are x, y, extra."):
        from_numpy(tmp_path / "a.npz", names=("x", "z"))


def test_names_that_can_not_be_attributes(tmp_path):
    np.savez(tmp_path / "a.npz", **{"x 1": np.zeros(2), "take": np.ones(2)})
    data = from_numpy(tmp_path / "a.npz")
    assert data.names is None
    assert len(data.arrays) == 2


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, []], dtype=object))
    np.savez(tmp_path / "a.npz", x=np.array([{}, []], dtype=object))
    for name in ("a.npy", "a.npz"):
        with raises(
            DataError,
            f"from_numpy can't read {name}: it holds Python objects, which are never unpickled. "
            "Save arrays of numbers.",
        ):
            from_numpy(tmp_path / name)


@pytest.mark.parametrize("name, keep", [("a.npy", 90), ("a.npy", 130), ("a.npz", 100), ("a.npz", 0), ("a.npy", 3)])
def test_truncated_numpy_files(tmp_path, name, keep):
    path = tmp_path / name
    (np.savez if name.endswith("z") else np.save)(path, np.arange(100.0))
    path.write_bytes(path.read_bytes()[:keep])
    with raises(
        DataError,
        f"from_numpy can't read {name}: the file is damaged or no NumPy file. Save it again with np.save or np.savez.",
    ):
        from_numpy(path)


def test_damaged_values_inside_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random(1000))
    content = bytearray(path.read_bytes())
    content[4000] ^= 0xFF
    path.write_bytes(content)
    with raises(
        DataError,
        "from_numpy can't read a.npz: the file is damaged or no NumPy file. Save it again with np.save or np.savez.",
    ):
        from_numpy(path)


def test_other_suffixes(tmp_path):
    with raises(DataError, "from_numpy reads .npy and .npz files; got a.txt."):
        from_numpy(tmp_path / "a.txt")
