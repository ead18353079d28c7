"""Intraday margin, as far as our data has it (FINRA rule 4210(d)(2), since 4 June 2026).

Sources: SR-FINRA-2025-017, SEC release 34-105226 (91 FR 20731, 17 April 2026), FINRA Regulatory
Notice 26-10. The rule asks that equity covers the maintenance margin of what is held at any time of
the day; a member may block what would create or increase a deficit, and so does the gate, with
open orders at worst case. A deficit is to be satisfied within five business days; after one that
was not, an account may only close for ninety days. Deposits are not seen here: a deficit counts as
satisfied once the equity exceeds the margin by as much.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from schemas.base import AccountId
from schemas.compliance import MarginDeficitEnded, MarginDeficitNoted
from schemas.instruments import AssetClass, Instrument
from services.calendars.calendar import DAY_NS
from services.gate.compliance_days import BusinessDays, date_ns
from services.gate.config_compliance import ComplianceRules
from services.gate.exposure import Lane

ZERO = Decimal(0)
SECURITIES = (AssetClass.EQUITY, AssetClass.OPTION)
_GROWTH = Decimal("1.1")
"""A deficit that grows within its day is noted again in steps of a tenth."""

_OPTION = AssetClass.OPTION

DeficitFact = MarginDeficitNoted | MarginDeficitEnded


class Deficit(msgspec.Struct):
    """One deficit that is not satisfied."""

    amount: Decimal
    due_ns: int


class Margin:
    """Maintenance margin of one account.

    Attributes:
        required: of the worst cases when it was last summed up, and of all approved since.
        held: of what was held then.
        unpriced: securities with exposure that have no price; then `required` is not the truth.
        deficits: by the day they came up in.
        frozen_until_ns: until then the account may only close.
    """

    def __init__(self, account: AccountId, rules: ComplianceRules) -> None:
        self._account = account
        self._rules = rules
        self.required = self.held = ZERO
        self.unpriced: tuple[str, ...] = ()
        self.deficits: dict[int, Deficit] = {}
        told_ns = date_ns(rules.frozen_until) + DAY_NS if rules.frozen_until else 0
        self.frozen_until_ns = told_ns

    def rates(self, instrument: Instrument) -> tuple[Decimal, Decimal] | None:
        """Return the margin of a long and of a short position, as fractions of their value.

        None where nobody has chosen it.
        """
        own = self._rules.margin_rates.get(instrument.id)
        if own is not None:
            return (own, own)
        if instrument.asset_class is _OPTION:
            return None
        return (self._rules.margin_long, self._rules.margin_short)

    def value(self, lanes: Iterable[Lane]) -> None:
        """Sum up the margin of all securities at the newest prices."""
        required = held = ZERO
        unpriced: list[str] = []
        for lane in lanes:
            if not lane.worst or lane.instrument.asset_class not in SECURITIES:
                continue
            price, rates = lane.market.price, self.rates(lane.instrument)
            if price is None or lane.unit_value is None or rates is None:
                unpriced.append(lane.instrument.id)
                continue
            one, position = price * lane.unit_value, lane.position
            long, short = position + lane.buys, lane.sells - position
            required += max(long * rates[0], short * rates[1]) * one
            held += max(position * rates[0], -position * rates[1]) * one
        self.required, self.held, self.unpriced = required, held, tuple(unpriced)

    def approve(self, instrument: Instrument, notional: Decimal) -> None:
        """Count an approval in full, until all is summed up again."""
        rates = self.rates(instrument)
        if rates is not None and instrument.asset_class in SECURITIES:
            self.required += notional * max(rates)

    def judge(self, equity: Decimal, now_ns: int, days: BusinessDays) -> list[DeficitFact]:
        """Return what is new about deficits; nothing changes before it is folded in."""
        rules = self._rules
        said: list[DeficitFact] = []
        ignored = min(equity * rules.deficit_share_ignored, rules.deficit_amount_ignored)
        amount, day_ns = self.held - equity, days.day_of(now_ns)
        if day_ns is not None and amount > max(ignored, ZERO):
            known = self.deficits.get(day_ns)
            if known is None or amount >= known.amount * _GROWTH:
                due_ns = days.close_after(day_ns, rules.deficit_days)
                said.append(self._noted(day_ns, amount, due_ns, now_ns))
        for day, deficit in self.deficits.items():
            if -amount >= deficit.amount:
                said.append(self._ended(day, 0, now_ns))
            elif now_ns >= deficit.due_ns:
                until_ns = deficit.due_ns + rules.deficit_freeze_days * DAY_NS
                said.append(self._ended(day, until_ns, now_ns))
        return said

    def fold(self, event: DeficitFact) -> None:
        """Take a deficit, or the end of one."""
        if isinstance(event, MarginDeficitNoted):
            self.deficits[event.day_ns] = Deficit(event.amount, event.due_ns)
        else:
            self.deficits.pop(event.day_ns, None)
            self.frozen_until_ns = max(self.frozen_until_ns, event.frozen_until_ns)

    def _noted(self, day_ns: int, amount: Decimal, due_ns: int, now_ns: int) -> DeficitFact:
        return MarginDeficitNoted(
            at_ns=now_ns, account=self._account, day_ns=day_ns, amount=amount, due_ns=due_ns
        )

    def _ended(self, day_ns: int, frozen_until_ns: int, now_ns: int) -> DeficitFact:
        return MarginDeficitEnded(
            at_ns=now_ns, account=self._account, day_ns=day_ns, frozen_until_ns=frozen_until_ns
        )
