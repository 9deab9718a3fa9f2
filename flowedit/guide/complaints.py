"""What is wanted of a complaint in any language of the shipped encoder: "Meine Nase ist zu breit", "I look so tired".

A complaint of too much is said in English words for its contrary, "narrower nose", whatever adjective of the language
would be, and so is what people say of how they look. What they tell beside a request is dropped; in English `wishes`
does that before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from flowedit.guide.language import in_english
from flowedit.guide.removals import MARKS

_PARTS = {
    "nose": r"nose|nase|nez|nariz|鼻[子翼]?|नाक",
    "eyes": r"eyes|augen|yeux|ojos|眼睛?|आ[ँं]खें?",
    "lips": r"lips|lippen|lèvres|labios|嘴唇|होंठ|होठ",
    "mouth": r"mouth|mund|bouche|boca|嘴巴?|मु[ँं]ह(?!ास)",
    "chin": r"chin|kinn|menton|mentón|barbilla|下巴|ठुड्डी|ठोड़ी",
    "jaw": r"jaw(?:line)?|kiefer|mâchoire|mandíbula|下颌|腮帮子?|जबड़ा",
    "face": r"face|gesicht|visage|cara|rostro|脸(?!颊)|चेहरा",
    "forehead": r"forehead|stirn|front|frente|额头|माथा",
    "cheeks": r"cheeks|wangen|backen|joues|mejillas|cachetes|脸颊|两颊|गाल",
    "eyebrows": r"(?:eye)?brows|(?:augen)?brauen|sourcils|cejas|眉毛?|भौंहें|भौहें",
    "skin": r"skin|haut|peau|piel|cutis|皮肤|त्वचा|स्किन",
    "hair": r"hair|haare|cheveux|pelo|cabello|头发|बाल",
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
_IN_ENGLISH = {
    "narrower": "wide|broad",
    "wider": "narrow",
    "smaller": "big|large|huge|enormous",
    "bigger": "small|tiny|little",
    "shorter": "long",
    "longer": "short",
    "thinner": "thick|bushy",
    "thicker": "thin|sparse|fine",
    "slimmer": "round|fat|chubby|puffy",
    "lighter": "dark",
    "darker": "light|pale|fair",
    "less red": "red",
    "matte": "shiny|oily|greasy",
    "lower": "high",
}
_STATES = {  # what people say of how they look, by what they want
    "less tired": r"tired|exhausted|worn out|drained|cansad[oa]|agotad[oa]|müde|erschöpft|fatiguée?|épuisée?|"
    r"crevée?|累|疲惫|疲倦|憔悴|थक[ाीे](?: हु[आई])?",
    "younger": r"old|aged|ancient|viej[oa]|mayor|alt|vieux|vieille|老|बूढ़[ाीे]",
    "less sad": r"sad|depressed|triste|deprimid[oa]|traurig|难过|伤心|忧郁|उदास|दुखी",
    "less angry": r"angry|mad|mean|grumpy|enojad[oa]|enfadad[oa]|böse|wütend|grimmig|fâchée?|en colère|"
    r"生气|凶|गुस्से में|नाराज़",
    "less pale": r"pale|washed out|pálid[oa]|blass|bleich|pâle|苍白|फीक[ाी]",
    "less red": r"red|flushed|roj[oa]|rot|rouge|लाल",
    "matte skin": r"shiny|oily|greasy|sweaty|grasos[oa]|fettig|glänzend|grasse|油|तैलीय",
    "slimmer face": r"fat|chubby|puffy|bloated|gord[oa]|hinchad[oa]|dick|aufgedunsen|grosse?|bouffie?|胖|मोट[ाीे]",
    "fuller cheeks": r"gaunt|skinny|bony|flac[oa]|abgemagert|maigre|दुबल[ाीे]",
}
_THAN = {  # the same of what is more than it should be
    "younger": r"older|más (?:viej[oa]|mayor)|älter|plus (?:vieux|vieille)",
    "less pale": r"paler|más pálid[oa]|blasser|plus pâle",
    "less red": r"redder|más roj[oa]|röter|plus rouge",
    "less tired": r"more tired|más cansad[oa]|müder|plus fatiguée?",
    "slimmer face": r"fatter|puffier|más gord[oa]|dicker|plus grosse?",
}
_OVERDONE = re.compile(  # "I overdid the blush"
    r"(?:i look like )?i (?:really |totally |kind of )?(?:overdid|went overboard with|put on too much|used too much|"
    r"have too much) (?:it (?:with|on) )?(?:the |my )?(?:fake )?"
    r"(?P<what>tan|blush|make-?up|lipstick|(?:eye ?)?liner|eye ?shadow|mascara|highlighter)(?: on)?",
    re.I,
)
_PART = "|".join(_PARTS.values())
_MARK = "|".join(MARKS.values())
_ENDED = re.compile(  # a request that something is to go
    r"\b(?:entfern\w*|weg(?:machen|retuschieren)?|lösch\w*|enl[eè]ve\w*|efface\w*|gomme\w*|supprime\w*|qu[ií]ta\w*|b[oó]rra\w*|"
    r"elim[ií]na\w*)\b|去掉|去除|祛|消除|弄掉|P掉|हटा|मिटा|साफ़? कर",
    re.I,
)


_FIXED = re.compile(  # a request that says nothing but that it should be better
    r"(?:(?:please|pls|can you|could you|so|bitte|por favor|s'il (?:te|vous) plaît|请|能) ?)*"
    r"(?:(?:fix|correct|change|help|calm|tone|improve|sort|do something|make it (?:better|less|normal|stop))\b"
    r".{0,30}|arr[eé]gl\w*.{0,12}|corr[ií]g\w*.{0,12}|mejor\w*.{0,12}|ayúd\w*|haz algo|"
    r"(?:mach|tu) (?:was|etwas|das).{0,20}|korrigier\w*.{0,12}|verbesser\w*.{0,12}|hilf mir|"
    r"arrange\w*.{0,12}|améliore\w*.{0,12}|aide-moi|"
    r"fais quelque chose|.{0,6}(?:修|改|弄|救)(?:一下|好|掉)?.{0,3}|.{0,8}(?:ठीक|सुधार).{0,12}|"
    r"please|pls|bitte|por favor)",
    re.I,
)
_MINE = re.compile(r"(?:my|mein\w*|tengo|j'ai)\b", re.I)  # 我的鼻子很大 may as well tell how it is to be


class _Language(NamedTuple):
    """How complaints are said.

    Attributes:
        excess: a whole clause that says that a part is too much of something.
        plain: one that says that it is so, a complaint before a request that it should be better.
        much: one that says that it is very much so, a complaint before a request, and in some languages of one's own.
        looks: one that says of one's own look what nobody wants; of what one is only with a degree, "I am so pale".
        more: one that says so by a comparison with how it should be.
        state: one that says how somebody looks.
        wish: what a request begins with, or has anywhere.
        contrary: what is wanted, in English -> adjectives that are too much.
    """

    excess: re.Pattern[str]
    plain: re.Pattern[str]
    much: re.Pattern[str]
    looks: re.Pattern[str]
    more: re.Pattern[str]
    state: re.Pattern[str]
    wish: re.Pattern[str]
    contrary: Mapping[str, str]


def _compile(
    excess: str,
    too: str,
    very: str,
    looks: str,
    being: str,
    tail: str,
    than: str,
    state: str,
    wish: str,
    contrary: Mapping[str, str] = _CONTRARY,
) -> _Language:
    adjectives = "|".join(contrary.values())
    filled = excess.replace("PART", f"(?P<part>{_PART})").replace("ADJECTIVE", f"(?P<adjective>{adjectives})")
    states, more = ("|".join(table.values()) for table in (_STATES, _THAN))
    degree = f"(?:(?:{too}|{very}) ?)"
    forms = {
        "excess": filled.replace("TOO", f"(?:{too})"),
        "plain": re.sub("TOO ?", "", filled),
        "much": filled.replace("TOO", f"(?:{very})"),
        "looks": f"(?:{looks} ?{degree}*(?P<seen>{states})|{being} ?{degree}+(?P<being>{states})){tail}",
        "more": f"(?:{looks}|{being}) ?(?:{degree}|much )*(?P<seen>{more}){tail}{than}{tail}",
        "state": state,
        "wish": wish,
    }
    return _Language(**{name: re.compile(form, re.I) for name, form in forms.items()}, contrary=contrary)


_LANGUAGES = (
    _compile(  # English
        r"my PART (?:(?:is|are|looks?) )?(?:just |always |a bit )*TOO ADJECTIVE",
        r"(?:way |far |much )?too",
        r"so|very|really|super|quite|pretty|kind of|kinda",
        r"(?:i(?: always| just| really)? (?:look(?:ed)?|seem|appear)|my face looks?)",
        r"(?:i(?:'m| am)|my face is)",
        r"(?: (?:here|in (?:this|that|the|my) (?:photo|picture|pic|one)|lately|today|these days|for my age))*",
        r" than (?:i am|i feel|i really am|i should|usual|normal|my age)(?: here)?",
        r"(?!)",
        r"^(?:please|can|could|make|give|get|take|remove|add|i (?:want|need|would))\b",
        _IN_ENGLISH,
    ),
    _compile(  # German
        r"(?:[msd]eine?|ihre?|die|der|das) PART (?:(?:ist|sind|wirkt|wirken) )?(?:hier |mir |viel |etwas )*"
        r"TOO ADJECTIVE",
        r"zu|(?<=wirkt )so|(?<=wirken )so",
        r"so|sehr",
        r"ich (?:sehe|wirke|schaue|gucke)(?: hier| auf dem (?:foto|bild)| immer| echt)*",
        r"ich bin(?: hier| auf dem (?:foto|bild)| immer| echt)*",
        r"(?: aus)?",
        r"(?: aus)? als ich (?:bin|mich fühle)|(?: aus)? als sonst",
        r"(?:(?:ich|er|sie) )?(?:sehe?n?|sieht|schaue?|gucke?|wirke?n?|bin|ist|habe?|hat) .+",
        r"^(?:bitte|kannst|könntest|mach\w*|entfern\w*|lass\w*|gib|verklein\w*|vergrößer\w*|hell\w*|glätt\w*|nimm|"
        r"kaschier\w*|verschmäler\w*|reduzier\w*)\b|\bweg\b",
    ),
    _compile(  # French
        r"(?:mon|ma|mes|son|sa|ses|le|la|les|(?:j'ai|il a|elle a) (?:le|la|les)) PART(?: (?:est|sont|fait|font))?"
        r" (?:bien |beaucoup |un peu )?TOO ADJECTIVE",
        r"trop",
        r"très|si|tellement|vraiment",
        r"(?:j'ai l'air|je (?:parais|fais|semble))",
        r"je suis",
        r"(?: (?:ici|sur (?:la|cette) photo))*",
        r" (?:que (?:je ne le suis|d'habitude|mon âge))",
        r"(?:j'ai|je (?:suis|fais|parais)|(?:il|elle) (?:a|est|fait|paraît)) .+",
        r"^(?:tu peux|peux-tu|pouvez-vous|vous pouvez|tu pourrais|s'il|enl[eè]ve\w*|efface\w*|affine\w*|agrandi\w*|"
        r"rends|rendez|fais|faites|mets|ajoute\w*|gomme\w*|atténue\w*|réduis\w*|donne\w*|ferme\w*|matifie\w*|"
        r"éclairci\w*|assombri\w*|lisse\w*)\b",
    ),
    _compile(  # Spanish
        r"(?:mis?|sus?|la|el|los|las|(?:tengo|tiene) (?:la|el|los|las)) PART (?:(?:es|son|está|están|se ven?) )?"
        r"TOO ADJECTIVE",
        r"demasiado",
        r"muy|tan|bastante",
        r"(?:parezco|me veo|salgo|luzco)",
        r"estoy",
        r"(?: (?:aquí|en (?:la|esta) foto))*",
        r" (?:de lo (?:que soy|normal)|que nunca)",
        r"(?:parezco|parece|me veo|se ve|estoy|está|salgo|sale|tengo|tiene) .+",
        r"^(?:puedes|podrías|por favor|qu[ií]ta\w*|borra\w*|ha[zg]\w*|pon\w*|agranda\w*|afina\w*|elimina\w*|reduce\w*|"
        r"suaviza\w*|dame|dale|aclara\w*|oscurece\w*|achica\w*)\b",
    ),
    _compile(  # Chinese
        r"(?:我|他|她|你)?的?PART(?:有点|实在|真的|也|看起来)?TOOADJECTIVE了?",
        r"太",
        r"好|很|这么",
        r"我(?:看起来|看上去|显得)(?:真的|有点|好像)*",
        r"我(?:真的|有点|好像)*",
        r"了?",
        r"(?!)",
        r"(?:我|他|她)(?:看起来|看上去|显得|有|长了|好|很).+",
        r"^(?:请|帮|能|可以|去|祛|把|给|弄|变|改|调|[pP]|瘦|缩|放大|淡化|消除|遮|加|让|想|美白|提亮)",
    ),
    _compile(  # Hindi
        r"(?:(?:मेर|उसक|इसक)[ाीे] )?PART TOO ADJECTIVE (?:हैं?|लग रह[ाीे] हैं?)",
        r"(?:बहुत )?ज़्यादा|बहुत(?= \S+ लग)",
        r"बहुत|काफ़ी|इतन[ाीे]",
        r"मैं(?: इस (?:फ़?ोटो|तस्वीर) में)?(?=.* रह[ाी] )",
        r"मैं",
        r" (?:(?:लग|दिख) रह[ाी] )?हू[ँं]",
        r"(?!)",
        r"(?:मैं .+ (?:हू[ँं])|(?:मेर|उसक)[ाीे] .+ हैं?)",
        r"(?:दो|करो|हटाओ|बनाओ|दीजिए|कीजिए|करें|दें|चाहिए)$",
    ),
)
_MARKED = re.compile(rf"(?<![a-zà-ÿ])(?:{_MARK})(?![a-zà-ÿ])", re.I)
_NAMED = re.compile(rf"(?<![a-zà-ÿ])(?:{_PART}|{_MARK})(?![a-zà-ÿ])", re.I)
_CUT = re.compile(r"\s*[,.;!?，。；！？।]\s*")
_AND = re.compile(r"\s+(?:and|und|y|et|और)\s+|(?<=[大小高宽长短厚薄红黑白])(?:而且|和)(?=[^人])")


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
    asking = [any(form.search(each) for form in (language.wish, _ENDED)) for each in clauses]
    last_asking = max((k for k, asks in enumerate(asking) if asks), default=-1)
    last_told = max((k for k, each in enumerate(clauses) if not _FIXED.fullmatch(each)), default=-1)
    for k, clause in enumerate(clauses):
        later, fixed, rest = last_asking > k, last_told <= k, clauses[k + 1 : k + 2]
        mark = _MARKED.search(clause)
        if told := _too_much(clause, language, later, fixed and bool(rest)):
            wanted += told
            answered = True
        elif mark and not _ENDED.search(clause) and rest and _ENDED.search(rest[0]) and not _NAMED.search(rest[0]):
            wanted.append(f"no {in_english(MARKS, mark[0])}")
            answered = True
        elif fixed and (looks := _unwanted(clause, language)):
            wanted.append(looks)
            answered = True
        elif later and language.state.fullmatch(clause):
            continue
        elif not (answered and not _NAMED.search(clause) and (asking[k] or _FIXED.fullmatch(clause))):
            wanted.append(clause)
    return wanted


def _too_much(clause: str, language: _Language, later: bool, fixed: bool) -> list[str]:
    """Return what is wanted of a clause that says of parts that they are too much of something; else nothing.

    Args:
        clause: to be read.
        language: its own.
        later: whether a request follows.
        fixed: whether what follows asks for nothing but that it should be better.
    """
    pieces, told = _AND.split(clause), list[str]()
    for piece in pieces:
        found = language.excess.fullmatch(piece)
        if found is None and (later or _MINE.match(clause)):
            found = language.much.fullmatch(piece)
        if found is None and fixed:
            found = language.plain.fullmatch(piece)
        if found is None:
            return []
        told.append(f"{in_english(language.contrary, found['adjective'])} {in_english(_PARTS, found['part'])}")
    return told


def _unwanted(clause: str, language: _Language) -> str | None:
    """Return what is wanted of a clause that says how somebody does not want to look."""
    if found := _OVERDONE.fullmatch(clause):
        return f"less {found['what']}"
    if found := language.looks.fullmatch(clause):
        return in_english(_STATES, found["seen"] or found["being"])
    if found := language.more.fullmatch(clause):
        return in_english(_THAN, found["seen"])
    return None
