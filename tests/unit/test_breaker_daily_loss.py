"""The loss of a day is measured from the equity at the calendar's open, which nothing moves."""

import pytest

from schemas.base import AccountId, Event
from schemas.breakers import DayOpened, EquityNoted, LossAcknowledged
from schemas.control import BreakerTripped, BreakerWarned, HaltRequested
from schemas.executions import BookReported
from schemas.health import BreakerView
from services.breaker.config import BreakerConfig
from services.calendars.named import calendar_named
from tests.breaker_rig import only
from tests.builders import ACCOUNT, MS_NS, S_NS, dec, quote
from tests.control_rig import ControlRig, book, breaker_core, halt
from tests.control_rig import only as the

pytestmark = pytest.mark.req("B-02")

DAY_NS = 86_400 * S_NS
SHARE = only("daily_loss", ("0.05", "halt"))
AMOUNT = only("daily_loss_amount", ("5000", "halt"))


def worth(cash: str) -> BookReported:
    """Return a book of cash alone, so that the equity is exactly this."""
    return book(cash)


def opened(config: BreakerConfig = SHARE, now_ns: int = 10 * DAY_NS) -> ControlRig:
    """Return a rig whose day opened with 100,000."""
    rig = ControlRig(breaker_core(config), now_ns=now_ns)
    rig.tell(worth("100000"))
    rig.wait(S_NS)
    return rig


def halts(said: list[Event]) -> int:
    return sum(isinstance(each, HaltRequested) for each in said)


def be_worth(rig: ControlRig, cash: str) -> list[Event]:
    rig.tell(worth(cash))
    return rig.wait(S_NS)


def view(rig: ControlRig, name: str = "daily_loss") -> BreakerView:
    return next(b for b in rig.core.describe(rig.now_ns).breakers if b.name == name)


@pytest.mark.parametrize(
    ("config", "breaker", "value", "limit"),
    [
        (SHARE, "daily_loss", "-5.00 %", "-5.00 %"),
        (AMOUNT, "daily_loss_amount", "-5000.00", "-5000.00"),
    ],
    ids=["fraction", "amount"],
)
def test_a_loss_that_equals_the_limit_halts(
    config: BreakerConfig, breaker: str, value: str, limit: str
) -> None:
    rig = opened(config)
    assert halts(be_worth(rig, "95000.01")) == 0
    said = be_worth(rig, "95000.00")
    tripped = the(BreakerTripped, said)
    assert (tripped.breaker, tripped.value, tripped.limit) == (breaker, value, limit)
    assert tripped.reason == (
        f"loss since the day's open {value}; the limit is {limit} "
        "(equity 95000.00, equity at the open 100000.00)"
    )


def test_a_gain_before_the_loss_does_not_move_the_base() -> None:
    rig = opened()
    be_worth(rig, "120000")
    assert halts(be_worth(rig, "95000.01")) == 0
    assert view(rig).value == "-5.00 %"
    assert halts(be_worth(rig, "95000")) == 1


@pytest.mark.parametrize(
    ("config", "breaker", "zero", "loss", "distances"),
    [
        (
            SHARE,
            "daily_loss",
            "0.00 %",
            "-3.00 %",
            ("8903.63 (8.90 %) to halt at -5.00 %", "2000.00 (2.00 %) to halt at -5.00 %"),
        ),
        (
            AMOUNT,
            "daily_loss_amount",
            "0.00",
            "-3000.00",
            ("8903.63 (8.90 %) to halt at -5000.00", "2000.00 (2.00 %) to halt at -5000.00"),
        ),
    ],
    ids=["fraction", "amount"],
)
def test_a_gain_reads_as_no_loss_and_widens_the_distance(
    config: BreakerConfig, breaker: str, zero: str, loss: str, distances: tuple[str, str]
) -> None:
    rig = opened(config)
    be_worth(rig, "103903.63")
    gained = view(rig, breaker)
    be_worth(rig, "97000")
    lost = view(rig, breaker)
    assert (gained.value, lost.value) == (zero, loss)
    assert (gained.distance, lost.distance) == distances


def test_unrealised_losses_count() -> None:
    rig = opened()
    rig.tell(book("50000", ALPHA="500"), quote("90", "90"))
    assert halts(rig.wait(S_NS)) == 1


