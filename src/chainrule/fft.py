"""Discrete Fourier transforms: the extension of the Array API standard; see `chainrule.ops.fft`."""

from chainrule.ops.fft import *  # noqa: F403
from chainrule.ops.fft import __all__ as __all__
