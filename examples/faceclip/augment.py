"""Causal augmentation: change a face in a known way, then measure it again and caption what is now there.

A network trained on photos alone learns what *accompanies* a smile. One that also sees the same face with
only the mouth's corners moved, and is told the new measurements, learns the movement.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.color import lab_to_rgb
from torch import Tensor

from flowedit.face.landmarks import (
    BOTH_BROWS,
    BOTH_EYES,
    CHEEKS,
    EYES,
    JAW,
    MOUTH,
    NOSE_BASE,
    NOSE_FOOT,
    NOSE_TIP,
    outer_canthal_distance,
)
from flowedit.face.measures import rgb_to_lab

LOW_JAW, CHIN = slice(CHEEKS[0], CHEEKS[1] + 1), slice(6, 11)
LOWER_LIPS = (slice(55, 60), slice(65, 68))  # without the corners: outer, inner border
INNER_BROWS = (slice(20, 22), slice(22, 24))
GRID = 40  # nodes along each side of the coarse displacement grid

# How far a landmark's movement reaches, in outer-canthal distances.
REACH = torch.full((68,), 0.12)
REACH[JAW] = 0.22
REACH[BOTH_EYES] = 0.085
REACH[BOTH_BROWS] = 0.11
REACH[MOUTH] = 0.13


def landmark_moves(landmarks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw random changes of mouth, eyes, brows, nose, jaw and chin.

    Args:
        landmarks: (B, 68, 2) in crop coordinates.

    Returns:
        Displacements (B, 68, 2), and (B,) whether the expression was touched, so that its label no longer holds.
        Half of the faces keep all that expressions are made of, since words for them are few.
    """
    n = len(landmarks)

    def draw(scale: float, share: float = 0.4) -> Tensor:
        chosen = torch.rand(n, generator=generator) < share
        return scale * torch.randn(n, generator=generator) * chosen

    move = torch.zeros(n, 68, 2)
    unit = outer_canthal_distance(landmarks)
    mouth = landmarks[:, MOUTH]
    from_middle = mouth - mouth.mean(1, keepdim=True)
    half = mouth[..., 0].amax(1) - mouth[..., 0].amin(1)
    sideways = (from_middle[..., 0] / (half[:, None] / 2)).clamp(-1.2, 1.2)
    touched = torch.rand(n, generator=generator) < 0.5
    curve, wide, lips, part = draw(0.055) * touched, draw(0.14), draw(0.25) * touched, draw(0.03, 0.25).abs() * touched
    move[:, MOUTH, 1] -= (curve * unit)[:, None] * (sideways.abs() ** 1.5 - 0.35)
    move[:, MOUTH, 0] += wide[:, None] * from_middle[..., 0]
    move[:, MOUTH, 1] += lips[:, None] * from_middle[..., 1] * (1 - sideways.abs().clamp(max=1) ** 2)
    for lip in LOWER_LIPS:
        move[:, lip, 1] += (part * unit)[:, None]

    size = draw(0.2) * torch.where(touched, 1, 0.4)
    tall = draw(0.12, 0.3) * touched
    for eye in EYES:
        around = landmarks[:, eye] - landmarks[:, eye].mean(1, keepdim=True)
        move[:, eye] += size[:, None, None] * around * torch.tensor([0.6, 1.0])
        move[:, eye, 1] += tall[:, None] * around[..., 1]
    raise_brows = draw(0.055) * touched
    move[:, BOTH_BROWS, 1] -= (raise_brows * unit)[:, None]
    inner = draw(0.03, 0.2) * touched
    for brow in INNER_BROWS:
        move[:, brow, 1] -= (inner * unit)[:, None]
    nose = landmarks[:, NOSE_BASE] - landmarks[:, NOSE_FOOT, None]
    move[:, NOSE_BASE, 0] += draw(0.17)[:, None] * nose[..., 0]
    move[:, NOSE_BASE, 1] += (draw(0.05) * unit)[:, None]
    jaw = landmarks[:, LOW_JAW] - landmarks[:, NOSE_TIP, None]
    narrow = draw(0.10)
    low = torch.linspace(-1, 1, 13).abs()  # the ears' height moves half as much as the chin's corners
    move[:, LOW_JAW, 0] += narrow[:, None] * jaw[..., 0] * (1 - 0.6 * low)
    cheeks = landmarks[:, JAW] - landmarks[:, NOSE_TIP, None]
    move[:, JAW, 0] += draw(0.05)[:, None] * cheeks[..., 0]
    move[:, CHIN, 1] += (draw(0.06) * unit)[:, None]
    return move, touched


