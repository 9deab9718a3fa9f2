"""Edit: a field over a crop of a photo, with where it came from. Rendered, saved, loaded, applied, explained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from flowedit.checks import as_float, describe, require
from flowedit.face.regions import mask_regions
from flowedit.isolation import isolated
from flowedit.photo import photo as images
from flowedit.photo.metadata import fit_note
from flowedit.provenance import Provenance, StopReason, read_record
from flowedit.transform.file import read_edit, write_edit
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transfer import carry, resize
from flowedit.transform.transforms import (
    FieldTransform,
    Transform,
    check_cost,
    compose,
    cost,
    inverse,
    leaves,
    map_leaves,
    scaled,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from flowedit.config import Config
    from flowedit.photo.photo import Photo, Source


@dataclass(frozen=True, eq=False, repr=False)
class Edit:
    """What `optimize` found or `predict` predicted, or what was made of such edits.

    Edits of one photo add (`a + b`: offsets add, whatever the order), subtract, scale (`0.5 * a`), follow each other
    (`a @ b` does b first, then a on what b made), and are undone (`~a`, see there).

    Attributes:
        photo: what is edited; None after `load`, and for an edit that undoes, until `apply`.
        transforms: what is done; from `optimize`, a `FieldTransform` for each face edited.
        prompts: text -> weight; what is undone has the contrary weight.
        strength: what `render` and `save` use if not told otherwise; 0 is the photo, 1 the edit as optimized.
        strength_reason: why that strength.
        stopped: why the loop stopped; compares as its text: `steps`, `converged`, `budget` (a bound was reached),
            `callback` or `interrupted`; or `predicted`, without any loop.
        history: every term of the objective by step, `text` and so on; several faces follow each other.
        facts: provenance: encoder, similarity before and after, identity distance, seed, versions; a mapping too.
        config: what it was found with; None where it is made of other edits.
        messages: what was warned of while it was found.
        before: of an edit that undoes, the photo that it leads back to, where that is known.

    Raises:
        TypeError, ValueError: a value is of another kind than here, or the edit would take too long at each pixel.
    """

    photo: Photo | None
    transforms: tuple[Transform, ...]
    prompts: Mapping[str, float]
    strength: float = 1.0
    strength_reason: str = "as optimized"
    stopped: StopReason | str = StopReason.STEPS
    history: Mapping[str, list[float]] = field(default_factory=dict)
    facts: Provenance = field(default_factory=Provenance)
    before: Photo | None = None
    config: Config | None = None
    messages: tuple[str, ...] = ()
    __array_ufunc__ = None  # so that a number of numpy leaves the product to the edit

    def __post_init__(self) -> None:
        require(math.isfinite(as_float(self.strength)), f"strength must be finite; got {describe(self.strength)}")
        object.__setattr__(self, "strength", as_float(self.strength))
        check_cost(cost(self.transforms))
        object.__setattr__(self, "stopped", StopReason(self.stopped))
        object.__setattr__(self, "facts", Provenance.of(self.facts))

    def __repr__(self) -> str:
        prompts = " + ".join(f"{w:g} * {text!r}" if w != 1 else repr(text) for text, w in self.prompts.items())
        size = "no photo" if self.photo is None else f"{self.photo.width} x {self.photo.height} photo"
        return f"<Edit {prompts}: strength {self.strength:.2f} ({self.strength_reason}), {size}>"

    @isolated()
    def render(self, strength: float | None = None, *, shape: float = 1.0, color: float = 1.0) -> Tensor:
        """Render at the photo's own size.

        Args:
            strength: 0 is the photo, bit for bit; 1 the edit as optimized; None this edit's own strength.
            shape: scales the movement alone, on top.
            color: scales the tint alone, on top.

        Returns:
            (1, 3, H, W) float32 in [0, 1].

        Raises:
            ValueError: the edit has no photo yet, or a number is not finite.
        """
        return self.edited.at(strength, shape=shape, color=color).tensor()

    @isolated()
    def save(
        self,
        path: str | Path,
        *,
        strength: float | None = None,
        shape: float = 1.0,
        color: float = 1.0,
        overwrite: bool = False,
        strip_location: bool = False,
    ) -> Path:
        """Render and write a picture with the photo's alpha, profile and metadata, and a provenance record.

        Args:
            path: ends in .png, .jpg, .webp or .tif.
            strength: see `render`; shape and color too.
            overwrite: allow the photo's own file to be replaced.
            strip_location: leave out where the photo was taken, and serial numbers of camera and lens.

        Raises:
            FileExistsError: path is the photo's own file and overwrite is False.
            OSError, ValueError: it cannot be written there, or not in that format.
        """
        edited = self.edited.at(strength, shape=shape, color=color)
        how: dict[str, Any] = {"overwrite": overwrite, "note": self._note(edited), "strip_location": strip_location}
        return images.save(path, edited.rows, photo=edited.original, **how)

    @isolated()
    def to_pil(self, strength: float | None = None, *, strip_location: bool = False) -> Image:
        """Render to a Pillow image: RGB, or RGBA where the photo has alpha; its `info` has what `save` would write.

        That is profile, EXIF with the place where the photo was taken, resolution, rights and record.

        Args:
            strength: see `render`.
            strip_location: as for `save`.
        """
        edited = self.edited.at(strength)
        kept = edited.original.metadata.without_location() if strip_location else edited.original.metadata
        return images.to_pil(edited.rgba(), kept, self._note(edited))

    def _note(self, edited: EditedPhoto) -> dict[str, Any]:
        """Return the record of a picture of the edited photo; the most that a long one has room for."""
        scales = {name: getattr(edited, name) for name in ("strength", "shape", "color")}
        same = tuple(scales.values()) == (self.strength, 1.0, 1.0)
        facts = self.facts if same else self.facts.unmeasured()
        note = replace(self, facts=facts).provenance() | scales
        return fit_note(note, ("made_of", "judge", "similarity"))

    def provenance(self) -> dict[str, Any]:
        """Say that and how a picture was edited; JSON-able, written into every saved picture."""
        edited = "pixels moved and tinted from a text prompt"
        return {"tool": "flowedit", "edited": edited, "prompts": dict(self.prompts), **self.facts.record()}

    @isolated()
    def save_edit(self, path: str | Path) -> Path:
        """Write the edit itself, without the photo: fields, crops, prompts, provenance (safetensors)."""
        head = {
            "prompts": dict(self.prompts),
            "strength": self.strength,
            "strength_reason": self.strength_reason,
            "stopped": str(self.stopped),
            "history": {name: list(values) for name, values in self.history.items()},
            "facts": self.facts.known(),
            "photo_sha256": self.origin,
            "config": None if self.config is None else self.config.without_folders(self.facts.corpus).to_dict(),
        }
        return write_edit(path, head, self.transforms)

    @isolated()
    def apply(
        self, image: Source, *, face: int | str = "largest", by: Literal["landmarks", "frame"] = "landmarks"
    ) -> Edit:
        """Carry the edit to another photo, in face coordinates; the photo it was made on gives it back.

        The colors of lips, skin, cheeks, brows and irises go to those of the other face. The strength stays; `within`
        finds the one that is right for the other face.

        Args:
            image: anything `optimize` takes. For an edit that undoes: the edited picture, of any size.
            face: which face gets an edit that was made for one; "all" gives it to each. An edit of several goes to as
                many, from left to right.
            by: "landmarks" bends the field from the features of the one face to the other's, "frame" keeps it in the
                same place of the square around the face, as a mask from a picture always is.

        Raises:
            ValueError: the photo has no such face, or is not what the edit undoes.
        """
        require(by in ("landmarks", "frame"), f'by must be "landmarks" or "frame"; got {by!r}')
        photo = images.load(image)
        size = [photo.width, photo.height]
        if self.facts.in_place:
            transforms = resize(self.transforms, self.facts.photo_size, photo)
            return replace(self, photo=photo, transforms=transforms, facts=replace(self.facts, photo_size=size))
        if self.facts.photo_sha256 == photo.sha256:
            return replace(self, photo=photo)
        transforms = carry(self.transforms, photo, face, by)
        reason = f"{self.strength_reason} on the photo it was made for"
        facts = replace(self.facts.unmeasured(), photo_sha256=photo.sha256, photo_size=size)
        return replace(self, photo=photo, transforms=transforms, strength_reason=reason, facts=facts)

    @isolated()
    def within(self, *, identity: float | None = 0.35, displacement: float | None = None) -> Edit:
        """Return the edit at the largest strength that keeps these bounds on its photo.

        That is up to 1, or up to the edit's own strength where that is more; an edit turned around stays so.

        Args:
            identity: see `Config.identity`.
            displacement: see `Config.displacement`.

        Raises:
            ValueError: the edit has no photo yet, or a bound is not positive.
        """
        from flowedit.transform.bounds import bound_displacement, choose_strength

        for name, value in (("identity", identity), ("displacement", displacement)):
            require(value is None or as_float(value) > 0, f"{name} must be positive; got {value!r}")
        _ = self.edited.original  # checked before any work
        most = 0.0 if self.strength == 0 else math.copysign(max(1.0, abs(self.strength)), self.strength)
        whole = replace(self.edited, transforms=scaled(self.transforms, most))
        bounds = [] if displacement is None else [bound_displacement(whole, displacement)]
        chosen = choose_strength(whole, identity, bounds)
        strength = most * chosen.strength
        facts = self.facts if strength == self.strength else self.facts.unmeasured()
        if chosen.distance is not None:
            facts = replace(facts, identity_distance=round(chosen.distance, 4))
        return replace(self, strength=strength, strength_reason=chosen.reason, facts=facts)

    def __mul__(self, factor: float) -> Edit:
        """Return the same edit, so many times as strong: 0.5 * edit, or -1 * edit for the contrary."""
        finite = math.isfinite(as_float(factor))
        require(finite, f"an edit must be multiplied by a finite number; got {factor!r}", TypeError)
        factor = as_float(factor)
        reason = f"{factor:g} times {self.strength:.2f}"
        facts = self.facts if factor == 1 else self.facts.unmeasured()
        return replace(self, strength=factor * self.strength, strength_reason=reason, facts=facts)

    __rmul__ = __mul__

    def __neg__(self) -> Edit:
        return -1 * self

    def __add__(self, other: Edit) -> Edit:
        """Do both at once, each at its own strength: their offsets add."""
        _check_edit(other)
        same = self.facts.in_place == other.facts.in_place
        require(same, "edits must be of one picture to be added; got one of the photo, and one that undoes")
        transforms = self._own_transforms() + other._own_transforms()
        return self._combined(other, transforms, "the sum of two edits at their own strengths")

    def __sub__(self, other: Edit) -> Edit:
        _check_edit(other)
        return self + -other

    def __matmul__(self, other: Edit) -> Edit:
        """Do `other` first, and then this on what it made; as one edit of the original, which is sampled once."""
        _check_edit(other)
        both = compose(other._own_transforms(), self._own_transforms())
        return other._combined(self, (both,), "two edits in turn, at their own strengths")

    def __invert__(self) -> Edit:
        """Undo this edit, as it is at its own strength: `(~edit).apply("edited.png").save("original.png")`.

        What it gives is near the original and not the same: the edited picture has been interpolated, rounded to its
        bits and cut to its range. What closed eyelids hid is lost; a warning says so.
        """
        again = self.facts.in_place
        facts = replace(self._derived([self]), in_place=not again)
        prompts = {text: -weight for text, weight in self.prompts.items()}
        reason = "does again what was undone" if again else "undoes an edit"
        photo, before = (self.before, None) if again else (None, self.photo)
        transforms = inverse(self._own_transforms())
        return Edit(photo, transforms, prompts, 1.0, reason, self.stopped, facts=facts, before=before)

    def blend(self, other: Edit, share: float) -> Edit:
        """Return the edit that is `share` of the way from this one to `other`: (1 - share) * self + share * other."""
        return (1 - share) * self + share * other

    def only(self, region: str) -> Edit:
        """Return what the edit does in one part of the face; see `Config.region`.

        Raises:
            ValueError: no such part, no face, or an edit of another part alone.
        """

        def change(leaf: FieldTransform) -> FieldTransform:
            same = leaf.region in (None, region)
            require(same, f"only must name the one part that the edit changes, {leaf.region}; got {region!r}")
            mask = mask_regions(region, leaf.protect, leaf.crop.landmarks)
            return replace(leaf, mask=mask, region=region)

        return replace(self, transforms=map_leaves(self.transforms, change), facts=self.facts.unmeasured())

    def without(self, *regions: str) -> Edit:
        """Return what the edit does elsewhere: parts of the face that keep their bits; see `Config.protect`.

        Raises:
            ValueError: no such part, or no face.
        """

        def change(leaf: FieldTransform) -> FieldTransform:
            protect = tuple(dict.fromkeys((*leaf.protect, *regions)))
            return replace(leaf, mask=mask_regions(leaf.region, protect, leaf.crop.landmarks), protect=protect)

        return replace(self, transforms=map_leaves(self.transforms, change), facts=self.facts.unmeasured())

    @isolated()
    def explain(self) -> dict[str, Any]:
        """Measure what the edit does at its own strength; JSON-able.

        Returns:
            `prompts`, `encoder`, `region` (joined by commas where an edit is made of several), `strength`, its reason,
            `stopped`; `similarity`: prompt -> {"before", "after"} cosines, which may fall under a direction as target;
            `gain`: share of the change from "a face" to the prompts that the guide sees; `reached`, in a sentence;
            `identity_distance`: these four where they were measured on the edit's own photo, else empty or None;
            `judge` if one was asked: its name, its similarity, what it and the guide gained, as shares of the prompt's
            change, and whether the guide was fooled;
            `faces`: name -> the attributes of `report.explain.FaceReport`.
        """
        from flowedit.report.explain import analyze

        facts = self.facts
        regions = {leaf.region for leaf in leaves(self.transforms) if leaf.region is not None}
        similarity = facts.get("similarity") or {}
        return {
            "prompts": dict(self.prompts),
            "encoder": facts.get("encoder"),
            "region": ", ".join(sorted(regions)) or None,
            "strength": self.strength,
            "strength_reason": self.strength_reason,
            "stopped": str(self.stopped),
            "similarity": {text: {"before": pair[0], "after": pair[1]} for text, pair in similarity.items()},
            "gain": facts.get("gain"),
            "reached": facts.get("reached"),
            "identity_distance": facts.get("identity_distance"),
            **({} if facts.judge is None else {"judge": facts.judge}),
            "faces": {f"face {i}": report.to_dict() for i, report in enumerate(analyze(self.edited), 1)},
        }

    @isolated()
    def plot(self, path: str | Path) -> Path:
        """Draw before, after, arrows, a heat map of the movement and the tint, and say it in words, on one page."""
        from flowedit.report.figure import plot

        return plot(self.edited, path, self.prompts, self.strength_reason, self.facts, self._note(self.edited))

    @property
    def edited(self) -> EditedPhoto:
        """The photo with the edit at its own strength: pictures, offsets and crops of it."""
        return EditedPhoto(self.photo, self.transforms, self.strength)

    @property
    def origin(self) -> str | None:
        """SHA-256 of the photo that the edit was made on; None where that is not known."""
        return self.facts.photo_sha256 if self.photo is None or self.facts.in_place else self.photo.sha256

    def _own_transforms(self) -> tuple[Transform, ...]:
        """The transforms with the edit's strength in their own."""
        return scaled(self.transforms, self.strength)

    def _derived(self, edits: Sequence[Edit]) -> Provenance:
        """The facts of what is made of edits of this one's photo."""
        size = None if self.photo is None else [self.photo.width, self.photo.height]
        made_of = [edit.facts.summary(edit.prompts, edit.strength) for edit in edits]
        return self.facts.derived(made_of, self.origin, size)

    def _combined(self, other: Edit, transforms: tuple[Transform, ...], reason: str) -> Edit:
        """Make an edit of this one's photo out of both."""
        same = self.origin is not None and self.origin == other.origin
        require(same, "edits must be of one photo to be combined, by apply(photo) of each; got two photos")
        prompts = dict(self.prompts)
        for text, weight in other.prompts.items():
            prompts[text] = prompts.get(text, 0.0) + weight
        names = {edit.facts.encoder for edit in (self, other) if edit.facts.encoder}
        facts = replace(self._derived([self, other]), encoder=", ".join(sorted(names)))
        photo = self.photo if self.photo is not None or self.facts.in_place else other.photo
        return Edit(photo, transforms, prompts, 1.0, reason, self.stopped, facts=facts)


@isolated()
def load(path: str | Path) -> Edit:
    """Read an edit made by `save_edit`; it has no photo until `apply`.

    Raises:
        OSError: no such file, or it cannot be read.
        ValueError: not an edit file, damaged, tampered with, or out of bounds; one line that names the file.
    """
    return read_edit(path, lambda head, transforms: Edit(None, transforms, **read_record(head)))


def _check_edit(value: object) -> None:
    require(isinstance(value, Edit), f"an edit must be combined with an edit; got {value!r}", TypeError)
