"""Where the hair about a face is: expected by a network, and told by its color where that is not sure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.colors import SURE, opponent_colors
from flowedit.face.forehead import LOWEST, bare_forehead
from flowedit.face.guided import fit_guided
from flowedit.face.hair_net import likely_hair
from flowedit.face.hair_places import HAIR_PX, HairShapes, draw_hair_places, expect_hair, upper_ring
from flowedit.face.landmarks import check_landmarks
from flowedit.face.landmarks import interocular_distance as interocular
from flowedit.face.planes import grow, grow_within
from flowedit.face.regions import smoothstep

ROUNDS = 3  # of assigning places to hair, skin and the rest, and fitting their colors anew
SCALP_WAY, SCALP_HUE, SCALP_SURE = 0.2, 0.04, 0.78  # see `is_scalp`; by eye, on 400 pictures
CROWN, ACROSS, LEAST_OVER = 1.3, 0.8, 0.1  # above the face, interocular distances; share of it that hair covers
OVER_BROWS = 0.25  # above a brow, interocular distances, where there is hair if it hangs over it
OFF = (
    0.0,
    0.22,
)  # off the face's outline, interocular distances, from where on and wholly only what is textured is hair
TEXTURED = (0.25, 0.6)  # of the skin's fine structure, up to which a place has none, and from which on it has its own
WINDOW = 11  # places along one side over which that is averaged
JITTER = 3.0  # of `opponent_colors`, added to the deviation of a color: no model is sharper than that


@dataclass(frozen=True, eq=False)
class ColorMixture:
    """A mixture of Gaussians over colors: weights (k,), means (k, 3), covariances (k, 3, 3)."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @classmethod
    def fit(cls, colors: Tensor, share: Tensor, k: int, start: ColorMixture | None = None) -> ColorMixture:
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

    A small network tells where hair is to be expected (`hair_net`). Where it is not sure, three mixtures of colors, for
    hair, for skin and for the rest, decide, fitted to the picture in turns as GrabCut does (Rother et al. 2004); the
    border is found in the picture by a guided filter, so that strands are seen. Brows and beards are no hair here.

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
    image, inside = (image.float().cpu() / light).clamp(0, 1), inside.float().cpu()
    unit = float(interocular(p))
    place = draw_hair_places(p, unit, reach, s)
    expected = likely_hair(image, inside) * place["allowed"] * inside
    ring = upper_ring(place, 0.0, s.crown) * inside
    skin_area = place["skin"] * inside
    if float(skin_area.sum()) < 10 or float((expected * ring).sum()) < max(1.0, s.least * float(ring.sum())):
        return torch.zeros_like(inside)
    colors = opponent_colors(image[0]).flatten(1).T.contiguous()
    others = expect_hair(place, inside, s)[1:]
    prior = torch.cat([expected[None], others / others.sum(0) * (1 - expected)]).clamp(min=1e-3)
    surely, perhaps = (1 - smoothstep(expected, *bounds) for bounds in (s.surely, s.perhaps))
    areas = surely, skin_area, 1 - perhaps
    models = [ColorMixture.fit(colors, (a * inside + 1e-4).flatten(), k) for a, k in zip(areas, (3, 2, 4), strict=True)]
    unit_px = unit * HAIR_PX / (2 * reach)
    for _ in range(ROUNDS):
        share = share_out(models, colors, prior)
        hair = torch.minimum(torch.maximum(share[0], surely), perhaps)
        mask = follow_edges(image[0], hair, s.soft * unit_px, s.edge) * inside
        areas = mask, share[1] * place["plain"] * inside, share[2] * (1 - mask) * inside
        models = fit_again(models, colors, areas)
    forehead = ((place["distance"] < 0) & (place["height"] > LOWEST)).float() * inside
    seen = mask * place["allowed"] * inside
    seen = seen * (1 - bare_forehead(image[0], seen, skin_area, forehead, unit_px))
    above = round(OVER_BROWS * unit_px)
    seen = seen * (1 - place["brows"] * (1 - F.pad(seen, (0, 0, above, 0))[:-above]))  # what hangs over a brow stays
    found = connected(seen, (place["height"] > s.hangs).float())  # the rest is a collar
    over = (place["height"] > CROWN) & (place["across"].abs() < ACROSS) & (place["distance"].abs() < s.crown)
    if float((found * over).sum()) < LEAST_OVER * float(over.sum()):
        found = found * torch.maximum(textured(image[0], skin_area), smoothstep(place["distance"], *OFF))
    return torch.zeros_like(found) if is_scalp(image[0], found, skin_area, expected) else found


