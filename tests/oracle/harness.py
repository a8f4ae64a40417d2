"""PyTorch's operator database as oracle: one sample through both libraries, and the count over all of an operator.

`Operator` says what an entry of `op_db` is in chainrule. A sample is the arguments that the database feeds PyTorch's
function; `compare` gives the same numbers to both and compares the values, the gradients of all float inputs along
random covectors, and the gradients of those. `run` does so for the samples of one entry and counts.

A sample is left out only by one of the rules in `SKIPS`; an entry counts only if at least 95 % of its samples ran.
"""

from __future__ import annotations

import dataclasses
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import chainrule as cr
from chainrule.core.dtypes import to_dtype
from chainrule.core.errors import DTypeError
from chainrule.testing import assert_close

ENTRIES = {f"{info.name}/{info.variant_test_name}".rstrip("/"): info for info in op_db}
DTYPES = (torch.float64, torch.int64, torch.complex128, torch.bool)  # the first that an entry supports is compared
RTOL = 1e-9  # relative to the largest element: both libraries sum in their own order
FRACTION = 0.95  # of its samples must run for an entry to count
_IGNORED = ("device", "layout", "memory_format", "pin_memory", "requires_grad")  # where and how PyTorch keeps a tensor

SKIPS = {
    "dtype": "a tensor or a dtype argument of a dtype that chainrule does not have (float16)",
    "layout": "a sparse or quantised tensor",
}


@dataclasses.dataclass(frozen=True)
class Operator:
    """What an entry of the database is in chainrule.

    Args:
        call: takes the arguments of PyTorch's function, with chainrule's tensors; returns a tensor or several.
        before: (library, *inputs, **settings) -> inputs; applied to the sample on both sides, where a function reads
            only a part of a matrix, so that a gradient is only defined along such matrices.
        after: what is compared of the outputs, on both sides, where they are defined up to a sign; default what the
            database says.
        order: highest order of derivatives that is compared; default 2.
        rtol: tolerance relative to the largest element.
        plain: (*inputs, **settings) -> whether only the values are compared, as the gradients were chosen differently.
        why: the reason of anything but the defaults.
    """

    call: Callable[..., Any]
    before: Callable[..., Sequence[Any]] | None = None
    after: Callable[[Any], Any] | None = None
    order: int = 2
    rtol: float = RTOL
    plain: Callable[..., bool] | None = None
    why: str = ""


@dataclasses.dataclass
class Outcome:
    """What became of the samples of one entry: how many there are, how many were tried, left out, wrong."""

    name: str
    samples: int = 0
    passed: int = 0
    skipped: Counter = dataclasses.field(default_factory=Counter)
    failures: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Whether the entry counts as covered: enough of its samples ran, and none disagreed."""
        ran = self.passed + len(self.failures)
        tried = ran + sum(self.skipped.values())
        return bool(ran) and not self.failures and ran >= FRACTION * tried


class Skip(Exception):
    """A sample that a rule of `SKIPS` leaves out; carries the rule's key."""


# ---------------------------------------------------------------------------------------------------- samples
def dtype_of(info: Any) -> torch.dtype | None:
    """Return the dtype in which an entry is compared; None where it supports none of ours."""
    return next((dtype for dtype in DTYPES if info.supports_dtype(dtype, "cpu")), None)


def samples(info: Any, dtype: torch.dtype | None = None) -> list[Any]:
    """Return the samples of an entry, in its own dtype or a given one, the same in every run."""
    dtype = dtype or dtype_of(info)
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the database draws some sizes from it
    wants = info.supports_autograd and (dtype.is_floating_point or dtype.is_complex)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(info.sample_inputs("cpu", dtype, requires_grad=wants))


def spread(count: int, most: int | None) -> list[int]:
    """Return at most `most` of the numbers below `count`, spread evenly, the first and the last among them."""
    if most is None or count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


# ---------------------------------------------------------------------------------------------------- both sides
def ours_dtype(dtype: torch.dtype) -> Any:
    """Return chainrule's dtype of the same name."""
    name = str(dtype).removeprefix("torch.")
    try:
        return to_dtype(name)
    except DTypeError:
        raise Skip("dtype") from None


