"""What color is to come, where a text names the one that is to go too: "make my brown eyes green"."""

from __future__ import annotations

import re

from flowedit.guide.language import in_english

_COLORS = {  # in English, Spanish, German, French, Chinese and Hindi
    "blonde": r"blond[es]?|rubi[oa]s?|blonde[nrs]?|金(?:色|黄色)?|सुनहर[ाेी]",
    "brown": r"brown|brunette|marr[oó]n(?:es)?|castañ[oa]s?|braune?[nrs]?|marrons?|bruns?|棕色?|褐色|भूर[ाेी]",
    "black": r"black|negr[oa]s?|schwarze?[nrs]?|noirs?|黑色?|काल[ाेी]",
    "red": r"red(?:head)?|ginger|auburn|pelirroj[oa]s?|roj[oa]s?|rote?[nrs]?|roux|rouges?|红色?|लाल",
    "gray": r"gr[ae]y|silver|gris(?:es)?|graue?[nrs]?|银色?|灰色?|स्लेटी",
    "white": r"white|blanc[oa]s?|weiße?[nrs]?|blancs?|白色?|सफ़?ेद",
    "blue": r"blue|azul(?:es)?|blaue?[nrs]?|bleus?|蓝色?|नील[ाेी]",
    "green": r"green|verdes?|grüne?[nrs]?|verts?|绿色?|हर[ाेी]",
    "hazel": r"hazel|avellana|noisette",
    "dark": r"dark|oscur[oa]s?|dunkle?[nrs]?|foncés?",
    "light": r"light|clar[oa]s?|helle?[nrs]?|clairs?",
}
_COLOR = "|".join(_COLORS.values())
_NOUNS = {
    "hair": r"hair|pelo|cabello|haare?|cheveux|头?发|बाल(?:ों)?",
    "eyes": r"eyes?(?: colou?r)?|ojos|augen|yeux|眼睛|眼|आ[ँं]ख(?:ें|ों)?",
}
_ANY_NOUN = "|".join(_NOUNS.values())
_WORD = r"(?<![a-zà-ÿ])(?:{})(?![a-zà-ÿ])"
_FOUND = re.compile(_WORD.format(_COLOR), re.I)
_NOUN = re.compile(_WORD.format(_ANY_NOUN), re.I)
_CHANGED = re.compile(  # that one color takes another's place
    r"\b(?:from|to|into|turn(?:s|ed|ing)?|make|made|change|dye|colou?r|paint|swap|switch|replace|go|going|went|want|"
    r"should be|instead|rather|cambia\w*|pon\w*|haz\w*|en vez|en lugar|mach\w*|färb\w*|änder\w*|statt|von|zu|"
    r"change[rz]?|rends|teins|au lieu|mets|de [\w-]+ [aà])\b|变|换|改|染|करो|कर दो|बना|में बदल",
    re.I,
)
_GONE = re.compile(  # just before a color that is to go
    r"(?:instead of|rather than|than|from|anything but|en vez de|en lugar de|statt|anstatt|au lieu de?|d'|而不是)"
    r"(?: (?:my|the|an?|die|der|das|los?|las?|el|des|les))*\W*$",
    re.I,
)
_ENDS = re.compile(  # what may follow the last color
    rf"(?:\W|{_ANY_NOUN}|colou?rs?|please|pls|now|instead|färben|machen|ändern|色|的|了|吧|"
    r"करो|कर दो|करें|बना\S*|में|बदल\S*|को|दे|दो|से)*",
    re.I,
)
_GONE_ANY = re.compile(_GONE.pattern.removesuffix(r"\W*$"), re.I)
_OTHER = re.compile(
    r"\b(?:brows?|eyebrows?|lips?|lipstick|liner|shadow|skin|cejas|labios|brauen|lippen|sourcils|lèvres)\b", re.I
)
MOST = 80  # letters of a clause
_MIXED = re.compile(  # colors that stand side by side
    r"\b(?:with|highlights?|streaks?|roots|tips|flecks?|strands?|mechas|strähnen|mèches|con|mit|avec|less|more|mix|kill|"
    r"cancel|almost|close to|strawberry|tirant|un peu|like|under|against|background|shine|or|oder|ou|o|at least|not|"
    r"nicht|currently|as opposed|in the|in light|add|sobre|fondo|turn up|bit of|circles)\b|带|或",
    re.I,
)
_CUT = re.compile(r"(\s*[,.;!?，。；]\s*|\s+(?:and|but|y|pero|und|aber|et|mais|और)\s+)", re.I)
_HAIRY = re.compile(r"\b(?:blon\w+|brunette|redhead|ginger|rubi[oa]|pelirroj[oa])\b", re.I)


def say_color_changes(text: str) -> str:
    """Return a text that names, of two colors of hair or eyes, the one that is to come, where the other is to go.

    "Make my brown eyes green" is "green eyes", and "Haare schwarz statt blond" is "black hair". Colors that stand side
    by side, "brown hair with blonde highlights", stay.
    """
    pieces = _CUT.split(text)
    told = [piece if k % 2 else _target(piece) or piece for k, piece in enumerate(pieces)]
    return text if told == pieces else "".join(told)


def _target(clause: str) -> str | None:
    if len(clause) > MOST or not (_CHANGED.search(clause) or _GONE_ANY.search(clause)):
        return None
    if _OTHER.search(clause) or _MIXED.search(clause):
        return None
    phrases = _colors(clause)
    kinds = {in_english(_NOUNS, found[0]) for found in _NOUN.finditer(clause)}
    if not kinds and _HAIRY.search(clause):
        kinds = {"hair"}
    if len(kinds) != 1 or len({name for _, name in phrases}) < 2:
        return None
    if not _ENDS.fullmatch(clause, _last(clause)):
        return None
    left = [name for start, name in phrases if not _GONE.search(clause[:start])]
    kind = kinds.pop()
    if kind == "eyes" and left:  # reddish brown ones are brown
        left[-1] = " ".join(word for word in left[-1].split() if word not in ("red", "blonde")) or left[-1]
    return f"{left[-1]} {kind}" if left else None


def _last(clause: str) -> int:
    """Return where the last color of a clause ends."""
    return [found.end() for found in _FOUND.finditer(clause)][-1]


def _colors(clause: str) -> list[tuple[int, str]]:
    """Return where colors begin, and what they are in English; those that stand together are one, "dark brown"."""
    phrases, end = list[tuple[int, str]](), -1
    for found in _FOUND.finditer(clause):
        name = in_english(_COLORS, found[0])
        if phrases and not clause[end : found.start()].strip(" -"):
            start, before = phrases[-1]
            phrases[-1] = start, f"{before} {name}"
        else:
            phrases.append((found.start(), name))
        end = found.end()
    return phrases
