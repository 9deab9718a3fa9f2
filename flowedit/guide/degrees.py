"""How much of an attribute words ask for: "slightly surprised" is half as surprised, "very sad" more than sad.

An encoder gives a degree next to nothing of a change's length: "slightly bigger eyes" came to 0.95 of the movement of
"bigger eyes", "much bigger eyes" to 1.0.
"""

from __future__ import annotations

import re

from flowedit.guide.denials import denies
from flowedit.guide.shares import LESS, MORE, REDUCE, TORN, halve, read_share

TRACE, LITTLE, MUCH = 0.3, 0.5, 1.3
LEAST = 0.1  # that a number of percent comes to
# Beside what "a little" is small: it says a size there, and no degree.
_SMALL = (
    "nose|mouth|eyes?|ears?|chin|jaw|lips?|face|head|forehead|eyebrows?|brows?|teeth|girl|boy|kid|child|baby|man|woman|"
    "person|lady|guy|one|brother|sister|old"
)
# Of what else there is hardly any is none: "barely visible brows".
_MOOD = "smil|smirk|grin|laugh|frown|pout|sad|ang(?:er|ry)|worr|surpris|fear|amus|joy|melanchol"
_VERY = (
    "very|extremely|really|incredibly|immensely|hugely|strongly|exceptionally|super|terribly|"
    "sehr|äußerst|extrem|überaus|muy|sumamente|extremadamente|très|extrêmement|vraiment"
)
_SLIGHTLY = "slightly|faintly|subtly|mildly|leicht|légèrement|ligeramente|levemente"
_FEW = "little|few|slight|faint|subtle|mild|light|tiny|wenige?|poc[oa]s?|peu|leve|ligera|léger"
_FORMS = {
    TRACE: (
        rf"(?:just |only )?(?:barely|hardly|scarcely) (?:a )?(?={_MOOD})",
        rf"(?:ever so|(?:(?:{_VERY}),? )*(?:{_VERY})) (?:{_SLIGHTLY})",
        rf"(?:(?:{_VERY}),? )*(?:{_VERY}) (?:slight|faint|subtle|mild|léger|leve|ligera) (?={_MOOD}|sour|sonr)",
        r"(?:just |only )?an? (?:(?:very|really) )?(?:tiny|wee|teeny)(?: little)? bit(?: of)?",
        rf"(?:just |only )?(?:^|(?:a|the) (?:\w+ )?)(?:hint|trace|touch|suggestion|ghost) of (?=(?:an? )?(?:{_MOOD}))",
        "kaum (?=läche?l|lach)|apenas (?=sonr)|à peine (?=sour)",
        r"(?<!\S)(?:बहुत (?:थोड़(?:ा|ी|े)|हल्की(?= मुस्कान)))(?!\S)",
    ),
    LITTLE: (
        rf"(?:just |only )?(?:slightly|somewhat|mildly|subtly|faintly)|(?:slight|mild|subtle|faint) (?={_MOOD})",
        "(?:slight|mild|subtle|faint|small|little|tiny) (?=double chin)",
        r"(?:just |only )?(?<!than )a (?:little )?(?:bit|tad|touch(?! up))(?: of)?",
        rf"(?:just |only )?(?<!than )a little(?! (?:{_SMALL})\b)",
        "half as (?:much )?|halb so|la mitad de|moitié moins",
        "etwas|leicht|leichte[snrm]? (?=läche?l|grins)|ein (?:klein(?:es)? )?(?:bisschen|wenig)",
        "un poco(?: de)?|un poquito(?: de)?|ligeramente|levemente|(?:leve|ligera) (?=sonr)",
        "un (?:(?:tout )?petit )?peu(?: d[e'’])?|légèrement|léger (?=sour)",
        "稍微|稍稍|略微|微微|有一?点[点儿]?",
        r"(?<!\S)(?:थोड़(?:ा|ी|े)(?: (?:सा|सी|से))?|ज़रा(?: सा| सी)?|हल्क(?:ा सा|ी सी|ी(?= मुस्कान)))(?!\S)",
    ),
    MUCH: (
        rf"very much|(?:(?:{_VERY}),? )*(?:{_VERY})(?! (?:{_FEW})\b)",
        rf"(?:much|far|way|a lot|lots) (?={MORE})",
        "(?:twice|two times|three times|ten times) as (?:much )?|doppelt so|deux fois plus|dos veces más|el doble de",
        r"a lot(?: of)?|(?:big|huge|deep) (?=(?:pout|frown|scowl|grimace)(?! lines))",
        "(?:viel|deutlich) (?=\\w+er)|mucho (?=más\\b)|beaucoup (?=plus\\b)",
        "(?:非常|特别|极其|十分|超级)(?!轻微)",
        r"(?<!\S)(?:बहुत(?! (?:ज़्यादा|कम))|बेहद|अत्यंत)(?!\S)",
    ),
}
_TIMES = re.compile(r"(?<!\w)(?:half|twice|(?:two|three|ten) times) as\b|(?<!\w)(?:halb|doppelt) so\b", re.I)
_LESS = rf"(?={LESS})"  # where a denial has a degree


def _compile(forms: tuple[str, ...]) -> re.Pattern[str]:
    latin = [form for form in forms if form.isascii() or re.search("[a-zà-ÿ]", form)]
    signs = [form for form in forms if form not in latin]
    words = rf"(?<![\w'’-])(?:{'|'.join(latin)})(?:(?<= )|(?![\w'’-])) ?"
    return re.compile("|".join([words, *(f"(?:{form}) ?" for form in signs)]), re.I)


_OTHERWISE = re.compile(r"\b(?:anything but|neither|nor|can't|cannot|couldn't|stop|more than)\b", re.I)
_DEGREES = {degree: _compile(forms) for degree, forms in _FORMS.items()}
_DEGREES_OF_LESS = {degree: re.compile(f"(?:{form.pattern}){_LESS}", re.I) for degree, form in _DEGREES.items()}


def read_degree(text: str) -> tuple[str, float]:
    """Return what a text of one attribute asks for without its degree, and the degree: 1 where it names none.

    Of a denial ("not very sad") only what stands before "less" is read.
    """
    given = " ".join(text.replace("’", "'").split())
    plain = halve(given)
    rest, share = read_share(plain)
    if share is not None:
        return rest, min(MUCH, max(LEAST, share))
    if plain != given:
        return plain, 1.0
    bound = (denies(plain) and not REDUCE.match(plain)) or _OTHERWISE.search(plain)
    for degree, form in (_DEGREES_OF_LESS if bound else _DEGREES).items():
        rest = " ".join(form.sub("", plain).split()).strip(" ,")
        if rest != plain and not TORN.search(rest):
            return rest, degree
    return text, 1.0


def is_counted(text: str) -> bool:
    """Return whether a text says its degree by a number, "half as" or the like, which mean nothing else."""
    return read_share(text)[1] is not None or bool(_TIMES.search(text))
