"""What a prompt's words say of the parts that can be retouched: a color, or how much more or less, from a table."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from flowedit.guide.clauses import split_parts
from flowedit.guide.denials import NEGATIONS, denied
from flowedit.guide.gaze_words import GAZES
from flowedit.guide.part_words import SKIN
from flowedit.guide.shares import LESSENING, SHARE, measure_share

TABLE = Path(__file__).with_name("part_looks.txt")
ENDS = (  # an attribute where no comma does: "brown eyes red lips" are no brown lips
    "and|or|but|with|without|not|no|in|eyes?|eyed|hair|haired|lips?|lipped|skin|skinned|cheeks?|brows?|eyebrows?|face|nose|"
    "woman|man|girl|boy|lady|guy|person"
)
GAP = rf"(?: (?!(?:{ENDS})\b)[\w']+){{0,3}}"  # what ".." stands for
GAZE = "gaze"  # its name in the table
ADDED = frozenset(["freckles", "pimples"])  # parts that are drawn, of which less than none is nothing
MARK_SIGNS = {  # parts that can have what people want to be rid of, and the sign of its gains
    **dict.fromkeys((*SKIN, "shine"), 1), **dict.fromkeys(("rings", "beard", "liner", "lids", "chin fold"), -1)
}  # fmt: skip
GONE = re.compile(  # beside a mark, in its clause: it is to go
    r"\b(?:rid(?: \w+)? of|los(?:e|es|ing|t)|tak(?:e|es|ing)(?: [\w'|]+){0,6} (?:away|off)|gone|"
    r"disappear\w*|vanish\w*|eliminat\w*|banish\w*|delet\w*|wip(?:e|es|ing) (?:away|off)|do something about|"
    r"cover(?:s|ing)? up|conceal\w*)\b"
)
REMOVED = re.compile(  # beside what is drawn, in its clause: it is to go
    r"\b(?:los(?:e|es|ing)|eras\w*|delet\w*|wip\w* (?:off|away)|remov\w*|tak\w* (?:away|off)|rid of|gone|away|free|"
    r"disappear\w*|vanish\w*|clear(?:s|ed|ing)?|clean(?:s|ed|ing)?|cur(?:e|es|ed|ing)|heal\w*|eliminat\w*|conceal\w*|"
    r"zero|cover(?:s|ing|ed up)?|banish\w*|pop(?:ped|ping)?|devoid|lack\w*|anti|creams?|treat\w*|fewer|less)\b"
)
LESSENED = frozenset([  # before a phrase, as NEGATIONS: "soften the wrinkles"; in it they say a look, "soften .. skin"
    *LESSENING, "eliminate", "zero", "hardly", "barely", "scarcely",
])  # fmt: skip
LESSENED_AFTER = re.compile(  # "wrinkles reduced", "the wrinkles should be gone"
    r"(?: (?:should|must|could|to|be|are|is|a|bit|slightly|all|completely)){0,4} "
    r"(?:reduced|removed|softened|faded|erased|halved|gone|hidden|concealed|minimi[sz]ed|decreased|lessened)\b"
)
BEFORE = 3  # words before a phrase that its degree is read from
DEGREES = {
    **dict.fromkeys(
        ("slightly", "slight", "bit", "little", "subtle", "light", "faint", "soft", "hint", "touch", "few"), 0.5
    ),
    **dict.fromkeys(
        ("very", "heavy", "strong", "deep", "extremely", "much", "really", "lots", "many", "intense"), 1.35
    ),
}
FILLERS = frozenset([  # words that ask for nothing of their own
    "a", "an", "the", "and", "with", "of", "to", "in", "on", "at", "her", "his", "their", "its", "my", "me",
    "this", "that", "who", "us", "has", "have", "is", "are", "be", "been", "looking", "look", "looks", "face",
    "faces", "having", "person", "man", "woman", "boy", "girl", "child", "lady", "guy", "people", "portrait",
    "someone", "somebody", "she", "he", "they", "it", "hair", "haired", "eyes", "eye", "skin", "lids", "lid",
    "make", "makes", "give", "gives", "add", "please", "could", "you", "would", "can", "some", "more", "wearing",
    "get", "rid", "lose", "gone", "away",
    "wear", "dyed", "turned", "colored", "color", "dye", "turn", "long", "short", "curly", "straight", "wavy",
])  # fmt: skip


class Look(NamedTuple):
    """What words say of a part.

    Attributes:
        color: (3,) red, green and blue that it is to have, image units in full light; None where gains are said.
        least: whether the part may be lighter than that.
        most: whether it may be darker.
        gains: (3,) what is added, in shares of the photo's own light or detail; 0 where a color is said.
        share: of the way to a color.
        of_skin: whether the color is told in shares of the cheeks' own: "nude" is another one on every face.
    """

    color: tuple[float, float, float] | None = None
    least: bool = False
    most: bool = False
    gains: tuple[float, float, float] = (0.0, 0.0, 0.0)
    share: float = 1.0
    of_skin: bool = False


ASIDE = Look(gains=(1.0, 0.0, 0.0))  # of a gaze


class _Entry(NamedTuple):
    phrase: re.Pattern[str]
    words: str
    looks: tuple[tuple[str, Look, bool], ...]  # part, what is said of it, whether that is all the words ask for


def said_looks(prompts: Mapping[str, float]) -> dict[str, Look]:
    """Return what prompts say of parts, by part.

    Degrees ("slightly", "very") and the prompts' weights scale it. Where it is negated, what would be added is taken
    away, and a color is not said. Of several colors for a part the last counts, gains add (see `_together`).

    Args:
        prompts: text -> weight.
    """
    looks: dict[str, Look] = {}
    for part, look, factor in _said(prompts):
        if look.color is None:
            before = looks.get(part, Look())
            first, second, third = (
                _together(b, factor * g, part in SKIN) for b, g in zip(before.gains, look.gains, strict=True)
            )
            looks[part] = before._replace(gains=(first, second, third))
        elif factor > 0:
            looks[part] = look._replace(share=min(1.0, look.share * factor))
    return looks


def _together(first: float, second: float, structure: bool) -> float:
    """Return what two gains are together: their sum, but what two take of fine structure is a share of what is left.

    Skin that is smoothed for its lines and for youth would be wax, and beyond -1 its lines would be turned over.
    """
    if structure and -1 < first < 0 and -1 < second < 0:
        return -(1 - (1 + first) * (1 + second))
    return first + second


def denies_color(prompts: Mapping[str, float]) -> bool:
    """Return whether prompts ask for the end of a part's color: what its contrary is they do not say."""
    words = [denied(part) for prompt in prompts for part in split_parts(prompt)]
    of_denied = {word: -1.0 for word in words if word is not None}  # "her hair is not black"
    both = (*_said(prompts), *_said(of_denied))
    return any(look.color is not None and factor < 0 for _, look, factor in both)


