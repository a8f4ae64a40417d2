"""Borders around 1 to 3 spatial axes as layers: zeros, a constant, mirrored, repeated, or the other end.

    ZeroPad, ConstantPad     a number
    ReflectionPad            the input mirrored at its edge, without the edge itself
    ReplicationPad           the edge repeated
    CircularPad              the other end

Widths are PyTorch's: one int for all sides, or (before, after) of the last axis, then of the last but one, ...;
negative ones cut off. A mirrored border is narrower than its axis, a circular one at most as wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.nn._checks import number
from chainrule.nn._layout import pad
from chainrule.nn._spatial import SpatialLayer, plain_sizes

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

Sizes = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------- shared parts
class _Border(SpatialLayer):
    mode = "constant"
    named = ()

    def __init__(self, padding: Sizes):
        super().__init__()
        many = 2 * self.axes
        widths: tuple[Any, ...] = tuple(padding) if isinstance(padding, tuple | list) else (padding,) * many
        if len(widths) != many or any(type(width) is not int for width in widths):
            raise ValueError(f"{type(self).__name__}.padding must be an int, or {many} of them; got {padding!r}.")
        self.padding = widths

    def _arguments(self) -> dict[str, Any]:
        return {"padding": plain_sizes(self.padding)}

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its border."""
        return pad(self._input(x), self.padding, self.mode)


