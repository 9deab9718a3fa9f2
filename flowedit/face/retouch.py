"""A photo's own light and fine structure, scaled part by part: hair color, make-up, beard shadow, lines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.checks import describe, require
from flowedit.face.brows import settle_brows, skin_at_brows, skin_below_eyes
from flowedit.face.colors import typical_color
from flowedit.face.crop import Crop, widened
from flowedit.face.guided import fit_smooth
from flowedit.face.hair import hair_mask
from flowedit.face.hair_dye import HAIR_REACH, BoundHair
from flowedit.face.hair_places import HAIR_PX
from flowedit.face.landmarks import interocular_distance
from flowedit.face.light import alike_in_hue, measure_light
from flowedit.face.parts import PARTS, part_masks
from flowedit.face.planes import read_planes
from flowedit.face.retouch_masks import RETOUCH_PX, draw_places
from flowedit.face.shine import Shine
from flowedit.face.spots import SPOTTED, spot_weight
from flowedit.field.offsets import pixel_centers
from flowedit.kernels import Interpolation, sample

FINE, COARSE = 0.016, 0.075  # interocular distances: deviations of what is texture and what are lines
EVEN = 0.10  # standard deviation, image units in full light, up to which a structure is a line and no edge
HAIRY = ("beard", "brows")
UNDER_CHIN = ("chin fold", "chin bulge")  # on skin alone, and not on what is beside a neck
SEEN = ("hair", "irises")  # that are found in the picture
STUBBLE = 0.016  # interocular distances: between the hairs of HAIRY parts
GRAIN_BASE, GRAIN_CONTRAST = 0.75, 0.75  # of stubble: between the hairs, and what the square of the pattern adds
GRAIN_PX = 256  # side of the tile of their pattern, which repeats
NEAR = 0.97  # of a gain's bound, which no amount reaches
RELIEF = 4.0  # shares of the way from rings to the color of the cheek below, for a gain of 1
EVENED, EVENED_TO = 0.85, 1.8  # power of a pale lip's brightness, in the lips', that is evened, and up to what
OPAQUE = 0.8  # share of what a pale lip has beyond the others that a gain of -1 hides, up to all of it
LIFTED = 0.32  # brightness, image units in full light, that darker hair is lifted as if it were near to


class Kind(NamedTuple):
    """How a part is retouched.

    Attributes:
        pigments: (3, 3) gains of a unit of each of its three amounts: of red, green and blue, or, for a part that is
            detail, of its lines, its texture and its color.
        least: bound of a gain below 0, reached smoothly.
        most: bound above 0.
        noun: what it is called in a report.
        detail: whether it is fine structure that is scaled.
    """

    pigments: tuple[tuple[float, float, float], ...]
    least: float
    most: float
    noun: str
    detail: bool = False


def _detail_of(noun: str) -> Kind:
    return Kind(((1.0, 0.5, 0.5), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), -0.8, 1.5, noun, detail=True)


RETOUCHED: dict[str, Kind] = {
    # Melanin, whose absence is blonde, pheomelanin, which is red, and the ashen blue that turns blonde into gray.
    "hair": Kind(((-1.0, -0.93, -0.80), (0.55, -0.25, -0.60), (-0.25, 0.0, 0.35)), -0.92, 1.6, "hair"),
    "beard": Kind(((-0.95, -0.92, -0.88), (0.5, -0.2, -0.5), (-0.3, 0.5, -0.3)), -0.7, 0.5, "beard area"),
    "brows": Kind(((-0.95, -0.92, -0.88), (0.5, -0.2, -0.5), (-0.3, 0.5, -0.3)), -0.8, 1.0, "brows"),
    "lips": Kind(((-0.95, -0.95, -0.95), (0.6, -0.6, -0.4), (-0.3, -0.5, 0.5)), -0.9, 1.0, "lips"),
    "irises": Kind(((-0.95, -0.95, -0.95), (0.6, -0.1, -0.5), (-0.4, 0.3, -0.3)), -0.85, 2.5, "irises"),
    "lids": Kind(((-0.85, -0.95, -0.80), (-0.8, -0.3, 0.5), (0.5, -0.5, -0.4)), -0.85, 0.6, "upper lids"),
    "liner": Kind(((-1.0, -1.0, -1.0), (-0.5, -0.2, 0.5), (0.4, -0.4, -0.2)), -0.9, 0.3, "edges of the lids"),
    "rings": Kind(((-0.75, -0.95, -0.80), (-0.4, -0.2, 0.4), (0.3, -0.4, 0.1)), -0.6, 0.24, "skin under the eyes"),
    "chin fold": Kind(((-0.95, -0.95, -0.95), (0.3, -0.2, -0.3), (-0.2, 0.3, -0.2)), -0.6, 0.3, "fold under the chin"),
    "chin bulge": Kind(((-0.95, -0.95, -0.95), (0.3, -0.2, -0.3), (-0.2, 0.3, -0.2)), -0.3, 0.6, "second chin"),
    "freckles": Kind(((-0.6, -0.9, -0.98), (0.5, -0.2, -0.5), (-0.2, 0.2, -0.2)), -0.7, 0.1, "freckles"),
    "pimples": Kind(((-0.2, -0.9, -0.8), (0.5, -0.3, -0.3), (-0.2, -0.2, 0.2)), -0.6, 0.3, "pimples"),
    "shine": Kind(((1.0, 1.0, 1.0), (0.3, 0.0, -0.3), (0.1, -0.2, 0.1)), -0.95, 1.8, "shine of the skin"),
    "forehead": _detail_of("lines on the forehead"),
    "eye corners": _detail_of("lines at the eyes' corners"),
    "mouth lines": _detail_of("lines beside the mouth"),
    "under-eye skin": _detail_of("lines under the eyes"),
    "cheek skin": _detail_of("fine structure of the cheeks"),
    "other skin": _detail_of("fine structure of the rest of the skin"),
    "eyes": _detail_of("fine structure of the eyes"),
}
"""What can be retouched beside the five parts, and how; gains set by eye."""


class Retouch(nn.Module):
    """How much the light of hair, beard, lids, liner and rings is scaled, and the fine structure of the skin.

    Convention: crop coordinates in [-1, 1] edge to edge, x before y (docs/conventions.md). A new one does nothing. What
    it adds to a photo is made of the photo itself: g I where a pigment takes light (g < 0), g (Y + lift) (1 - I) where
    light is given (Y the mean of I), and g D for detail D, what a guided filter smooths away.

    Args:
        parts: names of `RETOUCHED`, in any order, each once.
        masks: (n, m, m) uint8; hair over a square HAIR_REACH times the crop, all others over the crop.
        lifts: (n,) image units; how far from black a part is lifted as if it were.
        colored: whether hues may change; if not, pigments take all light alike and detail is of brightness.

    Attributes:
        amounts: (n, 3) how much of each of its pigments a part takes; the parameter.

    Raises:
        ValueError: parts, masks or lifts are not as above.
    """

    masks: Tensor
    lifts: Tensor

    def __init__(self, parts: Sequence[str], masks: Tensor, lifts: Tensor, colored: bool = True) -> None:
        super().__init__()
        known = len(parts) > 0 and len(set(parts)) == len(parts) and all(part in RETOUCHED for part in parts)
        require(known, f"parts must be of {', '.join(RETOUCHED)}, each once; got {describe(list(parts))}")
        square = masks.ndim == 3 and masks.dtype == torch.uint8 and masks.shape[1] == masks.shape[2] > 0
        require(square and len(masks) == len(parts), f"masks must be uint8 of shape (n, m, m); got {describe(masks)}")
        require(lifts.shape == (len(parts),), f"lifts must have shape ({len(parts)},); got {describe(lifts)}")
        self.parts, self.colored = tuple(parts), bool(colored)
        self.amounts = nn.Parameter(torch.zeros(len(parts), 3, device=lifts.device))
        self.register_buffer("masks", masks.clone())
        self.register_buffer("lifts", lifts.detach().to(torch.float32, copy=True))

    @property
    def reach(self) -> float:
        """Half a side of the square that anything is done in, crop coordinates."""
        return HAIR_REACH if "hair" in self.parts else 1.0

    def gains(self) -> Tensor:
        """Mix each part's pigments within its bounds: (n, 3)."""
        least, most = self._bounds()
        mixed = (self.amounts[:, None] @ self._pigments())[:, 0]
        return torch.where(mixed < 0, least * torch.tanh(mixed / least), most * torch.tanh(mixed / most))

    @torch.no_grad()
    def set_gains(self, part: str, gains: Tensor) -> None:
        """Set a part's amounts to what gives it gains (3,), where hues stay their mean; within NEAR its bounds."""
        row = self.parts.index(part)
        least, most = (bound[row] for bound in self._bounds())
        gains = torch.minimum(torch.maximum(gains.to(least), NEAR * least), NEAR * most)
        mixed = torch.where(gains < 0, least * torch.atanh(gains / least), most * torch.atanh(gains / most))
        # With all pigments alike, or no color of detail, the least squares of least length.
        self.amounts[row] = torch.linalg.pinv(self._pigments()[row].T.double()).to(mixed) @ mixed

    def _pigments(self) -> Tensor:
        kinds = [RETOUCHED[part] for part in self.parts]
        pigments = torch.tensor([kind.pigments for kind in kinds]).to(self.amounts)
        if not self.colored:
            gray = torch.tensor([kind.detail for kind in kinds], device=pigments.device)[:, None, None]
            without = pigments.mean(-1, keepdim=True).expand_as(pigments)
            pigments = torch.where(gray, pigments * pigments.new_tensor([1.0, 1.0, 0.0]), without)
        return pigments

    def _bounds(self) -> tuple[Tensor, Tensor]:
        kinds = [RETOUCHED[part] for part in self.parts]
        least, most = ([getattr(kind, end) for kind in kinds] for end in ("least", "most"))
        return self.amounts.new_tensor(least)[:, None], self.amounts.new_tensor(most)[:, None]

    def mask_on_crop(self, part: str, size: int) -> Tensor:
        """Return where a part is, over the crop alone: (size, size) in [0, 1]."""
        mask = self.masks[self.parts.index(part)][None, None].float().cpu() / 255
        grid = pixel_centers(size)[None] / (HAIR_REACH if part == "hair" else 1.0)
        return F.grid_sample(mask, grid, mode="bilinear", align_corners=False)[0, 0]

    def bind(self, crop: Crop, read: Callable[[Crop, int], Tensor]) -> BoundRetouch:
        """Make ready for a photo.

        Args:
            crop: of the face, with landmarks.
            read: returns a crop of the photo, (1, 3, n, n).
        """
        return BoundRetouch(self, crop, read)


