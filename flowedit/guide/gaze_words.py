"""The many ways to say where somebody looks: patterns that stand for them in the table of what words say."""

from __future__ import annotations

_THE = r"(?:the|one|her|his|their|your|my|its)"
_HIGH = r"(?:sky|ceiling|stars|sun|moon|heavens?|air)"
_LOW = r"(?:floor|ground|feet|shoes|hands|lap|table|phone)"
GAZES = {  # each after a space
    "{look}": r" (?:look(?:s|ing)?|glanc(?:e|es|ing)|gaz(?:e|es|ing)|star(?:e|es|ing)|peer(?:s|ing)?|peek(?:s|ing)?|"
    r"eyes(?: are)?(?: turned| directed| pointed| pointing| fixed| cast| looking| moved| raised| lowered)?)"
    r"(?: (?:\w+ly|far|just|off|over|back|out|a bit|a little))*",
    "{up}": rf" (?:straight )?(?:up(?:wards?)?(?! to (?!the))(?: (?:at|to|into|towards?) (?:{_THE} )?{_HIGH})?|"
    rf"(?:at|into|to|towards?) {_THE} {_HIGH}|skywards?)",
    "{down}": rf" (?:straight )?(?:down(?:wards?)?(?! to earth)(?: (?:at|to|on|towards?) {_THE} {_LOW})?|"
    rf"(?:at|to|towards?) {_THE} {_LOW})",
    "{aside}": rf" (?:(?:(?:to|towards?) {_THE} (?:own )?)?(?:left(?:wards?)?(?! (?:out|over|behind|alone))|"
    r"right(?:wards?)?(?! (?:now|away|at|in|into|through|here|there|back|ahead))|sideways?|side)(?: side)?|aside|away"
    r"(?: from (?:the )?(?:camera|viewer|lens|us|me))?)",
    "{ahead}": r" (?:straight |right |directly )*(?:ahead|forwards?|at (?:(?:the )?(?:camera|viewer|lens)|us|me|you)|"
    r"into (?:the )?(?:camera|lens))",
}
