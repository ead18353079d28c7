"""One real paper system: asked while it trades, and made again from its record when it is gone."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.health import SessionsReported
from services.cli.__main__ import run
from services.cli.desk import at_desk
from services.cli.locate import Place
from tests.e2e.system import System
from tests.mail_server import HOST, MailServer

pytestmark = pytest.mark.req("R-03", "R-04", "R-05")
DELIVERED, CLIENT = "delivered", "client@example.com"


class Ended:
    """What a system said of itself at the last, and its folder.

    Attributes:
        system: stopped.
        mail: the server that statements were mailed to.
        status, measured: its last words, once nothing moved any more.
        answers: what it was asked while it traded, by name: exit code, standard output and error.
    """

    def __init__(self, system: System, mail: MailServer) -> None:
        self.system, self.mail = system, mail
        self.answers: dict[str, tuple[int, str, str]] = {}

    def ask(self, name: str, *arguments: str) -> Any:
        done = self.system.run(*arguments, "--json")
        self.answers[name] = done.returncode, done.stdout, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def end(self, day: str) -> None:
        """Ask all there is to ask while it trades; then halt it, and stop it."""
        self.ask("named", "query", "--named", "pnl_by_session")
        self.ask("write", "query", "DELETE FROM events")
        for kind in ("orders", "statement"):
            self.ask(kind, "report", kind, "--day", day)
        self.ask("stop", "stop", "ema_cross-1")
        assert self.system.run("halt", "the test is over").returncode == 0
        self.status = self.system.wait_until(lambda s: s["open_orders"] == 0)
        self.fills = self.status["fills"]
        self.measured = asyncio.run(measured(self.system))
        recorded = "SELECT count(*) FROM fills"
        while int(self.ask("fills", "query", recorded)["rows"][0][0]) < self.fills:
            pass  # the record is a moment behind
        results = self.system.data_dir / "results" / "ema_cross-1" / "events.csv"
        self.system.wait_until(lambda _: results.exists())
        self.system.stop()


async def measured(system: System) -> SessionsReported:
    """Return what the strategy service says of its sessions, figures included."""
    async with at_desk(Place(data_dir=system.data_dir)) as desk:
        found = await desk.sessions()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    system, mail = System(tmp_path_factory.mktemp("asked")), MailServer()
    wanted = {
        "deliver_to": f'["{system.folder / DELIVERED}"]',
        "mail.host": HOST,
        "mail.port": str(mail.port),
        "mail.security": "none",
        "mail.sender": "reports@example.com",
        "mail.to": f'["{CLIENT}"]',
        "mail.kinds": '["statement"]',
    }
    system.up(*(part for k, v in wanted.items() for part in ("--set", f"reports.{k}={v}")))
    try:
        system.wait_for_fills(5)
        found = Ended(system, mail)
        found.end(day_of(system))
        yield found
    finally:
        system.close()
        mail.stop()


def day_of(system: System) -> str:
    """Return the day on which the system trades, as its own record has it."""
    rows = system.json("query", "SELECT max(day) FROM fills")["rows"]
    return str(rows[0][0])


def test_a_query_over_the_bus_is_answered_while_it_trades(ended: Ended) -> None:
    code, out, _ = ended.answers["named"]
    answer = json.loads(out)
    assert code == 0
    assert answer["columns"][:2] == ["session", "strategy"]
    assert answer["rows"][0][:2] == ["ema_cross-1", "ema_cross"]


def test_what_cannot_be_asked_is_a_clear_error(ended: Ended) -> None:
    code, out, error = ended.answers["write"]
    document = json.loads(error)["error"]
    assert (code, out) == (2, "")
    assert (document["code"], document["fields"]["path"]) == ("SLU-103", "sql")
    assert document["fields"]["found"] == "a statement of the kind DELETE"


class Here:
    """Runs commands in this very process: starting one takes longer than most of them do."""

    def __init__(self, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._data_dir, self._capsys = data_dir, capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = run([*arguments, "--data-dir", str(self._data_dir)])
        return code, *self._capsys.readouterr()

    def json(self, *arguments: str) -> dict[str, Any]:
        code, out, error = self.run(*arguments, "--json")
        assert (code, error) == (0, "")
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture
def here(ended: Ended, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(ended.system.data_dir, capsys)


def by_instrument(views: list[dict[str, Any]]) -> dict[str, Any]:
    """Return positions without what is only of the moment."""
    return {v["instrument"]: {k: v[k] for k in v if k != "mark"} for v in views}


def test_figures_of_the_record_are_the_live_ones_to_the_last_digit(
    ended: Ended, here: Here
) -> None:
    rebuilt = here.json("figures")
    [session] = ended.status["sessions"]
    live = by_instrument(session["positions"])
    assert live
    assert by_instrument(rebuilt["positions"]["ema_cross-1"]) == live
    assert by_instrument(rebuilt["account_positions"]) == live
    assert rebuilt["session"]["ema_cross-1"]["fill_count"] == session["fill_count"]
    assert rebuilt["book"]["paper"]["fill_count"] == ended.fills
    fees = sum(Decimal(view["fees"]) for view in live.values())
    assert Decimal(rebuilt["book"]["paper"]["fees"]) == fees


def test_measures_of_a_session_are_the_live_ones_to_the_last_digit(
    ended: Ended, here: Here
) -> None:
    rebuilt = here.json("figures")
    [live] = json.loads(msgspec.json.encode(ended.measured.measures))
    found = rebuilt["session"]["ema_cross-1"]
    of_the_moment = {"exposure", "turnover", "drawdown_ns_max"}  # of a time that goes on
    assert {k: v for k, v in live["figures"].items() if k not in of_the_moment} == {
        k: v for k, v in found.items() if k not in of_the_moment
    }
    assert rebuilt["shares"]["ema_cross-1"] == live["shares"]
    attribution = json.loads(msgspec.json.encode(ended.measured.attribution))
    assert {*attribution} == {"session", "strategy", "symbol", "share_class"}
    assert rebuilt["attribution"] == attribution


def test_equity_of_the_record_is_cash_and_holdings_at_the_recorded_prices(here: Here) -> None:
    """The breaker's own last valuation, made again from executions and prices alone."""
    rebuilt = here.json("figures")
    assert Decimal(rebuilt["book"]["paper"]["final_value"]) == Decimal(rebuilt["equity"])


