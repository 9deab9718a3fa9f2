"""What is to go and what is to stay, of several things: "remove my wrinkles and dark circles, keep the freckles".

A guide reads one thing at a time, and of the second it does not know that the verb is meant for it too. What stays is
not for it to read at all.
"""

from __future__ import annotations

import re

from flowedit.guide.denials import OWNERS
from flowedit.guide.language import in_english

MARKS = {  # in English, and what each is called in it and in Spanish, German, French, Chinese and Hindi
    "dark circles": r"(?:dark |black )?circles|dark rings|(?:(?:eye ?|under ?eye )?bags|panda eyes)|ojeras|bolsas|"
    r"augenringe|tränensäcke|cernes|poches|黑眼圈|眼袋|काले घेरे",
    "crow's feet": r"crow'?s feet|patas de gallo|krähenfüße|pattes d'oie|鱼尾纹",
    "smile lines": r"(?:smile|laugh|nasolabial|marionette) (?:lines|folds)|lachfalten|法令纹",
    "forehead wrinkles": r"(?:forehead|frown|worry) (?:wrinkles|lines)|stirnfalten|rides du front|"
    r"arrugas de la frente|抬头纹|माथे की झुर्रिया[ँं]",
    "wrinkles": r"wrinkles|(?:fine )?lines|creases|arrugas|falten|rides|皱纹|细纹|झुर्रिया[ँं]",
    "freckles": r"freckles|pecas|sommersprossen|taches de rousseur|雀斑|झाइया[ँं]",
    "stubble": r"stubble|five o'?clock shadow|beard shadow|(?:bart)?stoppeln|barbe naissante|胡茬",
    "beard": r"beard|barba|bart|barbe(?! naissante)|胡子|दाढ़ी",
    "mustache": r"mo?ustache|bigote|schnurrbart|मू[ंँ]छ(?:ें)?",
    "shine": r"(?:oily )?shine|brillos?|glanz|brillance|油光",
    "pimples": r"pimples|zits|acne|blemishes|granos|acné|pickel|boutons|痘痘?|痘印|मु[ँं]?हा[ँं]?से",
    "spots": r"(?:age |sun |dark )?spots|manchas|flecken|斑点?|दाग",
    "blush": r"blush|rouge(?! à)|colorete|腮红|ब्लश",
    "mascara": r"mascara|wimperntusche",
    "eyeliner": r"(?:eye ?)?liner|eye-liner|delineador|眼线",
    "eye shadow": r"eye ?shadow|sombra de ojos|lidschatten|fard à paupières|眼影",
    "lipstick": r"lipstick|pintalabios|lippenstift|rouge à lèvres|口红|लिपस्टिक",
    "makeup": r"make-?up|maquillaje|schminke|maquillage|妆",
    "gray hair": r"gr[ae]y hairs?|gr[ae]ys|white hairs?|canas|graue haare|cheveux (?:gris|blancs)|白头发|白发|सफ़?ेद बाल",
    "double chin": r"double chin|papada|doppelkinn|double menton|双下巴",
    "smile": r"smile|grin|sonrisa|lächeln|sourire|笑容|मुस्कान",
}
_MARK = "|".join(MARKS.values())
UNWANTED = (  # what hardly anybody asks for
    *("dark circles", "crow's feet", "smile lines", "forehead wrinkles", "wrinkles", "pimples", "spots", "shine"),
    "double chin",
)
_OWNED = (
    rf"(?:(?:all|any|some|of|these|those|this|that|{OWNERS}|mis?|sus?|el|la|los|las|estas|meine?n?|die|das|der|diese|"
    r"mes|ma|mon|ses|les|le|l'|ces|deine?) ?)*"
)
_ADJECTIVE = r"(?:(?:dark|deep|fine|ugly|horrible|awful|nasty|bad|big|heavy|puffy|annoying|tiny|little) )?"
_WHERE = (
    r"(?: (?:under|around|on|at|near|between|beside|of|de|del|des|du|en|bajo|sous|sur|autour de|unter|um|auf|an) "
    rf"{_OWNED}"
    r"(?:eyes?|mouth|forehead|face|nose|cheeks?|skin|chin|ojos|cara|piel|frente|nariz|boca|yeux|visage|peau|front|nez|"
    r"bouche|augen|gesicht|haut|stirn|nase|mund))?"
)
_ITEM = rf"{_OWNED}{_ADJECTIVE}(?:{_MARK}){_WHERE}"
_OR = r"(?:,?\s+(?:or|nor|o|ni(?: de)?|oder|ou|या)\s+|\s*,?\s+no\s+)"
_AND = rf"(?:{_OR}|,?\s+(?:and|&|plus|y|e|und|et|और)\s+|和|与|及|、)"
_LIST = rf"(?P<items>{_ITEM}(?:(?:,\s*{_ITEM})*{_AND}{_ITEM})*)"
_ENGLISH = (
    r"(?:remove|erase|delete|hide|eliminate|fix|get rid of|take (?:away|off|out)|lose|wipe (?:off|away)|"
    r"photoshop out|edit out|conceal|cover(?: up)?|without|neither|no)"
)
_LESSENING = r"(?:reduce|fade|soften|lessen|minimi[sz]e|tone down|lighten|less|fewer)"
_FOREIGN = (
    r"(?:quitar(?:me)?|qu[ií]ta(?:me|le)?|elimina[r]?|borra[r]?|sin|no quiero|entferne?|ohne|keine|lösche|"
    r"je ne veux (?:plus|pas) (?:de|d')|enl[eè]ve[rz]?(?:-moi)?|efface[rz]?|supprime[rz]?|gomme[rz]?|sans|"
    r"cache[rz]?|couvr(?:e|ir))"
)
_SIGNS = r"(?:(?:请)?(?:帮我)?(?:把)?(?:去掉|去除|祛除?|消除|不要|没有|P掉|去))"
_LAST_ENGLISH = r"gone|disappear|vanish|go away|away|off|(?:have|has|need|needs) to go|must go"
_LAST = rf"(?:{_LAST_ENGLISH}|weg(?:machen)?|entfernen|verschwinden|हटाओ|हटा दो|हटाइए|मिटाओ|मिटा दो|के बिना|去掉|去除)"
_GO = tuple(
    re.compile(form, re.I)
    for form in (
        rf"(?<!\w)(?P<verb>{_ENGLISH}|{_FOREIGN}) {_LIST}(?!\w)",
        rf"(?<!\w)(?P<less>{_LESSENING}) {_LIST}(?!\w)",
        rf"(?P<verb>{_SIGNS})(?:我的|脸上的)?{_LIST}",
        rf"(?<!\w)(?:(?:make|have|let|take) )?{_LIST} ?(?P<verb>{_LAST})(?!\w)",
    )
)
_HATED = tuple(
    re.compile(form, re.I)
    for form in (
        rf"^(?:i (?:really |just )?|i'?m (?:so )?)?(?:hate|can'?t stand|dislike|tired of|sick of|fed up with|odio|"
        rf"(?:i )?don'?t like|ich hasse|je déteste) {_LIST}$",
        rf"^i (?:don'?t (?:wear|like|want|use)|hate) {_LIST}[,.;] (?:please )?(?:remove|erase|delete|take|hide|lose) "
        r"(?:it|them)(?: off| away)?$",
        rf"^(?:(?:don'?t|do not) change anything|change nothing|everything is fine) (?:except|but)(?: for)? {_LIST}$",
        rf"^{_LIST} (?:is|are|looks?) (?:so |really |very )?(?:ugly|annoying|awful|terrible|horrible)$",
        rf"^{_LIST} (?:is|are|looks?) too (?P<less>dark|long|deep|visible|obvious|strong|heavy|many|much)$",
        rf"^i(?: have|'ve got| got) {_LIST}[,.;]? (?:please |pls |can you |could you )*"
        r"(?:fix|help|do something|sort it out)(?: it| them| this| that)?(?: please| pls)?$",
    )
)
_GREASY = re.compile(
    r"^(?:i hate )?(?:my )(?:oily |greasy |shiny )?(?:face|skin|forehead|nose|t-?zone)"
    r"(?: (?:is|looks|gets) (?:so |very |really |all |too )*(?:oily|greasy|shiny))?[,.]?"
    r"(?: (?:please |pls )?fix(?: it| this)?(?: please| pls)?)?$|"
    r"^(?:face|skin|forehead) (?:is|looks) (?:\w+ )?(?:oily|greasy|shiny),? (?:please |pls )?fix(?: it)?"
    r"(?: please| pls)?$",
    re.I,
)
_PART = (
    r"(?:(?:(?:eye ?)?brows?|eyes?|lips|mouth|nose|chin|jaw|cheeks|skin|hair|beard|glasses|teeth|ears|make-?up|dimples|"
    r"moles?|cejas|ojos|pelo|labios|piel|barba|augen|brauen|haare|lippen|haut|bart|brille|yeux|sourcils|cheveux|lèvres|"
    r"peau|barbe|lunettes)(?: (?:colou?rs?|shapes?|sizes?|tones?))?|"
    r"(?:eye|hair|lip|skin|brow) (?:colou?r|shape|size|tone))"
)
_THING = rf"(?:{_ITEM}|{_OWNED}(?:(?:natural|own|current|original) )?{_PART})"
_STAYS = (
    r"(?:,? (?:intact|visible|natural|alone|there|as is|as (?:it|they) (?:is|are)|so|please|though|tho|"
    r"(?<=eyes )open))*"
)
_REMOVING = (
    r"(?:(?:remov|eras|delet|hid|los)(?:e|ing)|touch(?:ing)?|chang(?:e|ing)|get(?:ting)? rid of|tak(?:e|ing) away)"
)
_KEPT = tuple(
    re.compile(form, re.I)
    for form in (
        r"(?:[,.;]? ?\b(?:and|but|while|though|y|pero|und|aber|et|mais) |[,.;] ?|^)(?:please |just )?"
        r"(?:keep(?:ing)?|leave|leaving|preserve|i (?:don'?t mind|like|love)|"
        rf"(?:don'?t|do not|never|without) {_REMOVING}|"
        r"deja|mantén|conserva|(?:no|sin) (?:quit(?:es|ar)|borr(?:es|ar)|to(?:ques|car)|cambi(?:es|e|ar))|"
        r"behalte?|lass|entferne nicht|"
        r"garde[rz]?|laisse[rz]?|conserve[rz]?|sans (?:enlever|changer|toucher(?: à| aux?)?)|n'enlève pas|"
        r"ne (?:touche|change)[rz]? pas(?: à| aux?)?|(?:with )?(?:the )?same) "
        rf"{_THING}(?:(?:,|{_AND})\s*{_THING})*{_STAYS}"
        r"(?: (?:because|since) [^,.;]*)?(?=\W*$|[,.;]| (?:and|but|just|y|und|et)\b)",
        rf" (?:without {_REMOVING}|sans (?:enlever|changer|toucher(?: à| aux?)?)|(?:with )?(?:the )?same) {_THING}"
        r"(?=\W*$|[,.;])",
        rf"(?:[,.;]? ?\b(?:und|aber) |[,.;] ?){_THING} (?:bitte )?(?:nicht (?:ändern|verändern|anfassen)|so lassen)",
        r"(?:[,，。;；]|但是?|不过)+(?:不要|别)(?:改变?|动|变|碰)(?:我的)?(?:头发|眼睛|嘴唇|眉毛|皮肤|鼻子|脸)",
        rf"(?:[,，。;；]|但是?|不过)?(?:保留|别去掉|不要去掉|别动)(?:我的)?(?:{_MARK})",
        rf"(?:[,।]|लेकिन|पर|और)? ?(?:मेर[ेीा] )?(?:{_MARK}|बाल|आ[ँं]खें|होंठ|रंग) "
        r"(?:रहने दो|मत (?:बदलो|बदलना|छेड़ो)|मत हटाओ|मत हटाना|रखो|वैसे ही)",
    )
)
_ONLY = re.compile(  # "don't remove the freckles, just the wrinkles"
    rf"(?:(?:don'?t|do not|never) {_REMOVING}|n'enlève pas|no quites|entferne nicht) {_ITEM},? "
    rf"(?:just|only|but|juste|seulement|mais|solo|sino|nur|sondern) (?P<items>{_ITEM})",
    re.I,
)
_NOT = re.compile(rf"(?: but|,) not (?P<items>{_ITEM})(?=\W*$|[,.;])", re.I)
_ASIDE = re.compile(r"[,;]? ?\b(?:i|we|he|she)(?:'m|'ve)? [^,.;]*\b(?:it|them|these|those)\b[^,.;]*", re.I)
_LIKED = re.compile(r"i (?:like|love)\b", re.I)
_OPENING = re.compile(r"^\W*(?:and|but|just|y|pero|und|aber|et|mais)\b ?", re.I)
_SHINES = re.compile(r"(?<!^)\b(?:oily|greasy|shiny)\b", re.I)
_IN_ENGLISH = re.compile(rf"^(?:{_ENGLISH}|{_LESSENING})\b|\b(?:{_LAST_ENGLISH})$", re.I)
_PRONOUN = re.compile(r"\b(?:it|them|these|those)\b", re.I)
_COURTESY = re.compile(
    r"^(?:(?:please|pls|bitte|por favor|can you|could you|s'il (?:te|vous) plaît)[, ]+)+|"
    r"(?:,? (?:please|pls|plz|bitte|por favor|porfa|s'il (?:te|vous) plaît))+$",
    re.I,
)
_WEAK = re.compile(r"(?:no|without|sin|ohne|keine|sans|不要|没有)", re.I)
_UNWANTED = re.compile(rf"{_OWNED}(?:{'|'.join(MARKS[name] for name in MARKS if name in UNWANTED)}){_WHERE}", re.I)
_PLACES = (  # where wrinkles have a name
    (re.compile(r"\b(?:eyes?|ojos|yeux|augen)\b", re.I), "crow's feet"),
    (re.compile(r"\b(?:mouth|boca|bouche|mund)\b", re.I), "smile lines"),
    (re.compile(r"\b(?:forehead|frente|front|stirn)\b", re.I), "forehead wrinkles"),
)
_IN_ENGLISH_AT = re.compile(r"(?:around|on|at|near|between|beside)\b", re.I)
_LINES = "wrinkles"
LONGEST = 600  # letters of a text that is looked at


