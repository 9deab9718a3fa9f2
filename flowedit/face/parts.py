"""Parts of a face that carry one color each, as a make-up artist sees it: lips, skin, cheeks, brows, irises."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

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
from flowedit.face.regions import face_outline, outline_distance, smoothstep
from flowedit.field.offsets import pixel_centers

PARTS_PX = 128  # side of the parts' masks over the crop

PIGMENTS = {  # what a part's pigment takes from red, green and blue light, and image units per unit of paint
    "lips": (-0.3, 1.0, 0.6, 3.0),  # lipstick and blood
    "skin": (0.6, 0.85, 1.0, 1.5),  # melanin; weak, since a large part moves the encoder at a touch
    "cheeks": (-0.7, 0.6, 0.3, 0.7),  # rouge, as bright as the skin: a darker one would pass for a shadow
    "brows": (0.8, 0.9, 1.0, 4.0),
    "irises": (0.3, 0.6, 1.0, 12.0),  # strong: a few pixels, which an encoder hardly sees
}
PARTS = tuple(PIGMENTS)
MEDIUM = 0.6  # image units: a part this bright takes the paint as it is, a darker one less,
DARKEST = {"lips": 0.5, "skin": 0.65, "cheeks": 0.5, "brows": 0.5, "irises": 0.5}  # but at least this share of it
WEAK = 0.1  # image units per unit of paint, for hues that are not the part's own
GAZE = 0.05  # how far an iris may be from its eye's middle, interocular distances
WHITER, PALER = 0.5, 0.2  # what makes a place beside the lips a tooth: its light, and redness over light
LIGHT, CHROMA = 0.16, 0.05  # how far skin may be from its median and still count as skin, image units


def part_masks(image: Tensor, landmarks: Tensor) -> Tensor:
    """Draw the parts in the crop's frame.

    Lips leave out the open mouth, and teeth wherever they are; irises lie where the eye looks, without its white.
    Skin, of which cheeks, ears and neck are part, leaves out what has not its color: a fringe, a beard, glasses,
    the background.

    Args:
        image: (1, 3, S, S) the crop, in [0, 1].
        landmarks: (68, 2) crop coordinates.

    Returns:
        (5, PARTS_PX, PARTS_PX) uint8 in the order of PARTS; 255 is the whole color.
    """
    check_landmarks(landmarks)
    p = landmarks.double()
    left, right = eye_centers(p)
    unit, up = interocular_distance(p), (left + right) / 2 - mouth_center(p)
    grid = pixel_centers(PARTS_PX, dtype=torch.float64)
    small = F.interpolate(image.double().cpu(), (PARTS_PX, PARTS_PX), mode="area")[0]

    def away(outline: Tensor, *, closed: bool = True) -> Tensor:
        return outline_distance(grid, outline, closed) / unit

    def soft(outline: Tensor, full: float, zero: float, *, closed: bool = True) -> Tensor:
        return smoothstep(away(outline, closed=closed), full, zero)

    def disc(centre: Tensor, full: float, zero: float) -> Tensor:
        return smoothstep((grid - centre).norm(dim=-1) / unit, full, zero)

    eyes = torch.maximum(*(soft(p[eye], 0.02, 0.07) for eye in EYES))
    brows = torch.maximum(*(soft(p[brow], 0.04, 0.10, closed=False) for brow in BROWS))
    outer, inner = away(p[OUTER_LIPS]), away(p[INNER_LIPS])
    teeth = tooth_likeness(small, (outer < 0) & (inner > 0))
    lips = smoothstep(outer, -0.01, 0.05) * (1 - smoothstep(inner, -0.02, 0.02)) * (1 - teeth)
    jaw_left, jaw_right = JAW_CORNERS
    neck = torch.cat([p[jaw_left : jaw_right + 1], p[[jaw_right, jaw_left]] - 1.4 * up])
    face = torch.maximum(soft(face_outline(p, 0.95 * up), -0.02, 0.20), soft(neck, -0.15, 0.05))
    skin = face * (1 - eyes) * (1 - smoothstep(outer, -0.02, 0.04)) * skin_likeness(small, p)
    cheeks = torch.zeros_like(skin)
    for points in zip(OUTER_LOWER_LIDS, MOUTH_CORNERS, CHEEKS, NOSE_WINGS, EARS, strict=True):
        lid, corner, side, wing, ear = p[list(points)]
        to = (grid - 0.5 * (lid + corner) - 0.24 * (side - wing)) / unit
        along = to @ F.normalize(ear - wing, dim=0)  # rouge follows the cheekbone, up to the ear
        across = (to.square().sum(-1) - along.square()).clamp(min=0)
        cheeks = torch.maximum(cheeks, smoothstep(((along / 1.35).square() + 1.8 * across).sqrt(), 0.0, 0.46))
    irises = torch.zeros_like(skin)
    for outline, centre in zip(EYES, (left, right), strict=True):
        lids = away(p[outline])
        open_eye, dark = smoothstep(lids, -0.02, 0.01), darkness(small, lids < 0)
        weight = open_eye * dark + 1e-6
        gaze = (grid * weight[..., None]).sum((0, 1)) / weight.sum() - centre
        gaze = gaze * (GAZE * unit / gaze.norm().clamp(min=1e-9)).clamp(max=1)
        irises = torch.maximum(irises, disc(centre + gaze, 0.07, 0.11) * open_eye * dark)
    masks = torch.stack([lips, skin, cheeks * skin, brows, irises])
    return (masks * 255).round().to(torch.uint8)


def mix_paints(image: Tensor, masks: Tensor) -> Tensor:
    """Mix each part's three paints: its pigment, strong, and two weak ones for every other hue.

    A palette is priced and moved in amounts of paint, so a part changes first the way that such parts differ
    from face to face. Pigments take a share of the light: a dark part's paints are as much weaker.

    Args:
        image: (1, 3, S, S) the crop, in [0, 1].
        masks: what `part_masks` drew there.

    Returns:
        (5, 3, 3) image units.
    """
    gray = F.interpolate(image.cpu(), (PARTS_PX, PARTS_PX), mode="area").mean(1)
    weight = masks.float() + 1e-3  # a part that is not seen is as bright as the picture
    least = torch.tensor([DARKEST[part] for part in PARTS])
    light = ((gray * weight).sum((1, 2)) / weight.sum((1, 2)) / MEDIUM).clamp(least, torch.ones(len(PARTS)))
    made = []
    for *pigment, strength in PIGMENTS.values():
        along = F.normalize(torch.tensor(pigment, dtype=torch.float64), dim=0)
        across = torch.linalg.svd(along[None])[2][1:]  # an orthonormal basis of the plane across
        made.append(torch.cat([strength * along[None], WEAK * across]))
    return torch.stack(made).float() * light[:, None, None]


def darkness(image: Tensor, inside: Tensor) -> Tensor:
    """Tell an iris from the white around it: 1 where `image` (3, H, W) is dark for what lies `inside` (H, W)."""
    light = image.mean(0)
    if not inside.any():
        return torch.ones_like(light)
    low, high = light[inside].quantile(torch.tensor([0.1, 0.9], dtype=light.dtype))
    return smoothstep(light, float(low.lerp(high, 0.45)), float(low.lerp(high, 0.85)) + 1e-6)


def tooth_likeness(image: Tensor, lips: Tensor) -> Tensor:
    """Say how much whiter, that is lighter and less red, each place of `image` (3, H, W) is than the `lips` (H, W)."""
    light = image.mean(0)
    red = (image[0] - image[1]) / (light + 0.05)
    if not lips.any():
        return torch.zeros_like(light)
    lighter = (light / (light[lips].median() + 0.05) - 1) / WHITER
    paler = (red[lips].median() - red) / PALER
    return 1 - smoothstep(torch.minimum(lighter, paler), 0.5, 1.0)


def skin_likeness(image: Tensor, landmarks: Tensor) -> Tensor:
    """Say how much each place of `image` (3, H, W) looks like the skin between eyes and mouth."""
    (left, right), (mouth_left, mouth_right) = OUTER_CANTHI, MOUTH_CORNERS
    triangle = landmarks[[left, right, mouth_right, LOWER_LIP[1], mouth_left]]
    inside = outline_distance(pixel_centers(PARTS_PX, dtype=torch.float64), triangle, True) < 0
    if not inside.any():  # a face from the side, or landmarks on a line
        return torch.ones_like(image[0])
    light = image.mean(0, keepdim=True)
    medium = (light[0, inside].median() / MEDIUM).clamp(0.4, 1)  # dark skin is nearer to dark hair
    features = torch.cat([(image - light) / CHROMA, light / (LIGHT * medium)])
    far = (features - features[:, inside].median(1).values[:, None, None]).norm(dim=0)
    like = smoothstep(far, 1.5, 3.0)[None, None]
    return F.avg_pool2d(F.pad(like, (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0, 0]
