"""`sluice figures`: how well it did, made from the record alone."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from schemas.base import AccountId
from schemas.errors import UserError
from schemas.results import Figures
from services.cli.config_types import did_you_mean
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of
from services.cli.output import UNKNOWN, Output, amount, time_of
from services.cli.progress import progress
from services.cli.report import Account, Beginning, beginning_of, terms_of

if TYPE_CHECKING:
    from services.reports.figure_days import DayFigures
    from services.reports.figures import FiguresFold

BY = ("book", "strategy", "session", "symbol", "day")


def figures(
    *,
    by: Annotated[str | None, Parameter(help="book, strategy, session, symbol or day.")] = None,
    account: Account = None,
    place: Place | None = None,
) -> Exit:
    """Show profit and loss, Sharpe, drawdown and where they came from.

    Always made anew from the record. Without --by: by book, strategy and session, and whether
    losses and uptime are as promised.

    Raises:
        UserError: SLU-103 figures are not made by that.
    """
    where = place or Place()
    output, data_dir = Output(where.as_json), data_dir_of(where)
    if by is not None and by not in BY:
        wanted = did_you_mean(by, [*BY]) or ", ".join(BY)
        raise UserError("SLU-103", path="--by", found=by, wanted=wanted)
    terms = terms_of(data_dir, account)
    gone = beginning_of(data_dir)
    fold = _folded(data_dir, terms.account, is_headless=gone is not None)
    output.data(document(fold) | _left(fold) | {"begins": gone and gone._asdict()})
    output.line(f"account {terms.account}, amounts in {terms.currency}; from the record alone")
    _show_gone(output, fold, gone)
    for part in ("book", "strategy", "session") if by is None else (by,):
        _show(output, fold, part)
    if by is None:
        _show_safety(output, fold)
    return Exit.OK


def _left(fold: "FiguresFold") -> dict[str, Any]:
    """Return what is known of a record whose beginning is gone; nothing of one that is whole."""
    if not fold.is_headless:
        return {}
    opening = fold.opening
    return {"opening": opening and msgspec.to_builtins(opening), "untold": fold.untold}


def _show_gone(output: Output, fold: "FiguresFold", gone: Beginning | None) -> None:
    if gone is None:
        return
    output.line(gone.words)
    if fold.opening is None:
        output.line("the book is not known: nowhere in what is left do executor and breaker agree")
    else:
        since, worth = time_of(fold.opening.at_ns), _money(fold.opening.equity)
        output.line(f"the book is measured since {since}, when it was worth {worth}: the executor")
        output.line("told it whole, and the breaker valued it the same")
    output.line("sessions that began before are not known from what is left, nor strategies and")
    output.line("attribution by them: " + (", ".join(fold.untold) or "none did anything since"))


def document(fold: "FiguresFold") -> dict[str, Any]:
    """Return all figures of a folded record, for programs."""
    from services.performance.core import By

    parts = {each.value: fold.attribution(each) for each in By}
    days = {name: msgspec.to_builtins(day) | _derived(day) for name, day in fold.days.items()}
    last = fold.last
    holdings = {name: each.views({}) for name, each in fold.holdings.items()}
    return {
        "account": fold.account,
        **fold.figures(),
        "attribution": parts,
        "marks": fold.marks,
        "shares": {name: each.attribution(By.SYMBOL) for name, each in fold.sessions.items()},
        "positions": {name: views for name, views in holdings.items() if name},
        "account_positions": holdings.get("", ()) if fold.is_book_known else None,
        "days": days,
        "safety": fold.safety(),
        "equity": None if last is None or last.unmarked else last.equity,
        "cash": None if last is None else last.cash,
    }


def _derived(day: "DayFigures") -> dict[str, Any]:
    found = {"profit": day.profit, "worst": day.worst, "uptime": day.uptime}
    return {name: None if value is None else str(value) for name, value in found.items()}


def _folded(data_dir: Path, account: AccountId, *, is_headless: bool) -> "FiguresFold":
    from services.recorder.queries.events import in_time_order, recorded_events
    from services.recorder.queries.making import chain_records, require_record
    from services.reports.figures import FiguresFold

    folder = require_record(data_dir)
    fold = FiguresFold(account, is_headless=is_headless)
    total = sum(path.stat().st_size for path in folder.glob("chain-*"))
    with progress("reading the record", total) as on_bytes:

        def told() -> Any:
            for record in chain_records(folder):
                on_bytes(len(record.data))
                yield record

        for each in in_time_order(recorded_events(told())):
            fold.apply(each.event)
    return fold


def _show(output: Output, fold: "FiguresFold", part: str) -> None:
    from services.performance.core import By

    if part == "day":
        columns = ("day", "opening", "closing", "profit", "worst", "fills", "fees", "uptime")
        output.table("by day", columns, [_day_row(each) for each in fold.days.values()])
        return
    if part == "symbol":
        shares = fold.attribution(By.SYMBOL)
        symbols = [(n, *map(_money, (s.profit, s.fees, s.traded))) for n, s in shares.items()]
        output.table("by symbol", ("symbol", "profit", "fees", "traded"), symbols)
        return
    columns = ("name", "capital", "value", "return", "sharpe", "drawdown", "win rate", "trips")
    found = fold.figures()[part]
    rows = [(name, *_row(each)) for name, each in found.items()]
    output.table(f"by {part}", (*columns, "fills", "fees"), rows)


def _row(each: Figures) -> tuple[str, ...]:
    return (
        amount(each.initial_capital),
        _money(each.final_value),
        _percent(each.total_return),
        UNKNOWN if each.sharpe is None else f"{each.sharpe:.2f}",
        _percent(each.drawdown_max),
        _percent(each.win_rate),
        str(each.trade_count),
        str(each.fill_count),
        _money(each.fees),
    )


def _day_row(day: "DayFigures") -> tuple[str, ...]:
    profit, fees = _money(day.profit), _money(day.fees)
    ends = (_money(day.opening), _money(day.closing))
    fills, uptime = str(day.fill_count), _percent(day.uptime)
    return (day.day, *ends, profit, _percent(day.worst), fills, fees, uptime)


def _show_safety(output: Output, fold: "FiguresFold") -> None:
    safety = fold.safety()
    worst, up = _percent(safety.worst_day), _percent(safety.uptime)
    hours, unmeasured = safety.measured_ns / 3.6e12, safety.unmeasured_ns / 3.6e12
    besides = f", {unmeasured:,.2f} more not measured" if unmeasured else ""
    output.line(
        f"deepest fall within a day {worst}, wanted {_percent(-safety.loss_max)} at most: "
        f"{_word(safety.is_loss_kept)}"
    )
    output.line(
        f"uptime in market hours {up} of {hours:,.2f} hours measured{besides}, wanted "
        f"{_percent(safety.uptime_min)}: {_word(safety.is_uptime_kept)}"
    )


def _word(is_kept: bool | None) -> str:
    return UNKNOWN if is_kept is None else "kept" if is_kept else "NOT KEPT"


def _money(value: Decimal | None) -> str:
    return UNKNOWN if value is None else f"{value:,.2f}"


def _percent(value: Decimal | float | None) -> str:
    return UNKNOWN if value is None else f"{value * 100:.3f} %"
