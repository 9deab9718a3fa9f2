"""Edit -> what it does, in numbers and in one figure: how far, where, which way, folds, tint."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import image as images
from .align import REGIONS, Crop, extract, region_mask
from .budget import layer_weight, render_crop
from .checks import require
from .field import centres
from .image import Photo
from .palette import PARTS
from .points import say_points
from .render import Layer
from .warp import count_folds, effective

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .edit import Edit

LATTICE = 256  # points along a side of the crop that are looked at
VISIBLE_PX = 0.5  # what moves further counts as moved
STILL_PX = 0.1  # a region whose mean movement is less stands still
PLOT_PX = 512  # most pixels along a side of a crop in the figure
ARROWS = 16  # arrows along a side of the crop
FORMATS = (".png", ".jpg", ".jpeg", ".pdf", ".svg")  # of the figure
FACTORS = (1, 2, 3, 5, 10, 20, 50)  # by which the figure exaggerates
OUTLINES = ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36), (36, 42), (42, 48), (48, 60))  # of 68 landmarks


def explain(edit: Edit) -> dict[str, Any]:
    """Tell in numbers what an edit does at its own strength; JSON-able.

    With a photo only what lies inside it is counted; without one (after `load`) the whole crop, and pixels
    are those of the photo the edit was made for. Similarity and identity distance are that photo's too.
    Directions are those the viewer sees in the upright face: right is the picture's right, outward is away
    from the middle of the part (each eye has its own) once the part's common movement is taken out.

    Returns:
        `prompts`, `encoder`, `region`, `strength`, `strength_reason`, `stopped`;
        `similarity`: prompt -> {"before", "after"} cosines; `identity_distance` or None; and `faces`, which
        holds for each layer
        `crop_side_px`; `eye_distance_px` between the outer eye corners, or None;
        `movement`: `largest_` and `mean_` in `px`, `percent_of_crop` and, or None, `percent_of_eye_distance`;
        `moved_share`: of the crop, moved over 0.5 px; `folds` and `folds_share` of 256 x 256 points;
        `tint`: `largest` and `mean` absolute change of a channel, image units;
        `parts`: lips, skin, cheeks, brows and irises -> the R, G, B added to the whole of it, image units;
        `regions`: name -> `movement_px` (mean), `direction` and `tint` (mean change of R, G, B), if landmarks
        are known;
        `points`: what moved, in words: "mouth corners up 4.2 px (3.1 % of the distance between the eyes)".
        Shares are fractions. `judge` is there if one was asked: its name, what it and the guide gained, as
        shares of the prompt's change, and whether the guide was fooled.
    """
    facts = edit.facts
    return {
        "prompts": dict(edit.prompts),
        "encoder": facts.get("encoder"),
        "region": edit.region,
        "strength": edit.strength,
        "strength_reason": edit.strength_reason,
        "stopped": edit.stopped,
        "similarity": {
            prompt: {"before": before, "after": after}
            for prompt, (before, after) in (facts.get("similarity") or {}).items()
        },
        "identity_distance": facts.get("identity_distance"),
        **({"judge": facts["judge"]} if "judge" in facts else {}),
        "faces": {f"face {i}": _tell(edit, layer, _look(edit, layer)) for i, layer in enumerate(edit.layers, 1)},
    }


def plot(edit: Edit, path: str | Path) -> Path:
    """Draw photo, result, arrows, a map of the movement and the tint side by side, a row for each face.

    Args:
        edit: has a photo.
        path: ends in .png, .jpg, .pdf or .svg; written whole or not at all.

    Raises:
        ValueError: the edit has no photo, or path has another ending.
        OSError: it cannot be written there.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    path = Path(path)
    ending = path.suffix.lower()
    require(ending in FORMATS, f"a plot must end in one of {', '.join(FORMATS)}; got {path}")
    photo = edit._photo()
    rows = len(edit.layers)
    title = _title(edit)
    head = 0.45 + 0.24 * title.count("\n")  # inches
    height = 3.7 * rows + head
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - head / height))
    figure = Figure(figsize=(17, height), facecolor="white", layout=layout)
    figure.text(
        0.5,
        1 - 0.12 / height,
        title,
        ha="center",
        va="top",
        fontsize=14,
        color="black",
        parse_math=False,
    )
    grid = figure.subplots(rows, 5, squeeze=False)
    for i, (layer, axes) in enumerate(zip(edit.layers, grid, strict=True), 1):
        _draw(edit, photo, layer, axes, f"Face {i} from the left" if rows > 1 else "")
    return images.write_atomically(
        path, lambda file: figure.savefig(file, format=ending[1:], dpi=120, facecolor="white")
    )


class _Look(NamedTuple):
    """What a layer does at LATTICE x LATTICE points of its crop."""

    coord: Tensor  # (1, 2, n, n) where each point is read, relative to itself, crop coordinates
    moved: Tensor  # (2, n, n) how far the content now seen there has come, photo pixels along the crop's axes
    tint: Tensor  # (3, n, n) image units
    seen: Tensor  # (n, n) 1 inside the photo, 0 outside; all 1 where the photo is not known


