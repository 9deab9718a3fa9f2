"""How much of what was asked an edit reached: in the guide's eyes, and measured on the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import warn
from flowedit.face.landmarks import BOTH_BROWS, BOTH_EYES, OUTER_CANTHAL
from flowedit.face.parts import teeth_shown
from flowedit.field.offsets import pixel_centers
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder
from flowedit.guide.smile_words import smile_denied
from flowedit.task.prepare import Task
from flowedit.transform.eyes import moves_eyes, with_still_eyes
from flowedit.transform.render import EditedPhoto

SIDE_PX, CELLS = 128, 32  # of the crop, and of the cells that colors are compared in: less than an iris is not a change
CHANGED_SHARE = 0.02  # of the cells, those that change most: about as much as one eye covers
SMALL_SHARE, SMALL_LEVELS = 0.004, 1 / 3  # of the cells, an iris; it is seen where it changes three times as much
# What is less is not seen beside the photo.
LEAST_MOVED = 1.2  # percent of the outer-canthal distance: a millimeter on a face
LEAST_LEVELS = 5.0  # of 255, about 2 Delta E on skin
STIRRED = 2.5  # of 255, that what moves must change: within one color, as a lid in deep shade, nobody sees it move
SPOT_PX, LEAST_SPOT = 10, 25.0  # pixels of the crop, and of 255
# What the guide hardly sees: next to none of the prompt's change, or little where the face changes little. 0.3 is a
# plain smile; of a tan that everybody sees it reads 0.05, since skin is a small part of what it looks at.
NO_GAIN, LITTLE_GAIN = 0.03, 0.08
TEETH = 0.02  # squared interocular distances, from which on a smile shows teeth; by eye, on 100 faces
GLASSES = {"a person wearing glasses": -0.1, "a person wearing sunglasses": -0.16}  # cosines; by eye, on 600 faces
BROWS_AND_EYES = [*range(BOTH_BROWS.start, BOTH_BROWS.stop), *range(BOTH_EYES.start, BOTH_EYES.stop)]
BENT = 3.0  # percent of the outer-canthal distance, from which on it is seen
LITTLE_MOVED = 3.0  # a color that is seen is plain: of irises, a few pixels, the guide sees 0.03 to 0.09


@dataclass(frozen=True)
class Reach:
    """What an edit came to on its first face, at its strength.

    Attributes:
        gain: share of the change from "a face" to the prompts that the guide sees.
        moved: the longest movement, percent of the outer-canthal distance; of half the crop's side without landmarks.
        levels: change of color where it is largest, of 255, over an area as large as an eye.
        spot: the same over a few pixels.
        said: whether words say all of it, and it is to be seen: the guide need not know it.
    """

    gain: float
    moved: float
    levels: float
    spot: float = 0.0
    said: bool = False

    @property
    def visible(self) -> bool:
        """Whether somebody who has both pictures sees a difference."""
        return self.levels >= (STIRRED if self.moved >= LEAST_MOVED else LEAST_LEVELS)

    @property
    def marked(self) -> bool:
        """Whether a color that words say is to be seen, be it of irises alone: nothing else is moved then."""
        return self.visible or self.spot >= LEAST_SPOT

    @property
    def is_asked(self) -> bool:
        """Whether the guide sees in it what was asked."""
        plain = self.moved >= LITTLE_MOVED or self.levels >= LEAST_LEVELS
        return self.gain >= (NO_GAIN if plain else LITTLE_GAIN)

    def __str__(self) -> str:
        share = f"{100 * self.gain:.0f} % of what is asked" if self.gain > 0 else "nothing of what is asked"
        done = "what the words say is done; " if self.said and self.gain < NO_GAIN else ""
        return (
            f"{done}the guide sees {share}; the face moves by up to {self.moved:.1f} % of {OUTER_CANTHAL}, "
            f"and the area as large as an eye that changes most does so by {self.levels:.0f} of 255"
        )


@torch.no_grad()
def measure_reach(edited: EditedPhoto, gain: float, pictures: tuple[Tensor, Tensor] | None = None) -> Reach:
    """Measure the first face of an edited photo, for which an encoder saw a gain.

    Args:
        edited: has a photo.
        gain: of the encoder.
        pictures: the face before and after, (1, 3, S, S), where they are at hand; made where S is not SIDE_PX.
    """
    crop = edited.crops()[0]
    if pictures is None or pictures[0].shape[-1] != SIDE_PX:
        pictures = edited.unedited(crop, SIDE_PX), edited.crop_image(crop, SIDE_PX)
    before, after = pictures
    cells = F.adaptive_avg_pool2d(after - before, CELLS).abs().amax(1).flatten()
    most, small = (cells.topk(max(1, round(part * len(cells)))).values for part in (CHANGED_SHARE, SMALL_SHARE))
    levels = max(float(most.mean()), SMALL_LEVELS * float(small.mean()))
    spot = (after - before).abs().amax(1).flatten().topk(SPOT_PX).values.mean()
    longest = edited.offsets(crop, SIDE_PX).coord.norm(dim=1).max()
    return Reach(gain, 100 * float(longest) / (crop.outer_canthal_distance or 1.0), 255 * levels, 255 * float(spot))


def warn_of_little(reach: Reach, strength: float, masks: Sequence[str] = ()) -> None:
    """Warn where an edit cannot be seen, or where the guide does not see in it what was asked.

    Args:
        reach: of the edit.
        strength: that it has.
        masks: names of the settings that keep a part of the face still.
    """
    if strength == 0:
        return  # the bound that chose it is told as the strength's reason
    still = f" {' and '.join(masks)} may keep still what was asked." if masks else ""
    if not reach.visible:
        warn(
            f"next to nothing is to be seen: {reach}.{still} The face may be like that already, a movement and a tint "
            "may not be able to make it, or the guide may not know it; a plainer prompt or a larger intensity may do "
            "more"
        )
    elif not reach.is_asked:
        warn(f"this is hardly what was asked: {reach}{'.' if still else ''}{still.removesuffix('.')}")


@torch.no_grad()
def warn_of_glasses(edited: EditedPhoto, guide: Encoder, before: Tensor) -> None:
    """Warn where an edit bends what lies about the eyes of a face with glasses, or moves lids or irises behind them.

    Args:
        edited: at its strength.
        guide: asked only where it was taught faces: what others see glasses in is not known.
        before: (1, 3, S, S) the first face.
    """
    crop = edited.crops()[0]
    if getattr(guide, "languages", None) is None or crop.landmarks is None:
        return
    said = moves_eyes(edited.transforms)
    still = EditedPhoto(edited.photo, with_still_eyes(edited.transforms), edited.strength)
    low, high = crop.landmarks[BROWS_AND_EYES].aminmax(dim=0)
    about = ((pixel_centers(SIDE_PX) >= low) & (pixel_centers(SIDE_PX) <= high)).all(-1)
    moved = still.offsets(crop, SIDE_PX).coord[0].norm(dim=0)[about]
    bent = bool((100 * moved >= BENT * (crop.outer_canthal_distance or 1.0)).any())
    if not bent and not said:
        return
    worn = F.normalize(embed_changes(guide, list(GLASSES)), dim=1)
    seen = worn @ guide.image(before.to(worn.device))[0]
    if bool((seen > seen.new_tensor(list(GLASSES.values()))).any()):
        what = "they bend with what lies" if bent else "they may hide, and cut through, the eyes that move"
        warn(f"glasses are to be seen: {what} behind them")


def warn_of_teeth(task: Task) -> None:
    """Warn where prompts ask for the end of a smile that shows teeth: no movement closes lips over them."""
    if not smile_denied(task.guide, task.prompts):
        return
    for face in task.faces:
        landmarks = face.start.crop.landmarks
        if landmarks is not None and teeth_shown(face.pixels, landmarks, task.config.parts) > TEETH:
            warn("the mouth shows teeth, over which no movement closes the lips: it goes on smiling")
            return
