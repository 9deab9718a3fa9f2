"""Parts of a face that carry one color each, as a make-up artist sees it: lips, skin, cheeks, brows, irises."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import Group, number
from flowedit.face.landmarks import (
    BROWS,
    CHEEKS,
    EARS,
    EYES,
    INNER_LIPS,
    JAW_CORNERS,
    LOWER_LIP,
    MOUTH_CORNERS,
    NOSE_WINGS,
    OUTER_CANTHI,
    OUTER_LIPS,
    OUTER_LOWER_LIDS,
    check_landmarks,
    eye_centers,
    interocular_distance,
    mouth_center,
)
from flowedit.face.light import BRIGHT, measure_light
from flowedit.face.regions import distance_near, face_outline, outline_distance, smoothstep
from flowedit.field.offsets import pixel_centers

PARTS_PX = 128  # side of the parts' masks over the crop

PIGMENTS = {  # what a part's pigment takes from red, green and blue light
    "lips": (-0.3, 1.0, 0.6),  # lipstick and blood
    "skin": (0.6, 0.85, 1.0),  # melanin
    "cheeks": (-0.7, 0.6, 0.3),  # rouge, as bright as the skin: a darker one would pass for a shadow
    "brows": (0.8, 0.9, 1.0),
    "irises": (0.3, 0.6, 1.0),
}
DARK_SKIN = (0.8, 0.85, 0.8)  # the same of dark skin, which by the pigment of light skin would turn ashen
DARK, LIGHT = 0.4, 0.7  # brightness of skin, in shares of `Paints.medium`
PARTS = tuple(PIGMENTS)
LEAST_RED = {"lips": 0.6, "cheeks": 1.0}  # share of the way from a part's hue to the skin's that it may go
MOST_ROUGE, LEAST_ROUGE = 0.19, 0.08  # hue that rouged cheeks may have beyond the skin's; paint that any may take
PALEST = 0.25  # of a part's pixels, by their way there: a pale rim would turn green where the middle does not


@dataclass(frozen=True)
class PartShapes(Group):
    """Where the parts of a face lie, and what tells them from what lies over them; set by eye.

    A pair is where a mask begins to fall and where it has fallen to zero, in interocular distances outside an outline.
    """

    lips: tuple[float, float] = (-0.01, 0.05)
    """Edge of the lips."""
    opening: tuple[float, float] = (-0.02, 0.02)
    """Edge of what an open mouth shows between the lips."""
    brows: tuple[float, float] = (0.04, 0.10)
    """Edge of the brows about their line."""
    face: tuple[float, float] = (-0.02, 0.20)
    """Edge of the skin about jaw and forehead; ears lie within."""
    forehead: float = number(0.95, least=0, most=10)
    """Height of the forehead above the ears, in distances from mouth to eyes."""
    neck: tuple[float, float] = (-0.15, 0.05)
    """Edge of the neck."""
    neck_length: float = number(1.4, least=0, most=10)
    """Length of the neck below the jaw, in distances from mouth to eyes."""
    skin_at_eyes: tuple[float, float] = (0.02, 0.07)
    """Edge of the skin at the eyes."""
    skin_at_lips: tuple[float, float] = (-0.02, 0.04)
    """Edge of the skin at the lips."""
    skin_chroma: float = number(0.05, above=0, most=1)
    """Color difference from typical skin, image units in full light, that counts 1."""
    skin_light: float = number(0.16, above=0, most=1)
    """Difference in brightness from typical skin, image units in full light, that counts 1."""
    skin_medium: float = number(0.4, above=0, most=1)
    """Least share of `skin_light` for dark skin, which is nearer to dark hair."""
    skin: tuple[float, float] = (1.5, 3.0)
    """Difference up to which all is skin, and from which on nothing is."""
    rouge_side: float = number(0.24, least=0, most=1)
    """How far rouge lies out from between lid and mouth corner, in distances from nose wing to the cheek's side."""
    rouge: tuple[float, float] = (0.0, 0.46)
    """Edge of rouge about its middle."""
    rouge_length: float = number(1.35, above=0, most=10)
    """How many times as long it is toward the ear."""
    rouge_height: float = number(0.745, above=0, most=10)
    """How many times as long it is across that."""
    irises: tuple[float, float] = (0.07, 0.11)
    """Edge of an iris about its middle."""
    lids: tuple[float, float] = (-0.02, 0.01)
    """Edge of the open eye."""
    gaze: float = number(0.05, least=0, most=1)
    """How far an iris may be from its eye's middle, interocular distances."""
    dark: tuple[float, float] = (0.45, 0.85)
    """Brightness up to which an eye is iris, and from which on white, in shares of the way from dark to light."""
    tooth_light: float = number(0.5, above=0, most=10)
    """How much lighter than the lips a tooth is, in shares of their brightness."""
    tooth_pale: float = number(0.2, above=0, most=1)
    """How much less red than the lips a tooth is, redness over brightness."""
    tooth: tuple[float, float] = (0.5, 1.0)
    """Share of both up to which a place is lip, and from which on tooth."""


