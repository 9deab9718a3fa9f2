"""Faces of people held out: as they are and changed, what each truly shows, and which groups they are in."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.detect import refit_often
from flowedit.face.irises import Irises, find_irises
from flowedit.face.measures import rgb_to_lab
from flowedit.guide.encoder import Encoder

from . import attributes as attr
from .faces import HAIR, NOTICED, STRUCTURAL, Faces
from .regions import MIRROR
from .tones import TONED, luma, measure_brows, measure_tones
from .train_image import auc

NO_SMILE = ("sad", "angry", "fearful", "disgusted")  # what nobody is whom the set calls happy
KINDS = (
    ("women", "men"),
    ("under 10", "10 to 30", "30 to 60", "over 60"),
    ("dark", "middle", "light"),
)
LEAST = 5  # faces on either side that an AUC is worth writing for
SURE = 0.2  # weight of a caused label from which it counts
KNOWN = 0.3  # weight of a set's label from which it counts: of likely absences, none
VISIBLE_HAIR = 0.6
MEASURED = (*attr.MEASURED_SHAPES, *TONED, "brows_thick", *STRUCTURAL)  # what `measure_plain` measures
SEEN_PLAINLY = ("mouth_tilt", "brow_tilt")
PLACED_PX, PLACINGS = 384, 8  # side of a crop whose landmarks are placed again, and from how many boxes
CLEAR = ("portraits", "synthetic", "3dsk", "expressions")  # sets in whose photos fine structure shows


class Held:
    """Faces of people held out, as an encoder sees them, and what is known of each.

    Attributes:
        plain: (N, D) embeddings of the faces as they are.
        changed: (N, D) of the same faces, each changed at random in everything that augmentation changes.
        groups: name -> (N,) members; skin as bright as photographed, gender and age as the sets or a classifier say.
    """

    def __init__(self, faces: Faces, encoder: Encoder) -> None:
        chosen = torch.from_numpy(np.flatnonzero(faces.split == "val"))
        plain, changed, label, weight, tones, marks = [], [], [], [], [], []
        irises: list[Irises] = []
        for k, i in enumerate(chosen.split(64)):
            pixels = faces.pixels(i)
            plain.append(encoder.image(pixels))
            image, said, sure = faces.batch(i, torch.Generator().manual_seed(k))
            changed.append(encoder.image(image))
            label.append(said)
            weight.append(sure)
            tones.append(measure_plain(faces, i, pixels))
            irises += map(find_irises, pixels.split(1), faces.landmarks[i])
            marks += map(place_often, pixels, faces.landmarks[i])
        self.plain, self.changed = torch.cat(plain), torch.cat(changed)
        self.caused, self.sure = torch.cat(label), torch.cat(weight)
        self.person, self.weight = faces.label[chosen], faces.weight[chosen]
        self.said, self.source = faces.expression[chosen], faces.source[chosen]
        measured = torch.cat(tones)
        self.measured = dict(zip(MEASURED, measured.unbind(1), strict=True))
        self.measured |= faces.beside_skin(self.measured)
        placed = attr.measure_more(torch.stack(marks))
        self.measured |= {name: placed[name] for name in SEEN_PLAINLY}
        self.irises = torch.tensor([each.seen for each in irises])
        aside = torch.stack([each.middles[:, 0].mean() for each in irises])
        self.measured["gaze_side"] = (aside - aside[self.irises].median()).abs()
        for name in attr.STRUCTURE:
            if name in self.measured:  # beside its own set, as it is taught: of a sharp set all would have lines
                self.measured[name] = beside_own(self.measured[name], self.source)
        self.colored = faces.colored[chosen]
        self.hair = shows_hair(faces, chosen)
        self.clear = torch.from_numpy(np.isin(self.source, CLEAR))
        age, female = (torch.from_numpy(column[chosen]) for column in (faces.age, faces.female))
        skin = torch.from_numpy(faces.skin[chosen])
        low, high = skin.quantile(1 / 3), skin.quantile(2 / 3)
        self.groups = {
            "all": torch.ones(len(chosen), dtype=torch.bool),
            "women": female > 0.5,
            "men": female <= 0.5,
            "under 10": age < 10,
            "10 to 30": (age >= 10) & (age < 30),
            "30 to 60": (age >= 30) & (age < 60),
            "over 60": age >= 60,
            "dark": skin < low,
            "middle": (skin >= low) & (skin <= high),
            "light": skin > high,
        }

    def truth(self, name: str, members: Tensor, *, changed: bool = False) -> tuple[Tensor, Tensor]:
        """Which members (N,) show the attribute, and which of them are sure enough to be counted.

        Not sure is a face that the classifier calls sad, angry, fearful or disgusted and the set itself happy; the
        middle of what is measured; what a gray photo, a hidden head of hair, a blurred photo or eyes without a visible
        iris do not show. A raised brow or a crooked mouth is what most people would see, as it is taught: nearly all
        faces are uneven by less.
        """
        k = attr.INDEX[name]
        if changed:
            return attr.sure(self.caused[:, k], members & (self.sure[:, k] > SURE))
        if name in attr.LABELLED and name != "teeth":
            column = attr.LABELLED.index(name)
            positive, counted = attr.sure(self.person[:, column], members & (self.weight[:, column] >= KNOWN))
            smiling = torch.from_numpy(self.said == "happiness")
            return positive, counted & ~(positive & smiling) if name in NO_SMILE else counted
        if name in ("freckles", "teeth", "wink"):  # measured on no photo as it is
            return members, torch.zeros_like(members)
        if name in SEEN_PLAINLY:
            middle, spread = self.measured[name].median(), self.measured[name].std()
            return attr.sure(attr.soft_label(self.measured[name], middle + NOTICED * spread, spread), members)
        if name == "gaze_side":
            members = members & self.irises
        elif name in HAIR:
            members = members & self.hair
        elif name in attr.COLOR + attr.TINT and name in attr.NEEDS_COLOR:
            members = members & self.colored
        elif name in attr.STRUCTURE:
            members = members & self.clear
        return attr.ends(self.measured[name], members) if members.sum() >= LEAST else (members, members)

    def accuracy(self, name: str, score: Tensor, members: Tensor, *, changed: bool = False) -> float | None:
        """AUC of a score (N,) among the members; None if there are too few on one side."""
        positive, counted = self.truth(name, members, changed=changed)
        sides = int((positive & counted).sum()), int((~positive & counted).sum())
        return auc(score[counted], positive[counted]) if min(sides) >= LEAST else None

    def embedded(self, name: str) -> Tensor:
        """Embeddings that an attribute is read from by default: changed ones where few photos show it as they are."""
        return self.changed if self.by_change(name) else self.plain

    @staticmethod
    def by_change(name: str) -> bool:
        return name in (*attr.UNEVEN, *attr.COLOR, *attr.TINT, *attr.STRUCTURE, "gaze_up", "teeth")


def place_often(image: Tensor, landmarks: Tensor) -> Tensor:
    """Average the landmarks (68, 2) of many placings in a face (3, S, S) and in its mirror image.

    Of the difference of a face's two sides most is one placing's error: of two averages, one of a mirror image, it
    correlates by 0.90 and more, of one placing and their mean by 0.77 to 0.83.
    """
    large = F.interpolate(image[None], (PLACED_PX, PLACED_PX), mode="bicubic", align_corners=False)[0]
    light = (2.55 * luma(large[None])[0, 0]).round().clamp(0, 255).byte().numpy()
    across = torch.tensor([-1.0, 1.0])
    upright = refit_often(light, landmarks, PLACINGS).mean(0)
    mirrored = refit_often(np.ascontiguousarray(light[:, ::-1]), landmarks[MIRROR] * across, PLACINGS).mean(0)
    return ((upright + mirrored[MIRROR] * across) / 2).float()


def shows_hair(faces: Faces, i: Tensor) -> Tensor:
    """Return of which faces (N,) the hair is to be seen, in color."""
    return faces.colored[i] & (faces.hair_seen[i] >= VISIBLE_HAIR)


def beside_own(values: Tensor, source: np.ndarray) -> Tensor:
    """Take from each face's value (N,) the median of its set."""
    apart = values.clone()
    for each in np.unique(source):
        members = torch.from_numpy(source == each)
        apart[members] -= values[members].median()
    return apart


def measure_plain(faces: Faces, i: Tensor, pixels: Tensor) -> Tensor:
    """Measure faces as they are: (B, K) of MEASURED."""
    masks, at = faces.masks(i)
    light, marks = luma(pixels), faces.landmarks[i]
    small = F.avg_pool2d(pixels, pixels.shape[-1] // masks.shape[-1])
    shapes = attr.shapes(marks, faces.gaze[i])
    tones = measure_tones(rgb_to_lab(small), masks, faces.hair[i].float() / 255)
    patterns = faces.read_patterns(at, torch.Generator().manual_seed(0))
    structure = faces.structure_of(pixels, faces.fine(i, masks), patterns)
    return torch.cat([shapes, tones, measure_brows(light, masks)[:, None], structure], -1)
