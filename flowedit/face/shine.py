"""What shines on skin: light that it mirrors, beside the light that comes out of it in its own hue."""

from __future__ import annotations

from torch import Tensor

from flowedit.face.regions import smoothstep

HUE = 0.10, 0.25  # how colored skin is, up to which hues tell nothing (a gray photo), and from which on all
BEGIN, WHOLLY = (
    1.0,
    1.35,
)  # of the skin's typical brightness, where it begins to shine, and from which on it does wholly
KEPT = 0.3  # share of what it is brighter than that, which matte skin keeps: a forehead is round
TONED = 0.8  # share of the way to the skin's own hue that what shines wholly goes
GLOSS, GLOSSY = 2.0, 0.9  # light towards white for each unit that skin is brighter than so much of it


class Shine:
    """Make skin matte, or shine more where it does.

    By the dichromatic model (Shafer 1985) a pixel is a share of the skin's color and a share of white. What is brighter
    than skin typically is, and paler, gets its hue and most of its brightness back.

    Args:
        typical: (3,) color of the skin, image units.
    """

    def __init__(self, typical: Tensor) -> None:
        self.brightness = float(typical.mean().clamp_min(0.01))
        self.hue = (typical / self.brightness)[:, None]
        self.told = 1 - float(smoothstep((self.hue - 1).norm(), *HUE))

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return what gains above 0 and below 0 multiply: light towards white, and what shines; (3, N) each.

        Args:
            pixels: (3, N) image units.
        """
        light = pixels.mean(0)
        over = (light - BEGIN * self.brightness).clamp_min(0)
        toned = TONED * self.told * (1 - smoothstep(light / self.brightness, BEGIN, WHOLLY))
        matte = (light - (1 - KEPT) * over) * (pixels / light.clamp_min(0.01)).lerp(self.hue, toned)
        glossy = (light - GLOSSY * self.brightness).clamp_min(0)
        return GLOSS * glossy * (1 - pixels), pixels - matte
