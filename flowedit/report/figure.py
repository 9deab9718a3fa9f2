"""Edit -> one page that shows and says what it does."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from flowedit.checks import require
from flowedit.face.crop import Crop
from flowedit.face.landmarks import BROWS, EYES, JAW, NOSE_BASE, NOSE_BRIDGE, OUTER_CANTHAL, OUTER_LIPS
from flowedit.field.offsets import pixel_centers
from flowedit.photo import photo as images
from flowedit.photo.metadata import to_srgb
from flowedit.report.explain import LATTICE, STILL_PX, VISIBLE_PX, CropSample, FaceReport, report_face, sample_crop
from flowedit.transform.render import EditedPhoto

if TYPE_CHECKING:
    from matplotlib.axes import Axes


PLOT_PX = 512  # most pixels along a side of a crop in the figure
ARROWS = 16  # arrows along a side of the crop
FORMATS = (".png", ".jpg", ".jpeg", ".pdf", ".svg")  # of the figure
FACTORS = (1, 2, 3, 5, 10, 20, 50)  # by which the figure exaggerates
OPEN_OUTLINES, CLOSED_OUTLINES = (JAW, *BROWS, NOSE_BRIDGE, NOSE_BASE), (*EYES, OUTER_LIPS)
MOST_LINES = 6  # of points, and of colors


def plot(
    edited: EditedPhoto,
    path: str | Path,
    prompts: Mapping[str, float],
    reason: str,
    facts: Mapping[str, Any],
    note: dict[str, Any] | None = None,
) -> Path:
    """Draw photo, result, arrows, a map of the movement and the tint side by side, and say it in words below.

    A row for each face.

    Args:
        edited: has a photo.
        path: ends in .png, .jpg, .pdf or .svg; written whole or not at all.
        prompts: text -> weight, for the title.
        reason: why the strength, likewise.
        facts: `encoder`, `gain`, `identity_distance` and `judge` of an edit, where known.
        note: a record for the file, see `photo.save`.

    Raises:
        ValueError: there is no photo, or path has another ending.
        OSError: it cannot be written there.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    path = Path(path)
    ending = path.suffix.lower()
    require(ending in FORMATS, f"a plot must end in one of {', '.join(FORMATS)}; got {path}")
    _ = edited.original  # checked before any work
    crops = edited.crops()
    samples = [sample_crop(edited, crop) for crop in crops]
    reports = [report_face(edited, *pair) for pair in zip(crops, samples, strict=True)]
    rows = len(crops)
    words = [_columns(report, facts, rows) for report in reports]
    title = _title(prompts, edited.strength, reason)
    head = 0.45 + 0.24 * title.count("\n")  # inches
    below = 0.5 + 0.22 * max(column.count("\n") for columns in words for column in columns)
    height = (3.7 + below) * rows + head
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
    parts = figure.subfigures(2 * rows, 1, height_ratios=[3.7, below] * rows, squeeze=False)[:, 0]
    for i, crop in enumerate(crops):
        axes = parts[2 * i].subplots(1, 5)
        _draw(edited, crop, samples[i], reports[i], axes, f"Face {i + 1}" if rows > 1 else "")
        how = {"va": "top", "fontsize": 12, "color": "black", "linespacing": 1.35, "parse_math": False}
        for x, text in zip((0.02, 0.36, 0.70), words[i], strict=True):
            parts[2 * i + 1].text(x, 0.97, text, **how)
    record = _record(ending, edited.original.metadata.xmp(note))
    return images.write_atomically(
        path, lambda file: figure.savefig(file, format=ending[1:], dpi=120, facecolor="white", **record)
    )


def _record(ending: str, xmp: bytes) -> dict[str, Any]:
    """Return the options by which matplotlib writes an XMP packet into a file, or its text where it has no place."""
    if not xmp or ending in (".jpg", ".jpeg"):
        return {"pil_kwargs": {"xmp": xmp}} if xmp else {}
    name = {".png": "XML:com.adobe.xmp", ".pdf": "Subject", ".svg": "Description"}[ending]
    return {"metadata": {name: xmp.decode()}}


def _title(prompts: Mapping[str, float], strength: float, reason: str) -> str:
    """Say what was asked for and, on a line of its own, strength and reason."""
    texts = [f"“{text}”" + (f" × {weight:g}" if weight != 1 else "") for text, weight in prompts.items()]
    return "\n".join(textwrap.fill(part, 130) for part in (" + ".join(texts), f"strength {strength:.2f} ({reason})"))