@dataclass(frozen=True)
class Paints(Group):
    """How far a unit of paint colors each part, in full light; set by eye."""

    lips: float = number(3.0, least=0, most=100)
    """Pigment of the lips, image units."""
    skin: float = number(2.4, least=0, most=100)
    """Of the skin: weak, since a large part moves the encoder at a touch."""
    cheeks: float = number(0.9, least=0, most=100)
    """Of the cheeks."""
    brows: float = number(4.0, least=0, most=100)
    """Of the brows."""
    irises: float = number(12.0, least=0, most=100)
    """Of the irises: strong, since an encoder hardly sees a few pixels."""
    other: float = number(0.1, least=0, most=100)
    """Of hues that are not a part's own."""
    medium: float = number(0.6, above=0, most=1)
    """Brightness, image units, from which on a part takes its paint whole; a darker one takes less."""
    darkest: float = number(0.5, least=0, most=1)
    """Least share of its paint that the darkest part takes."""
    darkest_skin: float = number(0.65, least=0, most=1)
    """The same of the skin."""


def part_masks(image: Tensor, landmarks: Tensor, shapes: PartShapes | None = None) -> Tensor:
    """Draw the parts in the crop's frame.

    Lips leave out the open mouth, and teeth wherever they are; irises lie where the eye looks, without its white.
    Skin, of which cheeks, ears and neck are part, leaves out what has not its color: a fringe, a beard, glasses,
    the background.

    Args:
        image: (1, 3, S, S) the crop, in [0, 1].
        landmarks: (68, 2) crop coordinates.
        shapes: None is the default.

    Returns:
        (5, PARTS_PX, PARTS_PX) uint8 in the order of PARTS; 255 is the whole color.
    """
    check_landmarks(landmarks)
    s, p = shapes or PartShapes(), landmarks.double()
    left, right = eye_centers(p)
    unit, up = interocular_distance(p), (left + right) / 2 - mouth_center(p)
    grid = pixel_centers(PARTS_PX, dtype=torch.float64)
    small = F.interpolate(image.double().cpu(), (PARTS_PX, PARTS_PX), mode="area")[0] / measure_light(image)

    def away(outline: Tensor, *pairs: tuple[float, float], closed: bool = True) -> Tensor:
        return distance_near(grid, outline, float(unit) * max(itertools.chain(*pairs)), closed) / unit

    eyes = torch.maximum(*(smoothstep(away(p[eye], s.skin_at_eyes), *s.skin_at_eyes) for eye in EYES))
    brows = torch.maximum(*(smoothstep(away(p[brow], s.brows, closed=False), *s.brows) for brow in BROWS))
    outer, inner = away(p[OUTER_LIPS], s.lips, s.skin_at_lips), away(p[INNER_LIPS], s.opening)
    teeth = tooth_likeness(small, (outer < 0) & (inner > 0), s)
    lips = smoothstep(outer, *s.lips) * (1 - smoothstep(inner, *s.opening)) * (1 - teeth)
    jaw_left, jaw_right = JAW_CORNERS
    neck = torch.cat([p[jaw_left : jaw_right + 1], p[[jaw_right, jaw_left]] - s.neck_length * up])
    face = smoothstep(away(face_outline(p, s.forehead * up), s.face), *s.face)
    skin = torch.maximum(face, smoothstep(away(neck, s.neck), *s.neck))
    skin = skin * (1 - eyes) * (1 - smoothstep(outer, *s.skin_at_lips)) * skin_likeness(small, p, s)
    cheeks = torch.zeros_like(skin)
    for points in zip(OUTER_LOWER_LIDS, MOUTH_CORNERS, CHEEKS, NOSE_WINGS, EARS, strict=True):
        lid, corner, side, wing, ear = p[list(points)]
        to = (grid - 0.5 * (lid + corner) - s.rouge_side * (side - wing)) / unit
        along = to @ F.normalize(ear - wing, dim=0)  # rouge follows the cheekbone, up to the ear
        across = (to.square().sum(-1) - along.square()).clamp(min=0)
        distance = ((along / s.rouge_length).square() + across / s.rouge_height**2).sqrt()
        cheeks = torch.maximum(cheeks, smoothstep(distance, *s.rouge))
    irises = torch.zeros_like(skin)
    for outline, center in zip(EYES, (left, right), strict=True):
        lids = away(p[outline], s.lids)
        open_eye, dark = smoothstep(lids, *s.lids), darkness(small, lids < 0, s)
        weight = open_eye * dark + 1e-6
        gaze = (grid * weight[..., None]).sum((0, 1)) / weight.sum() - center
        gaze = gaze * (s.gaze * unit / gaze.norm().clamp(min=1e-9)).clamp(max=1)
        iris = smoothstep((grid - center - gaze).norm(dim=-1) / unit, *s.irises)
        irises = torch.maximum(irises, iris * open_eye * dark)
    masks = torch.stack([lips, skin, cheeks * skin, brows, irises])
    return (masks * 255).round().to(torch.uint8)


