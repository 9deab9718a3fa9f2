"""The kinds of field by name, and a field from its settings."""

from __future__ import annotations

from typing import Any

import torch

from flowedit.checks import describe, require
from flowedit.field.base import Field
from flowedit.field.hashgrid import HashField
from flowedit.field.raster import RasterField

FIELDS: dict[str, type[Field]] = {"raster": RasterField, "hash": HashField}
"""Kinds of field: one entered here may be named in `Config.field`, and is found again by `load`."""


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
    require(
        isinstance(kind, str) and kind in FIELDS, f"field kind must be one of {tuple(FIELDS)}; got {describe(kind)}"
    )
    require("generator" not in options, "field settings must be plain values; got a generator")
    if kind == "hash":
        options["generator"] = generator
    try:
        return FIELDS[kind](**options)
    except TypeError as error:
        raise ValueError(f"field settings must be those of a {kind} field; got {describe(settings)}") from error
