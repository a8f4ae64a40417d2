"""Figures of designed kernels: what they make of a picture, and the checkerboard of transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule.explain import checkerboard, kernels, pictures
from chainrule.explain.figures._panels import Panel, Row, kernel_panel, sheet
from chainrule.explain.figures.registry import Subject, figure

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_checkerboard", "draw_edges", "draw_flipped"]

Floats = NDArray[np.float64]
LARGEST = 384  # pixels of a picture's longer side; larger ones are reduced first
ASYMMETRIC = np.array([[0.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]])


@figure(
    "edges", "A picture blurred, its Sobel derivatives, its edges, its Laplacian and its lines.", needs=["pictures"]
)
def draw_edges(subject: Subject) -> Image:
    """Return a picture under the kernels of the textbooks, with the kernels.

    Args:
        subject: its chosen picture is looked at.
    """
    picture = _reduced(subject.pictures[subject.sample])
    shades = _shades(picture)
    tile = 160 if max(shades.shape) <= 160 else 256
    sigma = max(1.0, max(shades.shape) / 64)
    edges = kernels.picture_gradient(shades)
    blurred = kernels.gaussian_blur(shades, sigma)
    grey = Panel(pictures.gray_picture(shades, low=0, high=255), "grey", "0.299 R + 0.587 G + 0.114 B")
    blur = _filtered(blurred, f"Gaussian, sigma {sigma:.3g}", "rows, then columns")
    twice = kernels.gaussian_blur(blurred, sigma)
    again = _filtered(twice, "blurred again", f"now sigma {sigma * 2**0.5:.3g}")
    sharp = _filtered(kernels.apply_kernel(shades, kernels.sharpen()), "sharpened", "minus its Laplacian")
    first = [Panel(picture, "the picture"), *([grey, blur] if picture.ndim == 3 else [blur, again]), sharp]
    second = [
        _signed(edges.x, "Sobel x", "red: brighter to the right"),
        _signed(edges.y, "Sobel y", "red: brighter downwards"),
        Panel(pictures.gray_picture(edges.magnitude), "magnitude", f"of the edge, up to {edges.magnitude.max():.0f}"),
        Panel(_direction_colours(edges), "direction", "hue: to brighter"),
    ]
    third = [_signed(kernels.apply_kernel(shades, kernels.laplacian()), "Laplacian", "red: darker than around")]
    for direction in ("horizontal", "vertical", "rising"):
        drawn = np.maximum(kernels.apply_kernel(shades, kernels.line(direction)), 0)
        third.append(Panel(pictures.gray_picture(drawn), f"{direction} lines", "bright ones"))
    return sheet(
        [
            Row(first, tile=tile),
            Row(second, tile=tile),
            Row(third, tile=tile),
            Row(_shown_kernels(), "the kernels", 100),
        ],
        heading=_heading("Designed kernels", subject),
    )


def _shown_kernels() -> list[Panel]:
    return [
        kernel_panel(kernels.gaussian(1.0, 5), "Gaussian", digits=2, tile=100),
        kernel_panel(kernels.sobel("x"), "Sobel x", tile=100),
        kernel_panel(kernels.sobel("y"), "Sobel y", tile=100),
        kernel_panel(kernels.laplacian(), "Laplacian", tile=100),
        kernel_panel(kernels.line("horizontal"), "horizontal", tile=100),
        kernel_panel(kernels.sharpen(), "sharpen", tile=100),
    ]


@figure("convolution-flip", "True convolution and cross-correlation with one kernel that is not symmetric.", needs=())
def draw_flipped(subject: Subject) -> Image:
    """Return three bright pixels under a kernel that looks like an L, by both operations.

    Args:
        subject: nothing of it is looked at.
    """
    impulses = np.zeros((15, 15))
    impulses[[3, 4, 10], [3, 11, 7]] = 1
    results = [kernels.apply_kernel(impulses, ASYMMETRIC, border="constant", flip=flip) for flip in (True, False)]
    panels = [
        Panel(pictures.gray_picture(impulses), "picture", "three bright pixels"),
        kernel_panel(ASYMMETRIC, "kernel", "an L", tile=150),
        Panel(pictures.gray_picture(results[0]), "convolution", "the kernel as it is, wherever a pixel is bright"),
        Panel(pictures.gray_picture(results[1]), "cross-correlation", "what Conv2d computes: the kernel turned"),
    ]
    return sheet([Row(panels, tile=150)], heading="Convolution turns the kernel, cross-correlation does not")


@figure(
    "checkerboard", "The checkerboard of transposed convolutions beside resizing and convolving, measured.", needs=()
)
def draw_checkerboard(subject: Subject) -> Image:
    """Return overlaps, enlarged pictures and spectra of four ways to enlarge a picture twofold.

    Args:
        subject: its chosen picture is enlarged, if there is one; else a photograph's stand-in, a smooth spot.
    """
    x = _unit_picture(subject)
    ways = checkerboard.compare_upsampling(x, seed=subject.seed)
    overlaps, shown, spectra = [], [], []
    for way in ways:
        k, transposed = way.kernel_size, way.method == "transposed"
        counts = checkerboard.overlap_counts(20, k, 2)[8:24, 8:24] if transposed else np.full((16, 16), k * k)
        note = " or ".join(str(count) for count in np.unique(counts)) + (" windows" if transposed else " weights")
        overlaps.append(Panel(pictures.gray_picture(counts, low=0), way.title, note))
        height, width = way.output.shape[1:]
        part = way.output[0, : min(height, 64), : min(width, 64)]
        shown.append(Panel(pictures.gray_picture(part), "", f"at the stride: {100 * way.random:.1f} %"))
        spectra.append(Panel(_spectrum(way.output), "", f"equal weights: {100 * way.equal:.1f} %"))
    rows = [
        Row(overlaps, "what adds up in each output pixel, inside", 136),
        Row(shown, "enlarged twofold with random weights (one of 16 channels), and the energy at the stride", 136),
        Row(spectra, "mean spectrum of the 16: period 2 lies in the corners and in the middle of the sides", 136),
    ]
    return sheet(rows, heading=_heading("Transposed convolution, or resizing and convolving", subject))


# ---------------------------------------------------------------------------------------------------- helpers
def _heading(title: str, subject: Subject) -> str:
    return f"{title}: {subject.name}" if subject.name else title


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture at most LARGEST pixels wide and high."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _shades(picture: NDArray[np.uint8]) -> Floats:
    """Return a shown picture [height, width] or [height, width, 3] as luminance, 0 to 255."""
    return kernels.gray(picture.transpose(2, 0, 1) if picture.ndim == 3 else picture)


def _unit_picture(subject: Subject) -> Floats:
    """Return the subject's picture [channels, height, width] from 0 to 1, at most 64 pixels wide and high."""
    if len(subject.pictures):
        shown = subject.pictures[subject.sample].astype(float) / 255
        planes = shown.transpose(2, 0, 1) if shown.ndim == 3 else shown[None]
        step = -(-max(planes.shape[1:]) // 64)
        return planes[:, ::step, ::step]
    rows, columns = np.mgrid[-1:1:32j, -1:1:32j]
    return np.exp(-3 * (rows**2 + columns**2))[None]


def _filtered(values: Floats, title: str, note: str = "") -> Panel:
    return Panel(pictures.gray_picture(values, low=0, high=255), title, note)


def _signed(values: Floats, title: str, note: str) -> Panel:
    return Panel(pictures.signed_picture(values), title, note)


def _direction_colours(edges: kernels.PictureGradient) -> NDArray[np.uint8]:
    """Return the direction as a hue and the magnitude as brightness."""
    from PIL import Image

    strength = np.sqrt(edges.magnitude / (edges.magnitude.max() or 1))
    hue = np.rint((edges.direction % (2 * np.pi)) / (2 * np.pi) * 255)
    parts = [Image.fromarray(part.astype(np.uint8)) for part in (hue, np.full_like(hue, 230), 255 * strength)]
    return np.asarray(Image.merge("HSV", parts).convert("RGB"))


def _spectrum(planes: Floats) -> NDArray[np.uint8]:
    """Return the mean amplitude spectrum of the planes in shades of its logarithm, frequency 0 in the middle."""
    flat = planes - planes.mean(axis=(1, 2), keepdims=True)
    energy = np.square(np.abs(np.fft.fft2(flat))).mean(0)
    shades = np.log10(np.maximum(np.fft.fftshift(energy), 1e-6 * energy.max()))
    return pictures.gray_picture(np.pad(shades, ((0, 1), (0, 1)), mode="wrap"))
