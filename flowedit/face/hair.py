"""Where the hair about a face is: found by its color, from a few sure pixels, as GrabCut does (Rother et al. 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import Group, number
from flowedit.face.guided import fit_guided
from flowedit.face.landmarks import (
    BOTH_BROWS,
    EYES,
    LOWER_LIP,
    MOUTH_CORNERS,
    OUTER_CANTHI,
    check_landmarks,
    eye_centers,
    mouth_center,
)
from flowedit.face.landmarks import interocular_distance as interocular
from flowedit.face.regions import face_outline, outline_distance, smoothstep
from flowedit.field.offsets import pixel_centers

HAIR_PX = 128  # side of the square in which hair is found
ROUNDS = 3  # of assigning places to hair, skin and the rest, and fitting their colors anew
LEAST_FAR_PX = 200
SURE = 0.9  # probability from which on a lock beside the face is hair that need not hang together with the rest
LEAST_WAY = 0.2  # image units in full light, between hair and skin that a color can be told by
SKINLIKE = (0.28, 0.66)  # of the way from the hair's color to the skin's, between which a color begins to be skin
JITTER = 3.0  # of `opponent_colors`, added to the deviation of a color: no model is sharper than that


@dataclass(frozen=True)
class HairShapes(Group):
    """Where hair is to be expected, and what is none; set by eye. Lengths in interocular distances."""

    forehead: float = number(1.0, least=0, most=10)
    """Height of the face's outline above the eyes, in distances from mouth to eyes: about the hairline."""
    near: tuple[float, float] = (0.35, 1.5)
    """Outside the outline above the eyes, to where hair is likely, and from where on it is not."""
    beside: tuple[float, float] = (0.30, 1.0)
    """The same below the eyes."""
    chin: tuple[float, float] = (1.3, 1.9)
    """Below the eyes, from where to where on hair has to have the color of that above: a dress begins."""
    length: tuple[float, float] = (2.2, 3.6)
    """Below the eyes, to where hair beside the neck is let be, and from where on it is not."""
    ring: float = number(0.32, above=0, most=10)
    """Width of the ring about the upper face whose pixels are sure to be hair, where they look like no skin."""
    skin_far: float = number(2.2, above=0, most=100)
    """Deviations of the skin's color from which on a place is no skin."""
    bare: float = number(2.5, above=0, most=100)
    """The same, up to which a place on the forehead is bare skin."""
    rest_far: float = number(1.8, above=0, most=100)
    """The same of what is far from the face, the background."""
    least: float = number(0.18, least=0, most=1)
    """Share of the ring that must be hair: less is a shaved head, or a face in a frame without hair."""
    least_light: float = number(0.7, least=0, most=1)
    """The same where hair is lighter than the skin: a bald head shines."""
    least_contrast: float = number(9.0, least=0, most=100)
    """Difference in CIELAB that hair must have from the skin beside it."""
    most_chroma: float = number(75.0, above=0, most=200)
    """Of what may still be hair, CIELAB, where it is red or yellow; a third of it where it is green or blue."""
    hairline: tuple[float, float] = (0.20, 0.55)
    """Outside the outline, to where and from where on what looks like the face's skin may be hair."""
    soft: float = number(0.07, above=0, most=1)
    """Deviation of the windows in which the border is found anew in the photo's own colors."""
    edge: float = number(0.05, above=0, most=1)
    """Deviation of a color, image units in full light, that counts as even there."""


