"""The attributes that a text names one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch.nn.functional as F

from flowedit.guide.corpus import embed_changes
from flowedit.guide.degrees import is_counted, read_degree
from flowedit.guide.encoder import Encoder
from flowedit.guide.impossible import find_impossible
from flowedit.guide.shares import EACH, LAST, REDUCE, in_digits, read_share

UNLIKE = 0.3  # cosine between changes up to which they are two things
CONTRARY = -0.38  # the same, below which one undoes the other: "blonde hair" and "black hair" have -0.41
SAME = 0.3  # cosine from which a text without its degree means the same: of 857 wordings with one, six do not
MIN_WEIGHT = 1e-12

BARE = re.compile(  # asks for nothing, in English or another language that faceclip was taught
    r"(?:an?|the|very|of|picture|photo|portrait|face|person|una?|cara|rostro|persona|eine?|gesicht|une|visage|personne|"
    r"一张|一个|脸|人|एक|चेहरा|[\s,.!;:，。；])*",
    re.I,
)
_ARTICLE = re.compile(r"\b(?:an?|the)\b", re.I)
_PERSON = re.compile(r"(?:(?:an?|the) )?(?:wo)?man|(?:(?:an?|the) )?(?:girl|boy|lady|guy)", re.I)
_WHOLE = re.compile(  # words that say all of an attribute, where no other word is beside them
    r"(?:an?\s+|the\s+)?(?:smile|smiling|grin|grinning|frown|frowning|pout|pouting|wink|winking|laughing|freckles|"
    r"wrinkles|crow's feet|dimples|stubble|beard|moustache|mustache|tan|blush|redhead|ginger|brunette|blonde|rousse|"
    r"roux|rubia|pelirroj[ao]|sonriendo|sonriente|riendo|souriante?|lächelnd|lachend|lächeln|lachen|sourire|sonrisa|sonríe|sonreír)",
    re.I,
)
_BETWEEN = re.compile(
    r"([,;.]\s+(?:(?:and|but|with|und|aber|y|pero|et|mais)\s+)?|[，；。、]\s*"
    r"|\s+(?:and(?! pepper)|but|with|who has|having|y|(?<!\ba )con|pero|und|mit|aber|et|avec|mais|और|aur|लेकिन)\s+"
    r"|\s+(?=(?:without|sin|ohne|sans) [^\s,.;]+(?: [^\s,.;]+)?(?:$|[,.;])))",
    re.I,
)


def split_clauses(text: str) -> list[str]:
    """Cut a description where one attribute ends and another begins: "a smiling face", "gray hair", "green eyes".

    A guide that reads all in one gives some of them next to nothing. A part of one word stays with its neighbor, "thick
    lips and brows", "a sad and tired face", but for the words that say all, "a smile and big eyes", and for one with
    a share or a degree of its own, "happy, 20 % surprised", "happy and slightly surprised".
    """
    clauses: list[str] = []
    parts = _cut(text)
    for k in range(0, len(parts), 2):
        beside = *clauses[-1:], parts[k]
        apart = any(read_share(each)[1] is not None for each in beside) or read_degree(parts[k])[1] != 1
        lone = not apart and any(map(_is_lone, beside))
        if clauses and BARE.fullmatch(clauses[-1]):  # "a face with ..."
            clauses[-1] = parts[k]
        elif clauses and lone:
            clauses[-1] += parts[k - 1] + parts[k]
        else:
            clauses.append(parts[k])
    return _without_bare(clauses) or [text]


def list_attributes(encoder: Encoder, prompts: Mapping[str, float]) -> dict[str, float]:
    """Return what prompts ask for side by side: attribute -> weight; all that they ask is the weighted sum.

    Those that mean the same share the larger of their weights. What the encoder does not know is left out, unless it is
    all of a prompt. A degree ("slightly", "very") is no part of an attribute, but a factor of its weight.
    """
    asked = dict[str, float]()
    for attribute, weight, degree in _read(encoder, prompts):
        asked[attribute] = asked.get(attribute, 0.0) + weight * degree
    asked = {text: weight for text, weight in asked.items() if weight} or asked  # one prompt may take back another's
    if len(asked) < 2:
        return asked
    changes = embed_changes(encoder, list(asked))
    weights = changes.new_tensor(list(asked.values()))
    changes = F.normalize(changes * weights[:, None], dim=1)
    alike = ((changes @ changes.T - UNLIKE) / (1 - UNLIKE)).clamp(0, 1).fill_diagonal_(1)
    shares = weights.abs() / (alike @ weights.abs()).clamp_min(MIN_WEIGHT)
    return dict(zip(asked, (weights * shares).tolist(), strict=True))


def read_degrees(encoder: Encoder, prompts: Mapping[str, float]) -> dict[str, float]:
    """Return the degree of each attribute that prompts name, see `read_degree`; the larger where one is named twice."""
    degrees = dict[str, float]()
    for attribute, _, degree in _read(encoder, prompts):
        degrees[attribute] = max(degree, degrees.get(attribute, 0.0))
    return degrees


def _read(encoder: Encoder, prompts: Mapping[str, float]) -> Iterator[tuple[str, float, float]]:
    """Yield the attributes that prompts name, with the prompt's weight and the degree."""
    for text, weight in prompts.items():
        known, _ = split_known(encoder, text)
        for part in known or (text,):
            attribute, degree = read_degree(part)
            kept = not is_counted(part) and (degree == 1 or not _means(encoder, part, attribute))
            yield (part, weight, 1.0) if kept else (attribute, weight, degree)


