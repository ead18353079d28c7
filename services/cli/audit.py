"""`sluice audit`: verify the record, and find in it what a person asks for."""

import contextlib
import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from cyclopts import App, Parameter

from schemas.base import NS_PER_S
from schemas.errors import StateError, UserError
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of
from services.cli.log_lines import SHORT_ID
from services.cli.output import Output, time_of
from services.cli.progress import progress

if TYPE_CHECKING:
    from services.recorder.audit import Verdict
    from services.recorder.search import Found, Query, Trail

audit_app = App(name="audit", help="The record: is it whole, and what does it say?")
audit_app.command(
    "services.cli.audit_rebuild:rebuild", name="rebuild", help="Make the store of queries anew."
)
audit_app.command(
    "services.cli.audit_retention:retention", name="retention", help="How long what is kept."
)

Record = Annotated[Path | None, Parameter(help="Folder of the record; else `record` in the data.")]
SHOWN_CHARS = 120
EXECUTOR = "executor.jsonl"
_QUIET = ("type", "at_ns", "src", "seq")


@audit_app.command
def verify(
    *,
    record: Record = None,
    public_key: Annotated[
        Path | None,
        Parameter(help="Public keys that signed; else those beside the anchors, or the record."),
    ] = None,
    anchors: Annotated[
        list[Path] | None, Parameter(negative=(), help="Folders of anchors; else as configured.")
    ] = None,
    place: Place | None = None,
) -> Exit:
    """Verify every record against the chain, the signed checkpoints and the anchors outside.

    Needs the files alone, no running system. Exit code 0: whole, and anchored; 1: damaged; 6:
    nothing outside the data folder vouches for it.
    """
    from services.recorder.audit import verify_record
    from services.recorder.key_file import trusted_keys
    from services.recorder.reader import size_bytes

    found = place or Place()
    folder = _folder(record, found)
    data_dir = data_dir_of(found)
    places = anchors or anchor_dirs(data_dir)
    keys = trusted_keys(folder, places, public_key)
    with _read(folder), progress("verifying", size_bytes(folder)) as on_bytes:
        verdict = verify_record(folder, keys, places, on_bytes)
    hints = [] if anchors else [each for each in _told_by(data_dir) if each not in places]
    trust = _Trust(places, sorted(keys), public_key is not None, hints)
    return _say_verdict(verdict, trust, Output(found.as_json))


@audit_app.command
def show(order: str, *, record: Record = None, place: Place | None = None) -> Exit:
    """Show all that the record holds about one order: from the signal to its executions.

    With who started trading, who took part, and every limit that the gate read.

    Raises:
        UserError: SLU-103 the record holds no such order.
    """
    from services.recorder.reader import size_bytes
    from services.recorder.search import intents, order_trail

    found = place or Place()
    folder = _folder(record, found)
    with _read(folder), progress("reading", 3 * size_bytes(folder)) as on_bytes:
        order = _whole_id(folder, order, on_bytes)
        trail = order_trail(folder, order, on_bytes)
        state = folder.parent / "state"  # an account that is not traded now lies below `accounts`
        journals = [state / EXECUTOR, *sorted(state.glob(f"accounts/*/{EXECUTOR}"))]
        intended = [each for journal in journals for each in intents(journal, order)]
    if not trail.order:
        wanted = "the id of an order in the record: see `sluice orders`, `sluice audit search`"
        raise UserError("SLU-103", path="order", found=order, wanted=wanted)
    _say_trail(trail, intended, Output(found.as_json))
    return Exit.OK


def _whole_id(folder: Path, order: str, on_bytes: Callable[[int], None]) -> str:
    """Return the id that begins as one does that `sluice orders` shows short; any other as it is.

    Raises:
        UserError: SLU-103 several begin so.
    """
    from services.recorder.search import Query
    from services.recorder.search import search as find

    if not SHORT_ID.fullmatch(order):
        return order
    events = (each.event for each in find(folder, Query(texts=(order,)), on_bytes))
    ids = {str(event.get("order_id", "")) for event in events}
    whole = sorted(each for each in ids if each.startswith(order))
    if len(whole) > 1:
        raise UserError("SLU-103", path="order", found=order, wanted=f"one of {', '.join(whole)}")
    return whole[0] if whole else order


