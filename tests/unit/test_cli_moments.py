"""What a person types as a moment is that moment, to the digit; what is none is told."""

import pytest

from schemas.errors import UserError
from services.cli.export import moment_ns

pytestmark = pytest.mark.req("R-02", "S-14")


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("2026-11-27", 1_795_737_600_000_000_000),
        ("2026-11-27T14:30:00.123457", 1_795_789_800_123_457_000),
        ("2026-11-27T14:30:00.123457+01:00", 1_795_786_200_123_457_000),
        ("1970-01-01T00:00:00.000001", 1_000),
    ],
)
def test_a_moment_is_taken_to_the_microsecond(text: str, at_ns: int) -> None:
    assert moment_ns(text, "--from") == at_ns


def test_no_microsecond_of_a_second_is_another_one() -> None:
    second, found = "2262-01-01T00:00:00", moment_ns("2262-01-01T00:00:00", "--from")
    told = [moment_ns(f"{second}.{micros:06d}", "--from") for micros in range(0, 1_000_000, 997)]
    assert told == [found + micros * 1_000 for micros in range(0, 1_000_000, 997)]


def test_the_end_of_the_last_day_there_is_is_told_as_none() -> None:
    with pytest.raises(UserError) as caught:
        moment_ns("9999-12-31", "--to", is_end=True)
    assert caught.value.fields["path"] == "--to"
