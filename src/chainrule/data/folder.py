"""Pictures in folders, one folder per class.

    root/cat/1.png  root/cat/2.png  root/dog/1.jpg   ->   classes ("cat", "dog"), three samples (picture, class number)

Classes and files come in natural order (2 before 10). Pictures are decoded when asked for, as uint8
[channels, height, width]; `load()` decodes all at once into an ArrayDataset. `read_picture` is the decoder alone:
orientation as the camera noted it, transparency on white, one or three channels. `image_folder`, in `image_files`, also
reads archives, checks sizes and modes, and loads all at once.
"""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any

import numpy as np

from chainrule.core.errors import DataError, MissingDataError, notice
from chainrule.data.dataset import ArrayDataset, Dataset

__all__ = ["ImageFolder", "read_picture"]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class ImageFolder(Dataset):
    """Pictures of a folder tree; the folder directly under root is the class.

    Args:
        root: folder with one folder per class; pictures may lie deeper inside these.
        size: (height, width) in pixels to resize to, or one number for both; default none, each as stored.
        mode: "RGB" (3 channels) or "L" (1, grey); default "RGB".
        on_error: "raise" (default), or "skip": every picture is tried once now, and unreadable ones are left out with
            one warning that counts them.

    Attributes:
        classes: names of the class folders.
        paths: one per sample.
        labels: int64 [n], class numbers.

    Raises:
        MissingDataError: no folder root.
        DataError: no class folders, a class without pictures, a picture that can't be read.
        ValueError: another setting that is not allowed.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> root = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("cat", "dog"):
        ...     (root / name).mkdir()
        ...     Image.new("RGB", (4, 3)).save(root / name / "1.png")
        >>> pictures = ImageFolder(root)
        >>> pictures.classes, pictures[1][0].shape, pictures[1][1]
        (('cat', 'dog'), (3, 3, 4), 1)

    Source: the layout of torchvision.datasets.ImageFolder; there the order is by plain sorting (10 before 2).
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: int | tuple[int, int] | None = None,
        mode: str = "RGB",
        *,
        on_error: str = "raise",
    ):
        if on_error not in ("raise", "skip"):
            raise ValueError(f"ImageFolder.on_error must be 'raise' or 'skip'; got {on_error!r}.")
        self.root = pathlib.Path(root)
        self.size = _size(size)
        self.mode = _mode(mode)
        found = _find(self.root)
        if on_error == "skip":
            found = self._readable(found)
        self.classes = tuple(found)
        self.paths = [path for paths in found.values() for path in paths]
        self.labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found.values()])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return read_picture(self.paths[index], self.mode, self.size), int(self.labels[index])

    def load(self) -> ArrayDataset:
        """Decode all pictures into memory.

        Returns:
            ArrayDataset with `images` uint8 [n, channels, height, width] and `labels` int64 [n].

        Raises:
            DataError: a picture that can't be read, or pictures of unequal size.
        """
        images = [self[index][0] for index in range(len(self))]
        for path, image in zip(self.paths, images):
            if image.shape != images[0].shape:
                raise DataError(
                    f"ImageFolder.load needs pictures of one size; {self.paths[0]} has {_extent(images[0])} and "
                    f"{path} has {_extent(image)}. Pass size=(height, width)."
                )
        return ArrayDataset(np.stack(images), self.labels, names=("images", "labels"), classes=self.classes)

    def _readable(self, found: dict[str, list[pathlib.Path]]) -> dict[str, list[pathlib.Path]]:
        """Return the pictures that can be decoded; warn once about the others."""
        kept: dict[str, list[pathlib.Path]] = {}
        bad: list[pathlib.Path] = []
        for name, paths in found.items():
            kept[name] = []
            for path in paths:
                try:
                    read_picture(path, self.mode)
                    kept[name].append(path)
                except DataError:
                    bad.append(path)
            if not kept[name]:
                raise DataError(f"ImageFolder: no picture of the class folder {self.root / name} can be read.")
        if bad:
            shown = ", ".join(str(path.relative_to(self.root)) for path in bad[:5])
            more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
            total = sum(map(len, found.values()))
            notice(
                f"ImageFolder left out {len(bad)} of {total} pictures of {self.root} that can't be read: {shown}{more}."
            )
        return kept

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}, size={self.size}, mode={self.mode!r})"


def read_picture(
    path: Any, mode: str = "RGB", size: int | tuple[int, int] | None = None, *, name: str | None = None
) -> np.ndarray:
    """Decode one picture file.

    Args:
        path: the file, or an open one: PNG, JPEG, or whatever else Pillow reads.
        mode: "RGB" (3 channels) or "L" (1, grey); default "RGB".
        size: (height, width) in pixels to resize to, or one number for both; default as stored.
        name: what messages call it; default the path.

    Returns:
        uint8 array [channels, height, width], 0 black and 255 white or full.

    Raises:
        MissingDataError: there is no such file.
        DataError: the file is no picture, or is damaged or truncated.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (2, 1), 7).save(path)
        >>> read_picture(path, "L")
        array([[[7, 7]]], dtype=uint8)
    """
    from PIL import Image

    wanted, target = _mode(mode), _size(size)
    flat = open_picture(path, name).convert(wanted)
    if target is not None and (flat.height, flat.width) != target:
        flat = flat.resize((target[1], target[0]), Image.Resampling.BILINEAR)
    return as_array(flat)


def open_picture(path: Any, name: str | None = None) -> Any:
    """Return a picture of Pillow's, decoded, upright and without transparency.

    Args:
        path: the file, or an open one.
        name: what messages call it; default the path.

    Raises:
        MissingDataError: there is no such file.
        DataError: the file is no picture, or is damaged or truncated.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    called = name or str(path)
    try:
        with Image.open(path) as picture:
            picture.load()
            return _flatten(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise MissingDataError(f"there is no picture {called}; check the name and the folder.") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{called} is no picture that can be read; give a PNG, JPEG, BMP, GIF, TIFF or WebP file."
        ) from None
    except PermissionError:
        raise DataError(f"{called} may not be read by this user; change its permissions.") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Warning) as error:
        raise DataError(f"{called} is a damaged or truncated picture: {error}.") from None


