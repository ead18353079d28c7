"""`sluice doctor`: is everything as it must be? Its exit code is the answer."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import msgspec
from nats.errors import Error as NatsError

from schemas.base import NS_PER_MS
from schemas.errors import WireError
from schemas.health import HealthReported
from schemas.masking import masked
from schemas.streams import STREAMS
from schemas.subjects import SUBJECTS
from schemas.wire import decode
from services.cli.desk import Desk, at_desk
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of, system_file
from services.cli.open_bus import ADVICE, lets_anybody_in
from services.cli.output import Output
from services.cli.processes import MODULES
from services.cli.status import Answers, ask_all
from services.runtime.config import BusConfig

OK, WARNING, BAD = "ok", "warning", "BAD"
LISTEN_S = 2.5
"""Longer than two health reports of a living service take."""

VERDICT_COLUMNS, WHAT_COLUMNS = 10, 19
"""As wide as the longest of each, and a gap."""

DISK_FREE_BYTES_MIN = 1024 * 1024 * 1024
CLOCK_DIFFERENCE_MS_MAX = 1_500
SUPERVISOR = "supervisor"
REPORTERS = (*MODULES, SUPERVISOR)


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at."""

    what: str
    verdict: str
    found: str
    next_step: str = ""


def doctor(*, place: Place | None = None) -> Exit:
    """Look at bus, rights, storage, disk, clocks, heartbeats; exit 6 if something is wrong."""
    return asyncio.run(_doctor(place or Place()))


async def _doctor(place: Place) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        answers = await ask_all(desk)
        output.banner(answers.arbiter)
        looking = _looked_at(desk, answers, data_dir_of(place), output)
        findings = [_told(each, output) async for each in looking]
    bad = [each.what for each in findings if each.verdict == BAD]
    output.data({"is_healthy": not bad, "findings": findings})
    output.line(f"NOT HEALTHY: {', '.join(bad)}" if bad else "healthy")
    return Exit.UNHEALTHY if bad else Exit.OK


async def _looked_at(
    desk: Desk, answers: Answers, data_dir: Path, output: Output
) -> AsyncIterator[Finding]:
    """Yield each finding as it is made: what takes its time is waited for after the rest."""
    yield Finding("bus", OK, f"connected to {desk.bus.url} as {desk.user}")
    yield await _anonymous(desk.bus)
    yield _keys(desk.bus)
    yield await _jetstream(desk)
    async for each in _streams(desk):
        yield each
    for each in (_durable(answers), _disk(data_dir), _trading(answers)):
        yield each
    output.line(f"hearing the services for {LISTEN_S:g} s")
    reports, unreadable = await _listen(desk)
    reporters = _reporters(reports, answers, data_dir)
    for each in (
        *_clocks(reports),
        *_heartbeats(reports, answers, reporters),
        *_unreadable(unreadable),
        *_counts(reports, reporters),
    ):
        yield each


def _told(finding: Finding, output: Output) -> Finding:
    """Tell a person of it at once; return it as it may be shown."""
    finding = msgspec.structs.replace(finding, found=masked(finding.found))
    head = f"{finding.verdict:<{VERDICT_COLUMNS}}{finding.what:<{WHAT_COLUMNS}}"
    output.beside(head, finding.found)
    if finding.next_step:
        output.beside(" " * len(head), f"next step: {finding.next_step}")
    return finding


async def _listen(desk: Desk) -> tuple[dict[str, tuple[HealthReported, int]], list[str]]:
    """Return the newest health report of each service and when it came, and what cannot be read."""
    heard: dict[str, tuple[HealthReported, int]] = {}
    unreadable: list[str] = []

    def take(subject: str, data: bytes, _reply: str) -> None:
        try:
            events = decode(data, subject=subject)
        except WireError as error:
            unreadable.append(str(error))
            return
        for event in events:
            if isinstance(event, HealthReported):
                heard[event.service] = (event, time.time_ns())

    await desk.connection.take(SUBJECTS[HealthReported], take)
    await asyncio.sleep(LISTEN_S)
    return heard, unreadable


async def _anonymous(bus: BusConfig) -> Finding:
    if await lets_anybody_in(bus):
        return Finding("anonymous access", BAD, "the bus lets anybody in", ADVICE)
    return Finding("anonymous access", OK, "refused")


def _keys(bus: BusConfig) -> Finding:
    if bus.keys_dir is None:
        return Finding("keys", WARNING, "none are used", "give --keys-dir")
    open_to_others = [
        path.name
        for path in (bus.keys_dir, *bus.keys_dir.glob("*.nk"))
        if path.stat().st_mode & 0o077
    ]
    if open_to_others:
        found = f"others can read {', '.join(open_to_others)}"
        return Finding("keys", BAD, found, f"chmod -R go-rwx {bus.keys_dir}")
    return Finding("keys", OK, f"private, in {bus.keys_dir}")


async def _jetstream(desk: Desk) -> Finding:
    try:
        message = await desk.connection.request("$JS.API.INFO", b"", timeout=2)
        account = msgspec.json.decode(message.data)
    except (NatsError, msgspec.MsgspecError) as error:
        found = f"no answer: {error!r}"
        return Finding("JetStream", BAD, found, "look at log/nats.log")
    if "error" in account:
        return Finding("JetStream", BAD, str(account["error"]), "look at log/nats.log")
    stored = account.get("storage", 0) // 1_000_000
    return Finding("JetStream", OK, f"{account.get('streams', 0)} streams, {stored} MB")


