"""Discrete Fourier transforms: the extension `fft` of the Array API standard, and PyTorch's hfftn and ihfftn.

What enters: complex or real tensors. What leaves: their frequencies, or the numbers that have these; differentiable to
every order. Three primitives carry all of it. Source: Cooley and Tukey, Mathematics of Computation 19 (1965).
"""

from chainrule.ops.fft.complex_transforms import *  # noqa: F403
from chainrule.ops.fft.complex_transforms import __all__ as _complex
from chainrule.ops.fft.frequencies import *  # noqa: F403
from chainrule.ops.fft.frequencies import __all__ as _frequencies
from chainrule.ops.fft.real_transforms import *  # noqa: F403
from chainrule.ops.fft.real_transforms import __all__ as _real

__all__ = [*_complex, *_real, *_frequencies]
