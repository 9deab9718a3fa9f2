"""How much of an attribute words ask for: "slightly surprised" is half as surprised, "very sad" more than sad.

An encoder gives a degree next to nothing of a change's length: "slightly bigger eyes" came to 0.95 of the movement of
"bigger eyes", "much bigger eyes" to 1.0.
"""

from __future__ import annotations

import re

from flowedit.guide.denials import denies

TRACE, LITTLE, MUCH = 0.3, 0.5, 1.3
# Beside what "a little" is small: it says a size there, and no degree.
_SMALL = (
    "nose|mouth|eyes?|ears?|chin|jaw|lips?|face|head|forehead|eyebrows?|brows?|teeth|girl|boy|kid|child|baby|man|woman|"
    "person|lady|guy|one|brother|sister|old"
)
_MORE = r"(?=(?:more|less|fewer|better|worse|further)\b|\w+er\b)"  # a comparative
# Of what else there is hardly any is none: "barely visible brows".
_MOOD = "smil|smirk|grin|laugh|frown|pout|sad|ang(?:er|ry)|worr|surpris|fear|amus|joy|melanchol"
_FORMS = {
    TRACE: (
        rf"(?:just |only )?(?:barely|hardly|scarcely) (?={_MOOD})",
        rf"(?:ever so|very) (?:slightly|faintly)|very (?:slight|faint|subtle) (?={_MOOD})",
        r"(?:just |only )?a (?:tiny|wee)(?: little)? bit(?: of)?",
        rf"(?:just |only )?(?:a|the) (?:\w+ )?(?:hint|trace|touch|suggestion|ghost) of (?=(?:an? )?(?:{_MOOD}))",
        "kaum (?=läche?l|lach)|apenas (?=sonr)|à peine (?=sour)",
    ),
    LITTLE: (
        rf"(?:just |only )?(?:slightly|somewhat|mildly|subtly|faintly)|(?:slight|mild|subtle|faint) (?={_MOOD})",
        r"(?:just |only )?a (?:little )?(?:bit|tad|touch)(?: of)?",
        rf"(?:just |only )?a little(?! (?:{_SMALL})\b)",
        "etwas|leicht|leichte[snrm]? (?=läche?l|grins)|ein (?:klein )?(?:bisschen|wenig)",
        "un poco(?: de)?|un poquito(?: de)?|ligeramente|levemente|(?:leve|ligera) (?=sonr)",
        "un (?:tout petit )?peu(?: d[e'’])?|légèrement|léger (?=sour)",
        "稍微|稍稍|略微|微微|有一?点儿?",
        r"(?<!\S)(?:थोड़(?:ा|ी|े)(?: (?:सा|सी|से))?|ज़रा|हल्क(?:ा सा|ी सी|ी(?= मुस्कान)))(?!\S)",
    ),
    MUCH: (
        "very much|very,? very|very|extremely|really|incredibly|immensely|hugely|strongly|exceptionally|super|terribly",
        rf"(?:much|far|way|a lot|lots) {_MORE}",
        r"a lot(?: of)?|(?:big|huge|deep) (?=pout|frown|scowl|grimace)",
        "sehr|äußerst|extrem|überaus|(?:viel|deutlich) (?=\\w+er)",
        r"muy|sumamente|extremadamente|mucho (?=más\b)",
        r"très|extrêmement|vraiment|beaucoup (?=plus\b)",
        "非常|特别|极其|十分|超级",
        r"(?<!\S)(?:बहुत(?! ज़्यादा)|बेहद|अत्यंत)(?!\S)",
    ),
}
_LESS = r"(?=(?:less|fewer|too|weniger|zu|menos|demasiado|moins|trop)\b|कम)"  # where a denial has a degree


def _compile(forms: tuple[str, ...]) -> re.Pattern[str]:
    latin = [form for form in forms if form.isascii() or re.search("[a-zà-ÿ]", form)]
    signs = [form for form in forms if form not in latin]
    words = rf"(?<![\w'’-])(?:{'|'.join(latin)})(?:(?<= )|(?![\w'’-])) ?"
    return re.compile("|".join([words, *(f"(?:{form}) ?" for form in signs)]), re.I)


_DEGREES = {degree: _compile(forms) for degree, forms in _FORMS.items()}
_DEGREES_OF_LESS = {degree: re.compile(f"(?:{form.pattern}){_LESS}", re.I) for degree, form in _DEGREES.items()}


def read_degree(text: str) -> tuple[str, float]:
    """Return what a text of one attribute asks for without its degree, and the degree: 1 where it names none.

    Of a denial ("not very sad") only what stands before "less" is read.
    """
    for degree, form in (_DEGREES_OF_LESS if denies(text) else _DEGREES).items():
        rest = " ".join(form.sub("", text).split())
        if rest and rest != " ".join(text.split()):
            return rest, degree
    return text, 1.0
