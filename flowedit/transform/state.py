"""Transforms <-> plain JSON values and named tensors; what is read is checked before anything is built."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import as_number, describe, require
from flowedit.face.crop import Crop
from flowedit.face.part_tint import PartTint
from flowedit.face.parts import PARTS
from flowedit.face.regions import REGIONS, mask_regions
from flowedit.face.retouch import RETOUCHED, Retouch
from flowedit.field.make import field_class, make_field
from flowedit.photo.codec import MAX_PIXELS
from flowedit.transform.transforms import (
    MOST_STRENGTH,
    UNDO_COST,
    Composition,
    FieldTransform,
    Inverse,
    Transform,
    check_cost,
    leaves,
)

MOST_LEAVES = 1000
MOST_DEPTH = 100  # of transforms within each other
MOST_SIDE_PX = 1 << 18  # of a crop, and how far its middle may lie from the photo's corner
MOST_VALUE = 1e6  # of a parameter
OLD_NAMES = {"palette": "part_tint.amounts", "parts": "part_tint.masks", "paints": "part_tint.paints"}  # formats 1, 2
PART_TINT = ("amounts", "masks", "paints")
MOST_MASK_PX = 2048  # along a side of a retouch's masks
RETOUCH = ("amounts", "masks", "lifts")

Shapes = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]


def to_state(transforms: Sequence[Transform]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Return JSON values and tensors that `from_state` turns back into the same transforms, bit for bit.

    Raises:
        ValueError: they are such as `from_state` does not take.
    """
    tensors: dict[str, Tensor] = {}
    masks: dict[int, int] = {}  # id of a mask -> the first leaf that has it
    numbers = iter(range(len(list(leaves(transforms)))))

    def one(transform: Transform) -> dict[str, Any]:
        if isinstance(transform, Composition):
            stages = [[one(each) for each in stage] for stage in transform.stages]
            return {"strength": transform.strength, "chain": stages}
        if isinstance(transform, Inverse):
            return {"strength": transform.strength, "undo": [one(each) for each in transform.transforms]}
        number, hard = next(numbers), transform.hard_mask
        values = dict(transform.field.state_dict())
        if transform.part_tint is not None:
            values |= {f"part_tint.{name}": value for name, value in transform.part_tint.state_dict().items()}
        if transform.retouch is not None:
            values |= {f"retouch.{name}": value for name, value in transform.retouch.state_dict().items()}
        shared = masks.setdefault(id(hard), number) if hard is not None else number
        if hard is not None and shared == number:
            packed = zlib.compress(np.round(hard * 255).astype(np.uint8).tobytes(), 9)
            values["hard_mask"] = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
        for name, value in values.items():
            _check_values(name, value.detach())
            tensors[f"{number}.{name}"] = value.detach().cpu().contiguous().clone()  # an edit may have a field twice
        return {
            "strength": transform.strength,
            "field": transform.field.settings(),
            "part_tint_limit": None if transform.part_tint is None else transform.part_tint.limit,
            "part_tint_follows": transform.part_tint is not None and transform.part_tint.follows,
            "crop": transform.crop.state(),
            "hard_mask": None if hard is None else list(hard.shape),
            "hard_mask_of": shared,
            "region": transform.region,
            "protect": list(transform.protect),
            "light": transform.light,
            **({} if transform.skin is None else {"skin": transform.skin}),
            "retouch": None if transform.retouch is None else list(transform.retouch.parts),
            "retouch_colored": transform.retouch is not None and transform.retouch.colored,
        }

    states = [one(transform) for transform in transforms]
    check_state(states, {name: (value.dtype, tuple(value.shape)) for name, value in tensors.items()})
    return states, tensors


def from_state(states: object, shapes: Shapes, read: Callable[[str], Tensor]) -> tuple[Transform, ...]:
    """Build transforms from what `to_state` returned.

    Args:
        states: the JSON values, from any source.
        shapes: dtype and shape of each tensor there is.
        read: returns a tensor by its name; called once all is checked.

    Raises:
        ValueError: anything is missing, of another kind, out of range, or takes too much to compute.
    """
    names = {_new_name(name): name for name in shapes}
    renamed = {new: shapes[name] for new, name in names.items()}
    check_state(states, renamed)
    builder = _Builder(renamed, lambda name: read(names[name]))
    return tuple(builder.build(state) for state in _items(states, "transforms"))