def test_the_day_is_opened_at_the_very_nanosecond_by_its_own_alarm() -> None:
    rig = opened()
    be_worth(rig, "99000")
    assert rig.core.wake_at_ns == 11 * DAY_NS
    said = rig.wait(DAY_NS)
    assert the(DayOpened, said) == DayOpened(
        at_ns=11 * DAY_NS,
        account=ACCOUNT,
        open_ns=11 * DAY_NS,
        equity=dec("99000"),
        reason="equity at the open (24x7)",
    )


def test_a_new_day_measures_from_its_own_open() -> None:
    rig = opened()
    be_worth(rig, "96000")
    rig.wait(DAY_NS)
    assert halts(be_worth(rig, "92000")) == 0
    assert view(rig).inputs["equity at the open"] == "96000.00"
    assert halts(be_worth(rig, "91200")) == 1


def test_the_calendar_says_when_the_day_opens() -> None:
    calendar = calendar_named("XNYS")
    friday_ns = calendar.day_open_ns(1_764_342_000 * S_NS)  # Friday 28 November 2025
    monday_ns = calendar.next_open_ns(friday_ns)
    assert monday_ns - friday_ns == 3 * DAY_NS
    config = only("daily_loss", ("0.05", "halt"), day_calendar="XNYS")
    rig = opened(config, now_ns=friday_ns + 3_600 * S_NS)
    be_worth(rig, "97000")
    assert rig.core.wake_at_ns == monday_ns
    rig.wait(2 * DAY_NS)
    assert view(rig).inputs["equity at the open"] == "100000.00"
    rig.wait(DAY_NS)
    assert view(rig).inputs["equity at the open"] == "97000.00"


def test_beyond_the_calendars_table_a_day_begins_at_midnight_utc() -> None:
    config = only("daily_loss", ("0.05", "halt"), day_calendar="XNYS")
    rig = opened(config, now_ns=10 * DAY_NS + 5)  # January 1970
    opening = the(DayOpened, rig.said)
    assert (opening.open_ns, opening.reason) == (10 * DAY_NS, "equity at the open (24x7)")


def test_before_the_first_open_of_the_calendars_table_a_day_begins_at_midnight_utc() -> None:
    table = calendar_named("XNYS")
    config = only("daily_loss", ("0.05", "halt"), day_calendar="XNYS")
    midnight_ns = table.from_ns + DAY_NS  # covered; the first open is half a day later
    assert midnight_ns < table.sessions[0].open_ns < midnight_ns + DAY_NS
    rig = opened(config, now_ns=midnight_ns + 5)
    opening = the(DayOpened, rig.said)
    assert (opening.open_ns, opening.reason) == (midnight_ns, "equity at the open (24x7)")
    rig.now_ns = table.sessions[0].open_ns + 5
    be_worth(rig, "99000")
    assert view(rig).inputs["equity at the open"] == "99000.00"
    rig.restart(config=config)
    be_worth(rig, "98000")
    assert view(rig).inputs["equity at the open"] == "99000.00"


@pytest.mark.req("B-06")
def test_a_restart_keeps_the_base_of_the_day() -> None:
    rig = opened()
    be_worth(rig, "97000")
    rig.restart(config=SHARE)
    assert view(rig).value == "unknown"
    rig.now_ns += 3_600 * S_NS
    assert halts(be_worth(rig, "95000")) == 1
    assert view(rig).inputs["equity at the open"] == "100000.00"


def test_a_loss_across_an_open_that_nobody_saw_is_a_loss_of_the_day() -> None:
    rig = opened()
    rig.now_ns += 2 * DAY_NS + 3_600 * S_NS  # down meanwhile
    rig.restart(config=SHARE)
    said = be_worth(rig, "94000")
    opening = the(DayOpened, said)
    assert (opening.equity, opening.reason) == (
        dec("100000"),
        "last equity before the open, which nobody saw",
    )
    assert halts(said) == 1


def test_an_open_while_the_equity_was_unknown_waits_for_a_book_and_does_not_spin() -> None:
    rig = opened()
    rig.restart(config=SHARE)
    rig.wait(DAY_NS + 60 * S_NS)
    assert rig.core.wake_at_ns is None
    said = be_worth(rig, "99000")
    assert the(DayOpened, said).equity == dec("100000")


def test_the_equity_is_noted_once_a_minute_and_only_when_it_changed() -> None:
    rig = opened()
    rig.kept.clear()
    for cash in range(100_001, 100_181):
        be_worth(rig, str(cash))
    be_worth(rig, "100180")
    noted = [each for each in rig.kept if isinstance(each, EquityNoted)]
    assert 2 <= len(noted) <= 3


