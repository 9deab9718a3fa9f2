"""Where an edit comes from, typed: why its loop stopped, what made it, what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, Any

from flowedit.checks import as_number, check_fields, describe, number, require

if TYPE_CHECKING:
    from flowedit.config import Config

MOST = 1e300  # of a number in a file


class StopReason(str, Enum):
    """Why a loop stopped; each is the text that files and `explain` have, and has a `sentence`."""

    STEPS = "steps"
    CONVERGED = "converged"
    BUDGET = "budget"
    CALLBACK = "callback"
    INTERRUPTED = "interrupted"
    PREDICTED = "predicted"
    SAID = "said"

    __str__ = str.__str__

    @property
    def sentence(self) -> str:
        """What happened, in a sentence."""
        return {
            StopReason.STEPS: "All steps were taken.",
            StopReason.CONVERGED: "Nothing was gained any more.",
            StopReason.BUDGET: "A bound was reached.",
            StopReason.CALLBACK: "The callback asked for it.",
            StopReason.INTERRUPTED: "It was interrupted.",
            StopReason.PREDICTED: "There was no loop: it was predicted.",
            StopReason.SAID: "There was no loop: the prompt's words say all of it.",
        }[self]

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"stopped must be one of {', '.join(cls)}; got {describe(value)}")


@dataclass(frozen=True, eq=False)
class Provenance(Mapping[str, Any]):
    """What is known of how an edit was made. A mapping too, under the same names: what is not known is None.

    Attributes:
        encoder: the guide's name; of several edits the names joined by commas.
        encoder_sha256: digest of the guide's weights.
        target: kind of target.
        corpus: its name, for a projected target.
        field: kind of field.
        seed: of the one generator.
        steps: taken, over all faces.
        encoder_calls: images that the guide was shown.
        threads: of torch.
        versions: package -> version.
        photo_sha256: digest of the photo's pixels.
        photo_size: its width and height, pixels.
        identity_distance: of dlib's face descriptors.
        similarity: prompt -> cosine before and after.
        gain: share of the change from "a face" to the prompts that the guide sees.
        reached: the same, and what is measured on the face, in one sentence.
        predictor: name of the network that found the edit, or the start of its loop.
        predictor_sha256: digest of that network.
        upscaler: name of the file of the network that enlarged a small face for the guide.
        upscaler_sha256: digest of that file.
        batch: first row and size of the batch that it was predicted in.
        draw: number of the noise, of several edits for one prompt.
        judge: what a second encoder sees: `name`, `similarity`, `gain`, `guide_gain`, `fooled`.
        seconds: that the edit took.
        made_of: the edits that it is made of, in the order of the formula, as far as they are known.
        in_place: the edit undoes another one, and is for the picture that one made.
        files: [name, SHA-256] of the pictures and other files that the config names, in the order mask, protected,
            corpus, upscaler; without folders. Of a picture it is that of its pixels (`Photo.sha256`), of a corpus of
            its prompts.
        imagined: of `imagine`: the `description`, the name of the `average` face, the `number` of the face, the `seed`.
        others: anything else, for a reader of later versions' files.
    """

    encoder: str | None = None
    encoder_sha256: str | None = None
    target: str | None = None
    corpus: str | None = None
    field: str | None = None
    seed: int | None = number(None, most=2**64)
    steps: int | None = number(None, least=0, most=1e9)
    encoder_calls: int | None = number(None, least=0, most=1e12)
    threads: int | None = number(None, least=1)
    versions: dict | None = None
    photo_sha256: str | None = None
    photo_size: list | None = None
    identity_distance: float | None = number(None, least=0)
    similarity: dict | None = None
    gain: float | None = number(None)
    reached: str | None = None
    predictor: str | None = None
    predictor_sha256: str | None = None
    upscaler: str | None = None
    upscaler_sha256: str | None = None
    batch: list | None = None
    draw: int | None = number(None, least=0, most=1000)
    judge: dict | None = None
    seconds: float | None = number(None, least=0, most=1e9)
    made_of: list | None = None
    in_place: bool = False
    files: list | None = None
    imagined: dict | None = None
    others: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        size = self.photo_size
        whole = size is None or (len(size) == 2 and all(isinstance(as_number(side), int) and side > 0 for side in size))
        require(whole, f"photo_size must be width and height in pixels; got {describe(size)}")
        for name, pair in (self.similarity or {}).items():
            good = isinstance(pair, (list, tuple)) and len(pair) == 2 and None not in map(as_number, pair)
            require(good, f"similarity must be before and after; got {describe(pair)} for {name!r:.80}")
        place = self.batch
        whole = place is None or (len(place) == 2 and all(isinstance(as_number(n), int) and n >= 0 for n in place))
        require(whole, f"batch must be a row and a size; got {describe(place)}")
        good = all(isinstance(pair, (list, tuple)) and list(map(type, pair)) == [str, str] for pair in self.files or ())
        require(good, f"files must be pairs of a name and a digest; got {describe(self.files)}")
        judge = self.judge
        good = judge is None or (isinstance(judge.get("name"), str) and isinstance(judge.get("fooled"), bool))
        require(good, f"judge must have a name, and whether the guide was fooled; got {describe(judge)}")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Provenance:
        """Return facts as they are, or those of a plain mapping.

        Raises:
            TypeError, ValueError: a value is of another type than its name has, or out of range.
        """
        if isinstance(facts, cls):
            return facts
        require(isinstance(facts, Mapping), f"facts must be a mapping; got {describe(facts)}", TypeError)
        names = {each.name for each in fields(cls)} - {"others"}
        others = {name: value for name, value in facts.items() if name not in names}
        return cls(**{name: value for name, value in facts.items() if name in names}, others=others)

    def __getitem__(self, name: str) -> Any:
        return self._items()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __len__(self) -> int:
        return len(self._items())

    def known(self) -> dict[str, Any]:
        """Return what is known: the facts in an edit file."""
        return {name: value for name, value in self._items().items() if value is not None and value is not False}

    def record(self) -> dict[str, Any]:
        """Return what a picture's record has of it: all that is known, but for the files that only `remake` needs."""
        return {name: value for name, value in self.known().items() if name != "files"}

    def _items(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "others"} | self.others

    def unmeasured(self) -> Provenance:
        """Return it without what was measured on another picture than the edit now makes."""
        return replace(self, similarity=None, gain=None, reached=None, identity_distance=None, judge=None, seconds=None)

    def summary(self, prompts: Mapping[str, float], strength: float) -> dict[str, Any]:
        """Return what one of several edits leaves in the `made_of` of what is made of them."""
        names = ("encoder", "target", "field", "seed", "predictor", "made_of")
        facts = {name: value for name, value in self.known().items() if name in names}
        return {"prompts": dict(prompts), "strength": strength, **facts}

    def derived(self, made_of: list[dict[str, Any]], origin: str | None, size: list[int] | None) -> Provenance:
        """Return that of an edit made of this one and perhaps others, whose photo may be known better."""
        return Provenance(
            encoder=self.encoder,
            versions=self.versions,
            photo_sha256=origin,
            photo_size=size or self.photo_size,
            made_of=made_of,
            in_place=self.in_place,
        )


