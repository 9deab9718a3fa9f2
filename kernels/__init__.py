"""The operations an edit spends its time in, each beside the plain torch that says what it means.

Imports torch only. `hash_encode` reads a multiresolution hash grid, `upsample` a lattice on a finer grid and `sample`
one at any points; `warp_color` moves and tints an image, `look` shows views of one that is moved, `penalties` says what
a field costs, `planes` reads a picture's pixels; `stencil` and `jacobian` are what they share.
"""

from .dispatch import available, choose
from .hash_encode import LatticeEncoding, hash_encode
from .jacobian import jacobian_determinant
from .look import look
from .penalties import PENALTIES, penalties
from .planes import planes
from .sample import sample
from .upsample import upsample
from .warp_color import warp_color

__all__ = [
    "PENALTIES",
    "LatticeEncoding",
    "available",
    "choose",
    "hash_encode",
    "jacobian_determinant",
    "look",
    "penalties",
    "planes",
    "sample",
    "upsample",
    "warp_color",
]
