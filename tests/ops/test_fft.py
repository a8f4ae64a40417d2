"""cr.fft: NumPy's values in every size and norm, the definition, dtypes, gradients as PyTorch's, whole messages."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import fft
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError
from chainrule.testing import assert_close

RNG = np.random.default_rng(4)
Z = RNG.normal(size=(3, 4, 5)) + 1j * RNG.normal(size=(3, 4, 5))
X = Z.real.copy()
NORMS = ["backward", "ortho", "forward"]
COMPLEX, REAL = ["fft", "ifft", "irfft", "hfft"], ["rfft", "ihfft"]


def test_the_namespace_is_one_module() -> None:
    assert cr.fft is fft
    standard = "fft ifft fftn ifftn rfft irfft rfftn irfftn hfft ihfft fftfreq rfftfreq fftshift ifftshift"
    assert set(standard.split()) <= set(fft.__all__)


def test_the_transform_is_its_sum() -> None:
    x, n = Z[0, 0], 5
    k = np.arange(n)
    waves = np.exp(-2j * np.pi * np.outer(k, k) / n)
    assert_close(fft.fft(cr.asarray(x)), waves @ x, rtol=1e-12)
    assert_close(fft.ifft(cr.asarray(x)), waves.conj() @ x / n, rtol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [None, 1, 3, 4, 7])
@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("name", COMPLEX + REAL)
def test_one_axis_is_numpys(name: str, axis: int, n: int | None, norm: str) -> None:
    x = X if name in REAL else Z
    want = getattr(np.fft, name)(x, n, axis, norm)
    got = getattr(fft, name)(cr.asarray(x), n=n, axis=axis, norm=norm)
    assert got.dtype.numpy == want.dtype
    assert_close(got, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("s, axes", [(None, None), (None, (0, 2)), ((2, 6), (1, -1)), ((4, 2), (2, 0)), ((3,), (1,))])
@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
def test_several_axes_are_numpys(name: str, s: tuple | None, axes: tuple | None, norm: str) -> None:
    x = X if name == "rfftn" else Z
    want = getattr(np.fft, name)(x, s, axes, norm)
    assert_close(getattr(fft, name)(cr.asarray(x), s=s, axes=axes, norm=norm), want, rtol=1e-12, atol=1e-13)


def test_sizes_without_axes_are_those_of_the_last_axes() -> None:
    assert fft.fftn(cr.asarray(Z), s=(2, 3)).shape == (3, 2, 3)
    assert fft.fftn(cr.asarray(Z), s=(-1, 3), axes=(0, 1)).shape == (3, 3, 5)
    assert fft.irfftn(cr.asarray(Z), s=(2, -1), axes=(0, 1)).shape == (2, 6, 5)


def test_precision_follows_the_input() -> None:
    for dtype, result in ((cr.float32, cr.complex64), (cr.bfloat16, cr.complex64), (cr.float64, cr.complex128)):
        assert fft.fft(cr.ones(4, dtype=dtype)).dtype is result
        assert fft.rfft(cr.ones(4, dtype=dtype)).dtype is result
    assert fft.irfft(cr.ones(3, dtype=cr.complex64)).dtype is cr.float32
    assert fft.hfft(cr.ones(3)).dtype is cr.float32


def test_transforms_invert_each_other() -> None:
    z, x = cr.asarray(Z), cr.asarray(X)
    assert_close(fft.ifft(fft.fft(z, axis=1), axis=1), Z, rtol=1e-12)
    assert_close(fft.ifftn(fft.fftn(z, norm="ortho"), norm="ortho"), Z, rtol=1e-12)
    assert_close(fft.irfft(fft.rfft(x), n=5), X, rtol=1e-12)
    assert_close(fft.irfftn(fft.rfftn(x), s=X.shape), X, rtol=1e-12)
    assert_close(fft.hfft(fft.ihfft(x), n=5), X, rtol=1e-12)
    assert_close(fft.hfftn(fft.ihfftn(x), s=X.shape), X, rtol=1e-12)
    assert_close(cr.sum(cr.abs(fft.fftn(z, norm="ortho")) ** 2), (np.abs(Z) ** 2).sum(), rtol=1e-12)  # Parseval


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies_are_numpys(n: int) -> None:
    assert_close(fft.fftfreq(n, d=0.1, dtype=cr.float64), np.fft.fftfreq(n, 0.1), rtol=1e-15)
    assert_close(fft.rfftfreq(n, d=0.1, dtype=cr.float64), np.fft.rfftfreq(n, 0.1), rtol=1e-15)
    x = np.arange(3.0 * n).reshape(3, n)
    for axes in (None, 1, (0,), (0, 1)):
        assert_close(fft.fftshift(cr.asarray(x), axes=axes), np.fft.fftshift(x, axes))
        assert_close(fft.ifftshift(cr.asarray(x), axes=axes), np.fft.ifftshift(x, axes))
    assert fft.fftfreq(4).dtype is cr.float32


REFUSED = [
    (lambda: fft.fft(cr.arange(3)), DTypeError,
     "fft.fft needs a float or complex tensor; got int64: use .astype(cr.float32)."),
    (lambda: fft.rfft(cr.asarray([1j])), DTypeError,
     "fft.rfft needs a float tensor; got complex64: use the transforms of complex numbers."),
    (lambda: fft.fft(cr.ones(3), n=0), ValueError, "fft.fft.n must be an int >= 1; got 0."),
    (lambda: fft.irfft(cr.ones(1)), ValueError, "fft.irfft.n must be an int >= 1; got 0."),
    (lambda: fft.fft(cr.ones(3), norm="half"), ValueError,
     "fft.fft.norm must be one of 'backward', 'ortho', 'forward'; got 'half'."),
    (lambda: fft.hfft(cr.ones(3), norm="half"), ValueError,
     "fft.hfft.norm must be one of 'backward', 'ortho', 'forward'; got 'half'."),
    (lambda: fft.fft(cr.ones(3), axis=1), IndexRangeError,
     "fft.fft: axis 1 does not exist in a tensor with 1 axes; allowed: [-1, 0]."),
    (lambda: fft.fftn(cr.ones((2, 2)), axes=(0, -2)), ShapeError, "fft.fftn: an axis is given twice in (0, -2)."),
    (lambda: fft.fftn(cr.ones((2, 2)), s=(2,), axes=(0, 1)), ShapeError,
     "fft.fftn: s has 1 sizes and there are 2 axes; they must be as many."),
    (lambda: fft.rfftn(cr.ones((2, 2)), axes=()), ShapeError, "fft.rfftn needs at least one axis; got none."),
    (lambda: fft.fftfreq(0), ValueError, "fft.fftfreq.n must be an int >= 1; got 0."),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message[:24] for _, _, message in REFUSED])
def test_what_is_refused(call, kind, message) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}(\n|$)"):
        call()


@pytest.mark.oracle
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", [*COMPLEX, *REAL, "fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn"])
def test_gradients_to_second_order_are_pytorchs(name: str, norm: str) -> None:
    torch = pytest.importorskip("torch")
    data = X if name in (*REAL, "rfftn", "ihfftn") else Z
    sizes = {"s": (4, 7)} if name.endswith("n") else {"n": 7}
    places = ({"axes": (0, 2)}, {"dim": (0, 2)}) if name.endswith("n") else ({"axis": 1}, {"dim": 1})
    x, t = cr.asarray(data).requires_grad_(), torch.tensor(data, requires_grad=True)
    y = getattr(fft, name)(x, norm=norm, **sizes, **places[0])
    s = getattr(torch.fft, name)(t, norm=norm, **sizes, **places[1])
    assert_close(y, s.detach().resolve_conj().numpy(), rtol=1e-11, atol=1e-12)
    rng = np.random.default_rng(1)
    seed = rng.normal(size=y.shape) + (1j * rng.normal(size=y.shape) if y.dtype.is_complex else 0)
    (slope,) = cr.gradients([y * y], [x], [cr.asarray(seed)], create_graph=True)
    (want,) = torch.autograd.grad(s * s, t, torch.tensor(seed), create_graph=True)
    assert_close(slope, want.detach().resolve_conj().numpy(), rtol=1e-10, atol=1e-10)
    direction = rng.normal(size=data.shape) + (1j * rng.normal(size=data.shape) if data.dtype.kind == "c" else 0)
    (second,) = cr.gradients([slope], [x], [cr.asarray(direction)])
    (want,) = torch.autograd.grad(want, t, torch.tensor(direction))
    assert_close(second, want.resolve_conj().numpy(), rtol=1e-10, atol=1e-10)


def test_real_arguments_of_complex_transforms_get_real_gradients() -> None:
    x = cr.asarray(X).requires_grad_()
    cr.sum(cr.abs(fft.fft(x)) ** 2).backward()
    assert_close(x.grad, 2 * 5 * X, rtol=1e-12)  # Parseval
