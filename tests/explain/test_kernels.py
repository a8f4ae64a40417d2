"""Kernels against their published numbers, filters against SciPy, edges against pictures whose edges are known."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.explain import kernels

PICTURE = np.random.default_rng(3).random((17, 12))
ASYMMETRIC = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 10]])
SCIPY = {"reflect": "mirror", "replicate": "nearest", "circular": "wrap", "constant": "constant"}


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


# ---------------------------------------------------------------------------------------------------- the kernels
def test_derivatives_have_their_published_numbers():
    assert kernels.sobel("x").tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    assert kernels.prewitt("x").tolist() == [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]]
    for kind in (kernels.sobel, kernels.prewitt):
        np.testing.assert_array_equal(kind("y"), kind("x").T)


def test_second_derivatives_and_sharpening_have_their_published_numbers():
    assert kernels.laplacian().tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    assert kernels.laplacian(8).tolist() == [[1, 1, 1], [1, -8, 1], [1, 1, 1]]
    assert kernels.sharpen().tolist() == [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    assert kernels.sharpen(0).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert kernels.line("horizontal").tolist() == [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]]
    assert kernels.line("rising").tolist() == [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]]


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3])
def test_a_gaussian_sums_to_one_and_is_an_outer_product(sigma):
    row, plane = kernels.gaussian_1d(sigma), kernels.gaussian(sigma)
    assert row.size == 2 * int(np.ceil(3 * sigma)) + 1
    assert plane.sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_array_equal(plane, np.outer(row, row))
    assert row[0] / row[row.size // 2] == pytest.approx(np.exp(-((row.size // 2) ** 2) / (2 * sigma**2)))
    assert np.linalg.matrix_rank(plane) == 1


def test_a_blur_of_rows_and_columns_is_the_blur_of_the_plane():
    row = kernels.gaussian_1d(1.4)
    separate = kernels.apply_kernel(kernels.apply_kernel(PICTURE, row[None]), row[:, None])
    np.testing.assert_allclose(separate, kernels.apply_kernel(PICTURE, kernels.gaussian(1.4)), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(separate, kernels.gaussian_blur(PICTURE, 1.4))


def test_two_blurs_are_one_of_the_root_of_the_summed_squares():
    # Sampled Gaussians are not exactly closed under convolution; at these widths they differ by less than 1e-4.
    twice = kernels.apply_kernel(kernels.gaussian(1.5, 41), kernels.gaussian(2.0, 21), border="constant")
    np.testing.assert_allclose(twice, kernels.gaussian(2.5, 41), atol=1e-4)


# -------------------------------------------------------------------------------------------- applying a kernel
@pytest.mark.parametrize("border", SCIPY)
@pytest.mark.parametrize("flip", [False, True])
def test_filters_are_scipys(border, flip):
    ndimage = pytest.importorskip("scipy.ndimage")
    theirs = (ndimage.convolve if flip else ndimage.correlate)(PICTURE, ASYMMETRIC, mode=SCIPY[border])
    ours = kernels.apply_kernel(PICTURE, ASYMMETRIC, border=border, flip=flip)
    np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_sobel_prewitt_laplacian_and_gaussian_are_scipys():
    ndimage = pytest.importorskip("scipy.ndimage")
    for kernel, theirs in [
        (kernels.sobel("x"), ndimage.sobel(PICTURE, axis=1, mode="nearest")),
        (kernels.sobel("y"), ndimage.sobel(PICTURE, axis=0, mode="nearest")),
        (kernels.prewitt("x"), ndimage.prewitt(PICTURE, axis=1, mode="nearest")),
        (kernels.laplacian(), ndimage.laplace(PICTURE, mode="nearest")),
        (kernels.gaussian(1.2, 11), ndimage.gaussian_filter(PICTURE, 1.2, mode="nearest", radius=5)),
    ]:
        np.testing.assert_allclose(kernels.apply_kernel(PICTURE, kernel, border="replicate"), theirs, atol=1e-13)


def test_true_convolution_is_cross_correlation_with_the_kernel_turned():
    turned = np.rot90(ASYMMETRIC, 2)
    for border in kernels.BORDERS:
        convolved = kernels.apply_kernel(PICTURE, ASYMMETRIC, border=border, flip=True)
        correlated = kernels.apply_kernel(PICTURE, turned, border=border)
        np.testing.assert_allclose(convolved, correlated, rtol=1e-14)  # the same sums; the matmul may add in pairs
        assert np.abs(convolved - kernels.apply_kernel(PICTURE, ASYMMETRIC, border=border)).max() > 1


def test_an_impulse_shows_the_kernel_in_a_convolution_and_the_kernel_turned_in_a_correlation():
    impulse = np.zeros((5, 5))
    impulse[2, 2] = 1
    inside = (slice(1, 4), slice(1, 4))
    np.testing.assert_array_equal(kernels.apply_kernel(impulse, ASYMMETRIC, flip=True)[inside], ASYMMETRIC)
    np.testing.assert_array_equal(kernels.apply_kernel(impulse, ASYMMETRIC)[inside], ASYMMETRIC[::-1, ::-1])


def test_valid_is_the_worked_example():
    x = np.array([[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]])
    u = [[1, 4, 1], [1, 4, 3], [3, 3, 1]]
    assert kernels.apply_kernel(x, u, border="valid").tolist() == [[122, 148], [126, 134]]


def test_planes_are_filtered_each_for_itself_and_tensors_keep_dtype_and_gradient():
    x = cr.asarray(PICTURE.astype(np.float32)[None].repeat(3, 0)).requires_grad_()
    y = kernels.apply_kernel(x, kernels.sobel("y"), border="constant")
    assert (y.shape, y.dtype) == ((3, 17, 12), cr.float32)
    alone = kernels.apply_kernel(PICTURE.astype(np.float32), kernels.sobel("y"), border="constant")
    assert alone.dtype == np.float32
    np.testing.assert_array_equal(y.detach().numpy()[1], alone)
    y[0, 5, 5].backward()
    expected = np.zeros((3, 17, 12))
    expected[0, 4:7, 4:7] = kernels.sobel("y")
    np.testing.assert_array_equal(x.grad.numpy(), expected)


# ---------------------------------------------------------------------------------------------------------- edges
@pytest.mark.parametrize(
    "kind, slope, rows, columns, direction",
    [
        ("sobel", 8, 0, 1, 0.0),
        ("sobel", 8, 1, 0, np.pi / 2),
        ("sobel", 8, -1, 0, -np.pi / 2),
        ("prewitt", 6, 0, -1, np.pi),
    ],
)
def test_a_ramp_has_its_slope_and_direction_everywhere(kind, slope, rows, columns, direction):
    i, j = np.mgrid[:6, :7]
    edges = kernels.picture_gradient(0.5 * (rows * i + columns * j), kind=kind, border="valid")
    np.testing.assert_allclose(edges.magnitude, 0.5 * slope)
    np.testing.assert_allclose(edges.direction, direction)


def test_a_slanted_ramp_has_its_angle():
    i, j = np.mgrid[:6, :7]
    edges = kernels.picture_gradient(3 * j + 4 * i, border="valid")
    np.testing.assert_allclose(edges.magnitude, 40)
    np.testing.assert_allclose(edges.direction, np.arctan2(4, 3))


@pytest.mark.parametrize("direction, other", [("horizontal", "vertical"), ("rising", "falling")])
def test_a_line_detector_sees_its_line_and_not_the_one_across(direction, other):
    drawn = {
        "horizontal": np.eye(1, 5, 2).T @ np.ones((1, 5)),
        "rising": np.eye(5)[::-1],
    }[direction]
    assert kernels.apply_kernel(drawn, kernels.line(direction))[2, 2] == 6
    assert kernels.apply_kernel(drawn, kernels.line(other))[2, 2] == 0
    assert kernels.apply_kernel(np.ones((3, 3)), kernels.line(direction))[1, 1] == 0


def test_sharpening_is_the_picture_minus_its_laplacian():
    sharp = kernels.apply_kernel(PICTURE, kernels.sharpen(0.7))
    np.testing.assert_allclose(sharp, PICTURE - 0.7 * kernels.apply_kernel(PICTURE, kernels.laplacian()), atol=1e-14)


def test_grey_of_colours_is_pillows():
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (3, 9, 9), dtype=np.uint8)
    pillows = np.asarray(Image.fromarray(colours.transpose(1, 2, 0)).convert("L"))
    assert np.abs(kernels.gray(colours) - pillows).max() <= 0.51
    np.testing.assert_array_equal(kernels.gray(colours[:1]), colours[0])
    np.testing.assert_array_equal(kernels.gray(colours[0]), colours[0])


# --------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: kernels.gaussian(0), ValueError, "gaussian.sigma must be a float > 0; got 0."),
        (
            lambda: kernels.gaussian(1.0, 4),
            ValueError,
            "gaussian.size must be odd, so that the kernel has a middle; got 4.",
        ),
        (lambda: kernels.gaussian(1.0, 0), ValueError, "gaussian.size must be an int >= 1; got 0."),
        (lambda: kernels.laplacian(6), ValueError, "laplacian.neighbours must be 4 or 8; got 6."),
        (lambda: kernels.sharpen(-1), ValueError, "sharpen.amount must be a float >= 0; got -1."),
        (
            lambda: kernels.apply_kernel([1.0], [[1.0]]),
            ShapeError,
            "apply_kernel takes a picture [..., height, width] and a kernel [height, width]; got (1,) and (1, 1).",
        ),
        (
            lambda: kernels.apply_kernel(PICTURE, np.ones((2, 3))),
            ShapeError,
            "apply_kernel: the kernel (2, 3) has no middle; give one of odd sizes, or border='valid'.",
        ),
        (
            lambda: kernels.apply_kernel(PICTURE * 1j, [[1.0]]),
            DTypeError,
            "apply_kernel takes real numbers; got complex128: filter real and imaginary part.",
        ),
        (
            lambda: kernels.picture_gradient(np.ones((3, 4, 4))),
            ShapeError,
            "picture_gradient takes a grey picture [height, width]; got (3, 4, 4): use gray() for colours.",
        ),
        (
            lambda: kernels.gray(np.ones((2, 4, 4))),
            ShapeError,
            "gray takes a picture [3, height, width] or [1, height, width]; got (2, 4, 4).",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=exactly(message)):
        call()


@pytest.mark.parametrize(
    "call, start",
    [
        (lambda: kernels.sobel("z"), "sobel.axis must be "),
        (lambda: kernels.line("up"), "line.direction must be "),
        (lambda: kernels.apply_kernel(PICTURE, [[1.0]], border="mirror"), "apply_kernel.border must be "),
        (lambda: kernels.picture_gradient(PICTURE, kind="canny"), "picture_gradient.kind must be "),
    ],
)
def test_an_unknown_word_lists_the_known_ones(call, start):
    with pytest.raises(ValueError, match=rf"^{re.escape(start)}.*; got '\w+'"):
        call()
