"""The tokens that the official caption tokenizer cuts a caption into, as patterns.

At every position the longest match wins, and among equals the first rule. Patterns read the text after
`characters.kinds`, so that a few placeholders stand for all of Unicode. Group 1 is the token; what a pattern reads
after it counts for the length only. Every pattern takes time in proportion to what it reads. Letters written out match
in both cases, letter classes do not: the scanner that is reproduced here has that habit too, which is why "AT&T" is one
token and "at&t" is three.
"""

import re
from collections.abc import Callable
from functools import cache

from captioning.text.characters import DIGIT, LETTER, MARK

Matcher = Callable[[str, int, int], re.Match[str] | None]
Spelling = Callable[[str], str] | str | None
"""How a match is written: as it stands (None), always the same (a string), or by a function of the match."""

_L = f"A-Za-z{LETTER}\u0130\u0131\u017f\u212a"  # letters, inside a class
_D = f"0-9{DIGIT}"  # digits, inside a class
_ACCENTED = "&[aeiouAEIOU](?i:acute|grave|uml);"
_LETTER = rf"(?:[{_L}{MARK}\u00ad]|{_ACCENTED})"
_RUN = rf"{_LETTER}(?:[{_L}{_D}{MARK}\u00ad]|{_ACCENTED})*"
_SPACE = r"[ \t\n\x85\u00a0\u2000-\u200a\u3000]"
_SPACES = r"[ \t\u00a0\u2000-\u200a\u3000]+"
_APOSTROPHE = r"(?:['\u0092\u2019]|(?i:&apos;))"
_ANY_APOSTROPHE = r"(?:['`\u0091\u0092\u2018\u2019\u201b]|(?i:&apos;))"
_QUOTE = r"[`\u0091-\u0094\u00ab\u00bb\u2018\u2019\u201a-\u201f\u2039\u203a]{1,2}"
_HYPHEN = r"[-_\u058a\u2010\u2011]"
_NUMBER = rf"(?:[{_D}]*(?:[.:,\u00ad\u066b\u066c][{_D}]+)+|[{_D}]+)"
_CLITIC = rf"{_APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))"
_PIECE = rf"(?:[dDoOlL]{_ANY_APOSTROPHE}[{_L}{_D}])?[{_L}{_D}]+"
_WORD = rf"{_RUN}(?:[.!?]{_RUN})*"
_HYPHENATED = rf"{_PIECE}(?:{_HYPHEN}{_PIECE})*"
_ACRONYM = r"(?:[A-Za-z](?:\.[A-Za-z])+|(?i:(?:canada|sino|korean|eu|japan|non)-u\.s|u\.s\.-(?:u\.k|u\.s\.s\.r)))"
_LONG_HYPHENATED = rf"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*(?:-(?:{_ACRONYM}\.|[A-Za-z0-9\u00ad]+))+"
_AMPERSANDED = r"[A-Z]+(?:(?:(?i:&amp;)|[+&])[A-Z]+)+"
_ATTRIBUTE = r" +[A-Za-z][A-Za-z0-9_:.-]*(?: *= *(?:'[^'\r\n]*'|\"[^\"\r\n]*\"))?"
_TAG = (
    rf"(?:<[A-Za-z][A-Za-z0-9_:.-]*(?:{_ATTRIBUTE})* *(?:/ *)?>|</[A-Za-z][A-Za-z0-9_:.-]* *>|<[!?][A-Za-z-][^>\r\n]*>)"
)
_NOT_URL = r" \t\n\f\r\"<>|(){}"
# The last @ with a name behind it, once for all: without the look ahead each of many is tried, to the end of the text.
_UP_TO_AT = rf"(?=(?P<to>[^{_NOT_URL}\u00a0]*@(?=[^{_NOT_URL}.\u00a0])))(?P=to)"
_ADDRESS = rf"(?:&lt;|<)?[a-zA-Z0-9]{_UP_TO_AT}(?:[^{_NOT_URL}.\u00a0]+\.)*[^{_NOT_URL}.\u00a0]+"
_SUFFIX = (
    "(?i:bat|bmp|c|class|cgi|cpp|dll|docx?|exe|gif|gz|h|html?|jar|java|jpe?g|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|"
    "txt|wav|x|xml|zip)"
)