def as_array(picture: Any) -> np.ndarray:
    """Return a picture of Pillow's in mode RGB or L as uint8 [channels, height, width].

    Args:
        picture: the picture.
    """
    pixels = np.array(picture, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _flatten(picture: Any) -> Any:
    """Return the picture with transparency put on white, and 16-bit grey reduced to 8 bits."""
    from PIL import Image

    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        return Image.fromarray((values >> 8 if values.max(initial=0) > 255 else values).clip(0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture


def _find(root: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Return the picture files of each class folder, both in natural order."""
    if not root.is_dir():
        raise MissingDataError(f"ImageFolder: there is no folder {root}; give the folder that holds the class folders.")
    folders = sorted((f for f in root.iterdir() if f.is_dir() and not f.name.startswith(".")), key=_natural)
    if not folders:
        raise DataError(f"ImageFolder: {root} has no class folders; put the pictures into {root}/<class name>/.")
    found = {}
    for folder in folders:
        files = (f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        paths = sorted((f for f in files if not f.name.startswith(".")), key=_natural)
        if not paths:
            raise DataError(
                f"ImageFolder: the class folder {folder} has no pictures ({', '.join(sorted(SUFFIXES))}). "
                "Add some, or remove the folder."
            )
        found[folder.name] = paths
    return found


def _natural(path: pathlib.Path) -> tuple[Any, ...]:
    """Return a sorting key in which runs of digits count as numbers; the text itself decides between 1 and 01."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts], str(path)


def _size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in pair):
        raise ValueError(f"a picture's size must be (height, width) or one number, in pixels >= 1; got {size!r}.")
    return pair


def _mode(mode: str) -> str:
    if mode not in ("RGB", "L"):
        raise ValueError(f"a picture's mode must be 'RGB' or 'L'; got {mode!r}.")
    return mode


def _extent(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[2]}"