class Twins:
    """Turns a sample into arguments for PyTorch and for chainrule, leaf by leaf, with the same numbers."""

    def __init__(self) -> None:
        self.theirs: list[torch.Tensor] = []  # the leaves that want a gradient
        self.ours: list[cr.Tensor] = []

    def __call__(self, value: Any) -> tuple[Any, Any]:
        """Return (PyTorch's, chainrule's) form of an argument."""
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, torch.dtype):
            return value, ours_dtype(value)
        if isinstance(value, dict):
            pairs = {key: self(item) for key, item in value.items()}
            return {key: a for key, (a, _) in pairs.items()}, {key: b for key, (_, b) in pairs.items()}
        if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
            pairs = [self(item) for item in value]
            return type(value)(a for a, _ in pairs), type(value)(b for _, b in pairs)
        return value, tuple(value) if isinstance(value, torch.Size) else value

    def _tensor(self, value: torch.Tensor) -> tuple[torch.Tensor, cr.Tensor]:
        if value.layout is not torch.strided or value.is_quantized:
            raise Skip("layout")
        ours_dtype(value.dtype)
        theirs = value.detach().clone()
        ours = cr.asarray(theirs.resolve_conj().resolve_neg().numpy().copy())
        if value.requires_grad:
            self.theirs.append(theirs.requires_grad_())
            self.ours.append(ours.requires_grad_())
        return theirs, ours