def test_an_equity_that_stays_is_noted_once() -> None:
    rig = opened()
    for _ in range(180):
        be_worth(rig, "100000")
    assert sum(isinstance(each, EquityNoted) for each in rig.kept) == 1


@pytest.mark.req("B-06", "B-12")
def test_a_reset_keeps_the_base_and_acknowledges_the_loss() -> None:
    rig = opened()
    be_worth(rig, "94000")
    assert rig.reset(1).is_ok
    reset_ns = rig.now_ns
    said = [*rig.wait(S_NS), *be_worth(rig, "94000")]
    assert the(LossAcknowledged, said) == LossAcknowledged(
        at_ns=reset_ns, account=ACCOUNT, breaker="daily_loss", loss=dec("6000")
    )
    assert halts(said) == 0
    assert view(rig).inputs == {
        "equity": "94000.00",
        "equity at the open": "100000.00",
        "loss acknowledged": "6000.00",
    }
    assert halts(be_worth(rig, "89000.01")) == 0
    assert halts(be_worth(rig, "89000")) == 1


@pytest.mark.req("B-06")
@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_a_restart_around_the_acknowledgement_changes_nothing(is_before: bool) -> None:
    rig = opened()
    be_worth(rig, "94000")
    rig.reset(1)
    if is_before:
        rig.restart(config=SHARE)
    be_worth(rig, "94000")
    if not is_before:
        rig.restart(config=SHARE)
        be_worth(rig, "94000")
    assert view(rig).inputs["loss acknowledged"] == "6000.00"


def test_what_a_reset_will_do_is_said_although_the_equity_is_unknown() -> None:
    rig = opened()
    be_worth(rig, "94000")
    rig.tell(book("94000", ALPHA="1"))  # it has no price
    assert rig.core.rebases(rig.now_ns) == (
        "daily_loss: the day's base, 100000.00, stays; the loss so far (unknown now) is "
        "acknowledged, and what follows counts anew",
    )


def test_what_a_reset_will_do_is_said_before_with_numbers() -> None:
    rig = opened()
    assert rig.core.rebases(rig.now_ns) == ()
    be_worth(rig, "94000")
    assert rig.core.rebases(rig.now_ns) == (
        "daily_loss: the day's base, 100000.00, stays; the loss so far (6000.00) is acknowledged, "
        "and what follows counts anew",
    )


def test_the_next_day_forgets_what_was_acknowledged() -> None:
    rig = opened()
    be_worth(rig, "94000")
    rig.reset(1)
    be_worth(rig, "94000")
    rig.wait(DAY_NS)
    be_worth(rig, "94000")
    assert "loss acknowledged" not in view(rig).inputs


@pytest.mark.req("B-02", "B-06")
def test_a_reset_of_the_day_before_acknowledges_no_loss_across_the_open() -> None:
    rig = opened()
    be_worth(rig, "94000")
    rig.restart(config=SHARE)  # its book is not known yet
    assert rig.reset(1).is_ok
    rig.now_ns += DAY_NS + 3_600 * S_NS
    said = be_worth(rig, "88000")
    assert the(DayOpened, said).reason == "last equity before the open, which nobody saw"
    assert not [each for each in said if isinstance(each, LossAcknowledged)]
    assert halts(said) == 1


def test_a_reset_of_a_manual_halt_acknowledges_nothing() -> None:
    rig = opened()
    be_worth(rig, "97000")
    rig.tell(halt())
    rig.reset(1)
    be_worth(rig, "97000")
    assert view(rig).value == "-3.00 %"


@pytest.mark.req("B-08")
def test_a_new_day_warns_anew() -> None:
    config = only("daily_loss", ("0.02", "warn"), ("0.50", "halt"))
    rig = opened(config)
    assert the(BreakerWarned, be_worth(rig, "97000")).limit == "-2.00 %"
    rig.wait(DAY_NS - 60 * S_NS)
    be_worth(rig, "94000")
    rig.wait(60 * S_NS)
    assert the(BreakerWarned, be_worth(rig, "91000")).value == "-3.19 %"


