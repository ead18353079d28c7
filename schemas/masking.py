"""What looks like a secret by its name or by its form, and what stands in its place."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MASK = "***"
NAMES_MAX = 1_024

_NAME = r"""(?: pass (?:word|wd|phrase) | (?<![a-z]) pwd (?![a-z]) | secrets? | credentials?
    | api[_-]?keys? | (?: signing | encryption | master | private ) [_-]? key
    | (?<![a-z]) private (?![a-z])
    | (?<![a-z]) auth (?![a-z]) | seed[_-]?phrase | mnemonic
    | (?: nkey | wallet | master | user | account | operator | hd ) [_-]? seeds?
    | (?: access | refresh | bearer | auth | session ) [_-]? tokens?
    | (?<!gate[_-]) token (?!s) )"""
"""What a secret is called: in a field, a setting, a log line and a text, all alike. The number that
fences a gate off is none, nor is what a bucket holds, nor what a simulated market begins with."""

_SECRET_NAME = re.compile(_NAME + "| authorization", re.IGNORECASE | re.VERBOSE)
_INSTRUMENT = re.compile(r"[\w-]+:[\w-]+", re.ASCII)

_SECRET_FORM = re.compile(
    r"S[UANCOXPS][A-Z2-7]{40,}"  # the seed of an nkey
    r"|(?<=://)[^/\s\"]+(?=@)"  # user and password, or a token, in an address
    r"|(?<=Bearer )\S+"
    # to its end; one that was cut short has none
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)"
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
        # password=..., and "password": "..." of a mapping that was printed; to the closing quote,
        # or through a list of texts. A number of three digits at most, or yes or no, is none.
        rf"( {_NAME}"
        r""" (?: [_-]? (?:key|pem|seed|value) )?
              (?: (?:=(?!=)|[ ]=[ ])(?:\\?["'])? | \\?["'][ ]?:[ ]? (?: \\?["'] | (?=\[) ) ) )
            (?: (?<=") [^"]+ | (?<=') [^']+ | \[ (?: \\?" [^"]* "? | \\?' [^']* '? | [\s,] )+ \]?
                | (?<!["']) (?! (?: \d{1,3} | true | false ) [.,;:)\]}]* (?: [\s&"'] | \Z ) )
                  [^\s&"']* [^\s&"'.,;:)\]}] )""",
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


@lru_cache(maxsize=NAMES_MAX)
def is_secret(name: str) -> bool:
    """Return whether what is called `name` is a secret, whatever it looks like.

    The id of an instrument names none, whatever its symbol is.
    """
    return _SECRET_NAME.search(name) is not None and _INSTRUMENT.fullmatch(name) is None


def masked_value(name: str, value: Any) -> Any:
    """Return a value without its secrets, at any depth: of tables the table, of lists the list.

    Args:
        name: what it is called; empty where it has no name.
        value: anything; what is neither a number nor holds others is shown as its text.
    """
    if value is None or value == "" or isinstance(value, bool):
        return value
    if is_secret(name):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): masked_value(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked_value("", inner) for inner in value]
    if isinstance(value, int | float):
        return value
    return masked(str(value))


def masked(text: str) -> str:
    """Return the text with every secret masked that shows by its form, or by what names it."""
    if _MAY_BE_SECRET.search(text) is None:
        return text
    for form in _SECRETS_IN_TEXT:
        text = form.sub(rf"\g<1>{MASK}", text)
    return _SECRET_FORM.sub(MASK, text)
