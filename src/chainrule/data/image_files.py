"""`image_folder`: pictures of class folders, in a folder or in a tar or ZIP archive, checked and loaded at once.

    root/cat/1.png  root/dog/1.jpg     archive.zip: cat/1.png  dog/1.jpg     ->     images [n, channels, height, width]

Nothing of an archive is written to the disk: its files are read in memory, and one whose path leads out of the archive,
or that is a link, refuses the whole archive. One damaged picture does not stop the work; it is named in a warning.
"""

from __future__ import annotations

import collections
import io
import os
import pathlib
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.errors import DataError, MissingDataError, nearest, notice
from chainrule.data.dataset import ArrayDataset
from chainrule.data.folder import SUFFIXES, _find, _mode, _natural, _size, as_array, open_picture

__all__ = ["image_folder"]

RESIZES = ("stretch", "crop", "pad")
MOST = 1 << 28  # bytes of one file in an archive
NAMED = 5  # files that a message names

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)

Found = dict[str, list[tuple[str, Callable[[], Any]]]]  # class -> (name, what gives a path or an open file)


def image_folder(
    path: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    mode: str | None = None,
    *,
    resize: str | None = None,
    inside: str = "",
    on_error: str = "skip",
) -> ArrayDataset:
    """Load pictures whose class is the folder that they are in.

    Args:
        path: a folder with one folder per class, or a .tar, .tar.gz, .tar.bz2, .tar.xz or .zip archive of one.
        size: (height, width) in pixels that each picture must have, or one number for both; default that of most.
        mode: "RGB" or "L" (grey) converts each picture; default none is converted, and all must have the mode of most.
        resize: bring pictures to `size`: "stretch", "crop" (scaled to cover it, the middle kept) or "pad" (scaled to
            fit into it, black around it); default none, a picture of another size is an error.
        inside: folder below the path that holds the class folders, such as "train"; default the path itself, or the one
            folder that an archive has at its top.
        on_error: "skip" (default) leaves out damaged pictures, with one warning that counts and names them; "raise".

    Returns:
        ArrayDataset with `images` uint8 [n, channels, height, width] and `labels` int64 [n]; classes and files are in
        natural order (2 before 10).

    Raises:
        MissingDataError: there is no such folder or archive.
        DataError: no class folders, one without pictures, pictures of another size or mode, a damaged archive, or one
            whose paths lead out of it.
        ValueError: a setting that is not allowed.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> root = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("cat", "dog"):
        ...     (root / name).mkdir()
        ...     Image.new("RGB", (4, 3)).save(root / name / "1.png")
        >>> pictures = image_folder(root)
        >>> pictures.images.shape, pictures.labels.tolist(), pictures.classes
        ((2, 3, 3, 4), [0, 1], ('cat', 'dog'))
    """
    target = _checked(size, mode, resize, on_error)
    root = pathlib.Path(path)
    found = _in_folder(root / inside) if root.is_dir() else _in_archive(root, inside)
    pictures, names, labels = _decoded(root, found, on_error)
    if mode is not None:
        pictures = [picture.convert(mode) for picture in pictures]
    if resize is not None:
        assert target is not None
        pictures = [_resized(picture, target, resize) for picture in pictures]
    _check_equal(root, pictures, names, target, mode)
    images = np.stack([as_array(picture) for picture in pictures])
    return ArrayDataset(images, np.asarray(labels, np.int64), names=("images", "labels"), classes=tuple(found))


def _checked(size: Any, mode: str | None, resize: str | None, on_error: str) -> tuple[int, int] | None:
    """Return the size as (height, width); raise where a setting is not allowed."""
    if mode is not None:
        _mode(mode)
    if resize is not None and resize not in RESIZES:
        listed, hint = ", ".join(map(repr, RESIZES)), nearest(resize, RESIZES) if isinstance(resize, str) else ""
        raise ValueError(f"image_folder.resize must be one of {listed}, or None; got {resize!r}{hint or '.'}")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"image_folder.on_error must be 'raise' or 'skip'; got {on_error!r}.")
    target = _size(size)
    if resize is not None and target is None:
        raise ValueError(f"image_folder.resize={resize!r} needs size=(height, width): what to resize to.")
    return target


# ---------------------------------------------------------------------------------------------------- what there is
def _in_folder(root: pathlib.Path) -> Found:
    def opener(path: pathlib.Path) -> Callable[[], Any]:
        return lambda: path

    return {name: [(str(path), opener(path)) for path in paths] for name, paths in _find(root).items()}


def _in_archive(path: pathlib.Path, inside: str) -> Found:
    """Return the pictures of an archive by class, their bytes in memory."""
    if not path.is_file():
        raise MissingDataError(f"image_folder: there is no folder or archive {path}; check the name.")
    try:
        entries = _zip_entries(path) if zipfile.is_zipfile(path) else _tar_entries(path)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        OSError,
    ) as e:
        raise DataError(f"{path} is damaged, truncated, encrypted or no tar or ZIP archive: {e}.") from None
    below = pathlib.PurePosixPath(inside).parts if inside else _top(entries)
    classes: dict[str, list[tuple[str, bytes]]] = {}
    for name, content in entries:
        parts = pathlib.PurePosixPath(name).parts
        if parts[: len(below)] != below or any(part.startswith((".", "__MACOSX")) for part in parts):
            continue
        rest = parts[len(below) :]
        if len(rest) > 1 or (len(rest) == 1 and content is None):
            files = classes.setdefault(rest[0], [])
            if content is not None and len(rest) > 1 and pathlib.PurePosixPath(name).suffix.lower() in SUFFIXES:
                files.append((name, content))
    if not classes:
        where = f" in {inside}/" if inside else ""
        raise DataError(f"{path} has no class folders{where}; its pictures must lie in <class name>/, or pass inside=.")
    for name, files in classes.items():
        if not files:
            raise DataError(
                f"{path}: the class folder {name} has no pictures ({', '.join(sorted(SUFFIXES))}). "
                "Add some, or remove the folder."
            )

    def opener(content: bytes) -> Callable[[], Any]:
        return lambda: io.BytesIO(content)

    def naturally(name: str) -> Any:
        return _natural(pathlib.Path(name))

    return {
        kind: [(name, opener(content)) for name, content in sorted(classes[kind], key=lambda file: naturally(file[0]))]
        for kind in sorted(classes, key=naturally)
    }


