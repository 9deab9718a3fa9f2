"""Build a field from its settings."""

from __future__ import annotations

from typing import Any

from flowedit.checks import describe, require
from flowedit.field.base import Field
from flowedit.field.hashgrid import HashField
from flowedit.field.raster import RasterField


def make_field(settings: dict[str, Any]) -> Field:
    """Build a field from what `Field.settings` returned; its parameters are a new field's.

    Raises:
        ValueError: the kind is unknown, a setting does not belong to it, or a value is out of range.
    """
    options = dict(settings)
    kinds = {"raster": RasterField, "hash": HashField}
    kind = options.pop("kind", None)
    require(
        isinstance(kind, str) and kind in kinds,
        f"field kind must be 'raster' or 'hash'; got {describe(kind)}",
    )
    make = kinds[kind]
    require("generator" not in options, "field settings must be plain values; got a generator")
    try:
        return make(**options)
    except TypeError as error:
        raise ValueError(f"field settings must be those of a {kind} field; got {describe(settings)}") from error
