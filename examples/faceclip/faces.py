"""The prepared faces in memory, and one augmented, re-measured and captioned batch at a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import attributes as attr
from .augment import expose, hide_border, photograph
from .detail import paint_patterns, polish, scale_detail, wear
from .labels import labels
from .paints import recolor
from .patterns import INDEX as PATTERN
from .patterns import draw_patterns, draw_wearables
from .regions import brow_offset, places, read, region_masks
from .shapes import Moves, draw_moves, warp_faces
from .tones import TONED, enlarge, luma, measure_brows, measure_structure, measure_teeth

MASKS_PX = 64  # side of the regions over the crop
SOURCES = {  # how often faces of each set are drawn
    "web": 0.28, "color": 0.40, "synthetic": 0.12, "portraits": 0.09, "london": 0.05, "3dsk": 0.03, "composite": 0.005,
    "expressions": 0.025,
}  # fmt: skip
SHARP = {"web": 0.4, "color": 0.3}  # weight of a photo's own fine structure, by source; elsewhere 1
HAIR_SHOWN = {"color": 0.4}  # weight of a photo's hair, whose upper half is often made up; elsewhere 1
AGES = (0, 3, 10, 20, 30, 40, 50, 60, 70, 200)
AGING = ("forehead_lines", "eye_lines", "mouth_lines", "creases")
MAKEUP = {"lips": 0.8, "cheeks": 0.8, "lids": 0.6, "liner": 0.5, "lashes": 0.5}  # from which it is heavy
BEHIND_LENSES = (
    "eye_area", "eye_open", "eyes_brown", "eyes_light", "eyes_green", "wink", "gaze_side", "gaze_up", "liner",
    "lid_dark", "under_eye_dark", "lines_eyes",
)  # fmt: skip
IN_EYES = ("eyes_brown", "eyes_light", "eyes_green", "gaze_side", "gaze_up")
SHUT = 0.6  # share that a lid covers from which an eye shows nothing
UNDER_HAT = ("hair_dark", "hair_warm", "hair_red", "hair_gray", "bald", "hair_curly", "lines_forehead")
BESIDE_SKIN = ("beard_shadow", "moustache_shadow", "lid_dark", "liner", "under_eye_dark")
HAIR = ("hair_dark", "hair_warm", "hair_red", "hair_gray")
WINKING = 0.45  # share of its opening that one eye is closed more than the other from which it winks
NO_WINK = 0.03  # label of eyes of which none was closed alone
NOTICED = 1.5  # deviations above the median from which a difference of a face's two sides is more than an error
POPULATION = 1024  # faces whose measurements say what is much and what little
FRECKLED = 0.5  # amount from which freckles are named


def here(values: np.ndarray | Tensor) -> Tensor:
    """Bring values to torch's default device."""
    return torch.as_tensor(values, device=torch.get_default_device())


def seeded(seed: int) -> torch.Generator:
    """Make a generator of torch's default device."""
    return torch.Generator(torch.get_default_device()).manual_seed(seed)


