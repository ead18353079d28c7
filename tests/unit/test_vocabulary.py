"""Every event has its place on the bus, every error its row, every name its rules."""

import msgspec
import pytest

import schemas.wire
from schemas.base import Event, InstrumentId
from schemas.errors import REGISTRY, ErrorSeverity, FieldError, UserError
from schemas.executions import ExecutionEvent
from schemas.instruments import instrument_id, symbol_of, venue_of
from schemas.subjects import INTERNAL, SUBJECTS, subject_of, subjects_of
from schemas.venue import VenueMessage
from tests.builders import order, quote, signal
from tests.conftest import ROOT

ROOTS = {ExecutionEvent, VenueMessage}


def all_events() -> set[type[Event]]:
    found: set[type[Event]] = set()
    todo: list[type[Event]] = [Event]
    while todo:
        children = [c for c in todo.pop().__subclasses__() if c.__module__.startswith("schemas.")]
        found.update(children)
        todo.extend(children)
    return found - ROOTS


def test_every_event_has_a_subject_or_is_internal() -> None:
    assert set(SUBJECTS) | INTERNAL == all_events()
    assert set(SUBJECTS) & INTERNAL == set()


def test_every_event_can_be_read_back_from_a_journal() -> None:
    assert set(schemas.wire._ALL) == all_events()


def test_an_event_is_published_inside_the_pattern_that_others_listen_on() -> None:
    for event in (quote(), signal()):
        pattern = SUBJECTS[type(event)].split(".")
        subject = subject_of(event).split(".")
        assert len(pattern) == len(subject)
        assert all(want in ("*", got) for want, got in zip(pattern, subject, strict=True))


def test_the_subject_of_a_quote_names_venue_and_symbol() -> None:
    assert subject_of(quote(instrument=InstrumentId("binance-usdm:BTCUSDT"))) == (
        "market.binance-usdm.BTCUSDT.quote"
    )
    assert subject_of(signal()) == "signal.s1.ALPHA"


def test_subjects_to_listen_on_are_given_once() -> None:
    from schemas.executions import OrderCanceled, OrderFilled
    from schemas.venue import VenueAccepted

    assert subjects_of(OrderFilled, OrderCanceled, VenueAccepted) == ("exec.*.*",)


@pytest.mark.req("S-14")
def test_the_registry_has_every_code_that_must_exist() -> None:
    owed = {
        "LTS-001": "HIGH",
        "LTS-002": "HIGH",
        "LTS-003": "CRITICAL",
        "LT-001": "HIGH",
        "LT-002": "HIGH",
        "LT-003": "CRITICAL",
        "LT-004": "CRITICAL",
        "LT-005": "MEDIUM",
        "LT-006": "MEDIUM",
        "LT-007": "HIGH",
    }
    assert {code: REGISTRY[code].severity for code in owed} == {
        code: ErrorSeverity(word) for code, word in owed.items()
    }
    for entry in REGISTRY.values():
        assert all(msgspec.structs.astuple(entry)), f"{entry.code} has an empty column"


@pytest.mark.req("S-14")
@pytest.mark.parametrize("code", [code for code in REGISTRY if code.startswith("LT")])
def test_no_code_that_must_exist_is_only_a_row_of_the_registry(code: str) -> None:
    sources = [*ROOT.glob("services/**/*.py"), ROOT / "schemas" / "errors.py"]
    assert any(f'"{code}"' in path.read_text() for path in sources)


@pytest.mark.req("S-14", "S-01")
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("$", "LT-001"),
        ("$.symbols[0]", "LT-001"),
        ("$.config_overrides.fast", "LT-002"),
        ("sluice.toml: strategy.parameters.ema_cross.slow", "LTS-002"),
        ("$.prerequisites.paper_days", ""),
        ("sluice.toml: gate.price_collar_bps", ""),
    ],
)
def test_a_wrong_field_says_which_code_it_has_by_where_it_is(path: str, code: str) -> None:
    made = FieldError(path=path, found="x", wanted="y")
    assert made.code == code
    assert msgspec.json.decode(msgspec.json.encode(made), type=FieldError) == made
    told = {"path": path, "found": "x", "wanted": "y"}
    assert msgspec.to_builtins(made) == (told | {"code": code} if code else told)


def test_an_error_says_code_fields_and_resolution() -> None:
    error = UserError("SLU-100", path="gate.quantity_max", found="-1", wanted="more than 0")
    assert str(error) == (
        "SLU-100 configuration is not valid (path: gate.quantity_max, found: -1, "
        "wanted: more than 0)"
    )
    assert error.entry.resolution == "mend the field named; `sluice config check`"


def test_an_instrument_id_is_taken_apart_into_venue_and_symbol() -> None:
    made = instrument_id("nyse", "BRK.B")
    assert (made, venue_of(made), symbol_of(made)) == ("nyse:BRK-B", "nyse", "BRK-B")


@pytest.mark.parametrize("symbol", ["", "A B", "A*", "A>", "a\u00e9"])
def test_a_symbol_that_no_subject_may_hold_is_refused(symbol: str) -> None:
    with pytest.raises(UserError) as caught:
        instrument_id("sim", symbol)
    assert caught.value.fields["found"] == repr(symbol)


def test_an_order_carries_a_send_deadline() -> None:
    assert order().expires_at_ns > 0
