"""Samples of shapes around the widths of vectors, for the primitives that are not elementwise; see `compiled.py`."""

from __future__ import annotations

import numpy as np

from chainrule.core.dtypes import float32
from chainrule.core.primitive import Sample

__all__ = ["WIDE"]

_rng = np.random.default_rng(0)


def _indices(shape: tuple[int, ...], *sizes: int) -> np.ndarray:
    """Return random indices, one row per size."""
    return np.stack([_rng.integers(0, n, shape) for n in sizes])


def _reductions() -> list[Sample]:
    """Return rows, columns, long ones that are summed in parts, and axes in the middle."""
    cases = [
        ((17,), (0,)),
        ((5, 33), (1,)),
        ((33, 5), (0,)),
        ((3, 17, 2), (1,)),
        ((2, 3, 5, 7), (0, 2)),
        ((9000,), (0,)),
        ((3000, 33), (0,)),
        ((2, 9000), (1,)),
        ((4, 1, 17), (0, 1, 2)),
    ]
    return [Sample((shape,), {"axis": axis, "keepdims": n % 2 == 0}) for n, (shape, axis) in enumerate(cases)]


def _positions() -> list[Sample]:
    cases = [((17,), 0), ((5, 33), 1), ((33, 5), 0), ((3, 17, 2), 1), ((2, 300), 1), ((300, 33), 0)]
    return [Sample((shape,), {"axis": axis}, smooth=False) for shape, axis in cases]


def _gathers() -> list[tuple[tuple[int, ...], np.ndarray, tuple[int, ...]]]:
    return [
        ((40, 17), _indices((33,), 40), (0,)),
        ((7, 40), _indices((3, 5), 40), (1,)),
        ((6, 9, 5), _indices((17,), 6, 5), (0, 2)),
        ((50,), _indices((63,), 50), (0,)),
        ((1, 64), np.zeros((1, 20), np.int64), (0,)),
        ((5, 3), _indices((2, 1, 4), 5), (0,)),
    ]


def _scatters() -> list[Sample]:
    return [
        Sample((x, i, (*i.shape[1:], *(n for a, n in enumerate(x) if a not in axes))), {"axes": axes})
        for x, i, axes in _gathers()
    ]


_ALONG = [
    ((5, 40), _rng.integers(0, 40, (5, 17)), 1),
    ((40, 5), _rng.integers(0, 40, (17, 5)), 0),
    ((3, 9, 33), _rng.integers(0, 9, (3, 20, 33)), 1),
    ((70,), _rng.integers(0, 70, (33,)), 0),
]
_WINDOWS = [
    ((2, 3, 12, 13), (2, 2), (2, 2), (1, 1)),
    ((2, 3, 12, 13), (3, 3), (2, 1), (1, 2)),
    ((1, 40, 17), (5,), (1,), (1,)),
    ((2, 2, 19, 18), (6, 5), (5, 4), (1, 1)),
    ((3, 4, 20, 20), (20, 20), (20, 20), (1, 1)),
]


