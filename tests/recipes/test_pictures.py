"""Pictures of digits become what MNIST has, whatever their size, colour and brightness."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from chainrule.core.errors import DataError
from chainrule.data import mnist
from chainrule.recipes.pictures import prepare_digit, read_digit


def stroke(height, width, paper, ink):
    """Return a page with a thick 7 somewhere on it."""
    page = np.full((height, width), paper, np.float64)
    top, left, tall, wide = height // 5, width // 3, height // 2, width // 3
    thick = max(2, tall // 8)
    page[top : top + thick, left : left + wide] = ink
    for row in range(tall):
        right = left + wide - int(wide * 0.6 * row / tall)
        page[top + row, right - thick : right] = ink
    return page.astype(np.uint8)


def centre_of_mass(pixels):
    total = pixels.sum(dtype=float)
    return (pixels.sum(1) * np.arange(28)).sum() / total, (pixels.sum(0) * np.arange(28)).sum() / total


@pytest.mark.parametrize(
    "height, width, paper, ink", [(100, 80, 255, 0), (300, 500, 0, 255), (60, 60, 230, 40), (1000, 700, 20, 200)]
)
def test_any_size_and_brightness_is_cropped_scaled_and_centred(height, width, paper, ink):
    digit = prepare_digit(stroke(height, width, paper, ink))
    assert (digit.pixels.shape, digit.pixels.dtype) == ((28, 28), np.uint8)
    rows, columns = np.nonzero(digit.pixels)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert all(abs(middle - 13.5) <= 1 for middle in centre_of_mass(digit.pixels))
    assert digit.pixels.max() > 200
    how = "dark on light: inverted, " if paper > ink else "light on dark: "
    assert digit.note == f"{width} x {height}, {how}cropped and centred"


def test_light_and_dark_ink_give_the_same_digit():
    dark = prepare_digit(stroke(200, 160, 255, 0)).pixels
    light = prepare_digit(stroke(200, 160, 0, 255)).pixels
    np.testing.assert_array_equal(dark, light)


def test_mnists_own_digits_stay_as_they_are():
    images = mnist("test").images[:200]
    kept = [np.array_equal(prepare_digit(image).pixels, image) for image in images]
    assert np.mean(kept) > 0.95
    inverted = prepare_digit(255 - images[0])
    np.testing.assert_array_equal(inverted.pixels, images[0])
    assert inverted.note == "28 x 28, dark on light: inverted"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16", "LA", "CMYK"])
def test_every_mode_of_pictures_is_read(mode, tmp_path):
    grey = Image.fromarray(stroke(120, 100, 255, 0))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        picture = grey.convert("RGBA").convert(mode) if mode == "LA" else grey.convert(mode)
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    picture.save(path)
    want = prepare_digit(np.asarray(grey)).pixels
    assert np.abs(read_digit(path).pixels.astype(int) - want).max() <= 3


def test_transparent_paper_is_seen_through(tmp_path):
    ink = stroke(90, 70, 0, 255)
    for colour, note in ((0, "dark on light: inverted, "), (255, "light on dark: ")):
        rgba = np.zeros((90, 70, 4), np.uint8)
        rgba[..., :3], rgba[..., 3] = colour, ink
        Image.fromarray(rgba).save(tmp_path / "a.png")
        digit = read_digit(tmp_path / "a.png")
        assert digit.note == f"70 x 90, {note}cropped and centred"
        np.testing.assert_array_equal(digit.pixels, prepare_digit(ink).pixels)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    page = Image.fromarray(stroke(120, 100, 255, 0))
    exif = page.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to look at
    page.rotate(90, expand=True).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_digit(tmp_path / "a.png").pixels, prepare_digit(np.asarray(page)).pixels)


def test_a_thin_dot_and_a_single_line_stay_inside_the_frame():
    page = np.full((200, 40), 255, np.uint8)
    page[:, 18:22] = 0  # from edge to edge
    page[:2] = page[-2:] = 255
    pixels = prepare_digit(page).pixels
    assert pixels[4:24].any(axis=1).all()
    assert not pixels[:3].any()


@pytest.mark.parametrize(
    "make, wanted",
    [
        (lambda p: None, "there is no file {}; check the name and the folder."),
        (lambda p: p.mkdir(), "{} is a folder; give the picture itself."),
        (
            lambda p: p.write_text("not a picture"),
            "{} is no picture that can be read; give a PNG or JPEG of one digit.",
        ),
        (lambda p: p.write_bytes(b""), "{} is no picture that can be read; give a PNG or JPEG of one digit."),
        (
            lambda p: Image.new("L", (50, 50), 250).save(p),
            "{}: there is no digit in the picture: its pixels differ from the paper by at most 0 of 255. "
            "Write with a thick dark pen on light paper, one digit per picture.",
        ),
    ],
)
def test_what_is_no_picture_of_a_digit_says_so(make, wanted, tmp_path):
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(DataError) as caught:
        read_digit(path)
    assert caught.value.message == wanted.format(path)


def test_a_truncated_picture_is_damaged(tmp_path):
    path = tmp_path / "a.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (100, 100), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError) as caught:
        read_digit(path)
    assert caught.value.message.startswith(f"{path} is a damaged picture: ")


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "a.png"
    Image.new("1", (10_000, 5_001)).save(path)
    with pytest.raises(DataError) as caught:
        read_digit(path)
    assert caught.value.message == f"{path} is too large: 10000 x 5001 pixels; at most 50 million. Scale it down."
