"""What must hold of edits of one photo, whatever they are."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import flowedit
from benchmarks.attack.forge import shuffled
from benchmarks.attack.outcome import Fault


def attempt_laws(rng: random.Random, folder: Path, genuine: Path, told: list[str]) -> str:
    photo = genuine / "face.png"
    a, b, c = (random_edit(rng, folder, genuine / "smile.flowedit", photo) for _ in range(3))
    broken = [law for law, holds in laws(rng, a, b, c, folder) if not holds]
    if broken:
        raise Fault("wrong", f"broken: {', '.join(broken)}")
    return "worked"


def random_edit(rng: random.Random, folder: Path, genuine: Path, photo: Any) -> flowedit.Edit:
    """Return an edit of a photo whose field is random; `genuine` is of that photo."""
    path = folder / "random.flowedit"
    path.write_bytes(shuffled(rng, genuine.read_bytes()))
    return rng.choice((1.0, 1.0, 0.5, -1.0, 1.7)) * flowedit.load(path).apply(photo)


def laws(
    rng: random.Random, a: flowedit.Edit, b: flowedit.Edit, c: flowedit.Edit, folder: Path
) -> Iterator[tuple[str, bool]]:
    """Yield what must hold of any three edits of one photo, and whether it does."""
    photo, region = a.render(0.0), rng.choice(("mouth", "eyes", "brows", "nose", "jaw", "skin"))
    for name, left, right in (
        ("a + b = b + a", a + b, b + a),
        ("(a @ b) @ c = a @ (b @ c)", (a @ b) @ c, a @ (b @ c)),
        ("~~a = a", ~~a, a),
        ("0.5 * (2 * a) = a", 0.5 * (2 * a), a),
    ):
        yield name, torch.equal(left.render(), right.render())
    for name, edit in (("a - a", a - a), ("0 * a", 0 * a), ("0 * (a @ b)", 0 * (a @ b)), ("0 * ~~a", 0 * ~~a)):
        yield f"{name} is the photo", torch.equal(edit.render(), photo)
    parts = a.only(region) + a.without(region)
    yield "only + without = a", bool((parts.render() - a.render()).abs().max() < 1e-3)
    edit = expression(rng, [a, b, c], 3)
    yield "any edit at 0 is the photo", torch.equal(edit.render(0.0), photo)
    edit.save_edit(folder / "any.flowedit")
    again = flowedit.load(folder / "any.flowedit").apply(edit.photo)
    yield "any edit is the same from its file", torch.equal(again.render(), edit.render())


def expression(rng: random.Random, edits: Sequence[flowedit.Edit], depth: int) -> flowedit.Edit:
    """Combine edits of one photo at random."""
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(edits)
    left, right = (expression(rng, edits, depth - 1) for _ in range(2))
    return rng.choice((lambda: left + right, lambda: left - right, lambda: left @ right, lambda: 0.5 * left,
                       lambda: left.blend(right, 0.3), lambda: ~~left, lambda: left.without("mouth")))()  # fmt: skip