def colored_twice(prompts: Mapping[str, float]) -> list[str]:
    """Return the parts for which prompts say more than one color; the last counts."""
    colors: dict[str, set[tuple[float, float, float]]] = {}
    for part, look, factor in _said(prompts):
        if look.color is not None and factor > 0:
            colors.setdefault(part, set()).add(look.color)
    return [part for part, said in colors.items() if len(said) > 1]


def _said(prompts: Mapping[str, float]) -> Iterator[tuple[str, Look, float]]:
    """Yield what prompts say of parts one by one: part, look, and how much of it, below 0 where it is denied.

    A color that another word brings with it, as "old" does gray hair, is not said where one is told outright.
    """
    said = [
        (part, look, max(-1.5, min(1.5, degree * weight)), whole)
        for prompt, weight in prompts.items()
        for entry, degree in _read(prompt)[0]
        for part, look, whole in entry.looks
    ]
    told = {part for part, look, factor, whole in said if whole and look.color is not None and factor > 0}
    for part, look, factor, whole in said:
        if look.color is not None and not whole and part in told:
            continue
        if part in ADDED and factor < 0:  # what a photo has is not to be taken away by what is drawn
            continue
        if part == GAZE and factor < 0:  # who does not look away looks ahead, and the other way around
            look, factor = Look() if any(look.gains) else ASIDE, 1.0
        yield part, look, factor


def says_all(prompts: Mapping[str, float]) -> bool:
    """Return whether `said_looks` has all that prompts ask for: no word is left that may ask for something else.

    Of a color that is denied it has nothing: what is to come they do not say.
    """
    for prompt in prompts:
        found, rest = _read(prompt)
        whole = all(alone for entry, _ in found for _, _, alone in entry.looks)
        denied_color = any(
            degree < 0 and look.color is not None for entry, degree in found for _, look, _ in entry.looks
        )
        if not found or not whole or denied_color or not set(re.findall(r"[\w']+", rest)) <= FILLERS:
            return False
    return True


def unsaid(prompts: Mapping[str, float]) -> dict[str, float]:
    """Return prompts without the attributes that words say outright: "auburn hair and a smile" is "a smile"."""
    left: dict[str, float] = {}
    for prompt, weight in prompts.items():
        parts = [] if says_all({prompt: 1.0}) else split_parts(prompt)
        rest = [each for each in parts if not says_all({each: 1.0})]
        if rest:
            text = prompt if len(rest) == len(parts) else ", ".join(rest)
            left[text] = left.get(text, 0.0) + weight
    return {text: weight for text, weight in left.items() if weight}


