"""What is wanted, of a text that also tells what there is: "my nose is too wide, please make it narrower"."""

from __future__ import annotations

import re

from flowedit.guide.denials import OWNERS

_OWNER = rf"(?:{OWNERS}|our|these|this|those|that)"
_PART = (
    r"(?:(?:(?:left|right|upper|lower|inner|outer) )?"
    r"(?:eye ?brows?|brows?|eye ?lids?|lids|eye ?lashes|lashes|(?:eye|hair) colou?r|eyes?|lips?|mouth|noses?|chin|"
    r"jaw(?:line)?|cheekbones?|cheeks?|forehead|skin|hair|face|smile|teeth|ears?))"
)
_MARK = (
    r"(?:crow'?s feet|(?:dark )?(?:circles|rings)|(?:eye )?bags|(?:(?:laugh|smile|frown|fine|deep|worry) )?"
    r"(?:lines|wrinkles|creases|folds)|freckles|(?:age |dark |sun )?spots|pimples|zits|acne|blemishes|redness|shine|"
    r"stubble|blush|make-?up|grays|greys|(?:gr[ae]y|white) hairs?)"
)
_THING = r"(?:tan|lipstick|(?:eye ?)?liner|eye ?shadow|mascara|glow|grin|frown|wink|pout|dimples|expression)"
_ASKED = r"(?:please|pls|plz|can|could|would|make|give|get|take|remove)"
_CUT = re.compile(
    r"((?<=[.!?;])\s+|\s*[,;:–—]\s+|\s+-+\s+|\s+(?=(?:can|could|would) (?:you|u)\b)|"
    rf"\s+(?=(?:so|but|because|since|bc)\s+(?:{_ASKED}|i|my|it|they|there)\b)|"
    rf"\s+(?=and\s+(?:{_ASKED}|i(?:'d| would| want| need| wish)|want to|{_OWNER} (?:\w+ )?{_PART})\b))",
    re.I,
)
_OPENING = (
    r"(?:(?:so|and|but|then|now|just|also|maybe|perhaps|ok|okay|hi|hey|hello|um|uh|well|basically|honestly|idk|because|"
    r"since|bc)\b,? ?)*"
)
_WISH = re.compile(
    rf"{_OPENING}(?:(?:please|pls|plz|kindly|can|could|would|will|want to|i want|i need|i wish|"
    r"i(?:'d| would) (?:like|love|rather)|add|bring|brighten|cover|darken|enlarge|erase|fade|fill|get|give|have|hide|"
    r"let|lighten|lengthen|make|paint|plump|put|raise|reduce|remove|sharpen|shorten|shrink|soften|take|thicken|tone|"
    r"turn|whiten|widen)\b|"
    rf"(?:close|clean|even|fix|lift|lower|narrow|open|slim|smooth|thin) (?:{_OWNER}|it|them)\b|"
    r"(?:wake|cheer|perk|liven) (?:me|him|her|them|us) up\b)",
    re.I,
)
_CLEAR = re.compile(  # says enough where it names no part of a face
    r"\b(?:make|let|have|get) (?:(?:me|him|her|us) (?:look |seem |appear |be )?|them (?:look|seem|appear) )"
    r"(?:(?:an? (?:bit|little) |much |far )?(?:less|more|[a-z]+er)\b|(?!it\b|so\b|that\b)[a-z]+\W*$)|"
    r"\blook (?:\w+ ){0,3}(?:less|more|[a-z]+er)\b|\b(?:look|glance|gaze) (?:up|down|left|right|away|to|into)\b|"
    r"\bgive (?:me|him|her|them|us) (?:some|more|a bit of|a little) "
    r"(?:energy|joy|life|happiness|sparkle|confidence|warmth)\b|"
    r"\b(?:wake|cheer|perk|liven|brighten) (?:me|him|her|them|us) up\b",
    re.I,
)
_VAGUE = re.compile(  # says nothing without what there is
    r"\b(?:fix|change|help|improve|edit|its|stop|normal|natural|equal|balance|peace|twins|same|fast|quick(?:ly)?|"
    r"look like)\b",
    re.I,
)
_ENDS = re.compile(  # of marks, not of parts
    r"\b(?:remove|erase|delete|hide|rid|gone|disappear|vanish)\b|\b(?:take|get) \w+ (?:away|off|out)\b", re.I
)
_LESSENS = re.compile(rf"{_ENDS.pattern}|\b(?:fade|soften|smooth|reduce|lighten|tone|blur|cover|conceal)\b", re.I)
_WANTS = re.compile(  # in a clause that tells what there is to be
    r"\b(?:want|wanted|wish|hope|should|would (?:like|love|be|look (?!like))|must|imagine|i picture|supposed|"
    r"thinking of|like to|(?:has|have) to|(?:is|are) to be)\b",
    re.I,
)
_MINE = (  # of the one who asks, or of no part of a face
    r"(?:i(?:'m|'ve| \w+)|there(?:'s| is| are| was| were)|(?:it|they|this|that)(?:'s|'re| is| are| looks?| makes?))\b"
)
_GIVEN = re.compile(
    rf"{_OPENING}(?:{_MINE}|(?:he|she)(?:'s| is| was| looks?| looked| seems?| has| had)\b|"
    rf"{_OWNER} (?:[\w'-]+ ){{1,4}}?(?:is|are|was|were|looks?|looked|seems?|makes?|made|has|have|had|gets?|got|shows?|"
    r"always|never|came|turned|caught|took|gave|keeps?|kept|hangs?|sticks?|droops?|sags?|points?|drops?|falls?)\b|"
    rf"{_OWNER} (?:[\w-]+ ){{0,3}}[\w-]+'s (?:too|so|very|way|really|a bit)\b)",
    re.I,
)
_TOPIC = re.compile(  # "those laugh lines next to my mouth", "only the lips", before what is asked of "them"
    rf"{_OPENING}(?:only |just )?(?P<topic>(?:{_OWNER}|weak|ugly|bad|awful|horrible) (?:[\w-]+ ){{0,3}}?"
    rf"(?:{_MARK}|{_PART})(?: (?:next to|around|under|on|above|between|beside|near|from|at|in|of) [^,;.]*)?)$",
    re.I,
)
_REASON = re.compile(
    rf"(?:because |since |as )?(?:{_MINE}|(?:he|she|they) (?:had|was|were|closed|blinked|slept|forgot|just)\b)", re.I
)
_PRONOUN = re.compile(r"\b(?:it(?! (?:so|look)\b)|them|these|those|that|this)\b", re.I)
_INSTEAD = re.compile(r",? (?:instead of|rather than) [^,.;]+?(?= and |[,.;]|$)", re.I)
_THEM = re.compile(
    r"\b(make|raise|lower|lift|fill|plump|darken|lighten|brighten|soften|fade|reduce|shorten|lengthen|widen|"
    r"thicken|narrow|slim|smooth|tone|colou?r|dye|paint|open|close) (it|them)\b",
    re.I,
)
_HAS = re.compile(rf"\b({_PART}) (?:has|have|had|got|shows?|is full of)\b[^,.;]{{0,40}}$", re.I)
LOOKED_BACK = 200  # letters in which what a pronoun stands for is looked for
_JOINED = re.compile(r"(,\s+(?:and |but )?|\s+(?:and|but)\s+)", re.I)
_MARKED = re.compile(
    rf"\b(?P<mark>{_MARK})\b(?: (?P<at>around|under|on|above|between|beside|near) (?:{_OWNER} )?(?P<part>{_PART})\b)?",
    re.I,
)
_NAMED = re.compile(rf"\b{_PART}\b", re.I)
_SUBJECT = re.compile(rf"\b(?:{_PART}|{_MARK}|{_THING})\b", re.I)
_REST = r"(?:the rest|everything else|anything else|all else)(?: of (?:it|(?:my|the|her|his) face))?"
_STAYS = r"(?:alone|as (?:it|they) (?:is|are)|as is|unchanged|the same)"
_LITTLE = r"(?:(?:quite |just )?a (?:little |tiny )?(?:bit|little|tad|touch)|slightly|much|somewhat|a lot) "
_COMPARED = (
    r"(?:(?:wid|narrow|short|long|thick|thinn|bigg|small|larg|full|dark|light|high|low|round|slimm|bright|redd|pal)er|"
    r"open|closed)"
)
_REWRITTEN = tuple(
    (re.compile(form, re.I), words)
    for form, words in (
        (  # what every edit keeps
            r"[,.;:]?\s*(?:\b(?:but|and)\s+)?(?:please\s+)?\b"
            r"(?:nothing else(?: (?:should|must|may|is to)(?: be)? changed?)?|"
            rf"(?:leave|keep) (?:{_REST}(?: {_STAYS})?|(?:the|their|its|my|his|her) [a-z]+ {_STAYS})|"
            rf"(?:without (?:touching|changing)|(?:don't|do not) (?:touch|change)) {_REST})(?=\s*[.!]?$|[,.;:])",
            "",
        ),
        (r"\b(?:everything|all)(?: else)? (?:stays|remains) (?:the same|as it is) (?:except|but)(?: for)? ", ""),
        (
            rf"\bkeep (?:{_OWNER} )?({_PART}|beard|stubble)(?: colou?r)?,? but "
            r"(make|color|dye|raise|lower|lift|shorten) (?:it|them)\b",
            r"\2 the \1",
        ),
        (  # the frame of a question
            r"^(?:can you |could you |please )*(?:show me )?(?:what|how) (?:would|will|do|could|might) "
            r"(?:i|he|she|they|we) look(?: like)? (?:with|in|wearing|if (?:i|he|she|they) had) ",
            "",
        ),
        (r"^(?:can you |could you |please )*show (?:me|him|her|us) (?:with|wearing) ", ""),
        (
            r"^(?:can you |could you |please )*(?:show me )?(?:what|how) (?:(?:i|he|she) (?:would|will|might)|i'd|i'll|"
            r"(?:would|will) (?:i|he|she)) look(?: like)? (?:at|when (?:i'?m|i am|he'?s|she'?s)) (?:age )?(\d+)\b",
            r"\1 years old",
        ),
        (r"\btake (\w+) years? off(?: of)?(?: (?:me|my face|him|her|them))?(?=\W|$)", r"\1 years younger"),
        (r"\blike (?:i|he|she|they)(?: have| has|'ve)? just (?:woken? up|got out of bed|rolled out of bed)", "sleepy"),
        (
            r"\b(?:add |give me |put )(?:some |a few |in )*highlights(?: (?:to|in) (?:my|her|his|the) hair)?",
            "slightly blonde hair",
        ),
        (
            r"\b(big|bigger|large|larger|huge|small|smaller|tiny|full|fuller|plump|thick|thin|narrow|wide|round) "
            r"((?:dark |light |bright |deep )?(?:green|blue|brown|hazel|gr[ae]y|amber|red|pink|black)) "
            r"(eyes|lips|eyebrows|brows)\b",
            r"\1 \3, \2 \3",
        ),
        (
            rf"^i(?:'ve got| have| got) (?:such an?|an? (?:really|very|too|so)|really|very|too|such) (\w+) ({_PART})",
            r"my \2 is too \1",
        ),
        (
            r"\b(?:get rid of|remove|cover(?: up)?|hide|dye) the gr[ae]y (?:hairs? )?(?:in|from|of) (?:my|his|the) "
            r"(beard|mo?ustache|stubble)",
            r"darker \1",
        ),
        (rf"^i (?:like|love) my ({_PART}|beard|stubble),? (?:but |just )+make (?:it|them) (\w+er)\b", r"\2 \1"),
        (
            r"\b(?:puffiness|swelling|puffy (?:skin|areas?)) (around|under|beneath|below) (?:my|the|her|his) eyes",
            "bags under the eyes",
        ),
        (
            r"[,.;]? (?:but |just |and |please )*(?:don't|do not|dont) make (?:me|him|her|them|it) (?:look )?"
            r"[\w ]{2,20}?(?: though| please)?\W*$",
            "",
        ),
        (rf"\bfix (?:{_OWNER} )?(bushy|thick|thin|sparse|droopy|uneven) ((?:eye ?)?brows)\b", r"less \1 \2"),
        (r"^(?:sorry to bother you|excuse me|okay next one|ok next one)\b[,.!]?\s*(?:but )?", ""),
        (r"^not (?!only|just|merely|simply)[^,;.]+,? but (?=\w)", ""),
        (r"^not (?!only|just|merely|simply)[^,;.]+, (?:just|only) (?=\w)(?!.*\bones\b)", ""),
        (r"^(?:please )?(?:don't|do not|dont|never) [^,;.]{2,40}[,;.] (?:just|only|instead|but) (?=\w)", ""),
        (r"^(?:don't|do not|dont) make (?:me|him|her|them|it) (?:look )?[\w ]{2,20}, (?=\w)", ""),
        (r",? (?:girls|guys|people|everyone|they|i|we) (?:like|likes|love|loves|prefer) (?:it|that|them|this)\W*$", ""),
        (r" without making (?:it|me|him|her|them) look [\w ]{2,20}(?=\W*$|[,;.])", ""),
        (r"^(.*\b(?:slightly|little|bit|touch)\b.*?),? (?:but )?not too (?:much|strong)\W*$", r"\1"),
        (r"^([^,;.]+),? (?:but )?not too (?:much|strong)\W*$", r"slightly \1"),
        (
            r"^.*?\b(?:i|he|she|we|they) looks? (?:so |very |really |a bit |too )*(\w+)(?: here)?[,.;] "
            r"(?:please |pls |can you )*fix (?:it|that|this)(?: please| pls)?\W*$",
            r"less \1",
        ),
        (r"^not (?:the|my|her|his) [a-z]+, (?=(?:the|my|her|his) )", ""),
        (r",? (?:instead|thanks|thank you|thx)(?=\W*$)", ""),
        (
            rf"\bmake ((?:all )?(?:{_OWNER} )?(?:[a-z]+ )?{_MARK}(?: [^,.;]*?)?) "
            r"(?:disappear|vanish|go(?: away)?|gone)(?=\s*(?:[,.;!?]|$))",
            r"remove \1",
        ),
        (  # "my forehead is so shiny, fix it please"
            rf"\b({_OWNER} {_PART} (?:is|are|looks?|seems?|gets?)) "
            r"(?:(?:way )?too|so|very|really|quite|pretty|a bit|all) ([\w-]+)[,.;]?\s+(?:and |so )?"
            r"(?:(?:can|could|would) (?:you|u) )?(?:please |pls |plz )?"
            r"(?:(?:fix|correct|sort out|help with|do something about|tone down) (?:it|that|this|them)|"
            r"(?:tone|calm) (?:it|that|this|them) down)(?:,? (?:please|pls|plz))?\W*$",
            r"\1 too \2",
        ),
        (rf"\bfix (?=(?:{_OWNER} )?(?:[a-z]+ )?{_MARK}\b)", "remove "),
        (  # "my nose narrower and slightly shorter"
            rf"\b({_PART})( (?:(?:to be|should be|is to be|looks?) |{_LITTLE})*{_COMPARED}),?"
            rf" (?:and|but)(?: also)? ((?:{_LITTLE})?{_COMPARED})\b(?! {_PART})",
            r"\1\2, \3 \1",
        ),
        (rf"^(?:only|just) (?:{_OWNER} )?({_PART})(?:,? please)?[,:;] ({_LITTLE}?{_COMPARED})\W*$", r"\2 \1"),
    )
)