def textured(image: Tensor, skin: Tensor) -> Tensor:
    """Tell hair that is seen from a dark, blurred background or a border that somebody has filled: (n, n) in [0, 1].

    Args:
        image: (3, n, n) in full light.
        skin: (n, n) where the face's skin is, which has about the structure that the picture shows.
    """
    light = image.mean(0)[None, None]
    fine = (light - F.avg_pool2d(light, 3, 1, 1, count_include_pad=False)).abs()
    local = F.avg_pool2d(fine, WINDOW, 1, WINDOW // 2, count_include_pad=False)[0, 0]
    usual = float((local * skin).sum() / skin.sum().clamp_min(1))
    return 1 - smoothstep(local, *(bound * usual for bound in TEXTURED))


def is_scalp(image: Tensor, found: Tensor, skin: Tensor, expected: Tensor) -> bool:
    """Say whether what was found has the skin's own color and was hardly expected: a bald head's sides.

    Blonde and white hair can have nearly the color of a face, but there the network is sure of it.

    Args:
        image: (3, n, n) in full light.
        found: (n, n) the mask.
        skin: (n, n) where the face's skin is.
        expected: (n, n) of the network.
    """
    hair, face = (image[:, area > SURE] for area in (found, skin))
    if not hair.numel() or not face.numel():
        return False
    own, other = (each.median(1).values for each in (hair, face))
    hue = own / own.sum().clamp_min(1e-3) - other / other.sum().clamp_min(1e-3)
    alike = float((own - other).norm()) < SCALP_WAY and float(hue.norm()) < SCALP_HUE
    return alike and float(expected[found > SURE].mean()) < SCALP_SURE


def share_out(models: Sequence[ColorMixture], colors: Tensor, prior: Tensor) -> Tensor:
    """Return how likely each place is of each of k mixtures, by its color (n n, 3) and a prior: (k, n, n), as it is."""
    likely = torch.stack([model.log_likelihood(colors) for model in models])
    return (likely.reshape(prior.shape).float() + prior.log()).softmax(0)


def fit_again(models: Sequence[ColorMixture], colors: Tensor, areas: Iterable[Tensor]) -> list[ColorMixture]:
    """Fit mixtures to colors (n n, 3) of new areas, (n, n) each, from where they are."""
    return [
        ColorMixture.fit(colors, area.flatten() + 1e-6, len(model.weights), model)
        for model, area in zip(models, areas, strict=True)
    ]


def follow_edges(image: Tensor, plane: Tensor, sigma: float, edge: float) -> Tensor:
    """Smooth a plane (n, n) along the edges of a picture (3, n, n), and sharpen what is between 0 and 1."""
    fitted = fit_guided(image, plane, sigma, edge)
    smooth = ((fitted[:3] * image).sum(0) + fitted[3]).clamp(0, 1)
    return 1 - smoothstep(smooth, 0.2, 0.8)


def connected(plane: Tensor, seeds: Tensor) -> Tensor:
    """Return what of a plane (n, n) hangs together with seeds: the rest is a dark background or a dress."""
    solid = (plane > 0.4).float()
    return plane * grow(grow_within((seeds > 0.5).float(), solid), 2)
