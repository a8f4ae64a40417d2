"""Four ways to a derivative, by hand, numerical, symbolic and automatic: their errors and what they cost.

Usage: python benchmarks/derivatives.py [ROUNDS]      (needs SymPy, extra `bench`; default 15 rounds; one thread)

1. A function of one number, f(x) = exp(-x^2) sin(x) / (1 + x^2) at x = 0.8, in float64; the true value from SymPy with
   50 digits. Then central differences over their step.
2. The cross-entropy of a small network, 2-3-2 with tanh, by its 17 parameters.
3. How formulas grow: the same loss with wider and deeper networks.
4. The network of the MNIST recipe, 784-64-32-10, batch 64, by its 52,650 parameters. Differences are measured on 20 of
   them, their cost is that of one evaluation times 105,300.

Times are medians over the rounds, in which the candidates take turns. docs/derivatives.md shows the tables.
"""

# ruff: noqa: E402 - the environment is set before NumPy is imported
from __future__ import annotations

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import itertools
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy

import chainrule as cr
from chainrule import nn

X = 0.8
Candidates = dict[str, Callable[[], Any]]


def medians(candidates: Candidates, rounds: int, seconds: float = 0.004) -> dict[str, float]:
    """Return the median seconds per call of each candidate, taking turns; a turn lasts about `seconds`."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    calls = {}
    for name, call in candidates.items():
        start = time.perf_counter()
        call()
        calls[name] = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))
    for _ in range(rounds):
        for name, call in candidates.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            found[name].append((time.perf_counter() - start) / calls[name])
    return {name: statistics.median(times) for name, times in found.items()}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def duration(seconds: float) -> str:
    """Return a time with its unit."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds / 60:.3g} min"


# ---------------------------------------------------------------------------------------------------- one number
def f(x: cr.Tensor) -> cr.Tensor:
    """Return exp(-x^2) sin(x) / (1 + x^2)."""
    return cr.exp(-x * x) * cr.sin(x) / (1 + x * x)


def f_plain(x: float) -> float:
    """Return f of a Python number."""
    return float(np.exp(-x * x) * np.sin(x) / (1 + x * x))


def slope_by_hand(x: float) -> float:
    """Return f'(x) = exp(-x^2) / (1 + x^2) (cos x - 2 x sin x - 2 x sin x / (1 + x^2))."""
    e, s, c, d = np.exp(-x * x), np.sin(x), np.cos(x), 1 + x * x
    return float(e / d * (c - 2 * x * s - 2 * x * s / d))


def central(x: float, step: float) -> float:
    """Return the central difference of f."""
    return (f_plain(x + step) - f_plain(x - step)) / (2 * step)


def off(found: float, truth: Any) -> float:
    """Return the relative error of a float, computed with 50 digits."""
    return float(abs(sympy.Float(found, 50) - truth) / abs(truth))


def one_number(rounds: int) -> None:
    """Print errors and times for f, and the errors of differences over their step."""
    formula = cr.debug.to_sympy(f, X)
    symbol = formula.symbols["x"]
    start = time.perf_counter()
    derived = sympy.diff(formula.expression, symbol)
    evaluate = sympy.lambdify(symbol, derived, "numpy")
    making = time.perf_counter() - start
    truth = sympy.N(derived.subs(symbol, sympy.Float(X, 50)), 50)
    point = cr.asarray(X, dtype=cr.float64)
    automatic = cr.grad(f)
    compiled = cr.jit(automatic)
    candidates: Candidates = {
        "by hand": lambda: slope_by_hand(X),
        "numerical, forward, h = 1e-8": lambda: (f_plain(X + 1e-8) - f_plain(X)) / 1e-8,
        "numerical, central, h = 1e-5": lambda: central(X, 1e-5),
        f"symbolic (made in {duration(making)})": lambda: evaluate(X),
        "automatic, reverse": lambda: automatic(point),
        "automatic, reverse, `cr.jit`": lambda: compiled(point),
        "automatic, forward": lambda: cr.jvp(f, (point,), (cr.ones((), dtype=cr.float64),))[1],
    }
    times = medians(candidates, rounds)
    rows = [[name, f"{off(float(call()), truth):.1e}", duration(times[name])]
            for name, call in candidates.items()]  # fmt: skip
    print("\n1. f(x) = exp(-x²) sin(x) / (1 + x²) at 0.8\n")
    print(table(["way", "relative error", "time per derivative"], rows))
    steps = [10.0**-k for k in range(1, 14, 2)]
    errors = [f"{off(central(X, step), truth):.0e}" for step in steps]
    print("\n" + table(["step h", *(f"{step:.0e}" for step in steps)], [["error, central", *errors]]))


