"""Layers, activations and losses against PyTorch in float64: outputs, gradients, second derivatives, state dicts."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

F, TF = nn.functional, torch.nn.functional
RNG = np.random.default_rng(0)


def floats(*shape, low=-2.0, high=2.0):
    return RNG.uniform(low, high, shape)


X = floats(5, 4)
X[0, 0], X[1, 1] = 25.0, -25.0  # beyond every threshold
X3, X4 = floats(3, 4, 5), floats(2, 3, 4, 2)
PROBABILITIES = np.exp(X3) / np.exp(X3).sum(1, keepdims=True)
LOG_P = floats(5, 4, low=-3.0, high=-0.1)
LABELS, LABELS3 = RNG.integers(0, 4, 5), RNG.integers(0, 4, (3, 5))
IGNORING = LABELS.copy()
IGNORING[2] = -100
SIGNS, BITS = RNG.choice([-1.0, 1.0], (5, 4)), floats(5, 4, low=0.0, high=1.0)
P = floats(5, 4, low=0.05, high=0.95)
CLASS_WEIGHT = np.array([0.5, 1.0, 2.0, 1.5])

LAYERS = {
    "linear": ("Linear", (4, 3), {}, (X,)),
    "linear 3-d, no bias": ("Linear", (5, 2), {"bias": False}, (X3,)),
    "flatten": ("Flatten", (), {}, (X4,)),
    "flatten inner": ("Flatten", (-2, -1), {}, (X4,)),
    "identity": ("Identity", (), {}, (X,)),
    "embedding": ("Embedding", (4, 3), {}, (LABELS3,)),
    "embedding padded": ("Embedding", (4, 3), {"padding_idx": 1}, (LABELS3,)),
    "sigmoid": ("Sigmoid", (), {}, (X,)),
    "tanh": ("Tanh", (), {}, (X,)),
    "relu": ("ReLU", (), {}, (X,)),
    "leaky relu": ("LeakyReLU", (0.2,), {}, (X,)),
    "prelu": ("PReLU", (), {}, (X,)),
    "prelu channels": ("PReLU", (3,), {"init": 0.1}, (X4,)),
    "elu": ("ELU", (0.7,), {}, (X,)),
    "selu": ("SELU", (), {}, (X,)),
    "silu": ("SiLU", (), {}, (X,)),
    "gelu": ("GELU", (), {}, (X,)),
    "gelu tanh": ("GELU", (), {"approximate": "tanh"}, (X,)),
    "softplus": ("Softplus", (), {}, (X,)),
    "softplus sharp": ("Softplus", (), {"beta": 2.5, "threshold": 3.0}, (X,)),
    "softmax": ("Softmax", (), {"dim": 1}, (X3,)),
    "log softmax": ("LogSoftmax", (), {"dim": -2}, (X4,)),
    "dropout eval": ("Dropout", (0.5,), {}, (X,)),
}

ELEMENTWISE = {
    "mse": ("MSELoss", {}, (X, BITS)),
    "l1": ("L1Loss", {}, (X, BITS)),
    "huber": ("HuberLoss", {"delta": 0.7}, (X, BITS)),
    "smooth l1": ("SmoothL1Loss", {"beta": 0.7}, (X, BITS)),
    "smooth l1, beta 0": ("SmoothL1Loss", {"beta": 0.0}, (X, BITS)),
    "bce": ("BCELoss", {}, (P, BITS)),
    "bce weighted": ("BCELoss", {"weight": CLASS_WEIGHT}, (P, BITS)),
    "bce logits": ("BCEWithLogitsLoss", {}, (X, BITS)),
    "bce logits weighted": ("BCEWithLogitsLoss", {"weight": CLASS_WEIGHT, "pos_weight": 2 * CLASS_WEIGHT}, (X, BITS)),
    "cross entropy": ("CrossEntropyLoss", {}, (X, LABELS)),
    "cross entropy one sample": ("CrossEntropyLoss", {}, (X[2], LABELS[2])),
    "cross entropy pixels": ("CrossEntropyLoss", {"weight": CLASS_WEIGHT}, (X3, LABELS3)),
    "cross entropy weighted": ("CrossEntropyLoss", {"weight": CLASS_WEIGHT}, (X, IGNORING)),
    "cross entropy ignore": ("CrossEntropyLoss", {"ignore_index": 1}, (X, LABELS)),
    "cross entropy smoothed": ("CrossEntropyLoss", {"label_smoothing": 0.3}, (X, IGNORING)),
    "cross entropy smoothed, weighted": (
        "CrossEntropyLoss",
        {"label_smoothing": 0.3, "weight": CLASS_WEIGHT, "ignore_index": 1},
        (X3, LABELS3),
    ),
    "cross entropy probabilities": ("CrossEntropyLoss", {}, (X3, PROBABILITIES)),
    "cross entropy probabilities smoothed": (
        "CrossEntropyLoss",
        {"label_smoothing": 0.3, "weight": CLASS_WEIGHT},
        (X3, PROBABILITIES),
    ),
    "nll": ("NLLLoss", {}, (LOG_P, IGNORING)),
    "nll weighted": ("NLLLoss", {"weight": CLASS_WEIGHT, "ignore_index": 3}, (LOG_P, LABELS)),
    "kl": ("KLDivLoss", {}, (LOG_P, P)),
    "kl log": ("KLDivLoss", {"log_target": True}, (LOG_P, LOG_P[::-1].copy())),
    "hinge embedding": ("HingeEmbeddingLoss", {"margin": 0.8}, (X, SIGNS)),
    "multi margin": ("MultiMarginLoss", {}, (X, LABELS)),
    "multi margin squared": ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": CLASS_WEIGHT}, (X, LABELS)),
    "cosine embedding": ("CosineEmbeddingLoss", {"margin": 0.2}, (X, BITS, SIGNS[:, 0])),
}
LOSSES = {
    f"{name}, {reduction}": (kind, {**options, "reduction": reduction}, inputs)
    for name, (kind, options, inputs) in ELEMENTWISE.items()
    for reduction in ("mean", "sum", "none")
} | {"kl batchmean": ("KLDivLoss", {"reduction": "batchmean"}, (LOG_P, P))}


def check(ours, theirs, inputs, *, compiled=False, second=True, second_rtol=1e-10):
    """Compare outputs, and gradients of inputs and parameters to second order, of one module in both frameworks."""
    with torch.no_grad():
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            q.copy_(torch.from_numpy(np.array(p.numpy())))
    xs = [cr.asarray(v).requires_grad_() if v.dtype.kind == "f" else cr.asarray(v) for v in map(np.asarray, inputs)]
    ts = [torch.tensor(v, requires_grad=np.asarray(v).dtype.kind == "f") for v in inputs]
    out, expected = (cr.jit(ours) if compiled else ours)(*xs), theirs(*ts)
    compare("output", out, expected)
    if not expected.requires_grad:
        return
    g = np.random.default_rng(1).normal(size=expected.shape)
    mine = [x for x in (*xs, *ours.parameters()) if x.requires_grad]
    other = [t for t in (*ts, *theirs.parameters()) if t.requires_grad]
    first = cr.gradients([out], mine, [cr.asarray(g)], create_graph=second)
    wanted = torch.autograd.grad(
        expected, other, torch.from_numpy(np.asarray(g)), create_graph=second, allow_unused=True
    )
    for a, b in zip(first, wanted, strict=True):
        compare("gradient", a, b)
    if second:
        again(first, wanted, mine, other, second_rtol)


def again(first, wanted, mine, other, rtol):
    """Compare the gradients of a random combination of the first gradients."""
    pairs = [(a, b) for a, b in zip(first, wanted, strict=True) if a is not None and b is not None]
    weights = [np.random.default_rng(i).normal(size=tuple(b.shape)) for i, (_, b) in enumerate(pairs)]
    total = sum((a * cr.asarray(w)).sum() for (a, _), w in zip(pairs, weights, strict=True))
    target = sum((b * torch.from_numpy(np.asarray(w))).sum() for (_, b), w in zip(pairs, weights, strict=True))
    if not target.requires_grad:
        assert not total.requires_grad or all(g is None or not g.numpy().any() for g in cr.gradients([total], mine))
        return
    theirs = torch.autograd.grad(target, other, allow_unused=True)
    ours = cr.gradients([total], mine) if total.requires_grad else [None] * len(mine)
    for a, b in zip(ours, theirs, strict=True):
        compare("second gradient", a, b, rtol)


def compare(what, ours, theirs, rtol=1e-10):
    """Compare two tensors; a gradient that one framework leaves out is zero."""
    a = None if ours is None else np.asarray(ours.numpy())
    b = None if theirs is None else theirs.numpy(force=True)
    if a is None or b is None:
        assert a is None or not a.any(), what
        assert b is None or not b.any(), what
        return
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12, err_msg=what)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, compiled):
    kind, args, options, inputs = LAYERS[name]
    ours = getattr(nn, kind)(*args, **options).astype(cr.float64).eval()
    theirs = getattr(torch.nn, kind)(*args, **options).double().eval()
    check(ours, theirs, inputs, compiled=compiled)


def losses(kind, options):
    theirs = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    return getattr(nn, kind)(**options), getattr(torch.nn, kind)(**theirs)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")  # PyTorch's advice on KLDivLoss
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, compiled):
    kind, options, inputs = LOSSES[name]
    # PyTorch has no second derivative of multi_margin_loss, and adds 1e-12 to the denominators of that of BCE.
    loose = 1e-8 if kind == "BCELoss" else 1e-10
    second = kind != "MultiMarginLoss"
    check(*losses(kind, options), inputs, compiled=compiled, second=second, second_rtol=loose)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_hinge_loss(compiled):
    # PyTorch has no plain two-class hinge loss; this is its definition in PyTorch's operations.
    theirs = torch.nn.Module()
    theirs.forward = lambda x, y: torch.relu(0.5 - y * x).mean()
    check(nn.HingeLoss(margin=0.5), theirs, (X, SIGNS), compiled=compiled)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cosine_similarity(dim):
    theirs, ours = torch.nn.CosineSimilarity(dim=dim), nn.Module()
    ours.forward = lambda a, b: F.cosine_similarity(a, b, dim=dim)
    check(ours, theirs, (X, BITS))


def test_cosine_similarity_broadcasts_and_takes_zero_vectors():
    a, b = X3.copy(), X3[:1].copy()
    a[0] = 0.0
    x, t = cr.asarray(a).requires_grad_(), torch.tensor(a, requires_grad=True)
    ours, theirs = F.cosine_similarity(x, cr.asarray(b)), TF.cosine_similarity(t, torch.from_numpy(b))
    compare("value", ours, theirs)
    ours.sum().backward()
    theirs.sum().backward()
    np.testing.assert_allclose(x.grad.numpy()[1:], t.grad.numpy()[1:], rtol=1e-10)
    assert np.isfinite(x.grad.numpy()).all()


def test_cosine_similarity_takes_lengths_after_broadcasting():
    # x2 has size 1 along the axis of the vectors; its length was taken before it was repeated, and a cosine was 1.26.
    a, b = X3[:1, :2], X3[:2, :1]
    ours = F.cosine_similarity(cr.asarray(a), cr.asarray(b), dim=-2)
    compare("value", ours, TF.cosine_similarity(torch.from_numpy(a), torch.from_numpy(b), dim=-2))


def test_all_labels_ignored_is_nan_as_in_pytorch():
    target = np.full(5, -100)
    theirs = TF.cross_entropy(torch.from_numpy(X), torch.from_numpy(target))
    ours = F.cross_entropy(cr.asarray(X), cr.asarray(target))
    assert torch.isnan(theirs)
    assert np.isnan(ours.item())
    assert F.cross_entropy(cr.asarray(X), cr.asarray(target), reduction="sum").item() == 0.0


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_extreme_logits_stay_finite(scale):
    logits = X * scale
    x, t = cr.asarray(logits).requires_grad_(), torch.tensor(logits, requires_grad=True)
    ours, theirs = F.cross_entropy(x, cr.asarray(LABELS)), TF.cross_entropy(t, torch.from_numpy(LABELS))
    compare("value", ours, theirs)
    ours.backward()
    theirs.backward()
    compare("gradient", x.grad, t.grad)
    ours = F.binary_cross_entropy_with_logits(cr.asarray(logits), cr.asarray(BITS))
    compare("two classes", ours, TF.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(BITS)))


def test_saturated_probabilities():
    p, y = np.array([0.0, 0.0, 1.0, 1.0, 1e-60]), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    ours = F.binary_cross_entropy(cr.asarray(p), cr.asarray(y), reduction="none")
    compare("value", ours, TF.binary_cross_entropy(torch.from_numpy(p), torch.from_numpy(y), reduction="none"))


def test_kl_div_of_a_zero_target():
    target = np.array([[0.0, 1.0]])
    log_p = np.log(np.array([[0.5, 0.5]]))
    ours = F.kl_div(cr.asarray(log_p), cr.asarray(target), reduction="sum")
    compare("value", ours, TF.kl_div(torch.from_numpy(log_p), torch.from_numpy(target), reduction="sum"))


# --- state dicts ----------------------------------------------------------------------------------------------------


def both():
    ours = nn.Sequential(
        nn.Linear(6, 5), nn.PReLU(5), nn.Sequential(nn.Linear(5, 4), nn.ReLU()), nn.Linear(4, 3, bias=False)
    )
    t = torch.nn
    theirs = t.Sequential(
        t.Linear(6, 5), t.PReLU(5), t.Sequential(t.Linear(5, 4), t.ReLU()), t.Linear(4, 3, bias=False)
    )
    return ours, theirs


def test_state_dict_from_pytorch():
    ours, theirs = both()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = floats(7, 6).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours(cr.asarray(x)).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_state_dict_to_pytorch():
    ours, theirs = both()
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.from_numpy(np.array(value.numpy())) for name, value in state.items()})
    x = floats(7, 6).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours(cr.asarray(x)).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_files_are_read_by_the_safetensors_of_pytorch(tmp_path):
    from safetensors.torch import load_file, save_file

    ours, theirs = both()
    cr.save(tmp_path / "ours.safetensors", ours)
    theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    low = {"w": torch.arange(6).reshape(2, 3).to(torch.bfloat16), **theirs.state_dict()}
    save_file(low, tmp_path / "theirs.safetensors")
    back = cr.load(tmp_path / "theirs.safetensors")
    assert back["w"].dtype is cr.bfloat16
    assert back["w"].astype(cr.float32).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    for name, value in ours.state_dict().items():
        assert back[name].tolist() == value.tolist()
