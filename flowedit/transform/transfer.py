"""A transform on one face -> the same on another: the field carried from landmark to landmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import require
from flowedit.face.crop import Crop, crop_key, extract, whole_crop
from flowedit.face.detect import choose
from flowedit.face.eyelids import make_lids
from flowedit.face.irises import make_gaze
from flowedit.face.landmarks import INNER_LIPS, check_landmarks
from flowedit.face.light import DARKEST, is_gray, measure_light, measure_skin, without_color
from flowedit.face.part_tint import PartTint
from flowedit.face.parts import part_masks
from flowedit.face.regions import MASK_PX, mask_regions
from flowedit.face.retouch import inside_photo, make_retouch
from flowedit.field.base import Field
from flowedit.field.eyes import EyeField
from flowedit.field.lids import LidField
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField, control_points
from flowedit.photo import photo as images
from flowedit.photo.photo import Photo
from flowedit.photo.raster import strips
from flowedit.transform.transforms import FieldTransform, Transform, find_crops, map_leaves

OUTER = slice(0, INNER_LIPS.start)  # landmarks that a map goes by: the inner lips tell whether the mouth is open
STIFFNESS = (0.02, 0.1, 0.5, 2.5)  # of the map: the first follows all but noise; the next serve where it would tear
LEAST_AREA = 0.2  # to which the map may squeeze a place


def carry(
    transforms: Sequence[Transform], photo: Photo, face: int | str, by: Literal["landmarks", "frame"]
) -> tuple[Transform, ...]:
    """Put transforms on another photo, each face's on a face there; see `Edit.apply`.

    Raises:
        ValueError: the photo has no such face, or too few.
    """
    crops = sorted(find_crops(transforms), key=lambda crop: float(crop.matrix[0, 2]))  # as `choose` has them
    n_faces = sum(crop.landmarks is not None for crop in crops)
    targets = choose(photo, face if n_faces == 1 else "all") if n_faces else []
    require(len(targets) >= n_faces, f"the photo must have the {n_faces} faces of the edit; got {len(targets)}")
    carried: list[Transform] = []
    for faces in [[target] for target in targets] if n_faces == 1 else [targets]:
        rest = iter(faces)
        places = {crop_key(crop): whole_crop(photo) if crop.landmarks is None else next(rest) for crop in crops}
        carried += map_leaves(transforms, partial(_carry_to, places, photo, by))
    return tuple(carried)


def _carry_to(
    places: Mapping[tuple[float, ...], Crop], photo: Photo, by: Literal["landmarks", "frame"], leaf: FieldTransform
) -> FieldTransform:
    return carry_transform(leaf, photo, places[crop_key(leaf.crop)], by)


def resize(transforms: Sequence[Transform], size: Sequence[int] | None, photo: Photo) -> tuple[Transform, ...]:
    """Put transforms on a photo that is the one they are for, (width, height) in size, but scaled.

    Raises:
        ValueError: the size is not known, or the photo's shape is another.
    """
    require(size is not None, "an edit must know its photo's size to be undone, by apply(photo) first; got none")
    assert size is not None  # for the type checker
    width, height = size
    scale = photo.width / width
    require(
        abs(photo.height - scale * height) <= 1,
        f"what is undone must be the edited picture, {width} x {height} or scaled; got {photo.width} x {photo.height}",
    )
    if scale == 1:
        return tuple(transforms)
    return map_leaves(transforms, lambda leaf: scale_transform(leaf, scale, photo))


def carry_transform(
    leaf: FieldTransform, photo: Photo, crop: Crop, by: Literal["landmarks", "frame"]
) -> FieldTransform:
    """Put a transform on another photo's face.

    The colors of lips, skin, cheeks, brows and irises, and all that is retouched, go to those of the other face; region
    and protected parts are drawn anew there. In less light all tints are as much weaker, and a gray photo gets no
    color.

    Args:
        leaf: on its own photo.
        photo: the other.
        crop: where the face is there.
        by: "landmarks" bends the field so that what it does at a landmark it does at the other face's; "frame" puts
            it in the same place of the crop. Without landmarks on both sides it is the frame.
    """
    field, part_tint = leaf.field, leaf.part_tint
    here, there = leaf.crop.landmarks, crop.landmarks
    pixels = extract(photo, crop, MASK_PX)
    gray, light = is_gray(pixels), min(leaf.light, measure_light(pixels))
    share = light / leaf.light
    tint, skin = 0.0 if gray else share, leaf.skin
    if skin is not None and there is not None:  # on darker skin a share of its light is less
        tint = min(tint, measure_skin(pixels, there) / skin)
        skin = min(1.0, max(DARKEST, tint * skin))
    if isinstance(field, EyeField):  # finer than a raster field
        if there is not None:
            lids = isinstance(field, LidField)
            field = make_lids(there, field.amounts, pixels) if lids else make_gaze(pixels, there, field.amounts)
    elif here is not None and there is not None and by == "landmarks":
        field = carry_field(field, here, there, tint)
    elif tint < 1:
        field = _resample(field, None, tint)
    if part_tint is not None:
        masks = part_tint.masks if here is None or there is None else part_masks(pixels, there)
        paints = without_color(part_tint.paints) if gray else part_tint.paints
        scaled = PartTint(masks, share * paints, share * part_tint.limit, part_tint.follows)
        with torch.no_grad():
            scaled.amounts.copy_(part_tint.amounts)
        part_tint = scaled
    retouch = leaf.retouch
    if retouch is not None:
        require(there is not None, "a retouch must be carried to a face; got a whole picture")
        inside = inside_photo(crop, photo.height, photo.width)
        found = make_retouch(retouch.parts, crop, partial(extract, photo), inside, retouch.colored and not gray)
        with torch.no_grad():
            found.amounts.copy_(retouch.amounts)
        retouch = found
    return replace(
        leaf,
        field=field,
        part_tint=part_tint,
        retouch=retouch,
        crop=crop,
        mask=mask_regions(leaf.region, leaf.protect, there),
        hard_mask=_carry_mask(leaf, crop, photo),
        light=light,
        skin=skin,
    )


def scale_transform(leaf: FieldTransform, scale: float, photo: Photo) -> FieldTransform:
    """Put a transform on the same picture, `scale` times as large: `photo`."""
    hard = leaf.hard_mask
    if hard is not None:
        size = (photo.height, photo.width)
        hard = F.interpolate(torch.from_numpy(hard)[None, None], size, mode="bilinear")[0, 0].clamp(0, 1).numpy()
    return replace(leaf, crop=replace(leaf.crop, matrix=leaf.crop.matrix * scale), hard_mask=hard)


def carry_field(field: Field, here: Tensor, there: Tensor, tint: float = 1.0) -> RasterField:
    """Bend a field from one face's landmarks to another's.

    With a smooth map m from the other crop to this one, a place p there gets what m(p) has here: its color, and its
    shift turned and stretched by the inverse of m's slope. For a velocity that is exact; for a shift it is to first
    order.

    Args:
        field: over the crop of the first face.
        here: (68, 2) that face's landmarks, crop coordinates.
        there: (68, 2) the other's.
        tint: scales the color and its bound, from 0 to 1.

    Returns:
        A raster field, as fine as the given one, up to 128 points along a side.
    """
    for landmarks in (here, there):
        check_landmarks(landmarks)
    return _resample(field, partial(bend_grid, there[OUTER].double(), here[OUTER].double()), tint)


@torch.no_grad()
def _resample(field: Field, bend: Callable[[int], tuple[Tensor, Tensor]] | None, tint: float) -> RasterField:
    """Return a raster field of what a field has at the places of a map, or in place; see `carry_field`.

    Args:
        field: any.
        bend: the map, and its slope, of a grid by its size; None leaves all in place.
        tint: scales the color and its bound.
    """
    size = min(max(32, field.detail), 128)
    places, slope = (pixel_centers(size), None) if bend is None else bend(size)
    coord, color = field.at_points(places.reshape(-1, 2).clamp(-1, 1).float())
    coord = coord.double().reshape(size, size, 2, 1)
    coord = (coord if slope is None else torch.linalg.solve(slope, coord))[..., 0].permute(2, 0, 1)
    color = tint * color.T.reshape(3, size, size)
    # Stretched, a shift may need a higher bound; a spline's control points go a little beyond its values.
    max_shift = min(1.0, max(field.max_shift, 0.55 * float(control_points(coord).abs().max())))
    return RasterField.from_offsets(coord, color, max_shift, tint * field.max_tint, field.diffeomorphic)


def bend_grid(start: Tensor, end: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Map the pixel centers of a grid by a thin plate through points (n, 2) -> (n, 2), the crop's border kept.

    Returns:
        Where they go (size, size, 2), and the map's slope there (size, size, 2, 2).
    """
    border = border_points()
    anchors = torch.cat([start, border])
    shifts = torch.cat([end - start, torch.zeros_like(border)])
    for stiffness in STIFFNESS:
        places, slope = _plate_map(anchors, shifts, stiffness, pixel_centers(size, dtype=torch.float64).reshape(-1, 2))
        if bool((torch.linalg.det(slope) > LEAST_AREA).all()):
            break
    else:  # faces that no smooth map carries into each other: each place has what it had
        places = pixel_centers(size, dtype=torch.float64)
        slope = torch.eye(2, dtype=torch.float64).expand(size, size, 2, 2)
    return places.reshape(size, size, 2), slope.reshape(size, size, 2, 2)


