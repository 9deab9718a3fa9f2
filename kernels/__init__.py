"""The two operations an edit spends its time in, each beside the plain torch that says what it means.

Imports torch only. `hash_encode` reads a multiresolution hash grid, `warp_color` moves and tints an image;
`stencil` holds the small interpolation stencils both the field and the renderer read with.
"""

from .dispatch import available, choose
from .hash_encode import LatticeEncoding, hash_encode
from .warp_color import warp_color

__all__ = ["LatticeEncoding", "available", "choose", "hash_encode", "warp_color"]