async def _streams(desk: Desk) -> AsyncIterator[Finding]:
    for spec in STREAMS:
        subject = f"$JS.API.STREAM.INFO.{spec.name}"
        try:
            answer = msgspec.json.decode(
                (await desk.connection.request(subject, b"", timeout=2)).data
            )
            state = answer["state"]
            found = f"{state['messages']} messages, last sequence {state['last_seq']}"
            yield Finding(f"stream {spec.name}", OK, found)
        except (NatsError, msgspec.MsgspecError, KeyError):
            verdict = WARNING if spec.is_limited else BAD
            yield Finding(f"stream {spec.name}", verdict, "missing", "is the recorder up?")


def _durable(answers: Answers) -> Finding:
    recorder = answers.recorder
    if recorder is None:
        return Finding("recording", BAD, "the recorder does not answer", "sluice status")
    verdict = OK if recorder.is_durable else WARNING
    step = "" if recorder.is_durable else "fine for paper; else bus.is_durable = true"
    found = f"{recorder.detail}; {recorder.lag_count} messages behind"
    return Finding("recording", verdict, found, step)


def _disk(data_dir: Path) -> Finding:
    try:
        free = shutil.disk_usage(data_dir).free
    except OSError as error:
        return Finding("disk", WARNING, f"{data_dir}: {error.strerror}", "give --data-dir")
    verdict = OK if free >= DISK_FREE_BYTES_MIN else BAD
    step = "" if verdict == OK else "free some: trading ends when it is full"
    return Finding("disk", verdict, f"{free / 1e9:.1f} GB free at {data_dir}", step)


def _clocks(reports: dict[str, tuple[HealthReported, int]]) -> Iterable[Finding]:
    """Compare each service's clock with ours, by reports that came within the last moments."""
    differences = {
        name: abs(heard_ns - event.at_ns) / NS_PER_MS for name, (event, heard_ns) in reports.items()
    }
    if not differences:
        yield Finding("clocks", WARNING, "nobody reported", "sluice status")
        return
    worst = max(differences, key=lambda name: differences[name])
    found = f"at most {differences[worst]:.1f} ms apart ({worst})"
    is_bad = differences[worst] > CLOCK_DIFFERENCE_MS_MAX
    yield Finding("clocks", BAD if is_bad else OK, found, "synchronise them" if is_bad else "")


def _reporters(
    reports: dict[str, tuple[HealthReported, int]], answers: Answers, data_dir: Path
) -> Sequence[str]:
    """Return who should report: a supervisor only where `sluice up` was; containers have none."""
    is_supervised = SUPERVISOR in reports or answers.supervisor is not None
    return REPORTERS if is_supervised or system_file(data_dir).exists() else tuple(MODULES)


def _heartbeats(
    reports: dict[str, tuple[HealthReported, int]], answers: Answers, reporters: Sequence[str]
) -> Iterable[Finding]:
    views = {v.name: v for v in answers.supervisor.services} if answers.supervisor else {}
    for name in reporters:
        view = views.get(name)
        if name not in reports:
            found = f"no heartbeat in {LISTEN_S} s"
            if view is not None:
                found += f"; the supervisor says: {view.state} {view.detail}".rstrip()
            yield Finding(name, BAD, found, f"look at log/{name}.log")
            continue
        event, _ = reports[name]
        restarts = f", restarted {view.restarts}x" if view and view.restarts else ""
        found = f"up {event.uptime_s:.0f} s, {event.rss_bytes / 1e6:.0f} MB{restarts}"
        if not event.is_ready:
            yield Finding(name, BAD, f"not ready: {event.detail}", f"look at log/{name}.log")
        else:
            yield Finding(name, OK, found)


def _unreadable(said: list[str]) -> Iterable[Finding]:
    """Tell of health reports that are none: somebody who has the right says what he should not."""
    if said:
        found = f"{len(said)} that nobody can read; the last: {said[-1]}"
        yield Finding("health reports", BAD, found, "is everything of one version?")


def _counts(
    reports: dict[str, tuple[HealthReported, int]], reporters: Sequence[str]
) -> Iterable[Finding]:
    events = [event for event, _ in reports.values()]
    gaps = sum(event.gap_count for event in events)
    letters = sum(event.dead_letter_count for event in events)
    unheard = ", ".join(name for name in reporters if name not in reports)
    verdict = WARNING if gaps or letters or unheard else OK
    step = "sluice watch dead.letters" if letters else ""
    found = f"{gaps} gaps, {letters} dead letters"
    found += f"; unknown of {unheard}" if unheard else ""
    yield Finding("messages", verdict, found, step)


def _trading(answers: Answers) -> Finding:
    arbiter, gate = answers.arbiter, answers.gate
    if arbiter is None or gate is None:
        return Finding("trading", BAD, "breaker or gate does not answer", "sluice status")
    found = f"{gate.trading_state}, breaker {arbiter.breaker_state}, epoch {arbiter.epoch}"
    return Finding("trading", OK, found)
