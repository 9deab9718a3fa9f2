"""`fused_step` in Triton: a program computes a block of points or pixels, in float32, with the formulas of `reference`.

Gradients to coord and color are added up by atomics: their last bits vary from run to run, as those of torch's own
grid_sample do on CUDA.
"""

# A kernel's arguments are typed when Triton compiles it.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .reference import RegularizerConstants, mix, rounded_length

BLOCK = 256  # points or pixels of one program
TERMS = 5  # regularizers that are sums over points; part_colors is none


def forward(
    tensors: list[Tensor], limit: float, constants: RegularizerConstants, tint: Tensor, own_tint: Tensor, costs: Tensor,
    views: Tensor,
) -> None:  # fmt: skip
    """Fill the last four arguments, see `FusedStep`; tensors are those of `fused_step`, float32 and contiguous."""
    image, coord, color, palette, weight, paints, masks, price, even_x, even_y, theta, gain = tensors
    h, w = coord.shape[2:]
    blocks = triton.cdiv(h * w, BLOCK)
    partial = coord.new_empty(TERMS, blocks)
    with torch.cuda.device_of(image):
        parts = masks, mix(palette, paints, limit), h * w, len(palette), limit
        _tint[(blocks,)](color, weight, tint, own_tint, None, None, *parts, BLOCK, enable_fp_fusion=False)
        _regularizers[(blocks,)](
            coord, own_tint, price, even_x, even_y, partial, None, None, None, blocks, h, w, h * w, *_scales(h, w),
            *constants[:3], BLOCK, enable_fp_fusion=False,
        )  # fmt: skip
        _run_views(views, image, coord, tint, theta, gain, views, None, None)
    costs[:TERMS] = partial.sum(1)
    costs[TERMS] = rounded_length(palette, constants.part_color_rounding).sum()


def backward(
    tensors: list[Tensor], limit: float, constants: RegularizerConstants, tint: Tensor, own_tint: Tensor,
    d_views: Tensor, d_tint: Tensor | None, d_own: Tensor | None, d_costs: Tensor, d_coord: Tensor, d_color: Tensor,
    d_palette: Tensor,
) -> None:  # fmt: skip
    """Fill the last three arguments from the cotangents of `forward`'s results; None is a cotangent of zero."""
    image, coord, color, palette, weight, paints, masks, price, even_x, even_y, theta, gain = tensors
    h, w = coord.shape[2:]
    blocks = triton.cdiv(h * w, BLOCK)
    d_coord.zero_()
    d_tint, d_own = (torch.zeros_like(color) if d is None else d.clone() for d in (d_tint, d_own))
    added = torch.empty_like(color)
    with torch.cuda.device_of(image):
        _run_views(d_views, image, coord, tint, theta, gain, d_views, d_coord, d_tint)
        _regularizers[(blocks,)](
            coord, own_tint, price, even_x, even_y, None, d_costs, d_coord, d_own, blocks, h, w, h * w, *_scales(h, w),
            *constants[:3], BLOCK, enable_fp_fusion=False,
        )  # fmt: skip
        colors = mix(palette, paints, limit)
        parts = masks, colors, h * w, len(palette), limit
        _tint[(blocks,)](color, weight, d_tint, d_own, d_color, added, *parts, BLOCK, enable_fp_fusion=False)
    slope = 1 - (colors / limit).square() if limit > 0 else torch.zeros_like(colors)  # of soft_clamp
    d_mix = masks.flatten(1) @ added.reshape(3, -1).T * slope
    length = rounded_length(palette, constants.part_color_rounding) + constants.part_color_rounding
    d_palette.copy_((paints @ d_mix[..., None])[..., 0] + d_costs[TERMS] * palette / length[:, None])


def _run_views(views: Tensor, image: Tensor, coord: Tensor, *tensors: Tensor | None) -> None:
    """Run `_views` on every pixel of the views."""
    (height, width), (h, w), pixels = image.shape[2:], coord.shape[2:], views.numel() // 3
    sizes = height, width, height * width, h, w, h * w, views.shape[-1], views.shape[-1] ** 2, pixels
    if pixels:
        _views[(triton.cdiv(pixels, BLOCK),)](image, coord, *tensors, *sizes, BLOCK, enable_fp_fusion=False)


