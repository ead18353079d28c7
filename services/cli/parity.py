"""`sluice parity SESSION`: what traded on paper, decided again from its record, one by one."""

import asyncio
import base64
import sys
from typing import Any

import msgspec
from nats.errors import Error as NatsError

from schemas.base import SessionId
from schemas.errors import BusError, FieldError
from schemas.streams import MARKET
from services.cli.desk import Desk, at_desk
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of, running_system
from services.cli.output import Output, time_of
from services.cli.progress import progress
from services.gate.config import GateConfig
from services.parity.compare import Decision, Row, Verdict, compared, decisions
from services.parity.replay import ReplayTerms, replayed
from services.parity.tape import Noted, Tape, created_of, noted, tape_of
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

CHANGED = "the session ran with something else than what it is decided again with here"


def parity(session: str, *, place: Place | None = None) -> Exit:
    """Replay a session from its record through the same cores, and compare every decision.

    Ends with 0 when all are equal, and with 6 when one differs, is on one side only, when nothing
    was decided at all, or when code or configuration are not those that the session ran with: that
    is said first.
    """
    return asyncio.run(_parity(SessionId(session), place or Place()))


async def _parity(session: SessionId, place: Place) -> Exit:
    output, data_dir = Output(place.as_json), data_dir_of(place)
    settings = load_settings(data_dir / "run" / "config.json")
    folder = require_record(data_dir)
    messages = [*noted(folder)]
    market: list[Noted] = []
    created_of(session, messages)  # who mistyped it need not wait until the market is read
    has_market = any(each.subject.startswith("market.") for each in messages)
    if not has_market and running_system(data_dir) is not None:
        async with at_desk(place) as desk:
            market = await _streamed(desk)
    tape = tape_of(session, messages, market)
    config = settings.section("strategy", StrategyConfig)
    sys.path[:0] = config.folders
    catalogue = catalogue_of(config)
    strangers = changed(tape, _now(settings, tape, config, catalogue))
    found = replayed(tape, _terms(settings, tape, config), catalogue)
    rows = compared(decisions(tape.signals, tape.decided), decisions(found.signals, found.decided))
    return shown(output, tape, rows, strangers)


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
    if apart:
        output.table("", ("", "paper", "replay", "in"), map(_cells, apart))
    output.line("   ".join(f"{each}: {count}" for each, count in counts.items()))
    output.line(verdict)
    return Exit.OK if rows and not apart and not strangers else Exit.UNHEALTHY


def _verdict(rows: list[Row], apart: list[Row], strangers: list[FieldError]) -> str:
    if not rows:
        said = "nothing was decided: this shows nothing"
    elif apart:
        said = f"{len(apart)} of {len(rows)} decisions differ"
    else:
        said = f"all {len(rows)} decisions are equal"
    names = ", ".join(each.path for each in strangers)
    return f"{said}, but not with what the session ran with ({names})" if strangers else said


def _cells(row: Row) -> tuple[str, str, str, str]:
    return row.verdict, _text(row.paper), _text(row.replay), ", ".join(row.fields)


def _text(each: Decision | None) -> str:
    if each is None:
        return "-"
    price = f" at {each.limit_price}" if each.limit_price is not None else ""
    word = f"{each.outcome} by {each.rule}" if each.outcome else "undecided"
    return f"{each.side} {each.quantity} {each.instrument}{price}: {word} ({each.why})"


async def _streamed(desk: Desk) -> list[Noted]:
    """Return the messages that the MARKET stream still has, oldest first.

    Raises:
        BusError: SLU-122 the stream cannot be read.
    """
    state = (await _asked(desk, STREAM_INFO, {}))["state"]
    first, last = int(state["first_seq"]), int(state["last_seq"])
    found: list[Noted] = []
    with progress("reading the market", last - first + 1) as on_count:
        for begin in range(first, last + 1, AT_ONCE):
            numbers = range(begin, min(begin + AT_ONCE, last + 1))
            asked = (_asked(desk, STREAM_GET, {"seq": seq}) for seq in numbers)
            said = [answer.get("message") for answer in await asyncio.gather(*asked)]
            on_count(len(said))
            for message in filter(None, said):
                data = base64.b64decode(message.get("data", ""))
                found.append(Noted(message["subject"], 0, data))
    return found


async def _asked(desk: Desk, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        data = msgspec.json.encode(body)
        message = await desk.connection.request(subject, data, timeout=REQUEST_TIMEOUT_S)
        answer: dict[str, Any] = msgspec.json.decode(message.data)
    except (NatsError, msgspec.MsgspecError) as error:
        wanted = "the MARKET stream of the running system"
        raise BusError("SLU-122", subject=subject, found=str(error), wanted=wanted) from error
    return answer
