"""Functions of nn.functional without a layer of their own, against PyTorch: to second order in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tests.ops.oracle import compare

import chainrule as cr
from chainrule.nn import functional as F

torch = pytest.importorskip("torch")
TF = torch.nn.functional
pytestmark = pytest.mark.oracle

RNG = np.random.default_rng(0)


def _x(*shape: int, scale: float = 1.0) -> np.ndarray:
    return RNG.normal(size=shape) * scale


KINKS = np.array([-6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 20.0])
WIDE = np.concatenate([KINKS, _x(20, scale=3.0)])

ACTIVATIONS: list[tuple[str, dict]] = [
    ("hardtanh", {}),
    ("hardtanh", {"min_val": -3.0, "max_val": 0.5}),
    ("relu6", {}),
    ("hardsigmoid", {}),
    ("hardswish", {}),
    ("threshold", {"threshold": 0.5, "value": -2.0}),
    ("rrelu", {}),
    ("rrelu", {"lower": 0.2, "upper": 0.6}),
    ("celu", {}),
    ("celu", {"alpha": 0.3}),
    ("mish", {}),
    ("softsign", {}),
    ("hardshrink", {}),
    ("softshrink", {"lambd": 1.0}),
    ("tanhshrink", {}),
    ("glu", {"dim": 0}),
    ("softmin", {"dim": 0}),
]


@pytest.mark.parametrize("name, settings", ACTIVATIONS, ids=str)
def test_activations_also_at_their_kinks(name: str, settings: dict) -> None:
    single = name in ("hardsigmoid", "celu")  # PyTorch keeps their constants in float32
    compare(
        torch,
        lambda x: getattr(F, name)(x, **settings),
        lambda x: getattr(TF, name)(x, **settings),
        [WIDE],
        order=1 if name == "hardsigmoid" else 2,  # PyTorch has no second derivative of it
        rtol=1e-6 if single else 1e-9,
    )


NORMS: list[tuple[str, list, dict]] = [
    ("layer_norm", [_x(3, 4, 5)], {"normalized_shape": (5,)}),
    ("rms_norm", [_x(3, 4, 5)], {"normalized_shape": (4, 5), "eps": 1e-3}),
    ("rms_norm", [_x(3, 4, 5)], {"normalized_shape": (5,)}),
    ("local_response_norm", [_x(2, 7, 3, 2)], {"size": 4, "alpha": 0.3}),
    ("local_response_norm", [_x(2, 7, 3)], {"size": 3, "alpha": 0.3, "beta": 1.5, "k": 2.0}),
    ("normalize", [_x(3, 4, 5)], {}),
    ("normalize", [_x(3, 4, 5)], {"p": 3.0, "dim": -1}),
    ("instance_norm", [_x(2, 3, 4, 5)], {}),
]


@pytest.mark.parametrize("name, arrays, settings", NORMS, ids=[f"{row[0]}{row[2]}" for row in NORMS])
def test_norms(name: str, arrays: list, settings: dict) -> None:
    compare(torch, lambda x: getattr(F, name)(x, **settings), lambda x: getattr(TF, name)(x, **settings), arrays)


def test_a_zero_vector_is_normalized_to_zero() -> None:
    compare(torch, lambda x: F.normalize(x), lambda x: TF.normalize(x), [np.zeros((3, 4))], order=1)


def test_norms_with_weight_and_bias() -> None:
    x, w, b = _x(2, 6, 4, 3), _x(6), _x(6)
    compare(torch, lambda x, w, b: F.group_norm(x, 3, w, b), lambda x, w, b: TF.group_norm(x, 3, w, b), [x, w, b])
    for ours, theirs in ((F.instance_norm, TF.instance_norm),):
        compare(
            torch,
            lambda x, w, b, ours=ours: ours(x, weight=w, bias=b),
            lambda x, w, b, theirs=theirs: theirs(x, weight=w, bias=b),
            [x, w, b],
        )
    w, b = _x(4, 3), _x(4, 3)
    compare(
        torch, lambda x, w, b: F.layer_norm(x, (4, 3), w, b), lambda x, w, b: TF.layer_norm(x, (4, 3), w, b), [x, w, b]
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 5), (2, 3, 4, 5)])
def test_batch_norm_and_its_running_statistics(shape: tuple, training: bool) -> None:
    arrays = [_x(*shape), _x(3), _x(3)]
    means, variances = _x(3), np.abs(_x(3)) + 0.5
    kept = (cr.asarray(means), cr.asarray(variances)), (torch.tensor(means), torch.tensor(variances))
    compare(
        torch,
        lambda x, w, b: F.batch_norm(x, *kept[0], w, b, training, 0.3, 1e-4),
        lambda x, w, b: TF.batch_norm(x, *kept[1], w, b, training, 0.3, 1e-4),
        arrays,
    )
    for mine, theirs in zip(*kept, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("use_input_stats", [True, False])
def test_instance_norm_and_its_running_statistics(use_input_stats: bool) -> None:
    means, variances = _x(3), np.abs(_x(3)) + 0.5
    kept = (cr.asarray(means), cr.asarray(variances)), (torch.tensor(means), torch.tensor(variances))
    compare(
        torch,
        lambda x: F.instance_norm(x, *kept[0], use_input_stats=use_input_stats),
        lambda x: TF.instance_norm(x, *kept[1], use_input_stats=use_input_stats),
        [_x(2, 3, 4, 5)],
    )
    for mine, theirs in zip(*kept, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-12)


SAME = _x(4, 3)
DISTANCES: list[tuple[Callable, Callable, list]] = [
    (F.pairwise_distance, TF.pairwise_distance, [_x(4, 3), _x(4, 3)]),
    (
        lambda a, b: F.pairwise_distance(a, b, 1.0, 0.1, True),
        lambda a, b: TF.pairwise_distance(a, b, 1.0, 0.1, True),
        [_x(4, 3), _x(3)],
    ),
    (lambda a: F.pdist(a), TF.pdist, [_x(5, 3)]),
    (lambda a: F.pdist(a, 3.0), lambda a: TF.pdist(a, 3.0), [_x(5, 3)]),
    (lambda a, b: F.cdist(a, b), torch.cdist, [_x(2, 4, 3), _x(5, 3)]),
    (lambda a, b: F.cdist(a, b, 1.0), lambda a, b: torch.cdist(a, b, 1.0), [_x(4, 3), _x(5, 3)]),
    (F.bilinear, TF.bilinear, [_x(2, 4, 3), _x(2, 4, 5), _x(6, 3, 5), _x(6)]),
]


@pytest.mark.parametrize("ours, theirs, arrays", DISTANCES, ids=[str(i) for i in range(len(DISTANCES))])
def test_distances(ours: Callable, theirs: Callable, arrays: list) -> None:
    try:
        compare(torch, ours, theirs, arrays)
    except (NotImplementedError, RuntimeError) as error:  # PyTorch has no second derivative of pdist
        assert "derivative" in str(error)  # noqa: PT017
        compare(torch, ours, theirs, arrays, order=1)


def test_equal_rows_have_distance_zero_with_gradient_zero() -> None:
    compare(torch, lambda a: F.pdist(a), TF.pdist, [np.concatenate([SAME, SAME])], order=1)


LABELS = np.array([[2, 0, -1, 1], [-1, 3, 3, 3], [1, 3, 0, 2]])
SIGNS = RNG.choice([-1.0, 1.0], (3, 4))
LOSSES: list[tuple[str, list, dict]] = [
    ("poisson_nll_loss", [_x(3, 4), np.abs(_x(3, 4)) * 3], {}),
    ("poisson_nll_loss", [_x(3, 4), np.abs(_x(3, 4)) * 3], {"full": True}),
    ("poisson_nll_loss", [np.abs(_x(3, 4)), np.abs(_x(3, 4)) * 3], {"log_input": False, "full": True}),
    ("gaussian_nll_loss", [_x(3, 4), _x(3, 4), np.abs(_x(3, 4)) + 0.2], {}),
    ("gaussian_nll_loss", [_x(3, 4), _x(3, 4), np.abs(_x(3, 1)) + 0.2], {"full": True}),
    ("gaussian_nll_loss", [_x(3, 4), _x(3, 4), np.abs(_x(3)) * 0.2], {"eps": 0.1}),
    ("soft_margin_loss", [_x(3, 4, scale=3.0), SIGNS], {}),
    ("margin_ranking_loss", [_x(3, 4), _x(3, 4), SIGNS], {"margin": 0.3}),
    ("multilabel_margin_loss", [_x(3, 4), LABELS], {}),
    ("multilabel_margin_loss", [_x(4), LABELS[0]], {}),
    ("multilabel_soft_margin_loss", [_x(3, 4), (SIGNS > 0).astype(np.float64)], {}),
    ("multilabel_soft_margin_loss", [_x(3, 4), (SIGNS > 0).astype(np.float64), np.abs(_x(4))], {}),
    ("triplet_margin_loss", [_x(3, 4), _x(3, 4), _x(3, 4)], {}),
    ("triplet_margin_loss", [_x(3, 4), _x(3, 4), _x(3, 4)], {"margin": 2.0, "p": 1.0, "swap": True}),
    ("triplet_margin_with_distance_loss", [_x(3, 4), _x(3, 4), _x(3, 4)], {"swap": True}),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name, arrays, settings", LOSSES, ids=[f"{row[0]}{row[2]}" for row in LOSSES])
def test_losses(name: str, arrays: list, settings: dict, reduction: str) -> None:
    def ours(*a: cr.Tensor) -> cr.Tensor:
        return getattr(F, name)(*a, **settings, reduction=reduction)

    def theirs(*a: torch.Tensor) -> torch.Tensor:
        return getattr(TF, name)(*a, **settings, reduction=reduction)

    order = 1 if name == "multilabel_margin_loss" else 2  # PyTorch has no second derivative of it
    fixed = {"multilabel_soft_margin_loss": 1, "soft_margin_loss": 1, "margin_ranking_loss": 2}.get(name)
    if fixed is None:
        compare(torch, ours, theirs, arrays, order=order)
    else:  # targets and weights that PyTorch does not differentiate
        rest = arrays[fixed:]
        compare(
            torch,
            lambda *a: ours(*a, *map(cr.asarray, rest)),
            lambda *a: theirs(*a, *map(torch.tensor, rest)),
            arrays[:fixed],
        )


@pytest.fixture
def _plain_attention() -> Iterator[None]:
    """PyTorch's fused attention has no second derivative; its plain one has."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield


