"""Floor 3: from the tape to gradients, and functions into gradient functions.

What enters: tensors with a tape, or Python functions of tensors. What leaves: gradients, which are tensors and can be
differentiated again.
"""

from chainrule.autodiff.backward import backward, gradients
from chainrule.autodiff.checkpoint import checkpoint
from chainrule.autodiff.custom import custom_gradient
from chainrule.autodiff.jacobian import hessian, hvp, jacobian, linearize
from chainrule.autodiff.jvp import jvp
from chainrule.autodiff.numerical import check_gradients, numerical_gradient
from chainrule.autodiff.transforms import grad, value_and_grad, vjp
from chainrule.autodiff.vmap import vmap
from chainrule.core.tensor import Tensor

__all__ = [
    "backward",
    "check_gradients",
    "checkpoint",
    "custom_gradient",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "numerical_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]

Tensor.backward = backward  # type: ignore[attr-defined]