@torch.no_grad()
def _look(edit: Edit, layer: Layer) -> _Look:
    points = centres(LATTICE)
    weight = layer_weight(layer, LATTICE)
    strength = edit.strength * layer.strength
    raw = layer.field.lattice(LATTICE)
    coord, tint = effective(
        raw,
        weight.to(raw.coord.device),
        shape=strength,
        color=strength,
        diffeomorphic=layer.field.diffeomorphic,
    )
    coord, tint = coord.cpu(), tint.cpu()
    seen = torch.ones(LATTICE, LATTICE)
    if edit.photo is not None:
        extent = torch.tensor([edit.photo.width, edit.photo.height])
        place = layer.crop.to_photo(points)
        seen = ((place > 0) & (place < extent)).all(-1).float()
    # output(p) = image(p + coord(p)): what is seen at p has come from there, so it moved by minus coord.
    return _Look(coord, coord[0] * (-layer.crop.side_px / 2), tint[0], seen)


def _tell(edit: Edit, layer: Layer, look: _Look) -> dict[str, Any]:
    """Sum up one layer."""
    crop = layer.crop
    distance = look.moved.norm(dim=0) * look.seen
    change = look.tint.abs() * look.seen
    side = crop.side_px
    eyes = None if crop.eye_distance is None else crop.eye_distance * side / 2
    movement: dict[str, float | None] = {}
    for name, value in (("largest", float(distance.max())), ("mean", _mean(distance, look.seen))):
        movement[f"{name}_px"] = round(value, 3)
        movement[f"{name}_percent_of_crop"] = round(100 * value / side, 3)
        movement[f"{name}_percent_of_eye_distance"] = round(100 * value / eyes, 3) if eyes else None
    folds = count_folds(look.coord)
    return {
        "crop_side_px": round(side, 2),
        "eye_distance_px": None if eyes is None else round(eyes, 2),
        "movement": movement,
        "moved_share": round(_mean((distance > VISIBLE_PX).float(), look.seen), 4),
        "folds": folds,
        "folds_share": folds / LATTICE**2,
        "tint": {
            "largest": round(float(change.max()), 4),
            "mean": round(_mean(change.mean(0), look.seen), 4),
        },
        "parts": _parts(layer, edit.strength * layer.strength),
        "regions": _regions(look, crop),
        "points": [] if crop.landmarks is None else say_points(look.moved, crop),
    }


def _parts(layer: Layer, strength: float) -> dict[str, list[float]]:
    """Tell the color added to each part of a face: R, G, B in image units."""
    if layer.field.palette is None:
        return {}
    colors = strength * layer.field.part_colors().detach().cpu()
    return {
        name: [round(value, 4) + 0.0 for value in color] for name, color in zip(PARTS, colors.tolist(), strict=True)
    }


def _regions(look: _Look, crop: Crop) -> dict[str, dict[str, Any]]:
    """Sum up each part of a face: mean movement in pixels, direction in words, mean change of R, G, B."""
    if crop.landmarks is None:
        return {}
    told = {}
    for name in REGIONS:
        weight = region_mask(name, crop.landmarks, LATTICE)[0, 0] * look.seen
        told[name] = {
            "movement_px": round(_mean(look.moved.norm(dim=0), weight), 3),
            "direction": _direction(look.moved, weight, crop.landmarks if name == "eyes" else None),
            "tint": [round(_mean(channel, weight), 4) + 0.0 for channel in look.tint],  # no -0.0
        }
    return told


def _direction(moved: Tensor, weight: Tensor, eyes: Tensor | None) -> str:
    """Put the movement (2, n, n) of a part (n, n) into words; `eyes` are the landmarks if it is the eyes."""
    typical = _mean(moved.norm(dim=0), weight)
    if typical < STILL_PX:
        return "still"
    outward = _spread(moved, weight)
    if eyes is not None:
        # A pair may move apart or grow, each about its own middle: the stronger of both is told.
        on_left = (centres(LATTICE)[..., 0] < eyes[36:48, 0].mean()).float()
        grown = (_spread(moved, weight * on_left) + _spread(moved, weight * (1 - on_left))) / 2
        outward = max(outward, grown, key=abs)
    right, down = (_mean(axis, weight) for axis in moved)
    parts = [(down, "down", "up"), (outward, "outward", "inward"), (right, "right", "left")]
    parts.sort(key=lambda part: -abs(part[0]))
    least = max(abs(parts[0][0]) / 3, typical / 5)
    words = [plus if value > 0 else minus for value, plus, minus in parts if abs(value) >= least]
    return " and ".join(words) or "mixed"


def _spread(moved: Tensor, weight: Tensor) -> float:
    """Return how far a part's content goes away from the part's middle on average, beyond what all of it does."""
    x, y = centres(LATTICE).unbind(-1)
    away = torch.stack([x - _mean(x, weight), y - _mean(y, weight)])
    common = torch.tensor([_mean(axis, weight) for axis in moved])[:, None, None]
    return _mean(((moved - common) * F.normalize(away, dim=0)).sum(0), weight)