def say_removals(text: str) -> str:
    """Return a text in which each thing that is to go is told so on its own, and nothing of what is to stay.

    "Remove wrinkles and dark circles, but keep the freckles" is "no wrinkles, no dark circles", "enlève les rides" is
    "no wrinkles", and so is "I hate my wrinkles". Any other text stays; one that only says what stays is empty.
    """
    told = plain = " ".join(text.split())
    if len(told) > LONGEST:
        return text
    plain = _ONLY.sub(lambda found: ", ".join(_named(found["items"], "no")), plain)
    removing = _GO[0].search(plain) or _GO[1].search(plain)
    plain = _NOT.sub(lambda found: "" if removing else ", " + ", ".join(_named(found["items"], "no")), plain)
    for form in _KEPT:
        left = _ASIDE.sub("", form.sub("", plain)) if form.search(plain) else plain
        if not re.search(r"\w", left) and re.search(_MARK, plain, re.I):
            return text if _LIKED.match(plain) else ""
        if left != plain and re.search(r"\w", left) and not _PRONOUN.search(left):
            plain = _OPENING.sub("", left).strip(" ,.;")
    stripped = plain.strip(" .!?,")
    if _GREASY.match(stripped) and _SHINES.search(stripped):
        return "matte skin"
    for form in _HATED:
        if found := form.match(stripped):
            return ", ".join(_named(found["items"], "less" if found.groupdict().get("less") else "no"))
    courteous = _COURTESY.sub("", stripped)
    for form in _GO:
        if found := form.fullmatch(courteous):
            return _told_apart(found, alone=True).strip(" ,")
        plain = form.sub(_told_apart, plain)
    return text if plain == told else re.sub(r"\s*,(?:\s*,)*(?!\d)\s*", ", ", plain).strip(" ,")


