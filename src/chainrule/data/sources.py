"""Your own tables and arrays: CSV files with a header line, .npy and .npz files.

`from_csv` gives a `TableDataset`: float32 features [n, columns], and a target that is a class number (text, or whole
numbers) or a float. Nothing is guessed about holes: a missing or unreadable value is an error that names its line and
column. `from_numpy` reads arrays and never unpickles.
"""

from __future__ import annotations

import csv
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import DataError, MissingDataError, nearest
from chainrule.data.dataset import ArrayDataset

__all__ = ["TableDataset", "from_csv", "from_numpy"]

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none", "-"})


class TableDataset(ArrayDataset):
    """An ArrayDataset that came from a table: `features` [n, columns], and `target` [n] where one was named.

    Attributes:
        feature_names: names of the columns of `features`, in order.
        target_name: name of the target's column, or None.
        classes: names of the classes where the target is text, else None.

    Example:
        >>> table = TableDataset(np.zeros((2, 1), np.float32), np.array([1, 0]), ["age"], "ill")
        >>> table.feature_names, table.target
        (('age',), array([1, 0]))
    """

    def __init__(
        self,
        features: np.ndarray,
        target: np.ndarray | None,
        feature_names: Sequence[str],
        target_name: str | None = None,
        classes: Sequence[str] | None = None,
    ):
        if target is None:
            super().__init__(features, names=("features",))
        else:
            super().__init__(features, target, names=("features", "target"), classes=classes)
        self.feature_names = tuple(feature_names)
        self.target_name = target_name


def from_csv(
    path: str | os.PathLike[str],
    target: str | None = None,
    features: Sequence[str] | None = None,
    delimiter: str = ",",
    *,
    categorical: bool | None = None,
    encoding: str = "utf-8-sig",
) -> TableDataset:
    """Read a table of numbers whose first line names the columns.

    Args:
        path: the file.
        target: column to predict; default none.
        features: columns to predict from; default all others.
        delimiter: one character between values; default a comma.
        categorical: whether the target names classes; default True where any value is not a number. Class
            names are sorted, and the target becomes their number. Otherwise whole numbers become int64, others float32.
        encoding: of the file; default UTF-8, with or without a byte order mark.

    Returns:
        TableDataset with `features` float32 [n, columns] and, if asked for, `target` [n].

    Raises:
        TypeError: an array instead of a path.
        MissingDataError: there is no such file.
        DataError: an empty table, unknown or repeated column names, a line with too few or too many values, a missing
            value, text where a number belongs; each with its line and column.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "iris.csv"
        >>> _ = path.write_text("length,width,species\\n5.1,3.5,setosa\\n7.0,3.2,versicolor\\n")
        >>> iris = from_csv(path, target="species")
        >>> iris.features.shape, iris.target, iris.classes
        ((2, 2), array([0, 1]), ('setosa', 'versicolor'))
    """
    path = pathlib.Path(path)
    header, rows = _read_table(path, delimiter, encoding)
    if target is not None:
        _column(path, header, target, "target")
    chosen = [name for name in header if name != target] if features is None else list(features)
    columns = [_column(path, header, name, "features") for name in chosen]
    if not columns:
        raise DataError(
            f"from_csv: {path.name} has no column left for the features; its columns are {', '.join(header)}."
        )
    table = np.empty((len(rows), len(columns)), dtype=np.float32)
    for row, (line, values) in enumerate(rows):
        for place, column in enumerate(columns):
            table[row, place] = _number(path, line, header[column], values[column])
    if target is None:
        return TableDataset(table, None, chosen)
    labels, classes = _target(path, header, rows, target, categorical)
    return TableDataset(table, labels, chosen, target, classes)


