"""Strategies that must harm nobody but themselves. They run in processes of their own only."""

import os
import signal
import socket
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from schemas.base import AccountId, InstrumentId, SessionId, SignalId
from schemas.market import QuoteReceived, TradeReceived
from schemas.orders import Side, SignalRaised
from schemas.sessions import PositionsAdopted, SignalBlocked
from schemas.settlement import PositionSettled
from services.strategy.interface import Parameters, Strategy


class Buys(Strategy[Parameters]):
    """Buy one at the first quote, and tell the process id; at the second, do something else."""

    seen = 0

    def on_quote(self, quote: QuoteReceived) -> None:
        self.seen += 1
        if self.seen == 1:
            self.context.buy(quote.instrument, Decimal(1), why=str(os.getpid()))
        elif self.seen == 2:
            self.misbehave()

    def misbehave(self) -> None:
        """Nothing: this one is well."""
        self.context.buy(next(iter(self.context.instruments)), Decimal(2))

    def on_stop(self) -> None:
        for each in self.context.instruments:
            self.context.close(each, why="the last word")


class Listens(Strategy[Parameters]):
    """Ask for too much; then for one, and tell what was heard of the first."""

    heard = ""

    def on_quote(self, quote: QuoteReceived) -> None:
        if not self.heard:
            self.context.buy(quote.instrument, Decimal(50))
        else:
            count = len(self.context.open_orders(quote.instrument))
            self.context.buy(quote.instrument, Decimal(1), why=f"{self.heard}; {count} open")

    def on_blocked(self, blocked: SignalBlocked) -> None:
        self.heard = f"{blocked.rule}: {blocked.quantity}, trading {self.context.is_trading}"


class Follows(Strategy[Parameters]):
    """Buy one at the first quote; tell what is left when something else moved the position."""

    seen = 0

    def on_quote(self, quote: QuoteReceived) -> None:
        self.seen += 1
        if self.seen == 1:
            self.context.buy(quote.instrument, Decimal(1))

    def on_position(self, event: PositionsAdopted | PositionSettled) -> None:
        [instrument] = self.context.instruments
        kind, held = type(event).__name__, self.context.position(instrument)
        self.context.buy(instrument, Decimal(1), why=f"{kind}: {held} held")


class Spins(Buys):
    """Never come back."""

    def misbehave(self) -> None:
        while True:
            pass


class Raises(Buys):
    """Fail."""

    def misbehave(self) -> None:
        raise ZeroDivisionError("at the second quote")


class Leaves(Buys):
    """Leave the process."""

    def misbehave(self) -> None:
        os._exit(3)


class Kills(Buys):
    """Kill the process."""

    def misbehave(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Leaks(Buys):
    """Keep more than it may."""

    held: list[bytes] = []

    def misbehave(self) -> None:
        self.held.append(b"x" * (120 << 20))


class Shouts(Buys):
    """Write what nobody asked for on every socket there is."""

    def misbehave(self) -> None:
        for each in range(3, 64):
            try:
                os.write(each, b"\x05\x00\x00\x00hello" * 3)
            except OSError:
                continue


class Floods(Buys):
    """Say more at once than anyone may."""

    def misbehave(self) -> None:
        for _ in range(300):
            self.context.buy(InstrumentId("sim:ALPHA"), Decimal(1))


class Forges(Buys):
    """Say a signal of someone else's; what about it, the parameter says."""

    class Forged(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which field is forged."""

        field: str = "session"

    parameters_type = Forged

    def misbehave(self) -> None:
        values: dict[str, Any] = {
            "session": SessionId("buys-1"),
            "account": AccountId("other"),
            "instrument": InstrumentId("sim:BETA"),
            "signal_id": SignalId(f"{self.context.terms.session}-1"),
            "quantity": Decimal(-5),
        }
        number = self.context.terms.session + "-999999"
        real = SignalRaised(
            at_ns=self.context.now_ns,
            signal_id=SignalId(number),
            account=self.context.terms.account,
            session=self.context.terms.session,
            instrument=InstrumentId("sim:ALPHA"),
            side=Side.BUY,
            quantity=Decimal(1),
            expires_at_ns=self.context.now_ns + 10**9,
        )
        name = msgspec.to_builtins(self.parameters)["field"]
        self.context.said.append(msgspec.structs.replace(real, **{name: values[name]}))
        self.context.is_stirred = True


class Defies(Buys):
    """Raise signals whether it may trade or not."""

    def on_quote(self, quote: QuoteReceived) -> None:
        self.context.is_trading = True
        self.context.buy(quote.instrument, Decimal(1))


class Tries(Buys):
    """Try what a strategy has no business with; tell what came of each, as the reason to buy."""

    class Port(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Where to connect, what to write, whom to signal."""

        port: int
        file: str
        pid: int

    parameters_type = Port

    def misbehave(self) -> None:
        asked = msgspec.to_builtins(self.parameters)
        port, file, pid = asked["port"], asked["file"], asked["pid"]
        attempts: dict[str, Callable[[], object]] = {
            "connect": lambda: socket.create_connection(("127.0.0.1", port), 1).close(),
            "write": lambda: Path(file).write_text("mine"),
            "signal": lambda: os.kill(pid, 0),
        }
        came: list[str] = [f"secrets: {sorted(name for name in os.environ if 'SECRET' in name)}"]
        for name, attempt in attempts.items():
            try:
                attempt()
                came.append(f"{name}: done")
            except OSError as error:
                came.append(f"{name}: {type(error).__name__}")
        self.context.buy(InstrumentId("sim:ALPHA"), Decimal(1), why="; ".join(came))


class Sleepy(Strategy[Parameters]):
    """Sleep at the first quote; tell with each later one how many it was told."""

    seen = 0

    def on_quote(self, quote: QuoteReceived) -> None:
        self.seen += 1
        if self.seen == 1:
            time.sleep(0.3)
        self.context.buy(quote.instrument, Decimal(1), why=f"{self.seen} at {quote.bid}")

    def on_trade(self, trade: TradeReceived) -> None:
        self.seen += 100


class Loses(Strategy[Parameters]):
    """Cannot be made."""

    def on_start(self) -> None:
        raise RuntimeError("no licence")


class Chokes(Buys):
    """Raise in place of the last word."""

    def on_stop(self) -> None:
        raise ZeroDivisionError("at the end")


class Lingers(Buys):
    """Never come to the last word."""

    def on_stop(self) -> None:
        while True:
            time.sleep(1)