def flat(value: Any) -> Iterator[Any]:
    """Yield the tensors and numbers of a result in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        for item in value:
            yield from flat(item)
    else:
        yield value


def _differentiable(value: Any) -> bool:
    return isinstance(value, torch.Tensor | cr.Tensor) and value.requires_grad


def _numpy(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().resolve_conj().resolve_neg()
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy(force=True)
    return value.numpy() if isinstance(value, cr.Tensor) else np.asarray(value)


# ---------------------------------------------------------------------------------------------------- comparing
def agree(got: Any, want: Any, rtol: float, what: str) -> None:
    """Assert that two results agree in shape, dtype and value, relative to the largest finite element."""
    got, want = _numpy(got), _numpy(want)
    exact, half = want.dtype.kind not in "fc", got.dtype.name == "bfloat16"
    single = not exact and np.finfo(want.dtype).bits < 64
    rtol = 0.0 if exact else max(rtol, 2e-2 if half else 1e-5 if single else 0.0)
    if got.dtype.name != "bfloat16":
        assert got.dtype == want.dtype, f"{what}: got the dtype {got.dtype}, expected {want.dtype}."
    finite = np.abs(want[np.isfinite(want)]) if want.dtype.kind in "fc" else np.zeros(0)
    largest = float(finite.max()) if finite.size else 0.0
    parts = (np.real, np.imag) if want.dtype.kind == "c" else (np.asarray,)
    for part in parts:
        atol = rtol * (largest + 1.0) * (1.0 if half or single else 1e-2)
        assert_close(part(got), part(want), rtol=rtol, atol=atol, what=what)


def _slopes(library: Any, outputs: Sequence[Any], covectors: Sequence[Any], inputs: list[Any], create: bool) -> list:
    """Return the gradients of the inputs; None where there is none."""
    pairs = [(y, c) for y, c in zip(outputs, covectors, strict=True) if _differentiable(y)]
    if not pairs or not inputs:
        return [None] * len(inputs)
    outputs = [y for y, _ in pairs]
    if library is torch:
        seeds = [c for _, c in pairs]
        return list(torch.autograd.grad(outputs, inputs, seeds, create_graph=create, allow_unused=True))
    return cr.gradients(outputs, inputs, [cr.asarray(_numpy(c)).astype(y.dtype) for y, c in pairs], create_graph=create)


def _order(twins: Twins, theirs: list, ours: list, rng: np.random.Generator, operator: Operator, order: int) -> None:
    """Compare the gradients of results by the leaves, and theirs up to `order`."""
    covectors = []
    for want in theirs:
        draw = np.asarray(rng.standard_normal(tuple(want.shape)))
        covector = draw + 1j * rng.standard_normal(tuple(want.shape)) if want.is_complex() else draw
        covectors.append(torch.from_numpy(np.asarray(covector)).to(want.dtype))
    create = order < operator.order
    wanted = _slopes(torch, theirs, covectors, twins.theirs, create)
    found = _slopes(cr, ours, covectors, twins.ours, create)
    for position, (want, got) in enumerate(zip(wanted, found, strict=True)):
        if want is None and got is None:
            continue
        like = _numpy(twins.theirs[position])
        a, b = (np.zeros_like(like) if g is None else _numpy(g) for g in (got, want))
        agree(a, b, operator.rtol * 10 ** (order - 1), f"gradient {position} of order {order}")
    if create and any(map(_differentiable, [*wanted, *found])):
        theirs = [torch.zeros_like(x) if g is None else g for x, g in zip(twins.theirs, wanted, strict=True)]
        ours = [cr.zeros_like(x) if g is None else g for x, g in zip(twins.ours, found, strict=True)]
        _order(twins, theirs, ours, rng, operator, order + 1)


def compare(info: Any, operator: Operator, sample: Any, seed: int = 0) -> None:
    """Give one sample to both libraries and assert that values and gradients agree.

    Args:
        info: an entry of the database.
        operator: what it is in chainrule.
        sample: one of its samples.
        seed: of the covectors.

    Raises:
        AssertionError: a value, gradient or second gradient differs; the message shows the worst element.
        Skip: a rule leaves the sample out.
    """
    twins = Twins()
    their_args, our_args = twins([sample.input, *sample.args])
    settings = {key: value for key, value in sample.kwargs.items() if key not in _IGNORED}
    their_settings, our_settings = twins(settings)
    their_settings |= {key: value for key, value in sample.kwargs.items() if key in _IGNORED}
    plain = operator.plain is not None and operator.plain(*their_args, **their_settings)
    if operator.before is not None:
        their_args, our_args = (
            operator.before(torch, *their_args, **their_settings),
            operator.before(cr, *our_args, **our_settings),
        )
    wanted = info.op(*their_args, **their_settings)
    found = operator.call(*our_args, **our_settings)
    after = operator.after or sample.output_process_fn_grad
    wanted, found = list(flat(after(wanted))), list(flat(after(found)))
    assert len(found) == len(wanted), f"got {len(found)} outputs, expected {len(wanted)}."
    for number, (got, want) in enumerate(zip(found, wanted, strict=True)):
        agree(got, want, operator.rtol, f"output {number}")
    order = 0 if plain or not info.supports_autograd else operator.order if info.supports_gradgrad else 1
    if order and twins.theirs and any(map(_differentiable, wanted)):
        operator = dataclasses.replace(operator, order=order)
        pairs = [(w, f) for w, f in zip(wanted, found, strict=True) if _differentiable(w)]
        _order(twins, [w for w, _ in pairs], [f for _, f in pairs], np.random.default_rng(seed), operator, 1)


def run(name: str, operator: Operator, most: int | None = None, dtype: torch.dtype | None = None) -> Outcome:
    """Compare the samples of one entry.

    Args:
        name: key of `ENTRIES`.
        operator: what the entry is in chainrule.
        most: how many samples to compare, spread over all; default all.
        dtype: of the samples; default the first of `DTYPES` that the entry supports.

    Returns:
        The counts, and a message per failure.
    """
    info = ENTRIES[name]
    listed = samples(info, dtype)
    outcome = Outcome(name, samples=len(listed))
    for number in spread(len(listed), most):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                compare(info, operator, listed[number], number)
            except Skip as skip:
                outcome.skipped[skip.args[0]] += 1
            except Exception as error:
                outcome.failures.append((number, f"{type(error).__name__}: {error}"))
            else:
                outcome.passed += 1
    return outcome
