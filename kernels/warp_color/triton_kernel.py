"""`warp_color` in Triton: one program makes a piece of one row of the output, in float32.

The arithmetic is that of `reference`, operation by operation, and multiply-adds are not fused: a zero field
returns the image's bits, and a position falls on the same side of a pixel here as there.
"""

# A kernel's arguments are typed when Triton compiles it.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256  # pixels of a row that one program makes


def forward(image: Tensor, coord: Tensor, color: Tensor) -> Tensor:
    """Move and tint an image; see `reference.warp_color`.

    Args:
        image: (B, C, H, W) float32, bfloat16 or float16.
        coord: (B, 2, h, w) in units of half the image's side, x before y.
        color: (B, C, h, w).

    Returns:
        (B, C, h, w) in the image's dtype.
    """
    image, coord, color = image.contiguous(), coord.contiguous(), color.contiguous()
    out = torch.empty_like(color, dtype=image.dtype)
    if not out.numel():
        return out
    with torch.cuda.device_of(image):
        _forward[_grid(coord)](
            image, coord, color, out, *_sizes(image, coord), image.shape[1], BLOCK, enable_fp_fusion=False
        )
    return out


def backward(image: Tensor, coord: Tensor, cotangent: Tensor, to_image: bool) -> tuple[Tensor, Tensor]:
    """Pull a cotangent back to coord and, if asked, to image; to color it is the cotangent itself.

    The gradient to image is added up in float32 by atomics: its last bits vary from run to run. That to coord
    does not. It is zero where the position is clamped; at the bounds themselves it passes, as torch.clamp's did
    before torch 2.15.

    Args:
        image: (B, C, H, W) float32, bfloat16 or float16.
        coord: (B, 2, h, w).
        cotangent: (B, C, h, w).
        to_image: whether the second result is wanted.

    Returns:
        (B, 2, h, w) in coord's dtype, and (B, C, H, W) in image's or, if not asked for, an empty tensor.
    """
    image, coord, cotangent = image.contiguous(), coord.contiguous(), cotangent.contiguous()
    d_coord = torch.empty_like(coord)
    d_image = torch.zeros(image.shape if to_image else 0, dtype=torch.float32, device=image.device)
    if not cotangent.numel():
        return d_coord.zero_(), d_image.to(image.dtype)
    with torch.cuda.device_of(image):
        _backward[_grid(coord)](
            image, coord, cotangent, d_coord, d_image, *_sizes(image, coord), image.shape[1], BLOCK, to_image,
            enable_fp_fusion=False,
        )  # fmt: skip
    return d_coord, d_image.to(image.dtype)


def _grid(coord: Tensor) -> tuple[int]:
    """Count the programs: one axis only, since the others end at 65535."""
    batch, _, h, w = coord.shape
    return (batch * h * triton.cdiv(w, BLOCK),)


def _sizes(image: Tensor, coord: Tensor) -> tuple[int | float, ...]:
    """List the numbers both kernels take; what may pass 2**31 is multiplied here, what is divided, in float64."""
    (height, width), (h, w) = image.shape[2:], coord.shape[2:]
    return height, width, height * width, h, w, h * w, height / h, width / w, height / 2, width / 2


@triton.jit
def _pixels(h, w, BLOCK: tl.constexpr):
    """Return the image and the row (scalars) and the columns (BLOCK) that are this program's."""
    pieces = tl.cdiv(w, BLOCK)
    row = tl.program_id(0) // pieces
    return row // h, row % h, tl.program_id(0) % pieces * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def _neighbours(index, offset, ratio, half, size):
    """Return the two pixels read along an axis, the weight of the second, and where the gradient passes."""
    centre = tl.where(ratio == 1.0, index, (index + 0.5) * ratio - 0.5)
    position = centre + offset * half
    clamped = tl.minimum(tl.maximum(position, 0.0), size - 1)  # drops NaN, so that no pixel outside is read
    first = tl.floor(clamped)
    low = first.to(tl.int32)
    weight = tl.where(position == position, clamped - first, position)  # keeps NaN in sight
    return low, tl.minimum(low + 1, size - 1), weight, (position >= 0) & (position <= size - 1)


