"""What is wanted of a complaint in Spanish, German, French, Chinese or Hindi: "Meine Nase ist zu breit".

`wishes` has English. A complaint of too much is said in English words for its contrary, "a narrower nose", whatever
adjective of the language would be; what tells how somebody looks is dropped where a request follows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from flowedit.guide.language import in_english
from flowedit.guide.removals import MARKS

_PARTS = {
    "nose": r"nase|nez|nariz|鼻[子翼]?|नाक",
    "eyes": r"augen|yeux|ojos|眼睛?|आ[ँं]खें?",
    "lips": r"lippen|lèvres|labios|嘴唇|होंठ|होठ",
    "mouth": r"mund|bouche|boca|嘴巴?|मु[ँं]ह",
    "chin": r"kinn|menton|mentón|barbilla|下巴|ठुड्डी|ठोड़ी",
    "jaw": r"kiefer|mâchoire|mandíbula|下颌|腮帮子?|जबड़ा",
    "face": r"gesicht|visage|cara|rostro|脸(?!颊)|चेहरा",
    "forehead": r"stirn|front|frente|额头|माथा",
    "cheeks": r"wangen|backen|joues|mejillas|cachetes|脸颊|两颊|गाल",
    "eyebrows": r"(?:augen)?brauen|sourcils|cejas|眉毛?|भौंहें|भौहें",
    "skin": r"haut|peau|piel|cutis|皮肤|त्वचा|स्किन",
    "hair": r"haare|cheveux|pelo|cabello|头发|बाल",
}
_CONTRARY = {
    "narrower": r"breit|larges?|anch[oa]s?|宽|चौड़[ाीे]",
    "wider": r"schmal|étroite?s?|estrech[oa]s?|窄|स[ँं]कर[ाीे]",
    "smaller": r"groß|gro(?:s|sse)s?|grande?s?|大|बड़[ाीे]",
    "bigger": r"klein|petite?s?|pequeñ[oa]s?|chic[oa]s?|小|छोट[ाीे]",
    "shorter": r"lang|long(?:ue)?s?|larg[oa]s?|长|ल[ंम]्?ब[ाीे]",
    "longer": r"kurz|courte?s?|cort[oa]s?|短",
    "thinner": r"dick|buschig|épais(?:se)?s?|grues[oa]s?|poblad[oa]s?|厚|粗|浓|मोट[ाीे]|घन[ाीे]",
    "thicker": r"dünn|fine?s?|minces?|fin[oa]s?|delgad[oa]s?|薄|细|稀|पतल[ाीे]",
    "slimmer": r"rund|ronde?s?|redond[oa]s?|gord[oa]s?|圆|胖|肥|गोल",
    "lighter": r"dunkel|foncée?s?|sombres?|oscur[oa]s?|黑|暗|काल[ाीे]|सांवल[ाीे]",
    "darker": r"hell|blass|bleich|claire?s?|pâles?|clar[oa]s?|pálid[oa]s?|白|苍白",
    "less red": r"rot|rouges?|roj[oa]s?|红|लाल",
    "matte": r"glänzend|fettig|brillante?s?|grasse?s?|grasos?a?|油|亮|तैलीय|चिकन[ाीे]",
    "lower": r"hoch|hauts?|alt[oa]s?|高|ऊ[ँं]च[ाीे]",
}
_PART = "|".join(_PARTS.values())
_ADJECTIVE = "|".join(_CONTRARY.values())
_MARK = "|".join(MARKS.values())
_ENDED = re.compile(  # a request that something is to go
    r"\b(?:entfern\w*|weg(?:machen|retuschieren)?|lösch\w*|enl[eè]ve\w*|efface\w*|gomme\w*|supprime\w*|qu[ií]ta\w*|b[oó]rra\w*|"
    r"elim[ií]na\w*)\b|去掉|去除|祛|消除|弄掉|P掉|हटा|मिटा|साफ़? कर",
    re.I,
)


class _Language(NamedTuple):
    """How complaints are said.

    Attributes:
        excess: a whole clause that says that a part is too much of something.
        much: one that says that it is very much so, which is a complaint before a request.
        state: one that says how somebody looks.
        wish: what a request begins with, or has anywhere.
    """

    excess: re.Pattern[str]
    much: re.Pattern[str]
    state: re.Pattern[str]
    wish: re.Pattern[str]


def _compile(excess: str, too: str, very: str, state: str, wish: str) -> _Language:
    filled = excess.replace("PART", f"(?:{_PART})").replace("ADJECTIVE", f"(?P<adjective>{_ADJECTIVE})")
    forms = (filled.replace("TOO", f"(?:{too})"), filled.replace("TOO", f"(?:{very})"), state, wish)
    return _Language(*(re.compile(each, re.I) for each in forms))


_LANGUAGES = (
    _compile(  # German
        r"(?:[msd]eine?|ihre?|die|der|das) PART (?:ist|sind|wirkt|wirken) (?:hier |mir |viel |etwas )*TOO ADJECTIVE",
        r"zu|(?<=wirkt )so|(?<=wirken )so",
        r"so|sehr",
        r"(?:(?:ich|er|sie) )?(?:sehe?n?|sieht|schaue?|gucke?|wirke?n?|bin|ist|habe?|hat) .+",
        r"^(?:bitte|kannst|könntest|mach\w*|entfern\w*|lass\w*|gib|verklein\w*|vergrößer\w*|hell\w*|glätt\w*|nimm|"
        r"kaschier\w*|verschmäler\w*|reduzier\w*)\b|\bweg\b",
    ),
    _compile(  # French
        r"(?:(?:mon|ma|mes|son|sa|ses|le|la|les) PART (?:est|sont|fait|font)|(?:j'ai|il a|elle a) (?:le|la|les) PART)"
        r" (?:bien |beaucoup |un peu )?TOO ADJECTIVE",
        r"trop",
        r"très|si|tellement",
        r"(?:j'ai|je (?:suis|fais|parais)|(?:il|elle) (?:a|est|fait|paraît)) .+",
        r"^(?:tu peux|peux-tu|pouvez-vous|vous pouvez|tu pourrais|s'il|enl[eè]ve\w*|efface\w*|affine\w*|agrandi\w*|"
        r"rends|rendez|fais|faites|mets|ajoute\w*|gomme\w*|atténue\w*|réduis\w*|donne\w*|ferme\w*|matifie\w*|éclairci\w*|assombri\w*|lisse\w*)\b",
    ),
    _compile(  # Spanish
        r"(?:(?:mis?|sus?|la|el|los|las) PART (?:es|son|está|están|se ven?)|(?:tengo|tiene) (?:la|el|los|las) PART)"
        r" TOO ADJECTIVE",
        r"demasiado",
        r"muy|tan",
        r"(?:parezco|parece|me veo|se ve|estoy|está|salgo|sale|tengo|tiene) .+",
        r"^(?:puedes|podrías|por favor|qu[ií]ta\w*|borra\w*|ha[zg]\w*|pon\w*|agranda\w*|afina\w*|elimina\w*|reduce\w*|"
        r"suaviza\w*|dame|dale|aclara\w*|oscurece\w*|achica\w*)\b",
    ),
    _compile(  # Chinese
        r"(?:我|他|她|你)?的?PART(?:有点|实在|真的|也|看起来)?TOOADJECTIVE了?",
        r"太",
        r"好|很|这么",
        r"(?:我|他|她)(?:看起来|看上去|显得|有|长了|好|很).+",
        r"^(?:请|帮|能|可以|去|祛|把|给|弄|变|改|调|[pP]|瘦|缩|放大|淡化|消除|遮|加|让|想|美白|提亮)",
    ),
    _compile(  # Hindi
        r"(?:(?:मेर|उसक|इसक)[ाीे] )?PART TOO ADJECTIVE (?:हैं?|लग रह[ाीे] हैं?)",
        r"(?:बहुत )?ज़्यादा|बहुत(?= \S+ लग)",
        r"बहुत|काफ़ी",
        r"(?:मैं .+ (?:हू[ँं])|(?:मेर|उसक)[ाीे] .+ हैं?)",
        r"(?:दो|करो|हटाओ|बनाओ|दीजिए|कीजिए|करें|दें|चाहिए)$",
    ),
)
_MARKED = re.compile(rf"(?<![a-zà-ÿ])(?:{_MARK})(?![a-zà-ÿ])", re.I)
_NAMED = re.compile(rf"(?<![a-zà-ÿ])(?:{_PART}|{_MARK})(?![a-zà-ÿ])", re.I)
_CUT = re.compile(r"\s*[,.;!?，。；！？।]\s*")


def answer_complaints(text: str) -> str:
    """Return a text with what is too much said as its contrary, and without what else is told before a request.

    "Mes yeux sont trop petits, agrandis-les" is "bigger eyes", "Parezco cansada, quita las ojeras" is "quita las
    ojeras", and "j'ai des cernes, enlève-les" is "no dark circles". Any other text stays.
    """
    clauses = [each for each in _CUT.split(text) if each]
    for language in _LANGUAGES:
        wanted = _answer(clauses, language)
        if wanted and wanted != clauses:
            return ", ".join(wanted)
    return text


def _answer(clauses: list[str], language: _Language) -> list[str]:
    wanted, answered = list[str](), False
    for k, clause in enumerate(clauses):
        rest = clauses[k + 1 :]
        later = any(language.wish.search(each) or _ENDED.search(each) for each in rest)
        mark = _MARKED.search(clause)
        if found := language.excess.fullmatch(clause) or (language.much.fullmatch(clause) if later else None):
            part = _NAMED.findall(clause)[0]
            wanted.append(f"{in_english(_CONTRARY, found['adjective'])} {in_english(_PARTS, part)}")
            answered = True
        elif mark and not _ENDED.search(clause) and rest and _ENDED.search(rest[0]) and not _NAMED.search(rest[0]):
            wanted.append(f"no {in_english(MARKS, mark[0])}")
            answered = True
        elif later and language.state.fullmatch(clause):
            continue
        elif not (answered and not _NAMED.search(clause) and (language.wish.search(clause) or _ENDED.search(clause))):
            wanted.append(clause)
    return wanted