def border_points() -> Tensor:
    """Return points (n, 2) along the border of a crop, which a thin plate is held at."""
    line = torch.linspace(-1, 1, 9, dtype=torch.float64)
    border = torch.cat([torch.stack([line, side.expand(9)], -1) for side in (line[0], line[-1])])
    return torch.unique(torch.cat([border, border.flip(-1)]), dim=0)


def _plate_map(anchors: Tensor, shifts: Tensor, stiffness: float, points: Tensor) -> tuple[Tensor, Tensor]:
    """Move points (m, 2) as a thin plate through anchors (n, 2) that go by shifts; return the slope (m, 2, 2) too."""
    n = len(anchors)
    weights = torch.linalg.solve(plate_system(anchors, stiffness), torch.cat([shifts, shifts.new_zeros(3, 2)]))
    shift = plate(points, anchors) @ weights[:n] + weights[n] + points @ weights[n + 1 :]
    slope = torch.einsum("mnd,na->mad", plate_slope(points, anchors), weights[:n]) + weights[n + 1 :].T
    return points + shift, slope + torch.eye(2, dtype=anchors.dtype)


def plate_system(anchors: Tensor, stiffness: float) -> Tensor:
    """Return the matrix (n + 3, n + 3) from a thin plate's weights, of kernel and plane, to where anchors (n, 2) go."""
    n = len(anchors)
    affine = torch.cat([torch.ones_like(anchors[:, :1]), anchors], 1)
    system = torch.zeros(n + 3, n + 3, dtype=anchors.dtype)
    system[:n, :n] = plate(anchors, anchors) + stiffness * torch.eye(n, dtype=anchors.dtype)
    system[:n, n:], system[n:, :n] = affine, affine.T
    return system