def mix_paints(image: Tensor, masks: Tensor, paints: Paints | None = None) -> Tensor:
    """Mix each part's three paints: its pigment, strong, and two weak ones for every other hue.

    A palette is priced and moved in amounts of paint, so a part changes first the way that such parts differ
    from face to face. Pigments take a share of the light: a dark part's paints are as much weaker, and all of them
    in dim light.

    Args:
        image: (1, 3, S, S) the crop, in [0, 1].
        masks: what `part_masks` drew there.
        paints: None is the default.

    Returns:
        (5, 3, 3) image units.
    """
    paints, light = paints or Paints(), measure_light(image)
    gray = F.interpolate(image.cpu(), (PARTS_PX, PARTS_PX), mode="area").mean(1) / light
    weight = masks.float() + 1e-3  # a part that is not seen is as bright as the picture
    bright = (gray * weight).sum((1, 2)) / weight.sum((1, 2)) / paints.medium
    mixes = []
    for (part, pigment), share in zip(PIGMENTS.items(), bright.tolist(), strict=True):
        taken = torch.tensor(pigment, dtype=torch.float64, device="cpu")
        if part == "skin":
            dark = torch.tensor(DARK_SKIN, dtype=torch.float64, device="cpu")
            taken = dark.lerp(taken, min(1.0, max(0.0, (share - DARK) / (LIGHT - DARK))))
        along = F.normalize(taken, dim=0)
        across = torch.linalg.svd(along[None])[2][1:]  # an orthonormal basis of the plane across
        least = paints.darkest_skin if part == "skin" else paints.darkest
        mix = torch.cat([getattr(paints, part) * along[None], paints.other * across])
        mixes.append(mix * (light * min(1.0, max(least, share))))
    return torch.stack(mixes).float()


def bound_paint(image: Tensor, masks: Tensor, paints: Tensor) -> Tensor:
    """Return how much of each of its paints a part may take: (2, 5, 3), least and most; infinite where it is free.

    Lips and cheeks are redder than the skin around them. Without lipstick or rouge they are nearer to its hue, or just
    of it; with less pigment than that they would be green. Cheeks that are red already take less rouge than pale ones.

    Args:
        image: (1, 3, S, S) the crop, in [0, 1].
        masks: what `part_masks` drew there.
        paints: what `mix_paints` mixed; amounts below 0 add pigment.
    """
    bounds = torch.stack([torch.full(paints.shape[:2], -math.inf), torch.full(paints.shape[:2], math.inf)])
    pixels = F.interpolate(image.double().cpu(), (PARTS_PX, PARTS_PX), mode="area")[0].clamp(min=1e-3)
    inside = dict(zip(PARTS, masks > 127, strict=True))
    skin = inside["skin"] & ~inside["cheeks"]
    for part, share in LEAST_RED.items():
        if not inside[part].any() or not skin.any():
            continue
        row = PARTS.index(part)
        taken, color = F.normalize(paints[row, 0].double().cpu(), dim=0), pixels[:, inside[part]]
        length = paints[row, 0].norm().double().cpu().clamp(min=1e-9)
        own, of_skin = (taken @ each / each.mean(0) for each in (color, pixels[:, skin].mean(1)))  # hues
        most = _paint_to(own + share * (of_skin - own), color, taken) / length
        bounds[1, row, 0] = float(most.clamp(min=0).quantile(PALEST))
        if part == "cheeks":
            least = _paint_to(of_skin - MOST_ROUGE, color, taken) / length
            bounds[0, row, 0] = min(float(least.median()), -LEAST_ROUGE)
    return bounds


