"""`sluice parity SESSION`: what traded on paper, decided again from its record, one by one."""

import asyncio
import base64
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from nats.errors import Error as NatsError

from schemas.base import NS_PER_MS, NS_PER_S, SessionId
from schemas.errors import BusError, FieldError
from schemas.streams import MARKET
from services.cli.desk import Desk, at_desk
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of, running_system
from services.cli.output import Output, time_of
from services.cli.progress import progress
from services.gate.config import GateConfig
from services.parity.compare import (
    NEAR_NS,
    Decision,
    Row,
    Verdict,
    compared,
    decisions,
    reordered,
    settled,
)
from services.parity.replay import ReplayTerms, replayed
from services.parity.tape import (
    LAG_NS,
    Heard,
    Noted,
    Tape,
    arrived,
    late_ms,
    market_late,
    noted,
    said,
    tape_of,
    wanted,
)
from services.parity.terms import Terms, changed
from services.recorder.queries.making import require_record
from services.runtime.settings import Settings, load_settings
from services.strategy.catalogue import Catalogue, catalogue_of
from services.strategy.config import StrategyConfig
from services.strategy.starts import hash_of

STREAM_GET = f"$JS.API.STREAM.MSG.GET.{MARKET.name}"
STREAM_INFO = f"$JS.API.STREAM.INFO.{MARKET.name}"
REQUEST_TIMEOUT_S = 5.0
AT_ONCE = 100
"""Messages asked for side by side: one after the other, a minute of market takes as long."""

NOT_FOUND = 404
MARKET_WANTED = "the MARKET stream of the running system"
CLOCKS_APART_NS = 60 * NS_PER_S
"""What was said before the session's end is asked for so long after it: the server's clock is
another than that of who said it."""

CHANGED = "the session ran with something else than what it is decided again with here"


def parity(session: str, *, place: Place | None = None) -> Exit:
    """Replay a session from its record through the same cores, and compare every decision.

    Ends with 0 when all are equal, and with 6 when one differs, is on one side only, hangs on an
    order that the record does not know, when nothing was decided at all, or when code or
    configuration are not those that the session ran with: that is said first.
    """
    return asyncio.run(_parity(SessionId(session), place or Place()))


async def _parity(session: SessionId, place: Place) -> Exit:
    output, data_dir = Output(place.as_json), data_dir_of(place)
    settings = load_settings(data_dir / "run" / "config.json")
    folder = require_record(data_dir)
    messages = [*noted(folder)]
    market: list[Noted] = []
    subjects, until_ns = wanted(session, messages)  # who mistyped it need not wait for the market
    has_market = any(each.subject.startswith("market.") for each in messages)
    if not has_market and running_system(data_dir) is not None:
        async with at_desk(place) as desk:
            market = await _streamed(desk, subjects, until_ns + CLOCKS_APART_NS)
    tape = tape_of(session, messages, market)
    config = settings.section("strategy", StrategyConfig)
    sys.path[:0] = config.folders
    catalogue = catalogue_of(config)
    strangers = changed(tape, _now(settings, tape, config, catalogue))
    rows = rows_of(tape, _terms(settings, tape, config), catalogue)
    return shown(output, tape, rows, strangers)