# After these, even one more letter is a word of its own: "ltd.n" is two words, "mr.n" one.
_CLOSING_ABBREVIATION = (
    "(?i:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu(?:rs)?|fri|"
    "ala|ariz|(?-i:A)z|(?-i:A)rk|calif|colo|conn|ct|dak|(?-i:D)el|fla|ga|(?-i:I)ll|ind|kans?|ky|(?-i:L)a|(?-i:M)ass|"
    "(?-i:M)iss|md|mich|minn|mo|mont|neb|nev|okla|(?-i:O)re|(?-i:P)a|penn|tenn|(?-i:T)ex|va|vt|(?-i:W)ash|wisc?|wyo|"
    "inc|cos?|corp|pp?t[ye]s?|ltd|plc|rt|bancorp|bhd|assn|univ|intl|sys|tel|est|ext|sq|"
    "jr|sr|bros|(?:ed|ph)\\.d|blvd|rd|esq|etc|al|seq)\\."
)
_ABBREVIATION = (
    "(?i:mr|mrs|ms|drs?|profs?|sens?|reps?|attys?|lt|col|gen|messrs|govs?|adm|rev|maj|sgt|cpl|pvt|capt|ste?|ave|pres|"
    "lieut|hon|brig|co?mdr|pfc|spc|supts?|det|mt|ft|adj|adv|asst|assoc|ens|insp|mlle|mme|msgr|sfc|"
    "invt|elec|natl|m[ft]g|dept|bldg|vs|alex|wm|jos|cie|a\\.k\\.a|cf|treas|ph)\\."
)
ABBREVIATION = rf"(?:{_CLOSING_ABBREVIATION}|{_ABBREVIATION}|{_ACRONYM}\.|[A-Za-z]\.)"
_BEFORE_NUMBER = r"(?i:ca|figs?|prop|nos?|art|pp|op)\."
_OPENING_WORD = (
    "(?:A(?i:bout|ccording|dditionally|fter|n|s|t)?|B(?i:ut)|E(?i:arlier)|H(?i:e|er|ere|owever)|I(?i:f|n|t)|L(?i:ast)|"
    "M(?i:any|ore|r\\.|s\\.)|N(?i:ow)|O(?i:nce|ne|ther|ur)|S(?i:he|ince|o|ome|uch)|"
    "T(?i:hat|he|heir|hen|here|hese|hey|his)|W(?i:e|hen|hile|hat)|Y(?i:et|ou))"
)

_QUOTE_SPELLINGS = {
    **dict.fromkeys(("&apos;", "\u0092", "\u2019", "\u203a"), "'"),
    **dict.fromkeys(("\u0091", "\u2018", "\u201b", "\u2039"), "`"),
    **dict.fromkeys(("\u0093", "\u201c", "\u00ab"), "``"),
    **dict.fromkeys(("\u0094", "\u201d", "\u00bb"), "''"),
}
_BRACKET_SPELLINGS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}


def _straight_quotes(token: str) -> str:
    return re.sub("|".join(_QUOTE_SPELLINGS), lambda quote: _QUOTE_SPELLINGS[quote[0]], token)


def _fixed_spaces(token: str) -> str:
    return token.replace(" ", "\u00a0")


def _round_brackets(token: str) -> str:
    return _fixed_spaces(token).replace("(", "-lrb-").replace(")", "-rrb-")


def _without_soft_hyphens(token: str) -> str:
    return token.replace("\u00ad", "") or "-"


def _double_quote(token: str) -> str:
    return "''" if token in ('"', "&quot;") else token


def _dashes(token: str) -> str:
    return "--" if 2 <= len(token) <= 4 else token


def _ampersands(token: str) -> str:
    return re.sub("(?i:&amp;)", "&", token)


