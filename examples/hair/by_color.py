"""The hair about a face by its color alone, from a few sure pixels, as GrabCut does (Rother et al. 2004).

It finds hair that is dark against the skin, and is what the network of `flowedit.face.hair` is taught by; light hair on
light skin, bald heads and caps deceive it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import number
from flowedit.face.colors import opponent_colors
from flowedit.face.hair import (
    JITTER,
    ROUNDS,
    ColorMixture,
    connected,
    fit_again,
    follow_edges,
    share_out,
)
from flowedit.face.hair_places import HAIR_PX, HairShapes, draw_hair_places, expect_hair, upper_ring
from flowedit.face.landmarks import check_landmarks
from flowedit.face.landmarks import interocular_distance as interocular
from flowedit.face.regions import smoothstep

LEAST_FAR_PX = 200
BORDER_PX = 9  # side of the squares in which hair is compared with what is beside it
SURE = 0.9  # probability from which on a lock beside the face is hair that need not hang together with the rest


@dataclass(frozen=True)
class ColorShapes(HairShapes):
    """What colors are hair, and where; set by eye. Lengths in interocular distances."""

    ring: float = number(0.32, above=0, most=10)
    """Width of the ring about the upper face whose pixels are sure to be hair, where they look like no skin."""
    chin: tuple[float, float] = (1.3, 1.9)
    """Below the eyes, from where to where on hair has to have the color of that above: a dress begins."""
    begins: tuple[float, float] = (0.0, 0.2)
    """Outside the outline, where that ring begins, and where it does under a high forehead."""
    skin_far: float = number(2.2, above=0, most=100)
    """Deviations of the skin's color from which on a place is no skin."""
    bare: float = number(2.5, above=0, most=100)
    """The same, up to which a place on the forehead is bare skin."""
    rest_far: float = number(1.8, above=0, most=100)
    """The same of what is far from the face, the background."""
    least: float = number(0.18, least=0, most=1)
    """Share of the ring that must be hair: less is a shaved head, or a face in a frame without hair."""
    least_light: float = number(0.67, least=0, most=1)
    """The same where hair is lighter than the skin and of its hue: a bald head shines."""
    hued: tuple[float, float] = (10.0, 25.0)
    """Difference in hue and chroma, CIELAB, from the skin, up to which light hair is of its hue, and from where not."""
    dark_skin: float = number(35.0, least=0, most=100)
    """Lightness of skin below which what shines on it is of the sky's hue, and counts as of its own."""
    least_contrast: float = number(9.0, least=0, most=100)
    """Difference in CIELAB that hair must have from the skin beside it."""
    most_chroma: float = number(75.0, above=0, most=200)
    """Of what may still be hair, CIELAB, where it is red or yellow; a third of it where it is green or blue."""
    least_edge: float = number(8.0, least=0, most=100)
    """Difference in CIELAB that hair must have from what is beside it, else walls are looked for."""
    calm: float = number(2.5, above=0, most=100)
    """Difference of neighboring places, CIELAB, below which a wall is without an edge."""