def spread(points: Tensor, landmarks: Tensor, move: Tensor) -> Tensor:
    """Spread the landmarks' moves smoothly over `points` (B, P, 2); still landmarks hold their surroundings."""
    unit = outer_canthal_distance(landmarks)
    reach = unit[:, None] * REACH
    narrow = -0.5 / reach**2
    # |p - l|^2 over the reach as one product of matrices: [p, |p|^2, 1] with [-2 l, 1, |l|^2].
    places = torch.cat([points, points.square().sum(-1, keepdim=True), torch.ones_like(points[..., :1])], -1)
    keys = torch.cat([-2 * landmarks, torch.ones_like(landmarks[..., :1]), landmarks.square().sum(-1, True)], -1)
    nearness = (places @ (keys * narrow[..., None]).mT).exp_()
    total = nearness @ torch.cat([move, torch.ones_like(move[..., :1])], -1)
    return total[..., :2] / (total[..., 2:] + 0.6)


def warp_faces(image: Tensor, landmarks: Tensor, move: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Apply landmark moves and a small random similarity (with flips) in one sampling.

    Returns the images (B, 3, S, S) and the moved landmarks (B, 68, 2), before the similarity, which no
    measurement sees.
    """
    n = len(image)
    line = torch.linspace(-1, 1, GRID)
    nodes = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(1, -1, 2).expand(n, -1, -1)
    coarse = spread(nodes, landmarks, move).reshape(n, GRID, GRID, 2).permute(0, 3, 1, 2)
    moved = landmarks + spread(landmarks, landmarks, move)
    for _ in range(2):  # output q shows input q - flow(q), so a landmark L appears where q = L + flow(q)
        moved = landmarks + spread(moved, landmarks, move)
    angle = 0.06 * torch.randn(n, generator=generator)
    scale = 1 + 0.06 * torch.randn(n, generator=generator)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale * angle.cos()
    theta[:, 1, 0] = scale * angle.sin()
    theta[:, 0, 1] = -theta[:, 1, 0]
    theta[:, :, 2] = 0.035 * torch.randn(n, 2, generator=generator)
    flip = torch.rand(n, generator=generator) < 0.5
    theta[flip, 0] = -theta[flip, 0]
    grid = F.affine_grid(theta, list(image.shape), align_corners=False)
    flow = F.grid_sample(coarse, grid, padding_mode="border", align_corners=True).permute(0, 2, 3, 1)
    return F.grid_sample(image, grid - flow, padding_mode="border", align_corners=False), moved


def recolor(image: Tensor, masks: Tensor, gray: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Give gray faces plausible colors, change lips, skin, cheeks, brows, hair and irises at random, and measure.

    Colors are changed on a copy of the masks' size, and the difference is enlarged: an eye sees color no finer.

    Args:
        image: (B, 3, S, S) in [0, 1].
        masks: (B, 6, m, m) soft masks: lips, skin, cheeks, brows, irises, hair; m divides S.
        gray: (B,) whether the photo has no color of its own.

    Returns:
        The recolored images, and (B, 7) color measurements in CIELAB, in the order of `attributes.COLOR`.
    """
    n = len(image)
    small = F.avg_pool2d(image, image.shape[-1] // masks.shape[-1])

    def draw(mean: float, std: float, share: float = 0.45) -> Tensor:
        chosen = torch.rand(n, generator=generator) < share
        return ((mean + std * torch.randn(n, generator=generator)) * chosen)[:, None, None]

    light, red, yellow = rgb_to_lab(small).unbind(1)
    lips, skin, cheeks, brows, irises, hair = masks.unbind(1)
    face = (lips + skin + cheeks + irises).clamp(max=1)
    hue = torch.deg2rad(55 + 10 * torch.randn(n, generator=generator))
    chroma = (17 + 5 * torch.randn(n, generator=generator)).clamp(4, 32) * gray
    back = 5 * torch.randn(n, 2, generator=generator) * gray[:, None]
    own = 1 - face
    red = red + face * (chroma * hue.cos())[:, None, None] + own * back[:, 0, None, None]
    yellow = yellow + face * (chroma * hue.sin())[:, None, None] + own * back[:, 1, None, None]
    red = red + lips * ((8 + 4 * torch.randn(n, generator=generator)) * gray)[:, None, None]

    plain_skin = skin + cheeks  # a tan leaves lips and eyes as they are
    # Few of the photos are of dark-skinned people: skins of every depth, so that shape is read as well in them.
    chosen = torch.rand(n, generator=generator) < 0.4
    solid = (plain_skin + lips + brows)[:, None]  # and the eyes' sockets, which are a hole in it
    solid = -F.max_pool2d(-F.max_pool2d(solid, 9, 1, 4), 9, 1, 4)[:, 0]
    deep = (solid - 0.5 * irises - 0.3 * lips).clamp(0, 1)
    depth = (0.6 * torch.rand(n, generator=generator) * chosen)[:, None, None] * deep
    light, red, yellow = light * (1 - depth), red * (1 - 0.4 * depth), yellow * (1 - 0.4 * depth)
    light = light + plain_skin * draw(0, 10, 0.6)
    yellow = yellow + plain_skin * draw(0, 7)
    red = red + plain_skin * draw(0, 3)
    red = red + lips * draw(6, 12, 0.6).clamp(min=-10)
    yellow = yellow + lips * draw(0, 5)
    light = light + lips * draw(-2, 7)
    red = red + cheeks * draw(3, 8, 0.6)
    light = light + brows * draw(0, 10)
    light = light + hair * draw(0, 13)
    light = light + irises * draw(0, 8)
    yellow = yellow + irises * draw(0, 12)
    lab = torch.stack([light.clamp(0, 100), red, yellow], 1)

    def mean(channel: int, mask: Tensor) -> Tensor:
        return (lab[:, channel] * mask).sum((-2, -1)) / mask.sum((-2, -1)).clamp(min=1e-3)

    # Each of its own region alone: a contrast of two regions would be met by staining the other one.
    measured = torch.stack(
        [
            mean(1, lips),
            mean(0, skin),
            mean(2, skin),
            mean(1, cheeks),
            -mean(0, brows),
            -mean(0, hair),
            mean(2, irises),
        ],
        -1,
    )
    change = F.interpolate(lab_to_rgb(lab) - small, image.shape[-1], mode="bilinear", align_corners=False)
    return (image + change).clamp_(0, 1), measured


def expose(image: Tensor, generator: torch.Generator) -> Tensor:
    """Vary light and contrast, before colors are measured: skin in a bright photo is bright."""
    n = len(image)
    contrast = torch.exp(0.18 * torch.randn(n, 1, 1, 1, generator=generator))
    bright = 0.5 + 0.05 * torch.randn(n, 1, 1, 1, generator=generator)
    return ((image - 0.5) * contrast + bright).clamp_(0, 1)


def photograph(image: Tensor, generator: torch.Generator) -> Tensor:
    """Vary sharpness and noise."""
    n = len(image)
    soft = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    blur = (torch.rand(n, 1, 1, 1, generator=generator) - 0.3).clamp(min=0) / 0.7
    noise = 0.03 * torch.rand(n, 1, 1, 1, generator=generator)
    grain = torch.randn(image.shape, generator=generator)
    return image.lerp(soft, blur).addcmul_(noise, grain).clamp_(0, 1)
