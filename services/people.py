"""Who asks: two spellings that read the same are one person, and what cannot be read is nobody.

A name is what a person says of themselves. The bus knows every operator by one and the same key,
so it cannot say who of them asks: the rule of two people finds a slip and leaves a record, and
keeps out nobody who lies and has that key. What it must not do is count one name as two, in
letters that are only shown alike: then the record itself would show two people.

Which letters are alike is a table of Unicode's (TR 39) that grows. Here the rule is closed without
it: each of the two names is in one script, and both in the same one. What is alike inside a script
is little, and is folded; too much is folded rather than too little. A name in any script is good.
"""

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

_EAST_ASIAN = frozenset(
    {"BOPOMOFO", "CJK", "HANGUL", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA", "KATAKANA-HIRAGANA"}
)
"""Kinds of letters that one name is written in together, in Chinese, Japanese or Korean."""

_LATIN_OF_LANGUAGES = (range(0x1C0), range(0x1C4, 0x250), range(0x1E00, 0x1F00))
"""Where the letters of languages are; what else is Latin are signs of sounds, and alike to them."""

_APOSTROPHES = range(0x2B9, 0x2D0)
"""Signs beside letters, such as the okina of Hawaiian names: of no script, and alike to a quote."""

_ALIKE = str.maketrans(
    {
        **dict.fromkeys(map(chr, _APOSTROPHES), ""),
        **dict.fromkeys("0\u043e\u03bf", "o"),
        **dict.fromkeys("1i|\u0131\u0456\u04cf\u03b9", "l"),
        **dict.fromkeys("3\u0437", "3"),
        "m": "rn",
        "w": "vv",
        **dict(zip("ニエカタトハロヘ", "二工力夕卜八口へ", strict=True)),
    }
)
"""What is alike inside one script: a digit to a letter, a letter to another, or to two of them."""


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


def script(name: str) -> str:
    """Return the scripts that the letters of a name are of, in a row; empty where it has none."""
    return " and ".join(sorted({_script(each) for each in person(name)} - {""}))


def unlike(path: str, one: str, other: str) -> FieldError | None:
    """Return the complaint that two names are in different scripts: they may look the same."""
    if script(one) == script(other):
        return None
    found = f"{_shown(other)} in {_of(other)} after {_shown(one)} in {_of(one)}"
    wanted = "two names in one script: letters of two scripts look alike"
    return FieldError(path=path, found=found, wanted=wanted)


def mixed(path: str, name: str) -> FieldError | None:
    """Return the complaint that a name is in more than one script, if so."""
    if " and " not in script(name):
        return None
    wanted = "a name in the letters of one script, by which no other can be meant"
    return FieldError(path=path, found=f"{_shown(name)} in {_of(name)}", wanted=wanted)


def are_two(one: str, other: str) -> bool:
    """Return whether two names are surely of two people: nobody could take one for the other."""
    return script(one) == script(other) and _skeleton(one) != _skeleton(other)


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


def _shown(name: str) -> str:
    """Return a name so that its letters can be told apart."""
    return f"{name[:SHOWN_MAX]!a}"


def _of(name: str) -> str:
    return script(name) or "no letters"


def _script(character: str) -> str:
    """Return the script of a letter, as the first word of its name has it; else nothing."""
    if not unicodedata.category(character).startswith("L") or ord(character) in _APOSTROPHES:
        return ""
    word = unicodedata.name(character, "UNNAMED").split()[0]
    if word == "LATIN" and not any(ord(character) in each for each in _LATIN_OF_LANGUAGES):
        return "signs of sounds"
    return "East Asian" if word in _EAST_ASIAN else word.capitalize()


def _skeleton(name: str) -> str:
    """Return a name as it may look: whatever could be taken for the same is the same."""
    read = unicodedata.normalize("NFD", person(name)).replace("\u0307", "")  # a dot, as on an i
    drawn = "".join(_digit(each) for each in read).translate(_ALIKE)
    return "".join(each for each in drawn if each == " " or unicodedata.category(each)[0] in "LMN")


def _digit(character: str) -> str:
    """Return a digit of any script as ours."""
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)
