"""Fields of audit reports: their numbers and names are those of the rules, and none is left out."""

import re
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from schemas.executions import OrderRefused, OrderReplaced
from schemas.orders import Outcome, TimeInForce
from services.reports.audit_fields import EVENT_CODES, ORDER_FIELDS, TRADE_FIELDS, Field
from services.reports.day import DayFold
from tests.builders import ACCOUNT, dec
from tests.report_rig import BEGIN_NS, DAY_NS, Life, created, terms

pytestmark = pytest.mark.req("R-05")

RTS_22 = {
    "report_status": "1",
    "transaction_reference": "2",
    "venue_transaction_id": "3",
    "executing_entity": "4",
    "investment_firm_covered": "5",
    "submitting_entity": "6",
    "buyer": "7-15",
    "seller": "16-24",
    "transmission_of_order": "25-27",
    "time_utc": "28",
    "trading_capacity": "29",
    "quantity": "30",
    "quantity_currency": "31",
    "derivative_notional_change": "32",
    "price": "33",
    "price_currency": "34",
    "net_amount_of_debt": "35",
    "venue": "36",
    "venue_mic": "36",
    "country_of_branch": "37",
    "up_front_payment": "38-39",
    "complex_trade_id": "40",
    "instrument": "41",
    "isin": "41",
    "instrument_full_name": "42",
    "cfi_code": "43",
    "notional_currencies": "44-45",
    "price_multiplier": "46",
    "derivative_terms": "47-56",
    "decided_by_algorithm": "57",
    "country_of_decider": "58",
    "execution_within_firm": "59",
    "country_of_executor": "60",
    "waiver": "61",
    "short_selling": "62",
    "otc_post_trade": "63",
    "commodity_derivative": "64",
    "securities_financing": "65",
}
"""Delegated Regulation 2017/590, Annex I, table 2: what each of its 65 numbers is."""

RTS_24_EVENTS = {
    "NEWO",
    "TRIG",
    "REME",
    "REMA",
    "REMH",
    "CHME",
    "CHMO",
    "CAME",
    "CAMO",
    "REMO",
    "EXPI",
    "PARF",
    "FILL",
}
"""Delegated Regulation 2017/580, Annex, table 2, field 21."""

CAT_EVENTS = {"MENO", "MEOR", "MEOA", "MEOM", "MEOC", "MEOT", "MECO"}
CAT_NAMES = {
    "CATReporterIMID",
    "accountHolderType",
    "capacity",
    "destination",
    "eventTimestamp",
    "firmDesignatedID",
    "leavesQty",
    "marketCenterID",
    "minQty",
    "orderID",
    "orderType",
    "parentOrderID",
    "price",
    "priorOrderID",
    "quantity",
    "routedOrderID",
    "session",
    "side",
    "symbol",
    "timeInForce",
    "tradeID",
    "tradingSession",
    "triggerPrice",
    "type",
}
"""CAT Reporting Technical Specifications for Industry Members: fields of its equity events."""


def numbers(fields: Sequence[Field], rule: str) -> dict[str, str]:
    """Return the numbers of one rule, by our name."""
    found = {each.name: re.search(rf"(?<![\d]){rule}:([\d-]+)", each.europe) for each in fields}
    return {name: match[1] for name, match in found.items() if match}


def covered(spans: dict[str, str]) -> list[int]:
    """Return every number, each once."""
    found: set[int] = set()
    for span in spans.values():
        first, _, last = span.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return sorted(found)


def test_every_field_of_a_transaction_report_has_its_number_in_the_rule() -> None:
    assert numbers(TRADE_FIELDS, "22") == RTS_22
    assert covered(RTS_22) == [*range(1, 66)]


def test_every_field_of_an_order_record_is_there() -> None:
    assert covered(numbers(ORDER_FIELDS, "24")) == [*range(1, 52)]


@pytest.mark.parametrize("fields", [ORDER_FIELDS, TRADE_FIELDS])
def test_every_name_of_the_other_side_of_the_sea_is_one_of_its_specification(
    fields: Sequence[Field],
) -> None:
    assert {each.america for each in fields} - {""} <= CAT_NAMES


def test_every_event_has_a_code_of_the_rules_or_none() -> None:
    europe, america = zip(*EVENT_CODES.values(), strict=True)
    assert {*europe} - {""} <= RTS_24_EVENTS
    assert {*america} - {""} <= CAT_EVENTS


def codes(*lives: Sequence[object]) -> list[str]:
    """Return what stands as the event's code for each step of these orders."""
    day = DayFold(ACCOUNT, BEGIN_NS, BEGIN_NS + DAY_NS)
    told = [terms(), created(), *(event for life in lives for event in life)]
    for n, event in enumerate(told, start=1):
        day.apply(n, event)  # type: ignore[arg-type]
    day.close()
    [field] = [each for each in ORDER_FIELDS if each.name == "event_code"]
    return [field.text(day, step) for step in day.steps]


def test_an_orders_events_have_the_codes_of_what_happened_at_the_venue() -> None:
    life = Life(quantity="10")
    filled = [life.filled("100", "4"), life.filled("100", "6")]
    assert codes([*life.opened(), *filled]) == ["", "", "", "NEWO", "", "PARF", "FILL"]
    assert EVENT_CODES[OrderReplaced][0] == "REME"


@pytest.mark.parametrize(
    ("validity", "code"),
    [(TimeInForce.GTC, "CAME"), (TimeInForce.IOC, "EXPI"), (TimeInForce.FOK, "EXPI")],
)
def test_a_cancel_is_ours_or_the_end_of_what_never_rests(validity: TimeInForce, code: str) -> None:
    life = Life(quantity="10", validity=validity)
    assert codes([*life.opened(), life.canceled()])[-1] == code


def test_what_our_own_checks_denied_never_was_an_order_at_the_venue() -> None:
    life = Life()
    denied = replace(life.decided, outcome=Outcome.REJECTED, approved_quantity=dec(0))
    assert codes([life.signal, denied]) == ["", ""]
    refused = OrderRefused(at_ns=life.at_ns + 3_000, **life.whose(), rule="expired")
    assert codes([*life.opened()[:3], refused])[-1] == ""