def check_state(states: object, shapes: Shapes) -> None:
    """Validate what `from_state` is given, as far as it can be without the tensors' values; raises as that does."""
    checker = _Checker(shapes)
    total = sum(checker.check(state, 1.0, MOST_DEPTH) for state in _items(states, "transforms"))
    check_cost(total)
    unused = shapes.keys() - checker.used
    require(not unused, f"all tensors must be of fields; got {min(unused, default='')!r:.80} too")


def _new_name(name: str) -> str:
    """Return the name that a tensor has in this format."""
    number, _, rest = name.partition(".")
    return f"{number}.{OLD_NAMES.get(rest, rest)}"


class _Checker:
    def __init__(self, shapes: Shapes) -> None:
        self.shapes, self.used = shapes, set[str]()
        self.masks: list[tuple[int, int] | None] = []  # of each leaf that has one of its own
        self.of: dict[str, list[str]] = {}
        for name in shapes:
            self.of.setdefault(name.split(".", 1)[0], []).append(name)

    def check(self, state: Any, strength: float, depth: int) -> int:
        """Validate a transform's state, and count the evaluations of leaves it takes at a pixel."""
        require(isinstance(state, dict), f"a transform must be a table; got {describe(state)}")
        require(depth > 0, f"transforms must be at most {MOST_DEPTH} deep in each other")
        strength *= _number(state, "strength", MOST_STRENGTH)
        require(abs(strength) <= MOST_STRENGTH, f"strengths must make at most {MOST_STRENGTH:g}; got {strength:g}")
        if "chain" in state:
            stages = _items(state["chain"], "the stages of a composition")
            parts = [each for stage in stages for each in _items(stage, "a stage")]
            return sum(self.check(each, strength, depth - 1) for each in parts)
        if "undo" in state:
            parts = _items(state["undo"], "what is undone")
            return UNDO_COST * sum(self.check(each, strength, depth - 1) for each in parts)
        self.check_leaf(state)
        return 1

    def check_leaf(self, state: Mapping[str, Any]) -> None:
        number = len(self.masks)
        require(number < MOST_LEAVES, f"an edit must have at most {MOST_LEAVES} fields")
        names = self.of.get(str(number), [])
        self.used.update(names)
        kinds = {name.split(".", 1)[1]: self.shapes[name] for name in names}
        self.masks.append(self._check_hard_mask(state, number, kinds.pop("hard_mask", None)))
        landmarks = _check_crop(state.get("crop"))
        region, protect = state.get("region"), state.get("protect", [])
        good = isinstance(protect, list) and len(protect) <= len(REGIONS) and all(one in REGIONS for one in protect)
        require(good, f"protect must be of {', '.join(REGIONS)}; got {describe(protect)}")
        require(region is None or region in REGIONS, f"region must be of {', '.join(REGIONS)}; got {describe(region)}")
        require(landmarks or (region is None and not protect), "region and protect must go with landmarks; got none")

        require(0 < _light(state) <= 1, "light must be in (0, 1]")
        require((skin := _skin(state)) is None or 0 < skin <= 1, "skin must be in (0, 1]")
        tint = {name: kinds.pop(f"part_tint.{name}", None) for name in PART_TINT}
        if any(tint.values()):
            require(0 <= _part_tint_limit(state) <= 1, "part_tint_limit must be in [0, 1]")
            _part_tint_follows(state)
            _, drawn = tint["masks"] or (None, ())
            n, side = len(PARTS), drawn[-1] if drawn else 0
            shapes = {"masks": (n, side, side), "amounts": (n, 3), "paints": (n, 3, 3)}
            for name, shape in shapes.items():
                dtype = torch.uint8 if name == "masks" else torch.float32
                require(tint[name] == (dtype, shape) and side > 0,
                        f"part_tint.{name} must be {dtype} of shape {shape}; got {tint[name]}")  # fmt: skip
        _check_retouch(state, {name: kinds.pop(f"retouch.{name}", None) for name in RETOUCH}, landmarks)
        others = [name for name, (dtype, _) in kinds.items() if dtype != torch.float32]
        require(not others, f"a field's tensors must be float32; got {min(others, default='')} of another dtype")
        settings = _field_settings(state)
        stored = sum(math.prod(shape) for _, shape in kinds.values())
        try:
            wanted = field_class(settings["kind"]).count_values(settings)
        except (KeyError, TypeError) as error:
            raise ValueError(f"a field's settings must be those of its kind; got {describe(settings)}") from error
        require(wanted in (stored, None), f"a field's tensors must hold its {wanted} values; got {stored}")

    def _check_hard_mask(
        self, state: Mapping[str, Any], number: int, packed: tuple[torch.dtype, tuple[int, ...]] | None
    ) -> tuple[int, int] | None:
        shape, of = state.get("hard_mask"), state.get("hard_mask_of", number)
        if shape is None:
            require(packed is None, "a mask must have a shape; got none")
            return None
        sides = [as_number(side) for side in shape] if isinstance(shape, list) and len(shape) == 2 else []
        good = bool(sides) and all(isinstance(side, int) and 0 < side <= MAX_PIXELS for side in sides)
        require(good, f"hard_mask must be height and width in pixels; got {describe(shape)}")
        height, width = shape
        if of != number:
            others = self.masks[of] if isinstance(of, int) and 0 <= of < number else None
            require(
                packed is None and others == (height, width), f"hard_mask_of must be a leaf with one; got {of!r:.80}"
            )
            return None
        require(packed is not None and packed[0] == torch.uint8 and len(packed[1]) == 1, "a hard mask must be bytes")
        total = height * width + sum(math.prod(one) for one in self.masks if one is not None)
        require(total <= MAX_PIXELS, f"hard masks must have at most {MAX_PIXELS:,} pixels together; got {total:,}")
        return height, width