_WORDS: list[tuple[str, Spelling]] = [
    (rf"({_SPACES}|(?i:&nbsp;))", ""),
    (r"([cC]\+\+|[cCfF]#)", None),
    (r"((?i:can))(?i:not)", None),
    (r"((?i:gon(?=na)|wan(?=na)|got(?=ta)|lem(?=me)|gim(?=me)))..", None),
    (r"('[tT])(?i:is|was)", None),
    (rf"({_TAG})", _fixed_spaces),
    (r"(&(?i:md|mdash|ndash);|[\u0096\u0097\u2013-\u2015])", "--"),
    (r"(&(?i:amp);)", "&"),
    (r"(&(?:(?i:ht|tl|ur|lr|qc|ql|qr|odq|cdq)|#[0-9]+);)", None),
    (rf"({_WORD}){_CLITIC}", _without_soft_hyphens),
    (rf"([A-Za-z\u00ad]*[A-MO-Za-mo-z]\u00ad*)[nN]{_ANY_APOSTROPHE}[tT]", _without_soft_hyphens),
    (rf"({_WORD})", _without_soft_hyphens),
    (rf"({_APOSTROPHE}[nN]{_APOSTROPHE}?|[lLdDjJ]{_APOSTROPHE})", None),
    (rf"((?i:dunkin|somethin|ol){_APOSTROPHE}|{_APOSTROPHE}(?i:em|till?|cause|[2-9]0s))", None),
    (rf"([A-HJ-XZn]{_ANY_APOSTROPHE}[{_L}]{{2,}}|[oO]{_ANY_APOSTROPHE}[oO])", None),
    (rf"([{_L}]+[aeiouyAEIOUY]{_ANY_APOSTROPHE}[aeiouA-Z][{_L}]*)", None),
    (r"((?i:cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l))", None),
    (rf"([yY]{_APOSTROPHE})[{_L}]", None),
    (rf"({_WORD}\.|{_HYPHENATED}\.|{_LONG_HYPHENATED}\.|{_AMPERSANDED}\.)[,;:\u3001]", _without_soft_hyphens),
]
_ADDRESSES: list[tuple[str, Spelling]] = [
    (rf"((?i:https?)://[^{_NOT_URL}]+[^{_NOT_URL}.!?,-])", None),
    (rf"((?i:www)\.(?:[^{_NOT_URL}.!?,]+\.)+[a-zA-Z]{{2,4}}(?:/[^ \t\n\f\r\"<>|()]+[^{_NOT_URL}.!?,-])?)", None),
    (
        # The range from comma to underscore is the official scanner's own slip: capitals and digits end the match.
        r"((?:[^ \t\n\f\r\"`'<>|.!?(){},-_$]+\.)+(?i:com|net|org|edu)"
        rf"(?:/[^ \t\n\f\r\"<>|()]+[^{_NOT_URL}.!?,-])?)",
        None,
    ),
    (rf"({_ADDRESS}(?:&gt;|>))", None),
    (rf"({_ADDRESS})", None),
    (r"(@[A-Za-z_][A-Za-z0-9_]*)", None),
    (rf"(#{_LETTER}+)", None),
]
_NUMBERS: list[tuple[str, Spelling]] = [
    (rf"({_CLITIC})[^A-Za-z]", _straight_quotes),
    (rf"([nN]{_ANY_APOSTROPHE}[tT])", _straight_quotes),
    (r"(')[A-Za-z][^ \t\n\r\u00a0]", None),
    (rf"({_CLITIC})", _straight_quotes),
    (rf"([{_D}]{{1,2}}[-/][{_D}]{{1,2}}[-/][{_D}]{{2,4}})", None),
    (rf"([-+]?{_NUMBER})", _without_soft_hyphens),
    (r"([\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+))", None),
    (rf"((?:[{_D}]{{1,4}}[- \u00a0])?[{_D}]{{1,4}}(?:\\?/|\u2044)[{_D}]{{1,4}})", _fixed_spaces),
    (r"(\u00bc)", "1/4"),
    (r"(\u00bd)", "1/2"),
    (r"(\u00be)", "3/4"),
    (r"(\u2153)", "1/3"),
    (r"(\u2154)", "2/3"),
    (r"((?i:-(?:rrb|lrb|rcb|lcb|rsb|lsb)-|c\.d\.s|pro-|anti-|s(?:&|&amp;)(?:p-500|ls)))", _ampersands),
    (rf"((?i:cap){_APOSTROPHE}[nN]|[cC]{_APOSTROPHE}(?i:est))", None),
    (rf"({_APOSTROPHE}[0-9][0-9]){_SPACE}", None),
    (r"([A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2})", None),
    (r"([A-Z]*\$|#)", None),
    (r"([\u0080\u00a4\u20a0\u20ac])", "$"),
    (r"(\u00a2)", "cents"),
    (r"(\u00a3)", "#"),
]
_ABBREVIATIONS: list[tuple[str, Spelling]] = [
    (rf"({_CLOSING_ABBREVIATION})(?s:..)", None),
    (rf"({ABBREVIATION})", None),
    (rf"({_ACRONYM}){_SPACE}", None),
    (rf"([A-Za-z])\.{_SPACE}+(?:{_OPENING_WORD}|{_TAG}){_SPACE}", None),
    (rf"({_BEFORE_NUMBER}){_SPACE}?[{_D}]", None),
    (
        r"((?:\([0-9]{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])"
        r"[0-9]{3,4}[- \u00a0]?[0-9]{3,5}|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5})",
        _round_brackets,
    ),
]
_PUNCTUATION: list[tuple[str, Spelling]] = [
    (r'("|(?i:&quot;))', _double_quote),
    (r"(<<|>>)", None),
    (r"(<|(?i:&lt;))", "<"),
    (r"(>|(?i:&gt;))", ">"),
    (r"([<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])[^A-Za-z0-9]", _round_brackets),
    (r"([-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\))", _round_brackets),
    (r"([(){}\[\]])", _BRACKET_SPELLINGS.__getitem__),
    (r"(-+)", _dashes),
    (r"(\.{3,5}|(?:\.[ \u00a0]){2,4}\.|[\u0085\u2026])", "..."),
    (r"(@+|#+|_+|\*+|(?:\\\*){1,3}|[?!]+)", None),
    (rf"({_QUOTE}|'')[A-Za-z0-9$]", _straight_quotes),
    (rf"({_QUOTE}|''|'|(?i:&apos;))", _straight_quotes),
    (rf"({_HYPHENATED})", _without_soft_hyphens),
    (rf"({_AMPERSANDED})", _ampersands),
    (rf"({_LONG_HYPHENATED})", _without_soft_hyphens),
    (rf"((?:{_LETTER}|[{_D}])+(?:\.(?:{_LETTER}|[{_D}])+)*\.{_SUFFIX})(?:{_SPACE}|[.?!,])", None),
    (r"([^\x00-\x20\x7f\u00a0\u00ad\u058a\u066b\u066c\u2000-\u200a\u2010\u2011\u3000])", None),
]


@cache
def rules() -> list[tuple[Matcher, Spelling]]:
    """The rules in their order: a matching function of (text, from, to), and the spelling."""
    patterns = _WORDS + _ADDRESSES + _NUMBERS + _ABBREVIATIONS + _PUNCTUATION
    return [(re.compile(pattern).match, spelling) for pattern, spelling in patterns]
