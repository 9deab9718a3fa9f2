"""Colors in regions of a face, and what is finer than a blur, as numbers."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.landmarks import EYES, outer_canthal_distance

from .attributes import COLOR, TINT
from .regions import INDEX

BLUR_PX = 5  # of a face of 128 px: lines and pores are finer, shading is not
LUMA = (0.299, 0.587, 0.114)
FINE = (  # regions that fine structure is measured and painted in
    "brows", "lids", "under_eyes", "forehead", "eye_corners", "mouth_lines", "glow", "cheek_skin", "whole", "mouth",
    "sockets",
)  # fmt: skip
TONED = tuple(name for name in COLOR + TINT if name not in ("liner", "brows_thick"))


def luma(image: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] to (B, 1, H, W) about as CIELAB's L, 0 to 100."""
    return 100 * (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


@functools.cache
def blur_matrix(size: int) -> Tensor:
    """A mean over BLUR_PX places, taken twice, as a matrix (size, size); the border repeats."""
    line = torch.arange(size)
    once = torch.zeros(size, size)
    for k in range(-(BLUR_PX // 2), BLUR_PX // 2 + 1):
        once.index_put_((line, (line + k).clamp(0, size - 1)), torch.tensor(1 / BLUR_PX), accumulate=True)
    return once @ once


def blurred(image: Tensor) -> Tensor:
    """Blur (B, C, S, S): two products of matrices, a tenth of what pooling costs."""
    matrix = blur_matrix(image.shape[-1])
    return matrix @ image @ matrix.T


def enlarge(masks: Tensor, size: int) -> dict[str, Tensor]:
    """Enlarge the regions in FINE, of (B, R, h, w), to (B, size, size) each."""
    some = masks[:, [INDEX[name] for name in FINE]]
    large = F.interpolate(some, size, mode="bilinear", align_corners=False)
    return dict(zip(FINE, large.unbind(1), strict=True))


def mean_in(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of (B, H, W) in soft masks (B, H, W): (B,)."""
    return (values * mask).sum((-2, -1)) / mask.sum((-2, -1)).clamp(min=1e-3)


def measure_tones(lab: Tensor, masks: Tensor, hair: Tensor) -> Tensor:
    """Measure colors.

    Those of COLOR each in its own region alone: a contrast of two regions would be met by staining the other one.
    Shadows are told from the skin beside them, since all skin is dark in a dim photo.

    Args:
        lab: (B, 3, h, w) CIELAB.
        masks: (B, R, h, w) of REGIONS.
        hair: (B, h, w).

    Returns:
        (B, 16) in the order of TONED.
    """
    light, red, yellow = lab.unbind(1)

    def at(values: Tensor, name: str) -> Tensor:
        return mean_in(values, masks[:, INDEX[name]])

    skin_light, beside = at(light, "skin"), at(light, "cheek_skin")
    tresses = [mean_in(values, hair) for values in (light, red, yellow)]
    chroma = (tresses[1].square() + tresses[2].square() + 1e-3).sqrt()
    gray = -torch.logaddexp((38 - tresses[0]) / 7, (chroma - 9) / 3)  # the worse of too dark and too colored
    values = {
        "lips_red": at(red, "lips"),
        "skin_light": skin_light,
        "skin_warm": at(yellow, "skin"),
        "cheeks_red": at(red, "cheeks"),
        "brows_dark": -at(light, "brows"),
        "hair_dark": -tresses[0],
        "eyes_brown": at(yellow, "irises"),
        "hair_warm": tresses[2],
        "hair_red": tresses[1],
        "hair_gray": gray,
        "eyes_light": at(light, "irises"),
        "eyes_green": -at(red, "irises"),
        "beard_shadow": (beside - at(light, "beard")) / (beside + 5),
        "moustache_shadow": (beside - at(light, "moustache")) / (beside + 5),
        "lid_dark": (beside - at(light, "lids")) / (beside + 5),
        "under_eye_dark": (beside - at(light, "under_eyes")) / (beside + 5),
    }
    return torch.stack([values[name] for name in TONED], -1)


def measure_brows(light: Tensor, masks: Tensor) -> Tensor:
    """Measure how thick the brows are: how much around their line is dark, next to how dark the line is.

    Args:
        light: (B, 1, H, W) of the photo before it is painted, since fair brows are as thick as dark ones.
        masks: (B, R, h, w) of REGIONS; h divides H.

    Returns:
        (B,) logarithms.
    """
    small = F.avg_pool2d(light, light.shape[-1] // masks.shape[-1])[:, 0]
    skin, inner = mean_in(small, masks[:, INDEX["forehead"]]), mean_in(small, masks[:, INDEX["brows"]])
    contrast = (skin - inner).clamp(min=4)[:, None, None]
    dark = ((skin[:, None, None] - small) / contrast).clamp(0, 1.2)
    return torch.log(mean_in(dark, masks[:, INDEX["around_brows"]]) + 0.05)


def measure_structure(light: Tensor, masks: dict[str, Tensor], liner: Tensor) -> dict[str, Tensor]:
    """Measure fine structure, as logarithms of energy, so that a face in dim light is not smooth.

    Args:
        light: (B, 1, H, W), 0 to 100.
        masks: (B, H, W) of each region in FINE.
        liner: (B, H, W) the edge of the lids.

    Returns:
        name -> (B,). All but `shine` and `liner` depend on how sharp a photo is.
    """
    detail = (light - blurred(light))[:, 0]
    down = F.pad(detail[:, 1:] - detail[:, :-1], (0, 0, 0, 1)).square()
    along = F.pad(detail[:, :, 1:] - detail[:, :, :-1], (0, 1)).square()
    light = light[:, 0]

    def energy(values: Tensor, name: str) -> Tensor:
        return torch.log(mean_in(values, masks[name]) + 0.05)

    skin = mean_in(light, masks["cheek_skin"])
    around = (masks["lids"] + masks["under_eyes"]) * (1 - liner)
    return {
        "lines_forehead": energy(down, "forehead") - 0.5 * energy(along, "forehead"),
        "lines_eyes": energy(down + along, "eye_corners"),
        "lines_mouth": energy(detail.clamp(max=0).square(), "mouth_lines"),
        "skin_smooth": -energy(down + along, "cheek_skin"),
        "shine": (mean_in(light, masks["glow"]) - skin) / (skin + 5),
        "liner": (mean_in(light, around) - mean_in(light, liner)) / (skin + 5),
    }


def measure_gaze(light: Tensor, landmarks: Tensor) -> Tensor:
    """Find how far right of and above each eye's middle the dark of its iris lies.

    Args:
        light: (B, 1, H, W).
        landmarks: (B, 68, 2) crop coordinates.

    Returns:
        (B, 2, 2) of the left and the right eye, in eye widths.
    """
    u, v = torch.linspace(-0.8, 0.8, 17), torch.linspace(-0.8, 0.8, 9)
    frame = torch.stack(torch.meshgrid(u, v, indexing="xy"), -1)
    inside = ((frame[..., 0].square() + frame[..., 1].square()) < 0.75).float()
    found = []
    for eye in EYES:
        outline = landmarks[:, eye]
        low, high = outline.amin(1), outline.amax(1)
        half, middle = (high - low) / 2, (high + low) / 2
        at = middle[:, None, None] + frame * half[:, None, None]
        seen = F.grid_sample(light, at, align_corners=False)[:, 0]
        bright = (seen * inside).sum((1, 2), keepdim=True) / inside.sum()
        dark = ((bright - seen) / 10).clamp(min=0) * inside + 1e-3 * inside
        center = (dark[..., None] * frame).sum((1, 2)) / dark.sum((1, 2))[:, None]
        height = half[:, 1] / half[:, 0]  # eye widths are of both sides: half a half width
        found.append(torch.stack([center[:, 0], -center[:, 1] * height], -1) / 2)
    return torch.stack(found, 1)


def measure_teeth(light: Tensor, landmarks: Tensor) -> Tensor:
    """Tell how much of the mouth is teeth: lighter than the lips, between them. (B,) in [0, 1]."""
    corners, upper, lower = landmarks[:, [60, 64]], landmarks[:, [61, 62, 63]], landmarks[:, [67, 66, 65]]
    across, down = torch.linspace(0.2, 0.8, 9), torch.linspace(0.15, 0.85, 5)
    knots = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    index = torch.searchsorted(knots, across).clamp(1, 4)
    share = (across - knots[index - 1]) / (knots[index] - knots[index - 1])

    def edge(middle: Tensor) -> Tensor:
        line = torch.cat([corners[:, :1], middle, corners[:, 1:]], 1)
        return line[:, index - 1].lerp(line[:, index], share[:, None])

    top, bottom = edge(upper), edge(lower)
    inside = top[:, None].lerp(bottom[:, None], down[:, None, None])
    lips = (landmarks[:, [50, 51, 52, 58, 57, 56]] + landmarks[:, [61, 62, 63, 67, 66, 65]]) / 2
    seen = F.grid_sample(light, inside, align_corners=False)[:, 0]
    lip = F.grid_sample(light, lips[:, None], align_corners=False)[:, 0].mean((1, 2))
    white = ((seen - lip[:, None, None]) / 15 - 0.2).clamp(0, 1).mean((1, 2))
    opening = (bottom - top).norm(dim=-1).mean(1) / outer_canthal_distance(landmarks)
    return white * (opening / 0.05).clamp(max=1)
