"""Floor 2: the primitives, one block each, and the composites over them.

What enters: tensors, numbers and NumPy arrays. What leaves: tensors, each made by one or more calls of the gate `bind`.
`FILES` lists the files in the order of the reference page: making tensors, elementwise functions, reductions, shapes,
indexing, matrix products, random numbers. `operators` gives them to `Tensor` as operators and methods.
"""

import sys

from chainrule.core.random import Generator, default_generator, manual_seed
from chainrule.ops import fft, identity, linalg, operators, random  # noqa: F401 - primitives, operators and namespaces
from chainrule.ops.adaptive_pool import *  # noqa: F403
from chainrule.ops.arithmetic import *  # noqa: F403
from chainrule.ops.astype import *  # noqa: F403
from chainrule.ops.avg_pool import *  # noqa: F403
from chainrule.ops.bessel import *  # noqa: F403
from chainrule.ops.compare import *  # noqa: F403
from chainrule.ops.complex_parts import *  # noqa: F403
from chainrule.ops.composite import *  # noqa: F403
from chainrule.ops.constants import *  # noqa: F403
from chainrule.ops.conv import *  # noqa: F403
from chainrule.ops.conv_transpose import *  # noqa: F403
from chainrule.ops.convert import *  # noqa: F403
from chainrule.ops.counting import *  # noqa: F403
from chainrule.ops.creation import *  # noqa: F403
from chainrule.ops.data_types import *  # noqa: F403
from chainrule.ops.differences import *  # noqa: F403
from chainrule.ops.einsum import *  # noqa: F403
from chainrule.ops.entropy import *  # noqa: F403
from chainrule.ops.exponential import *  # noqa: F403
from chainrule.ops.gamma import *  # noqa: F403
from chainrule.ops.gather import *  # noqa: F403
from chainrule.ops.grid import *  # noqa: F403
from chainrule.ops.guard import *  # noqa: F403
from chainrule.ops.hyperbolic import *  # noqa: F403
from chainrule.ops.image import *  # noqa: F403
from chainrule.ops.index import *  # noqa: F403
from chainrule.ops.interpolate import *  # noqa: F403
from chainrule.ops.join import *  # noqa: F403
from chainrule.ops.logical import *  # noqa: F403
from chainrule.ops.matmul import *  # noqa: F403
from chainrule.ops.namespace_info import *  # noqa: F403
from chainrule.ops.normal import *  # noqa: F403
from chainrule.ops.order_statistics import *  # noqa: F403
from chainrule.ops.pad import *  # noqa: F403
from chainrule.ops.pool import *  # noqa: F403
from chainrule.ops.powers import *  # noqa: F403
from chainrule.ops.printing import *  # noqa: F403
from chainrule.ops.product import *  # noqa: F403
from chainrule.ops.quantile import *  # noqa: F403
from chainrule.ops.reduce import *  # noqa: F403
from chainrule.ops.rounding import *  # noqa: F403
from chainrule.ops.running import *  # noqa: F403
from chainrule.ops.scan import *  # noqa: F403
from chainrule.ops.scatter import *  # noqa: F403
from chainrule.ops.segment import *  # noqa: F403
from chainrule.ops.selection import *  # noqa: F403
from chainrule.ops.sets import *  # noqa: F403
from chainrule.ops.shape import *  # noqa: F403
from chainrule.ops.sort import *  # noqa: F403
from chainrule.ops.special import *  # noqa: F403
from chainrule.ops.statistics import *  # noqa: F403
from chainrule.ops.tolerance import *  # noqa: F403
from chainrule.ops.triangle import *  # noqa: F403
from chainrule.ops.trigonometric import *  # noqa: F403
from chainrule.ops.unpool import *  # noqa: F403
from chainrule.ops.window import *  # noqa: F403

FILES = (
    *("constants", "data_types", "namespace_info", "convert", "creation"),
    *("arithmetic", "powers", "exponential", "trigonometric", "hyperbolic"),
    *("complex_parts", "special", "normal", "gamma", "bessel", "entropy", "composite"),
    *("rounding", "compare", "tolerance", "logical", "selection", "astype"),
    *("reduce", "product", "scan", "running", "differences", "statistics", "order_statistics"),
    *("shape", "join", "pad", "index", "gather", "scatter", "segment", "sort", "sets", "counting", "triangle"),
    *("matmul", "einsum", "quantile"),
    *("conv", "conv_transpose", "pool", "unpool", "avg_pool", "adaptive_pool", "window"),
    *("interpolate", "image", "grid"),
    *("guard", "printing"),
)

__all__ = ["Generator", "default_generator", "manual_seed", "random"]
__all__ += [name for file in FILES for name in sys.modules[f"chainrule.ops.{file}"].__all__]