class _Constant(_Border):
    def __init__(self, padding: Sizes, value: float):
        super().__init__(padding)
        number(type(self).__name__, "value", value)
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its border."""
        return pad(self._input(x), self.padding, self.mode, self.value)


# ---------------------------------------------------------------------------------------------------- layers
class CircularPad1d(_Border):
    """Repeat the input beyond its border as if it were a ring, around one axis.

    Args:
        padding: width on all sides, or 2 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, length], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.CircularPad1d(1)
        >>> layer, layer(cr.ones((2, 3, 4))).shape
        (CircularPad1d(1), (2, 3, 6))
    """

    axes = 1
    mode = "circular"


class CircularPad2d(_Border):
    """Repeat the input beyond its border as if it were a ring, around two axes.

    Args:
        padding: width on all sides, or 4 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.CircularPad2d(1)
        >>> layer, layer(cr.ones((2, 3, 4, 4))).shape
        (CircularPad2d(1), (2, 3, 6, 6))
    """

    axes = 2
    mode = "circular"


class CircularPad3d(_Border):
    """Repeat the input beyond its border as if it were a ring, around three axes.

    Args:
        padding: width on all sides, or 6 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, depth, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.CircularPad3d(1)
        >>> layer, layer(cr.ones((2, 3, 4, 4, 4))).shape
        (CircularPad3d(1), (2, 3, 6, 6, 6))
    """

    axes = 3
    mode = "circular"


class ConstantPad1d(_Constant):
    """Add a border of one number, around one axis.

    Args:
        padding: width on all sides, or 2 ints, (before, after) of the last axis first.
        value: what fills the border.
    Call:
        x: tensor [batch, channels, length], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ConstantPad1d(1, 0.5)
        >>> layer, layer(cr.ones((2, 3, 4))).shape
        (ConstantPad1d(1, 0.5), (2, 3, 6))
    """

    axes = 1


class ConstantPad2d(_Constant):
    """Add a border of one number, around two axes.

    Args:
        padding: width on all sides, or 4 ints, (before, after) of the last axis first.
        value: what fills the border.
    Call:
        x: tensor [batch, channels, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ConstantPad2d(1, 0.5)
        >>> layer, layer(cr.ones((2, 3, 4, 4))).shape
        (ConstantPad2d(1, 0.5), (2, 3, 6, 6))
    """

    axes = 2


class ConstantPad3d(_Constant):
    """Add a border of one number, around three axes.

    Args:
        padding: width on all sides, or 6 ints, (before, after) of the last axis first.
        value: what fills the border.
    Call:
        x: tensor [batch, channels, depth, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ConstantPad3d(1, 0.5)
        >>> layer, layer(cr.ones((2, 3, 4, 4, 4))).shape
        (ConstantPad3d(1, 0.5), (2, 3, 6, 6, 6))
    """

    axes = 3


class ReflectionPad1d(_Border):
    """Add a border that mirrors the input at its edge, without the edge itself, around one axis.

    Args:
        padding: width on all sides, or 2 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, length], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ReflectionPad1d(1)
        >>> layer, layer(cr.ones((2, 3, 4))).shape
        (ReflectionPad1d(1), (2, 3, 6))
    """

    axes = 1
    mode = "reflect"


class ReflectionPad2d(_Border):
    """Add a border that mirrors the input at its edge, without the edge itself, around two axes.

    Args:
        padding: width on all sides, or 4 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ReflectionPad2d(1)
        >>> layer, layer(cr.ones((2, 3, 4, 4))).shape
        (ReflectionPad2d(1), (2, 3, 6, 6))
    """

    axes = 2
    mode = "reflect"


class ReflectionPad3d(_Border):
    """Add a border that mirrors the input at its edge, without the edge itself, around three axes.

    Args:
        padding: width on all sides, or 6 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, depth, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ReflectionPad3d(1)
        >>> layer, layer(cr.ones((2, 3, 4, 4, 4))).shape
        (ReflectionPad3d(1), (2, 3, 6, 6, 6))
    """

    axes = 3
    mode = "reflect"


class ReplicationPad1d(_Border):
    """Add a border that repeats the edge, around one axis.

    Args:
        padding: width on all sides, or 2 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, length], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ReplicationPad1d(1)
        >>> layer, layer(cr.ones((2, 3, 4))).shape
        (ReplicationPad1d(1), (2, 3, 6))
    """

    axes = 1
    mode = "replicate"


class ReplicationPad2d(_Border):
    """Add a border that repeats the edge, around two axes.

    Args:
        padding: width on all sides, or 4 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ReplicationPad2d(1)
        >>> layer, layer(cr.ones((2, 3, 4, 4))).shape
        (ReplicationPad2d(1), (2, 3, 6, 6))
    """

    axes = 2
    mode = "replicate"


class ReplicationPad3d(_Border):
    """Add a border that repeats the edge, around three axes.

    Args:
        padding: width on all sides, or 6 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, depth, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ReplicationPad3d(1)
        >>> layer, layer(cr.ones((2, 3, 4, 4, 4))).shape
        (ReplicationPad3d(1), (2, 3, 6, 6, 6))
    """

    axes = 3
    mode = "replicate"


class ZeroPad1d(_Border):
    """Add a border of zeros, around one axis.

    Args:
        padding: width on all sides, or 2 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, length], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ZeroPad1d(1)
        >>> layer, layer(cr.ones((2, 3, 4))).shape
        (ZeroPad1d(1), (2, 3, 6))
    """

    axes = 1


class ZeroPad2d(_Border):
    """Add a border of zeros, around two axes.

    Args:
        padding: width on all sides, or 4 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ZeroPad2d(1)
        >>> layer, layer(cr.ones((2, 3, 4, 4))).shape
        (ZeroPad2d(1), (2, 3, 6, 6))
    """

    axes = 2


class ZeroPad3d(_Border):
    """Add a border of zeros, around three axes.

    Args:
        padding: width on all sides, or 6 ints, (before, after) of the last axis first.
    Call:
        x: tensor [batch, channels, depth, height, width], or without the batch axis  ->  the same with longer axes.
    Raises:
        ValueError: widths that are no ints, or another number of them.
        ShapeError: another number of axes, or a border wider than the input allows.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.nn.ZeroPad3d(1)
        >>> layer, layer(cr.ones((2, 3, 4, 4, 4))).shape
        (ZeroPad3d(1), (2, 3, 6, 6, 6))
    """

    axes = 3
