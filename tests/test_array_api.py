"""The Python Array API standard 2024.12, guarded without its conformance suite, which is not on the package index.

`tools/array_api_conformance.py` runs that suite from a checkout. Here stand the standard's signatures, operators and
methods, the special cases of its elementwise functions, and each mistake that the suite has found.
"""

from __future__ import annotations

import cmath
import importlib.util
import inspect
import math
import re
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import DTypeError, IndexRangeError, ShapeError, TraceError

INF, NAN = math.inf, math.nan

# The functions with their parameters: those before / by position only, those after * by name only.
SIGNATURES = """
    # creation functions
    arange(start, /, stop, step, *, dtype, device); asarray(obj, /, *, dtype, device, copy); empty(shape, *, dtype,
    device); empty_like(x, /, *, dtype, device); eye(n_rows, n_cols, /, *, k, dtype, device); from_dlpack(x, /, *,
    device, copy); full(shape, fill_value, *, dtype, device); full_like(x, /, fill_value, *, dtype, device);
    linspace(start, stop, /, num, *, dtype, device, endpoint); meshgrid(*arrays, indexing); ones(shape, *, dtype,
    device); ones_like(x, /, *, dtype, device); tril(x, /, *, k); triu(x, /, *, k); zeros(shape, *, dtype, device);
    zeros_like(x, /, *, dtype, device)
    # data type functions
    astype(x, dtype, /, *, copy, device); can_cast(from_, to, /); finfo(type, /); iinfo(type, /); isdtype(dtype,
    kind); result_type(*arrays_and_dtypes)
    # elementwise functions
    abs(x, /); acos(x, /); acosh(x, /); add(x1, x2, /); asin(x, /); asinh(x, /); atan(x, /); atan2(x1, x2, /);
    atanh(x, /); bitwise_and(x1, x2, /); bitwise_left_shift(x1, x2, /); bitwise_invert(x, /); bitwise_or(x1, x2, /);
    bitwise_right_shift(x1, x2, /); bitwise_xor(x1, x2, /); ceil(x, /); clip(x, /, min, max); conj(x, /);
    copysign(x1, x2, /); cos(x, /); cosh(x, /); divide(x1, x2, /); equal(x1, x2, /); exp(x, /); expm1(x, /);
    floor(x, /); floor_divide(x1, x2, /); greater(x1, x2, /); greater_equal(x1, x2, /); hypot(x1, x2, /); imag(x,
    /); isfinite(x, /); isinf(x, /); isnan(x, /); less(x1, x2, /); less_equal(x1, x2, /); log(x, /); log1p(x, /);
    log2(x, /); log10(x, /); logaddexp(x1, x2, /); logical_and(x1, x2, /); logical_not(x, /); logical_or(x1, x2, /);
    logical_xor(x1, x2, /); maximum(x1, x2, /); minimum(x1, x2, /); multiply(x1, x2, /); negative(x, /);
    nextafter(x1, x2, /); not_equal(x1, x2, /); positive(x, /); pow(x1, x2, /); real(x, /); reciprocal(x, /);
    remainder(x1, x2, /); round(x, /); sign(x, /); signbit(x, /); sin(x, /); sinh(x, /); square(x, /); sqrt(x, /);
    subtract(x1, x2, /); tan(x, /); tanh(x, /); trunc(x, /)
    # fft
    fft.fft(x, /, *, n, axis, norm); fft.ifft(x, /, *, n, axis, norm); fft.fftn(x, /, *, s, axes, norm);
    fft.ifftn(x, /, *, s, axes, norm); fft.rfft(x, /, *, n, axis, norm); fft.irfft(x, /, *, n, axis, norm);
    fft.rfftn(x, /, *, s, axes, norm); fft.irfftn(x, /, *, s, axes, norm); fft.hfft(x, /, *, n, axis, norm);
    fft.ihfft(x, /, *, n, axis, norm); fft.fftfreq(n, /, *, d, dtype, device); fft.rfftfreq(n, /, *, d, dtype,
    device); fft.fftshift(x, /, *, axes); fft.ifftshift(x, /, *, axes)
    # indexing functions
    take(x, indices, /, *, axis); take_along_axis(x, indices, /, *, axis)
    # linalg
    linalg.cholesky(x, /, *, upper); linalg.cross(x1, x2, /, *, axis); linalg.det(x, /); linalg.diagonal(x, /, *,
    offset); linalg.eigh(x, /); linalg.eigvalsh(x, /); linalg.inv(x, /); linalg.matmul(x1, x2, /);
    linalg.matrix_norm(x, /, *, keepdims, ord); linalg.matrix_power(x, n, /); linalg.matrix_rank(x, /, *, rtol);
    linalg.matrix_transpose(x, /); linalg.outer(x1, x2, /); linalg.pinv(x, /, *, rtol); linalg.qr(x, /, *, mode);
    linalg.slogdet(x, /); linalg.solve(x1, x2, /); linalg.svd(x, /, *, full_matrices); linalg.svdvals(x, /);
    linalg.tensordot(x1, x2, /, *, axes); linalg.trace(x, /, *, offset, dtype); linalg.vecdot(x1, x2, /, *, axis);
    linalg.vector_norm(x, /, *, axis, keepdims, ord)
    # linear algebra functions
    matmul(x1, x2, /); matrix_transpose(x, /); tensordot(x1, x2, /, *, axes); vecdot(x1, x2, /, *, axis)
    # manipulation functions
    broadcast_arrays(*arrays); broadcast_to(x, /, shape); concat(arrays, /, *, axis); expand_dims(x, /, axis);
    flip(x, /, *, axis); moveaxis(x, source, destination, /); permute_dims(x, /, axes); repeat(x, repeats, /, *,
    axis); reshape(x, /, shape, *, copy); roll(x, /, shift, *, axis); squeeze(x, /, axis); stack(arrays, /, *,
    axis); tile(x, repetitions, /); unstack(x, /, *, axis)
    # searching functions
    argmax(x, /, *, axis, keepdims); argmin(x, /, *, axis, keepdims); count_nonzero(x, /, *, axis, keepdims);
    nonzero(x, /); searchsorted(x1, x2, /, *, side, sorter); where(condition, x1, x2, /)
    # set functions
    unique_all(x, /); unique_counts(x, /); unique_inverse(x, /); unique_values(x, /)
    # sorting functions
    argsort(x, /, *, axis, descending, stable); sort(x, /, *, axis, descending, stable)
    # statistical functions
    cumulative_prod(x, /, *, axis, dtype, include_initial); cumulative_sum(x, /, *, axis, dtype, include_initial);
    max(x, /, *, axis, keepdims); mean(x, /, *, axis, keepdims); min(x, /, *, axis, keepdims); prod(x, /, *, axis,
    dtype, keepdims); std(x, /, *, axis, correction, keepdims); sum(x, /, *, axis, dtype, keepdims); var(x, /, *,
    axis, correction, keepdims)
    # utility functions
    all(x, /, *, axis, keepdims); any(x, /, *, axis, keepdims); diff(x, /, *, axis, n, prepend, append)
"""
FUNCTIONS = re.findall(r"([\w.]+)\(([^)]*)\)", re.sub(r"#.*", "", SIGNATURES))


