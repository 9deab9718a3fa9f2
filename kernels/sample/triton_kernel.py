"""`sample` in Triton: one program reads a block of points, with the arithmetic of `gather` in its order."""

# A kernel's arguments are typed when Triton compiles it.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256  # points that one program reads


def gather(values: Tensor, x: Tensor, y: Tensor, wx: Tensor, wy: Tensor) -> Tensor:
    """Read a lattice at N points; arguments and result as of `flowedit.kernels.interpolation.gather`, float32."""
    values, x, y, wx, wy = (tensor.contiguous() for tensor in (values, x, y, wx, wy))
    channels, height, width = values.shape
    out = values.new_empty(channels, len(x))
    with torch.cuda.device_of(values):
        _gather[(triton.cdiv(len(x), BLOCK),)](
            values, x, y, wx, wy, out, channels, height, width, height * width, len(x), len(wx), BLOCK,
            enable_fp_fusion=False,
        )  # fmt: skip
    return out


@triton.jit
def _gather(
    values, x, y, wx, wy, out, channels, height, width, area, n_points, TAPS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = point < n_points
    first_x = tl.load(x + point, inside, 0) + 1 - TAPS // 2
    first_y = tl.load(y + point, inside, 0) + 1 - TAPS // 2
    for _ in range(channels):
        total = tl.zeros([BLOCK], tl.float32)
        for k in tl.static_range(TAPS):
            start = tl.minimum(tl.maximum(first_y + k, 0), height - 1) * width
            line = tl.zeros([BLOCK], tl.float32)
            for j in tl.static_range(TAPS):
                node = tl.minimum(tl.maximum(first_x + j, 0), width - 1)
                weight = tl.load(wx + j * n_points + point, inside, 0.0)
                line += tl.load(values + start + node, inside, 0.0) * weight
            total += line * tl.load(wy + k * n_points + point, inside, 0.0)
        tl.store(out + point, total, inside)
        values += area
        out += n_points
