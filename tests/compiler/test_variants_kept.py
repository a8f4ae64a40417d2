"""Which traced graphs a jitted function keeps."""

import chainrule as cr
from chainrule import nn
from chainrule.compiler.jit import MOST_VARIANTS


def test_switching_to_and_fro_traces_each_side_once():
    """Found as 5 traces in 3 rounds: a variant whose guards did not hold at the moment was thrown away."""
    layer = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))
    step = cr.jit(lambda x: layer(x).sum())
    for _ in range(3):
        layer.train()
        step(cr.ones((4, 3)))
        layer.eval()
        step(cr.ones((4, 3)))
    assert len(step.variants) == 2
    assert len(step.retraces) == 1


def test_the_oldest_of_very_many_goes():
    step = cr.jit(lambda x, n: x * n)
    for n in range(MOST_VARIANTS + 5):
        assert step(cr.ones(1), n).item() == n
    assert len(step.variants) == MOST_VARIANTS


def test_another_object_with_the_same_identity_is_another_argument():
    """The identity of a dead argument may be given to a new object; the variant keeps its own alive."""

    class Scale:
        def __init__(self, factor):
            self.factor = factor

    step = cr.jit(lambda x, scale: x * scale.factor)
    for factor in range(20):
        assert step(cr.ones(1), Scale(float(factor))).item() == factor