def rows_of(tape: Tape, terms: ReplayTerms, catalogue: Catalogue) -> list[Row]:
    """Return every decision, decided again in the order in which all was heard.

    Where that is not equal in all, again as it was said, and as a busy service heard it: what is
    equal then hangs on an order that the record does not know.
    """
    paper = decisions(tape.signals, tape.decided)

    def against(order: Callable[[Heard], int]) -> list[Row]:
        found = replayed(tape, terms, catalogue, order)
        return compared(paper, decisions(found.signals, found.decided))

    rows = against(arrived)
    for order, least_ms in ((said, 0), (market_late, LAG_NS // NS_PER_MS)):
        if any(row.verdict not in (Verdict.EQUAL, Verdict.ORDER) for row in rows):
            within_ms = partial(_within_ms, tape, least_ms)
            rows = reordered(rows, against(order), within_ms)
    return rows


def _within_ms(tape: Tape, least_ms: int, at_ns: int) -> int:
    return max(late_ms(tape, at_ns), least_ms)


def _now(settings: Settings, tape: Tape, config: StrategyConfig, catalogue: Catalogue) -> Terms:
    return Terms(
        strategy_version=catalogue.version_of(tape.created.strategy),
        config_hash=hash_of(config),
        limits_hash=settings.limits_hash,
    )


def _terms(settings: Settings, tape: Tape, config: StrategyConfig) -> ReplayTerms:
    """Return the configuration as it is now; `changed` says where the session had another."""
    return ReplayTerms(
        account=tape.created.account,
        currency=settings.account.currency,
        instruments=settings.instruments,
        gate=settings.section("gate", GateConfig),
        strategy=config,
    )


def shown(output: Output, tape: Tape, rows: list[Row], strangers: list[FieldError]) -> Exit:
    """Print the comparison, and before it what is not as it was then; return how it ends."""
    every, rows = rows, rows if tape.is_over else settled(rows, tape.until_ns)
    counts = {each: sum(row.verdict is each for row in rows) for each in Verdict}
    created = tape.created
    apart = [row for row in rows if row.verdict is not Verdict.EQUAL]
    verdict = _verdict(rows, apart, strangers)
    output.data(
        {
            "warning": CHANGED if strangers else "",
            "changed": strangers,
            "verdict": verdict,
            "session": created.session,
            "from_ns": created.at_ns,
            "to_ns": tape.until_ns,
            "cut_by": tape.cut_by,
            "market_events": len(tape.market),
            "too_late": len(every) - len(rows),
            "counts": {each.value: count for each, count in counts.items()},
            "decisions": rows,
        }
    )
    if strangers:
        output.line(f"WARNING: {CHANGED}")
        for each in strangers:
            output.line(f"  {each.path}: found {each.found}; wanted {each.wanted}")
    span = f"{time_of(created.at_ns)} to {time_of(tape.until_ns)}"
    output.line(f"{created.session}, {span}, {len(tape.market):,} market events")
    if tape.cut_by:
        output.line(f"compared only until then: {tape.cut_by}")
    if len(every) > len(rows):
        count, last_ms = len(every) - len(rows), NEAR_NS // NS_PER_MS
        output.line(f"not compared: {count} of the last {last_ms} ms, which the record may lack")
    if apart:
        output.table("", ("", "paper", "replay", "in"), map(_cells, apart))
    output.line("   ".join(f"{each}: {count}" for each, count in counts.items()))
    output.line(verdict)
    return Exit.OK if rows and not apart and not strangers else Exit.UNHEALTHY


def _verdict(rows: list[Row], apart: list[Row], strangers: list[FieldError]) -> str:
    if not rows:
        words = "nothing was decided: this shows nothing"
    elif apart:
        words = _apart(rows, apart)
    else:
        words = f"all {len(rows)} decisions are equal"
    names = ", ".join(each.path for each in strangers)
    return f"{words}, but not with what the session ran with ({names})" if strangers else words


def _apart(rows: list[Row], apart: list[Row]) -> str:
    unknown = [row for row in apart if row.verdict is Verdict.ORDER]
    differ = len(apart) - len(unknown)
    words = [f"{differ} of {len(rows)} decisions differ"] if differ else []
    if unknown:
        most_ms = max(row.within_ms for row in unknown)
        words.append(
            f"{len(unknown)} of {len(rows)} hang on what was heard first within {most_ms} ms,"
            " which the record does not know"
        )
    return "; ".join(words)


def _cells(row: Row) -> tuple[str, str, str, str]:
    where = [*row.fields, f"within {row.within_ms} ms"] if row.within_ms else row.fields
    return row.verdict, _text(row.paper), _text(row.replay), ", ".join(where)


def _text(each: Decision | None) -> str:
    if each is None:
        return "-"
    price = f" at {each.limit_price}" if each.limit_price is not None else ""
    word = f"{each.outcome} by {each.rule}" if each.outcome else "undecided"
    return f"{each.side} {each.quantity} {each.instrument}{price}: {word} ({each.why})"


async def _streamed(desk: Desk, subjects: tuple[str, ...], until_ns: int) -> list[Noted]:
    """Return the messages on these subjects that the MARKET stream still has, oldest first.

    The stream is walked in parts side by side, each subject for itself: the server finds the next
    message on it, and who asks need not read what lies between.

    Args:
        desk: the connection.
        subjects: with wildcards.
        until_ns: what was stored later is not asked for.

    Raises:
        BusError: SLU-122 the stream cannot be read.
    """
    state = (await _asked(desk, STREAM_INFO, {}))["state"]
    first, last = int(state["first_seq"]), int(state["last_seq"])
    step = -(-(last + 1 - first) // max(1, AT_ONCE // len(subjects))) or 1
    limit = asyncio.Semaphore(AT_ONCE)
    with progress("reading the market", (last + 1 - first) * len(subjects)) as on_count:

        async def walk(subject: str, begin: int) -> dict[int, Noted]:
            end, found = min(begin + step, last + 1), {}
            while begin < end:
                async with limit:
                    number, message = await _next(desk, subject, begin)
                is_in = message is not None and number < end and message.stored_ns <= until_ns
                if is_in and message is not None:
                    found[number] = message
                after = number + 1 if is_in else end
                on_count(after - begin)
                begin = after
            return found

        starts = range(first, last + 1, step)
        parts = await asyncio.gather(*(walk(s, begin) for begin in starts for s in subjects))
    messages = {number: message for part in parts for number, message in part.items()}
    return [messages[number] for number in sorted(messages)]


async def _next(desk: Desk, subject: str, seq: int) -> tuple[int, Noted | None]:
    """Return the first message on a subject from a number on, and its own; None: there is none."""
    answer = await _asked(desk, STREAM_GET, {"seq": seq, "next_by_subj": subject})
    message = answer.get("message")
    if message is None:
        return 0, None
    data = base64.b64decode(message.get("data", ""))
    return int(message["seq"]), Noted(message["subject"], _ns(message["time"]), data)


def _ns(text: str) -> int:
    """Return a time as the server writes it, in ns since the epoch."""
    moment, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{moment}+00:00").timestamp())
    return seconds * NS_PER_S + int(fraction.ljust(9, "0"))


async def _asked(desk: Desk, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        data = msgspec.json.encode(body)
        message = await desk.connection.request(subject, data, timeout=REQUEST_TIMEOUT_S)
        answer: dict[str, Any] = msgspec.json.decode(message.data)
    except (NatsError, msgspec.MsgspecError) as error:
        found = str(error)
        raise BusError("SLU-122", subject=subject, found=found, wanted=MARKET_WANTED) from error
    failure = answer.get("error")
    if failure is not None and failure.get("code") != NOT_FOUND:
        raise BusError("SLU-122", subject=subject, found=str(failure), wanted=MARKET_WANTED)
    return answer