@pytest.mark.usefixtures("_plain_attention")
@pytest.mark.parametrize("settings", [{}, {"is_causal": True}, {"scale": 0.3}], ids=str)
def test_attention(settings: dict) -> None:
    arrays = [_x(2, 3, 5, 4), _x(2, 3, 6, 4), _x(2, 3, 6, 7)]
    compare(
        torch,
        lambda *a: F.scaled_dot_product_attention(*a, **settings),
        lambda *a: TF.scaled_dot_product_attention(*a, **settings),
        arrays,
    )


@pytest.mark.usefixtures("_plain_attention")
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_attention_with_a_mask(kind: str) -> None:
    allowed = RNG.random((5, 6)) > 0.4
    allowed[2] = False  # nothing to look at: 0
    mask = allowed if kind == "bool" else _x(5, 6)
    compare(
        torch,
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, cr.asarray(mask)),
        lambda q, k, v: TF.scaled_dot_product_attention(q, k, v, torch.tensor(mask)),
        [_x(2, 5, 4), _x(2, 6, 4), _x(2, 6, 3)],
    )


@pytest.mark.usefixtures("_plain_attention")
def test_attention_of_grouped_queries() -> None:
    compare(
        torch,
        lambda *a: F.scaled_dot_product_attention(*a, enable_gqa=True),
        lambda *a: TF.scaled_dot_product_attention(*a, enable_gqa=True),
        [_x(2, 6, 5, 4), _x(2, 3, 5, 4), _x(2, 3, 5, 4)],
    )


