"""What changes between two calls of a compiled step changes its result as it changes that of the eager step.

Each model trains three steps, is changed, and trains on; eager and compiled losses, parameters and statistics agree
after every step, in float64, where rounding is no excuse. Dropout draws the same numbers in both, so it stays on.
"""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.core.errors import GradientError
from chainrule.testing import assert_close

CLASSES = 5
CLOSE = 1e-9


class Tokens(nn.Module):
    """An embedding, a residual block with layer norm, and a head; the residual's scale is a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm, self.body = nn.Embedding(11, 16), nn.LayerNorm(16), nn.Linear(16, 16)
        self.head = nn.Linear(16, CLASSES)
        self.scale = 0.5

    def forward(self, tokens):
        h = self.table(tokens)                                          # [batch, 6, 16]
        h = h + self.scale * nn.functional.gelu(self.body(self.norm(h)))
        return self.head(h.mean(axis=1))                                # [batch, classes]


def _mlp():
    return nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, CLASSES),
    )  # fmt: skip


def _cnn():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * 16, CLASSES),
    )  # fmt: skip


MODELS = {
    "mlp": (_mlp, lambda p: optim.SGD(p, lr=0.05, momentum=0.9), lambda rng: rng.standard_normal((6, 12))),
    "cnn": (_cnn, lambda p: optim.Adam(p, lr=0.01), lambda rng: rng.standard_normal((6, 3, 8, 8))),
    "tokens": (Tokens, lambda p: optim.RMSprop(p, lr=0.005), lambda rng: rng.integers(0, 11, (6, 6))),
}


class Run:
    """A model with its training step, compiled or not; `weight` is a number in the step's closure."""

    def __init__(self, name, wrap):
        make, optimizer, draw = MODELS[name]
        cr.manual_seed(3)
        self.model = make().astype(cr.float64)
        self.optimizer = optimizer(self.model.parameters())
        self.rng = np.random.default_rng(5)
        self.draw = draw
        self.losses = []
        weight = 1.0

        def step(x, y):
            loss = weight * nn.functional.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

        def reweigh(value):
            nonlocal weight
            weight = value

        self.reweigh, self.step, self.predict = reweigh, wrap(step), wrap(lambda x: self.model(x))
        cr.manual_seed(4)

    def train(self, steps):
        for _ in range(steps):
            x = self.draw(self.rng)
            x = cr.asarray(x)
            self.losses.append(self.step(x, cr.asarray(self.rng.integers(0, CLASSES, 6))).item())
        with cr.no_grad():
            self.losses += self.predict(x).sum(axis=0).tolist()

    def last(self):
        """Return the last linear layer and a function that replaces it."""
        if isinstance(self.model, Tokens):
            return self.model.head, lambda layer: setattr(self.model, "head", layer)
        return self.model[-1], lambda layer: self.model.__setitem__(len(self.model) - 1, layer)


def _eval(run):
    run.model.eval()


def _there_and_back(run):
    run.model.eval()
    run.train(1)
    run.model.train()


def _freeze(run):
    next(run.model.children()).requires_grad_(False)


def _freeze_and_thaw(run):
    run.model.requires_grad_(False)
    run.last()[0].requires_grad_(True)
    run.train(2)
    run.model.requires_grad_(True)


def _replace(run):
    old, replace = run.last()
    new = nn.Linear(old.in_features, CLASSES, bias=False).astype(cr.float64)
    replace(new)
    run.optimizer.add_param_group({"params": list(new.parameters()), "lr": 0.1})


def _replace_and_forget(run):
    """The optimizer does not know the new layer: it stays as it is."""
    old, replace = run.last()
    replace(nn.Linear(old.in_features, CLASSES).astype(cr.float64))


def _rate(run):
    run.optimizer.param_groups[0]["lr"] = 0.2


def _decay(run):
    run.optimizer.param_groups[0]["weight_decay"] = 0.1


def _closure(run):
    run.reweigh(0.25)


def _assign(run):
    with cr.no_grad():
        for p in run.model.parameters():
            p.assign_(p * 0.5)


def _in_place(run):
    with cr.no_grad():
        first = next(iter(run.model.parameters()))
        first *= 0.9
        first[0] = 0.25


def _load(run):
    run.model.load_state_dict({name: value * 0.5 for name, value in run.model.state_dict().items()
                               if "num_batches" not in name}, strict=False)  # fmt: skip


def _seed(run):
    cr.manual_seed(77)


def _left_behind(run):
    """A gradient that an eager backward left behind: the step clears it."""
    run.model.zero_grad()
    x = run.draw(run.rng)
    run.model(cr.asarray(x)).sum().backward()


CHANGES = {
    "eval": _eval, "eval and back": _there_and_back, "freezing": _freeze, "freezing and thawing": _freeze_and_thaw,
    "a replaced layer": _replace, "a layer the optimizer misses": _replace_and_forget, "learning rate": _rate,
    "weight decay": _decay, "closure number": _closure, "assigned parameters": _assign, "in place": _in_place,
    "loaded": _load, "seed": _seed, "eager gradients": _left_behind,
}  # fmt: skip
WITHOUT_A_RETRACE = ("learning rate", "assigned parameters", "in place", "loaded", "seed")


