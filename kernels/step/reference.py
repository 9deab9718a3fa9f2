"""What `fused_step` means, in plain torch: its three parts, computed one after the other."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..jacobian import jacobian_determinant

REGULARIZERS = ("bending", "shift", "tint", "tint_smoothness", "fold", "part_colors")
"""The order of the regularizers in a vector, here and in the kernels."""


class RegularizerConstants(NamedTuple):
    """Where the regularizers bend. A length v is priced as sqrt(v² + rounding²) - rounding: smooth at zero."""

    shift_rounding: float = 1e-3
    """Crop coordinates: what nothing asks to move stays exactly where it is."""
    tint_rounding: float = 1e-2
    """Image units: few pixels tinted much cost less than many tinted a little."""
    least_area: float = 0.2
    """Share of its own area below which a pixel counts as squeezed; at 0 it is folded."""
    part_color_rounding: float = 1e-2
    """Amounts of paint."""


CONSTANTS = RegularizerConstants()


def render_views(image: Tensor, coord: Tensor, color: Tensor, theta: Tensor, gain: Tensor, size: int) -> Tensor:
    """Show an image, moved and tinted by a field, in several views.

    A view's pixel at p shows the point q = theta (p, 1): image(q + coord(q)) + color(q), whose contrast about middle
    gray is then changed. All three are read bilinearly at that one point and repeat at their borders; an image much
    finer than the views must be smoothed before.

    Args:
        image: (1, 3, H, W) floating.
        coord: (1, 2, h, w) in units of half the image's side, on a lattice over the image.
        color: (1, 3, h, w) in image units.
        theta: (k, 2, 3) from view coordinates to image coordinates, both in [-1, 1] edge to edge.
        gain: (k,) contrast; 1 leaves it.
        size: pixels along a view's side.

    Returns:
        (k, 3, size, size).
    """
    points = F.affine_grid(theta, [len(theta), 3, size, size], align_corners=False)
    field = _read(torch.cat([coord, color], dim=1), points)
    moved = points + field[:, :2].permute(0, 2, 3, 1)
    return (_read(image, moved) + field[:, 2:] - 0.5) * gain[:, None, None, None] + 0.5


def _read(planes: Tensor, points: Tensor) -> Tensor:
    batch = planes.expand(len(points), -1, -1, -1)
    return F.grid_sample(batch, points, mode="bilinear", padding_mode="border", align_corners=False)


def tint_parts(
    color: Tensor, weight: Tensor, palette: Tensor, paints: Tensor, masks: Tensor, limit: float
) -> tuple[Tensor, Tensor]:
    """Add each part's color to a tint, clamp the sum, and weight it.

    Args:
        color: (1, 3, h, w) floating, each point's own tint, in image units.
        weight: (1, 1, h, w).
        palette: (n, 3) amounts of each part's three paints, for n parts.
        paints: (n, 3, 3) the paints' colors, in image units.
        masks: (n, h, w) share of each part's color that a point takes.
        limit: of each channel of the sum, and, smoothly, of each part's color; at least 0.

    Returns:
        The weighted sum, and the same without what the parts add, (1, 3, h, w) each.
    """
    added = (mix(palette, paints, limit).T @ masks.flatten(1)).reshape(color.shape)
    tint = weight * (color + added).clamp(-limit, limit)
    return tint, tint - weight * added


def soft_clamp(x: Tensor, limit: float) -> Tensor:
    """Return x bounded smoothly to (-limit, limit), with slope 1 at zero."""
    return limit * torch.tanh(x / limit) if limit > 0 else x * 0


def mix(palette: Tensor, paints: Tensor, limit: float) -> Tensor:
    """Return each part's color (n, 3): its paints (n, 3, 3) by the amounts (n, 3), within the limit."""
    return soft_clamp((palette[:, None] @ paints)[:, 0], limit)


def regularizers(
    coord: Tensor,
    color: Tensor,
    palette: Tensor,
    price: Tensor,
    even_x: Tensor,
    even_y: Tensor,
    constants: RegularizerConstants = CONSTANTS,
) -> dict[str, Tensor]:
    """Compute every regularizer of a field, a number each, by the names of `REGULARIZERS`.

    Args:
        coord: (1, 2, h, w) floating, with h and w at least 3.
        color: (1, 3, h, w) without what the parts add.
        palette: (n, 3).
        price: (2, h, w) of each point's shift, and of its tint.
        even_x: (1, 1, h, w - 1) how much neighbors along x should be tinted alike.
        even_y: (1, 1, h - 1, w) along y.
        constants: where they bend.
    """
    return {
        "bending": bending(coord),
        "shift": shift(coord, price[:1], constants.shift_rounding),
        "tint": tint(color, price[1:], constants.tint_rounding),
        "tint_smoothness": tint_smoothness(color, even_x, even_y),
        "fold": fold(coord, constants.least_area),
        "part_colors": part_colors(palette, constants.part_color_rounding),
    }


def bending(coord: Tensor) -> Tensor:
    """Bending energy in crop coordinates (Bookstein 1989, Eq. 4), the mean over the crop, by finite differences."""
    step = 2 / coord.shape[-1]
    xx = coord[..., 2:] - 2 * coord[..., 1:-1] + coord[..., :-2]
    yy = coord[..., 2:, :] - 2 * coord[..., 1:-1, :] + coord[..., :-2, :]
    dx = coord[..., 1:] - coord[..., :-1]
    xy = dx[..., 1:, :] - dx[..., :-1, :]
    return (xx.square().mean() + yy.square().mean() + 2 * xy.square().mean()) / step**4


def rounded_length(vectors: Tensor, rounding: float) -> Tensor:
    """Length of vectors along dimension 1, rounded off near zero, with a gradient of zero there (Charbonnier 1994)."""
    return (vectors.square().sum(1) + rounding**2).sqrt() - rounding


def shift(coord: Tensor, price: Tensor, rounding: float = CONSTANTS.shift_rounding) -> Tensor:
    """Mean length of the shift times its price (1, h, w)."""
    return (price * rounded_length(coord, rounding)).mean()


def tint(color: Tensor, price: Tensor, rounding: float = CONSTANTS.tint_rounding) -> Tensor:
    """Mean length of the tint times its price (1, h, w)."""
    return (price * rounded_length(color, rounding)).mean()


def part_colors(palette: Tensor, rounding: float = CONSTANTS.part_color_rounding) -> Tensor:
    """Summed length of the parts' amounts of paint. A part costs the same whatever its size: a pale skin is one
    decision, not a hundred thousand pixels."""
    return rounded_length(palette, rounding).sum()


def fold(coord: Tensor, least_area: float = CONSTANTS.least_area) -> Tensor:
    """Hinge on the Jacobian's determinant: the share of area that is missing to least_area."""
    return F.relu(least_area - jacobian_determinant(coord)).mean()


def tint_smoothness(color: Tensor, even_x: Tensor, even_y: Tensor) -> Tensor:
    """Gradient energy where the photo is even, in crop coordinates (Levin et al. 2004)."""
    step = 2 / color.shape[-1]
    energy = ((color[..., 1:] - color[..., :-1]).square() * even_x).mean()
    energy = energy + ((color[..., 1:, :] - color[..., :-1, :]).square() * even_y).mean()
    return energy / step**2