def _counts(
    shape: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    plane = shape[len(shape) - len(size) :]
    return tuple((n - d * (s - 1) - 1) // t + 1 for n, s, t, d in zip(plane, size, stride, dilation, strict=True))


def _lead(shape: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    return shape[: len(shape) - len(size)]


def _how(size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> dict:
    return {"size": size, "stride": stride, "dilation": dilation}


def _padded(n: int) -> dict:
    return {"padding": ((0, 0),) * n}


def _matmuls() -> list[Sample]:
    pairs = [
        ((17, 33), (33, 18)),
        ((1, 63), (63, 1)),
        ((3, 5, 33), (3, 33, 17)),
        ((2, 1, 6, 9), (4, 9, 20)),
        ((64, 784), (784, 33)),
    ]
    return [Sample(pair) for pair in pairs]


def _convolutions() -> list[Sample]:
    cases = [
        ((2, 3, 9, 8), (17, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
        ((2, 4, 9, 9), (6, 2, 3, 2), (2, 1), ((1, 0), (0, 1)), (1, 2), 2),
        ((1, 17, 20), (17, 1, 5), (2,), ((2, 2),), (1,), 17),
    ]
    return [
        Sample((x, w), {"stride": stride, "padding": pads, "dilation": spread, "groups": groups})
        for x, w, stride, pads, spread, groups in cases
    ]


def _moves() -> dict[str, list[Sample]]:
    return {
        "reshape": [Sample(((6, 35),), {"shape": (10, 21)}), Sample(((5, 2, 9),), {"shape": (10, 9)})],
        "permute_dims": [Sample(((33, 17),), {"axes": (1, 0)}), Sample(((3, 17, 4, 2),), {"axes": (3, 1, 0, 2)})],
        "broadcast_to": [Sample(((17, 1),), {"shape": (2, 17, 33)}), Sample(((1, 33),), {"shape": (5, 33)})],
        "slice": [
            Sample(((40, 50),), {"starts": (3, 1), "limits": (40, 50), "steps": (2, 3)}),
            Sample(((70,),), {"starts": (5,), "limits": (38,), "steps": (1,)}),
        ],
        "pad": [
            Sample(((5, 33),), {"low": (2, 3), "high": (0, 1), "interior": (0, 0)}),
            Sample(((7, 17),), {"low": (0, 1), "high": (3, 0), "interior": (2, 1)}),
        ],
        "update_slice": [
            Sample(((9, 70), (3, 33)), {"starts": (2, 3), "steps": (2, 2)}),
            Sample(((40,), (17,)), {"starts": (20,), "steps": (1,)}),
        ],
        "flip": [Sample(((5, 33),), {"axis": (1,)}), Sample(((17, 3),), {"axis": (0, 1)})],
        "concat": [
            Sample(((5, 17), (5, 33), (5, 1)), {"axis": 1}),
            Sample(((3, 17), (0, 17), (2, 17)), {"axis": 0}),
        ],
        "one_hot": [Sample((_rng.integers(0, 17, 33),), {"num_classes": 17, "dtype": float32}, smooth=False)],
        "arange": [Sample((), {"start": 0.5, "step": 0.25, "size": 63, "dtype": float32})],
        "random_bits": [
            Sample((np.uint64(2**63 + 9), np.uint64(2**33 + o)), {"shape": shape}, smooth=False)
            for o, shape in enumerate([(63,), (2, 17), (5, 1, 33), (1030,)])
        ]
        + [Sample((np.uint64(3), np.uint64(2**64 - 7)), {"shape": (40,)}, smooth=False)],
    }


WIDE: dict[str, list[Sample]] = {
    **{name: _reductions() for name in ("sum", "max", "min", "any", "all")},
    "prod": _reductions()[:5],
    **{name: _positions() for name in ("argmax", "argmin", "cumulative_argmax", "cumulative_argmin")},
    "cumulative_sum": [Sample(s.inputs, s.attributes) for s in _positions()],
    "cumulative_prod": [Sample(((*s.inputs, 0.6, 1.6),), s.attributes) for s in _positions()],
    "argsort": [Sample(((5, 33),), {"axis": a, "descending": bool(a)}, smooth=False) for a in (0, 1)],
    "gather": [Sample((x, i), {"axes": axes}) for x, i, axes in _gathers()],
    **{name: _scatters() for name in ("scatter_add", "scatter_set")},
    "take_along": [Sample((x, i), {"axis": a}) for x, i, a in _ALONG],
    **{name: [Sample((x, i, i.shape), {"axis": a}) for x, i, a in _ALONG] for name in ("add_along", "max_along")},
    "min_along": [Sample((x, i, i.shape), {"axis": a}) for x, i, a in _ALONG],
    **{name: [Sample((w[0],), _how(*w[1:])) for w in _WINDOWS] for name in ("windows", "window_sum")},
    "window_argmax": [Sample((w[0],), _how(*w[1:]) | _padded(len(w[1])), smooth=False) for w in _WINDOWS]
    + [Sample(((2, 3, 9, 8),), _how((3, 3), (2, 2), (1, 1)) | {"padding": ((1, 1), (1, 1))}, smooth=False)],
    "window_spread": [
        Sample(((*_lead(w[0], w[1]), *_counts(*w)),), {"shape": w[0][len(w[0]) - len(w[1]) :], **_how(*w[1:])})
        for w in _WINDOWS
    ],
    "overlap_add": [
        Sample(
            ((*_lead(w[0], w[1]), *_counts(*w), *w[1]),),
            {"shape": w[0][len(w[0]) - len(w[1]) :], "stride": w[2], "dilation": w[3]},
        )
        for w in _WINDOWS
    ],
    "matmul": _matmuls(),
    "convolution": _convolutions(),
    **_moves(),
}