def test_parts_add_up_to_the_whole(ended: Ended, here: Here) -> None:
    rebuilt = here.json("figures")
    parts = rebuilt["attribution"]
    sessions = rebuilt["session"].values()
    profit = sum(Decimal(s["final_value"]) - Decimal(s["initial_capital"]) for s in sessions)
    for by in ("session", "strategy", "symbol"):
        assert sum(Decimal(each["profit"]) for each in parts[by].values()) == profit, by
    [day] = rebuilt["days"].values()
    assert day["fill_count"] == ended.fills


def report_files(ended: Ended) -> list[Path]:
    return sorted((ended.system.data_dir / "reports").glob("*/*"))


def test_each_report_is_verified_from_the_record(ended: Ended, here: Here) -> None:
    files = report_files(ended)
    assert [path.name.partition("-paper")[0] for path in files] == [
        "orders",
        "statement",
    ]
    for path in files:
        code, out, error = here.run("report", "verify", str(path))
        assert (code, error) == (0, "")
        assert out.startswith("verified: ")


def test_each_report_is_delivered_and_that_is_recorded(ended: Ended, here: Here) -> None:
    reports = ended.system.data_dir / "reports"
    made = {str(path.relative_to(reports)): path.read_bytes() for path in report_files(ended)}
    folder = ended.system.folder / DELIVERED
    lying = {str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("*/*")}
    assert lying == made
    told = "json_extract_string(body, '$.file'), json_extract_string(body, '$.to')"
    rows = here.json("query", f"SELECT {told} FROM events WHERE type = 'ReportDelivered'")["rows"]
    lain = {(f"reports/{name}", str(folder)) for name in made}
    [statement] = [name for name in made if "statement" in name]
    assert {tuple(row) for row in rows} == lain | {(f"reports/{statement}", f"mailto:{CLIENT}")}
    [(to, message)] = ended.mail.mails
    [part] = message.iter_attachments()
    assert (to, part.get_payload(decode=True)) == (CLIENT, made[statement])