def _told_apart(found: re.Match[str], alone: bool = False) -> str:
    names = _named(found["items"], "less" if found.groupdict().get("less") else "no")
    if len(names) == 1:  # the rest is read with it, and so is all that is said in English
        as_it_is = not alone or (_IN_ENGLISH.search(found[0]) and names[0] != "no smile")
    else:  # a smile is something to have, and so is what stands with "and" after "no makeup"
        more = re.split(rf"{_AND}|,\s*", found["items"])[1:]
        unsure = _WEAK.match(found[0]) and not re.search(_OR, found["items"], re.I)
        as_it_is = "no smile" in names or (unsure and not all(_UNWANTED.fullmatch(item) for item in more))
    return found[0] if as_it_is else f", {', '.join(names)}, "


def _named(items: str, denied: str) -> list[str]:
    """Return what of a list is denied, one by one, in English."""
    return [
        f"{denied} {_name(item)}" for item in re.split(rf"{_AND}|,\s*", items) if item and re.search(_MARK, item, re.I)
    ]


def _name(item: str) -> str:
    mark = re.search(_MARK, item, re.I)
    assert mark is not None  # it was found as one
    name = in_english(MARKS, mark[0])
    where = item[mark.end() :].strip()
    if name != _LINES or not where:
        return name
    named = next((named for place, named in _PLACES if place.search(where)), None)
    return named or (f"{name} {where}" if where.isascii() and _IN_ENGLISH_AT.match(where) else name)
