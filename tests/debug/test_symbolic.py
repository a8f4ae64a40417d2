"""Formulas of functions: the same values and derivatives as the function, and clear refusals."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import MissingExtraError, TraceError


def test_without_sympy_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sympy", None)
    with pytest.raises(MissingExtraError, match=re.escape("formulas need SymPy: pip install 'chainrule[symbolic]'.")):
        cr.debug.to_sympy(cr.exp, 1.0)


class TestFormulas:
    @pytest.fixture(autouse=True)
    def _sympy(self):
        self.sympy = pytest.importorskip("sympy")

    def slope(self, function, x):
        formula = cr.debug.to_sympy(function, x)
        symbol = formula.symbols["x"]
        return float(formula.expression.diff(symbol).subs(symbol, self.sympy.Float(x)))

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: cr.exp(-x * x) * cr.sin(x) / (1 + x * x),
            lambda x: cr.log1p(cr.sqrt(x)) + cr.tanh(x) ** 3,
            lambda x: cr.sigmoid(x) * cr.relu(x) - cr.softplus(x),
            lambda x: cr.maximum(x, 0.1) * cr.expm1(x) + 1 / cr.square(x),
            lambda x: cr.abs(x) * cr.erf(x) + cr.atan(x),
        ],
    )
    def test_derivatives_agree_with_automatic_ones(self, function):
        automatic = cr.grad(function)(cr.asarray(0.8, dtype=cr.float64)).item()
        assert self.slope(function, 0.8) == pytest.approx(automatic, rel=1e-6)  # constants are traced in float32

    def test_the_product_of_a_sum(self):
        formula = cr.debug.to_sympy(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
        x, y, z = (formula.symbols[name] for name in "xyz")
        assert formula.expression == (x + y) * z
        assert [formula.expression.diff(s) for s in (x, y, z)] == [z, z, x + y]

    def test_arrays_have_a_symbol_per_element(self):
        formula = cr.debug.to_sympy(lambda w, x: w @ x, cr.ones((2, 2)), cr.ones(2))
        assert [[str(s) for s in row] for row in formula.symbols["w"]] == [["w_0_0", "w_0_1"], ["w_1_0", "w_1_1"]]
        assert [str(part) for part in formula.expression] == ["w_0_0*x_0 + w_0_1*x_1", "w_1_0*x_0 + w_1_1*x_1"]

    def test_tensors_from_outside_are_numbers_and_indices_stay(self):
        w = cr.asarray([1.5, 2.0, 4.0])
        formula = cr.debug.to_sympy(lambda x: (w * x)[1:].sum() + x[0], np.ones(3))
        x = formula.symbols["x"]
        assert formula.expression == x[0] + 2 * x[1] + 4 * x[2]

    def test_the_loss_of_a_network(self):
        rng = np.random.default_rng(0)
        values = [cr.asarray(rng.normal(size=shape)) for shape in ((3, 2), (3,), (2, 3), (2,), (2,))]
        target = cr.asarray([0.0, 1.0], dtype=cr.float64)

        def loss(w1, b1, w2, b2, x):
            z = w2 @ cr.tanh(w1 @ x + b1) + b2
            return cr.log(cr.sum(cr.exp(z))) - cr.sum(target * z)

        formula = cr.debug.to_sympy(loss, *values)
        symbols = np.concatenate([np.ravel(array) for array in formula.symbols.values()])
        numbers = np.concatenate([np.ravel(value.numpy()) for value in values])
        at = dict(zip(symbols, numbers.tolist(), strict=True))
        found = [float(formula.expression.diff(symbol).subs(at)) for symbol in np.ravel(formula.symbols["w1"])]
        assert found == pytest.approx(np.ravel(cr.grad(loss)(*values).numpy()).tolist(), rel=1e-12)

    def test_refusals(self):
        with pytest.raises(TraceError, match=r"^the operation floor has no formula here; these have: abs, acos, "):
            cr.debug.to_sympy(cr.floor, 1.0)
        with pytest.raises(TraceError, match=r"^a formula is made of one tensor; the function returned tuple\.$"):
            cr.debug.to_sympy(lambda x: (x, x), 1.0)
