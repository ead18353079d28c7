"""Clients at their own doors, over real sockets: there, let in, right endpoint, within rates."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import InstrumentId, SessionId
from schemas.control import TradingState
from schemas.executions import BookReported
from schemas.health import GateReported, RecorderReported
from schemas.prerequisites import Check
from schemas.results import BacktestResult, Figures, PaperDay, StrategyTerms
from services.bench.open_limits import open_limits
from services.executor.config import VenueConfig
from services.executor.venues.paper_server import PaperServer
from services.executor.venues.protocol import write_address
from services.prerequisites.clients import client_checks
from services.prerequisites.config import ClientTerms, Endpoint, LiveConfig, Mode
from services.prerequisites.gather import Sources, gathered
from services.repository.config import RepositoryConfig, opened
from services.repository.kinds import BACKTESTS, PAPER_DAYS
from services.venue_door import Address, Hello, Welcome, address_file
from tests.builders import ACCOUNT, S_NS, dec

TOKEN = "the right one"


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


@asynccontextmanager
async def door(welcome: Welcome, asked: list[Hello] | None = None) -> AsyncIterator[int]:
    """Serve a venue's door that answers so to who knows the token; yield its port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = msgspec.json.decode(await reader.readline(), type=Hello)
        if asked is not None:
            asked.append(hello)
        is_known = hello.token == TOKEN
        said = welcome if is_known else Welcome(is_ok=False, detail="another token")
        writer.write(msgspec.json.encode(said) + b"\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


PRODUCTION = Welcome(is_ok=True, environment="production", requests_per_s_max=20)


def client(folder: Path, port: int, token: str = TOKEN, **fields: Any) -> LiveConfig:
    """Return a live configuration with one client that `ema_cross` needs."""
    file = folder / "token"
    file.write_text(token)
    file.chmod(0o600)
    whole: dict[str, Any] = {"endpoint": Endpoint.PRODUCTION, "requests_per_s": 10} | fields
    terms = ClientTerms(host="127.0.0.1", port=port, token_file=str(file), **whole)
    return LiveConfig(
        mode=Mode.LIVE, account=ACCOUNT, clients={"main": terms}, strategies={"*": ("main",)}
    )


def missing(checks: tuple[Check, ...]) -> dict[str, tuple[str, str]]:
    return {each.name: (each.found, each.needed) for each in checks if not each.is_ok}


@pytest.mark.req("S-06")
def test_a_client_that_answers_lets_in_and_is_what_it_should_be_stands(tmp_path: Path) -> None:
    async def test() -> None:
        asked: list[Hello] = []
        async with door(PRODUCTION, asked) as port:
            checks = await client_checks("ema_cross", client(tmp_path, port), tmp_path)
        assert [each.name for each in checks] == [
            "client.main.endpoint",
            "client.main.reachable",
            "client.main.authenticated",
            "client.main.said_endpoint",
            "client.main.rate",
        ]
        assert missing(checks) == {}
        assert [hello.client for hello in asked] == ["probe"]

    run(test())


@pytest.mark.req("S-06")
@pytest.mark.parametrize(
    ("welcome", "fields", "name", "found"),
    [
        (PRODUCTION, {"token": "a wrong one"}, "authenticated", "another token"),
        (PRODUCTION, {"requests_per_s": 21}, "rate", "we send 21 a second"),
        (Welcome(is_ok=True, environment="testnet"), {}, "said_endpoint", "testnet"),
        (Welcome(is_ok=True), {}, "said_endpoint", "it did not say"),
    ],
)
def test_each_thing_that_is_wrong_with_a_client_is_named(
    tmp_path: Path, welcome: Welcome, fields: dict[str, Any], name: str, found: str
) -> None:
    async def test() -> None:
        async with door(welcome) as port:
            checks = await client_checks("ema_cross", client(tmp_path, port, **fields), tmp_path)
        [(failed, (said, _))] = missing(checks).items()
        assert (failed, said) == (f"client.main.{name}", found)

    run(test())


@pytest.mark.req("S-06")
def test_a_client_that_is_not_there_is_not_reachable(tmp_path: Path) -> None:
    async def test() -> None:
        async with door(PRODUCTION) as port:
            pass
        checks = await client_checks("ema_cross", client(tmp_path, port), tmp_path)
        assert list(missing(checks)) == ["client.main.reachable"]

    run(test())


@pytest.mark.req("S-06")
def test_a_client_that_never_answers_fails_in_time(tmp_path: Path) -> None:
    async def test() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            live = client(tmp_path, server.sockets[0].getsockname()[1])
            live = msgspec.structs.replace(live, client_timeout_ms=100)
            checks = await client_checks("ema_cross", live, tmp_path)
        assert missing(checks)["client.main.reachable"][0].endswith("no answer in 0.1 s")

    run(test())


@pytest.mark.req("S-06")
@pytest.mark.parametrize(
    ("mode", "endpoint"),
    [(Mode.PAPER, Endpoint.PRODUCTION), (Mode.LIVE, Endpoint.TESTNET), (Mode.LIVE, Endpoint.PAPER)],
)
def test_no_test_talks_to_production_nor_the_reverse_not_one_byte(
    tmp_path: Path, mode: Mode, endpoint: Endpoint
) -> None:
    async def test() -> None:
        asked: list[Hello] = []
        async with door(PRODUCTION, asked) as port:
            live = client(tmp_path, port, endpoint=endpoint)
            live = msgspec.structs.replace(live, mode=mode)
            checks = await client_checks("ema_cross", live, tmp_path)
        assert list(missing(checks)) == ["client.main.endpoint"]
        assert asked == []

    run(test())


@pytest.mark.req("S-06")
def test_a_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    async def test() -> None:
        live = client(tmp_path, 1)
        (tmp_path / "token").chmod(0o644)
        checks = await client_checks("ema_cross", live, tmp_path)
        assert missing(checks)["client.main.reachable"][0].endswith("(mode 644)")

    run(test())


@pytest.mark.req("S-06")
def test_a_live_strategy_that_names_no_client_or_an_unknown_one_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        none = LiveConfig(mode=Mode.LIVE, account=ACCOUNT)
        assert list(missing(await client_checks("ema_cross", none, tmp_path))) == ["clients"]
        lost = msgspec.structs.replace(none, strategies={"ema_cross": ("main",)})
        assert list(missing(await client_checks("ema_cross", lost, tmp_path))) == ["client.main"]

    run(test())


@pytest.mark.req("S-06")
def test_the_paper_exchange_answers_a_probe_and_keeps_its_executor(tmp_path: Path) -> None:
    async def test() -> None:
        server = PaperServer(VenueConfig(), address_file(tmp_path))
        await server.open(lambda *events: None)
        try:
            address = msgspec.json.decode(address_file(tmp_path).read_bytes(), type=Address)
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(msgspec.json.encode(Hello(token=address.token)) + b"\n")
            assert msgspec.json.decode(await reader.readline(), type=Welcome).is_ok
            paper = LiveConfig(clients={"main": ClientTerms()}, strategies={"*": ("main",)})
            checks = await client_checks("ema_cross", paper, tmp_path)
            assert missing(checks) == {}
            assert not reader.at_eof(), "a probe takes nobody's place"
            assert server._client is not None
            writer.close()
        finally:
            await server.close()

    run(test())


# all of it together

TERMS = StrategyTerms(
    strategy="ema_cross",
    strategy_version="v1",
    parameters={},
    instruments=(InstrumentId("sim:ALPHA"),),
)


async def fill(repository: RepositoryConfig, folder: Path) -> None:
    store = await opened(repository, folder)
    figures = Figures(initial_capital=dec(1_000), sharpe=1.5)
    result = BacktestResult(terms=TERMS, data_hash="d", from_ns=0, to_ns=1, figures=figures)
    days = [
        PaperDay(
            terms=TERMS,
            session=SessionId("ema_cross-1"),
            account=ACCOUNT,
            day=f"2026-11-0{number}",
            from_ns=number,
            to_ns=number + 7 * 3_600 * S_NS,
            up_ns=7 * 3_600 * S_NS,
            reconciled_count=1,
        )
        for number in range(1, 6)
    ]
    await store.put(BACKTESTS.row(result), *(PAPER_DAYS.row(day) for day in days))
    await store.close()


async def healthy(service: str, kind: type[Any]) -> Any:
    """Answer as services do in which nothing is wrong."""
    limits = msgspec.to_builtins(open_limits(ACCOUNT))
    return {
        "gate": GateReported(
            at_ns=0,
            trading_state=TradingState.HALTED,
            epoch=0,
            limits_hash="",
            decided_count=0,
            approved_count=0,
            rejected_by_rule={},
            exposure={},
            limits=limits,
        ),
        "executor": BookReported(at_ns=0, account=ACCOUNT, is_reconciled=True),
        "recorder": RecorderReported(
            at_ns=0, is_durable=True, detail="synced", recorded_count=0, lag_count=0
        ),
    }[service]


async def nobody(service: str, kind: type[Any]) -> Any:
    return None


def sources(live: LiveConfig, folder: Path) -> Sources:
    return Sources(
        live=live,
        repository=RepositoryConfig(),
        data_dir=folder,
        account=ACCOUNT,
        environment="prod",
        profile="moderate",
    )


@pytest.mark.req("S-05")
def test_with_a_real_venue_and_all_that_was_stored_every_check_stands(tmp_path: Path) -> None:
    async def test() -> None:
        await fill(RepositoryConfig(), tmp_path)
        async with door(PRODUCTION) as port:
            write_address(address_file(tmp_path), Address(host="127.0.0.1", port=port, token=TOKEN))
            live = client(tmp_path, port)
            checks = await gathered("ema_cross", "v1", sources(live, tmp_path), healthy)
        assert missing(checks) == {}
        assert len(checks) == 13

    run(test())


@pytest.mark.req("S-05")
def test_a_stored_backtest_of_other_parameters_is_none_of_this_start(tmp_path: Path) -> None:
    async def test() -> None:
        await fill(RepositoryConfig(), tmp_path)
        live = LiveConfig(mode=Mode.LIVE, account=ACCOUNT)
        found: list[bool] = []
        for parameters in (TERMS.parameters, TERMS.parameters | {"slow": 77}):
            started = msgspec.structs.replace(TERMS, parameters=parameters)
            where = sources(live, tmp_path)
            checks = await gathered("ema_cross", "v1", where, healthy, started)
            found += [each.is_ok for each in checks if each.name == "backtest_sharpe"]
        assert found == [True, False]

    run(test())


@pytest.mark.req("S-05")
def test_of_the_paper_exchange_a_live_start_says_that_an_adapter_is_missing(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        await fill(RepositoryConfig(), tmp_path)
        server = PaperServer(VenueConfig(), address_file(tmp_path))
        await server.open(lambda *events: None)
        try:
            live = LiveConfig(mode=Mode.LIVE, account=ACCOUNT)
            checks = await gathered("ema_cross", "v1", sources(live, tmp_path), healthy)
        finally:
            await server.close()
        assert missing(checks)["order_venue"] == (
            "paper",
            "production: an adapter that sends orders to a real venue",
        )

    run(test())


@pytest.mark.req("S-05")
def test_where_nobody_answers_nothing_stands(tmp_path: Path) -> None:
    async def test() -> None:
        live = LiveConfig(mode=Mode.LIVE, account=ACCOUNT)
        silent = msgspec.structs.replace(sources(live, tmp_path), profile="")
        checks = await gathered("ema_cross", "", silent, nobody)
        assert [each.name for each in checks if each.is_ok] == []

    run(test())
