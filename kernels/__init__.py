"""The operations an edit spends its time in, each beside the plain torch that says what it means.

Imports torch only. `hash_encode` reads a multiresolution hash grid, `upsample` a lattice on a finer grid and `sample`
one at any points; `warp_color` moves and tints an image, `look` shows views of one that is moved, `paint` adds the
parts' colors to a tint, `penalties` says what a field costs, `stage` is these three at once, `planes` reads a
picture's pixels; `operator`, `bound`, `stencil` and `jacobian` are what they share.
"""

from .bound import bounded
from .dispatch import available, choose
from .hash_encode import LatticeEncoding, hash_encode
from .jacobian import jacobian_determinant
from .look import look
from .paint import mix, paint
from .penalties import PENALTIES, penalties
from .planes import planes
from .sample import sample
from .stage import stage
from .upsample import upsample
from .warp_color import warp_color

__all__ = [
    "PENALTIES",
    "LatticeEncoding",
    "available",
    "bounded",
    "choose",
    "hash_encode",
    "jacobian_determinant",
    "look",
    "mix",
    "paint",
    "penalties",
    "planes",
    "sample",
    "stage",
    "upsample",
    "warp_color",
]