def _columns(report: FaceReport, facts: Mapping[str, Any], n_faces: int) -> list[str]:
    """Say what was done to one face in three blocks of text: moved, colored, kept."""
    moved = [line.replace(f" of {OUTER_CANTHAL}", "") for line in report.points[:MOST_LINES]]
    moved = moved or ["nothing that has a name" if report.moved_share else "nothing"]
    colored = report.colors[:MOST_LINES] or ["nothing that is seen"]
    kept = []
    if (distance := facts.get("identity_distance")) is not None:
        kept.append(f"identity: {distance:.2f} away from the photo; 0.6 would be another person")
    if report.changed_share is not None:
        outside = "none outside" if n_faces == 1 else "none outside the squares"
        kept.append(f"{100 * report.changed_share:.0f} % of the pixels around the face changed, {outside}")
    kept.append("nothing is folded over" if not report.folds else f"{100 * report.folds_share:.2f} % is folded over")
    if report.background is not None:
        kept.append(f"straight lines around the face bend by {report.background.bend_px:.1f} px at most")
    if (gain := facts.get("gain")) is not None:
        kept.append(f"{facts['encoder']} sees {100 * gain:.0f} % of the change from any face to the prompt's")
    if (judge := facts.get("judge")) is not None:
        kept.append(f"{judge['name']} {'does not see it: the guide was fooled' if judge['fooled'] else 'sees it too'}")
    blocks = (
        (f"What moved (in % of {OUTER_CANTHAL})", moved),
        ("What was colored (CIELAB)", colored),
        ("What stayed, and how sure", kept),
    )
    return [
        "\n".join([name, *(textwrap.fill(f"•  {line}", 62, subsequent_indent="    ") for line in lines)])
        for name, lines in blocks
    ]


def _draw(
    edited: EditedPhoto, crop: Crop, sample: CropSample, report: FaceReport, axes: Sequence[Axes], label: str
) -> None:
    """Fill one row of the figure."""
    size = int(min(max(crop.side_px, 64), PLOT_PX))
    shown = edited.over_white()
    pictures = (shown.unedited(crop, size), shown.saved_crop(crop, size, np.float32))
    icc = shown.original.metadata.icc  # matplotlib knows sRGB only
    before, after = (to_srgb(images.quantize(picture, np.uint8), icc) / 255 for picture in pictures)
    _show(axes[0], "Photo", before)
    axes[0].set_ylabel(label, fontsize=12, color="black")
    most = max(report.regions, key=lambda name: report.regions[name].movement_px, default=None)
    direction = "still" if most is None else report.regions[most].direction
    _show(axes[1], "Edited", after, "" if direction == "still" else f"moved most: {most}, {direction}")

    gray = after.mean(-1, keepdims=True).repeat(3, axis=-1)
    note = _draw_arrows(axes[2], sample, crop.side_px)
    _show(axes[2], "Which way it moved", 0.45 * gray + 0.3 * after + 0.25, note)

    distance = (sample.distance() * sample.inside).numpy()
    share = f"{100 * report.moved_share:.0f} % of the area moved over {VISIBLE_PX:g} px"
    top = report.movement.largest_px or 1.0
    heat = _show(axes[3], "How far it moved", distance, share, cmap="inferno", vmin=0, vmax=top)
    beside = axes[3].inset_axes((1.03, 0, 0.05, 1))  # so that the map is as large as the pictures
    bar = axes[3].figure.colorbar(heat, cax=beside)
    bar.set_label("pixels of the photo", fontsize=10, color="black")
    bar.ax.tick_params(labelsize=9, colors="black")

    strongest = report.tint.largest
    factor = _factor(0.45, strongest)
    tint = 0.5 + factor * (sample.tint * sample.inside).permute(1, 2, 0).numpy()
    note = f"gray: no change; shown {factor} × as strong" if strongest else "none"
    _show(axes[4], "Color added", tint.clip(0, 1), note)
    if crop.landmarks is not None:
        for ax, color in ((axes[3], "white"), (axes[4], "black")):
            for outline in (*OPEN_OUTLINES, *CLOSED_OUTLINES):
                line = crop.landmarks[outline]
                line = torch.cat([line, line[:1]]) if outline in CLOSED_OUTLINES else line
                ax.plot(*line.T.numpy(), color=color, linewidth=0.8, alpha=0.5)


def _show(ax: Axes, title: str, picture: np.ndarray, note: str = "", **how: Any) -> Any:
    """Show an (n, n[, 3]) picture over the crop's [-1, 1] x [-1, 1], y down, with a title above and a note below."""
    ax.set_title(title, fontsize=13, color="black", pad=6)
    ax.set_xlabel(note, fontsize=10, color="black")
    ax.set_xticks([])
    ax.set_yticks([])
    return ax.imshow(picture, extent=(-1, 1, 1, -1), interpolation="bilinear", zorder=0, **how)


def _draw_arrows(ax: Axes, sample: CropSample, side_px: float) -> str:
    """Draw where content has come from and gone to, averaged over the cells of a coarse grid; return a note."""
    cell = LATTICE // ARROWS
    moved = F.avg_pool2d((sample.moved * sample.inside)[None], cell)[0].reshape(2, -1) * (2 / side_px)
    length = moved.norm(dim=0)
    longest = float(length.max())
    largest = float((sample.distance() * sample.inside).max())
    if largest < STILL_PX:
        return "nothing moved"
    factor = _factor(1.6 * 2 / ARROWS, longest)
    kept = length > 0.08 * longest
    x, y = pixel_centers(ARROWS).reshape(-1, 2)[kept].T
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
