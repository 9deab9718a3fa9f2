"""What a task's prompts name of a face beside its five parts, found there, and given the amounts that they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import warn
from flowedit.face.colors import typical_color
from flowedit.face.crop import Crop, extract, widened
from flowedit.face.hair_dye import HAIR_REACH
from flowedit.face.hair_places import HAIR_PX
from flowedit.face.landmarks import interocular_distance
from flowedit.face.light import measure_light
from flowedit.face.retouch import NEAR, RETOUCH_PX, RETOUCHED, Retouch, inside_photo, make_retouch
from flowedit.face.retouch_masks import draw_places
from flowedit.field.raster import RasterField
from flowedit.guide.clauses import list_attributes
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder
from flowedit.guide.part_looks import Look
from flowedit.photo.photo import Photo
from flowedit.transform.transforms import FieldTransform

RED = "red lipstick"
ALIKE = 0.8  # cosine with its change from which on a prompt asks for it
LITTLE_HAIR = 0.75  # squared interocular distances; by eye, on 260 tightly cut faces: less is often no hair


@torch.no_grad()
def find_retouch(
    photo: Photo, start: FieldTransform, parts: tuple[str, ...], looks: Mapping[str, Look], colored: bool
) -> Retouch:
    """Find parts on a face, beside those that its start already retouches, and do to them what words say.

    Args:
        photo: with the face.
        start: its transform; the crop has landmarks.
        parts: names of `RETOUCHED`.
        looks: of some of the parts; the others start where they are.
        colored: see `Retouch`.
    """
    before, read = start.retouch, partial(extract, photo)
    names = tuple(dict.fromkeys((*(() if before is None else before.parts), *parts)))
    made = make_retouch(names, start.crop, read, inside_photo(start.crop, photo.height, photo.width), colored)
    if before is not None:
        for name, value in before.state_dict().items():
            getattr(made, name)[: len(before.parts)] = value.cpu()
    for part, look in looks.items():
        gains = torch.tensor(look.gains)
        if look.color is not None:
            crop, side = (widened(start.crop, HAIR_REACH), HAIR_PX) if part == "hair" else (start.crop, RETOUCH_PX)
            mask = F.interpolate(_mask(made, part), (side, side), mode="area")[0, 0]
            has = typical_color(read(crop, side), mask)
            light = measure_light(read(start.crop, RETOUCH_PX))
            if look.of_skin:
                look = _by_skin(look, start.crop, read, light)
            gains = gains_toward(has, look, light, float(made.lifts[names.index(part)]), part)
        made.set_gains(part, gains)
    return made


@torch.no_grad()
def clear_tint(start: FieldTransform, retouch: Retouch, colored: Sequence[str]) -> None:
    """Take, in place, what a transform tints of parts whose color is said: red lips would make purple magenta.

    Args:
        start: that a search goes on from; a field other than a raster one keeps its tint.
        retouch: of the face, which found the parts.
        colored: names of `RETOUCHED`; hair lies beyond the crop too, and stays.
    """
    if start.part_tint is not None:
        start.part_tint.clear(colored)
    for part in set(colored) - {"hair"}:
        if isinstance(start.field, RasterField):
            size = start.field.color_size
            mask = F.interpolate(_mask(retouch, part), (size, size), mode="area")[0, 0]
            start.field.color.mul_(1 - mask.to(start.field.color))


@torch.no_grad()
def clear_lips(starts: Iterable[FieldTransform], encoder: Encoder, prompts: Mapping[str, float]) -> bool:
    """Take, in place, the color that words said of lips where prompts ask for the red that the guide paints.

    Args:
        starts: that a search goes on from: red added to black lips is pink.
        encoder: the guide.
        prompts: that say no color of lips.

    Returns:
        Whether any start had one.
    """
    said = [start.retouch for start in starts if start.retouch is not None and "lips" in start.retouch.parts]
    if not said:
        return False
    red, *asked = embed_changes(encoder, [RED, *list_attributes(encoder, prompts)])
    if max(float(F.cosine_similarity(red, each, dim=0)) for each in asked) < ALIKE:
        return False
    for retouch in said:
        retouch.set_gains("lips", torch.zeros(3))
    return True


def gains_toward(has: Tensor, look: Look, light: float, lift: float, part: str = "hair") -> Tensor:
    """Return the gains (3,) that give a part that has one color the one of a look.

    Args:
        has: (3,) image units.
        look: with a color; scaled to be as light as `has`, where that is allowed.
        light: of the face.
        lift: see `Retouch`.
        part: of `RETOUCHED`, whose bounds hold.
    """
    color = has.new_tensor(look.color) * light
    brightness, wanted = float(has.mean()), float(color.mean())
    if (look.least and brightness > wanted) or (look.most and brightness < wanted):
        color = (color * brightness / max(wanted, 1e-3)).clamp(max=1)
    away = look.share * (color - has)
    gains = torch.where(away < 0, away / has.clamp_min(1e-3), away / ((brightness + lift) * (1 - has)).clamp_min(1e-3))
    least, most = (NEAR * getattr(RETOUCHED[part], end) for end in ("least", "most"))
    # What is out of reach is gone toward: its hue stays.
    return gains / float(torch.maximum(gains / most, gains / least).max().clamp_min(1))


def _by_skin(look: Look, crop: Crop, read: Callable[[Crop, int], Tensor], light: float) -> Look:
    """Return a look whose color is told in shares of the cheeks' color with the color that it is."""
    assert crop.landmarks is not None and look.color is not None  # a retouch is of a face
    cheeks = typical_color(read(crop, RETOUCH_PX), draw_places(("cheek skin",), crop.landmarks)["cheek skin"])
    red, green, blue = (cheeks / light * cheeks.new_tensor(look.color)).tolist()
    return look._replace(color=(red, green, blue))


def warn_of_missing_hair(found: Sequence[tuple[Crop, Retouch]]) -> None:
    """Warn where hair is named and no face shows any, or so little that it may be something else.

    Args:
        found: what is retouched of each face, over its crop, which has landmarks.
    """
    most, asked = 0.0, False
    for crop, retouch in found:
        if "hair" in retouch.parts:
            assert crop.landmarks is not None  # a retouch has found them
            side = 2 * HAIR_REACH / float(interocular_distance(crop.landmarks))
            most, asked = max(most, side**2 * float(_mask(retouch, "hair").mean())), True
    if asked and not most:
        warn("no hair is found about the face (bald, covered, or like what is behind it): it takes no color")
    elif asked and most < LITTLE_HAIR:
        warn("hardly any hair is found about the face: what takes its color may be something else beside the head")


def _mask(retouch: Retouch, part: str) -> Tensor:
    return retouch.masks[retouch.parts.index(part)][None, None].float().cpu() / 255
