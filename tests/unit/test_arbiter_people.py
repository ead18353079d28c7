"""Who asks: whatever reads the same is one person, and nobody may decide anything."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from schemas.breakers import BreakerAsked, BreakerRequest
from schemas.control import ControlAnswered
from schemas.errors import FieldError
from services.breaker.config import BreakerConfig
from services.people import person, unlike
from tests.breaker_rig import levels
from tests.control_rig import ControlRig, breaker_core, halt, lock, start

pytestmark = pytest.mark.req("B-12", "O-06")

SPELLINGS = {
    "capitals": "Kim",
    "full width": "\uff2b\uff49\uff4d",
    "zero width space": "kim\u200b",
    "zero width joiner inside": "ki\u200dm",
    "soft hyphen": "k\u00adim",
    "byte order mark": "\ufeffkim",
    "right-to-left mark": "\u200fkim",
    "variation selector": "kim\ufe0f",
    "hangul filler": "kim\u3164",
    "tab": "\tkim",
    "newline": "kim\n",
    "no-break space": "kim\u00a0",
    "ideographic space": "\u3000kim",
    "null": "kim\x00",
}
UNREAD = {"nothing": "", "blanks": " \t\u00a0", "unseen": "\u200b\ufeff\u3164\ufe0f"}
INVISIBLE = st.text(st.sampled_from("\u200b\u200c\u2060\ufeff\u00ad\u034f\u3164\ufe0e\x00\x1b"))


def rig_of_two() -> ControlRig:
    return ControlRig(breaker_core(BreakerConfig(start_approvals=2))).ready()


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
def test_one_person_is_no_second_one_under_another_spelling(spelling: str, is_first: bool) -> None:
    first, second = (spelling, "kim") if is_first else ("kim", spelling)
    rig = rig_of_two()
    rig.tell(start("start-1", first))
    answer = rig.answer_of(rig.tell(start("start-2", second)))
    alone = FieldError(
        path="$.operator",
        found=f"asked by {second} alone",
        wanted="a second person who asks for the same within 300 s",
    )
    assert (answer.is_ok, answer.errors) == (False, (alone,))
    assert rig.answer_of(rig.tell(start("start-3", "lee"))).is_ok


def test_without_comparing_what_is_read_one_person_is_two(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_started() -> bool:
        rig = rig_of_two()
        rig.tell(start("start-1", "kim"))
        return rig.answer_of(rig.tell(start("start-2", "kim\u200b"))).is_ok

    assert not is_started()
    monkeypatch.setattr("services.breaker.approvals.are_two", str.__ne__)
    assert is_started()


ALIKE = {
    "a digit and a letter": ("ann1", "annl"),
    "nought and o": ("bob", "b0b"),
    "capital i and small l": ("AI", "Al"),
    "two letters and one": ("tom", "torn"),
    "an i without its dot": ("k\u0131m", "kim"),
    "an i with a dot more": ("ki\u0307m", "kim"),
    "a sign beside it": ("kim", "kim."),
    "digits of another script": ("kim 3", "kim \u0663"),
    "cyrillic digit": ("\u0437\u043e\u044f", "3\u043e\u044f"),
    "kanji and katakana": ("\u53e3\u7530", "\u30ed\u7530"),
    "two kinds of apostrophe": ("O\u02bcBrien", "O'Brien"),
}


@pytest.mark.parametrize(("one", "other"), ALIKE.values(), ids=ALIKE)
def test_two_names_that_look_the_same_are_one_person(one: str, other: str) -> None:
    rig = rig_of_two()
    rig.tell(start("start-1", one))
    assert not rig.answer_of(rig.tell(start("start-2", other))).is_ok


MIXED = {
    "one cyrillic letter": ("k\u0456m", "'k\\u0456m' in Cyrillic and Latin"),
    "one greek letter": ("l\u03bfe", "'l\\u03bfe' in Greek and Latin"),
    "a sign of a sound": ("k\u0251m", "'k\\u0251m' in Latin and signs of sounds"),
}


@pytest.mark.parametrize(("name", "found"), MIXED.values(), ids=MIXED)
def test_a_name_in_letters_of_two_scripts_is_refused_as_one_of_two(name: str, found: str) -> None:
    rig = rig_of_two()
    rig.tell(start("start-1", "kim"))
    wanted = "a name in the letters of one script, by which no other can be meant"
    [error] = rig.answer_of(rig.tell(start("start-2", name))).errors
    assert error == FieldError(path="$.operator", found=found, wanted=wanted)
    assert rig.answer_of(rig.tell(start("start-3", "lee"))).is_ok, "the first approval stands"


def test_a_name_all_of_letters_that_look_latin_is_no_second_person() -> None:
    rig = rig_of_two()
    rig.tell(start("start-1", "coc"))
    [error] = rig.answer_of(rig.tell(start("start-2", "\u0441\u043e\u0441"))).errors
    assert error == FieldError(
        path="$.operator",
        found="'\\u0441\\u043e\\u0441' in Cyrillic after 'coc' in Latin",
        wanted="two names in one script: letters of two scripts look alike",
    )


def test_one_person_of_any_script_starts_where_one_is_enough() -> None:
    rig = ControlRig().ready()
    assert rig.answer_of(rig.tell(start("start-1", "k\u0456m"))).is_ok


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u0393\u03b9\u03ac\u03bd\u03bd\u03b7\u03c2", "\u039d\u03af\u03ba\u03bf\u03c2"),
        ("\u738b\u4f1f", "\u674e\u5a1c"),
        ("\u5c71\u7530\u30a8\u30df", "\u4f50\u85e4\u306f\u306a"),
        ("\uae40\ubbfc\uc218", "\uc774\uc601"),
        ("O'Brien", "Nu\u00f1ez"),
        ("\u02bbAkilina", "Ka\u02bbiulani"),
    ],
)
def test_people_of_any_script_are_two(one: str, other: str) -> None:
    rig = rig_of_two()
    rig.tell(start("start-1", one))
    assert rig.answer_of(rig.tell(start("start-2", other))).is_ok


@pytest.mark.parametrize(
    ("one", "other"),
    [("kim lee", "kimlee"), ("kim", "kin"), ("kim 1", "kim 2"), ("jose", "jos\u00e9")],
)
def test_names_that_read_differently_are_two_people(one: str, other: str) -> None:
    rig = rig_of_two()
    rig.tell(start("start-1", one))
    assert rig.answer_of(rig.tell(start("start-2", other))).is_ok


@given(name=st.text(), invisible=INVISIBLE, at=st.integers(0, 20))
def test_nothing_that_is_not_seen_makes_another_person(name: str, invisible: str, at: int) -> None:
    assert person(name[:at] + invisible + name[at:]) == person(name)


def test_blanks_of_any_kind_and_number_are_one() -> None:
    assert person(" Kim\u00a0\t\u2003 Lee\n") == person("kim lee") == "kim lee"


def test_a_name_without_letters_is_shown_as_such_beside_one_with_them() -> None:
    found = unlike("$.operator", "kim", "007")
    assert found is not None
    assert found.found == "'007' in no letters after 'kim' in Latin"


def test_one_name_in_two_encodings_is_one() -> None:
    assert person("Jose\u0301") == person("JOS\u00c9") == person("jose\u200d\u0301") == "jos\u00e9"


def answers(rig: ControlRig, operator: str) -> list[ControlAnswered]:
    """Return the answers to all that a person may ask the breaker service for."""
    change = BreakerRequest(
        operator=operator, reason="r", breaker="order_rate", levels=levels(("5", "halt"))
    )
    found = [
        rig.answer_of(rig.tell(start(operator=operator))),
        rig.answer_of(rig.tell(BreakerAsked(at_ns=0, request_id="r1", request=change))),
    ]
    rig.tell(halt())
    found.append(rig.reset(1, operator=operator))
    rig.tell(lock())
    return [*found, rig.unlock(2, operator=operator)]


@pytest.mark.parametrize("operator", UNREAD.values(), ids=UNREAD)
def test_nobody_starts_changes_resets_or_unlocks_anything(operator: str) -> None:
    found = answers(ControlRig().ready(), operator)
    assert [each.is_ok for each in found] == [False] * 4
    what = "nothing" if not operator.strip() else f"{operator!a}, in which nothing can be read"
    assert [each.errors for each in found] == [
        (FieldError(path="$.operator", found=what, wanted=wanted),)
        for wanted in ("who asks", "who changes it", "who resets", "who unlocks")
    ]


def test_a_reason_in_which_nothing_can_be_read_is_none() -> None:
    rig = ControlRig().ready()
    rig.tell(halt())
    [error] = rig.reset(1, reason="\u200b").errors
    assert (error.path, error.found) == ("$.reason", "'\\u200b', in which nothing can be read")


def test_of_a_long_text_that_nobody_can_read_a_little_is_shown() -> None:
    rig = ControlRig().ready()
    rig.tell(halt())
    [error] = rig.reset(1, operator="\u200b" * 100_000).errors
    assert len(error.found) < 200


def test_nobody_uses_up_the_approval_of_the_first_person() -> None:
    rig = rig_of_two()
    rig.tell(start("start-1", "kim"), start("start-2", "\u200b"))
    assert rig.answer_of(rig.tell(start("start-3", "lee"))).is_ok
