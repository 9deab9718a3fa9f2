"""A face from words alone: a description's edit of an average face. Nothing is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from flowedit.checks import require, whole_number
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.fit.averages import draw_face, load_average
from flowedit.fit.loop import optimize
from flowedit.fit.person import Person, guess_person, read_person
from flowedit.guide.clauses import split_clauses
from flowedit.guide.encoder import Encoder
from flowedit.guide.targets import check_prompts
from flowedit.isolation import isolated
from flowedit.photo import photo as images
from flowedit.task.prepare import check_config, resolve_encoder
from flowedit.task.threads import steady

MOST = 16
MOST_SEED = 2**62


@isolated()
@steady
def imagine(
    prompt: str | Mapping[str, float],
    n: int = 4,
    *,
    seed: int = 0,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    progress: bool | None = None,
) -> list[Edit]:
    """Make faces of a description: the average face of the age and sex that it names, changed by the rest of it.

    What comes out is a changed average and not a generated person: what a movement and a tint of an average face cannot
    make, such as glasses or another hairstyle, is not there, and a warning says so.

    Args:
        prompt: as for `optimize`: "a smiling old man with green eyes". Age and sex are read off its words, and where it
            has none, off what the guide sees in it; what neither tells differs from face to face.
        n: how many, from 1 to 16. Each begins from another face: averages of other people are mixed, in a shape of its
            own. The first of few are the first of many.
        seed: of the faces and the edits.
        config: as for `optimize`; its seed and its bound of identity do not count: there is nobody to be kept.
        encoder: as for `optimize`.
        progress: as for `optimize`.

    Returns:
        n edits, each of a photo of its own (`edit.photo`, 512 x 512): at strength 0 it is the average face. Ctrl-C
        keeps those found so far, and the last one's `stopped` says so.

    Raises:
        TypeError, ValueError: as `optimize`, n or seed is out of its range, or a config that is not for one whole face.
    """
    config = check_config(config)
    n, seed = whole_number("n", n, 1, MOST), whole_number("seed", seed, 0, MOST_SEED)
    whole = config.face != "all" and config.mask is None and not config.protected_files
    require(whole, "an imagined face must go without face='all', a mask and pictures in protect; got one of them")
    asked = check_prompts(prompt)
    guide = resolve_encoder(encoder, config)
    person, prompts = describe_person(asked, guide)
    names = person.averages()
    generator = torch.Generator().manual_seed(seed)
    found: list[Edit] = []
    for k in range(n):
        name = names[(seed + k) % len(names)]
        photo = images.load(draw_face(load_average(name), seed + k, generator))
        settings = replace(config, identity=None, seed=seed + k)
        try:
            edit = optimize(photo, prompts, config=settings, encoder=guide, progress=progress)
        except KeyboardInterrupt:
            if not found:
                raise
            found[-1] = replace(found[-1], stopped="interrupted")
            break
        origin = {"description": dict(asked), "average": name, "number": k, "seed": seed}
        found.append(replace(edit, facts=replace(edit.facts, imagined=origin)))
        if edit.stopped == "interrupted":
            break
    return found


def describe_person(prompts: Mapping[str, float], guide: Encoder) -> tuple[Person, dict[str, float]]:
    """Return who prompts describe, and what an average is not already, clause by clause.

    Args:
        prompts: text -> weight; one that is to be avoided tells nothing of the person.
        guide: reads what no word tells.
    """
    person, rest = Person(None, None, ""), dict[str, float]()
    for text, weight in prompts.items():
        read = read_person(text) if weight > 0 else Person(None, None, text)
        person = replace(person, band=person.band or read.band, sex=person.sex or read.sex)
        for clause in split_clauses(read.rest):
            rest[clause] = rest.get(clause, 0.0) + weight
    for text, weight in prompts.items():
        if weight > 0:
            person = guess_person(guide, text, person)
    return person, rest
