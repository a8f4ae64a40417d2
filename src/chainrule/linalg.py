"""Linear algebra: the extension of the Array API standard and what stands beyond it; see `chainrule.ops.linalg`."""

from chainrule.ops.linalg import *  # noqa: F403
from chainrule.ops.linalg import __all__ as __all__
