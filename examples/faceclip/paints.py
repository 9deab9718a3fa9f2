"""Colors changed at random and measured again: skin, lips, cheeks, brows, eyes, lids, beard, and hair of any color."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.color import lab_to_rgb
from torch import Tensor

from flowedit.face.measures import rgb_to_lab

from .regions import INDEX
from .tones import mean_in, measure_tones

HAIR = (  # CIELAB of blonde, light brown, brown, black, red, gray and white hair, and how far each varies
    ((68.0, 5.0, 27.0), (7.0, 2.0, 5.0)),
    ((45.0, 8.0, 21.0), (6.0, 2.0, 4.0)),
    ((27.0, 7.0, 11.0), (6.0, 2.0, 3.0)),
    ((10.0, 1.0, 0.0), (4.0, 1.0, 1.5)),
    ((40.0, 27.0, 31.0), (7.0, 5.0, 5.0)),
    ((52.0, 0.0, 1.0), (7.0, 1.0, 2.0)),
    ((76.0, 0.0, 3.0), (6.0, 1.0, 2.0)),
)


def recolor(
    image: Tensor, masks: Tensor, hair: Tensor, gray: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Give gray faces plausible colors, change every colored part of all faces at random, and measure.

    Colors are changed on a copy of the masks' size, and the difference is enlarged: an eye sees color no finer.

    Args:
        image: (B, 3, S, S) in [0, 1].
        masks: (B, R, m, m) of REGIONS; m divides S.
        hair: (B, m, m) where hair is.
        gray: (B,) 1 where the photo has no color of its own.

    Returns:
        The recolored images, (B, 16) measurements in the order of `tones.TONED`, and how much make-up of each kind:
        name -> (B,).
    """
    n = len(image)
    small = F.avg_pool2d(image, image.shape[-1] // masks.shape[-1])

    def chosen(share: float) -> Tensor:
        return (torch.rand(n, generator=generator) < share).float()[:, None, None]

    def normal(mean: float, std: float) -> Tensor:
        return (mean + std * torch.randn(n, generator=generator))[:, None, None]

    def draw(mean: float, std: float, share: float = 0.45) -> Tensor:
        return normal(mean, std) * chosen(share)

    def uniform(least: float, most: float, share: float) -> Tensor:
        return (least + (most - least) * torch.rand(n, generator=generator))[:, None, None] * chosen(share)

    def part(name: str) -> Tensor:
        return masks[:, INDEX[name]]

    light, red, yellow = rgb_to_lab(small).unbind(1)
    lips, skin, cheeks, brows, irises = (part(name) for name in ("lips", "skin", "cheeks", "brows", "irises"))
    light, red, yellow = color_gray(light, red, yellow, masks, gray, generator)

    plain_skin = skin + cheeks  # a tan leaves lips and eyes as they are
    # Skins of every depth, so that shape is read as well in them; a dark one gets no darker than skins are.
    bright = (mean_in(light, part("cheek_skin")) / 65).clamp(0.15, 1)[:, None, None]
    whole = part("head") * (1 - hair) - 0.5 * irises - 0.3 * lips
    depth = uniform(0, 0.6, 0.3) * bright * whole.clamp(0, 1)
    light, red, yellow = light * (1 - depth), red * (1 - 0.4 * depth), yellow * (1 - 0.4 * depth)
    light = light + plain_skin * draw(0, 10, 0.5)
    yellow = yellow + plain_skin * draw(0, 7)
    red = red + plain_skin * draw(0, 3)

    rouge, lipstick = draw(3, 8, 0.5), draw(6, 12, 0.5).clamp(min=-10)
    red = red + lips * lipstick
    yellow = yellow + lips * draw(0, 5)
    light = light + lips * draw(-2, 8)
    red = red + cheeks * rouge
    light = light + brows * draw(0, 10)
    light = light + irises * draw(2, 9)
    yellow = yellow + irises * draw(0, 12)
    red = red + irises * draw(-2, 6)

    eye_shadow = uniform(0.1, 0.6, 0.3)
    lids = part("lids")
    light = light * (1 - eye_shadow * lids)
    red, yellow = red + 20 * eye_shadow * lids * normal(0, 0.6), yellow + 20 * eye_shadow * lids * normal(-0.3, 0.6)
    tired = uniform(-0.12, 0.32, 0.35) * part("under_eyes")
    light, yellow = light * (1 - tired), yellow * (1 - tired.clamp(min=0))
    shadow = uniform(0.05, 0.34, 0.3) * part("beard")
    light, yellow = light * (1 - shadow), yellow * (1 - 1.2 * shadow)
    red = red * (1 - 0.8 * shadow)
    light = light * (1 - uniform(0.05, 0.4, 0.25) * part("moustache"))
    light, red, yellow = dye(light, red, yellow, hair, generator)
    lab = torch.stack([light.clamp(0, 100), red, yellow], 1)
    measured = measure_tones(lab, masks, hair)
    change = F.interpolate(lab_to_rgb(lab) - small, image.shape[-1], mode="bilinear", align_corners=False)
    makeup = {"lips": lipstick.flatten() / 14, "cheeks": rouge.flatten() / 10, "lids": eye_shadow.flatten() / 0.35}
    return (image + change).clamp_(0, 1), measured, makeup


def color_gray(
    light: Tensor, red: Tensor, yellow: Tensor, masks: Tensor, gray: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Give gray photos (B,) a skin of a common hue, redder lips, and a tint elsewhere."""
    n = len(light)
    face = masks[:, [INDEX[name] for name in ("lips", "skin", "cheeks", "irises")]].sum(1).clamp(max=1)
    hue = torch.deg2rad(55 + 10 * torch.randn(n, generator=generator))
    chroma = (17 + 5 * torch.randn(n, generator=generator)).clamp(4, 32) * gray
    back = 5 * torch.randn(n, 2, generator=generator) * gray[:, None]
    red = red + face * (chroma * hue.cos())[:, None, None] + (1 - face) * back[:, 0, None, None]
    yellow = yellow + face * (chroma * hue.sin())[:, None, None] + (1 - face) * back[:, 1, None, None]
    lips = (8 + 4 * torch.randn(n, generator=generator)) * gray
    return light, red + masks[:, INDEX["lips"]] * lips[:, None, None], yellow


def dye(light: Tensor, red: Tensor, yellow: Tensor, hair: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Color the hair of half of the faces as one of HAIR; its strands stay, as deep as such hair has them."""
    n = len(light)
    pick = torch.randint(len(HAIR), (n,), generator=generator)
    means, spreads = (torch.tensor([each[k] for each in HAIR]) for k in (0, 1))
    target = means[pick] + spreads[pick] * torch.randn(n, 3, generator=generator)
    strength = (0.6 + 0.4 * torch.rand(n, generator=generator)) * (torch.rand(n, generator=generator) < 0.5)
    mix = strength[:, None, None] * (1.25 * hair - 0.1).clamp(0, 1)
    own = mean_in(light, hair)[:, None, None]
    depth = (mean_in((light - own).square(), hair).sqrt() + 1.5)[:, None, None]
    texture = (light - own) * ((0.13 * target[:, 0, None, None] + 2) / depth).clamp(0.4, 2.5)
    light = light.lerp(target[:, 0, None, None] + texture, mix)
    own_red, own_yellow = (mean_in(values, hair)[:, None, None] for values in (red, yellow))
    red = red.lerp(target[:, 1, None, None] + 0.3 * (red - own_red), mix)
    yellow = yellow.lerp(target[:, 2, None, None] + 0.3 * (yellow - own_yellow), mix)
    return light, red, yellow