@pytest.mark.req("B-08")
def test_within_its_day_a_loss_warns_once_an_hour_however_often_the_equity_is_noted() -> None:
    config = only("daily_loss", ("0.02", "warn"), ("0.50", "halt"))
    rig = opened(config)
    warned = []
    for minute in range(61):
        said = be_worth(rig, str(97_000 - minute))
        warned += [minute for each in said if isinstance(each, BreakerWarned)]
        rig.wait(59 * S_NS)
    assert warned == [0, 60]


@pytest.mark.req("B-08")
def test_a_loss_across_an_open_that_nobody_saw_warns_anew() -> None:
    config = only("daily_loss", ("0.02", "warn"), ("0.50", "halt"))
    rig = opened(config)
    rig.now_ns = 11 * DAY_NS - 60 * S_NS
    assert the(BreakerWarned, be_worth(rig, "97000")).value == "-3.00 %"
    rig.restart(config=config)
    rig.now_ns = 11 * DAY_NS + 60 * S_NS
    said = be_worth(rig, "94000")
    assert (the(DayOpened, said).equity, the(BreakerWarned, said).value) == (dec(97_000), "-3.09 %")


def test_without_a_base_the_loss_is_unknown_and_not_zero() -> None:
    rig = ControlRig(breaker_core(SHARE))
    found = view(rig)
    assert (found.value, found.distance) == ("unknown", "unknown")
    assert found.detail == "the executor's book is not known: is the executor running?"


def test_the_view_shows_base_equity_and_distance_in_money_and_percent() -> None:
    rig = opened()
    be_worth(rig, "97000")
    found = view(rig)
    assert found.distance == "2000.00 (2.00 %) to halt at -5.00 %"
    assert found.inputs == {"equity": "97000.00", "equity at the open": "100000.00"}


def test_an_account_worth_nothing_at_the_open_is_past_every_level() -> None:
    rig = ControlRig(breaker_core(SHARE), now_ns=10 * DAY_NS)
    assert halts(be_worth(rig, "0")) == 1


@pytest.mark.parametrize(
    ("late_ns", "equity", "reason"),
    [
        (5 * S_NS, "98000", "equity at the open (24x7)"),
        (5 * S_NS + 1, "100000", "last equity before the open, which nobody saw"),
    ],
)
def test_a_valuation_within_five_seconds_of_the_open_is_the_equity_at_the_open(
    late_ns: int, equity: str, reason: str
) -> None:
    rig = opened()
    rig.restart(config=SHARE)
    valued_ns = 11 * DAY_NS + late_ns
    rig.now_ns = valued_ns - 250 * MS_NS  # a book is valued so long after it came
    assert the(DayOpened, be_worth(rig, "98000")) == DayOpened(
        at_ns=valued_ns, account=ACCOUNT, open_ns=11 * DAY_NS, equity=dec(equity), reason=reason
    )


@pytest.mark.parametrize("kind", ["day", "equity", "loss"])
def test_what_was_kept_of_another_account_moves_nothing(kind: str) -> None:
    other = AccountId("other")
    facts: dict[str, Event] = {
        "day": DayOpened(
            at_ns=1, account=other, open_ns=20 * DAY_NS, equity=dec(1), reason="not ours"
        ),
        "equity": EquityNoted(at_ns=1, account=other, equity=dec(1)),
        "loss": LossAcknowledged(at_ns=1, account=other, breaker="daily_loss", loss=dec(9_000)),
    }
    rig = opened()
    rig.kept.append(facts[kind])
    rig.restart(config=SHARE)
    rig.now_ns = (10 if kind == "loss" else 11) * DAY_NS + 60 * S_NS
    assert halts(be_worth(rig, "95000")) == 1


def test_without_the_kept_base_a_restart_hides_the_loss() -> None:
    """Ablation (field note 4): the base is left out of the journal, and the limit widens."""
    rig = opened()
    be_worth(rig, "96000")
    rig.kept = [each for each in rig.kept if not isinstance(each, DayOpened | EquityNoted)]
    rig.restart(config=SHARE)
    assert halts(be_worth(rig, "95000")) == 0
    assert view(rig).inputs["equity at the open"] == "95000.00"


def test_both_breakers_share_one_day() -> None:
    chosen = {**SHARE.levels, **{"daily_loss_amount": AMOUNT.levels["daily_loss_amount"]}}
    rig = opened(BreakerConfig(levels=chosen))
    assert halts(be_worth(rig, "95000")) == 2
    assert sum(isinstance(each, DayOpened) for each in rig.said) == 1
