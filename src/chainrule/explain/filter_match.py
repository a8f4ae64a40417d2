"""Which designed kernel does a learned filter look like most? Cosines with edges, lines, gratings and blobs.

A filter w of a first layer, [3, k, k], is compared with templates t(x, y) c: a shape in the plane times a colour c.

    blob       a Gaussian                                             grey
    edge       its first derivative across an angle: Sobel's idea     grey or a colour
    line       its second derivative across an angle                  grey or a colour
    spot       its Laplacian                                          grey or a colour
    grating    a wave under a Gaussian (a Gabor function)             grey or a colour
    colour     a Gaussian                                             a colour

    cosine = |sum w t c| / (|w| |t| |c|)

All angles, widths, places and (for gratings) wave lengths of a grid are tried. The best grey is (1, 1, 1); the best
colour without grey is the projection of sum_xy w t to the plane that is orthogonal to it, so no colours need be tried.
The sign is free: a filter and its negative look for the same shape.

Source: the families that Krizhevsky, Sutskever, Hinton (2012), figure 3, and Zeiler, Fergus (2014) describe; Gabor,
Journal of the IEE 93 (1946).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.core.errors import DataError, ShapeError
from chainrule.nn._checks import integer

__all__ = ["FAMILIES", "FilterMatch", "count_families", "match_filters", "template"]

FAMILIES = ("blob", "edge", "line", "spot", "grating", "colour")
ANGLES = tuple(
    np.pi * k / 12 for k in range(12)
)  # of the normal, every 15 degrees; half a turn is all, the sign is free
WIDTHS = (0.7, 1.0, 1.4, 2.0, 2.8)  # standard deviations in pixels of a filter of 7
SHIFTS = (-1.5, -0.75, 0.0, 0.75, 1.5)  # of the centre, in pixels of a filter of 7
WAVES = (2.5, 3.5, 5.0)  # wave lengths in pixels of a filter of 7
Floats = NDArray[np.float64]
Setting = tuple[float, float, float, float, float]  # angle, width, x, y, wave length


@dataclass(frozen=True)
class FilterMatch:
    """The template that a filter looks like most.

    Args:
        index: number of the filter.
        family: "blob", "edge", "line", "spot", "grating" or "colour".
        cosine: of the angle between filter and template, from 0 to 1.
        angle: in radians from 0 to pi: across the edge, 0 to the right, pi / 2 downwards; 0 for families without one.
        width: standard deviation in pixels.
        coloured: whether the template has a colour and no grey.
        template: with the filter's sign and colour, float64 [3, k, k], its length 1.

    Example:
        >>> match_filters(template("edge", 7)[None].repeat(3, 0)[None])[0].family
        'edge'
    """

    index: int
    family: str
    cosine: float
    angle: float
    width: float
    coloured: bool
    template: Floats = field(repr=False)


def template(
    family: str, size: int, *, angle: float = 0.0, width: float = 1.0, x: float = 0.0, y: float = 0.0, wave: float = 3.5
) -> Floats:
    """Return the shape of a family in the plane, with length 1.

        g = exp(-(u^2 + v^2) / (2 width^2)),   u across the angle, v along it
        edge -u g        line (1 - u^2 / width^2) g        spot (2 - (u^2 + v^2) / width^2) g
        grating cos(2 pi u / wave) g, or sin

    Args:
        family: "blob" or "colour", "edge", "line", "spot", "grating" (the cosine) or "grating-sine".
        size: height and width, >= 1.
        angle: of u in radians, 0 to the right, pi / 2 downwards; default 0.
        width: standard deviation in pixels, > 0; default 1.
        x: the centre's distance from the middle in pixels, to the right; default 0.
        y: the same downwards; default 0.
        wave: length of a grating's wave in pixels, > 0; default 3.5.

    Returns:
        float64 [size, size].

    Raises:
        ValueError: size is not an int >= 1, or another family.

    Example:
        >>> edge = template("edge", 3, width=0.85)
        >>> from chainrule.explain.kernels import sobel
        >>> round(float((edge * -sobel("x")).sum() / np.linalg.norm(sobel("x"))), 3)
        1.0
    """
    middle = (integer("template", "size", size) - 1) / 2
    rows, columns = np.mgrid[:size, :size] - middle
    right, down = columns - x, rows - y
    u = right * np.cos(angle) + down * np.sin(angle)
    square = (right**2 + down**2) / width**2
    g = np.exp(-square / 2)
    shapes = {
        "blob": lambda: g,
        "colour": lambda: g,
        "edge": lambda: -u * g,
        "line": lambda: (1 - (u / width) ** 2) * g,
        "spot": lambda: (2 - square) * g,
        "grating": lambda: np.cos(2 * np.pi * u / wave) * g,
        "grating-sine": lambda: np.sin(2 * np.pi * u / wave) * g,
    }
    if family not in shapes:
        raise ValueError(f"template.family must be one of {', '.join(map(repr, shapes))}; got {family!r}.")
    shape = shapes[family]()
    return shape / np.linalg.norm(shape)


def match_filters(weights: ArrayLike) -> list[FilterMatch]:
    """Return for each filter of a first layer the template that it looks like most.

    Args:
        weights: [filters, 3, k, k], the channels red, green, blue (or the other way round: only `template` then has its
            colours so too), k >= 3.

    Returns:
        One match per filter, in their order.

    Raises:
        ShapeError: another shape.
        DataError: a weight is not finite, or a filter is zero.

    Example:
        >>> grey = np.broadcast_to(template("line", 7, angle=np.pi / 2, width=1.4), (1, 3, 7, 7))
        >>> match = match_filters(-2 * grey)[0]
        >>> match.family, round(match.cosine, 3), round(match.angle, 3), match.coloured
        ('line', 1.0, 1.571, False)

    Source: see the module.
    """
    w = np.asarray(weights, np.float64)
    if w.ndim != 4 or w.shape[1] != 3 or w.shape[2] != w.shape[3] or w.shape[2] < 3:
        raise ShapeError(f"match_filters takes weights [filters, 3, k, k] with k >= 3; got {w.shape}.")
    lengths = np.sqrt(np.square(w).sum(axis=(1, 2, 3)))
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        raise DataError(f"match_filters: filter {bad[0]} is zero or not finite; leave it out.")
    families, settings, shapes = _bank(w.shape[2])
    found = np.einsum("fcp,tp->ftc", (w / lengths[:, None, None, None]).reshape(len(w), 3, -1), shapes, optimize=True)
    grey = found.mean(axis=2, keepdims=True)  # [filters, templates, 1]
    grey_cosine = np.sqrt(3) * np.abs(grey[..., 0])
    colour_cosine = np.sqrt(np.square(found - grey).sum(axis=2))
    grey_cosine[:, families == FAMILIES.index("colour")] = 0  # a grey Gaussian is a blob,
    colour_cosine[:, families == FAMILIES.index("blob")] = 0  # and a coloured one is a colour
    best = []
    for index in range(len(w)):
        cosines = np.maximum(grey_cosine[index], colour_cosine[index])
        t = int(cosines.argmax())
        coloured = bool(colour_cosine[index, t] > grey_cosine[index, t])
        colour = found[index, t] - grey[index, t] if coloured else np.repeat(grey[index, t], 3)
        fitted = np.multiply.outer(colour / np.linalg.norm(colour), shapes[t].reshape(w.shape[2:]))
        angle, width = settings[t][:2]
        best.append(FilterMatch(index, FAMILIES[families[t]], float(cosines[t]), angle, width, coloured, fitted))
    return best


def count_families(matches: list[FilterMatch]) -> dict[str, tuple[int, float]]:
    """Return how many filters look like each family most, and the mean of their cosines.

    Args:
        matches: what `match_filters` returned.

    Returns:
        family -> (number, mean cosine), all families in the order of `FAMILIES`; without filters the mean is 0.

    Example:
        >>> count_families(match_filters(np.ones((2, 3, 3, 3))))["blob"][0]
        2
    """
    groups = {family: [match.cosine for match in matches if match.family == family] for family in FAMILIES}
    return {family: (len(found), float(np.mean(found)) if found else 0.0) for family, found in groups.items()}


@functools.lru_cache(maxsize=4)
def _bank(size: int) -> tuple[NDArray[np.int64], list[Setting], Floats]:
    """Return all templates of a size: their families, their settings, and their shapes [templates, size * size]."""
    rows = list(_grid(size / 7))
    families = np.array([FAMILIES.index(family.removesuffix("-sine")) for family, _ in rows])
    shapes = [
        template(family, size, angle=angle, width=width, x=x, y=y, wave=wave).ravel()
        for family, (angle, width, x, y, wave) in rows
    ]
    return families, [setting for _, setting in rows], np.stack(shapes)


def _grid(scale: float) -> Iterator[tuple[str, Setting]]:
    """Yield every family with every setting that changes it; lengths grow with the filter."""
    for width in WIDTHS:
        for x in SHIFTS:
            for y in SHIFTS:
                place = (width * scale, x * scale, y * scale)
                for family in ("blob", "colour", "spot"):
                    yield family, (0.0, *place, 1.0)
                for angle in ANGLES:
                    yield "edge", (angle, *place, 1.0)
                    yield "line", (angle, *place, 1.0)
                if width < 1.4:  # under a narrow Gaussian a wave is an edge or a line
                    continue
                for angle in ANGLES if x == y == 0 else ():
                    for wave in WAVES:
                        yield "grating", (angle, *place, wave * scale)
                        yield "grating-sine", (angle, *place, wave * scale)