def _read(prompt: str) -> tuple[list[tuple[_Entry, float]], str]:
    """Return the phrases of a prompt, each with its degree (below 0 where it is negated), and what is left of it."""
    text = re.sub(r"[\s\-]+", " ", prompt.lower().replace("’", "'").replace("grey", "gray").replace("colour", "color"))
    rest, found = text.strip(), list[tuple[_Entry, float]]()
    for entry in read_table():
        match = entry.phrase.search(rest)
        if match is None:
            continue
        clause = rest[_clause_start(rest[: match.start()]) : match.start()].split()[-BEFORE:]
        degree = 1.0
        used = [w for w in clause if w in DEGREES or w in NEGATIONS or w in LESSENED or w in ("a", "bit", "of", "the")]
        own = entry.words.split()
        around = [*clause, *match[0].split()]  # "hair less gray" denies within the phrase
        for word in around:
            degree *= (1.0 if word in own else DEGREES.get(word, 1.0)) * (-1.0 if word in NEGATIONS else 1.0)
        lessened = LESSENED_AFTER.match(rest, match.end())
        if lessened or LESSENED & set(clause) or "too" in around:
            degree = -abs(degree)
        parts = {part for part, _, _ in entry.looks}
        goes = REMOVED if parts & ADDED else GONE if _is_mark(entry) else None
        if degree > 0 and goes and goes.search(_clause(rest, match)):
            degree = -degree
        if degree < 0 and parts <= ADDED:
            continue
        start = match.start()
        while used and rest[:start].rstrip().endswith(" " + used[-1]) | (rest[:start].strip() == used[-1]):
            start = rest[:start].rstrip().rfind(used.pop())
        before = rest[:start]
        if share := SHARE.search(before, _clause_start(before)):
            degree *= measure_share(share)
            before = f"{before[: share.start()]} {before[share.end() :]}"
        end = lessened.end() if lessened else match.end()
        rest = f"{before} | {rest[end:]}"
        found.append((entry, degree))
    return found, rest


def _is_mark(entry: _Entry) -> bool:
    return all(sum(look.gains) * MARK_SIGNS.get(part, 0) > 0 for part, look, _ in entry.looks)


def _clause_start(text: str) -> int:
    """Return where the last clause of a text begins."""
    return max((end.end() for end in re.finditer(r"[,.;|](?!\d)|\b(?:and|but|with)\b", text)), default=0)


def _clause(text: str, match: re.Match[str]) -> str:
    """Return what a text says of a phrase, on both sides of it."""
    before = text[_clause_start(text[: match.start()]) : match.start()]
    return before + "|" + re.split(r"[.;|]|, (?!but)|\b(?:and|with)\b", text[match.end() :])[0]


@functools.cache
def read_table(path: Path = TABLE) -> tuple[_Entry, ...]:
    """Return the table's phrases, the longest first, and what each says of which parts."""
    said: dict[str, list[tuple[str, Look, bool]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        left, _, right = line.partition(":")
        match = re.fullmatch(r"(~ )?([a-z \-]+) ([=<>+^]) (.+)", left)
        if match is None:
            raise ValueError(f"a line of {path.name} must be 'part = numbers: phrases'; got {line!r:.80}")
        more, name, sign, numbers = match.groups()
        first, second, third, *share = map(float, numbers.split())
        values = (first, second, third)
        look = (
            Look(gains=values)
            if sign == "+"
            else Look(values, sign == ">", sign == "<", share=(*share, 1.0)[0], of_skin=sign == "^")
        )
        for phrase in right.split(","):
            for part in SKIN if name == "skin" else (name,):
                said.setdefault(phrase.strip().replace("-", " "), []).append((part, look, more is None))
    longest = sorted(said, key=lambda phrase: (-len(phrase.replace(" .", "").replace("..", "")), phrase))
    return tuple(_Entry(_pattern(phrase), phrase, tuple(said[phrase])) for phrase in longest)


def _pattern(phrase: str) -> re.Pattern[str]:
    special = {**GAZES, "..": GAP, ".": r"(?=\s*(?:$|[,.;|]|and\b|but\b|with\b))"}
    pieces = [special.get(word, " " + re.escape(word)) for word in phrase.split()]
    return re.compile(rf"(?<![\w']){''.join(pieces).lstrip()}(?![\w'])")
