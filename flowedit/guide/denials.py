"""What a prompt asks for less of, or for the end of: "smile less", "she looks too tired", "不累", "lächle nicht".

A text tower learns a denial beside the words that it was shown denied; beside others it reads something else, or the
contrary of the denial. Of faceclip's adjectives that is so of four in ten after "less", and of eight in ten after 别.
"""

from __future__ import annotations

import re

NEGATIONS = (
    "no", "not", "without", "less", "fewer", "never", "remove", "hide", "reduce", "fade", "isn't", "aren't",
    "don't", "doesn't",
)  # fmt: skip
NEGATED = re.compile(  # somewhere in a text, of whatever: "not black" is no color, and to an encoder platinum blonde
    rf"\b(?:{'|'.join(NEGATIONS)}|kein\w*|nicht|ohne|sin|sans|pas)\b|没|不|无|बिना|नहीं", re.I
)
LONGEST = 100  # letters of a text that is looked at
FILLERS = frozenset([  # words before a denial that ask for nothing of their own
    *("a", "an", "the", "someone", "somebody", "who", "that", "is", "are", "be", "looks", "look", "looking", "seems"),
    *("seem", "she", "he", "they", "it", "i", "you", "we", "her", "him", "them", "me", "my", "his", "their", "this"),
    *("face", "person", "woman", "man", "girl", "boy", "friend", "make", "let", "have", "has", "want", "would", "like"),
    *("to", "please", "could", "can", "should", "must", "bit", "little", "lot", "much", "far", "somewhat", "slightly"),
    *("even", "just", "with"),
    *("sieht", "sehen", "wirkt", "ist", "aus", "sind", "parece", "parecen", "está", "es", "est", "sont", "semble"),
    *("bitte", "sie", "er", "ihn", "mach", "lass", "sei", "soll", "etwas", "ein", "bisschen", "viel"),
    *("ella", "él", "haz", "hazla", "hazlo", "que", "se", "vea", "parezca", "un", "poco", "mucho", "por", "favor"),
    *("elle", "il", "la", "le", "rends", "rendez", "sois", "soit", "ait", "l'air", "peu", "beaucoup", "s'il", "vous"),
    *("plaît", "estés", "seas"),
])  # fmt: skip
_LAST = (  # and after it
    r"(?:,? (?:please|at all|any ?more|now|than (?:before|now)|bitte|aus|aussehen|por favor|s'il (?:te|vous) plaît))*"
)
_COUNTS = "many|much|little|few|enough|better|happier|viele?|poco|peu"  # of what comes after
_NONE = "expression|emotion|talking"  # whose contrary is more than the want of it
_PART = "eyebrows?|brows?|eyes?|lids|lashes|lips?|mouth|nose|chin|jaw|cheeks|forehead|skin|hair|smile"
OWNERS = "her|his|their|my|your|the"
# One word, of the whole face or of a part.
_WHAT = rf"(?P<what>(?!(?:{_COUNTS}|{_NONE}|{OWNERS})\b)[^\s,;:]+(?: (?:{_PART}))?)"
_BESIDE = r"(?: (?:face|person|woman|man|girl|boy|look|expression))?"
_FORMS = tuple(
    re.compile(rf"(?P<before>(?:[^\s,;:]+ )*?){form}{_BESIDE}{_LAST}", re.I)
    for form in (
        r"(?:not|(?:does|do|did|should|is|are|was)(?:n[’']t| not)(?: (?:make|let) (?:her|him|me|them|it|us))?"
        r"(?: (?:look|be|seem|appear))?|no longer)"
        rf"(?: (?:so|too|that|quite))? {_WHAT}",
        rf"(?:less|too|never|keep from|refuse to|refuses to) {_WHAT}",
        rf"(?:get(?:ting|s)? rid of|los(?:e|ing)|wip(?:e|ing) (?:off|away)|tak(?:e|ing) (?:off|away)|drop) "
        rf"(?:the|that|this|those|these|your|my|her|his|their) {_WHAT}",
        r"(?:please )?(?:do not|don[’']t) (?P<what>[^,;:.]+)",
        rf"(?:hör\w* auf,? zu|arrêtez?s? de|cesse de|deja de|dejar de) {_WHAT}",
        rf"{_WHAT}(?: (?:a (?:bit|little|lot|tiny bit)|much|far|somewhat|slightly|even))? less",
        rf"{_WHAT} not (?:so|too) much",
        rf"(?:nicht|weniger|zu)(?: (?:so|zu))? {_WHAT}",
        rf"{_WHAT} (?:nicht|weniger)(?: so (?:sehr|viel))?",
        rf"(?:menos|demasiado|no (?:tan|estés|seas|te|se vea|parezca))(?: tan)? {_WHAT}",
        rf"{_WHAT} menos",
        rf"(?:ne |n[’'])(?:sois |soit )?{_WHAT} pas(?: (?:trop|tant|autant))?",
        rf"(?:moins|trop|pas)(?: (?:si|aussi|trop))? {_WHAT}",
        rf"{_WHAT} moins",
        rf"(?:कम|मत|बहुत ज़्यादा) {_WHAT}",
        rf"{_WHAT} (?:मत|न)(?: (?:हो|होना|होइए|करो|करना|करें|कीजिए|दिखो|दिखना))?",
        rf"बिना {_WHAT}(?: (?:के|की))?",
    )
)
_QUALITY = re.compile(  # "hair less gray" asks for less of "gray hair"
    rf"(?:(?:make|with) )?(?:(?:{OWNERS}) )?(?P<noun>[a-z]+) "
    r"(?:(?:should be|could be|be|is|are|a bit|a little|much) )*"
    rf"(?:less|no longer|not(?: so| too)?) (?P<what>[a-z]+){_LAST}",
    re.I,
)
_SIGNS = re.compile(
    r"请?(?:让)?(?:他|她|我|脸)?(?:看起来|看上去)?(?:不要|别|不再|不那么|没那么|没有那么|不太|太(?!阳|美|漂|可爱|帅|好|棒|开心|高兴)|少一点|少点|少些)(?:再|那么|这么|太)?"
    r"(?P<what>[\u4e00-\u9fff]{1,4}?)了?|不(?P<bare>累|困|笑|哭|老|胖|瘦|生气|难过|害怕|惊讶|疲惫|疲倦|悲伤|愤怒|严肃|紧张)"
)


def denies(text: str) -> bool:
    """Return whether a text denies something, by a word anywhere in it or by one of the forms that `denied` reads."""
    return NEGATED.search(text) is not None or denied(text) is not None


def denied(text: str) -> str | None:
    """Return of what a text asks for less or for none; None where its words deny nothing, or say more beside it."""
    plain = " ".join(text.split()).strip(" .,;!?。！？।")
    if len(plain) > LONGEST:
        return None
    if found := _SIGNS.fullmatch(plain):
        return found["what"] or found["bare"]
    if (found := _QUALITY.fullmatch(plain)) and found["noun"].lower() not in FILLERS - {"face"}:
        return f"{found['what']} {found['noun']}"
    for form in _FORMS:
        found = form.fullmatch(plain)
        if found and FILLERS.issuperset(found["before"].lower().split()):
            return found["what"]
    return None
