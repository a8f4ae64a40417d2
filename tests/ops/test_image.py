"""Borders, resampling, sampling at points: small pictures by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, ShapeError
from chainrule.testing import assert_close

NAN = float("nan")


@pytest.mark.parametrize(
    "mode, numpys",
    [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap"), ("edge", "edge"), ("wrap", "wrap")],
)
def test_borders_are_those_of_numpy(mode: str, numpys: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    for widths in (2, ((0, 2), (3, 1), (0, 0)), ((1, 0), (0, 3), (4, 4))):
        np.testing.assert_array_equal(cr.pad(x, widths, mode=mode).numpy(), np.pad(x, widths, mode=numpys))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_gradients_of_borders_to_second_order(mode: str) -> None:
    x = cr.asarray(np.random.default_rng(1).normal(size=(3, 4)))
    cr.check_gradients(lambda x: cr.square(cr.pad(x, ((1, 2), (2, 3)), mode=mode)), x, order=2)


def test_borders_of_integers_and_bools() -> None:
    assert cr.pad(cr.asarray([1, 2, 3]), 1, mode="circular").tolist() == [3, 1, 2, 3, 1]
    assert cr.pad(cr.asarray([True, False]), (2, 0), mode="replicate").tolist() == [True, True, True, False]


def test_a_bad_pixel_stays_where_it_is() -> None:
    """Resampling picks pixels; it does not multiply all of them by zeros, so one NaN reaches only its neighbours."""
    x = cr.asarray(np.where(np.arange(8) == 3, NAN, 1.0).reshape(1, 1, 8))
    assert np.isnan(cr.interpolate(x, 16, mode="linear").numpy()).sum() == 4
    assert np.isnan(cr.interpolate(x, 16).numpy()).sum() == 2


def test_constants_stay_constant() -> None:
    x = cr.full((1, 1, 5, 7), 2.5, dtype=cr.float64)
    for mode in ("nearest", "bilinear", "bicubic", "area"):
        np.testing.assert_allclose(cr.interpolate(x, (9, 4), mode=mode).numpy(), 2.5, rtol=1e-14)


def test_linear_interpolation_is_exact_on_a_line() -> None:
    x = np.arange(6.0).reshape(1, 1, 6)
    y = cr.interpolate(x, 11, mode="linear", align_corners=True)
    np.testing.assert_allclose(y.numpy().ravel(), np.linspace(0, 5, 11), atol=1e-14)


def test_sampling_on_the_pixels_gives_the_image_back() -> None:
    image = cr.asarray(np.random.default_rng(2).normal(size=(2, 3, 4, 5)))
    identity = np.broadcast_to(np.eye(2, 3), (2, 2, 3))
    for align in (False, True):
        grid = cr.affine_grid(identity, image.shape, align)
        for mode in ("bilinear", "nearest", "bicubic"):
            y = cr.grid_sample(image, grid, mode, align_corners=align)
            np.testing.assert_allclose(y.numpy(), image.numpy(), atol=1e-13)


def test_a_nan_in_the_grid_reads_zero_and_not_another_pixel() -> None:
    image = cr.ones((1, 1, 2, 2), dtype=cr.float64)
    grid = cr.asarray([[[[NAN, 0.0], [0.0, 0.0]]]], dtype=cr.float64)
    assert cr.grid_sample(image, grid, "nearest").tolist() == [[[[0.0, 1.0]]]]


def test_traced_equals_eager_with_its_gradients() -> None:
    rng = np.random.default_rng(3)
    x, theta = cr.asarray(rng.normal(size=(2, 3, 5, 6))), cr.asarray(rng.normal(size=(2, 2, 3)) * 0.5)

    def net(x: cr.Tensor, theta: cr.Tensor) -> cr.Tensor:
        warped = cr.grid_sample(
            cr.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect"), cr.affine_grid(theta, x.shape)
        )
        return cr.sum(cr.square(cr.interpolate(warped, scale_factor=2, mode="bicubic")))

    step = cr.value_and_grad(net, argnums=(0, 1))
    (value, grads), (traced, traced_grads) = step(x, theta), cr.jit(step)(x, theta)
    for a, b in zip((value, *grads), (traced, *traced_grads), strict=True):
        assert_close(b, a, atol=1e-10)


X = cr.zeros((2, 3, 4, 5))
REFUSED: list[tuple[type[Exception], Callable, str]] = [
    (
        ShapeError,
        lambda: cr.pad(cr.zeros(3), (3, 1), mode="reflect"),
        "pad: a reflect border on axis 0 of (3,) may be at most 2 wide; got (3, 1).",
    ),
    (
        ShapeError,
        lambda: cr.pad(cr.zeros(3), (1, 4), mode="circular"),
        "pad: a circular border on axis 0 of (3,) may be at most 3 wide; got (1, 4).",
    ),
    (
        ShapeError,
        lambda: cr.pad(cr.zeros(0), 1, mode="replicate"),
        "pad: a replicate border on axis 0 of (0,) may be at most 0 wide; got (1, 1).",
    ),
    (
        ShapeError,
        lambda: cr.pad(cr.zeros(3), (-1, 0)),
        "pad: widths must be >= 0; got (-1,) before and (0,) after the axes.",
    ),
    (
        DTypeError,
        lambda: cr.interpolate(cr.arange(6).reshape((1, 1, 6)), 3),
        "interpolate needs a float tensor; got int64: use .astype(cr.float32).",
    ),
    (
        ShapeError,
        lambda: cr.interpolate(cr.zeros((3, 4)), 3),
        "interpolate needs an input [batch, channels, *spatial] with 1 to 3 spatial axes; got the shape (3, 4).",
    ),
    (ValueError, lambda: cr.interpolate(X), "interpolate needs either size or scale_factor."),
    (ValueError, lambda: cr.interpolate(X, 3, 2.0), "interpolate needs either size or scale_factor."),
    (
        ValueError,
        lambda: cr.interpolate(X, 3, mode="bilinar"),
        'interpolate.mode must be one of "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", '
        "\"area\"; got 'bilinar'; did you mean 'bilinear'?",
    ),
    (
        ValueError,
        lambda: cr.interpolate(X, 3, mode="linear"),
        'interpolate.mode \'linear\' does not fit an input with 2 spatial axes; use "bilinear" or "bicubic".',
    ),
    (
        ValueError,
        lambda: cr.interpolate(X, 3, align_corners=True),
        "interpolate.align_corners has no meaning in the mode 'nearest'; leave it out.",
    ),
    (
        ValueError,
        lambda: cr.interpolate(X, scale_factor=(2, -1)),
        "interpolate.scale_factor must be a number > 0, or 2 of them; got (2, -1).",
    ),
    (
        ShapeError,
        lambda: cr.interpolate(X, scale_factor=0.1),
        "interpolate: the input (2, 3, 4, 5) cannot become (0, 0); both need elements.",
    ),
    (
        ShapeError,
        lambda: cr.pixel_shuffle(X, 2),
        "pixel_shuffle: 2 x 2 must divide the 3 channels of the input (2, 3, 4, 5).",
    ),
    (
        ShapeError,
        lambda: cr.pixel_shuffle(cr.zeros(3), 2),
        "pixel_shuffle needs an input [..., channels, height, width]; got the shape (3,).",
    ),
    (
        ShapeError,
        lambda: cr.pixel_unshuffle(X, 2),
        "pixel_unshuffle: 2 must divide the height and width of the input (2, 3, 4, 5).",
    ),
    (
        ShapeError,
        lambda: cr.channel_shuffle(X, 2),
        "channel_shuffle: 2 groups must divide the 3 channels of (2, 3, 4, 5).",
    ),
    (
        ShapeError,
        lambda: cr.channel_shuffle(cr.zeros(3), 2),
        "channel_shuffle needs an input [batch, channels, ...]; got the shape (3,).",
    ),
    (
        ShapeError,
        lambda: cr.grid_sample(X, cr.zeros((2, 4, 5, 3))),
        "grid_sample: the input is (2, 3, 4, 5) and the grid (2, 4, 5, 3); they must be "
        "[batch, channels, height, width] and [batch, *out, 2], or with a depth before the height and 3.",
    ),
    (
        DTypeError,
        lambda: cr.grid_sample(X, cr.zeros((2, 4, 5, 2), dtype=cr.float64)),
        "grid_sample needs two float tensors of one dtype; got float32 and float64.",
    ),
    (
        ShapeError,
        lambda: cr.grid_sample(cr.zeros((1, 1, 0, 3)), cr.zeros((1, 1, 1, 2))),
        "grid_sample: the input (1, 1, 0, 3) has no pixels.",
    ),
    (
        ValueError,
        lambda: cr.grid_sample(X, cr.zeros((2, 1, 1, 2)), padding_mode="zero"),
        'grid_sample.padding_mode must be one of "zeros", "border", "reflection"; '
        "got 'zero'; did you mean 'zeros'?",
    ),
    (
        ValueError,
        lambda: cr.grid_sample(cr.zeros((1, 1, 2, 2, 2)), cr.zeros((1, 1, 1, 1, 3)), "bicubic"),
        'grid_sample.mode "bicubic" is for images with two spatial axes; use "bilinear".',
    ),
    (
        ShapeError,
        lambda: cr.affine_grid(cr.zeros((2, 2, 3)), (1, 1, 4, 4)),
        "affine_grid: theta is (2, 2, 3) and size (1, 1, 4, 4); they must be (batch, 2, 3) and "
        "(batch, channels, height, width), or (batch, 3, 4) with a depth before the height.",
    ),
    (
        DTypeError,
        lambda: cr.affine_grid(cr.zeros((1, 2, 3), dtype=cr.int64), (1, 1, 4, 4)),
        "affine_grid needs a float tensor; got int64: use .astype(cr.float32).",
    ),
]


@pytest.mark.parametrize("kind, call, message", REFUSED, ids=[row[2][:50] for row in REFUSED])
def test_what_is_refused(kind: type[Exception], call: Callable, message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert getattr(error.value, "message", str(error.value)) == message