def test_a_changed_report_is_not_verified(ended: Ended, here: Here, tmp_path: Path) -> None:
    changed = tmp_path / "orders.csv"
    shutil.copy(report_files(ended)[0], changed)
    with changed.open("ab") as file:
        file.write(b" ")
    code, out, _ = here.run("report", "verify", str(changed))
    assert code == 6
    assert out.startswith("NOT VERIFIED: the record names no report")


def test_a_session_that_ended_has_its_events_as_csv(ended: Ended) -> None:
    results = ended.system.data_dir / "results" / "ema_cross-1" / "events.csv"
    lines = results.read_text().splitlines()
    assert lines[0].startswith("at,record,part,day,at_ns,recv_ns,type,component")
    assert any(",OrderFilled,executor," in line for line in lines)


@pytest.mark.req("R-02")
def test_components_have_their_json_lines(ended: Ended) -> None:
    folder = ended.system.data_dir / "logs" / "events"
    found = {path.name.partition("_events")[0] for path in folder.glob("*_events.jsonl")}
    assert {"gate", "executor", "strategy", "breaker", "reports"} <= found


@pytest.mark.req("R-02")
def test_the_record_is_exported_encrypted_or_not(ended: Ended, here: Here, tmp_path: Path) -> None:
    import duckdb
    import pyrage

    fills = str(tmp_path / "fills")
    assert here.json("export", "fills", "--csv", f"{fills}.csv")["rows"] == ended.fills
    assert here.json("export", "fills", "--parquet", f"{fills}.parquet")["rows"] == ended.fills
    with duckdb.connect() as other:
        found = other.execute(f"SELECT count(*) FROM read_parquet('{fills}.parquet')").fetchall()
    assert found == [(ended.fills,)]
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    here.json("export", "fills", "--csv", f"{fills}.age", "--encrypt-to", recipient)
    plain = pyrage.decrypt(Path(f"{fills}.age").read_bytes(), [identity])
    assert plain == Path(f"{fills}.csv").read_bytes()


@pytest.mark.req("R-02")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("export", "fill", "--csv", "x"), "fill"),
        (("export", "fills"), "neither"),
        (("export", "fills", "--csv", "x", "--from", "tomorrow"), "'tomorrow'"),
        (("report", "orders", "--day", "tomorrow"), "'tomorrow'"),
        (("report", "order", "--day", "2026-11-27"), "order"),
        (("report", "orders", "--day", "2026-11-27", "--account", "papr"), "papr"),
        (("query", "SELECT 1", "--rows", "0"), "Expected `int` >= 1"),
        (("query", "--named", "pnl"), "pnl"),
        (
            ("report", "orders", "--day", "2020-01-01"),
            "nothing recorded of account paper on 2020-01-01",
        ),
        (("figures", "--by", "sesion"), "sesion"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    here: Here, arguments: tuple[str, ...], found: str
) -> None:
    code, out, error = here.run(*arguments, "--json")
    assert (code, out) == (2, "")
    assert json.loads(error)["error"]["fields"]["found"] == found


def test_the_store_is_made_anew_and_says_the_same(here: Here) -> None:
    named = ("query", "--named", "pnl_by_session")
    before = here.json(*named)["rows"]
    assert here.json("audit", "rebuild")["is_done"] is True
    assert here.json(*named)["rows"] == before
