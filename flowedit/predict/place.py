"""A prediction placed over a face: its parameters in the field and the paints that the optimizer would have moved."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from flowedit.checks import require
from flowedit.config import Config
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.predict.network import Prediction
from flowedit.task.finish import to_cpu
from flowedit.task.prepare import FaceTask, Task
from flowedit.transform.transforms import FieldTransform

LEARNED = (  # settings that a network learns under: its own are the defaults
    "field", "align", "target", "max_shift", "max_tint", "diffeomorphic", "weights", "raster", "augment", "parts",
    "paints",
)  # fmt: skip


def check_predictable(config: Config) -> None:
    """Validate that a config is one that a network can do.

    Raises:
        ValueError: the field is no raster, or a face is not aligned.
    """
    require(config.field == "raster", f"a prediction must have field='raster'; got field={config.field!r}")
    require(config.align, "a prediction must be of an aligned face; got align=False (--no-align), the whole picture")


def is_learned(config: Config) -> bool:
    """Return whether a network learns to do what a config asks for: its field and objective are the default ones."""
    default = Config()
    return all(getattr(config, name) == getattr(default, name) for name in LEARNED)


@torch.no_grad()
def place(prediction: Prediction, row: int, task: Task, face: FaceTask) -> FieldTransform:
    """Return a face's transform with the parameters in one row of a prediction, on the CPU.

    Nothing is predicted where the task's words say all of it. The tint takes a share of the light, as its bound does,
    and changes hues and parts as the task allows. Where the task's lattices are of other sizes than the network's, they
    are fitted to the predicted field's values.
    """
    start, field = face.start, face.start.field
    if task.told:
        return to_cpu(copy.deepcopy(start))
    assert isinstance(field, RasterField) and start.part_tint is not None  # check_predictable
    coord, color = prediction.coord[row].cpu(), prediction.color[row].cpu()
    bounds = field.max_shift, field.max_tint, field.diffeomorphic
    predicted = RasterField(coord.shape[-1], color.shape[-1], *bounds)
    predicted.coord.copy_(coord)
    predicted.color.copy_(start.light * (color if task.changes_hues(face) else color.mean(0, keepdim=True)))
    sizes = field.coord_size, field.color_size
    if sizes != (predicted.coord_size, predicted.color_size):
        values = [predicted.at_points(pixel_centers(n).reshape(-1, 2)) for n in sizes]
        n, m = sizes
        predicted = RasterField.from_offsets(values[0][0].T.reshape(2, n, n), values[1][1].T.reshape(3, m, m), *bounds)
    retouch = None if start.retouch is None else copy.deepcopy(start.retouch).cpu()
    part_tint = copy.deepcopy(start.part_tint).cpu()
    if task.paints:
        part_tint.amounts.copy_(prediction.amounts[row])
        face.holds.hold_paint(part_tint, task.colored)
    return replace(start, field=predicted, part_tint=part_tint, retouch=retouch)