@audit_app.command
def search(
    *texts: Annotated[str, Parameter(help="Words; each must stand in the event.")],
    subject: Annotated[str, Parameter(help="As the bus matches it: order.>, exec.*.paper")] = "",
    session: Annotated[str, Parameter(help="A session's id.")] = "",
    order: Annotated[str, Parameter(help="An order's id.")] = "",
    operator: Annotated[str, Parameter(help="Who asked for something.")] = "",
    since: Annotated[str, Parameter(help="2026-11-27, or 2026-11-27T14:30:00; UTC.")] = "",
    until: Annotated[str, Parameter(help="Before this time.")] = "",
    limit: Annotated[int, Parameter(help="Most events shown; 0: all.")] = 1_000,
    record: Record = None,
    place: Place | None = None,
) -> Exit:
    """Search the record; all that is given must hold. With --json: one event a line."""
    from services.recorder.search import Query

    found = place or Place()
    named = (("session", session), ("operator", operator), ("order_id", order))
    query = Query(
        subject=subject,
        texts=texts,
        fields=tuple((name, value) for name, value in named if value),
        since_ns=_ns(since),
        until_ns=_ns(until),
    )
    folder = _folder(record, found)
    with _read(folder):
        _print_all(folder, query, limit, found.as_json)
    return Exit.OK


def _print_all(folder: Path, query: "Query", limit: int, as_json: bool) -> None:
    from services.recorder.reader import size_bytes
    from services.recorder.search import search as find

    count = 0
    with progress("searching", size_bytes(folder)) as on_bytes:
        for each in find(folder, query, on_bytes):
            _print_found(each, as_json)
            count += 1
            if count == limit:
                break
    more = ": there may be more (--limit)" if count == limit else ""
    Output(as_json).line(f"{count} events{more}")


@contextlib.contextmanager
def _read(folder: Path) -> Iterator[None]:
    """Turn what the files are not into what an operator can act on."""
    try:
        yield
    except OSError as error:
        path, found = error.filename or folder, error.strerror or str(error)
        wanted = "files that can be read"
        raise UserError("SLU-102", path=path, found=found, wanted=wanted) from error
    except msgspec.DecodeError as error:
        wanted = "records as they were written: see `sluice audit verify`"
        raise StateError("SLU-147", path=folder, found=error, wanted=wanted) from error


def anchor_dirs(data_dir: Path) -> list[Path]:
    """Return where the anchors are, as the configuration of whoever asks says; else the default.

    Never by the word of the data folder, nor in it: whoever changes the record can change that too.
    """
    from services.cli.config_resolve import ConfigError, default_anchors, load_config

    try:
        chosen = load_config().merged.values["recorder"].get("anchor_dirs")
    except (ConfigError, UserError):
        chosen = None
    places = [Path(each).expanduser() for each in chosen or [default_anchors()]]
    root = data_dir.resolve()
    return [each for each in places if not each.resolve().is_relative_to(root)]


def _told_by(data_dir: Path) -> list[Path]:
    """Return where the last run says that it put its anchors: a hint, and no more."""
    from services.cli.system import config_file

    try:
        told = msgspec.json.decode(config_file(data_dir).read_bytes())["recorder"]["anchor_dirs"]
        return [Path(each).expanduser() for each in told]
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return []


class _Trust(NamedTuple):
    """What a verdict rests on: places of anchors, fingerprints of keys, and if one was given."""

    places: Sequence[Path]
    keys: Sequence[str]
    is_key_given: bool
    hints: Sequence[Path]
    """Places that only the data folder itself names."""


def _say_verdict(verdict: "Verdict", trust: _Trust, output: Output) -> Exit:
    damage = verdict.damage
    is_vouched = bool(verdict.anchored_n) or (trust.is_key_given and bool(verdict.signed_n))
    output.data(_document(verdict, trust, is_vouched))
    if damage is not None:
        output.line(f"DAMAGED: record {damage.n}: {damage.why}")
        output.line("Keep the folder as it is, and compare it with a backup.")
        return Exit.FAILED
    held = f"records {verdict.removed_n + 1} to {verdict.head.n}"
    output.line(
        f"whole: {held}, each as written"
        if is_vouched
        else f"{held} agree with each other; whether they are as written, nobody outside says"
    )
    output.line(
        f"signed up to {verdict.signed_n}, anchored outside up to {verdict.anchored_n} "
        f"({verdict.checked_count} checkpoints compared)"
    )
    places = ", ".join(map(str, trust.places)) or "nowhere"
    output.line(f"by keys {', '.join(trust.keys)}; anchors looked for in {places}")
    if verdict.removed_n:
        output.line(
            f"records up to {verdict.removed_n} went by retention, as signed tombstones say"
        )
    if verdict.superseded_count:
        output.line(f"{verdict.superseded_count} checkpoints are of records lost in a restore")
    if not is_vouched:
        output.line(
            "NOT ANCHORED: only a key that lies beside the record vouches for it; there are no "
            f"anchors of it in {places}. Give --anchors or --public-key."
        )
    if not is_vouched and trust.hints:
        hints = ", ".join(map(str, trust.hints))
        output.line(f"The data folder itself names {hints}: if you chose that, give it (--anchors)")
    return Exit.OK if is_vouched else Exit.UNHEALTHY


