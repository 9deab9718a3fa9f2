"""The operations an edit spends its time in, each beside the plain torch that says what it means.

Imports torch only. `hash_encode` reads a multiresolution hash grid, `warp_color` moves and tints an image, `upsample`
reads a lattice on a finer grid, `sample` reads one at any points; `stencil` holds the stencils of the last two.
"""

from .dispatch import available, choose
from .hash_encode import LatticeEncoding, hash_encode
from .sample import sample
from .upsample import upsample
from .warp_color import warp_color

__all__ = ["LatticeEncoding", "available", "choose", "hash_encode", "sample", "upsample", "warp_color"]