# ---------------------------------------------------------------------------------------------------- a small network
def network_loss(*parts: cr.Tensor) -> cr.Tensor:
    """Return the cross-entropy log sum exp z - z·t of a network with tanh; parts: w1, b1, w2, b2, ..., x, t."""
    *parameters, x, t = parts
    h = x
    for k in range(0, len(parameters), 2):
        h = parameters[k] @ h + parameters[k + 1]
        h = cr.tanh(h) if k + 2 < len(parameters) else h
    return cr.log(cr.sum(cr.exp(h))) - cr.sum(t * h)


def network_values(sizes: Sequence[int]) -> list[np.ndarray]:
    """Return parameters, input and target of a network."""
    rng = np.random.default_rng(0)
    values: list[np.ndarray] = []
    for before, after in itertools.pairwise(sizes):
        values += [rng.normal(0, 1, (after, before)), rng.normal(0, 1, after)]
    return [*values, rng.normal(0, 1, sizes[0]), np.eye(sizes[-1])[0]]


def plain_loss(values: Sequence[np.ndarray]) -> float:
    """Return the loss of the network with one hidden layer, in NumPy."""
    w1, b1, w2, b2, x, t = values
    z = w2 @ np.tanh(w1 @ x + b1) + b2
    return float(np.log(np.exp(z).sum()) - t @ z)