def _read_table(path: pathlib.Path, delimiter: str, encoding: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the column names, and (line number, values) of each row."""
    rows = []
    try:
        with path.open(newline="", encoding=encoding) as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            header = [name.strip() for name in next(reader, [])]
            for values in reader:
                if values:  # an empty line is no row
                    rows.append((reader.line_num, [value.strip() for value in values]))
    except FileNotFoundError:
        raise MissingDataError(f"from_csv: there is no file {path}; check the name and the folder.") from None
    except UnicodeDecodeError:
        raise DataError(
            f"from_csv: {path.name} is not {encoding} text; pass its encoding=, such as 'latin-1'."
        ) from None
    except csv.Error as error:
        raise DataError(f"from_csv: {path.name} line {reader.line_num} is not readable as CSV: {error}.") from None
    if not header:
        raise DataError(f"from_csv: {path.name} is empty; its first line must name the columns.")
    if not rows:
        raise DataError(f"from_csv: {path.name} has a header line and no rows.")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"from_csv: {path.name} names a column twice: {', '.join(map(repr, repeated))}.")
    for line, values in rows:
        if len(values) != len(header):
            raise DataError(
                f"from_csv: {path.name} line {line} has {len(values)} values, the header has {len(header)} columns. "
                f"Check the quotes and the delimiter {delimiter!r}."
            )
    return header, rows


def _column(path: pathlib.Path, header: list[str], name: str, setting: str) -> int:
    if name not in header:
        raise DataError(
            f"from_csv.{setting}: {path.name} has no column {name!r}{nearest(str(name), header) or '.'} "
            f"Its columns are {', '.join(header)}."
        )
    return header.index(name)


def _number(path: pathlib.Path, line: int, column: str, text: str) -> float:
    _present(path, line, column, text)
    try:
        value = float(text)
    except ValueError:
        raise DataError(
            f"from_csv: {path.name} line {line}, column {column!r} is {text!r}, which is no number. "
            "Leave the column out with features=, or replace text by numbers."
        ) from None
    if not math.isfinite(value):
        raise DataError(f"from_csv: {path.name} line {line}, column {column!r} is {text!r}; values must be finite.")
    return value


def _present(path: pathlib.Path, line: int, column: str, text: str) -> None:
    if text.lower() in MISSING:
        given = "is empty" if not text else f"is missing ({text!r})"
        raise DataError(f"from_csv: {path.name} line {line}, column {column!r} {given}. Fill it in, or drop the row.")


def _target(
    path: pathlib.Path, header: list[str], rows: list[tuple[int, list[str]]], name: str, categorical: bool | None
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return the target [n], and the class names where it is categorical."""
    column = header.index(name)
    texts = [values[column] for _, values in rows]
    for line, values in rows:
        _present(path, line, name, values[column])
    if categorical is None:
        categorical = not all(map(_is_number, texts))
    if categorical:
        classes = tuple(sorted(set(texts)))
        number = {text: i for i, text in enumerate(classes)}
        return np.array([number[text] for text in texts], dtype=np.int64), classes
    numbers = np.array([_number(path, line, name, values[column]) for line, values in rows])
    if (numbers == np.round(numbers)).all() and np.abs(numbers).max() < 2**53:
        return numbers.astype(np.int64), None
    return numbers.astype(np.float32), None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def from_numpy(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> ArrayDataset:
    """Read a data set from a .npy file (one array) or a .npz file (several).

    Args:
        path: the file.
        names: arrays of a .npz file to use, in the order of the parts of a sample; default all, in the file's order.

    Returns:
        ArrayDataset; the arrays of a .npz file keep their names as attributes where these are identifiers.

    Raises:
        MissingDataError: there is no such file.
        DataError: a damaged file, an unknown name, an array of Python objects, arrays of unequal length.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "data.npz"
        >>> np.savez(path, x=np.zeros((3, 2)), y=np.array([0, 1, 1]))
        >>> from_numpy(path, names=("x", "y")).y
        array([0, 1, 1])
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"from_numpy reads a file; got {type(path).__name__}. For arrays in memory write ArrayDataset(x, y), "
            "for one tensor cr.asarray(x)."
        )
    path = pathlib.Path(path)
    if path.suffix not in (".npy", ".npz"):
        raise DataError(f"from_numpy reads .npy and .npz files; got {path.name}.")
    if path.suffix == ".npy" and names is not None:
        raise DataError(
            f"from_numpy.names chooses arrays of a .npz file; {path.name} holds a single one without a name."
        )
    arrays = _load_arrays(path, names)
    if path.suffix == ".npy":
        return ArrayDataset(*arrays.values())
    usable = all(name.isidentifier() and not hasattr(ArrayDataset, name) for name in arrays)
    return ArrayDataset(*arrays.values(), names=tuple(arrays) if usable else None)


def _load_arrays(path: pathlib.Path, names: Sequence[str] | None) -> dict[str, Any]:
    import zipfile
    import zlib

    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"array": loaded}
            with loaded:
                for name in names or ():
                    if name not in loaded.files:
                        raise DataError(
                            f"from_numpy: {path.name} has no array {name!r}{nearest(name, loaded.files) or '.'} "
                            f"Its arrays are {', '.join(loaded.files)}."
                        )
                return {name: loaded[name] for name in (loaded.files if names is None else names)}
    except FileNotFoundError:
        raise MissingDataError(f"from_numpy: there is no file {path}; check the name and the folder.") from None
    except DataError:
        raise
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error) and "Object arrays" in str(error):
            reason = "it holds Python objects, which are never unpickled. Save arrays of numbers"
        else:
            reason = "the file is damaged or no NumPy file. Save it again with np.save or np.savez"
        raise DataError(f"from_numpy can't read {path.name}: {reason}.") from None
