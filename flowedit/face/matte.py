"""Which share of a pixel is hair, by the colors of hair, skin and background near it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.guided import blur, solve_symmetric
from flowedit.face.planes import grow, shrink

COARSE = 4  # places of the mask along one side of a place of the lattice that colors are averaged on
WINDOW = 0.25  # interocular distances: deviation of the windows in which they are
UNSURE = 0.16  # on either side of a mask's border at the skin, interocular distances: what is not surely hair or skin
UNSURE_OUTSIDE = 2  # the same at the background, places of the mask: it differs more from hair, and is better found
LEAST_MASK = 0.125  # of the mask, below which a place has less hair than that whatever its color
LEAST_AT_SKIN = 0.4  # the same at the skin, whose shading on a forehead can look like a share of hair
EVEN = 0.03  # deviation of a color, image units in full light, that counts as even
APART = (
    0.5,
    2.5,
)  # squared Mahalanobis distance of two colors, up to which they cannot be told, and from which on well
EVIDENCE = 0.02  # share of a window that has to be seen of a color until it counts by half
PRIOR = 0.002  # weight of a color's mean over the whole picture, in shares of a window
ROUNDS = 2  # of telling shares, and the colors anew where those are sure


def fit_matte(image: Tensor, mask: Tensor, face: Tensor, interocular_px: float, white: float = 0.0) -> Tensor:
    """Fit shares of hair as locally linear functions of a pixel's color.

    Near a border the mask is only believed from some way on. What hair, skin and background look like there is averaged
    over windows of what is sure, and a pixel's share is its place on the way from the one color to the other, measured
    by how much both vary (a linear discriminant): once against the skin, once against what is behind. The lesser one
    counts; where a color is not seen near, or not told from hair, the mask does.

    Args:
        image: (3, n, n) in full light; n a multiple of COARSE.
        mask: (n, n) where hair was found, in [0, 1].
        face: (n, n) in [0, 1], 1 where what is no hair is skin, 0 where it is background.
        interocular_px: the face's interocular distance, places of the mask.
        white: share in which the hair is white, which no shade of skin looks like.

    Returns:
        (10, n, n): slopes along red, green and blue and the value at black of the share against the skin, the same
        against the background, the least that a place has whatever its color, and the most.
    """
    unsure = max(UNSURE_OUTSIDE, round(UNSURE * interocular_px))
    sure = torch.minimum(shrink(mask, UNSURE_OUTSIDE), 1 - grow((1 - mask) * face, unsure))
    least = torch.minimum(blur(sure[None], unsure / 3)[0], mask)
    most = (mask / (LEAST_MASK + (LEAST_AT_SKIN - LEAST_MASK) * (1 - white) * face)).clamp(max=1)
    sigma = WINDOW * interocular_px / COARSE
    red, green, blue = image
    squares = torch.stack([red * red, red * green, red * blue, green * green, green * blue, blue * blue])
    moments, share, lines = torch.cat([torch.ones_like(image[:1]), image, squares]), mask, []
    for _ in range(ROUNDS):
        hair = _Color(moments, shrink(share, unsure) + 1e-4 * share, sigma)
        outside = 1 - grow(share, unsure)
        others = [_Color(moments, outside * area, sigma) for area in (face, 1 - face)]
        (skin, told), (behind, told_behind) = (hair.way_from(other, image.shape[-1]) for other in others)
        lines = [
            _or_else(line, told, by_other + (1 - by_other) * share)
            for line, told, by_other in ((skin, told, told_behind), (behind, told_behind, told))
        ]
        share = share_of(lines, least, most, image)
    return torch.cat([*lines, least[None], most[None]])


def share_of(lines: list[Tensor], least: Tensor, most: Tensor, pixels: Tensor) -> Tensor:
    """Return the share of hair of pixels (3, ...) by two lines, (4, ...) each, between two bounds: (...)."""
    by_color = torch.minimum(*((line[:3] * pixels).sum(0) + line[3] for line in lines))
    return torch.minimum(torch.maximum(by_color.clamp(0, 1), least), most)


class _Color:
    """What an area looks like near each place: mean (3, m, m), covariance (6, m, m) and how much is seen (m, m)."""

    def __init__(self, moments: Tensor, weight: Tensor, sigma: float) -> None:
        weighted = F.avg_pool2d((weight * moments)[None], COARSE)[0]
        near = blur(weighted, sigma)
        overall = weighted[1:].sum((1, 2)) / weighted[0].sum().clamp_min(1e-6)
        local = (near[1:] + PRIOR * overall[:, None, None]) / (near[:1] + PRIOR)
        self.mean, self.seen = local[:3], near[0]
        r, g, b = self.mean
        self.covariance = local[3:] - torch.stack([r * r, r * g, r * b, g * g, g * b, b * b])

    def way_from(self, other: _Color, size: int) -> tuple[Tensor, Tensor]:
        """Return a pixel's place on the way from another color, 0, to this one, 1, as a linear function of it.

        Returns:
            (4, size, size) the function, and (size, size) in [0, 1] how much it is worth.
        """
        covariance = (self.covariance + other.covariance) / 2
        covariance = covariance + EVEN**2 * covariance.new_tensor([1.0, 0, 0, 1, 0, 1])[:, None, None]
        way = self.mean - other.mean
        slope = solve_symmetric(covariance, way, EVEN)
        square = (slope * way).sum(0)
        slope = slope / square.clamp_min(1e-6)
        line = torch.cat([slope, -(slope * other.mean).sum(0, keepdim=True)])
        told = ((square - APART[0]) / (APART[1] - APART[0])).clamp(0, 1) * other.seen / (other.seen + EVIDENCE)
        finer = F.interpolate(torch.cat([line, told[None]])[None], (size, size), mode="bilinear")[0]
        return finer[:4], finer[4]


def _or_else(line: Tensor, share: Tensor, value: Tensor) -> Tensor:
    """Return a line (4, n, n) by its share (n, n) in [0, 1], and for the rest a value (n, n) whatever the color."""
    mixed = line * share
    return torch.cat([mixed[:3], mixed[3:] + ((1 - share) * value)[None]])