class _Builder:
    def __init__(self, shapes: Shapes, read: Callable[[str], Tensor]) -> None:
        self.shapes, self.read = shapes, read
        self.masks: list[np.ndarray | None] = []

    def build(self, state: Mapping[str, Any]) -> Transform:
        strength = float(state["strength"])
        if "chain" in state:
            return Composition(tuple(tuple(map(self.build, stage)) for stage in state["chain"]), strength)
        if "undo" in state:
            return Inverse(tuple(map(self.build, state["undo"])), strength)
        number = len(self.masks)
        tensors = dict(self._tensors(number))
        of, packed = state.get("hard_mask_of", number), tensors.pop("hard_mask", None)
        hard = self.masks[of] if of < number else None
        if packed is not None:
            hard = _unpack(packed.numpy().tobytes(), *state["hard_mask"])
        self.masks.append(hard)
        settings = _field_settings(state)
        tint = {name: tensors.pop(f"part_tint.{name}") for name in PART_TINT if f"part_tint.{name}" in tensors}
        part_tint = None
        if tint:
            part_tint = PartTint(tint["masks"], tint["paints"], _part_tint_limit(state), _part_tint_follows(state))
            part_tint.load_state_dict(tint)
        scaled = {name: tensors.pop(f"retouch.{name}") for name in RETOUCH if f"retouch.{name}" in tensors}
        retouch = None
        if scaled:
            retouch = Retouch(state["retouch"], scaled["masks"], scaled["lifts"], state["retouch_colored"])
            retouch.load_state_dict(scaled)
        field = make_field(settings)
        wanted = {name: tuple(value.shape) for name, value in field.state_dict().items()}
        stored = {name: tuple(value.shape) for name, value in tensors.items()}
        require(stored == wanted, f"a field's tensors must be {_short(wanted)}; got {_short(stored)}")
        field.load_state_dict(tensors)
        crop, region, protect = Crop.from_state(state["crop"]), state.get("region"), tuple(state.get("protect", ()))
        mask = mask_regions(region, protect, crop.landmarks)
        lit = _light(state), retouch, _skin(state)
        return FieldTransform(field, crop, mask, hard, strength, region, protect, part_tint, *lit)

    def _tensors(self, number: int) -> Iterator[tuple[str, Tensor]]:
        for name in self.shapes:
            leaf, _, rest = name.partition(".")
            if leaf == str(number):
                value = self.read(name)
                _check_values(rest, value)
                yield rest, value


def _check_values(name: str, values: Tensor) -> None:
    most = float(values.abs().max()) if values.is_floating_point() and values.numel() else 0.0
    require(most <= MOST_VALUE, f"{name} must be finite and at most {MOST_VALUE:g}; got {most:g}")


