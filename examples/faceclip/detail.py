"""Fine structure made deeper, fainter or new: skin smoothed, lines, freckles, stubble, liner and shine painted."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .patterns import INDEX as PATTERN
from .tones import blurred

SCALED = ("forehead", "eye_corners", "mouth_lines", "under_eyes", "cheek_skin")  # each of its own accord
SHADOW = (0.85, 1.0, 1.05)  # what a wrinkle takes from red, green and blue: skin's shadow is warm
PIGMENTS = {  # what each pattern takes at most from red, green and blue, and how often it is painted
    "liner": ((0.9, 0.9, 0.88), 0.3),
    "lashes": ((0.85, 0.85, 0.85), 0.25),
    "stubble": ((0.42, 0.42, 0.4), 0.25),
    "moustache_hair": ((0.78, 0.8, 0.8), 0.15),
    "freckles": ((0.25, 0.45, 0.55), 0.25),
    "forehead_lines": (tuple(0.4 * s for s in SHADOW), 0.3),
    "eye_lines": (tuple(0.4 * s for s in SHADOW), 0.3),
    "mouth_lines": (tuple(0.4 * s for s in SHADOW), 0.3),
    "creases": (tuple(0.24 * s for s in SHADOW), 0.25),
}


def scale_detail(image: Tensor, masks: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Scale what is finer than a blur, of each region apart, from gone to twice as deep or a little more.

    Args:
        image: (B, 3, S, S) in [0, 1].
        masks: (B, S, S) of each region in `tones.FINE`.
    """
    n = len(image)

    def factor(share: float) -> Tensor:
        chosen = torch.rand(n, generator=generator) < share
        drawn = torch.rand(n, generator=generator) * 3 - 1  # a third fainter, two thirds deeper
        return (torch.where(drawn < 0, 0.9 * drawn, 0.55 * drawn) * chosen)[:, None, None]

    amount = sum(factor(0.3) * masks[name] for name in SCALED)
    smooth = (masks["whole"] - masks["sockets"] - masks["brows"] - masks["mouth"]).clamp(0, 1)
    all_over = factor(0.4)
    amount = ((1 + amount) * (1 + all_over * smooth) - 1).clamp(-0.95, 1.6)
    return (image + amount[:, None] * (image - blurred(image))).clamp_(0, 1)


def paint_patterns(image: Tensor, patterns: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Multiply pigments over the image: as visible on dark skin as on light.

    Args:
        image: (B, 3, S, S) in [0, 1].
        patterns: (B, P, S, S) of PATTERNS.

    Returns:
        The painted images, and how much of each pattern: name -> (B,) in [0, 1].
    """
    n, amounts = len(image), {}
    kept = torch.ones_like(image)
    for name, (pigment, share) in PIGMENTS.items():
        chosen = torch.rand(n, generator=generator) < share
        amounts[name] = (0.25 + 0.75 * torch.rand(n, generator=generator)) * chosen
        some = chosen.nonzero()[:, 0]
        pattern = patterns[some, PATTERN[name], None]
        taken = amounts[name][some, None, None, None] * image.new_tensor(pigment)[:, None, None]
        kept[some] *= 1 - taken * pattern
    return (image * kept).clamp_(0, 1), amounts


def polish(image: Tensor, masks: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Make the forehead's, nose's and cheekbones' highlights shine, or matt."""
    n = len(image)
    chosen = torch.rand(n, generator=generator) < 0.35
    amount = ((torch.rand(n, generator=generator) * 0.75 - 0.2) * chosen)[:, None, None, None]
    glow = masks["glow"][:, None]
    light = image + amount.clamp(min=0) * 0.8 * glow * (0.95 - image).clamp(min=0)
    return light * (1 + amount.clamp(max=0) * glow)


def wear(image: Tensor, at: Tensor, wearables: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Put glasses, sunglasses or hats on some faces: painted ones, so that the real ones are told by more than a few.

    Args:
        image: (B, 3, S, S) in [0, 1].
        at: places of the mean face (B, S, S, 2).
        wearables: (4, S', S') frame, lens, hat and band on the mean face.

    Returns:
        The images, and name -> (B,) whether each is worn.
    """
    n = len(image)
    roll = torch.rand(n, generator=generator)
    worn = {"glasses": roll < 0.06, "sunglasses": (roll >= 0.06) & (roll < 0.1), "hat": (roll >= 0.95)}
    some = torch.stack(list(worn.values())).any(0).nonzero()[:, 0]
    if not len(some):
        return image, worn
    drawn = F.grid_sample(wearables.expand(len(some), -1, -1, -1), at[some], align_corners=False)
    frame, lens, hat, band = drawn[:, :, None].unbind(1)
    k = len(some)

    def color(low: float, high: float) -> Tensor:
        gray = low + (high - low) * torch.rand(k, 1, 1, 1, generator=generator)
        return (gray + 0.25 * gray * torch.randn(k, 3, 1, 1, generator=generator)).clamp(0, 1)

    part, rim = image[some], color(0.02, 0.45)
    clear, dark, hatted = (worn[name][some, None, None, None].float() for name in ("glasses", "sunglasses", "hat"))
    glare = 0.25 * torch.rand(k, 1, 1, 1, generator=generator) * torch.linspace(1, 0, image.shape[-1])[:, None]
    part = part + clear * lens * glare * (1 - part) * 0.5
    part = torch.lerp(
        part, color(0.02, 0.25) + 0.8 * glare, dark * lens * (0.8 + 0.18 * torch.rand(k, 1, 1, 1, generator=generator))
    )
    part = torch.lerp(part, rim.expand_as(part), (clear + dark) * frame * 0.9)
    cloth = color(0.05, 0.9)
    weave = 1 + 0.06 * F.interpolate(torch.randn(k, 1, 48, 48, generator=generator), image.shape[-1], mode="bilinear")
    part = torch.lerp(part, (cloth * weave).clamp(0, 1), hatted * hat)
    tone = 0.6 + 0.5 * torch.rand(k, 1, 1, 1, generator=generator)
    part = torch.lerp(part, (cloth * weave * tone).clamp(0, 1), hatted * band)
    image = image.clone()
    image[some] = part
    return image, worn