def _document(verdict: "Verdict", trust: _Trust, is_vouched: bool) -> dict[str, Any]:
    damage = verdict.damage
    return {
        "is_whole": False if damage is not None else True if is_vouched else None,
        "is_vouched": is_vouched,
        "keys": list(trust.keys),
        "places": [str(each) for each in trust.places],
        "is_anchored": bool(verdict.anchored_n),
        "records": verdict.head.n,
        "head": verdict.head.hash,
        "signed": verdict.signed_n,
        "anchored": verdict.anchored_n,
        "removed": verdict.removed_n,
        "superseded_checkpoints": verdict.superseded_count,
        "damage": {"record": damage.n, "why": damage.why} if damage else None,
    }


def _say_trail(trail: "Trail", intended: Sequence[dict[str, Any]], output: Output) -> None:
    output.data(
        {
            "authority": [_plain(each) for each in trail.authority],
            "session": [_plain(each) for each in trail.session],
            "order": [_plain(each) for each in trail.order],
            "intents": list(intended),
        }
    )
    rows = [_row(each) for each in (*trail.authority, *trail.session)]
    output.table("By whose word", ("record", "when", "what", ""), rows)
    rows = [_row(each) for each in trail.order]
    rows += [("journal", time_of(each["at_ns"]), each["type"], _text(each)) for each in intended]
    output.table("The order", ("record", "when", "what", ""), rows)
    readings = [row for each in trail.order for row in _readings(each.event)]
    output.table("Limits read by the gate", ("check", "", "value", "limit"), readings)


def _readings(event: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return the rows of a decision's readings; what somebody else called so has none."""
    told = event.get("readings")
    found = [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    return [
        (r.get("check"), "ok" if r.get("is_ok") else "NO", r.get("value", ""), r.get("limit", ""))
        for r in found
    ]


def _row(found: "Found") -> tuple[object, ...]:
    what = found.event.get("type", found.subject)
    return (found.n, time_of(found.stored_ns), what, _text(found.event))


def _text(event: dict[str, Any]) -> str:
    """Return an event's fields for people; its readings have a table of their own."""
    shown = {k: v for k, v in event.items() if k not in (*_QUIET, "readings") and v != ""}
    order = shown.pop("order", None)
    if isinstance(order, dict):
        shown = {**order, **shown}
    return "  ".join(f"{key} {_short(value)}" for key, value in shown.items())


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def _plain(found: "Found") -> dict[str, Any]:
    return {
        "record": found.n,
        "stored_ns": found.stored_ns,
        "subject": found.subject,
        "event": found.event,
    }


def _print_found(found: "Found", as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(_plain(found)).decode(), flush=False)
        return
    what = found.event.get("type", "")
    print(f"{found.n} {time_of(found.stored_ns)} {found.subject} {what} {_text(found.event)}")


def _ns(text: str) -> int:
    """Return the time that a person wrote, in ns since the epoch; 0 for none."""
    if not text:
        return 0
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        wanted = "a date or a time as 2026-11-27T14:30:00, in UTC unless it says otherwise"
        raise UserError("SLU-103", path="--since/--until", found=text, wanted=wanted) from error
    at = at if at.tzinfo else at.replace(tzinfo=datetime.UTC)
    return int(at.timestamp() * NS_PER_S)


def _folder(record: Path | None, place: Place) -> Path:
    folder = record or data_dir_of(place) / "record"
    if not folder.is_dir():
        wanted = "the folder of a record (chain-*.jsonl); see --data-dir, --record"
        raise UserError("SLU-102", path=folder, found="no such folder", wanted=wanted)
    return folder