@pytest.mark.parametrize("name, parameters", FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_functions_have_the_standards_parameters(name: str, parameters: str) -> None:
    space, _, last = name.rpartition(".")
    found = inspect.signature(getattr(getattr(cr, space) if space else cr, last)).parameters
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    wanted = [part.strip() for part in parameters.split(",") if part.strip()]
    before = wanted.index("/") if "/" in wanted else 0
    given = list(found.values())
    for position, part in enumerate(wanted):
        if part == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif part.startswith("*"):
            assert any(p.kind is p.VAR_POSITIONAL for p in given)
            kind = inspect.Parameter.KEYWORD_ONLY
        elif part != "/" and position < before:
            assert given[position].kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        elif part != "/":
            assert part in found
            assert found[part].kind in (kind, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def test_the_table_is_the_whole_standard() -> None:
    assert len(FUNCTIONS) == 170


METHODS = """
    __abs__ __add__ __and__ __array_namespace__ __bool__ __complex__ __dlpack__ __dlpack_device__ __eq__ __float__
    __floordiv__ __ge__ __getitem__ __gt__ __index__ __int__ __invert__ __le__ __lshift__ __lt__ __matmul__ __mod__
    __mul__ __ne__ __neg__ __or__ __pos__ __pow__ __rshift__ __setitem__ __sub__ __truediv__ __xor__ to_device
    T device dtype mT ndim shape size
"""


def test_tensors_have_the_standards_methods_and_operators() -> None:
    missing = [name for name in METHODS.split() if not hasattr(cr.Tensor, name)]
    operators = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
    missing += [
        f"__{p}{name}__" for name in operators.split() for p in "ri" if not hasattr(cr.Tensor, f"__{p}{name}__")
    ]
    assert missing == []


# --- special cases --------------------------------------------------------------------------------------------------
# one line per function: its arguments = its value
REAL = """
floor_divide  inf 3 = inf; inf -3 = -inf; -inf 3 = -inf; -inf -3 = inf; 2 inf = 0; 2 -inf = -0; -2 inf = -0; -2 -inf = 0
floor_divide  inf inf = nan; 0 0 = nan; -7 2 = -4
remainder     inf 2 = nan; 2 0 = nan; -0 2 = 0; 2 inf = 2; -2 inf = inf; 2 -inf = -inf
pow           nan 0 = 1; 1 nan = 1; -0 -3 = -inf; -0 3 = -0; -inf -3 = -0; -inf 2 = inf; 0.5 -inf = inf; -2 0.5 = nan
atan2         0 -0 = 3.141592653589793; -0 0 = -0; inf -inf = 2.356194490192345
hypot         inf nan = inf; -3 4 = 5
logaddexp     nan inf = nan; -inf -inf = -inf
maximum       nan 1 = nan; -1 1 = 1
minimum       1 nan = nan; -1 1 = -1
nextafter     1 inf = 1.0000000000000002; 0 -1 = -5e-324
divide        1 -0 = -inf; 0 0 = nan; 1 inf = 0
multiply      inf 0 = nan; -1 0 = -0
add           inf -inf = nan; -0 -0 = -0
acosh         0.5 = nan; 1 = 0
asin          2 = nan; -0 = -0
atanh         1 = inf; -1 = -inf
log           0 = -inf; -1 = nan; inf = inf
log1p         -1 = -inf; -0 = -0
log2          1 = 0; 8 = 3
expm1         -inf = -1; -0 = -0
exp           -inf = 0; inf = inf
sqrt          -1 = nan; -0 = -0
round         -0.5 = -0; 2.5 = 2; 3.5 = 4
trunc         -0.3 = -0
ceil          -0.3 = -0
floor         -0.0 = -0; 0.9 = 0
sign          -0 = 0; nan = nan; -inf = -1
tanh          inf = 1; -0 = -0
tan           inf = nan
sinh          -inf = -inf
cosh          -inf = inf
reciprocal    -0 = -inf
"""
CASES = [
    (line.split()[0], *(tuple(map(float, side.split())) for side in case.split("=")))
    for line in REAL.strip().splitlines()
    for case in line.split(None, 1)[1].split(";")
]


@pytest.mark.parametrize("name, given, want", CASES)
def test_special_cases(name: str, given: tuple, want: tuple) -> None:
    (want,) = want
    got = getattr(cr, name)(*(cr.asarray(v, dtype=cr.float64) for v in given)).item()
    assert got == want or (math.isnan(got) and math.isnan(want)) or got == pytest.approx(want, rel=1e-15)
    assert math.isnan(want) or math.copysign(1, got) == math.copysign(1, want)


COMPLEX = [
    ("expm1", complex(INF, 0.0), complex(INF, 0.0)), ("expm1", complex(-INF, INF), complex(-1.0, 0.0)),
    ("expm1", complex(INF, INF), complex(INF, NAN)), ("expm1", complex(-INF, NAN), complex(-1.0, 0.0)),
    ("expm1", complex(INF, NAN), complex(INF, NAN)), ("expm1", complex(NAN, 0.0), complex(NAN, 0.0)),
    ("tanh", complex(INF, 2.0), complex(1.0, 0.0)), ("tanh", complex(-INF, 2.0), complex(-1.0, 0.0)),
    ("tanh", complex(INF, -2.0), complex(1.0, -0.0)), ("tanh", complex(NAN, 0.0), complex(NAN, 0.0)),
    ("exp", complex(-INF, 1.0), complex(0.0, 0.0)), ("exp", complex(INF, 0.0), complex(INF, 0.0)),
    ("sqrt", complex(-INF, 1.0), complex(0.0, INF)), ("log", complex(0.0, 0.0), complex(-INF, 0.0)),
    ("sqrt", complex(1.0, INF), complex(INF, INF)), ("cosh", complex(0.0, INF), complex(NAN, 0.0)),
    ("acos", complex(INF, INF), complex(math.pi / 4, -INF)), ("asinh", complex(INF, 1.0), complex(INF, 0.0)),
]  # fmt: skip


@pytest.mark.parametrize("name, given, want", COMPLEX)
def test_special_cases_of_complex_numbers(name: str, given: complex, want: complex) -> None:
    got = getattr(cr, name)(cr.asarray(np.asarray(given))).item()
    for part, expected in ((got.real, want.real), (got.imag, want.imag)):
        assert part == pytest.approx(expected, nan_ok=True)


def test_finite_complex_numbers_have_the_values_of_cmath() -> None:
    z = 0.3 - 0.7j
    assert cr.tanh(cr.asarray(np.asarray(z))).item() == pytest.approx(cmath.tanh(z), rel=1e-15)
    assert cr.expm1(cr.asarray(np.asarray(z))).item() == pytest.approx(cmath.exp(z) - 1, rel=1e-15)


# --- what the suite has found ---------------------------------------------------------------------------------------
def test_a_mask_without_axes_takes_all_or_nothing() -> None:
    x = cr.asarray(5.0)
    assert x[cr.asarray(True)].tolist() == [5.0]
    assert x[cr.asarray(False)].shape == (0,)
    assert cr.ones((2, 3))[cr.asarray(True)].shape == (1, 2, 3)
    x[cr.asarray(True)] = 3.0
    x[cr.asarray(False)] = 7.0
    assert x.item() == 3.0


def test_a_mask_may_have_the_size_0() -> None:
    assert cr.zeros((0, 1))[cr.zeros((0, 0), dtype=bool)].shape == (0,)
    with pytest.raises(IndexRangeError, match=r"^a mask has the shape of the axes .* here \(2,\); got \(3,\)\."):
        cr.zeros(2)[cr.zeros(3, dtype=bool)]


def test_the_identity_has_no_diagonal_outside_of_it() -> None:
    assert cr.eye(2, k=10**30).tolist() == cr.eye(2, k=-(10**30)).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert cr.eye(2, 3, k=2).tolist() == [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def test_each_place_is_repeated_as_often_as_it_says() -> None:
    x = cr.asarray([[1.0, 2.0], [3.0, 4.0]]).requires_grad_()
    y = cr.repeat(x, cr.asarray([0, 3]), axis=1)
    assert y.tolist() == [[2.0, 2.0, 2.0], [4.0, 4.0, 4.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[0.0, 3.0], [0.0, 3.0]]
    assert cr.repeat(cr.arange(3), cr.asarray([2])).tolist() == [0, 0, 1, 1, 2, 2]
    assert cr.repeat(cr.arange(0), cr.zeros(0, dtype=cr.int8)).shape == (0,)


def test_integers_beyond_int64_fit_uint64() -> None:
    assert cr.asarray([0, 2**63 + 1], dtype=cr.uint64).tolist() == [0, 2**63 + 1]
    assert cr.asarray(2**64 - 1, dtype=cr.uint64).item() == 2**64 - 1


def test_dlpack_exports_take_the_standards_options() -> None:
    x = cr.asarray([1.0, 2.0])
    assert np.from_dlpack(x).tolist() == [1.0, 2.0]
    assert x.__dlpack_device__() == (1, 0)
    assert x.__dlpack__(stream=None, max_version=(1, 0), dl_device=(1, 0), copy=True) is not None


REFUSED = [
    (lambda: cr.repeat(cr.arange(3), cr.asarray([1, -1, 1])), ShapeError, "repeat: repeats must be >= 0; got -1."),
    (lambda: cr.repeat(cr.arange(3), cr.asarray([1, 1])), ShapeError,
     "repeat: axis 0 of (3,) has 3 places; repeats has the shape (2,)."),
    (lambda: cr.repeat(cr.arange(3), cr.ones(3)), DTypeError, "repeat: repeats must be integers; got float32."),
    (lambda: cr.asarray([0, 2**63 + 1]), DTypeError,
     "asarray: an int outside [-2**63, 2**63 - 1] does not fit int64; give dtype= or use floats."),
    (lambda: cr.asarray([2**70], dtype=cr.uint64), DTypeError,
     "asarray: an int does not fit uint64; give a wider dtype, or use floats."),
    (lambda: cr.astype(cr.ones(2), cr.float64, device="cuda"), ValueError,
     "astype.device must be None or \"cpu\"; got 'cuda'."),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, message", REFUSED, ids=[message[:20] for _, _, message in REFUSED])
def test_what_is_refused(call, kind, message) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}(\n|$)"):
        call()


def test_a_tensor_of_repeats_can_not_be_traced() -> None:
    with pytest.raises(TraceError, match="^repeat with a tensor of numbers asks for the value of"):
        cr.jit(lambda n: cr.repeat(cr.arange(3), n))(cr.asarray([1, 2, 3]))


# --- the command ----------------------------------------------------------------------------------------------------
def test_the_command_says_what_it_needs(repository, tmp_path, monkeypatch, capsys) -> None:
    spec = importlib.util.spec_from_file_location("conformance", repository / "tools" / "array_api_conformance.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert cr.__array_api_version__ == tool.VERSION
    assert all(reason for reason in tool.SKIPS.values())
    monkeypatch.setattr(sys, "argv", ["conformance", str(tmp_path)])
    with pytest.raises(SystemExit):
        tool.main()
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(f"error: {tmp_path} has no folder array_api_tests: git clone --recursive the suite.")
    )