def read_record(head: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an edit, but for its transforms, from the head of its file.

    Raises:
        TypeError, ValueError: a value is missing, or of another kind.
    """
    strength, reason = head.get("strength"), head.get("strength_reason")
    prompts: Any = head.get("prompts")
    history: Any = head.get("history")
    facts: Any = head.get("facts")
    require(_is_finite(strength), f"strength must be finite; got {describe(strength)}")
    require(isinstance(reason, str), f"strength_reason must be a text; got {describe(reason)}")
    good = isinstance(prompts, dict) and all(map(_is_finite, prompts.values()))
    require(good, f"prompts must be texts with finite weights; got {describe(prompts)}")
    good = isinstance(history, dict) and all(isinstance(values, list) for values in history.values())
    good = good and all(map(_is_finite, chain.from_iterable(history.values())))
    require(good, f"history must be terms with finite values; got {describe(history)}")
    require(isinstance(facts, dict), f"facts must be a table; got {describe(facts)}")
    return {
        "strength": strength,
        "strength_reason": reason,
        "prompts": prompts,
        "history": history,
        "stopped": StopReason(head.get("stopped")),
        "facts": Provenance.of({**facts, "photo_sha256": head.get("photo_sha256")}),
        "config": _read_config(head),
    }


def _read_config(head: Mapping[str, Any]) -> Config | None:
    """Return the settings in an edit file; None where another version wrote none, or others."""
    from flowedit.config import Config

    try:
        return Config.from_dict(head["config"])
    except (KeyError, TypeError, ValueError):
        return None


def _is_finite(value: Any) -> bool:
    single = as_number(value)
    return single is not None and abs(single) <= MOST
