"""`image_folder`: folders and archives of pictures, and what is wrong with them."""

from __future__ import annotations

import io
import re
import stat
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from chainrule import data
from chainrule.core.errors import ChainruleWarning, DataError, MissingDataError
from chainrule.data.folder import SUFFIXES


def picture(size=(4, 6), mode="RGB", value=100, kind="PNG"):
    """Return the bytes of a picture of (height, width)."""
    buffer = io.BytesIO()
    colour = value if mode in ("L", "P", "1") else (value, 0, 255, 128)[: len(mode)]
    Image.new(mode, size[::-1], colour).save(buffer, kind)
    return buffer.getvalue()


def noisy_jpeg():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


FILES = {"cat/10.png": picture(value=10), "cat/2.png": picture(value=2), "dog/1.png": picture(value=50)}


def folder(path, files):
    for name, content in files.items():
        target = path / name
        if content is None:
            target.mkdir(parents=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path


def tar(path, files, compression=""):
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return path


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}/" if content is None else name, content or b"")
    return path


MAKERS = {
    "folder": lambda path, files: folder(path / "set", files),
    "tar": lambda path, files: tar(path / "set.tar", files),
    "tar.gz": lambda path, files: tar(path / "set.tar.gz", files, "gz"),
    "tar.xz": lambda path, files: tar(path / "set.tar.xz", files, "xz"),
    "zip": lambda path, files: zipped(path / "set.zip", files),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
archives = pytest.mark.parametrize("make", [MAKERS["tar"], MAKERS["zip"]], ids=["tar", "zip"])


def error(path, kind=DataError, **settings):
    with pytest.raises(kind) as caught:
        data.image_folder(path, **settings)
    return str(caught.value)


@every
def test_classes_and_pictures_in_natural_order(make, tmp_path):
    found = data.image_folder(make(tmp_path, FILES))
    assert found.classes == ("cat", "dog")
    assert found.images.shape == (3, 3, 4, 6)
    assert found.images.dtype == np.uint8
    assert found.images[:, 0, 0, 0].tolist() == [2, 10, 50]
    assert found.labels.tolist() == [0, 0, 1]


@every
def test_inside_chooses_a_folder(make, tmp_path):
    both = {f"{split}/{name}": content for split in ("train", "test") for name, content in FILES.items()}
    both["train/cat/3.png"] = picture(value=3)
    path = make(tmp_path, both)
    assert len(data.image_folder(path, inside="train")) == 4
    assert len(data.image_folder(path, inside="test")) == 3


@archives
def test_one_folder_at_the_top_of_an_archive_is_passed_over(make, tmp_path):
    path = make(tmp_path, {f"pets-1.0/{name}": content for name, content in FILES.items()} | {"pets-1.0/README": b"hi"})
    assert data.image_folder(path).classes == ("cat", "dog")


@every
def test_other_files_and_hidden_ones_are_no_pictures(make, tmp_path):
    found = data.image_folder(make(tmp_path, {**FILES, "cat/notes.txt": b"x", "cat/._2.png": b"x", ".git/a.png": b"x"}))
    assert len(found) == 3
    assert found.classes == ("cat", "dog")


# ---------------------------------------------------------------------------------------------------- size and mode
def test_pictures_of_another_size_or_mode_are_named(tmp_path):
    odd = {"cat/3.png": picture((5, 6)), "dog/7.png": picture(mode="L")}
    path = folder(tmp_path / "set", {**FILES, **odd})
    cat, dog = path / "cat" / "3.png", path / "dog" / "7.png"
    assert error(path) == (
        f"2 of 5 pictures of {path} are not 4 x 6 RGB: {cat} (5 x 6 RGB), {dog} (4 x 6 L). To convert them, pass "
        'size=(4, 6) and resize="stretch", "crop" or "pad" and mode="RGB".'
    )
    assert error(path, mode="RGB") == (
        f"1 of 5 pictures of {path} are not 4 x 6 RGB: {cat} (5 x 6 RGB). To convert them, pass "
        'size=(4, 6) and resize="stretch", "crop" or "pad".'
    )
    assert error(path, size=8, mode="L").startswith(f"5 of 5 pictures of {path} are not 8 x 8 L: ")


def test_many_wrong_ones_are_counted(tmp_path):
    cats = {f"cat/{i}.png": picture() for i in range(20, 30)}
    dogs = {f"dog/{i}.png": picture((9, 9)) for i in range(2, 10)}
    path = folder(tmp_path / "set", FILES | cats | dogs)
    assert re.search(r"^8 of 21 pictures .* \(9 x 9 RGB\) and 3 more\. To convert", error(path))


def test_palettes_are_colour_and_transparency_is_put_on_white(tmp_path):
    path = folder(
        tmp_path / "set", {"a/1.png": picture(mode="P"), "a/2.png": picture(mode="RGBA"), "b/1.png": picture()}
    )
    found = data.image_folder(path, mode="RGB")
    assert found.images.shape == (3, 3, 4, 6)
    assert 100 < found.images[1, 0, 0, 0] < 255


def test_grey(tmp_path):
    path = folder(tmp_path / "set", FILES)
    assert data.image_folder(path, mode="L").images.shape == (3, 1, 4, 6)


@pytest.mark.parametrize("how", ["stretch", "crop", "pad"])
def test_resizing(how, tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = 200  # bright in the middle half
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path = folder(tmp_path / "set", {"a/1.png": buffer.getvalue(), "b/1.png": picture((3, 5))})
    image = data.image_folder(path, size=8, resize=how).images[0, 0]
    assert image.shape == (8, 8)
    bright = image > 100
    if how == "crop":
        assert bright.all()  # the middle is kept
    elif how == "pad":
        assert bright.any(axis=1).sum() == 4  # 8 x 16 becomes 4 x 8, black above and below
        assert not image[:2].any()
        assert not image[6:].any()
    else:
        assert bright.sum() == 8 * 4


# ---------------------------------------------------------------------------------------------------- damage
@every
def test_a_truncated_jpeg_among_many_is_a_counted_warning_with_its_name(make, tmp_path):
    whole = noisy_jpeg()
    files = {f"cat/{i}.jpg": whole for i in range(40)} | {"dog/1.jpg": whole, "cat/17.jpg": whole[: len(whole) // 2]}
    path = make(tmp_path, files)
    name = path / "cat" / "17.jpg" if path.is_dir() else "cat/17.jpg"
    with pytest.warns(ChainruleWarning) as caught:
        found = data.image_folder(path)
    assert len(found) == 40
    assert [str(w.message) for w in caught] == [
        f"image_folder left out 1 of 41 pictures of {path} that can't be read: {name}."
    ]
    message = error(path, on_error="raise")
    called = str(name) if path.is_dir() else f"{name} in {path}"
    assert message.startswith(f"{called} is a damaged or truncated picture: ")


@every
def test_an_empty_class_folder(make, tmp_path):
    path = make(tmp_path, {**FILES, "emu": None})
    where = f"ImageFolder: the class folder {path / 'emu'}" if path.is_dir() else f"{path}: the class folder emu"
    assert error(path) == f"{where} has no pictures ({', '.join(sorted(SUFFIXES))}). Add some, or remove the folder."


def test_a_class_of_which_nothing_can_be_read(tmp_path):
    path = folder(tmp_path / "set", {**FILES, "emu/1.png": b"no picture"})
    assert error(path) == f"{path}: none of the 1 pictures of the class folder emu can be read."


def test_nothing_there(tmp_path):
    assert error(tmp_path / "no", MissingDataError) == (
        f"image_folder: there is no folder or archive {tmp_path / 'no'}; check the name."
    )
    path = zipped(tmp_path / "flat.zip", {"1.png": picture()})
    assert error(path) == (f"{path} has no class folders; its pictures must lie in <class name>/, or pass inside=.")
    assert error(path, inside="train").startswith(f"{path} has no class folders in train/;")


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz", "set.zip"])
def test_damaged_archives(name, tmp_path):
    files = {f"cat/{i}.jpg": noisy_jpeg() for i in range(30)}
    whole = (zipped if name.endswith("zip") else tar)(tmp_path / name, files, *(["gz"] if name.endswith("gz") else []))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert error(whole).startswith(f"{whole} is damaged, truncated, encrypted or no tar or ZIP archive: ")


# ---------------------------------------------------------------------------------------------------- safety
@archives
@pytest.mark.parametrize(
    "name", ["../evil/1.png", "/evil/1.png", "cat/../../1.png", "C:\\evil\\1.png", "cat\\..\\..\\1.png"]
)
def test_paths_that_lead_out_of_an_archive_are_refused(make, name, tmp_path):
    inner = tmp_path / "deep" / "deeper"
    inner.mkdir(parents=True)
    path = make(inner, {**FILES, name: picture()})
    assert error(path) == f"{path} is refused: the path {name!r} leads out of the archive."
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_archive_are_refused(kind, tmp_path):
    path = tar(tmp_path / "set.tar", FILES)
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("cat/link.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    assert error(path) == f"{path} is refused: cat/link.png is a link or a device, and no file."


def test_links_in_a_zip_archive_are_refused(tmp_path):
    path = zipped(tmp_path / "set.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("cat/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert error(path) == f"{path} is refused: cat/link.png is a link or a device, and no file."


def test_reading_an_archive_writes_nothing(tmp_path):
    path = zipped(tmp_path / "set.zip", FILES)
    data.image_folder(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"size": 8, "resize": "crob"},
            "image_folder.resize must be one of 'stretch', 'crop', 'pad', or None; got 'crob'; did you mean 'crop'?",
        ),
        ({"resize": "crop"}, "image_folder.resize='crop' needs size=(height, width): what to resize to."),
        ({"on_error": "warn"}, "image_folder.on_error must be 'raise' or 'skip'; got 'warn'."),
        ({"mode": "CMYK"}, "a picture's mode must be 'RGB' or 'L'; got 'CMYK'."),
        ({"size": 0}, "a picture's size must be (height, width) or one number, in pixels >= 1; got 0."),
    ],
)
def test_settings_that_are_not_allowed(settings, message, tmp_path):
    assert error(folder(tmp_path / "set", FILES), ValueError, **settings) == message
