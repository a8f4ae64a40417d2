"""Floor 5: optimizers, gradient clipping and accumulation, averages of weights, learning-rate schedules.

What enters: parameters with gradients. What leaves: better parameters. All state is in cells, so that a step compiles
whole and a changed setting never causes a re-trace.
"""

from chainrule.optim.accumulate import GradientAccumulator
from chainrule.optim.adagrad import Adagrad
from chainrule.optim.adam import Adam, AdamW
from chainrule.optim.clip import clip_grad_norm_, clip_grad_value_
from chainrule.optim.ema import ExponentialMovingAverage
from chainrule.optim.group import ParameterGroup, UnknownOptionError
from chainrule.optim.onecycle import OneCycleLR
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.plateau import ReduceLROnPlateau
from chainrule.optim.range_test import LRRangeTest, lr_range_test
from chainrule.optim.rmsprop import RMSprop
from chainrule.optim.schedule import Schedule
from chainrule.optim.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    InverseTimeLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    SequentialLR,
    StepLR,
)
from chainrule.optim.sgd import SGD

__all__ = [
    # optimizers
    "SGD",
    "Adagrad",
    "RMSprop",
    "Adam",
    "AdamW",
    "Optimizer",
    "ParameterGroup",
    "UnknownOptionError",
    # gradients and weights
    "clip_grad_norm_",
    "clip_grad_value_",
    "GradientAccumulator",
    "ExponentialMovingAverage",
    # learning rates
    "StepLR",
    "MultiStepLR",
    "ExponentialLR",
    "InverseTimeLR",
    "CosineAnnealingLR",
    "LinearLR",
    "SequentialLR",
    "OneCycleLR",
    "LambdaLR",
    "ReduceLROnPlateau",
    "Schedule",
    "LRRangeTest",
    "lr_range_test",
]
