"""Captions that nobody wrote: every quirk of the official tokenizer, put together at random."""

import random

_PIECES = r"""
isn't can't cannot gonna 'tis 'twas y'all o'clock c'mon ma'am rock'n'roll 'n' 'em '90s '90 's s' 'll 're 've 'd 'm n't
don't I'm O'Brien l'eau d'etre ol' li'l 'till 'til 'cause cont'd. cont'd lemme gimme gotta wanna CANNOT d'ye nor'easter
Mr. Mrs. Dr. U.S. U.S Jan. Jan a.m. p.m. a.m e.g. i.e. etc. No. no. So. Inc. Co. Ph.D. St. a. A. vs. v. Mt. Ave. J.R.R.
D.C. Sat. Sept. St Corp. Ltd. cf. al. Rev. U.S.-U.K. non-U.S. Ft. ft. oz. in. lb. approx. max. fig. Tue. pt. Pty. op.
50 5 1,000 3.14 10:30 1/2 3/4 10 100 1999 2-3 1st 10:30am 5'10" 555-1234 (555) 555 1234 +1 -5 .5 1. 12/25/2010 24/7 3d
1-800-555-1234 007 1.2.3 % $ # @ & * + = / \ | ~ ^ _ < > << >> <3 ( ) [ ] { } " ' `` '' ` , . ; : ! ? - -- --- ... ..
.... ?! !! ?? ----- $5 US$ C$ 5$ #1 #tag @user a@b.com foo@bar.co http://a.bc www.foo.com foo.com a.org b.html a.jpg
http://x.y/z?q=1&r=2 https://t.co/abc file.txt index.php <b> </b> <br/> <p src='a'> <!--x--> href="x"> &amp; &lt; &gt;
&quot; &apos; &nbsp; &mdash; &eacute; &#39; &frac12; &AMP; &QUOT; :) :-) ;) :( :D :P =) ^_^ -_- :'( :/ :o) XD 8) D: :]
o_O >_< t-shirt black-and-white a/b w/ and/or w/o c/o a-b-c x-ray a_b a-1 1-a pro- anti- AT&T R&D Q&A a&b A+B S&P-500
C++ C# f# C.D.s a A the The man woman dog I x X yahoo! Yahoo! E! OK! s n t d ll re is no so on can go pm am U S N T ok
"""
_CHARACTERS = (
    "\u2019\u2018\u201c\u201d\u201e\u201a\u201f\u2013\u2014\u2015\u2012\u2026\u20ac\xa3\xa5\xa2\xbd\xbc\xbe\u2153\xb0"
    "\xb2\xb3\xd7\xa0\u2003\u3000\u200b\u200d\xad\ufeff\u2010\u2011\u2044\u2122\xae\xa9\xab\xbb\u2039\u203a\xa1\xbf"
    "\u2022\xb7\xb5\u2212\u0301\u0300\u0327\x85\x96\x92\xe9\xd1\xdf\u0130\u0131\u03a3\u4e2d\u0663\u0967\u05d0\ufe0f"
    "\U0001f600\U0001d400\u2764\ufb01\uff21\uff11\u1e9e\u01c5\u017f\u212a\u3001\u3002\u066b\u058a\x01"
)
PIECES = [
    *_PIECES.split(),
    *_CHARACTERS,
    *"caf\xe9 na\xefve e\u0301 \u0391\u03a3 \u4e2d\u6587 \u0e44\u0e17\u0e22 don\u2019t O\u2019Neil \u2019tis".split(),
    *(" ", "  ", "\t", 'a href="x y"', "3 1/2", ". . .", "+44 20 7946 0958"),
]
LETTERS = "abcdnstmlvreyoIASNTUM" * 2 + "0123456789" + "".join(map(chr, range(33, 127))) + "  '''...---,,&;"
LETTERS += "\u2019\u2018\u201c\u201d\u2013\xe9\u0301\xad\xa0\xbd\u20ac"
_BLOCKS = (
    (0x20, 0x7E),
    (0xA0, 0x24F),
    (0x2000, 0x206F),
    (0x20A0, 0x2BFF),
    (0x300, 0x6FF),
    (0x20, 0xD7FF),
    (0xE000, 0xFFFF),
)
LINE_SEPARATORS = "\n\r\x0b\x0c\u2028\u2029"


def invented_captions(count: int, seed: int) -> list[str]:
    """Captions of one line each, the same for the same seed."""
    chance = random.Random(seed)
    captions: list[str] = []
    while len(captions) < count:
        caption = _invent(chance)
        if not any(separator in caption for separator in LINE_SEPARATORS):
            captions.append(caption)
    return captions


def _invent(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.45:
        return "".join(chance.choice(PIECES) + chance.choice(["", " "]) for _ in range(chance.randint(1, 8)))
    if kind < 0.75:
        return "".join(chance.choice(LETTERS) for _ in range(chance.randint(1, 16)))
    if kind < 0.9:
        caption = list(" ".join(chance.choice(PIECES) for _ in range(chance.randint(1, 5))))
        for _ in range(chance.randint(1, 3)):
            caption.insert(chance.randrange(len(caption)), chance.choice(LETTERS))
        return "".join(caption)
    blocks = (chance.choice(_BLOCKS) for _ in range(chance.randint(1, 12)))
    return "".join(chr(chance.randint(*block)) for block in blocks)