class Faces:
    """The prepared faces.

    Attributes:
        image: (N, S, S, 3) uint8.
        landmarks: (N, 68, 2) crop coordinates.
        gaze: (N, 2) how far the irises lie right of and above where they mostly do, in eye widths.
        label, weight: (N, K) what the sets say, in the order of `attributes.LABELLED`.
        source, split, age, female, group, expression, skin: (N,) of each face.
        stats: name -> median and deviation of each measurement over the augmented population, or by source.

    Tensors lie on torch's default device, where all that is drawn at random is made too: enter `torch.device("cuda")`
    to make batches there.
    """

    def __init__(self, path: Path) -> None:
        data: dict[str, Any] = dict(np.load(path))
        if "gaze" not in data:
            raise ValueError(f"{path} must have a column gaze, as prepare writes it; got one of a former version")
        self.image = here(data["image"])
        self.landmarks, self.gaze = here(data["landmarks"]).float(), here(data["gaze"]).float()
        self.maps, self.hair = here(data["maps"]), here(data["hair"])
        self.colored = here(data["colored"])
        self.label, self.weight = labels(data)
        for name in ("source", "split", "age", "female", "group", "expression", "skin", "tags"):
            setattr(self, name, data[name])
        mean = data["mean_face"]
        self.regions, self.brow_offset = here(region_masks(mean)), here(brow_offset(mean))
        self.patterns, self.wearables = (here(draw(mean)) for draw in (draw_patterns, draw_wearables))
        self.hair_seen = (self.hair.float().mean((1, 2)) / 255 / 0.06).clamp(max=1)
        self.hair_seen *= torch.tensor([HAIR_SHOWN.get(source, 1.0) for source in self.source])
        self.sharp = torch.tensor([SHARP.get(source, 1.0) for source in self.source])
        self.stats: dict[str, Any] = {}
        self.slopes: dict[str, float] = {}

    def shares(self) -> Tensor:
        """How often each face is drawn: every set as SOURCES says, within it oftener what few others show."""
        band = np.digitize(np.nan_to_num(self.age, nan=30), AGES)
        tone = np.digitize(self.skin, np.quantile(self.skin, (0.2, 0.4, 0.6, 0.8)))
        kind = [f"{s} {a} {t} {f > 0.5}" for s, a, t, f in zip(self.source, band, tone, self.female, strict=True)]
        tag = [f"{s} {t}" if s == "synthetic" else k for s, t, k in zip(self.source, self.tags, kind, strict=True)]
        many = Counter(tag)
        share = np.array([many[each] ** -0.6 for each in tag])
        share *= np.where(np.isin(self.expression, ("sadness", "anger", "surprise", "fear", "disgust")), 3.0, 1.0)
        share *= np.where((self.source == "web") & self.colored.cpu().numpy(), 2.0, 1.0)
        learned = self.split == "train"
        for source, mass in SOURCES.items():
            of = self.source == source
            share[of] *= mass / max(share[of & learned].sum(), 1e-9)
        return here(share).float()

    def learned(self) -> tuple[Tensor, Tensor]:
        """Indices of the faces to learn from, and how often each is drawn."""
        chosen = here(np.flatnonzero(self.split == "train"))
        return chosen, self.shares()[chosen]

    def measure_population(self, seed: int = 0, n: int = POPULATION) -> None:
        """Take the population of shapes and structure from n learned faces as they are, of tones from changed ones."""
        generator = seeded(seed)
        chosen, share = self.learned()
        indices = chosen[torch.multinomial(share, min(n, len(chosen)), generator=generator)]
        shapes, tones, structure, brows = [], [], [], []
        for i in indices.split(64):
            image = self.pixels(i)
            shapes.append(attr.shapes(self.landmarks[i], self.gaze[i]))
            masks, at = self.masks(i)
            brows.append(measure_brows(luma(image), masks))
            structure.append(self.structure_of(image, self.fine(i, masks), self.read_patterns(at, generator)))
            tones.append(self._dress(i, image, masks, at, generator)[1])
        middle, spread = _center(torch.cat(shapes))
        uneven = torch.tensor([name in attr.UNEVEN for name in attr.MEASURED_SHAPES])
        self.stats["shapes"] = middle + NOTICED * spread * uneven, spread
        together = {name: torch.cat([part[name] for part in tones]) for name in tones[0]}
        skin = together["skin_light"] - together["skin_light"].mean()
        self.slopes = {name: float((together[name] * skin).sum() / skin.square().sum()) for name in BESIDE_SKIN}
        together |= self.beside_skin(together)
        plain = torch.cat(structure)
        self.stats["tones"] = {name: _center(values) for name, values in together.items()}
        self.stats["tones"]["brows_thick"] = _center(torch.cat(brows))
        source = self.source[indices.cpu().numpy()]
        of = {name: here(source == name) for name in np.unique(source)}
        everyone = plain.median(0).values
        spread = torch.cat([plain[some] - plain[some].median(0).values for some in of.values()]).std(0)
        for name in SOURCES:
            own = plain[of[name]] if name in of and of[name].sum() >= 20 else plain
            self.stats[f"structure {name}"] = (own.median(0).values if len(own) else everyone), spread

    def beside_skin(self, tones: dict[str, Tensor]) -> dict[str, Tensor]:
        """Free shadows (B,) of what goes with the skin's lightness: dark skin shines where light skin shades."""
        return {name: tones[name] - slope * tones["skin_light"] for name, slope in self.slopes.items()}

    def pixels(self, i: Tensor) -> Tensor:
        return self.image[i].permute(0, 3, 1, 2).contiguous().float() / 255

    def masks(self, i: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (B, R, MASKS_PX, MASKS_PX), and the places of the mean face (B, S, S, 2)."""
        return read(self.regions, places(self.maps[i], MASKS_PX)), places(self.maps[i], self.image.shape[1])

    def fine(self, i: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Enlarge the regions of fine structure to the images' side; a fringe has no lines of the forehead."""
        size = self.image.shape[1]
        fine = enlarge(masks, size)
        hair = torch.nn.functional.interpolate(self.hair[i, None].float() / 255, size, mode="bilinear")
        fine["bare"] = 1 - hair[:, 0]
        fine["forehead"] = fine["forehead"] * fine["bare"]
        return fine

    def read_patterns(self, at: Tensor, generator: torch.Generator) -> Tensor:
        """One variant of every pattern, each drawn anew for a batch."""
        variant = torch.randint(len(self.patterns), (self.patterns.shape[1],), generator=generator)
        return read(self.patterns[variant, torch.arange(len(variant))], at)

    def structure_of(self, image: Tensor, masks: dict[str, Tensor], patterns: Tensor) -> Tensor:
        found = measure_structure(luma(image), masks, patterns[:, PATTERN["liner"]].clamp(0, 1))
        return torch.stack([found[name] for name in STRUCTURAL], -1)

    def _dress(
        self, i: Tensor, image: Tensor, masks: Tensor, at: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Paint detail and colors on the faces; returns them, their tones, amounts, and whether they show color."""
        fine = self.fine(i, masks)
        patterns = self.read_patterns(at, generator)
        patterns[:, PATTERN["forehead_lines"]] *= fine["bare"]
        image = scale_detail(image, fine, generator)
        image, amounts = paint_patterns(image, patterns, generator)
        image = polish(image, fine, generator)
        structure = self.structure_of(image, fine, patterns)
        image = expose(image, generator)
        colored = self.colored[i]
        to_gray = (torch.rand(len(i), generator=generator) < 0.2) & colored
        shown = torch.where(colored, ~to_gray, torch.rand(len(i), generator=generator) < 0.5)
        image[to_gray] = image[to_gray].mean(1, keepdim=True)
        gray = (~colored | to_gray).float()
        image, toned, makeup = recolor(image, masks, self.hair[i].float() / 255, gray, generator)
        image[~shown] = image[~shown].mean(1, keepdim=True)
        variant = int(torch.randint(len(self.wearables), (), generator=generator))
        image, worn = wear(image, at, self.wearables[variant], generator)
        tones = dict(zip(TONED, toned.unbind(1), strict=True)) | dict(zip(STRUCTURAL, structure.unbind(1), strict=True))
        return image, tones, amounts | makeup | worn, shown.float()

    def batch(self, i: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, S, S) in [0, 1], soft labels (B, K) and weights (B, K), K of `attributes.NAMES`."""
        return self.changed(i, generator)[:3]

    def changed(self, i: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Moves]:
        """Make a batch, and say how its shapes were changed."""
        plain = self.pixels(i)
        masks, at = self.masks(i)
        natural = luma(plain)
        image, tones, amounts, shown = self._dress(i, plain, masks, at, generator)
        marks = self.landmarks[i]
        moves = draw_moves(marks, generator)
        offset = read(self.brow_offset, places(self.maps[i], MASKS_PX))[:, 0]
        image, moved = warp_faces(image, marks, moves, offset)
        image = photograph(hide_border(image, 0.4, generator), generator)

        label, weight = torch.zeros(len(i), len(attr.NAMES)), torch.zeros(len(i), len(attr.NAMES))

        def say(name: str, value: Tensor, how_sure: Tensor | float) -> None:
            label[:, attr.INDEX[name]], weight[:, attr.INDEX[name]] = value, how_sure

        for k, name in enumerate(attr.LABELLED):
            say(name, self.label[i, k], self.weight[i, k])
        gaze = self.gaze[i]
        own, shape = attr.shapes(marks, gaze), attr.shapes(moved, gaze + moves.gaze)
        caused = (shape - own).abs() > self.stats["shapes"][1]
        shape = attr.soft_label(shape, *self.stats["shapes"])
        for k, name in enumerate(attr.MEASURED_SHAPES):
            # Of a photo's own two sides a landmark's error is as large as what is seen; what was caused is sure.
            say(name, shape[:, k], torch.where(caused[:, k], 5.0, 1.0) if name in attr.UNEVEN else 1.5)
        # Landmarks do not see a wink, and of 2,675 photos some six show one: what was closed says it.
        apart = (moves.closed[:, 0] - moves.closed[:, 1]).abs()
        say("wink", torch.where(apart > 0, 1 - NO_WINK, NO_WINK), torch.where(apart > 0, 5.0 * (apart > WINKING), 1.0))
        tones["brows_thick"] = measure_brows(natural, masks) + 0.8 * moves.brows
        tones |= self.beside_skin(tones)
        for name in (*TONED, "liner", "brows_thick"):
            say(name, attr.soft_label(tones[name], *self.stats["tones"][name]), 1.5)
        sources = self.source[i.cpu().numpy()]
        middle = torch.stack([self.stats[f"structure {source}"][0] for source in sources])
        spread = self.stats["structure web"][1]
        for k, name in enumerate(STRUCTURAL):
            if name != "liner":
                say(name, attr.soft_label(tones[name], middle[:, k], spread[k]), 1.5 * self._certain(name, i, amounts))
        freckled = amounts["freckles"]
        say("freckles", (freckled / FRECKLED).clamp(0.03, 1), torch.where(freckled > 0, 1.5, 0.4))
        teeth = measure_teeth(natural, marks)
        say("teeth", torch.sigmoid(14 * (teeth - 0.22)), 1.0)
        weight[:, [attr.INDEX[name] for name in IN_EYES]] *= (moves.closed.amin(1) < SHUT).float()[:, None]
        self._correct(label, weight, i, amounts, moves.touched, shown)
        return image, label, weight, moves

    def _certain(self, name: str, i: Tensor, amounts: dict[str, Tensor]) -> Tensor:
        """How far a measurement of fine structure is trusted: wholly where painted, since a brim is no wrinkle."""
        painted = {"lines_forehead": "forehead_lines", "lines_eyes": "eye_lines", "lines_mouth": "mouth_lines"}.get(
            name
        )
        sharp = self.sharp[i]
        return torch.where(amounts[painted] > 0.3, 1.0, 0.6 * sharp) if painted else sharp.clamp(min=0.5)

    def _correct(
        self, label: Tensor, weight: Tensor, i: Tensor, amounts: dict[str, Tensor], touched: Tensor, shown: Tensor
    ) -> None:
        """Take the weight of what no longer holds after painting, and say what painting made."""

        def column(names: tuple[str, ...]) -> list[int]:
            return [attr.INDEX[name] for name in names]

        weight[:, column(attr.EXPRESSION)] *= (~touched).float()[:, None]
        weight[:, column(attr.NEEDS_COLOR)] *= shown[:, None]
        weight[:, column(HAIR)] *= self.hair_seen[i, None]
        aged = torch.stack([amounts[name] for name in AGING]).amax(0)
        weight[:, column(("old", "child"))] *= torch.where(aged > 0.4, 0.3, 1.0)[:, None]
        count = sum((amounts[name] > least).float() for name, least in MAKEUP.items())
        heavy = attr.INDEX["heavy_makeup"]
        label[:, heavy] = torch.where(count >= 3, 1.0, label[:, heavy])
        seen = shown * (~amounts["sunglasses"]).float()  # gray paint is a shadow
        weight[:, heavy] = torch.where(count >= 3, seen, torch.where(count >= 1, 0.0, weight[:, heavy]))
        whiskers = amounts["moustache_hair"] > 0.4
        k = attr.INDEX["mustache"]
        label[:, k], weight[:, k] = torch.where(whiskers, 1.0, label[:, k]), torch.where(whiskers, 0.7, weight[:, k])
        bearded = attr.INDEX["full_beard"]
        hairy = (amounts["stubble"] > 0.5) & (label[:, bearded] < 0.5)
        weight[:, bearded] *= (~hairy).float()
        for name in ("glasses", "sunglasses", "hat"):
            k, worn = attr.INDEX[name], amounts[name]
            label[:, k], weight[:, k] = torch.where(worn, 1.0, label[:, k]), torch.where(worn, 1.0, weight[:, k])
        weight[:, attr.INDEX["glasses"]] *= (~amounts["sunglasses"]).float()
        weight[:, column(BEHIND_LENSES)] *= (~amounts["sunglasses"]).float()[:, None]
        weight[:, column(UNDER_HAT)] *= (~amounts["hat"]).float()[:, None]


STRUCTURAL = ("lines_forehead", "lines_eyes", "lines_mouth", "skin_smooth", "shine", "liner")


def _center(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.median(0).values, values.std(0)