def _short(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return describe({name: shapes[name] for name in sorted(shapes)})


def _items(value: object, name: str) -> list[Any]:
    require(isinstance(value, list) and len(value) > 0, f"{name} must be a list of at least one; got {describe(value)}")
    assert isinstance(value, list)  # for the type checker
    return value


def _number(table: Mapping[str, Any], name: str, most: float) -> float:
    value = as_number(table.get(name))
    good = value is not None and abs(value) <= most  # a NaN is not
    require(good, f"{name} must be a number of at most {most:g}; got {describe(table.get(name))}")
    assert value is not None  # for the type checker
    return value


def _light(state: Mapping[str, Any]) -> float:
    """Return the light that a leaf was found in; older files state none."""
    return float(_number(state, "light", 1)) if "light" in state else 1.0


def _skin(state: Mapping[str, Any]) -> float | None:
    """Return the brightness of the skin whose light is part of a leaf's tint; most leaves state none."""
    return float(_number(state, "skin", 1)) if "skin" in state else None


def _check_retouch(
    state: Mapping[str, Any], tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]] | None], landmarks: bool
) -> None:
    """Validate which parts a leaf retouches, and that it has their tensors; older files retouch none."""
    parts = state.get("retouch")
    if parts is None:
        require(not any(tensors.values()), "a retouch must name its parts; got none")
        return
    good = isinstance(parts, list) and 0 < len(parts) <= len(RETOUCHED) and all(isinstance(one, str) for one in parts)
    good = good and len(set(parts)) == len(parts) and all(one in RETOUCHED for one in parts)
    require(good, f"retouch must be of {', '.join(RETOUCHED)}, each once; got {describe(parts)}")
    require(landmarks, "a retouch must go with landmarks; got none")
    require(isinstance(state.get("retouch_colored"), bool), "retouch_colored must be true or false")
    n, side = len(parts), (tensors["masks"] or (None, (0, 0)))[1][-1]
    shapes = {"amounts": (n, 3), "masks": (n, side, side), "lifts": (n,)}
    for name, shape in shapes.items():
        dtype = torch.uint8 if name == "masks" else torch.float32
        fits = tensors[name] == (dtype, shape) and 0 < side <= MOST_MASK_PX
        require(fits, f"retouch.{name} must be {dtype} of shape {shape}; got {tensors[name]}")


def _part_tint_limit(state: Mapping[str, Any]) -> float:
    """Return the bound of the parts' colors; older files have no other than the field's."""
    return _number(state, "part_tint_limit", 1) if "part_tint_limit" in state else _field_settings(state)["max_tint"]


def _part_tint_follows(state: Mapping[str, Any]) -> bool:
    """Return whether the parts' colors go with the pixels; in older files they stay."""
    follows = state.get("part_tint_follows", False)
    require(isinstance(follows, bool), f"part_tint_follows must be true or false; got {describe(follows)}")
    return bool(follows)


def _field_settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a leaf's field; formats 1 and 2 counted the parts there."""
    settings = state.get("field")
    require(isinstance(settings, dict), f"field must be a table of settings; got {describe(settings)}")
    assert isinstance(settings, dict)  # for the type checker
    settings = {name: value for name, value in settings.items() if name != "n_parts"}
    field_class(settings.get("kind"))
    for name, value in settings.items():
        if not isinstance(value, (str, bool)):
            _number(settings, name, MOST_VALUE)
    require(0 <= _number(settings, "max_tint", 1) <= 1, "max_tint must be in [0, 1]")
    return settings


def _check_crop(state: Any) -> bool:
    """Validate a crop's state; return whether it has landmarks."""
    require(isinstance(state, dict), f"crop must be a table; got {describe(state)}")
    for name, rows, columns, most in (("matrix", 2, 3, float(MOST_SIDE_PX)), ("landmarks", 68, 2, 100.0)):
        values = state.get(name)
        if name == "landmarks" and values is None:
            continue
        good = isinstance(values, list) and len(values) == rows
        good = good and all(isinstance(row, list) and len(row) == columns for row in values)
        good = good and all((x := as_number(one)) is not None and abs(x) <= most for row in values for one in row)
        require(good, f"a crop's {name} must be {rows} x {columns} numbers of at most {most:g}; got {describe(values)}")
    side = 2 * math.hypot(state["matrix"][0][0], state["matrix"][1][0])
    require(0.1 <= side <= MOST_SIDE_PX, f"a crop's side must be 0.1 to {MOST_SIDE_PX} pixels; got {side:g}")
    return state.get("landmarks") is not None


def _unpack(packed: bytes, height: int, width: int) -> np.ndarray:
    """Inflate a hard mask, at most to its size: (height, width) float32 in [0, 1]."""
    size, inflater = height * width, zlib.decompressobj()
    try:
        flat = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise ValueError("a hard mask must be deflated bytes; got others") from error
    whole = len(flat) == size and inflater.eof and not inflater.unused_data
    require(whole, f"a hard mask must hold {height} x {width} bytes; got {'more' if len(flat) > size else 'others'}")
    mask = np.frombuffer(flat, np.uint8).reshape(height, width).astype(np.float32)
    mask /= 255
    return mask
