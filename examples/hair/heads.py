"""Heads whose hair its color alone tells surely: the square about each, and where its hair is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.faceclip.sources import LEARNED_FROM, Row, expression_pairs, held_out, portraits, synthetic_faces
from flowedit.face.colors import opponent_colors
from flowedit.face.crop import Crop, extract, face_crop, widened
from flowedit.face.detect import find_faces
from flowedit.face.hair import hair_mask
from flowedit.face.hair_dye import HAIR_REACH
from flowedit.face.hair_net import likely_hair
from flowedit.face.hair_places import HAIR_PX, upper_ring
from flowedit.face.landmarks import interocular_distance
from flowedit.face.light import measure_light
from flowedit.face.retouch import RETOUCH_PX, inside_photo
from flowedit.guide.faceclip import INPUT_PX
from flowedit.photo import photo as images
from flowedit.photo.photo import Photo

from .by_color import ColorShapes, draw_places, find_by_color

HATS = ("hat", "beanie", "fedora", "cap")  # in tags: what they hide is not known
BALD = ("bald", "shaved")
DARKER = 12.0  # CIELAB's L by which hair must lie below the skin to be believed
COVERED = 0.4  # share of the ring about the upper face that is hair at least, to be believed
THICK = 0.8  # share of it that is wider than a few pixels
UNSURE = 0.8  # places that the network is not sure of, for each that is hair, at most
PLACES = ("height", "distance", "skin")  # that changes of a head are drawn by


def read_photos(folder: Path) -> Iterator[tuple[Photo, Crop, str]]:
    """Yield photos that may be learned from, the face's crop in each, and the set's words about it."""
    ids = sorted(path.name[:3] for path in (folder / "london").glob("*_neutral.jpg"))[:LEARNED_FROM]
    paths = [path for path in sorted((folder / "london").glob("*.jpg")) if path.name[:3] in ids]
    paths += [path for path in sorted((folder / "3dsk").glob("*.jpg")) if not held_out(path.stem, 5)]
    for path in paths:
        photo = images.load(path)
        for face in find_faces(photo)[:1]:
            yield photo, face_crop(face.landmarks), ""
    rows: list[Iterator[Row]] = [
        portraits(folder / "portraits_192.npz"),
        synthetic_faces(folder / "synthetic_192.npz"),
        expression_pairs(folder / "expressions_192.npz"),
    ]
    for each in rows:
        for row in each:
            if row.split == "train" and row.colored and not any(word in row.tags for word in HATS):
                pixels = (torch.from_numpy(row.landmarks).double() + 1) * (INPUT_PX / 2)
                yield images.load(row.image), face_crop(pixels), row.tags


@torch.no_grad()
def prepare(folder: Path, out: Path, *, learned: bool = False) -> None:
    """Write `image` (N, HAIR_PX, HAIR_PX, 3), in full light, `inside`, `hair` and PLACES (N, HAIR_PX, HAIR_PX).

    Args:
        folder: with the sets.
        out: the .npz.
        learned: take heads of any color whose hair the shipped network is sure of, as `hair_mask` finds it; else those
            that their color alone tells.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("image", "inside", "hair", *PLACES)}
    for number, (photo, crop, words) in enumerate(read_photos(folder)):
        assert crop.landmarks is not None
        light = measure_light(extract(photo, crop, RETOUCH_PX))
        image = extract(photo, widened(crop, HAIR_REACH), HAIR_PX)
        inside = inside_photo(crop, photo.height, photo.width)
        points = crop.landmarks.double()
        place = draw_places(points, float(interocular_distance(points)), HAIR_REACH, ColorShapes())
        hair = (hair_mask if learned else find_by_color)(image, inside, crop.landmarks, HAIR_REACH, light)
        image = (image / light).clamp(0, 1)
        if any(word in words for word in BALD):
            hair = torch.zeros_like(hair)
        elif not (covers(hair, place, inside) and (is_certain if learned else is_dark)(image, hair, place, inside)):
            continue
        columns["image"].append(images.quantize(image, np.uint8))
        for name, plane in {"inside": inside, "hair": hair}.items():
            columns[name].append((255 * plane).round().byte().numpy())
        for name in PLACES:
            columns[name].append(place[name].half().numpy())
        if number % 100 == 0:
            print(f"{number} photos, {len(columns['hair'])} heads", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, **{name: np.stack(rows) for name, rows in columns.items()})


def covers(hair: Tensor, place: dict[str, Tensor], inside: Tensor) -> bool:
    """Return whether hair (n, n) hangs over the whole head, and is no speckle."""
    ring = upper_ring(place, 0.0, ColorShapes().ring) * inside
    most = (hair > 0.5).float()[None, None]
    thick = F.max_pool2d(-F.max_pool2d(-most, 5, 1, 2), 5, 1, 2)
    covered = float((hair * ring).sum()) > COVERED * float(ring.sum()) > 0
    return covered and float(thick.sum()) > THICK * float(most.sum())


def is_dark(image: Tensor, hair: Tensor, place: dict[str, Tensor], inside: Tensor) -> bool:
    """Return whether hair is darker than the skin of a picture (1, 3, n, n)."""
    lightness = opponent_colors(image[0])[0]
    own, skin = (float((lightness * area).sum() / area.sum().clamp_min(1)) for area in (hair, place["skin"] * inside))
    return own < skin - DARKER


def is_certain(image: Tensor, hair: Tensor, place: dict[str, Tensor], inside: Tensor) -> bool:
    """Return whether the network is sure of most places about a head."""
    likely = likely_hair(image, inside)
    unsure = (likely > 0.1) & (likely < 0.9) & (place["distance"] < 1.0) & (inside > 0)
    return float(unsure.sum()) < UNSURE * float((hair > 0.5).sum())