def _top(entries: Sequence[tuple[str, bytes | None]]) -> tuple[str, ...]:
    """Return the one folder at the top of an archive that holds the class folders, or () where they are the top."""
    paths = [pathlib.PurePosixPath(name).parts for name, content in entries if content is not None]
    paths = [parts for parts in paths if pathlib.PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES]
    tops = {parts[0] for parts in paths}
    return (next(iter(tops)),) if len(tops) == 1 and all(len(parts) > 2 for parts in paths) else ()


def _tar_entries(path: pathlib.Path) -> list[tuple[str, bytes | None]]:
    """Return (name, content) of each file of a tar archive, content None for folders."""
    entries: list[tuple[str, bytes | None]] = []
    with tarfile.open(path) as archive:
        for member in archive:
            _check_safe(path, member.name, member.size)
            if member.isdir():
                entries.append((member.name, None))
            elif member.isfile():
                file = archive.extractfile(member)
                assert file is not None
                entries.append((member.name, file.read()))
            else:
                raise DataError(f"{path} is refused: {member.name} is a link or a device, and no file.")
    return entries


def _zip_entries(path: pathlib.Path) -> list[tuple[str, bytes | None]]:
    """Return (name, content) of each file of a ZIP archive, content None for folders."""
    entries: list[tuple[str, bytes | None]] = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _check_safe(path, info.filename, info.file_size)
            if (info.external_attr >> 16) & 0o170000 == 0o120000:
                raise DataError(f"{path} is refused: {info.filename} is a link or a device, and no file.")
            entries.append((info.filename, None if info.is_dir() else archive.read(info)))
    return entries


def _check_safe(path: pathlib.Path, name: str, size: int) -> None:
    """Raise where a name leads out of its archive, or a file is larger than any picture."""
    windows = pathlib.PureWindowsPath(name)  # it knows both kinds of slash, and drives
    if ".." in windows.parts or windows.drive or windows.root:
        raise DataError(f"{path} is refused: the path {name!r} leads out of the archive.")
    if size > MOST:
        raise DataError(f"{path} is refused: {name} has {size:,} bytes; at most {MOST:,} are read of one file.")


# ---------------------------------------------------------------------------------------------------- decoding
def _decoded(root: pathlib.Path, found: Found, on_error: str) -> tuple[list[Any], list[str], list[int]]:
    """Return the pictures that can be read, their names and labels; warn once about the others."""
    pictures: list[Any] = []
    names: list[str] = []
    labels: list[int] = []
    bad: list[Any] = []
    for label, (kind, files) in enumerate(found.items()):
        before = len(pictures)
        for name, opener in files:
            try:
                pictures.append(_plain(open_picture(opener(), name if root.is_dir() else f"{name} in {root}")))
            except DataError:
                if on_error == "raise":
                    raise
                bad.append(name)
                continue
            names.append(name)
            labels.append(label)
        if len(pictures) == before:
            raise DataError(f"{root}: none of the {len(files)} pictures of the class folder {kind} can be read.")
    if bad:
        notice(
            f"image_folder left out {len(bad)} of {len(bad) + len(pictures)} pictures of {root} that can't be read: "
            f"{_listed(bad)}."
        )
    return pictures, names, labels


def _plain(picture: Any) -> Any:
    """Return a picture in mode RGB or L where its mode only says how that was stored; else as it is."""
    if picture.mode == "P":
        return picture.convert("RGB")
    return picture.convert("L") if picture.mode == "1" else picture


def _resized(picture: Any, target: tuple[int, int], how: str) -> Any:
    from PIL import Image, ImageOps

    size, method = (target[1], target[0]), Image.Resampling.BILINEAR
    if picture.size == size:
        return picture
    if how == "stretch":
        return picture.resize(size, method)
    return ImageOps.fit(picture, size, method) if how == "crop" else ImageOps.pad(picture, size, method)


def _check_equal(
    root: pathlib.Path, pictures: list[Any], names: list[str], target: tuple[int, int] | None, mode: str | None
) -> None:
    """Raise where pictures differ in size or mode, naming those that do."""
    kinds = [((picture.height, picture.width), picture.mode) for picture in pictures]
    common = collections.Counter(size for size, _ in kinds).most_common(1)[0][0]
    size = common if target is None else target
    colours = collections.Counter(colour for _, colour in kinds if colour in ("RGB", "L"))
    colour = mode or (colours.most_common(1)[0][0] if colours else "RGB")
    wrong = [i for i, kind in enumerate(kinds) if kind != (size, colour)]
    if not wrong:
        return
    named = [f"{names[i]} ({kinds[i][0][0]} x {kinds[i][0][1]} {kinds[i][1]})" for i in wrong]
    ways = []
    if any(kinds[i][0] != size for i in wrong):
        ways.append(f'size={size} and resize="stretch", "crop" or "pad"')
    if any(kinds[i][1] != colour for i in wrong):
        ways.append(f'mode="{colour}"')
    raise DataError(
        f"{len(wrong)} of {len(pictures)} pictures of {root} are not {size[0]} x {size[1]} {colour}: {_listed(named)}. "
        f"To convert them, pass {' and '.join(ways)}."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
