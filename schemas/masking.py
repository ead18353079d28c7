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


def masked(text: str) -> str:
    """Return the text with everything that has the form of a secret masked."""
    return _SECRET_FORM.sub(MASK, text)
