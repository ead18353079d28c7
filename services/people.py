"""Who asks: two spellings that read the same are one person, and what cannot be read is nobody."""

import unicodedata

from schemas.errors import FieldError

SHOWN_MAX = 20
"""Most characters of a text that is shown where nothing can be read in it."""

_UNSEEN = (
    *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5),
    *range(0x180B, 0x1810),
    *range(0xFE00, 0xFE10),
    *range(0xE0100, 0xE01F0),
)
"""Letters and marks that are shown as nothing: fillers, joiners, and selectors of a variant."""

_AS_READ = dict.fromkeys(_UNSEEN, "") | {0x2800: " "}
"""And the one sign, a Braille pattern without dots, that is shown as a blank."""


def person(name: str) -> str:
    """Return a name as names are compared; empty where nothing in it can be read.

    Width and capitals make no other person, nor does anything that is not seen.
    """
    read = "".join(_seen(each) for each in _plain(name).translate(_AS_READ))
    return " ".join(_plain(_plain(read).casefold()).split())


def unnamed(path: str, text: str, wanted: str) -> list[FieldError]:
    """Return the complaint that nothing can be read in what a person gave, if so."""
    if person(text):
        return []
    found = f"{text[:SHOWN_MAX]!a}, in which nothing can be read" if text.strip() else "nothing"
    return [FieldError(path=path, found=found, wanted=wanted)]


def blanks(operator: str, reason: str, does: str, why: str) -> list[FieldError]:
    """Return the complaints that a person gave no name or no reason that can be read."""
    return [*unnamed("$.operator", operator, f"who {does}"), *unnamed("$.reason", reason, why)]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _seen(character: str) -> str:
    """Return a character as it is read: space of any kind as a blank, a control as nothing."""
    category = unicodedata.category(character)
    if category.startswith("Z") or character.isspace():
        return " "
    return "" if category.startswith("C") else character