def split_known(encoder: Encoder, text: str) -> tuple[list[str], list[str]]:
    """Return the clauses that an encoder knows, and the others; none of a text of one clause, or if it knows none.

    Beside others one that asks for what cannot be made is neither: an encoder gives some of it all the same, and no
    more is to be had of it than words say of parts.
    """
    clauses = list(dict.fromkeys(split_clauses(text)))
    known = [each for each in clauses if encoder.knows(read_share(each)[0])]
    if len(clauses) < 2 or not known:
        return [], []
    made = [each for each in known if not find_impossible(each)]
    return made or known, [each for each in clauses if each not in known]


def _means(encoder: Encoder, text: str, attribute: str) -> bool:
    """Return whether what is left of a text without its degree is still about the same."""
    if not encoder.knows(attribute):
        return False
    whole, left = embed_changes(encoder, [text, attribute])
    return float(F.cosine_similarity(whole, left, dim=0)) > SAME


def find_contraries(encoder: Encoder, prompts: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the pairs of attributes that undo each other, as "closed eyes" and "open eyes" do."""
    asked = {part: weight for text, weight in prompts.items() for part in split_parts(text)}
    known = [text for text in asked if encoder.knows(text) and not _PERSON.fullmatch(text)]
    if len(known) < 2:
        return []
    changes = embed_changes(encoder, known)
    changes = changes * changes.new_tensor([asked[text] for text in known])[:, None]
    alike = F.cosine_similarity(changes[:, None], changes, dim=2).tolist()
    return [(a, b) for i, a in enumerate(known) for j, b in enumerate(known[:i]) if alike[i][j] < CONTRARY]


def split_parts(text: str) -> list[str]:
    """Cut a description as `split_clauses` does, parts of one word too: "auburn hair", "a smile"."""
    return _without_bare(_cut(text)[::2]) or [text]


def _cut(text: str) -> list[str]:
    """Return clause, separator, clause, ..., each with the share that is told of them all: "50 % each"."""
    told = in_digits(text).strip()
    each, last = EACH.search(told), LAST.search(told)
    if each:
        parts, share = _BETWEEN.split(told[: each.start()]), each["after"] or each["before"]
        return [
            f"{share} % {part}" if k % 2 == 0 and not BARE.fullmatch(part) else part for k, part in enumerate(parts)
        ]
    verb = REDUCE.match(told)
    if verb and last:  # "reduce the wrinkles and the smile by 50 %"
        parts = _BETWEEN.split(told[verb.end() : last.start()].strip())
        if not any(REDUCE.match(part) for part in parts):
            return [part if k % 2 else f"{verb[0]} {part} by {last['share']} %" for k, part in enumerate(parts)]
    return _BETWEEN.split(told)


def _is_lone(part: str) -> bool:
    if signs := re.findall(r"[\u4e00-\u9fff]", part):  # Chinese, which has no spaces
        return len(signs) < 3
    return len(_ARTICLE.sub("", part).split()) < 2 and not _WHOLE.fullmatch(part.strip(" ,.;"))


def _without_bare(parts: list[str]) -> list[str]:
    told = [each.strip(" ,.;") for each in parts]
    return [each for each in told if any(map(str.isalnum, each)) and not BARE.fullmatch(each)]  # ":)" is a clause too
