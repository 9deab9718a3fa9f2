"""What dyes a photo's hair: its light, scaled where it is hair, and at its border by as much of it as is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flowedit.face.colors import Skinlike, typical_color
from flowedit.face.crop import Crop, widened
from flowedit.face.guided import sum_near
from flowedit.face.hair_places import hairline_zone
from flowedit.face.landmarks import interocular_distance
from flowedit.face.matte import fit_matte, share_of
from flowedit.face.planes import read_planes
from flowedit.face.regions import smoothstep

HAIR_REACH = 2.0  # half a side of the square in which hair is colored, crop coordinates: it is longer than a face
SURELY = (0.8, 1.0)  # of the mask of hair, from where to where on a color like skin's counts as hair
SHINING = (1.0, 1.4)  # of the way from the hair's color to the skin's, between which no more light is given
FAINT = 0.1  # share of hair that counts as none, and of skin likewise; twice as much at the hairline
WHITE = (0.35, 0.6)  # brightness of hair in full light, from which on and from which on wholly it counts as white
WIDER = 0.15  # what a pixel at the outer border of white hair counts more, in shares of hair
SHADED = 0.3  # power of white hair's brightness, in its own typical one, by which less of its light is taken
WHOLLY, LOCK = 0.9, 0.05  # share of hair that counts as all; deviation of the window of a lock, interocular distances
DARKER = 1.5  # of the way from skin to hair, as far as which a lock may lie beyond the hair's mean
MIXED = 4  # power of a share by which hair is given light by its own brightness, not by its lock's
LEAST_HUE, MOST_HUE = 0.03, 2.0  # image units in full light: of hair that has a hue; and how much more a lock has of it


class BoundHair:
    """The hair of a face in a photo, found on a square HAIR_REACH times its crop.

    Args:
        mask: (n, n) in [0, 1], where hair was found.
        crop: of the face, with landmarks.
        read: returns a crop of the photo, (1, 3, n, n).
        light: of the face.
        cheeks: (3,) the color of its skin.
    """

    def __init__(
        self, mask: Tensor, crop: Crop, read: Callable[[Crop, int], Tensor], light: float, cheeks: Tensor
    ) -> None:
        assert crop.landmarks is not None  # a retouch is of a face
        size, self.light = mask.shape[-1], light
        image = read(widened(crop, HAIR_REACH), size)[0].cpu()
        zone = hairline_zone(crop.landmarks, size, HAIR_REACH)
        unit = float(interocular_distance(crop.landmarks.double())) * size / (2 * HAIR_REACH)
        self.skin = Skinlike(typical_color(image[None], mask), cheeks, light)
        self.white = float(1 - smoothstep(self.skin.hair.mean() / light, *WHITE))
        matte = fit_matte(image / light, mask, zone, unit, self.white)
        lines = matte[:8].unflatten(0, (2, 4))
        lines[:, :3] /= light  # read by the photo's pixels
        lock = near_color(image, share_of(list(lines), matte[8], matte[9], image), self.skin.hair, unit)
        # A mixed pixel beside a dark lock has less hair than one of the same color beside a light one.
        for line in lines:
            line /= ((line[:3] * lock).sum(0) + line[3]).clamp(1, DARKER)
        # A rim of white hair that stays white is seen beside what is dyed, thin as it may be.
        lines[:, 3] += WIDER * self.white * (1 - zone)
        self.planes = torch.cat([matte, mask[None], zone[None], lock])

    def carriers(self, pixels: Tensor, given: Tensor, lift: float, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return what gains above 0 and below 0 multiply on hair, (3, N) each, of `given` and of `pixels`.

        A pixel at the border is part hair, and only its share of hair is given light: no more than the lock beside it
        is. It would come out lighter than what is on either side, a rim, by its own brightness.
        """
        at = read_planes(self.planes, x / HAIR_REACH, y / HAIR_REACH)
        lines, hairline = list(at[:8].unflatten(0, (2, 4))), at[11]
        inside = (x.abs() < HAIR_REACH) & (y.abs() < HAIR_REACH)
        clear = FAINT * (1 + hairline)  # a share that noise may be
        share = ((share_of(lines, at[8], at[9], pixels) - clear) / (1 - 2 * clear)).clamp(0, 1) * inside
        edge = hairline * smoothstep(at[10], *SURELY)  # a blonde lock within the hair is like skin, too
        # White hair has hardly any shadows, since light goes through it many times; dyed dark it would be flat.
        ratio = (pixels.mean(0) / self.skin.hair.mean()).clamp(0.5, 1.5)
        down = share * (1 - self.skin(pixels) * edge) * pixels * ratio.pow(-SHADED * self.white)
        if self.skin.clear:  # what shines on a forehead is lighter than skin
            share = share * (1 - hairline * (1 - smoothstep(self.skin.way_to(pixels), *SHINING)))
        lock = at[12:]
        beside = (lock.mean(0) + lift) * (1 - lock)
        return share * torch.minimum(given, beside).lerp(given, share.pow(MIXED)), down

    def even_hue(self, pixels: Tensor, change: Tensor, gains: Tensor, lift: float) -> Tensor:
        """Return what is to be added to a change of hair, such that each pixel loses its own share of a hue: (3, N).

        What takes the yellow of typical blonde hair leaves some to the yellower locks, and turns paler ones blue.

        Args:
            pixels: (3, N) image units.
            change: (3, N) what the gains (3,) make of it.
            gains: of red, green and blue.
            lift: see `Retouch`.
        """
        hair, none = self.skin.hair, torch.zeros_like(pixels)
        typical = torch.where(gains > 0, gains * (hair.mean() + lift) * (1 - hair), gains * hair)
        before, after = (each - each.mean() for each in (hair, hair + typical))
        length = float(before.norm())
        if length < LEAST_HUE * self.light:
            return none
        axis = before / length
        removed = length - float(after @ axis)
        if removed <= 0:
            return none
        own, taken = (axis @ (each - each.mean(0)) for each in (pixels, -change))
        # Of a mixed pixel as much as of its light.
        share = (change.abs().sum(0) / typical.abs().sum().clamp_min(1e-6)).clamp(max=1)
        return axis[:, None] * (taken - share * removed * (own / length).clamp(0, MOST_HUE))


def near_color(image: Tensor, share: Tensor, typical: Tensor, interocular_px: float) -> Tensor:
    """Return the color of what is wholly hair near each place: (3, n, n).

    Args:
        image: (3, n, n).
        share: (n, n) of hair.
        typical: (3,) the color where none is near.
        interocular_px: places of the mask.
    """
    color, seen = sum_near(image, (share > WHOLLY).float(), LOCK * interocular_px)
    return (color + 0.02 * typical[:, None, None]) / (seen + 0.02)
