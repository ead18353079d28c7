"""What looks like a secret by its form, and what stands in its place."""

import re

MASK = "***"

_SECRET_FORM = re.compile(
    r"S[UANCOXPS][A-Z2-7]{40,}"  # the seed of an nkey
    r"|(?<=://)[^/\s\"]+(?=@)"  # user and password, or a token, in an address
    r"|(?<=Bearer )\S+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----"
    r"|AGE-SECRET-KEY-1[0-9A-Z]+"
    r"|\bk[0-9a-f]{64}\b",  # the key of the bus's store
    re.DOTALL,
)


_SECRETS_IN_TEXT = tuple(
    re.compile(form, re.IGNORECASE | re.VERBOSE)
    for form in (
        # A password in an address may hold / and @: it ends at the last @, also where an error has
        # masked it up to the first. After HOST:PORT of a page there may be an @ that ends none.
        r"""(://) (?: (?<!http://)(?<!https://) [^\s"/?#:@]*: | [^\s"/?#:@]*: (?!\d{1,5}[/?#])
                | [*]{3}@ ) (?:(?!://)[^\s"])* (?=@)""",
        # password=..., and "password": "..." of a mapping that was printed; to the closing quote.
        r"""( (?: password | passwd | passphrase | api[_-]?key
                | (?:auth|access|refresh|bearer)[_-]?token | (?<![\w-])token )
              (?: (?:=(?!=)|[ ]=[ ])(?:\\?["'])? | \\?["'][ ]?:[ ]?\\?["'] ) )
            (?: (?<=") [^"]+ | (?<=') [^']+ | (?<!["']) [^\s&"']* [^\s&"'.,;:)\]}] )""",
        r"""( authorization \\?["']? [ ]?[:=][ ]? (?:\\?["'])?
              (?:basic|bearer|digest|negotiate|token) [ ]+ ) [^\s"',]+""",
        # Who knows the path of a webhook may write there.
        r"""( (?: hooks\.slack\.com/(?:services|triggers|workflows)
                | discord(?:app)?\.com/api/(?:v\d+/)?webhooks
                | \.webhook\.office\.com/webhookb2 ) / ) [\w/@-]+""",
    )
)
"""Each with what stays as its first group."""

_MAY_BE_SECRET = re.compile(r"[=:/]|\S{17}|Bearer |PRIVATE KEY")
"""What no secret is without: numbers, names and most ids of an event are passed over quickly."""


def masked(text: str) -> str:
    """Return the text with every secret masked that shows by its form, or by what names it."""
    if _MAY_BE_SECRET.search(text) is None:
        return text
    for form in _SECRETS_IN_TEXT:
        text = form.sub(rf"\g<1>{MASK}", text)
    return _SECRET_FORM.sub(MASK, text)
