"""What commands print: text for people, one JSON document for programs, and the halt banner."""

import datetime
import sys
import textwrap
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import NS_PER_S
from schemas.control import BreakerState, TradingState
from schemas.errors import FieldError, SluiceError
from schemas.executions import BookReported
from schemas.health import ArbiterReported, GateReported
from schemas.masking import masked
from schemas.restrictions import Level, Restriction
from schemas.sessions import SessionView

UNKNOWN = "unknown"
PIPE_COLUMNS = 200
"""Width of a table that goes to a file or a program: nothing needs to be folded there."""

GAP_COLUMNS = 3
"""Between two columns of a table."""

PROSE_COLUMNS_MIN = 32
"""What is longer is prose, and may be folded to this; numbers and names are shorter."""

DECIMALS_MAX = Decimal("1e-8")
"""More digits than this are no use to a person; programs get all of them."""


class Output:
    """One command's output.

    Args:
        is_json: whether standard output gets one JSON document and nothing else.
    """

    def __init__(self, is_json: bool) -> None:
        self.is_json = is_json

    def banner(self, arbiter: ArbiterReported | None) -> None:
        """Say first of all that trading is halted, or that nobody knows."""
        if line := banner_of(arbiter):
            print(line, file=sys.stderr if self.is_json else sys.stdout, flush=True)

    def data(self, document: Any) -> None:
        """Print the document, if programs are listening."""
        if self.is_json:
            sys.stdout.write(to_json(document) + "\n")
            sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """Print a line for people."""
        if not self.is_json:
            print(text, flush=True)

    def beside(self, head: str, text: str) -> None:
        """Print a line for people: a head, and a text that is folded beside it, never below.

        Nothing needs to be folded in a file, or for a program that looks for a line.
        """
        if self.is_json or not sys.stdout.isatty():
            self.line(head + text)
            return
        room = max(_console().width - len(head), PROSE_COLUMNS_MIN)
        folded = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        self.line(head + f"\n{' ' * len(head)}".join(folded))

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table for people: what is prose is folded to fit, and nothing is ever cut.

        Where that is not enough a terminal wraps the lines: half a number looks like another one.
        """
        if self.is_json:
            return
        cells = [[shown(value) for value in row] for row in rows]
        widths = _widths(columns, cells)
        needed = sum(min(each, PROSE_COLUMNS_MIN) + GAP_COLUMNS for each in widths)
        _console(needed).print(table_of(title, columns, cells))

    def records(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table for people; where no line is wide enough, each row as a list of its own."""
        if self.is_json:
            return
        console = _console()
        widths = _widths(columns, rows)
        if sum(widths) + GAP_COLUMNS * len(widths) <= console.width:
            console.print(table_of("", columns, rows))
            return
        name_width = max(map(len, columns))
        for number, row in enumerate(rows, start=1):
            self.line(f"row {number}")
            for name, value in zip(columns, row, strict=True):
                self.line(f"  {name:<{name_width}}   {value}")

    def next_step(self, *commands: str) -> None:
        """Say what to try next."""
        self.line("Next: " + "   ".join(commands))

    def problems(self, errors: Iterable[FieldError]) -> None:
        """Print what is wrong with each field, on standard error."""
        for error in errors:
            print(f"  {error.path}: found {error.found}; wanted {error.wanted}", file=sys.stderr)