@pytest.mark.parametrize("name", MODELS)
def test_a_change_between_calls_gives_the_eager_result(name):
    for what, change in CHANGES.items():
        runs = [Run(name, lambda f: f), Run(name, cr.jit)]
        for run in runs:
            cr.manual_seed(4)
            run.train(3)
            change(run)
            run.train(3)
        eager, compiled = runs
        assert_close(compiled.losses, eager.losses, rtol=CLOSE, atol=CLOSE, what=what)
        wanted, got = eager.model.state_dict(), compiled.model.state_dict()
        assert got.keys() == wanted.keys()
        for key, value in wanted.items():
            assert_close(got[key], value, rtol=CLOSE, atol=CLOSE, what=f"{what}: {key}")
        if what in WITHOUT_A_RETRACE:
            assert compiled.step.retraces == [], what


def test_an_attribute_that_a_layer_reads():
    """`scale` is a number of the module: changing it re-traces, and only that."""
    results = []
    for wrap in (lambda f: f, cr.jit):
        run = Run("tokens", wrap)
        run.train(2)
        run.model.scale = -1.0
        run.train(2)
        results.append(run)
    eager, compiled = results
    assert_close(compiled.losses, eager.losses, rtol=CLOSE, atol=CLOSE)
    assert compiled.step.retraces == [
        "self.model changed: a part was added, replaced, frozen, or switched between train and eval"
    ]


# ---------------------------------------------------------------------------------------------------- gradients
def _accumulating(wrap, keep):
    """Return gradients and weights of a step that adds up gradients and updates every third call."""
    cr.manual_seed(0)
    model = _mlp().eval().astype(cr.float64)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    add = wrap(lambda x, y: _loss(model, x, y), keep)

    def take_step():
        optimizer.step()
        optimizer.zero_grad()

    update = wrap(take_step, keep)
    rng = np.random.default_rng(1)
    seen = []
    for number in range(7):
        add(cr.asarray(rng.standard_normal((4, 12))), cr.asarray(rng.integers(0, CLASSES, 4)))
        seen.append([p.grad.numpy().copy() for p in model.parameters()])
        if number % 3 == 2:
            update()
            assert all(p.grad is None for p in model.parameters())
    return seen, [p.numpy() for p in model.parameters()]


def _loss(model, x, y):
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    return loss


@pytest.mark.parametrize("keep", [False, True])
def test_gradients_accumulate_over_calls_of_a_model(keep):
    wanted, weights = _accumulating(lambda f, _: f, keep)
    got, trained = _accumulating(lambda f, keep: cr.jit(f, keep_grads=keep), keep)
    for a, b in zip([*got, trained], [*wanted, weights], strict=True):
        for x, y in zip(a, b, strict=True):
            assert_close(x, y, rtol=CLOSE, atol=CLOSE)


def test_keep_grads_shows_the_gradients_that_the_optimizer_used():
    for name in MODELS:
        eager, kept = Run(name, lambda f: f), Run(name, lambda f: cr.jit(f, keep_grads=True))
        for run in (eager, kept):
            cr.manual_seed(4)
            run.train(2)
        for (label, want), got in zip(eager.model.named_parameters(), kept.model.parameters(), strict=True):
            assert_close(got.grad, want.grad, rtol=CLOSE, atol=CLOSE, what=f"{name}: {label}")


def test_without_it_a_used_gradient_is_refused_and_not_an_old_one():
    run = Run("mlp", cr.jit)
    x, y = cr.ones((6, 12), dtype=cr.float64), cr.asarray([0, 1, 2, 3, 4, 0])
    _loss(run.model, x, y)
    assert run.model[0].weight.grad is not None
    run.step(x, y)
    with pytest.raises(GradientError) as error:
        run.model[0].weight.grad
    assert error.value.message == (
        "this gradient was used up by the optimizer inside a compiled step and was not kept: "
        "call zero_grad() before the next backward, or write cr.jit(step, keep_grads=True) to read gradients."
    )


def test_a_gradient_read_before_it_is_written_is_that_of_the_call_before():
    """The norm of the last gradient is an input of the step; without one the step is another variant."""

    def trained(wrap):
        cr.manual_seed(0)
        model = nn.Linear(4, 3).astype(cr.float64)

        def step(x):
            before = cr.asarray(0.0, dtype=cr.float64) if model.weight.grad is None else (model.weight.grad**2).sum()
            model.zero_grad()
            (model(x) ** 2).sum().backward()
            return before

        step = wrap(step)
        rng = np.random.default_rng(2)
        found = [step(cr.asarray(rng.standard_normal((5, 4)))).item() for _ in range(4)]
        return found, model.weight.grad.numpy()

    wanted, got = trained(lambda f: f), trained(cr.jit)
    assert wanted[0][0] == got[0][0] == 0.0
    assert_close(got[0], wanted[0])
    assert_close(got[1], wanted[1])


# ---------------------------------------------------------------------------------------------------- schedules
@pytest.mark.parametrize("name", MODELS)
def test_schedules_of_rate_and_momentum_do_not_recompile(name):
    runs = [Run(name, lambda f: f), Run(name, cr.jit)]
    for run in runs:
        cr.manual_seed(4)
        schedule = optim.CosineAnnealingLR(run.optimizer, 6)
        for _ in range(6):
            run.train(1)
            schedule.step()
    eager, compiled = runs
    assert_close(compiled.losses, eager.losses, rtol=CLOSE, atol=CLOSE)
    assert (compiled.step.retraces, len(compiled.step.variants)) == ([], 1)
