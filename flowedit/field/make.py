"""The kinds of field by name, and a field from its settings."""

from __future__ import annotations

from typing import Any

import torch

from flowedit.checks import describe, require
from flowedit.field.base import Field
from flowedit.field.gaze import GazeField
from flowedit.field.hashgrid import HashField
from flowedit.field.lids import LidField
from flowedit.field.raster import RasterField

FIELDS: dict[str, type[Field]] = {"raster": RasterField, "hash": HashField}
"""Kinds of field: one entered here may be named in `Config.field`, and is found again by `load`."""
PLACED: dict[str, type[Field]] = {"lids": LidField, "gaze": GazeField}
"""Kinds that are not searched for, and only found again by `load`."""


def field_class(kind: object) -> type[Field]:
    """Return a kind of field by its name.

    Raises:
        ValueError: there is no such kind.
    """
    known = {**PLACED, **FIELDS}
    good = isinstance(kind, str) and kind in known
    require(good, f"field kind must be one of {tuple(known)}; got {describe(kind)}")
    return known[str(kind)]


def make_field(settings: dict[str, Any], generator: torch.Generator | None = None) -> Field:
    """Build a field from what `Field.settings` returned; its parameters are a new field's.

    Args:
        settings: `kind`, a name in FIELDS, and the arguments of that class.
        generator: source of a random start, for the kinds that take one.

    Raises:
        ValueError: the kind is unknown, a setting does not belong to it, or a value is out of range.
    """
    options = dict(settings)
    kind = options.pop("kind", None)
    made = field_class(kind)
    require("generator" not in options, "field settings must be plain values; got a generator")
    if kind == "hash":
        options["generator"] = generator
    try:
        return made(**options)
    except TypeError as error:
        raise ValueError(f"field settings must be those of a {kind} field; got {describe(settings)}") from error
