"""Shares of the usual that a text asks for: "a 30 % smile", "thirty percent happier", "fade wrinkles by a third"."""

from __future__ import annotations

import re

from flowedit.guide.denials import OWNERS, denies

_ENGLISH = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_OTHER_TENS = (  # from ten on, Spanish, German and French
    ("diez", "veinte", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa", "cien"),
    ("zehn", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig", "hundert"),
    ("dix", "vingt", "trente", "quarante", "cinquante", "soixante", "soixante-dix", "quatre-vingts",
     "quatre-vingt-dix", "cent"),
)  # fmt: skip
_WORTH = (
    {word: k for k, word in enumerate(_ENGLISH)}
    | {word: 10 * (k + 2) for k, word in enumerate(_TENS)}
    | {word: 10 * (k + 1) for words in _OTHER_TENS for k, word in enumerate(words)}
)
_SIGNS = {sign: k + 1 for k, sign in enumerate("一二三四五六七八九")}
_PERCENT = r"(?:[%％]|per ?cents?\b|pct\b|prozent\b|por ciento\b|pour ?cent\b|प्रतिशत)"
_SMALL = "|".join(_ENGLISH)
_COUNT = (  # of English: "one hundred and fifty", "twenty-five", "twelve"
    rf"(?:(?:an?|one|two|three) hundred(?:(?: and)? (?:(?:{'|'.join(_TENS)})(?:[- ](?:{_SMALL}))?|{_SMALL}))?"
    rf"|(?:{'|'.join(_TENS)})(?:[- ](?:{_SMALL}))?|{_SMALL})"
)
_IN_WORDS = re.compile(rf"\b{_COUNT}(?=[ -](?:{_PERCENT}|years?[- ]olds?\b))", re.I)
_IN_OTHER_WORDS = re.compile(rf"\b(?:{'|'.join(word for words in _OTHER_TENS for word in words)})(?= {_PERCENT})", re.I)
_IN_SIGNS = re.compile(
    "百分之(?:(?P<digits>[0-9]+)|(?P<tens>[一二三四五六七八九]?)十(?P<ones>[一二三四五六七八九]?)|百)"
)
_RANGE = re.compile(rf"(?<![\w.,])(\d+) ?{_PERCENT}? ?(?:-|–|to|bis|a|à) ?(\d+) ?(?={_PERCENT})", re.I)
_ABOUT = re.compile(r"(?:[~≈+<>]|\b(?:about|around|roughly|some|approximately|circa)\b) ?(?=\d)", re.I)
_BRACKETS = re.compile(rf"[(（\[]([^()（）\[\]]*{_PERCENT})[)）\]]", re.I)
_BELOW_ZERO = re.compile(rf"(?:(?<!\w)[-−–]|\bminus )(?=\d+(?:[.,]\d+)? ?{_PERCENT})", re.I)
MORE = (  # a comparative
    r"(?:(?:more|less|fewer|better|worse|further)\b"
    r"|(?!(?:und|upp|ov|h|nev|ev|aft|fing|corn|lin|silv|amb|ging)er\b)\w+er\b)"
)
_PARTS = {
    "half": 50, "quarter": 25, "third": 33, "two thirds": 67, "three quarters": 75, "fifth": 20, "tenth": 10,
    "partly": 50, "partially": 50, "full": 100,
}  # fmt: skip
_ONE = r"half|(?:(?:an?|one)[- ])?(?:quarter|third|fifth|tenth)|two[- ]thirds|three[- ](?:quarters|fourths)"
_FRACTIONS = re.compile(
    rf"\bby (?P<by>{_ONE})(?=\s*(?:$|[,.;!?)]|and\b|{MORE}))"
    rf"|(?<!than )\b(?P<more>{_ONE}) (?={MORE})"
    r"|\b(?P<of>two[- ]thirds|three[- ]quarters|an? (?:third|quarter)) of (?=(?:an?|the|her|his|my|your) )"
    r"|(?<=duce |move |fade |hide )(?P<verb>half)(?: of)? (?=(?:the|her|his|my|their|all)\b)"
    r"|\b(?P<dyed>half|partly|partially) (?=(?:gray|grey|white|blonde?|red|brown|black) hair\b)"
    r"|(?P<in>\bin half)(?=\s*(?:$|[,.;!?]))",
    re.I,
)
_FEWER = re.compile(r"\bhalf (?:the|as many|of the) (?=(?:wrinkles|lines|freckles|spots|pimples|blemishes)\b)", re.I)
_OTHER_FRACTIONS = {
    re.compile(r"\bum die hälfte\b|\ba la mitad\b|\bde moitié\b|一半(?=的)", re.I): 50,
    re.compile(r"\b(?:um )?ein drittel\b|\bun tercio\b|\bd'un tiers\b|\bun tiers\b|三分之一", re.I): 33,
    re.compile(r"\b(?:um )?ein viertel\b|\bun cuarto\b|\bd'un quart\b|\bun quart\b|四分之一", re.I): 25,
}
_QUOTIENTS = {"½": 50, "⅓": 33, "⅔": 67, "¼": 25, "¾": 75}
_QUOTIENT = re.compile(r"(?<![\d/.])(?:by )?([1-9])/([2-9]|10)(?![\d/]) ?")
_TIMES = re.compile(
    r"\b(?:double|twice|triple) (?=(?:the|her|his|my|your) )"
    rf"|(?<![\w.])(?:two|three|2|3|1\.5) ?(?:times|x) (?=(?:an? )?{MORE}|\w+$)",
    re.I,
)
SHARE = re.compile(  # of the usual, as a number of percent
    rf"(?:,? (?:at|of|by|à|al|zu|auf|um|to|only)\b)? ?(?<![A-Za-zÀ-ÿ\d.,])(\d{{1,4}}(?:[.,]\d+)?)[ -]?{_PERCENT}"
    r"(?: (?:strength|intensity|opacity)\b)?(?: (?:of|de)\b|的)?(?! sure\b| certain\b)[:,]? ?",
    re.I,
)
_NUMBER = r"\d{1,4}(?:[.,]\d+)?"
_WEIGHT = re.compile(r"\(([^():]+): ?(\d(?:\.\d+)?)\)")  # "(smile:1.3)", as prompts of generators have it
_FACTOR = re.compile(r"(?<=[^\W\d])(?: ?[x×*(]|:| ) ?(\d?\.\d+)\)?(?= *(?:$|[,;)]))")  # "smile x0.5", "smile: 0.5"
_STRENGTH = re.compile(
    rf"(?:\b(?:at|with|in) )?\b(?:an? )?({_ONE}|full)[- ](?:strength|intensity|power|opacity)\b,? ?", re.I
)
_BRACKETED = re.compile(rf"\(({_ONE})( each)?\)", re.I)
_CONTRARY = {
    "big": "small", "large": "small", "wide": "narrow", "broad": "narrow", "long": "short", "thick": "thin",
    "full": "thin", "high": "low", "old": "young",
}  # fmt: skip
_HALF_AS = re.compile(
    rf"\bhalf as (?:(?P<size>{'|'.join(_CONTRARY)})|(?P<state>wrinkled|wrinkly|freckled|freckly|gr[ae]y|red|shiny|oily|"
    r"tired|puffy|rough|bushy))\b(?: as (?:now|before|it is|they are))?",
    re.I,
)
_HALF_AS_DEEP = re.compile(
    rf"\b(?:make )?(?P<what>(?:(?:{OWNERS}) )?(?:[a-z]+ )?(?:wrinkles|lines|creases|folds|freckles|"
    r"spots|pimples|blemishes|circles|bags)) half as "
    r"(?:deep|visible|noticeable|pronounced|prominent|obvious|strong|dark|many)\b",
    re.I,
)
_GRAY, _DARK = "half (?:gr[ae]y|white)", "half (?:black|brown|dark)"
_GRAYING = re.compile(rf"\b(?:{_GRAY},?(?: and)? {_DARK}|{_DARK},?(?: and)? {_GRAY})\b", re.I)
EACH = re.compile(  # at the end of several attributes: the share of every one
    rf"[,;:]? *(?:\b(?:both|each|all)(?: of them)? (?:at |by |to |of )?(?P<after>{_NUMBER}) ?{_PERCENT}"
    rf"|(?:\b(?:at|by) )?(?<![\d.,])(?P<before>{_NUMBER}) ?{_PERCENT} (?:each|apiece|both)\b) *[.!]?$",
    re.I,
)
LAST = re.compile(rf" by (?P<share>{_NUMBER}) ?{_PERCENT} *[.!]?$", re.I)
_LATE = re.compile(rf"[,;:=](?: but)?(?: only)? ?(?=\d+(?:[.,]\d+)? ?{_PERCENT}\s*(?:$|[,.;)]))", re.I)
LESS = r"(?:less|fewer|too|weniger|zu|menos|demasiado|moins|trop)\b|कम"
LESSENING = ("soften", "lessen", "decrease", "diminish", "minimize", "minimise", "erase", "halve")
REDUCE = re.compile(
    r"(?:please |(?:could|can|would) you |i(?:'d like| want) to )*"
    rf"(?:reduce|fade|hide|remove|cut|get rid of|tone down|{'|'.join(LESSENING)})\b",
    re.I,
)
_COMPARES = re.compile(rf"^(?:an? |the )?(?:{MORE}|{LESS})|\b(?:more|less|fewer)\b|\b\w+er\b(?= \w)", re.I)
_ARTICLE = re.compile(r"^(?:an?|the) ", re.I)
TORN = re.compile(r"""^\W*$|^[^\w"'(¿¡]|\(\s*\)|""|“”|''""")  # what is left of "(slightly) sad"


def in_digits(text: str) -> str:
    """Return a text in which shares in words, in brackets, as fractions, ranges or below zero are numbers of percent.

    "Thirty percent" is "30 percent" then, "by a third" "33 %", "20-30 %" "25 %" and "-50 % smile" "less 50 % smile".
    """
    text = _GRAYING.sub("salt and pepper", halve(count_in_words(text)))
    text = _WEIGHT.sub(lambda found: f"{100 * float(found[2]):g} % {found[1]}", text)
    text = _FACTOR.sub(lambda found: f" {100 * float(found[1]):g} %", text)
    text = _BRACKETED.sub(lambda found: f" {_worth(found[1])} %{found[2] or ''}", text)
    text = _STRENGTH.sub(lambda found: f" {_worth(found[1])} % ", text)
    text = _IN_OTHER_WORDS.sub(lambda found: str(_WORTH[found[0].lower()]), text)
    text = _IN_SIGNS.sub(_count_signs, text)
    for pattern, share in _OTHER_FRACTIONS.items():
        text = pattern.sub(f"{share} %", text)
    text = _FEWER.sub("50 % fewer ", _FRACTIONS.sub(_part, text))
    text = re.sub("[½⅓⅔¼¾] ?", lambda found: f"{_QUOTIENTS[found[0][0]]} % ", text)
    text = _QUOTIENT.sub(_divide, text)
    text = _TIMES.sub("200 % ", text)
    text = _RANGE.sub(lambda found: f"{(int(found[1]) + int(found[2])) / 2:g} ", text)
    text = _BRACKETS.sub(r" \1 ", _ABOUT.sub("", text))
    return _LATE.sub(" ", _BELOW_ZERO.sub("less ", text))


def halve(text: str) -> str:
    """Return a text in which what a face has is to be smaller or less where it is half as big, wrinkled or deep."""
    return _HALF_AS.sub(_less, _HALF_AS_DEEP.sub(r"reduce \g<what> by half", text))


def count_in_words(text: str) -> str:
    """Return a text in which English numbers of percent, and of years, are digits: "a 25 year old"."""
    return _IN_WORDS.sub(_count, text)


def read_share(text: str) -> tuple[str, float | None]:
    """Return what a text of one attribute asks for without its share of the usual, and that: 0.3 of "a 30 % smile".

    None where it tells no share, or denies something: "not 50 % sad". What is to be reduced by a share is told as
    "reduce", and nothing of an attribute as "no".
    """
    told = " ".join(in_digits(text).split())
    share = SHARE.search(told)
    rest = " ".join(SHARE.sub(" ", told).split()).removeprefix("with ")
    if share is None or TORN.search(rest):
        return text, None
    if re.match("(?:no|without) ", rest, re.I) and (told.startswith(share[0]) or told.endswith(share[0])):
        return rest, measure_share(share)
    reduces = REDUCE.match(rest)
    if denies(re.sub(LESS, "more", rest, flags=re.I)) and not reduces:
        return text, None
    if rest.lower().endswith((" less", " fewer")):
        rest = f"less {rest.rsplit(' ', 1)[0]}"
    if reduces:
        rest = f"reduce{rest[reduces.end() :]}"
    amount = measure_share(share)
    if not amount and not reduces and not _COMPARES.search(rest):
        return f"no {_ARTICLE.sub('', rest)}", 1.0
    return rest, amount


def measure_share(share: re.Match[str]) -> float:
    """Return what SHARE found, 1 being the usual."""
    return float(share[1].replace(",", ".")) / 100


def _count(found: re.Match[str]) -> str:
    words = [word for word in re.split(r"[\s-]+", found[0].lower()) if word not in ("a", "an", "and")]
    total = 0
    for word in words:
        total = max(total, 1) * 100 if word == "hundred" else total + _WORTH[word]
    return str(total)


def _count_signs(found: re.Match[str]) -> str:
    if found["digits"]:
        return f"{found['digits']} %"
    if found["tens"] is None:
        return "100 %"
    return f"{10 * _SIGNS.get(found['tens'], 1) + _SIGNS.get(found['ones'], 0)} %"


def _part(found: re.Match[str]) -> str:
    (told,) = (part for part in found.groups() if part)
    last = found["by"] and not found.string[found.end() :].strip(" .!?")
    return f"{'by ' if last else ''}{_worth(told)} % "


def _worth(part: str) -> int:
    """Return how many percent a part in words is."""
    words = re.sub(r"^(?:an?|one|in)[ -]", "", part.lower()).replace("-", " ").replace("fourths", "quarters")
    return _PARTS[words]


def _less(found: re.Match[str]) -> str:
    size, state = found["size"], found["state"]
    return _CONTRARY[size.lower()] if size else f"less {state}"


def _divide(found: re.Match[str]) -> str:
    above, below = int(found[1]), int(found[2])
    return f"{100 * above / below:.0f} % " if above < below else found[0]