def keep_wishes(text: str) -> str:
    """Return of a text what it asks for, without what it tells beside that: how the face is, and that all else stays.

    "My nose is too wide, please make it narrower" is "please make the nose narrower", "blue eyes instead of brown" is
    "blue eyes", and "leave the rest as it is" is nothing. A text without a request keeps what it tells, "she is
    smiling, her eyes are green", and so does one whose request says nothing without it, "my left eye is smaller, make
    them equal". English only.
    """
    told = " ".join(text.split())
    plain = _rewrite(told)
    rest = _INSTEAD.sub("", plain)
    plain = _rewrite(_carry(_without_given(rest if _names(rest) else plain)))
    return text if plain == told else plain


def _without_given(text: str) -> str:
    """Return a text without what it says that there is, where a request says enough alone."""
    parts = _CUT.split(text)
    clauses = parts[::2]
    first = next((k for k, clause in enumerate(clauses) if _WISH.match(clause)), None)
    if first is None:
        return text
    tells = [k for k, clause in enumerate(clauses) if not _WISH.match(clause) and not _WANTS.search(clause)]
    given = [k for k in tells if (_GIVEN if k < first else _REASON).match(clauses[k])]
    before = [clauses[k] for k in given if k < first]
    wishes, topic = " ".join(clauses[first:]), None
    if not given and first and not _names(wishes) and _PRONOUN.search(wishes):
        topic = _TOPIC.match(clauses[first - 1])
        given += [first - 1] if topic else []
    told = "".join("".join(parts[2 * k : 2 * k + 2]) for k in range(len(clauses)) if k not in given)
    told = re.sub(r"(^|[.;,] )(?:and|but|so) ", r"\1", told.strip(" ,;:–—-"), flags=re.I)
    pronoun = _PRONOUN.search(told)
    if pronoun and (topic or not _names(told[: pronoun.start()])):
        meant = topic["topic"] if topic else _name(" ".join(before), pronoun[0], told)
        told = f"{told[: pronoun.start()]}{meant or pronoun[0]}{told[pronoun.end() :]}"
    clear = (_names(told) or _CLEAR.search(told)) and not _VAGUE.search(told)
    return told if given and clear else text