def find_by_color(image: Tensor, inside: Tensor, landmarks: Tensor, reach: float, light: float) -> Tensor:
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

    Returns:
        (HAIR_PX, HAIR_PX) float32 in [0, 1]; all 0 where no hair is found.
    """
    check_landmarks(landmarks)
    s, p = ColorShapes(), landmarks.double()
    image, inside = image.float().cpu() / light, inside.float().cpu()
    unit = float(interocular(p))
    place = draw_places(p, unit, reach, s)
    colors = opponent_colors(image[0].clamp(0, 1)).flatten(1).T.contiguous()
    prior = expect_hair(place, inside, s)
    none = torch.zeros_like(inside)
    skin_area = place["skin"] * inside
    if float(skin_area.sum()) < 10 or float((place["above"] * (place["distance"].abs() < s.ring) * inside).sum()) < 10:
        return none
    rest_area = place["far"] * inside
    if float((rest_area > 0.9).sum()) < LEAST_FAR_PX:  # a photo that ends at the head: its upper corners
        rest_area = torch.maximum(rest_area, torch.maximum(place["corners"], 0.3 * place["sides"]) * inside)
    cheeks = ColorMixture.fit(colors, (skin_area + 1e-4).flatten(), 2)
    # A fringe on the forehead is no skin.
    bare = _deviations(cheeks, colors, skin_area.flatten()).reshape(inside.shape) < s.bare
    skin_area = skin_area + 0.2 * place["forehead"] * inside * bare
    skin, rest = (ColorMixture.fit(colors, (area + 1e-4).flatten(), k) for area, k in ((skin_area, 2), (rest_area, 4)))
    unlike = [_deviations(model, colors, area.flatten()) for model, area in ((skin, skin_area), (rest, rest_area))]
    far, other = (one.reshape(inside.shape) for one in unlike)
    sigma = s.soft * unit * HAIR_PX / (2 * reach)
    scene = _Scene(
        image[0], colors, inside, place, prior, skin_area, skin, rest, (far > s.skin_far) & (other > s.rest_far),
        sigma, s,
    )  # fmt: skip
    mask = scene.search(none)
    if scene.edge_of(mask) < s.least_edge:  # no hair ends so: a wall that is lit unevenly was taken for it
        mask = scene.search(scene.wall())
    plausible = bool(mask.any()) and _plausible(colors, mask, skin_area, s)
    return mask * place["allowed"] * inside if plausible else none


def draw_places(p: Tensor, unit: float, reach: float, s: ColorShapes) -> dict[str, Tensor]:
    """Draw what `draw_hair_places` does, locks beside the face, and where the background is to be expected."""
    place = draw_hair_places(p, unit, reach, s)
    height, across, distance = place["height"], place["across"], place["distance"]
    return place | {
        "locks": ((distance > 0) & (distance < 0.6) & (height < -0.3) & (height > -1.0)).float(),
        "low": 1 - smoothstep(-height, *s.chin),
        "far": ((distance > 1.6) & (height > -1.2)).float(),
        "flanks": ((across.abs() > 1.35) & (height > 0.9) & (height < 2.0) & (distance > 0.8)).float(),
        "corners": (((across.abs() > 1.35) & (height > 0.9)) | (height > 2.0)).float(),
        "sides": ((distance > 0.9) & (height < 0.5) & (height > -1.2)).float(),
    }


@dataclass(frozen=True, eq=False)
class _Scene:
    """A picture in which hair is searched.

    Attributes:
        image: (3, n, n) in full light.
        colors: (n n, 3) its `opponent_colors`.
        inside: (n, n) where the photo is.
        place: of `draw_hair_places`.
        prior: of `expect_hair`.
        skin_area: (n, n) where skin is sure.
        skin, rest: how they are colored at first.
        unlike_both: (n, n) where colors are none of these.
        sigma: deviation of the windows in which the border is found anew, pixels.
        shapes: the numbers.
    """

    image: Tensor
    colors: Tensor
    inside: Tensor
    place: dict[str, Tensor]
    prior: Tensor
    skin_area: Tensor
    skin: ColorMixture
    rest: ColorMixture
    unlike_both: Tensor
    sigma: float
    shapes: ColorShapes

    def search(self, behind: Tensor) -> Tensor:
        """Find hair but where there is surely none (n, n): (n, n), all 0 where there is too little."""
        s, place, colors, inside = self.shapes, self.place, self.colors, self.inside
        for begin in s.begins:
            ring = upper_ring(place, begin, s.ring) * inside
            sure = ring * self.unlike_both * (1 - behind)
            if float(sure.sum()) >= s.least * float(ring.sum()) > 0:
                break
        else:
            return torch.zeros_like(inside)
        mask, models = sure, [ColorMixture.fit(colors, sure.flatten(), 3), self.skin, self.rest]
        for _ in range(ROUNDS):
            share = share_out(models, colors, self.prior.clamp(min=1e-4))
            likely_hair = share[0] * _alike(colors, mask, place) * (1 - behind)
            found = follow_edges(self.image, likely_hair, self.sigma, s.edge) * inside
            mask = connected(found, torch.maximum(ring, place["locks"] * (share[0] > SURE)))
            areas = mask, share[1] * place["plain"] * inside, share[2] * (1 - mask) * inside
            models = fit_again(models, colors, areas)
        brightness = colors[:, 0].reshape(inside.shape)
        typical, hairs = (
            float((brightness * area).sum() / area.sum().clamp_min(1e-6)) for area in (self.skin_area, mask)
        )
        least = s.least
        if hairs >= typical:
            apart = _hue_apart(colors, mask, self.skin_area)
            least += (s.least_light - s.least) * (1.0 if typical < s.dark_skin else float(smoothstep(apart, *s.hued)))
        if float((mask * ring).sum()) < least * float(ring.sum()):
            return torch.zeros_like(inside)
        if hairs < typical:  # what shines on a forehead is no dark hair
            within = smoothstep(place["distance"], 0.1, 0.3)
            mask = mask * (1 - within * (1 - smoothstep(brightness, 0.85 * typical, typical)))
        return mask

    def edge_of(self, mask: Tensor) -> float:
        """Return by how much hair differs from what is beside it, CIELAB, at the least sharp quarter of its border.

        Infinite where it has no border but the face's and the photo's.
        """
        hair, place = (mask > 0.5).float(), self.place
        beside = (mask < 0.1) * (place["distance"] > 0.15) * self.inside
        colors = self.colors.T.reshape(3, *mask.shape)

        def near(area: Tensor) -> tuple[Tensor, Tensor]:
            share, total = (F.avg_pool2d(x[None], BORDER_PX, 1, BORDER_PX // 2)[0] for x in (area[None], area * colors))
            return share[0], total / share.clamp_min(1e-6)

        (own_share, own), (other_share, other) = near(hair), near(beside)
        border = (own_share > 0.2) & (other_share > 0.2) & (place["height"] > -0.3)
        return float((own - other).norm(dim=0)[border].quantile(0.25)) if bool(border.any()) else float("inf")

    def wall(self) -> Tensor:
        """Return what hangs together with the picture's sides without an edge, however it is lit: (n, n), 1 or 0."""
        colors = self.colors.T.reshape(1, 3, *self.inside.shape)
        soft = F.avg_pool2d(F.pad(colors, (2, 2, 2, 2), mode="replicate"), 3, stride=1)[0]
        across, down = soft[:, 1:-1, 2:] - soft[:, 1:-1, :-2], soft[:, 2:, 1:-1] - soft[:, :-2, 1:-1]
        steep = 0.5 * (across.square() + down.square()).sum(0).sqrt()
        even = (steep < self.shapes.calm) * self.inside
        return F.max_pool2d(connected(even, self.place["flanks"] * even)[None, None], 3, 1, 1)[0, 0]


