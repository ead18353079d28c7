"""The logs of a system as one stream: three forms read, nothing left out, one order followed."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.base import NS_PER_S
from schemas.errors import UserError
from schemas.masking import MASK
from services.cli import log_lines
from services.cli.locate import Place
from services.cli.log_lines import (
    LogLine,
    files_of,
    merged,
    moment,
    order_ids,
    parsed,
    read_lines,
    related,
    service_of,
)
from services.cli.logs import LATE_NS, logs

pytestmark = pytest.mark.req("O-03")

AT_NS = 1_700_000_000 * NS_PER_S  # 2023-11-14 22:13:20 UTC


def event(kind: str, at_s: int, **fields: object) -> str:
    return json.dumps({"record": 1, "type": kind, "at_ns": AT_NS + at_s * NS_PER_S, **fields})


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Logs as a run leaves them: one order from signal to fill, another beside it."""
    (tmp_path / "log").mkdir()
    events = tmp_path / "logs" / "events"
    events.mkdir(parents=True)
    said = {"service": "gate", "level": "warning", "event": "slow", "at": "2023-11-14T22:13:21Z"}
    log = tmp_path / "log" / "gate.log"
    log.write_text(json.dumps(said) + "\nTraceback: what\n")
    os.utime(log, ns=(AT_NS + NS_PER_S, AT_NS + NS_PER_S))
    (tmp_path / "log" / "gate.log.1").write_text(
        json.dumps(said | {"event": "older", "level": "info", "at": "2023-11-14T22:13:19Z"}) + "\n"
    )
    lines = [event("SignalRaised", 1, signal_id="s-1"), event("SignalRaised", 6, signal_id="s-10")]
    (events / "strategy_events.jsonl").write_text("\n".join(lines) + "\n")
    lines = [
        event("SignalDecided", 2, signal_id="s-1", order_id="abc"),
        event("OrderApproved", 3, order={"order_id": "abc", "signal_id": "s-1"}),
        event("AlertRaised", 4, severity="critical", code="SLU-121"),
    ]
    (events / "gate_events.jsonl").write_text("\n".join(lines) + "\n")
    lines = [
        event("OrderFilled", 5, order_id="abc"),
        event("BookReported", 7, recent_orders=[{"order": {"order_id": "abc"}}]),
    ]
    (events / "executor_events.2023-11-14.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], data_dir: Path, **options: Any) -> list[str]:
    """What the command prints for people, without times and fields."""
    logs(place=Place(data_dir=data_dir), **options)
    return [" ".join(line.split()[1:4]) for line in capsys.readouterr().out.splitlines()]


def test_a_line_of_nats_server_has_its_level_and_its_time() -> None:
    raw = b"[17] 2023/11/14 22:13:20.123456 [ERR] out of room"
    line = parsed(raw, service="nats")
    assert (line.level, line.event, line.at_ns % NS_PER_S) == ("error", "out of room", 123_456_000)


def test_a_line_that_is_in_no_form_is_shown_at_the_time_before_it(data_dir: Path) -> None:
    lines = list(read_lines(data_dir / "log" / "gate.log"))
    assert [(each.event, each.at_ns) for each in lines] == [
        ("slow", AT_NS + NS_PER_S),
        ("Traceback: what", AT_NS + NS_PER_S),
    ]


def test_bytes_that_are_no_text_are_an_error_and_shown_as_well_as_they_can_be() -> None:
    assert parsed(b"\xff\xfe", service="feed", at_ns=7) == LogLine(
        at_ns=7, level="error", service="feed", event="��", raw=b"\xff\xfe", is_timed=False
    )


PANIC = """\
[17] 2023/11/14 22:13:20.000000 [INF] Server is ready
panic: runtime error: invalid memory address
goroutine 1 [running]:
{"main": "run"}
[18] 2023/11/14 23:13:20.000000 [INF] Starting nats-server
{"no": "time"}
"""


def test_a_panic_and_what_follows_it_are_errors_until_the_next_line_with_a_time(
    tmp_path: Path,
) -> None:
    log = tmp_path / "nats.log"
    log.write_text(PANIC)
    assert [each.level for each in read_lines(log)] == [
        "info",
        "error",
        "error",
        "error",
        "info",
        "info",
    ]


@pytest.mark.parametrize(
    ("since", "count"), [("2023-11-14T23:13:20", 3), ("2023-11-14T23:13:21", 0)]
)
def test_a_crash_after_hours_of_silence_is_found_by_when_it_may_have_been(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], since: str, count: int
) -> None:
    log = tmp_path / "log" / "nats.log"
    log.parent.mkdir()
    log.write_text(PANIC)
    assert len(shown(capsys, tmp_path, level="error", since=since)) == count


