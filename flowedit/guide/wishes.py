"""What is wanted, of a text that also tells what there is: "my nose is too wide, please make it narrower"."""

from __future__ import annotations

import re

_OWNER = r"(?:my|your|his|her|their|our|the|these|this|those|that)"
_PART = (
    r"(?:eye ?brows?|brows?|eye ?lids?|lids|eye ?lashes|lashes|eyes?|lips?|mouth|nose|chin|jaw(?:line)?|cheekbones?|"
    r"cheeks?|forehead|skin|hair|face|smile)"
)
_MARK = (
    r"(?:crow'?s feet|(?:dark )?(?:circles|rings|bags)|(?:(?:laugh|smile|frown|fine|deep|worry) )?"
    r"(?:lines|wrinkles|creases|folds)|freckles|(?:age |dark |sun )?spots|pimples|zits|acne|blemishes|redness|shine|"
    r"stubble|blush|make-?up)"
)
_CUT = re.compile(
    r"((?<=[.!?;])\s+|\s*[,;:–—]\s+|\s+-+\s+|"
    r"\s+(?=(?:so|but|because|since)\s+(?:please|can|could|would|make|give|get|take|remove|i|my|it|they|there)\b))",
    re.I,
)
_OPENING = r"(?:(?:so|and|but|then|now|just|also|maybe|perhaps|ok|okay|hi|hey|hello)\b,? ?)*"
_WISH = re.compile(
    rf"{_OPENING}(?:(?:please|pls|plz|kindly|can|could|would|will|i want|i need|i wish|i(?:'d| would) (?:like|love)|"
    r"add|bring|brighten|cover|darken|enlarge|erase|fade|get|give|have|hide|let|lighten|lengthen|make|paint|put|raise|"
    r"reduce|remove|shorten|shrink|soften|take|thicken|tone|turn|whiten|widen)\b|"
    rf"(?:close|clean|even|lift|lower|narrow|open|slim|smooth|thin) (?:{_OWNER}|it|them)\b)",
    re.I,
)
_CLEAR = re.compile(  # says enough where it names no part of a face
    r"\b(?:make|let|have|get) (?:me|him|her|them|us) (?:look |seem |appear |be )?(?:an? (?:bit|little) |much |far )?"
    r"(?:less|more|[a-z]+er)\b|\blook (?:less|more|[a-z]+er)\b",
    re.I,
)
_VAGUE = re.compile(  # says nothing without what there is
    r"\b(?:fix|change|help|improve|edit|its|stop|normal|natural|equal|balance|peace|twins|same)\b", re.I
)
_ENDS = re.compile(r"\b(?:remove|erase|delete|hide|take|get|rid|gone|out)\b", re.I)  # of marks, not of parts
_MINE = (  # of the one who asks, or of no part of a face
    r"(?:i(?:'m| am| was|'ve| have| look(?:ed)?| feel| felt| seem| got| hate| hardly| barely| always| never)\b|"
    r"i (?:think (?:i|my)|(?:didn't|don't|can't) \w+)\b|there(?:'s| is| are| was| were)\b|"
    r"(?:it|they)(?:'s|'re| is| are| looks?| makes?)\b)"
)
_GIVEN = re.compile(
    rf"{_OPENING}(?:{_MINE}|(?:he|she)(?:'s| is| was| looks?| looked| seems?| has| had)\b|"
    rf"{_OWNER} (?:[\w'-]+ ){{1,4}}?(?:is|are|was|were|looks?|looked|seems?|makes?|made|has|have|had|gets?|got|shows?|"
    r"always|never|came|turned)\b)",
    re.I,
)
_REASON = re.compile(rf"(?:because |since |as )?{_MINE}", re.I)
_PRONOUN = re.compile(r"\b(?:it|them|these|those|that|this)\b", re.I)
_MARKED = re.compile(
    rf"\b(?P<mark>{_MARK})\b(?: (?P<at>around|under|on|above|between|beside|near) (?:{_OWNER} )?(?P<part>{_PART})\b)?",
    re.I,
)
_NAMED = re.compile(rf"\b{_PART}\b", re.I)
_REST = r"(?:the rest|everything else|anything else|all else)(?: of (?:it|(?:my|the|her|his) face))?"
_NOTHING_ELSE = re.compile(  # what every edit keeps
    r"[,.;]?\s*(?:\b(?:but|and)\s+)?(?:please\s+)?\b(?:nothing else(?: (?:should|must|may|is to)(?: be)? changed?)?|"
    rf"(?:leave|keep) {_REST}(?: (?:alone|as (?:it|they) (?:is|are)|as is|unchanged|the same))?|"
    rf"(?:without (?:touching|changing)|(?:don't|do not) (?:touch|change)) {_REST})(?=\s*[.!]?$|[,.;])",
    re.I,
)
_COMPARED = (
    r"(?:wid|narrow|short|long|thick|thinn|bigg|small|larg|full|dark|light|high|low|round|slimm|bright|redd|pal)er"
)
_LITTLE = r"(?:a bit|a little|slightly|much|somewhat) "
_ELLIPSIS = re.compile(  # "my nose narrower and slightly shorter"
    rf"\b(?P<part>{_PART})(?P<first> (?:(?:to be|should be|is to be|looks?) |{_LITTLE})*{_COMPARED}),?"
    rf" (?:and|but)(?: also)? (?P<second>(?:{_LITTLE})?{_COMPARED})\b(?! {_PART})",
    re.I,
)


def keep_wishes(text: str) -> str:
    """Return of a text what it asks for, without what it tells beside that: how the face is, and that all else stays.

    "My nose is too wide, please make it narrower" is "please make the nose narrower", and "leave the rest as it is" is
    nothing. A text without a request keeps what it tells, "she is smiling, her eyes are green", and so does one whose
    request says nothing without it, "my left eye is smaller, make them equal". English only.
    """
    text = _ELLIPSIS.sub(r"\g<part>\g<first>, \g<second> \g<part>", _NOTHING_ELSE.sub("", text).strip() or text)
    parts = _CUT.split(text)
    clauses = parts[::2]
    first = next((k for k, clause in enumerate(clauses) if _WISH.match(clause)), None)
    if first is None:
        return text
    given = [k for k in range(first) if _GIVEN.match(clauses[k])]
    given += [k for k in range(first + 1, len(clauses)) if _REASON.match(clauses[k]) and not _WISH.match(clauses[k])]
    told = "".join("".join(parts[2 * k : 2 * k + 2]) for k in range(len(clauses)) if k not in given)
    told = told.strip(" ,;:–—-")
    if not _names(told):
        meant = _name(" ".join(clauses[k] for k in given if k < first), marks=_ENDS.search(told) is not None)
        told = _PRONOUN.sub(meant or r"\g<0>", told, count=1)
    clear = (_names(told) or _CLEAR.search(told)) and not _VAGUE.search(told)
    return told if given and clear else text


def _names(text: str) -> bool:
    """Return whether a text names a part of a face, or what is on it."""
    return _NAMED.search(text) is not None or _MARKED.search(text) is not None


def _name(given: str, *, marks: bool) -> str:
    """Return what a text tells about: its marks and where they are, or, unless `marks` alone, its first part."""
    part, found = _NAMED.search(given), _MARKED.search(given)
    if found is None:
        return f"the {part[0]}" if part and not marks else ""
    if found["part"]:
        return f"the {found['mark']} {found['at']} the {found['part']}"
    return f"the {found['mark']}" + (f" on the {part[0]}" if part and part.start() < found.start() else "")