@triton.jit
def _forward(
    image, coord, color, out, height, width, area, h, w, plane, ratio_y, ratio_x, half_y, half_x,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b, i, j = _pixels(h, w, BLOCK)
    batch = b.to(tl.int64)
    here, inside = i.to(tl.int64) * w + j, j < w
    coord += batch * 2 * plane
    offset_x = tl.load(coord + here, inside, 0.0).to(tl.float32)
    offset_y = tl.load(coord + plane + here, inside, 0.0).to(tl.float32)
    x0, x1, x, _ = _neighbours(j.to(tl.float32), offset_x, ratio_x, half_x, width)
    y0, y1, y, _ = _neighbours(i.to(tl.float32), offset_y, ratio_y, half_y, height)
    upper_row, lower_row = y0.to(tl.int64) * width, y1.to(tl.int64) * width
    image += batch * CHANNELS * area
    color += batch * CHANNELS * plane
    out += batch * CHANNELS * plane
    for _ in range(CHANNELS):
        upper = tl.load(image + upper_row + x0).to(tl.float32) * (1 - x)
        upper += tl.load(image + upper_row + x1).to(tl.float32) * x
        lower = tl.load(image + lower_row + x0).to(tl.float32) * (1 - x)
        lower += tl.load(image + lower_row + x1).to(tl.float32) * x
        value = upper * (1 - y) + lower * y + tl.load(color + here, inside, 0.0).to(tl.float32)
        tl.store(out + here, value.to(out.dtype.element_ty), inside)
        image += area
        color += plane
        out += plane


@triton.jit
def _backward(
    image, coord, cotangent, d_coord, d_image, height, width, area, h, w, plane, ratio_y, ratio_x, half_y, half_x,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, TO_IMAGE: tl.constexpr,
):  # fmt: skip
    b, i, j = _pixels(h, w, BLOCK)
    batch = b.to(tl.int64)
    here, inside = i.to(tl.int64) * w + j, j < w
    coord += batch * 2 * plane
    d_coord += batch * 2 * plane
    offset_x = tl.load(coord + here, inside, 0.0).to(tl.float32)
    offset_y = tl.load(coord + plane + here, inside, 0.0).to(tl.float32)
    x0, x1, x, passes_x = _neighbours(j.to(tl.float32), offset_x, ratio_x, half_x, width)
    y0, y1, y, passes_y = _neighbours(i.to(tl.float32), offset_y, ratio_y, half_y, height)
    upper_row, lower_row = y0.to(tl.int64) * width, y1.to(tl.int64) * width
    image += batch * CHANNELS * area
    d_image += batch * CHANNELS * area
    cotangent += batch * CHANNELS * plane
    d_x = tl.zeros([BLOCK], tl.float32)
    d_y = tl.zeros([BLOCK], tl.float32)
    for _ in range(CHANNELS):
        g = tl.load(cotangent + here, inside, 0.0).to(tl.float32)
        v00 = tl.load(image + upper_row + x0).to(tl.float32)
        v01 = tl.load(image + upper_row + x1).to(tl.float32)
        v10 = tl.load(image + lower_row + x0).to(tl.float32)
        v11 = tl.load(image + lower_row + x1).to(tl.float32)
        d_x += g * ((1 - y) * (v01 - v00) + y * (v11 - v10))
        d_y += g * ((1 - x) * (v10 - v00) + x * (v11 - v01))
        if TO_IMAGE:
            tl.atomic_add(d_image + upper_row + x0, g * (1 - y) * (1 - x), inside, sem="relaxed")
            tl.atomic_add(d_image + upper_row + x1, g * (1 - y) * x, inside, sem="relaxed")
            tl.atomic_add(d_image + lower_row + x0, g * y * (1 - x), inside, sem="relaxed")
            tl.atomic_add(d_image + lower_row + x1, g * y * x, inside, sem="relaxed")
        image += area
        d_image += area
        cotangent += plane
    d_x = tl.where(passes_x, d_x * half_x, 0.0)
    d_y = tl.where(passes_y, d_y * half_y, 0.0)
    tl.store(d_coord + here, d_x.to(d_coord.dtype.element_ty), inside)
    tl.store(d_coord + plane + here, d_y.to(d_coord.dtype.element_ty), inside)