def test_a_traceback_that_begins_a_file_has_the_time_of_the_start_after_it(tmp_path: Path) -> None:
    log = tmp_path / "gate.log"
    log.write_text('Traceback\nImportError\n{"at": "2023-11-14T22:13:20Z", "event": "starting"}\n')
    assert [each.at_ns for each in read_lines(log)] == [AT_NS] * 3


def test_a_traceback_that_is_all_there_is_has_the_time_of_its_file(tmp_path: Path) -> None:
    log = tmp_path / "gate.log"
    log.write_text("Traceback\nImportError\n")
    os.utime(log, ns=(AT_NS, AT_NS))
    assert [each.at_ns for each in read_lines(log)] == [AT_NS] * 2


def test_all_files_come_in_the_order_of_time_whoever_wrote_them(data_dir: Path) -> None:
    files = files_of(data_dir, "logs", with_events=True)
    assert [line.event for line in merged(files)] == [
        "older",
        "slow",
        "Traceback: what",
        "SignalRaised",
        "SignalDecided",
        "OrderApproved",
        "AlertRaised",
        "OrderFilled",
        "SignalRaised",
        "BookReported",
    ]


@pytest.mark.parametrize("named", ["abc", "s-1"])
def test_one_order_is_followed_from_its_signal_to_its_fill_and_no_other_is(
    data_dir: Path, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    files = files_of(data_dir, "logs", with_events=True)
    assert related(files, named) == {"abc", "s-1"}
    assert shown(capsys, data_dir, order=named) == [
        "event strategy SignalRaised",
        "event gate SignalDecided",
        "event gate OrderApproved",
        "event executor OrderFilled",
    ]


def test_a_book_that_lists_an_order_is_not_about_it(data_dir: Path) -> None:
    [*_, book] = read_lines(data_dir / "logs/events/executor_events.2023-11-14.jsonl")
    assert order_ids(book) == set()


def test_an_alert_has_its_own_level_and_other_events_are_hidden_above_info(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, data_dir, service=["gate"], level="warning") == [
        "warning gate slow",
        "error gate Traceback:",
        "critical gate AlertRaised",
    ]
    assert shown(capsys, data_dir, level="critical") == ["critical gate AlertRaised"]
    assert len(shown(capsys, data_dir, level="debug")) == 10


def test_an_error_is_not_cut_off_by_the_events_after_it(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = data_dir / "logs" / "events" / "feed_events.jsonl"
    events.write_text("".join(event("FeedReported", 10 + n) + "\n" for n in range(300)))
    since = "2023-11-14T22:13:21"
    assert shown(capsys, data_dir, level="error", since=since) == [
        "error gate Traceback:",
        "critical gate AlertRaised",
    ]


def test_a_session_is_found_by_its_whole_name(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = data_dir / "logs" / "events" / "feed_events.jsonl"
    names = ("ema_cross-1", "ema_cross-12", "my-ema_cross-1")
    whole = [event("SessionChanged", n, session=name) for n, name in enumerate(names)]
    scoped = [event("Restricted", 7, scope=f"session.{name}") for name in names]
    events.write_text("".join(f"{line}\n" for line in whole + scoped))
    assert shown(capsys, data_dir, session="ema_cross-1") == [
        "event feed SessionChanged",
        "event feed Restricted",
    ]


@pytest.mark.req("A-05")
def test_a_secret_that_a_person_typed_is_masked_for_people_and_for_programs(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = "SUA" + "B7" * 27
    events = data_dir / "logs" / "events" / "breaker_events.jsonl"
    events.write_text(event("HaltRequested", 9, reason=f"{'x' * 120} {seed} token=hunter2") + "\n")
    (data_dir / "log" / "feed.log").write_text(f"panic: password=hunter2 {seed}\n")
    for as_json in (False, True):
        logs(place=Place(data_dir=data_dir, as_json=as_json), lines=0)
        said = capsys.readouterr().out
        assert f"{'x' * 120} {MASK} token={MASK}" in said
        assert f"panic: password={MASK} {MASK}" in said
        assert [each for each in (seed[:20], "hunter2") if each in said] == []


def test_the_log_of_a_bus_in_a_container_is_where_its_container_is(data_dir: Path) -> None:
    with pytest.raises(UserError, match="docker compose logs nats"):
        logs(["nats"], place=Place(data_dir=data_dir))


def test_without_events_and_with_a_text_only_such_log_lines_are_left(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, data_dir, events=False, grep="slow") == ["warning gate slow"]


def test_only_the_last_so_many_are_shown(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, data_dir, lines=1) == ["event executor BookReported"]
    assert len(shown(capsys, data_dir, lines=0)) == 10


def test_a_span_of_time_is_closed_at_both_ends(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = shown(capsys, data_dir, since="2023-11-14T22:13:22", until="2023-11-14T22:13:23+00:00")
    assert found == ["event gate SignalDecided", "event gate OrderApproved"]


@pytest.mark.parametrize(
    ("options", "path", "found"),
    [
        ({"service": ["gaet"]}, "service", "gaet"),
        ({"level": "warn"}, "--level", "warn"),
        ({"since": "yesterday"}, "--since", "yesterday"),
    ],
)
def test_what_is_mistaken_is_named(
    data_dir: Path, options: dict[str, Any], path: str, found: str
) -> None:
    with pytest.raises(UserError) as raised:
        logs(place=Place(data_dir=data_dir), **options)
    assert (raised.value.fields["path"], raised.value.fields["found"]) == (path, found)


def test_a_folder_without_logs_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no logs"):
        logs(place=Place(data_dir=tmp_path))


def test_relative_and_absolute_times() -> None:
    assert moment("10m", "--since", AT_NS) == AT_NS - 600 * NS_PER_S
    assert moment("2023-11-14T22:13:20", "--since", 0) == AT_NS
    assert moment("2023-11-14T23:13:20+01:00", "--since", 0) == AT_NS


def test_who_writes_a_file() -> None:
    names = ("gate.log", "gate.log.2026-11-27", "gate_events.jsonl", "gate_events.2026-11-27.jsonl")
    assert {service_of(Path(name)) for name in names} == {"gate"}


def told(data_dir: Path, logs_dir: Path) -> None:
    """Leave what a run was told, as `sluice up` does."""
    (data_dir / "run").mkdir()
    (data_dir / "run" / "config.json").write_text(
        json.dumps({"recorder": {"logs_dir": str(logs_dir)}})
    )


def test_events_are_read_from_where_the_recorder_was_told_to_write_them(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (data_dir / "logs" / "events").rename(elsewhere / "events")
    assert shown(capsys, data_dir, order="abc") == []
    told(data_dir, elsewhere)
    assert len(shown(capsys, data_dir, order="abc")) == 4


def test_a_file_that_was_last_written_before_the_span_is_not_even_read(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, kept = data_dir / "log" / "gate.log.1", data_dir / "log" / "gate.log"
    last_ns = AT_NS + 2 * NS_PER_S
    os.utime(kept, ns=(last_ns, last_ns - LATE_NS))
    os.utime(old, ns=(last_ns, last_ns - LATE_NS - 1))
    read: list[str] = []

    def noting(path: Path, start: int = 0) -> Iterator[LogLine]:
        read.append(path.name)
        return read_lines(path, start)

    monkeypatch.setattr(log_lines, "read_lines", noting)
    shown(capsys, data_dir, events=False, since="2023-11-14T22:13:22")
    assert read == ["gate.log"]


def test_following_meets_new_files_and_tells_nothing_twice_when_one_is_put_aside(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = data_dir / "log" / "gate.log"

    def write(path: Path, *events: str) -> None:
        with path.open("a") as file:
            file.writelines(json.dumps({"event": each}) + "\n" for each in events)

    def a_day_goes_by() -> None:
        log.rename(log.with_name("gate.log.2023-11-14"))
        write(log, "tomorrow")
        write(log.with_name("feed.log"), "hello")

    def stop() -> None:
        raise KeyboardInterrupt

    turns = iter([lambda: write(log, "today"), a_day_goes_by, lambda: write(log, "later"), stop])
    monkeypatch.setattr(time, "sleep", lambda _s: next(turns)())
    assert shown(capsys, data_dir, follow=True, events=False, grep="event", lines=1) == [
        "warning gate slow",
        "info gate today",
        "info gate tomorrow",
        "info feed hello",
        "info gate later",
    ]


def test_following_since_a_time_shows_a_line_without_one_that_begins_what_is_new(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = data_dir / "log" / "gate.log"

    def crash() -> None:
        with log.open("a") as file:
            file.write("Traceback: again\n")

    def stop() -> None:
        raise KeyboardInterrupt

    turns = iter([crash, stop])
    monkeypatch.setattr(time, "sleep", lambda _s: next(turns)())
    found = shown(capsys, data_dir, follow=True, events=False, grep="again", since="10m")
    assert found == ["error gate Traceback:"]