def plate(points: Tensor, centre: Tensor) -> Tensor:
    """The thin plate's kernel r² log r between (n, 2) and (m, 2): (n, m)."""
    square = (points[:, None] - centre).square().sum(-1)
    return 0.5 * square * square.clamp_min(1e-12).log()


def plate_slope(points: Tensor, centre: Tensor) -> Tensor:
    """The slope of `plate`: (n, m, 2)."""
    away = points[:, None] - centre
    return away * (away.square().sum(-1, keepdim=True).clamp_min(1e-12).log() + 1)


def _carry_mask(leaf: FieldTransform, crop: Crop, photo: Photo) -> np.ndarray | None:
    """Carry a mask over one photo through both crops to another photo."""
    if leaf.hard_mask is None:
        return None
    mask = images.load(np.repeat(leaf.hard_mask[:, :, None], 3, axis=2))
    over_crop = extract(mask, leaf.crop, MASK_PX)[:, :1]
    carried = np.empty((photo.height, photo.width), np.float32)
    for rows in strips(photo.height):
        y, x = torch.arange(rows.start, rows.stop) + 0.5, torch.arange(photo.width) + 0.5
        points = crop.to_crop(torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)).float()[None]
        carried[rows] = F.grid_sample(over_crop, points, align_corners=False)[0, 0].clamp(0, 1).numpy()
    return carried
