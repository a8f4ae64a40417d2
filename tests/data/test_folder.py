"""Image folders: classes, order, decoding, and pictures that are none."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from chainrule.core.errors import ChainruleWarning, DataError, MissingDataError
from chainrule.data import DataLoader, ImageFolder, Subset, read_picture


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@pytest.fixture
def root(tmp_path):
    """Two classes of 4 x 3 pictures whose red value is the number in their name."""
    for name in ("class10", "class2"):
        (tmp_path / name).mkdir()
        for number in (10, 9, 1):
            Image.new("RGB", (4, 3), (number, 0, 255)).save(tmp_path / name / f"img{number}.png")
    (tmp_path / "class2" / "notes.txt").write_text("no picture")
    (tmp_path / "class2" / ".hidden.png").write_text("no picture")
    (tmp_path / ".git").mkdir()
    (tmp_path / "README").write_text("no class")
    return tmp_path


def test_classes_and_files_in_natural_order(root):
    data = ImageFolder(root)
    assert data.classes == ("class2", "class10")
    assert [path.name for path in data.paths] == ["img1.png", "img9.png", "img10.png"] * 2
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(data) == 6
    picture, label = data[2]
    assert (picture.dtype, picture.shape) == (np.uint8, (3, 3, 4))
    assert picture[:, 0, 0].tolist() == [10, 0, 255]
    assert label == 0
    assert repr(data) == f"ImageFolder({str(root)!r}, size=None, mode='RGB')"


def test_grey_and_size(root):
    picture, _ = ImageFolder(root, size=(6, 8), mode="L")[0]
    assert picture.shape == (1, 6, 8)
    assert ImageFolder(root, size=5)[0][0].shape == (3, 5, 5)


def test_in_memory_equals_one_by_one(root):
    lazy, loaded = ImageFolder(root), ImageFolder(root).load()
    assert loaded.classes == lazy.classes
    for (x, y), (x_loaded, y_loaded) in zip(DataLoader(lazy, 4), DataLoader(loaded, 4), strict=True):
        assert np.array_equal(x.numpy(), x_loaded.numpy())
        assert y.tolist() == y_loaded.tolist()
        assert y.dtype is y_loaded.dtype


def test_pictures_may_lie_deeper(root):
    (root / "class2" / "more").mkdir()
    Image.new("L", (4, 3)).save(root / "class2" / "more" / "x.JPG", "JPEG")
    assert len(ImageFolder(root)) == 7


def test_unequal_sizes_need_a_size(root):
    Image.new("RGB", (9, 9)).save(root / "class10" / "img11.png")
    with raises(
        DataError,
        f"ImageFolder.load needs pictures of one size; {root / 'class2' / 'img1.png'} has 3 x 4 and "
        f"{root / 'class10' / 'img11.png'} has 9 x 9. Pass size=(height, width).",
    ):
        ImageFolder(root).load()
    assert ImageFolder(root, size=4).load().images.shape == (7, 3, 4, 4)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_loader_names_the_file_of_another_size(root, prefetch):
    odd = root / "class10" / "img11.png"
    Image.new("RGB", (9, 9)).save(odd)
    first = root / "class2" / "img1.png"
    tail = " Bring them to one shape (crop, resize or pad), or pass collate= to the loader."
    with raises(
        DataError,
        "the samples of one batch must have equal shapes at [0]; "
        f"sample 6 ({odd}) has (3, 9, 9) and sample 0 ({first}) has (3, 3, 4).{tail}",
    ):
        list(DataLoader(ImageFolder(root), 7, prefetch=prefetch))
    with raises(
        DataError,
        "the samples of one batch must have equal shapes at [0]; "
        f"sample 1 ({odd}) has (3, 9, 9) and sample 0 ({first}) has (3, 3, 4).{tail}",
    ):
        list(DataLoader(Subset(ImageFolder(root), [0, 6]), 2, prefetch=prefetch))


def test_a_loader_names_a_truncated_picture(root):
    bad = damaged(root / "class10" / "img0.png")
    with pytest.raises(DataError) as caught:
        list(DataLoader(ImageFolder(root), 2))
    assert str(caught.value) == f"{bad} is a damaged or truncated picture: image file is truncated."
    assert caught.value.__notes__ == ["while loading sample 3 of ImageFolder"]


def test_a_picture_that_may_not_be_read(root, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refused)
    path = root / "class2" / "img1.png"
    with raises(DataError, f"{path} may not be read by this user; change its permissions."):
        read_picture(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM"])
def test_no_damage_is_anything_but_a_data_error(kind):
    """Pictures cut anywhere, and with bytes changed anywhere: a picture comes out, or an error that names the file."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    buffer = io.BytesIO()
    pixels = Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    pixels.save(buffer, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
    whole, errors = buffer.getvalue(), []
    for number in range(90):
        content = bytearray(whole)
        if number % 3 == 0:
            content = content[: rng.integers(0, len(content))]
        else:
            for place in rng.integers(0, min(len(content), (200, 10**6)[number % 3 - 1]), rng.integers(1, 6)):
                content[place] = rng.integers(0, 256)
        try:
            assert read_picture(io.BytesIO(bytes(content)), name="cat.jpg").shape[0] == 3
        except DataError as error:
            errors.append(str(error))
    assert len(errors) > 15
    assert all(message.startswith("cat.jpg is ") for message in errors)


def test_empty_class(root):
    (root / "class3").mkdir()
    (root / "class3" / "notes.txt").write_text("no picture")
    with raises(
        DataError,
        f"ImageFolder: the class folder {root / 'class3'} has no pictures (.bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, "
        ".tif, .tiff, .webp). Add some, or remove the folder.",
    ):
        ImageFolder(root)


def test_no_root_and_no_classes(tmp_path):
    with raises(
        MissingDataError,
        f"ImageFolder: there is no folder {tmp_path / 'none'}; give the folder that holds the class folders.",
    ):
        ImageFolder(tmp_path / "none")
    with raises(
        DataError, f"ImageFolder: {tmp_path} has no class folders; put the pictures into {tmp_path}/<class name>/."
    ):
        ImageFolder(tmp_path)


def damaged(path):
    """Write a PNG whose second half is missing."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue()[: buffer.tell() // 2])
    return path


def test_unreadable_pictures_are_named(root):
    bad = root / "class10" / "img0.png"
    bad.write_text("no picture")
    data = ImageFolder(root)
    with raises(DataError, f"{bad} is no picture that can be read; give a PNG, JPEG, BMP, GIF, TIFF or WebP file."):
        _ = data[3]
    damaged(bad)
    with pytest.raises(DataError, match=rf"^{re.escape(str(bad))} is a damaged or truncated picture: .*\.$"):
        _ = data[3]


def test_skipping_counts_what_was_left_out(root):
    (root / "class10" / "img0.png").write_text("no picture")
    damaged(root / "class2" / "img0.png")
    with pytest.warns(ChainruleWarning) as caught:
        data = ImageFolder(root, on_error="skip")
    assert [str(warning.message) for warning in caught] == [
        f"ImageFolder left out 2 of 8 pictures of {root} that can't be read: class2/img0.png, class10/img0.png."
    ]
    assert len(data.load()) == 6


def test_skipping_a_whole_class_is_an_error(root):
    for path in (root / "class2").glob("img*"):
        path.write_text("no picture")
    with raises(DataError, f"ImageFolder: no picture of the class folder {root / 'class2'} can be read."):
        ImageFolder(root, on_error="skip")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mode": "CMYK"}, "a picture's mode must be 'RGB' or 'L'; got 'CMYK'."),
        ({"size": 0}, "a picture's size must be (height, width) or one number, in pixels >= 1; got 0."),
        ({"size": (1, 2, 3)}, "a picture's size must be (height, width) or one number, in pixels >= 1; got (1, 2, 3)."),
        ({"on_error": "ignore"}, "ImageFolder.on_error must be 'raise' or 'skip'; got 'ignore'."),
    ],
)
def test_settings(root, options, message):
    with raises(ValueError, message):
        ImageFolder(root, **options)


# ------------------------------------------------------------------------------------------------------ the decoder
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I"])
def test_every_stored_mode_decodes(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I", "I;16") else "a.png")
    if mode in ("I", "I;16"):
        Image.fromarray(np.full((2, 3), 0x80FF, dtype=np.uint16 if mode == "I;16" else np.int32)).save(path)
    else:
        Image.new("RGBA", (3, 2), (255, 255, 255, 255)).convert(mode).save(path)
    for wanted, channels in (("L", 1), ("RGB", 3)):
        pixels = read_picture(path, wanted)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (channels, 2, 3))
        assert np.unique(pixels).tolist() == [0x80 if mode.startswith("I") else 255]


def test_transparency_lies_on_white(tmp_path):
    Image.new("RGBA", (1, 1), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", "L").tolist() == [[[255]]]
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([9, 9, 9] * 256)
    palette.save(tmp_path / "b.png", transparency=bytes([0] * 256))
    assert read_picture(tmp_path / "b.png", "L").tolist() == [[[255]]]


def test_orientation_of_the_camera(tmp_path):
    picture = Image.new("RGB", (4, 2))
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera lay on its side
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (3, 4, 2)


def test_real_digits_come_back_from_png(tmp_path, digits):
    Image.fromarray(digits.images[0]).save(tmp_path / "7.png")
    assert np.array_equal(read_picture(tmp_path / "7.png", "L")[0], digits.images[0])


def test_missing_picture(tmp_path):
    with raises(MissingDataError, f"there is no picture {tmp_path / 'a.png'}; check the name and the folder."):
        read_picture(tmp_path / "a.png")


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(DataError, match=rf"^{re.escape(str(tmp_path))} is a damaged or truncated picture: .*\.$"):
        read_picture(tmp_path)


def test_huge_pictures_are_refused(tmp_path, monkeypatch):
    Image.new("1", (300, 300)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"a\.png is a damaged or truncated picture: Image size \(90000 pixels\)"):
        read_picture(tmp_path / "a.png")


def test_all_real_blood_cells_decode(tmp_path, data_folder):
    import zipfile

    with zipfile.ZipFile(data_folder / "detection" / "bccd.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")][:5]
        archive.extractall(tmp_path / "root" / "cells", names)
    data = ImageFolder(tmp_path / "root", size=(48, 64)).load()
    assert data.images.shape == (5, 3, 48, 64)