BAGS = RNG.integers(0, 6, (4, 5))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 2, -1])
@pytest.mark.parametrize(
    "indices, offsets",
    [(BAGS, None), (BAGS.reshape(-1), [0, 3, 3, 11]), (BAGS[0], [0, 0])],
    ids=["square", "bags", "empty"],
)
def test_embedding_bags(indices: np.ndarray, offsets: list | None, mode: str, padding_idx: int | None) -> None:
    settings = {"mode": mode, "padding_idx": padding_idx}
    starts = None if offsets is None else (cr.asarray(offsets), torch.tensor(offsets))
    compare(
        torch,
        lambda w: F.embedding_bag(cr.asarray(indices), w, starts and starts[0], **settings),
        lambda w: TF.embedding_bag(torch.tensor(indices), w, starts and starts[1], **settings),
        [_x(6, 3)],
        order=1,
    )


def test_weighted_embedding_bags_and_a_last_offset() -> None:
    table, indices, weights = _x(6, 3), RNG.integers(0, 6, 7), _x(7)
    offsets = np.array([0, 4, 7])
    compare(
        torch,
        lambda t, w: F.embedding_bag(
            cr.asarray(indices), t, cr.asarray(offsets), mode="sum", per_sample_weights=w, include_last_offset=True
        ),
        lambda t, w: TF.embedding_bag(
            torch.tensor(indices), t, torch.tensor(offsets), mode="sum", per_sample_weights=w, include_last_offset=True
        ),
        [table, weights],
        order=1,
    )


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad_counts_axes_from_the_last(mode: str) -> None:
    x = _x(2, 3, 5, 6)
    compare(torch, lambda x: F.pad(x, (1, 3, 2, 0), mode), lambda x: TF.pad(x, (1, 3, 2, 0), mode), [x])
    if mode == "replicate":  # a window beside the input sees its edge alone
        for widths in ((-4, 5, 0, 0), (0, 0, 2, -4), (8, -1, -1, -3), (-2, -1, 4, 6)):
            compare(torch, lambda x: F.pad(x, widths, mode), lambda x: TF.pad(x, widths, mode), [_x(2, 3, 4, 4)])  # noqa: B023
    if mode in ("constant", "replicate"):
        compare(torch, lambda x: F.pad(x, (-1, 3, 2, -2), mode), lambda x: TF.pad(x, (-1, 3, 2, -2), mode), [x])
    if mode == "constant":
        compare(torch, lambda x: F.pad(x, (1, 3), mode, 7.5), lambda x: TF.pad(x, (1, 3), mode, 7.5), [x])
