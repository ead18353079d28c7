"""Who may say and hear what: `ops/nats/server.conf` held against a table written from the rules."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from nats.errors import NoRespondersError
from nats.js.api import StreamConfig

from schemas.base import BootId, Event
from schemas.errors import BusError
from schemas.streams import STREAMS
from schemas.subjects import (
    HALT,
    LIMITS,
    PAUSE,
    QUERY_SQL,
    REPORT,
    RESET,
    RESUME,
    START,
    STOP,
    UNLOCK,
)
from schemas.users import USERS
from services.control import ControlGuard
from services.executor.core import ExecutorCore
from services.executor.venues.matching import VenueCore
from services.feed.core import FeedCore
from services.gate.core import GateCore
from services.recorder.core import RecorderCore
from services.recorder.queries.core import ReportsCore
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.keys import SYNC_ALWAYS, ensure_keys, server_environment
from services.runtime.rights import Rights, check_rights, rights_needed
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore
from tests.builders import ACCOUNT
from tests.control_rig import breaker_core
from tests.integration.guarded import CONFIGURATION, GuardedServer, without_right

pytestmark = pytest.mark.req("A-01")
_T = TypeVar("_T")

SERVICES = "recorder venue feed strategy gate executor breaker console reports"
PEOPLE = "operator viewer"
WATCHERS = f"console {PEOPLE}"
EVERYONE = f"{SERVICES} supervisor {PEOPLE}"
NOBODY = ""

MAY_PUBLISH: dict[str, str] = {
    "market.sim.ALPHA.quote": "feed",
    "feed.ended": "feed",
    "feed.states": "feed",
    "scan.move.sim.ALPHA": "feed",
    "signal.s1.ALPHA": "strategy executor",
    "session.s1.state": "strategy",
    "risk.decision.s1": "gate",
    "order.sim.paper": "gate",
    "exec.sim.paper": "executor",
    "book.paper": "executor",
    "risk.account.paper": "breaker",
    "risk.limits": "gate",
    "risk.tightened.paper": "gate",
    "risk.health.paper": "executor",
    "risk.locate.paper": "executor",
    "breaker.drawdown": "breaker",
    "control.halt": EVERYONE,
    "control.halt.venue.sim": EVERYONE,
    "control.reduce": EVERYONE,
    "control.reduce.account.paper": EVERYONE,
    "control.flatten": "operator breaker",
    "control.flattened": "executor",
    "control.unlock": "operator",
    "control.lock": "gate executor breaker recorder",
    "breaker.locks": "breaker",
    "control.start": "operator",
    "control.reset": "operator",
    "control.stop": "operator",
    "control.pause": "operator",
    "control.resume": "operator",
    "control.confirm": "operator",
    "control.limits": "operator",
    "control.breaker": "operator",
    "control.result": "strategy gate breaker executor reports",
    "control.report": "operator",
    **dict.fromkeys(
        ("report.made.orders", "report.delivered", "report.terms", "report.uptime"), "reports"
    ),
    "control.reconcile": "operator",
    "control.prepare": "breaker",
    "control.epoch": "breaker",
    "control.record.epoch": "breaker",
    "control.ended": "breaker",
    "control.leased.gate": "breaker",
    "control.leased.executor": "breaker",
    "control.lease": "gate executor",
    **{f"control.prepared.{name}": name for name in ("gate", "executor", "strategy")},
    "control.prepared.breaker": NOBODY,
    **{
        f"control.ack.{name}": name
        for name in ("gate", "executor", "strategy", "breaker", "recorder", "console")
    },
    "control.confirmed.executor": "executor",
    "control.confirmed.gate": NOBODY,
    **{f"health.{name}": name for name in f"{SERVICES} supervisor".split()},
    "health.operator": NOBODY,
    "alert.critical": f"{SERVICES} supervisor",
    "dead.letters": SERVICES,
    "query.gate": f"feed strategy {WATCHERS}",
    "query.executor": f"feed strategy gate breaker {WATCHERS}",
    "query.recorder": f"strategy {WATCHERS}",
    "query.reports": WATCHERS,
    "query.sql": WATCHERS,
    "report.gate": NOBODY,
    "something.else": NOBODY,
    "_INBOX.gate.1": NOBODY,
    "_INBOX.operator.1": NOBODY,
    "$SRV.PING": "operator",
    "$JS.API.STREAM.CREATE.CONTROL": "recorder",
    "$JS.API.STREAM.CREATE.OTHER": NOBODY,
    "$JS.API.STREAM.UPDATE.CONTROL": "supervisor",
    "$JS.API.STREAM.UPDATE.OTHER": NOBODY,
    "$JS.API.STREAM.DELETE.CONTROL": NOBODY,
    "$JS.API.STREAM.PURGE.CONTROL": NOBODY,
    "$JS.API.STREAM.MSG.DELETE.CONTROL": NOBODY,
    "$JS.API.STREAM.MSG.GET.CONTROL": "recorder breaker operator",
    "$JS.API.STREAM.MSG.GET.ORDERS": "recorder operator",
    "$JS.API.STREAM.INFO.ORDERS": "recorder operator supervisor",
    "$JS.API.STREAM.SNAPSHOT.CONTROL": NOBODY,
    "$JS.API.CONSUMER.CREATE.ORDERS.x": "recorder",
    "$JS.API.CONSUMER.DELETE.ORDERS.x": NOBODY,
    "$JS.API.CONSUMER.MSG.NEXT.ORDERS.x": "recorder",
    "$JS.ACK.ORDERS.x.1": "recorder",
    "$KV.any.key": NOBODY,
    "$SYS.REQ.SERVER.PING": NOBODY,
    "$SYS.REQ.USER.INFO": EVERYONE,
}
"""Subject -> everyone who may publish there; nobody else may."""

MAY_SUBSCRIBE: dict[str, str] = {
    "scan.>": WATCHERS,
    "market.>": f"venue strategy gate executor breaker {WATCHERS}",
    "feed.ended": f"venue strategy gate executor breaker {WATCHERS}",
    "feed.states": f"gate {WATCHERS}",
    "signal.>": f"gate {WATCHERS}",
    "session.>": f"gate breaker {WATCHERS}",
    "session.*.state": f"gate breaker reports {WATCHERS}",
    "risk.decision.>": f"strategy breaker {WATCHERS}",
    "risk.account.*": f"recorder strategy gate {WATCHERS}",
    "report.uptime": "recorder",
    "risk.health.*": f"strategy gate {WATCHERS}",
    "risk.locate.*": f"strategy gate {WATCHERS}",
    "risk.limits": f"strategy {WATCHERS}",
    "control.limits": f"gate {WATCHERS}",
    "order.>": f"executor {WATCHERS}",
    "exec.>": f"strategy gate breaker {WATCHERS}",
    "book.>": f"strategy gate breaker {WATCHERS}",
    "breaker.>": WATCHERS,
    "breaker.locks": f"gate executor {WATCHERS}",
    "alert.>": f"breaker {WATCHERS}",
    "control.breaker": f"breaker {WATCHERS}",
    "health.*": f"breaker supervisor reports {WATCHERS}",
    "control.report": f"reports {WATCHERS}",
    "query.sql": "reports",
    "dead.letters": f"breaker {WATCHERS}",
    "control.halt": f"recorder strategy gate executor breaker {WATCHERS}",
    "control.halt.>": f"recorder strategy gate executor breaker {WATCHERS}",
    "control.reduce": f"recorder strategy gate executor breaker {WATCHERS}",
    "control.reduce.>": f"recorder strategy gate executor breaker {WATCHERS}",
    "control.flatten": f"executor {WATCHERS}",
    "control.lock": f"breaker {WATCHERS}",
    "control.unlock": f"breaker {WATCHERS}",
    "control.start": f"breaker {WATCHERS}",
    "control.reset": f"breaker {WATCHERS}",
    "control.stop": f"strategy {WATCHERS}",
    "control.pause": f"strategy {WATCHERS}",
    "control.resume": f"strategy {WATCHERS}",
    "control.reconcile": f"executor {WATCHERS}",
    "control.result": WATCHERS,
    "control.prepare": f"strategy gate executor {WATCHERS}",
    "control.prepared.*": f"breaker {WATCHERS}",
    "control.epoch": f"feed strategy gate executor {WATCHERS}",
    "control.ended": f"strategy gate executor {WATCHERS}",
    "control.record.epoch": WATCHERS,
    "control.lease": f"breaker {WATCHERS}",
    "control.leased.gate": f"gate {WATCHERS}",
    "control.leased.executor": f"executor {WATCHERS}",
    "control.ack.*": f"breaker supervisor {WATCHERS}",
    "control.confirmed.*": f"breaker {WATCHERS}",
    **{f"query.{name}": name for name in f"{SERVICES} supervisor".split()},
    **{f"$SRV.PING.{name}": name for name in f"{SERVICES} supervisor".split()},
    "$SRV.PING": f"{SERVICES} supervisor",
    **{f"_INBOX.{name}.>": name for name in EVERYONE.split()},
    "_INBOX.>": NOBODY,
    "$JS.>": NOBODY,
    "$SYS.>": NOBODY,
    ">": NOBODY,
}
"""What is subscribed to -> everyone who may; nobody else may."""

BOOT = BootId("boot-1")
GUARDS = {name: ControlGuard(name, BOOT) for name in ("gate", "executor")}
HEARD: dict[str, frozenset[type[Event]]] = {
    "feed": FeedCore.hears,
    "venue": VenueCore.hears,
    "strategy": StrategyCore(StrategyConfig(), ACCOUNT, {}, boot_id=BOOT).hears,
    "gate": GateCore.hears,
    "executor": ExecutorCore.hears,
    "breaker": breaker_core().hears,
    "recorder": RecorderCore.hears,
    "reports": ReportsCore.hears,
}
REQUESTS = {
    "strategy": (STOP, PAUSE, RESUME),
    "breaker": (START, RESET, UNLOCK),
    "gate": (LIMITS,),
    "reports": (REPORT, QUERY_SQL),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    started = GuardedServer(tmp_path_factory.mktemp("guarded") / "bus")
    try:
        yield started
    finally:
        started.stop()


def run(what: Coroutine[Any, Any, _T]) -> _T:
    return uvloop.run(what)


def refused(connection: BusConnection) -> set[str]:
    """Return the subjects that the server refused; it tells them in lower case."""
    found = {re.findall('"([^"]+)"', text)[-1] for text in connection.refusals}
    connection.refusals.clear()
    return found


def test_the_tables_know_every_user_there_is() -> None:
    assert set(EVERYONE.split()) == set(USERS)
    named = re.findall(r"nkey: \$SLUICE_NKEY_([A-Z]+)", CONFIGURATION.read_text())
    assert sorted(named) == sorted(user.upper() for user in USERS)


@pytest.mark.parametrize("user", EVERYONE.split())
def test_each_user_publishes_what_is_its_own_and_nothing_else(
    server: GuardedServer, user: str
) -> None:
    async def refusals() -> set[str]:
        connection = await server.connect(user)
        for subject in MAY_PUBLISH:
            connection.send(subject, b"")
        await connection.flush()
        await connection.close()
        return refused(connection)

    wanted = {s.lower() for s, users in MAY_PUBLISH.items() if user not in users.split()}
    assert run(refusals()) == wanted


@pytest.mark.parametrize("user", EVERYONE.split())
def test_each_user_hears_what_is_its_own_and_nothing_else(server: GuardedServer, user: str) -> None:
    async def refusals() -> set[str]:
        connection = await server.connect(user)
        for subject in MAY_SUBSCRIBE:
            await connection.take(subject, lambda *_: None)
        await connection.flush()
        await connection.close()
        return refused(connection)

    wanted = {s.lower() for s, users in MAY_SUBSCRIBE.items() if user not in users.split()}
    assert run(refusals()) == wanted


def test_anonymous_is_refused(server: GuardedServer) -> None:
    with pytest.raises(BusError) as caught:
        run(connect("viewer", BusConfig(url=server.url)))
    assert caught.value.code == "SLU-121"


def test_a_key_of_another_system_is_refused(server: GuardedServer, tmp_path: Path) -> None:
    ensure_keys(tmp_path / "keys")
    with pytest.raises(BusError) as caught:
        run(connect("operator", BusConfig(url=server.url, keys_dir=tmp_path / "keys")))
    assert caught.value.code == "SLU-121"


def test_only_who_was_asked_may_answer_and_only_once(server: GuardedServer) -> None:
    async def answers() -> tuple[list[bytes], set[str], set[str]]:
        viewer, gate, executor = [await server.connect(u) for u in ("viewer", "gate", "executor")]
        got: list[bytes] = []
        asked: list[str] = []
        inbox = "_INBOX.viewer.mine"
        await viewer.take(inbox, lambda _subject, data, _reply: got.append(data))
        await gate.take("query.gate", lambda _subject, _data, reply: asked.append(reply))
        for each in (viewer, gate):
            await each.flush()
        executor.send(inbox, b"forged")
        await executor.flush()
        viewer.send("query.gate", b"", reply=inbox)
        await viewer.flush()
        await gate.flush()
        for text in (b"answer", b"again"):
            gate.send(asked[0], text)
        await gate.flush()
        await viewer.flush()
        for each in (viewer, gate, executor):
            await each.close()
        return got, refused(gate), refused(executor)

    inbox = "_inbox.viewer.mine"
    assert run(answers()) == ([b"answer"], {inbox}, {inbox})


@pytest.mark.req("G-09")
def test_a_halt_of_a_megabyte_passes_from_the_least_of_users(server: GuardedServer) -> None:
    async def sizes() -> list[int]:
        viewer, gate = await server.connect("viewer"), await server.connect("gate")
        got: list[int] = []
        await gate.take(HALT, lambda _subject, data, _reply: got.append(len(data)))
        await gate.flush()
        viewer.send(HALT, b"\xff" * 1_048_576)
        await viewer.flush()
        await gate.flush()
        await viewer.close()
        await gate.close()
        return got

    assert run(sizes()) == [1_048_576]


def test_the_recorder_makes_the_streams_and_nobody_can_delete_them(server: GuardedServer) -> None:
    async def made() -> list[str]:
        recorder = await server.connect("recorder")
        streams = recorder.jetstream()
        for spec in STREAMS:
            await streams.add_stream(
                StreamConfig(
                    name=spec.name, subjects=list(spec.subjects), no_ack=not spec.is_acknowledging
                )
            )
        names = [info.config.name or "" for info in await streams.streams_info()]
        recorder.send("$JS.API.STREAM.DELETE.CONTROL", b"")
        await recorder.flush()
        assert refused(recorder) == {"$js.api.stream.delete.control"}
        await recorder.close()
        return names

    assert sorted(run(made())) == sorted(spec.name for spec in STREAMS)


def test_the_bus_listens_on_loopback_and_with_no_other_protocol(server: GuardedServer) -> None:
    [ports] = server.folder.glob("*.ports")
    listening = json.loads(ports.read_text())
    with urllib.request.urlopen(f"{listening['monitoring'][0]}/varz") as answer:
        told = json.load(answer)
    assert set(listening) == {"nats", "monitoring"}
    assert (told["host"], told["http_host"], told["auth_required"]) == (
        "127.0.0.1",
        "127.0.0.1",
        True,
    )
    assert {told[each].get("port", 0) for each in ("websocket", "mqtt", "leaf", "gateway")} == {0}
    assert told["max_payload"] >= 2_000_000


@pytest.mark.req("O-07")
def test_the_durable_profile_syncs_before_it_acknowledges(tmp_path: Path) -> None:
    durable = GuardedServer(tmp_path / "bus", sync_interval=SYNC_ALWAYS)
    try:
        [ports] = durable.folder.glob("*.ports")
        monitoring = json.loads(ports.read_text())["monitoring"][0]
        with urllib.request.urlopen(f"{monitoring}/varz") as answer:
            assert json.load(answer)["jetstream"]["config"]["sync_always"] is True
    finally:
        durable.stop()


@pytest.mark.parametrize(
    "missing", ["SLUICE_NKEY_GATE", "SLUICE_SYNC_INTERVAL", "SLUICE_STORE_KEY"]
)
def test_the_server_does_not_start_without_its_keys_and_profile(
    tmp_path: Path, missing: str
) -> None:
    told = server_environment(ensure_keys(tmp_path / "keys"))
    del told[missing]
    binary = Path(sys.executable).with_name("nats-server")
    done = subprocess.run(
        [str(binary), "-c", str(CONFIGURATION), "-t"],
        env={**{k: v for k, v in os.environ.items() if k != missing}, **told},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert missing in done.stderr


def needed(user: str) -> Rights:
    return rights_needed(user, HEARD[user], requests=REQUESTS.get(user, ()), guard=GUARDS.get(user))


async def checked(server: GuardedServer, user: str) -> bool:
    connection = await server.connect(user)
    try:
        return await check_rights(connection, user, needed(user))
    finally:
        await connection.close()


@pytest.mark.parametrize("user", HEARD)
def test_each_service_finds_its_rights_complete(server: GuardedServer, user: str) -> None:
    assert run(checked(server, user)) is True


@pytest.mark.parametrize(
    ("user", "right", "missing"),
    [
        ("gate", "order.>", "publish order.*.*"),
        ("gate", "signal.>", "subscribe signal.*.*"),
        ("gate", "health.gate", "publish health.gate"),
        ("executor", "order.>", "subscribe order.*.*"),
        ("executor", "control.halt", "publish control.halt"),
        ("strategy", "signal.>", "publish signal.*.*"),
        ("feed", "_INBOX.feed.>", 'permissions violation for subscription to "_inbox.feed.'),
        ("breaker", "control.record.epoch", "publish control.record.epoch"),
        ("recorder", "control.halt.>", "subscribe control.halt.>"),
        ("recorder", "$JS.ACK.>", "publish $JS.ACK.>"),
    ],
)
def test_a_right_that_was_taken_away_is_named_at_the_start(
    tmp_path: Path, user: str, right: str, missing: str
) -> None:
    server = GuardedServer(tmp_path / "bus", configuration=without_right(user, right))
    try:
        with pytest.raises(BusError) as caught:
            run(checked(server, user))
    finally:
        server.stop()
    assert caught.value.code == "SLU-121"
    assert missing in caught.value.fields["found"]
    assert caught.value.fields["user"] == user


def test_without_the_right_to_ask_for_its_rights_a_service_does_not_start(tmp_path: Path) -> None:
    server = GuardedServer(
        tmp_path / "bus", configuration=without_right("gate", "$SYS.REQ.USER.INFO")
    )
    try:
        with pytest.raises(BusError, match=r"\$sys\.req\.user\.info"):
            run(checked(server, "gate"))
    finally:
        server.stop()


def test_a_bus_that_asks_nobody_for_a_key_is_told_apart(nats_url: str) -> None:
    async def is_guarded() -> bool:
        connection = await connect("gate", BusConfig(url=nats_url))
        try:
            return await check_rights(connection, "gate", needed("gate"))
        finally:
            await connection.close()

    assert run(is_guarded()) is False


def test_a_question_to_a_service_that_is_not_there_fails_at_once(server: GuardedServer) -> None:
    async def ask() -> None:
        viewer = await server.connect("viewer")
        try:
            await viewer.request("query.gate", b"", timeout=5)
        finally:
            await viewer.close()

    with pytest.raises(NoRespondersError):
        run(ask())