def _widths(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len

    lines = zip(columns, *rows, strict=True)
    return [max(cell_len(each) for cell in cells for each in cell.split("\n")) for cells in lines]


def _console(columns_min: int = 0) -> Any:
    """Return what draws on standard output, as wide as it is, or as this."""
    from rich.console import Console

    found = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    if found.width >= columns_min:
        return found
    # A dumb terminal believes a width only together with a height.
    return Console(highlight=False, width=columns_min, height=found.height)


def table_of(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Any:
    """Return a rich table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    cells = [[shown(value) for value in row] for row in rows]
    for column, width in zip(columns, _widths(columns, cells), strict=True):
        if width > PROSE_COLUMNS_MIN:
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, overflow="ellipsis", no_wrap=True)
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def banner_of(arbiter: ArbiterReported | None) -> str:
    """Return the first line of every command while trading is halted; empty while it is not."""
    if arbiter is None:
        return "STATE UNKNOWN: the breaker service does not answer. Next: sluice doctor"
    if arbiter.locks:
        newest = arbiter.locks[-1]
        return (
            f"LOCKED since {time_of(newest.at_ns)} by {newest.component}: {newest.code} "
            f"{typed(newest.reason)} (lock {newest.number}). Next: sluice unlock, once looked into"
        )
    is_tripped = arbiter.breaker_state is not BreakerState.NORMAL
    if is_tripped and (arbiter.halt_at_ns or not arbiter.restrictions):
        since = time_of(arbiter.halt_at_ns) if arbiter.halt_at_ns else "an unknown time"
        who = arbiter.halt_operator or "somebody"
        why = typed(arbiter.halt_reason) or "no reason given"
        return (
            f"HALTED since {since} by {who}: {why} "
            f"(halt {arbiter.halts}, {arbiter.breaker_state}). Next: sluice reset"
        )
    restrictions = [restriction_text(each) for each in arbiter.restrictions]
    if not arbiter.is_leasing:  # who starts must know what will then not be allowed
        why = typed(arbiter.detail) or "trading was not started"
        return "; ".join([f"HALTED: {why}. Next: sluice start", *restrictions])
    return "; ".join(restrictions)


def trading_state_of(
    arbiter: ArbiterReported | None, gate: GateReported | None, book: BookReported | None
) -> str:
    """Return the gate's state word; a lock that the arbiter holds is worse than it can know."""
    if arbiter is None or gate is None or book is None:
        return UNKNOWN
    return str(TradingState.LOCKED if arbiter.locks else gate.trading_state)


def restriction_text(each: Restriction) -> str:
    """Return a restriction in force as people read it."""
    what = "REDUCE ONLY" if each.level is Level.REDUCE else "HALTED"
    who, why = each.operator or "somebody", typed(each.reason) or "no reason given"
    ends = " (reset: ends with the next start)" if each.is_ending else ""
    return f"{what} {each.scope} since {time_of(each.at_ns)} by {who}: {why}{ends} ({each.number})"


def typed(text: str) -> str:
    """Return what a person typed as it may be shown: only the record keeps a secret in it."""
    return masked(text)


def state_of(view: SessionView) -> str:
    """Return a session's state, and that it is held where something outside forbids it to trade."""
    return f"{view.state}, held" if view.held else str(view.state)


def detail_of(view: SessionView) -> str:
    """Return what there is to say of a session: what holds it first."""
    return typed(view.held or view.detail)


def in_currency(account: object, currency: str) -> str:
    """Return an account for people, with what its amounts are in, or that nobody here knows it.

    Neither the book nor the breaker's report tells it: it stands in the configuration, which is not
    at hand where the system runs elsewhere, or in containers.
    """
    return f"account {shown(account)}, " + (f"in {currency}" if currency else f"currency {UNKNOWN}")


def error_text(error: SluiceError) -> str:
    """Return an error as a tired person can use it: what, found, wanted, where, and what to do."""
    lines = [f"sluice: {error.code} {error.entry.message}"]
    lines += [f"  {name}: {value}" for name, value in error.fields.items()]
    return "\n".join([*lines, f"  next step: {error.entry.resolution}"])


def time_of(at_ns: int) -> str:
    """Return a moment for people, in UTC."""
    at = datetime.datetime.fromtimestamp(at_ns / NS_PER_S, tz=datetime.UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def shown(value: object) -> str:
    """Return a value for people; what is not known says so."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, Decimal):
        return amount(value)
    return str(value)


def amount(value: Decimal) -> str:
    """Return an amount for people: thousands marked, and no digits that say nothing."""
    if abs(value) >= 1_000:
        return f"{value:,.2f}".removesuffix(".00")
    rounded = value.quantize(DECIMALS_MAX).normalize()
    return f"{rounded + 0:f}"


def signed(quantity: Decimal) -> str:
    """Return a quantity for people, every digit of it, and on which side it is."""
    return f"{quantity.normalize():+f}" if quantity else "0"


def to_json(document: Any) -> str:
    """Return the document as JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