@dataclass(frozen=True, eq=False)
class _Colors:
    """A mixture of Gaussians over colors: weights (k,), means (k, 3), covariances (k, 3, 3)."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @classmethod
    def fit(cls, colors: Tensor, share: Tensor, k: int, start: _Colors | None = None) -> _Colors:
        """Fit by a few rounds of expectation and maximization to colors (n, 3), each counted by its share (n,)."""
        if start is None:
            order = colors[:, 0].argsort()
            total = share[order].cumsum(0)
            picks = torch.searchsorted(total, total[-1] * (torch.arange(k) + 0.5) / k).clamp(max=len(order) - 1)
            spread = 100.0 * torch.eye(3, dtype=colors.dtype).repeat(k, 1, 1)
            start = cls(torch.full((k,), 1 / k, dtype=colors.dtype), colors[order[picks]], spread)
        model = start
        for _ in range(3):
            likely = model._joint(colors)
            belong = (likely - likely.logsumexp(1, keepdim=True)).exp() * share[:, None]
            mass = belong.sum(0) + 1e-6
            means = (belong.T @ colors) / mass[:, None]
            away = [colors - mean for mean in means]
            scatter = [(one * part[:, None]).T @ one for one, part in zip(away, belong.T, strict=True)]
            covariances = torch.stack(scatter) / mass[:, None, None] + JITTER**2 * torch.eye(3)
            model = cls(mass / mass.sum(), means, covariances)
        return model

    def _joint(self, colors: Tensor) -> Tensor:
        square, logdet = [], []
        for mean, covariance in zip(self.means, self.covariances, strict=True):
            factor = torch.linalg.cholesky(covariance)
            away = (colors - mean) @ torch.linalg.inv(factor).T
            square.append(away.square().sum(1))
            logdet.append(2 * factor.diagonal().log().sum())
        return self.weights.log() - 0.5 * (torch.stack(square, 1) + torch.stack(logdet))

    def log_likelihood(self, colors: Tensor) -> Tensor:
        """Return the logarithm of the density of colors (n, 3), but for a constant: (n,)."""
        return self._joint(colors).logsumexp(1)


def hair_mask(
    image: Tensor, inside: Tensor, landmarks: Tensor, reach: float, light: float, shapes: HairShapes | None = None
) -> Tensor:
    """Find the hair about a face.

    Three mixtures of colors, for hair, for skin and for the rest, and where each is to be expected, are fitted to the
    picture in turns; what belongs to the hair and hangs together with the ring about the upper face is hair. Its border
    is found in the picture by a guided filter, so that strands are seen. Brows and beards are no hair here.

    Args:
        image: (1, 3, HAIR_PX, HAIR_PX) the square about the face, in [0, 1].
        inside: (HAIR_PX, HAIR_PX) 1 where the photo is, 0 beside it.
        landmarks: (68, 2) crop coordinates.
        reach: half the square's side, crop coordinates.
        light: of the face (`measure_light`).
        shapes: None is the default.

    Returns:
        (HAIR_PX, HAIR_PX) float32 in [0, 1]; all 0 where no hair is found.
    """
    check_landmarks(landmarks)
    s, p = shapes or HairShapes(), landmarks.double()
    image, inside = image.float().cpu() / light, inside.float().cpu()
    unit = float(interocular(p))
    place = _places(p, unit, reach, s)
    colors = opponent_colors(image[0].clamp(0, 1)).flatten(1).T.contiguous()
    prior = _expect(place, inside, s)
    none = torch.zeros_like(inside)
    skin_area, ring = place["skin"] * inside, place["ring"] * inside
    if float(skin_area.sum()) < 10 or float(ring.sum()) < 10:
        return none
    rest_area = place["far"] * inside
    if float((rest_area > 0.9).sum()) < LEAST_FAR_PX:  # a photo that ends at the head: its upper corners
        rest_area = torch.maximum(rest_area, torch.maximum(place["corners"], 0.3 * place["sides"]) * inside)
    cheeks = _Colors.fit(colors, (skin_area + 1e-4).flatten(), 2)
    # A fringe on the forehead is no skin.
    bare = _deviations(cheeks, colors, skin_area.flatten()).reshape(inside.shape) < s.bare
    skin_area = skin_area + 0.2 * place["forehead"] * inside * bare
    skin, rest = (_Colors.fit(colors, (area + 1e-4).flatten(), k) for area, k in ((skin_area, 2), (rest_area, 4)))
    unlike = [_deviations(model, colors, area.flatten()) for model, area in ((skin, skin_area), (rest, rest_area))]
    far, other = (one.reshape(inside.shape) for one in unlike)
    sure = ring * ((far > s.skin_far) & (other > s.rest_far))
    if float(sure.sum()) < s.least * float(ring.sum()):
        return none
    hair = _Colors.fit(colors, sure.flatten(), 3)
    mask = sure
    sigma = s.soft * unit * HAIR_PX / (2 * reach)
    for _ in range(ROUNDS):
        likely = torch.stack([model.log_likelihood(colors) for model in (hair, skin, rest)])
        odds = likely.reshape(3, *inside.shape).float() + prior.clamp(min=1e-4).log()
        share = (odds - odds.logsumexp(0)).exp()
        found = _follow_edges(image[0], share[0] * _alike(colors, mask, place), sigma, s.edge) * inside
        mask = _connected(found, torch.maximum(ring, place["locks"] * (share[0] > SURE)))
        weights = [
            one.flatten() + 1e-6 for one in (mask, share[1] * place["plain"] * inside, share[2] * (1 - mask) * inside)
        ]
        hair, skin, rest = (
            _Colors.fit(colors, weight, len(model.weights), model)
            for weight, model in zip(weights, (hair, skin, rest), strict=True)
        )
    brightness = colors[:, 0].reshape(inside.shape)
    typical, hairs = (float((brightness * area).sum() / area.sum().clamp_min(1e-6)) for area in (skin_area, mask))
    if float((mask * ring).sum()) < (s.least if hairs < typical else s.least_light) * float(ring.sum()):
        return none
    if hairs < typical:  # what shines on a forehead is no dark hair
        within = smoothstep(place["distance"], 0.1, 0.3)
        mask = mask * (1 - within * (1 - smoothstep(brightness, 0.85 * typical, typical)))
    plausible = _plausible(colors, mask, skin_area, s)
    return mask * place["allowed"] * inside if plausible else none


def _deviations(model: _Colors, colors: Tensor, area: Tensor) -> Tensor:
    """Return how many deviations colors (n, 3) are from a model, beyond the typical color of its area (n,)."""
    likely = model.log_likelihood(colors)
    typical = likely[area > 0.5].quantile(0.5)
    return (2 * (typical - likely).clamp(min=0)).sqrt()


def _places(p: Tensor, unit: float, reach: float, s: HairShapes) -> dict[str, Tensor]:
    """Draw where things are about a face: height above the eyes, distance from its outline, and a few regions."""
    left, right = eye_centers(p)
    eyes, up = (left + right) / 2, (left + right) / 2 - mouth_center(p)
    upward = F.normalize(up, dim=0)
    grid = reach * pixel_centers(HAIR_PX, dtype=torch.float64)
    to = (grid - eyes) / unit
    height = to @ upward
    across = to[..., 0] * -upward[1] + to[..., 1] * upward[0]
    distance = outline_distance(grid, face_outline(p, s.forehead * up), True) / unit
    brows = float((((p[BOTH_BROWS] - eyes) / unit) @ upward).max())
    (outer_left, outer_right), (corner_left, corner_right) = OUTER_CANTHI, MOUTH_CORNERS
    triangle = outline_distance(grid, p[[outer_left, outer_right, corner_right, LOWER_LIP[1], corner_left]], True) < 0
    forehead = (distance < -0.1) & (height > brows + 0.05) & (height < brows + 0.35)
    above = smoothstep(-height, -0.7, -0.3)
    return {
        "height": height.float(),
        "across": across.float(),
        "distance": distance.float(),
        "skin": (triangle & (height < -0.2)).float(),
        "forehead": forehead.float(),
        "plain": ((distance < 0.05) & ((height < -0.2) | forehead)).float(),
        "ring": (above * ((distance > 0) & (distance < s.ring))).float(),
        "locks": ((distance > 0) & (distance < 0.6) & (height < -0.3) & (height > -1.0)).float(),
        "low": 1 - smoothstep(-height, *s.chin).float(),
        "far": ((distance > 1.6) & (height > -1.2)).float(),
        "corners": (((across.abs() > 1.35) & (height > 0.9)) | (height > 2.0)).float(),
        "sides": ((distance > 0.9) & (height < 0.5) & (height > -1.2)).float(),
        # No brows, no beard: within the outline hair hangs from above only, or at the temples.
        "allowed": (
            torch.maximum(smoothstep(-distance, -0.06, 0.10), smoothstep(-height, -brows + 0.1, -brows + 0.4))
            * _no_eyes(grid, p, unit)
            * smoothstep(-height, *s.length)
        ).float(),
    }


def _no_eyes(grid: Tensor, p: Tensor, unit: float) -> Tensor:
    """Return 0 at the eyes, which a fringe may touch, and 1 around them."""
    away = torch.stack([outline_distance(grid, p[eye], True) for eye in EYES]).amin(0) / unit
    return 1 - smoothstep(away, 0.05, 0.15)


def _alike(colors: Tensor, hair: Tensor, place: dict[str, Tensor]) -> Tensor:
    """Return how well the color of each place goes with that of the hair (n, n) above the chin; 1 there."""
    weight = (hair * (1 - place["low"])).flatten()[:, None]
    mean = (colors * weight).sum(0) / weight.sum().clamp_min(1e-6)
    deviation = ((colors - mean).square() * weight).sum(0).div(weight.sum().clamp_min(1e-6)).add(JITTER**2).sqrt()
    away = ((colors - mean) / deviation).square().mean(1).sqrt().reshape(hair.shape)
    return 1 - place["low"] * (1 - smoothstep(away, 0.9, 1.5))


def _expect(place: dict[str, Tensor], inside: Tensor, s: HairShapes) -> Tensor:
    """Return how much hair, skin and the rest are to be expected at each place: (3, n, n), without the colors."""
    height, distance, across = place["height"], place["distance"], place["across"]
    near = torch.where(height > 0, smoothstep(distance, *s.near), smoothstep(distance, *s.beside))
    above, beside = smoothstep(-height, -0.3, 0.6), smoothstep(-height, *s.length)
    outside = smoothstep(-distance, -0.1, 0.05)
    hair = outside * (0.02 + 0.9 * near * (0.35 + 0.65 * above) * beside) + (1 - outside) * 0.15 * place["allowed"]
    under = smoothstep(height, -1.6, -1.2) * smoothstep(across.abs(), 0.9, 1.5)  # neck
    ears = smoothstep(height.abs(), 0.6, 1.0) * smoothstep(distance, 0.2, 0.5)
    skin = (1 - outside) * 0.9 + outside * (0.15 * near + 0.6 * torch.maximum(under, ears))
    rest = outside * (0.1 + 0.8 * (1 - near)) + 0.02
    total = torch.stack([hair, skin, rest])
    return total / total.sum(0)


def _follow_edges(image: Tensor, plane: Tensor, sigma: float, edge: float) -> Tensor:
    """Smooth a plane (n, n) along the edges of a picture (3, n, n), and sharpen what is between 0 and 1."""
    fitted = fit_guided(image, plane, sigma, edge)
    smooth = ((fitted[:3] * image).sum(0) + fitted[3]).clamp(0, 1)
    return 1 - smoothstep(smooth, 0.2, 0.8)


def _connected(plane: Tensor, seeds: Tensor) -> Tensor:
    """Return what of a plane (n, n) hangs together with seeds: the rest is a dark background or a dress."""
    solid = (plane > 0.4).float()[None, None]
    grown = solid * (seeds > 0.5).float()
    while True:
        wider = grown
        for _ in range(8):
            wider = solid * F.max_pool2d(wider, 3, 1, 1)
        if torch.equal(wider, grown):
            break
        grown = wider
    return plane * F.max_pool2d(grown, 5, 1, 2)[0, 0]


def _plausible(colors: Tensor, mask: Tensor, skin: Tensor, s: HairShapes) -> bool:
    """Return whether what was found has a color that hair has, and another than the skin."""

    def mean(weight: Tensor) -> Tensor:
        share = weight.flatten()
        return (share @ colors) / share.sum()

    hair, face = mean(mask), mean(skin)
    _, red, yellow = hair.tolist()
    chroma = (red**2 + yellow**2) ** 0.5
    warm = red + yellow > 0.5 * chroma  # hue from -15 to 105 degrees
    contrast = float((hair - face).norm())
    return contrast >= s.least_contrast and chroma <= (s.most_chroma if warm else s.most_chroma / 3)


def opponent_colors(image: Tensor) -> Tensor:
    """Turn (3, ...) sRGB into lightness, red against green and yellow against blue, about as CIELAB has them."""
    red, green, blue = image
    return torch.stack([100 * image.mean(0), 150 * (red - green), 75 * (red + green - 2 * blue)])


def hair_color(image: Tensor, mask: Tensor) -> Tensor:
    """Return the median color of hair, (3,) image units: of `image` (1, 3, n, n) where `mask` (n, n) is hair.

    Gray where there is none.
    """
    sure = mask > 0.7
    return image[0][:, sure].median(1).values if bool(sure.any()) else torch.full((3,), 0.5)


def hairline_zone(landmarks: Tensor, size: int, reach: float, shapes: HairShapes | None = None) -> Tensor:
    """Return where hair meets the skin of the face: (size, size) over the square `reach` times the crop, in [0, 1]."""
    s, p = shapes or HairShapes(), landmarks.double()
    up = eye_centers(p)[0].lerp(eye_centers(p)[1], 0.5) - mouth_center(p)
    away = outline_distance(reach * pixel_centers(size, dtype=torch.float64), face_outline(p, s.forehead * up), True)
    return smoothstep(away / float(interocular(p)), *s.hairline).float()


class Skinlike:
    """How much a color is like skin and unlike hair, by its place on the way from the one's color to the other's.

    Args:
        hair: (3,) its typical color, image units.
        skin: (3,) likewise.
        light: of the face. Where the two are hardly different in it, no color is like skin alone.
    """

    def __init__(self, hair: Tensor, skin: Tensor, light: float) -> None:
        self.hair, self.way = hair, skin - hair
        self.square = float(self.way.square().sum())
        self.clear = self.square**0.5 > LEAST_WAY * light

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return it for pixels (3, N): (N,) in [0, 1]."""
        if not self.clear:
            return torch.zeros_like(pixels[0])
        return 1 - smoothstep(self.way_to(pixels), *SKINLIKE)

    def way_to(self, pixels: Tensor) -> Tensor:
        """Return how far pixels (3, N) are on the way, 0 at the hair's color and 1 at the skin's: (N,)."""
        return (self.way @ (pixels - self.hair[:, None])) / self.square