def gradient_by_hand(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return its gradient by the parameters: p - t, then the chain rule."""
    w1, b1, w2, b2, x, t = values
    h = np.tanh(w1 @ x + b1)
    z = w2 @ h + b2
    dz = np.exp(z) / np.exp(z).sum() - t
    da = (w2.T @ dz) * (1 - h * h)
    return np.concatenate([part.ravel() for part in (np.outer(da, x), da, np.outer(dz, h), dz)])


def gradient_by_differences(values: Sequence[np.ndarray], step: float) -> np.ndarray:
    """Return it by central differences."""
    found = []
    for part in values[:-2]:
        for index in np.ndindex(part.shape):
            kept = part[index]
            part[index] = kept + step
            above = plain_loss(values)
            part[index] = kept - step
            found.append((above - plain_loss(values)) / (2 * step))
            part[index] = kept
    return np.asarray(found)


def symbolic_gradient(sizes: Sequence[int]) -> tuple[Any, list[Any], list[Any], float]:
    """Return the formula of the loss, all its symbols, its derivatives by the parameters, and the seconds it took."""
    values = [cr.asarray(value) for value in network_values(sizes)]
    start = time.perf_counter()
    formula = cr.debug.to_sympy(network_loss, *values)
    arrays = [np.asarray(array).ravel().tolist() for array in formula.symbols.values()]
    parameters = [symbol for array in arrays[:-2] for symbol in array]
    derived = [sympy.diff(formula.expression, symbol) for symbol in parameters]
    return formula.expression, [s for array in arrays for s in array], derived, time.perf_counter() - start


def small_network(rounds: int) -> None:
    """Print errors and times for the loss of the small network."""
    values = network_values((2, 3, 2))
    tensors = [cr.asarray(value) for value in values]
    _, symbols, derived, making = symbolic_gradient((2, 3, 2))
    numbers = np.concatenate([value.ravel() for value in values])
    start = time.perf_counter()
    evaluate = sympy.lambdify(symbols, derived, "numpy", cse=True)
    making += time.perf_counter() - start
    exact = {symbol: sympy.Float(number, 50) for symbol, number in zip(symbols, numbers.tolist(), strict=True)}
    truth = np.asarray([float(sympy.N(part.subs(exact), 50)) for part in derived])
    automatic = cr.grad(network_loss, argnums=(0, 1, 2, 3))
    compiled = cr.jit(automatic)
    candidates: Candidates = {
        "by hand (NumPy)": lambda: gradient_by_hand(values),
        "numerical, central, h = 1e-5": lambda: gradient_by_differences(values, 1e-5),
        f"symbolic (made in {duration(making)})": lambda: np.asarray(evaluate(*numbers)),
        "automatic, reverse": lambda: automatic(*tensors),
        "automatic, reverse, `cr.jit`": lambda: compiled(*tensors),
    }
    times = medians(candidates, rounds)
    rows = [[name, f"{np.abs(_flat(call()) - truth).max() / np.abs(truth).max():.1e}", duration(times[name])]
            for name, call in candidates.items()]  # fmt: skip
    print("\n2. Cross-entropy of a 2-3-2 network by its 17 parameters\n")
    print(table(["way", "largest error / largest derivative", "time per gradient"], rows))


def _flat(found: Any) -> np.ndarray:
    parts = found if isinstance(found, tuple) else (found,)
    return np.concatenate([np.asarray(part).ravel() for part in parts])


def growth() -> None:
    """Print how formulas grow with the network, beside what automatic differentiation does."""
    rows = []
    for sizes in ((2, 2, 2), (2, 4, 2), (2, 8, 2), (2, 3, 3, 2), (2, 3, 3, 3, 2)):
        loss, _, derived, seconds = symbolic_gradient(sizes)
        values = [cr.asarray(value).requires_grad_() for value in network_values(sizes)[:-2]]
        fixed = [cr.asarray(value) for value in network_values(sizes)[-2:]]
        nodes = sum(1 for _ in cr.trace_backward(network_loss(*values, *fixed)))
        counts = [int(sympy.count_ops(loss)), sum(int(sympy.count_ops(part)) for part in derived)]
        name = "-".join(map(str, sizes))
        rows.append([name, str(len(derived)), f"{counts[0]:,}", f"{counts[1]:,}", duration(seconds), str(nodes)])
    print("\n3. Formulas of the same loss\n")
    head = ["network", "parameters", "operations in the loss", "in its derivatives", "made in", "steps of backward"]
    print(table(head, rows))


# ---------------------------------------------------------------------------------------------------- the MNIST network
def mnist_network(rounds: int) -> None:
    """Print errors and times for the network of the recipe."""
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    model.astype(cr.float64)
    digits = cr.data.mnist("test")
    x = cr.asarray(digits.images[:64].reshape(64, 784) / 255.0)
    y = cr.asarray(digits.labels[:64])
    parameters = list(model.parameters())

    def loss() -> cr.Tensor:
        return nn.functional.cross_entropy(model(x), y)

    def automatic() -> np.ndarray:
        return _flat(tuple(cr.gradients([loss()], parameters)))

    compiled_gradients = cr.jit(lambda: cr.gradients([loss()], parameters))
    weights = [np.array(parameter.numpy()) for parameter in parameters]
    inputs, labels = x.numpy(), digits.labels[:64]

    def by_hand() -> np.ndarray:
        return mnist_by_hand(weights, inputs, labels)

    def evaluation() -> float:
        with cr.no_grad():
            return loss().item()

    reference = by_hand()
    rows_of = {"by hand (NumPy)": by_hand, "automatic, reverse": automatic,
               "automatic, reverse, `cr.jit`": lambda: _flat(tuple(compiled_gradients()))}  # fmt: skip
    times = medians({**rows_of, "evaluation": evaluation}, rounds)
    rows = [[name, f"{np.abs(call() - reference).max() / np.abs(reference).max():.1e}", duration(times[name])]
            for name, call in rows_of.items()]  # fmt: skip
    error = difference_error(parameters, loss, reference) / np.abs(reference).max()
    rows.append(["numerical, central, h = 1e-5", f"{error:.1e}", duration(times["evaluation"] * 2 * reference.size)])
    rows[0][1] = "what the others are compared with"
    rows.append(["symbolic", "not tried: see how formulas grow", ""])
    print("\n4. Cross-entropy of the 784-64-32-10 network, batch 64, by its 52,650 parameters\n")
    print(table(["way", "largest difference from by hand / largest derivative", "time per gradient"], rows))


def mnist_by_hand(weights: Sequence[np.ndarray], x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean cross-entropy of a network with ReLU, layer by layer."""
    inputs, h = [], x
    for k in range(0, len(weights), 2):
        inputs.append(h)
        h = h @ weights[k].T + weights[k + 1]
        h = np.maximum(h, 0) if k + 2 < len(weights) else h
    p = np.exp(h - h.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(p)), labels] -= 1
    delta, found = p / len(p), []
    for k in range(len(weights) - 2, -1, -2):
        found = [(delta.T @ inputs[k // 2]).ravel(), delta.sum(0), *found]
        delta = delta @ weights[k] * (inputs[k // 2] > 0)
    return np.concatenate(found)


def difference_error(parameters: Sequence[cr.Tensor], loss: Callable[[], cr.Tensor], truth: np.ndarray) -> float:
    """Return the largest error of central differences in 20 parameters, chosen at random."""
    chosen = np.random.default_rng(0).choice(truth.size, 20, replace=False)
    ends = np.cumsum([parameter.size for parameter in parameters])
    worst = 0.0
    for place in chosen.tolist():
        which = int(np.searchsorted(ends, place, side="right"))
        parameter, inside = parameters[which], place - (ends[which] - parameters[which].size)
        kept, found = parameter.numpy().copy(), []
        for step in (1e-5, -1e-5):
            moved = kept.copy()
            moved.ravel()[inside] += step
            with cr.no_grad():
                parameter.assign_(cr.asarray(moved))
                found.append(loss().item())
        with cr.no_grad():
            parameter.assign_(cr.asarray(kept))
        worst = max(worst, abs((found[0] - found[1]) / 2e-5 - truth[place]))
    return worst


def main() -> None:
    """Print all tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(f"{platform.machine()}, {os.cpu_count()} cores, one thread; Python {platform.python_version()}, ", end="")
    print(f"NumPy {np.__version__}, SymPy {sympy.__version__}, chainrule {cr.__version__}; {rounds} rounds")
    one_number(rounds)
    small_network(rounds)
    growth()
    mnist_network(rounds)


if __name__ == "__main__":
    main()
