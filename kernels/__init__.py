"""Four operations that an edit spends its time in, each beside the plain torch that says what it means.

Imports torch only. `sample` reads planes at any points, `hash_encode` a multiresolution hash grid (`LatticeEncoding` at
fixed points), `fused_step` shows and regularizes a field, and `warp_pixels` moves and tints a frame's pixels. Each is
compiled C++ on the CPU, the first three are Triton on CUDA, and `reference` is for anywhere. `render_views`,
`tint_parts` and `regularizers` are the parts of `fused_step`, in plain torch only; `upsample`, `soft_clamp` and
`jacobian_determinant` are plain functions beside them.
"""

from .dispatch import available, choose
from .hash_encode import LatticeEncoding, hash_encode
from .interpolation import Interpolation, upsample
from .jacobian import jacobian_determinant
from .sample import sample
from .step import REGULARIZERS, FusedStep, RegularizerConstants, fused_step
from .step.reference import mix, regularizers, render_views, soft_clamp, tint_parts
from .warp_pixels import warp_pixels

__all__ = [
    "REGULARIZERS",
    "FusedStep",
    "Interpolation",
    "LatticeEncoding",
    "RegularizerConstants",
    "available",
    "choose",
    "fused_step",
    "hash_encode",
    "jacobian_determinant",
    "mix",
    "regularizers",
    "render_views",
    "sample",
    "soft_clamp",
    "tint_parts",
    "upsample",
    "warp_pixels",
]