def _rewrite(text: str) -> str:
    for form, words in _REWRITTEN:
        if (told := form.sub(words, text)) != text:
            text = told.lstrip(" .,;:").rstrip(" ,;:") or text
    return text


def _carry(text: str) -> str:
    """Return a text in which "thicker brows, and raise them a little" names the brows twice."""
    pieces, told = _JOINED.split(text), ""
    for k in range(0, len(pieces), 2):
        if _names(pieces[k]):
            told = f"{told[-LOOKED_BACK:]} {pieces[k]}"
        elif (found := _THEM.search(pieces[k])) and not _VAGUE.search(pieces[k]):
            name = _name(told, found[2], pieces[k])
            pieces[k] = f"{pieces[k][: found.start()]}{found[1]} {name or found[2]}{pieces[k][found.end() :]}"
    return "".join(pieces)


def _names(text: str) -> bool:
    """Return whether a text names a part of a face, or what is on it."""
    return _SUBJECT.search(text) is not None


def _name(given: str, pronoun: str, wish: str) -> str:
    """Return what a pronoun stands for: of a wish that lessens, the last mark and where it is, or the last part."""
    marks = list(_MARKED.finditer(given))
    if marks and _LESSENS.search(wish):
        found, part = marks[-1], _HAS.search(given[: marks[-1].start()])
        if found["part"]:
            return f"the {found['mark']} {found['at']} the {found['part']}"
        return f"the {found['mark']}" + (f" on the {part[1]}" if part else "")
    if _ENDS.search(wish):
        return ""
    several = pronoun.lower() in ("them", "these", "those")
    parts = [found[0] for found in _NAMED.finditer(given) if (found[0].lower().endswith(("s", "teeth")) == several)]
    return f"the {parts[-1]}" if parts else ""