def _paint_to(hue: Tensor, colors: Tensor, pigment: Tensor) -> Tensor:
    """Return how far along a pigment (3,), a unit vector, colors (3, N) have a hue along it: (N,) image units."""
    return (hue * colors.mean(0) - pigment @ colors) / (1 - hue * pigment.mean())


def darkness(image: Tensor, inside: Tensor, shapes: PartShapes) -> Tensor:
    """Tell an iris from the white around it: 1 where `image` (3, H, W) is dark for what lies `inside` (H, W)."""
    light = image.mean(0)
    if not inside.any():
        return torch.ones_like(light)
    low, high = light[inside].quantile(torch.tensor([0.1, 0.9], dtype=light.dtype, device=light.device))
    full, zero = (float(low.lerp(high, share)) for share in shapes.dark)
    return smoothstep(light, full, zero + 1e-6)


def tooth_likeness(image: Tensor, lips: Tensor, shapes: PartShapes) -> Tensor:
    """Measure how much whiter, that is lighter and less red, each place of `image` (3, H, W) is than the `lips` (H, W):
    1 is a tooth."""
    light = image.mean(0)
    red = (image[0] - image[1]) / (light + 0.05)
    if not lips.any():
        return torch.zeros_like(light)
    lighter = (light / (light[lips].median() + 0.05) - 1) / shapes.tooth_light
    paler = (red[lips].median() - red) / shapes.tooth_pale
    return 1 - smoothstep(torch.minimum(lighter, paler), *shapes.tooth)


def teeth_shown(image: Tensor, landmarks: Tensor, shapes: PartShapes | None = None) -> float:
    """Return the area of the teeth that a mouth shows, in squared interocular distances.

    Args:
        image: (1, 3, S, S) the crop, in [0, 1].
        landmarks: (68, 2) crop coordinates.
        shapes: None is the default.
    """
    s, p, grid = shapes or PartShapes(), landmarks.double(), pixel_centers(PARTS_PX, dtype=torch.float64)
    s = replace(s, tooth_light=s.tooth_light / 2, tooth_pale=s.tooth_pale / 2)  # in an opening there is little else
    unit = float(interocular_distance(p))
    small = F.interpolate(image.double().cpu(), (PARTS_PX, PARTS_PX), mode="area")[0] / measure_light(image)
    outer, inner = (distance_near(grid, p[outline], unit, True) for outline in (OUTER_LIPS, INNER_LIPS))
    teeth = tooth_likeness(small, (outer < 0) & (inner > 0), s)
    return float(teeth[inner < 0].sum()) * (2 / PARTS_PX / max(unit, 1e-9)) ** 2


def skin_likeness(image: Tensor, landmarks: Tensor, shapes: PartShapes) -> Tensor:
    """Measure how much each place of `image` (3, H, W) looks like the skin between eyes and mouth: 1 is skin."""
    (left, right), (mouth_left, mouth_right) = OUTER_CANTHI, MOUTH_CORNERS
    triangle = landmarks[[left, right, mouth_right, LOWER_LIP[1], mouth_left]]
    inside = outline_distance(pixel_centers(PARTS_PX, dtype=torch.float64), triangle, True) < 0
    if not inside.any():  # a face from the side, or landmarks on a line
        return torch.ones_like(image[0])
    light = image.mean(0, keepdim=True)
    medium = (light[0, inside].median() / BRIGHT).clamp(shapes.skin_medium, 1)
    features = torch.cat([(image - light) / shapes.skin_chroma, light / (shapes.skin_light * medium)])
    far = (features - features[:, inside].median(1).values[:, None, None]).norm(dim=0)
    like = smoothstep(far, *shapes.skin)[None, None]
    return F.avg_pool2d(F.pad(like, (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0, 0]