def _mean(values: Tensor, weight: Tensor) -> float:
    """Average (n, n) values; 0 where nothing has weight."""
    return float((values * weight).sum(dtype=torch.float64) / weight.sum(dtype=torch.float64).clamp_min(1e-9))


def _title(edit: Edit) -> str:
    """Say what was asked for and, on a line of its own, strength and reason."""
    texts = [f"“{text}”" + (f" × {weight:g}" if weight != 1 else "") for text, weight in edit.prompts.items()]
    strength = f"strength {edit.strength:.2f} ({edit.strength_reason})"
    return "\n".join(textwrap.fill(part, 130) for part in (" + ".join(texts), strength))


def _draw(edit: Edit, photo: Photo, layer: Layer, axes: Sequence[Axes], label: str) -> None:
    """Fill one row of the figure."""
    look, crop = _look(edit, layer), layer.crop
    facts = _tell(edit, layer, look)
    size = int(min(max(crop.side_px, 64), PLOT_PX))
    edited = render_crop(photo, edit.layers, crop, size, edit.strength, np.float32)
    pictures = [images.quantize(picture, np.float32) for picture in (extract(photo, crop, size), edited)]
    name, most = max(
        facts["regions"].items(), key=lambda item: item[1]["movement_px"], default=("", {"direction": "still"})
    )
    _show(axes[0], "Photo", pictures[0])
    note = "" if most["direction"] == "still" else f"moved most: {name}, {most['direction']}"
    _show(axes[1], "Edited", pictures[1], note)
    axes[0].set_ylabel(label, fontsize=12, color="black")

    largest = facts["movement"]["largest_px"]
    gray = pictures[1].mean(-1, keepdims=True).repeat(3, axis=-1)
    note = _draw_arrows(axes[2], look, crop.side_px)
    _show(axes[2], "Which way it moved", 0.45 * gray + 0.3 * pictures[1] + 0.25, note)

    distance = (look.moved.norm(dim=0) * look.seen).numpy()
    share = f"{100 * facts['moved_share']:.0f} % of the area moved over {VISIBLE_PX:g} px"
    top = largest or 1.0
    heat = _show(axes[3], "How far it moved", distance, share, cmap="inferno", vmin=0, vmax=top)
    beside = axes[3].inset_axes((1.03, 0, 0.05, 1))  # so that the map is as large as the pictures
    bar = axes[3].figure.colorbar(heat, cax=beside)
    bar.set_label("pixels of the photo", fontsize=10, color="black")
    bar.ax.tick_params(labelsize=9, colors="black")

    strongest = facts["tint"]["largest"]
    factor = _factor(0.45, strongest)
    tint = 0.5 + factor * (look.tint * look.seen).permute(1, 2, 0).numpy()
    note = f"gray: no change; shown {factor} × as strong" if strongest else "none"
    _show(axes[4], "Color added", tint.clip(0, 1), note)
    if crop.landmarks is not None:
        for ax, color in ((axes[3], "white"), (axes[4], "black")):
            for first, last in OUTLINES:
                points = crop.landmarks[first:last]
                closed = torch.cat([points, points[:1]]) if first >= 36 else points
                ax.plot(*closed.T.numpy(), color=color, linewidth=0.8, alpha=0.5)


def _show(ax: Axes, title: str, picture: np.ndarray, note: str = "", **how: Any) -> Any:
    """Show an (n, n[, 3]) picture over the crop's [-1, 1] x [-1, 1], y down, with a title above and a note below."""
    ax.set_title(title, fontsize=13, color="black", pad=6)
    ax.set_xlabel(note, fontsize=10, color="black")
    ax.set_xticks([])
    ax.set_yticks([])
    return ax.imshow(picture, extent=(-1, 1, 1, -1), interpolation="bilinear", zorder=0, **how)


def _draw_arrows(ax: Axes, look: _Look, side_px: float) -> str:
    """Draw where content has come from and gone to, averaged over the cells of a coarse grid; return a note."""
    cell = LATTICE // ARROWS
    moved = F.avg_pool2d((look.moved * look.seen)[None], cell)[0].reshape(2, -1) * (2 / side_px)
    length = moved.norm(dim=0)
    longest = float(length.max())
    largest = float((look.moved.norm(dim=0) * look.seen).max())
    if largest < STILL_PX:
        return "nothing moved"
    factor = _factor(1.6 * 2 / ARROWS, longest)
    kept = length > 0.08 * longest
    x, y = centres(ARROWS).reshape(-1, 2)[kept].T
    dx, dy = factor * moved[:, kept]
    ax.quiver(
        *(v.numpy() for v in (x, y, dx, dy)),
        pivot="tip",  # an arrow ends where its content is now
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.009,
        headwidth=4,
        headlength=4,
        headaxislength=3.6,
        color="#ffd60a",
        edgecolor="black",
        linewidth=0.5,
        zorder=3,
    )
    return f"at most {largest:.1f} px" + (f"; arrows {factor} × as long" if factor > 1 else "")


def _factor(room: float, value: float) -> int:
    """Return the largest round factor by which `value` still fits."""
    return max((f for f in FACTORS if f * value <= room), default=1)
