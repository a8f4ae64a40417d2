"""Linear algebra on stacks of matrices [..., rows, columns], with gradients of every order.

`cr.linalg` is the extension of that name of the Array API standard, and what NumPy and PyTorch have beyond it. Few
functions are primitives (`systems`, `factor`, `spectral`, `determinant`, `pseudo_inverse`, `powers`), the rest follows.
The references are LAPACK's, through NumPy.
"""

from chainrule.ops.linalg.decompositions import *  # noqa: F403
from chainrule.ops.linalg.decompositions import __all__ as _decompositions
from chainrule.ops.linalg.determinant import *  # noqa: F403
from chainrule.ops.linalg.determinant import __all__ as _determinant
from chainrule.ops.linalg.norms import *  # noqa: F403
from chainrule.ops.linalg.norms import __all__ as _norms
from chainrule.ops.linalg.powers import *  # noqa: F403
from chainrule.ops.linalg.powers import __all__ as _powers
from chainrule.ops.linalg.products import *  # noqa: F403
from chainrule.ops.linalg.products import __all__ as _products
from chainrule.ops.linalg.pseudo_inverse import *  # noqa: F403
from chainrule.ops.linalg.pseudo_inverse import __all__ as _pseudo_inverse
from chainrule.ops.linalg.systems import *  # noqa: F403
from chainrule.ops.linalg.systems import __all__ as _systems
from chainrule.ops.matmul import matmul, outer, tensordot, vecdot
from chainrule.ops.shape import matrix_transpose

__all__ = ["matmul", "matrix_transpose", "outer", "tensordot", "vecdot"]
__all__ += [*_products, *_norms, *_determinant, *_systems, *_decompositions, *_pseudo_inverse, *_powers]