class BoundRetouch:
    """A `Retouch` over one photo: what its gains scale, at any place.

    What is needed of the photo's surroundings is computed once, on a lattice over the crop, as the coefficients of
    local linear functions of a pixel's own color: so the bits of a place depend on it alone, the photo's resolution
    does not matter, and edges are as sharp as the photo's.
    """

    def __init__(self, retouch: Retouch, crop: Crop, read: Callable[[Crop, int], Tensor]) -> None:
        assert crop.landmarks is not None  # a retouch is of a face
        self.retouch = retouch
        narrow = read(crop, RETOUCH_PX)
        light = measure_light(narrow)
        self.light = light
        self.interocular, self.side_px = float(interocular_distance(crop.landmarks.double())), crop.side_px
        pixel = self.interocular * RETOUCH_PX / 2  # lattice points a unit
        self.planes = {
            part: mask[None].float().cpu() / 255 for part, mask in zip(retouch.parts, retouch.masks, strict=True)
        }
        if "brows" in retouch.parts:
            self.skin_at_brows = skin_at_brows(narrow[0].cpu(), crop.landmarks)
        if {"hair", "shine", *UNDER_CHIN} & set(retouch.parts):
            self.cheeks = typical_color(narrow.cpu(), draw_places(["cheek skin"], crop.landmarks)["cheek skin"])
            self.shine = Shine(self.cheeks)
        if "rings" in retouch.parts:
            self.below_eyes = skin_below_eyes(narrow[0].cpu(), crop.landmarks)
        self.typical = {}  # brightness of lips and irises
        for part in {"lips", "irises"} & set(retouch.parts):
            mask = F.interpolate(self.planes[part][None], (RETOUCH_PX, RETOUCH_PX), mode="area")[0, 0]
            self.typical[part] = float(typical_color(narrow.cpu(), mask).mean().clamp_min(0.01))
        if "hair" in retouch.parts:
            self.hair = BoundHair(self.planes["hair"][0], crop, read, light, self.cheeks)
        # No pattern where the photo's own pixels are too coarse for it: it would only be noise.
        self.cell = STUBBLE * pixel * 2 / RETOUCH_PX  # crop coordinates
        self.grain = min(1.0, max(0.0, self.cell * crop.side_px / 2 - 1))
        if any(RETOUCHED[part].detail for part in retouch.parts):
            fine, coarse = (fit_smooth(narrow[0].cpu(), width * pixel, EVEN * light) for width in (FINE, COARSE))
            self.smooth = torch.cat([fine.flatten(0, 1), coarse.flatten(0, 1)])

    def carriers(self, pixels: Tensor, x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return what each part's gains scale at places.

        Args:
            pixels: (3, N) the photo there, in [0, 1].
            x, y: (N,) crop coordinates.

        Returns:
            Of each part, what gains above 0 and below 0 multiply, (3, 3, N): by gain, and by red, green and blue.
        """
        brightness, found = pixels.mean(0), []
        detail: Tensor | None = None
        for part, lift in zip(self.retouch.parts, self.retouch.lifts.tolist(), strict=True):
            if RETOUCHED[part].detail:
                detail = self._detail(pixels, x, y) if detail is None else detail
                planes = detail * self._weight(part, x, y)
                found.append((planes, planes))
                continue
            given = (brightness + lift) * (1 - pixels)
            if part == "hair":
                up, down = self.hair.carriers(pixels, given, lift, x, y)
            else:
                weight = self._weight(part, x, y)
                if part in UNDER_CHIN:
                    weight = weight * alike_in_hue(pixels, self.cheeks)
                if part in self.typical:
                    # Dark corners of an open mouth, and pupils, are given light by their own brightness alone. A pale
                    # lower lip would come out pink by its own, and what shines in an iris vivid.
                    given = (brightness.clamp(max=self.typical[part]) + lift) * (1 - pixels)
                if part == "lips":
                    found.append(self._lips(pixels, brightness, given, weight))
                    continue
                up, down = weight * given, weight * pixels
                if part == "rings":  # no lighter than the cheek below
                    up = RELIEF * weight * (read_planes(self.below_eyes, x, y) - pixels).clamp_min(0)
                if part == "shine":
                    up, down = (weight * each for each in self.shine(pixels))
                if part == "brows":  # what is given is what its hairs take of the skin's light, and no more
                    near, skin = read_planes(self.skin_at_brows, x, y).split((1, 3))
                    up = near * (skin - pixels).clamp_min(0) * ((x.abs() < 1) & (y.abs() < 1))
            found.append((_by_channel(up), _by_channel(down)))
        return found

    def offsets(self, pixels: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return what is added to the photo at places, (3, N); see `carriers`."""
        carriers = self.carriers(pixels, x, y)
        return combine(self.retouch.gains().cpu(), carriers) + self.even_hue(pixels, carriers)

    @torch.no_grad()
    def even_hue(self, pixels: Tensor, carriers: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return what is added beside what gains scale, at the gains as they are: (3, N); see `BoundHair.even_hue`."""
        if "hair" not in self.retouch.parts:
            return torch.zeros_like(pixels)
        row = self.retouch.parts.index("hair")
        gains, lift = self.retouch.gains()[row].cpu(), float(self.retouch.lifts[row])
        return self.hair.even_hue(pixels, combine(gains[None], carriers[row : row + 1]), gains, lift)

    def _lips(self, pixels: Tensor, brightness: Tensor, given: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return what gains above 0 and below 0 multiply on lips, (3, 3, N) each.

        A color that takes much of the light hides what a pale lip has beyond the others, in all channels: by what takes
        green and blue alone, burgundy would stay as red on it as the lip is.
        """
        paler = (brightness / self.typical["lips"]).clamp(1, EVENED_TO).pow(EVENED)
        taken = float(-self.retouch.gains()[self.retouch.parts.index("lips")].detach().clamp(max=0).sum())
        hidden = min(1.0, OPAQUE * taken) / max(taken, 1e-6)
        up, down = _by_channel(weight * (given / paler)), _by_channel(weight * pixels)
        return up, down / paler + hidden * weight * (1 - 1 / paler) * pixels

    def _weight(self, part: str, x: Tensor, y: Tensor) -> Tensor:
        at = read_planes(self.planes[part], x, y)[0]
        if part in HAIRY and self.grain:
            n = (x / self.cell).remainder(GRAIN_PX - 1), (y / (1.6 * self.cell)).remainder(GRAIN_PX - 1)
            dots = sample(_hairs(), *n, Interpolation.LINEAR)[0]
            at = at * (1 + self.grain * (GRAIN_BASE + GRAIN_CONTRAST * dots.square() - 1))
        if part in SPOTTED:
            at = at * spot_weight(part, x, y, self.interocular, self.side_px)
        return at * ((x.abs() < 1) & (y.abs() < 1))

    def _detail(self, pixels: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return lines, texture and the color of both, (3, 3, N)."""
        fine_slope, fine_offset, slope, offset = read_planes(self.smooth, x, y).unflatten(0, (4, 3))
        fine = fine_slope * pixels + fine_offset
        coarse = slope * pixels + offset
        lines, texture = (fine - coarse).mean(0), (pixels - fine).mean(0)
        color = pixels - coarse - lines - texture
        return torch.stack([lines.expand_as(color), texture.expand_as(color), color])


def _by_channel(planes: Tensor) -> Tensor:
    """Return what red, green and blue add to themselves alone: (3, N) as (3, 3, N)."""
    return torch.diag_embed(planes.T).permute(1, 2, 0)


@functools.cache
def _hairs() -> Tensor:
    """Return the pattern of stubble, (1, GRAIN_PX, GRAIN_PX) in [0, 1], the same in every photo; its ends meet."""
    plane = torch.rand(1, GRAIN_PX, GRAIN_PX, generator=torch.Generator().manual_seed(0))
    plane[:, -1], plane[..., -1] = plane[:, 0], plane[..., 0]
    return plane


def combine(gains: Tensor, carriers: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Scale what each part's gains (n, 3) scale, and add it up: (3, N)."""
    total = torch.zeros_like(carriers[0][0][0])
    for gain, (up, down) in zip(gains, carriers, strict=True):
        share = (gain.sign() + 1) / 2  # at 0 half of each: a clamp has no gradient there, and nothing would ever start
        total = total + torch.einsum("g,gcn->cn", gain * share, up)
        total = total + torch.einsum("g,gcn->cn", gain * (1 - share), down)
    return total


def make_retouch(
    parts: Sequence[str], crop: Crop, read: Callable[[Crop, int], Tensor], inside: Tensor, colored: bool = True
) -> Retouch:
    """Find parts on a face, and make what retouches them.

    Args:
        parts: names of `RETOUCHED`.
        crop: of the face, with landmarks.
        read: returns a crop of the photo, (1, 3, n, n).
        inside: (HAIR_PX, HAIR_PX) 1 where the square that hair is looked for in lies in the photo.
        colored: see `Retouch`.
    """
    assert crop.landmarks is not None  # a retouch is of a face
    narrow = read(crop, RETOUCH_PX)
    light = measure_light(narrow)
    landmarks = settle_brows(narrow[0].cpu(), crop.landmarks) if "brows" in parts else crop.landmarks
    drawn = draw_places([part for part in parts if part not in SEEN], landmarks)
    lifts = torch.full((len(parts),), 0.05 * light)
    size = (RETOUCH_PX, RETOUCH_PX)
    if "irises" in parts:  # in them is a pupil, which stays black
        mask = part_masks(narrow, crop.landmarks)[PARTS.index("irises")].float() / 255
        drawn["irises"] = F.interpolate(mask[None, None], size, mode="bilinear")[0, 0]
        lifts[list(parts).index("irises")] = 0.0
    if "hair" in parts:
        image = read(widened(crop, HAIR_REACH), HAIR_PX)
        mask = hair_mask(image, inside, crop.landmarks, HAIR_REACH, light)
        lifts[list(parts).index("hair")] = max(0.0, LIFTED * light - float(typical_color(image, mask).mean()))
        drawn["hair"] = F.interpolate(mask[None, None], size, mode="bilinear")[0, 0]
    masks = torch.stack([drawn[part] for part in parts])
    return Retouch(parts, (masks * 255).round().to(torch.uint8), lifts, colored)


def inside_photo(crop: Crop, height: int, width: int) -> Tensor:
    """Return where the square that hair is looked for in lies in a photo: (HAIR_PX, HAIR_PX), 1 or 0."""
    place = widened(crop, HAIR_REACH).to_photo(pixel_centers(HAIR_PX, dtype=torch.float64))
    return ((place > 0) & (place < place.new_tensor([width, height]))).all(-1).float()