def _deviations(model: ColorMixture, colors: Tensor, area: Tensor) -> Tensor:
    """Return how many deviations colors (n, 3) are from a model, beyond the typical color of its area (n,)."""
    likely = model.log_likelihood(colors)
    typical = likely[area > 0.5].quantile(0.5)
    return (2 * (typical - likely).clamp(min=0)).sqrt()


def _alike(colors: Tensor, hair: Tensor, place: dict[str, Tensor]) -> Tensor:
    """Return how well the color of each place goes with that of the hair (n, n) above the chin; 1 there."""
    weight = (hair * (1 - place["low"])).flatten()[:, None]
    mean = (colors * weight).sum(0) / weight.sum().clamp_min(1e-6)
    deviation = ((colors - mean).square() * weight).sum(0).div(weight.sum().clamp_min(1e-6)).add(JITTER**2).sqrt()
    away = ((colors - mean) / deviation).square().mean(1).sqrt().reshape(hair.shape)
    return 1 - place["low"] * (1 - smoothstep(away, 0.9, 1.5))


def _hue_apart(colors: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Return the difference of two areas' mean colors (n, n), but for their lightness."""
    first, second = (area.flatten() @ colors[:, 1:] / area.sum().clamp_min(1e-6) for area in (one, other))
    return (first - second).norm()


def _plausible(colors: Tensor, mask: Tensor, skin: Tensor, s: ColorShapes) -> bool:
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