def _scales(h: int, w: int) -> tuple[float, ...]:
    """Return the factors of the sums xx, yy, xy of `bending`, of a mean, and of `tint_smoothness` along x and y."""
    bend, smooth = (w / 2) ** 4, (w / 2) ** 2
    return (
        bend / (2 * h * (w - 2)), bend / (2 * (h - 2) * w), bend / ((h - 1) * (w - 1)), 1 / (h * w),
        smooth / (3 * h * (w - 1)), smooth / (3 * (h - 1) * w),
    )  # fmt: skip


@triton.jit
def _add(target, value, where):
    tl.atomic_add(target, value, where, sem="relaxed")


# --- tint_parts


@triton.jit
def _tint(
    color, weight, tint, own_tint, d_color, d_added, masks, colors, n, parts, limit, BLOCK: tl.constexpr
):  # fmt: skip
    """Fill tint and own_tint; or, where d_color is given, read their cotangents and fill d_color and d_added."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    scale = tl.load(weight + i, inside, 0.0)
    for c in range(3):
        added = tl.zeros([BLOCK], tl.float32)
        for part in range(parts):
            added += tl.load(colors + part * 3 + c) * tl.load(masks + part * n + i, inside, 0.0)
        total = tl.load(color + c * n + i, inside, 0.0) + added
        if d_color is None:
            clamped = tl.where(total > limit, limit, tl.where(total < -limit, -limit, total))  # a NaN stays one
            tl.store(tint + c * n + i, scale * clamped, inside)
            tl.store(own_tint + c * n + i, scale * clamped - scale * added, inside)
        else:
            own = tl.load(own_tint + c * n + i, inside, 0.0)
            passes = tl.where((total >= -limit) & (total <= limit), scale, 0.0)
            gradient = passes * (tl.load(tint + c * n + i, inside, 0.0) + own)
            tl.store(d_color + c * n + i, gradient, inside)
            tl.store(d_added + c * n + i, gradient - scale * own, inside)


# --- regularizers


@triton.jit
def _difference(plane, high, low, factor, where):
    return tl.where(where, (tl.load(plane + high, where, 0.0) - tl.load(plane + low, where, 0.0)) * factor, 0.0)


@triton.jit
def _add_difference(plane, high, low, value, where):
    """The transpose of `_difference`."""
    _add(plane + high, value, where)
    _add(plane + low, -value, where)


@triton.jit
def _bending(plane, d_plane, i, step, where, scale, cotangent):
    """Return scale * (second difference)² along the axis of a step, or add its gradient to d_plane, if given."""
    second = tl.load(plane + i + step, where, 0.0) + tl.load(plane + i - step, where, 0.0)
    second -= 2 * tl.load(plane + i, where, 0.0)
    if d_plane is not None:
        gradient = 2 * scale * cotangent * second
        _add(d_plane + i + step, gradient, where)
        _add(d_plane + i, -2 * gradient, where)
        _add(d_plane + i - step, gradient, where)
    return scale * second * second


@triton.jit
def _regularizers(
    coord, color, price, even_x, even_y, partial, d_costs, d_coord, d_color, blocks, h, w, n, scale_xx, scale_yy,
    scale_xy, mean, smooth_x, smooth_y, shift_rounding, tint_rounding, least_area, BLOCK: tl.constexpr,
):  # fmt: skip
    """Fill partial (TERMS, blocks); or, where d_costs is given, add the gradients to d_coord and d_color."""
    BACKWARD: tl.constexpr = d_costs is not None
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside, y, x = i < n, i // w, i % w
    right, below = inside & (x < w - 1), inside & (y < h - 1)
    inner_x, inner_y, corner = right & (x > 0), below & (y > 0), right & below
    # The neighbors of a slope: one-sided at the border, see `difference` in jacobian.py.
    west, east = i - tl.where(x > 0, 1, 0), i + tl.where(x < w - 1, 1, 0)
    north, south = i - tl.where(y > 0, w, 0), i + tl.where(y < h - 1, w, 0)
    along_x, along_y = tl.where(inner_x, 0.25, 0.5) * w, tl.where(inner_y, 0.25, 0.5) * h

    bending = tl.zeros([BLOCK], tl.float32)
    squared = tl.zeros([BLOCK], tl.float32) + shift_rounding * shift_rounding
    cotangent = 0.0
    for c in tl.static_range(2):
        plane = coord + c * n
        d_plane = None
        if BACKWARD:
            d_plane = d_coord + c * n
            cotangent = tl.load(d_costs)
        bending += _bending(plane, d_plane, i, 1, inner_x, scale_xx, cotangent)
        bending += _bending(plane, d_plane, i, w, inner_y, scale_yy, cotangent)
        mixed = _difference(plane, i + w + 1, i + w, 1.0, corner) - _difference(plane, i + 1, i, 1.0, corner)
        if BACKWARD:
            gradient = 2 * scale_xy * cotangent * mixed
            _add_difference(d_plane, i + w + 1, i + w, gradient, corner)
            _add_difference(d_plane, i + 1, i, -gradient, corner)
        bending += scale_xy * mixed * mixed
        value = tl.load(plane + i, inside, 0.0)
        squared += value * value
    length, cost = tl.sqrt(squared), mean * tl.load(price + i, inside, 0.0)
    shift = cost * (length - shift_rounding)
    xx, xy = _difference(coord, east, west, along_x, inside), _difference(coord + n, east, west, along_x, inside)
    yx, yy = _difference(coord, south, north, along_y, inside), _difference(coord + n, south, north, along_y, inside)
    missing = least_area - ((1 + xx) * (1 + yy) - xy * yx)
    fold = mean * tl.where((missing > 0) | (missing != missing), missing, 0.0)
    if BACKWARD:
        pull = tl.load(d_costs + 1) * cost / length
        _add(d_coord + i, pull * tl.load(coord + i, inside, 0.0), inside)
        _add(d_coord + n + i, pull * tl.load(coord + n + i, inside, 0.0), inside)
        active = mean * tl.load(d_costs + 4) * tl.where(missing > 0, 1.0, 0.0)
        _add_difference(d_coord, east, west, -active * along_x * (1 + yy), inside)
        _add_difference(d_coord + n, east, west, active * along_x * yx, inside)
        _add_difference(d_coord, south, north, active * along_y * xy, inside)
        _add_difference(d_coord + n, south, north, -active * along_y * (1 + xx), inside)

    alike_x = smooth_x * tl.load(even_x + i - y, right, 0.0)  # a row of even_x has one column less
    alike_y = smooth_y * tl.load(even_y + i, below, 0.0)
    smoothness = tl.zeros([BLOCK], tl.float32)
    squared = tl.zeros([BLOCK], tl.float32) + tint_rounding * tint_rounding
    for c in tl.static_range(3):
        value = tl.load(color + c * n + i, inside, 0.0)
        squared += value * value
    length, cost = tl.sqrt(squared), mean * tl.load(price + n + i, inside, 0.0)
    tint = cost * (length - tint_rounding)
    for c in tl.static_range(3):
        plane = color + c * n
        dx, dy = _difference(plane, i + 1, i, 1.0, right), _difference(plane, i + w, i, 1.0, below)
        smoothness += alike_x * dx * dx + alike_y * dy * dy
        if BACKWARD:
            cotangent = 2 * tl.load(d_costs + 3)
            _add_difference(d_color + c * n, i + 1, i, cotangent * alike_x * dx, right)
            _add_difference(d_color + c * n, i + w, i, cotangent * alike_y * dy, below)
            pull = tl.load(d_costs + 2) * cost / length
            _add(d_color + c * n + i, pull * tl.load(plane + i, inside, 0.0), inside)
    if not BACKWARD:
        partial += tl.program_id(0)
        tl.store(partial, tl.sum(bending, axis=0))
        tl.store(partial + blocks, tl.sum(shift, axis=0))
        tl.store(partial + 2 * blocks, tl.sum(tint, axis=0))
        tl.store(partial + 3 * blocks, tl.sum(smoothness, axis=0))
        tl.store(partial + 4 * blocks, tl.sum(tl.where(inside, fold, 0.0), axis=0))


# --- render_views


@triton.jit
def _neighbors(position, size):
    """Return the two nodes read along an axis, the weight of the second, and where the gradient passes."""
    clamped = tl.minimum(tl.maximum(position, 0.0), size - 1)  # drops a NaN, so that no node outside is read
    first = tl.floor(clamped)
    low = first.to(tl.int32)
    weight = tl.where(position == position, clamped - first, position)  # keeps the NaN in sight
    return low, tl.minimum(low + 1, size - 1), weight, (position >= 0) & (position < size - 1)


@triton.jit
def _locate(x, y, height, width):
    """Return the four nodes around points in a plane, the weights of the second ones, and where the gradients pass."""
    x0, x1, wx, passes_x = _neighbors((x + 1) * (width / 2) - 0.5, width)
    y0, y1, wy, passes_y = _neighbors((y + 1) * (height / 2) - 0.5, height)
    return y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1, wx, wy, passes_x, passes_y


@triton.jit
def _read(plane, a, b, c, d, x, y):
    upper = tl.load(plane + a) * (1 - x) + tl.load(plane + b) * x
    return upper * (1 - y) + (tl.load(plane + c) * (1 - x) + tl.load(plane + d) * x) * y


@triton.jit
def _scatter_add(plane, a, b, c, d, x, y, value, inside):
    """The transpose of `_read`."""
    _add(plane + a, value * (1 - y) * (1 - x), inside)
    _add(plane + b, value * (1 - y) * x, inside)
    _add(plane + c, value * y * (1 - x), inside)
    _add(plane + d, value * y * x, inside)


@triton.jit
def _views(
    image, coord, color, theta, gain, views, d_coord, d_color, height, width, image_area, h, w, n, size, area, pixels,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Fill views; or, where d_coord is given, read their cotangent and add to d_coord and d_color."""
    BACKWARD: tl.constexpr = d_coord is not None
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < pixels
    view = tl.where(inside, i // area, 0)
    views += view * 3 * area + i % area
    column = (2 * (i % size) + 1).to(tl.float32) / size - 1
    row = (2 * (i % area // size) + 1).to(tl.float32) / size - 1
    t, contrast = theta + view * 6, tl.load(gain + view)
    x = tl.load(t) * column + tl.load(t + 1) * row + tl.load(t + 2)
    y = tl.load(t + 3) * column + tl.load(t + 4) * row + tl.load(t + 5)
    a, b, c, d, wx, wy, _, _ = _locate(x, y, h, w)
    x += _read(coord, a, b, c, d, wx, wy)
    y += _read(coord + n, a, b, c, d, wx, wy)
    e, f, g, k, vx, vy, passes_x, passes_y = _locate(x, y, height, width)
    d_x, d_y = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for channel in tl.static_range(3):
        source, view_plane = image + channel * image_area, views + channel * area
        if BACKWARD:
            gradient = tl.load(view_plane, inside, 0.0) * contrast
            v00, v01, v10, v11 = tl.load(source + e), tl.load(source + f), tl.load(source + g), tl.load(source + k)
            d_x += gradient * ((v01 - v00) * (1 - vy) + (v11 - v10) * vy)
            d_y += gradient * ((v10 - v00) * (1 - vx) + (v11 - v01) * vx)
            _scatter_add(d_color + channel * n, a, b, c, d, wx, wy, gradient, inside)
        else:
            value = _read(source, e, f, g, k, vx, vy) + _read(color + channel * n, a, b, c, d, wx, wy)
            tl.store(view_plane, (value - 0.5) * contrast + 0.5, inside)
    if BACKWARD:
        _scatter_add(d_coord, a, b, c, d, wx, wy, tl.where(passes_x, d_x * (width / 2), 0.0), inside)
        _scatter_add(d_coord + n, a, b, c, d, wx, wy, tl.where(passes_y, d_y * (height / 2), 0.0), inside)
