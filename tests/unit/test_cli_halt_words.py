"""`sluice halt` halts the system that is meant, whatever is odd about its arguments."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.restrictions import RestrictionRequested
from services.cli import __main__ as cli
from services.cli import halt as halting
from services.cli.exits import Exit
from services.cli.halt_words import halt_in_front, readable
from services.cli.locate import Place, RunningSystem, locate, system_file

B = Path("/b")
LATIN = b"h\xe4lt".decode("utf-8", "surrogateescape")

Asked = list[tuple[Place, str, str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Where a halt was sent, with its reason and who asked."""
    found: Asked = []

    async def _halt(place: Place, reason: str, operator: str) -> Exit:
        found.append((place, reason, operator))
        return Exit.OK

    monkeypatch.setattr(halting, "_halt", _halt)
    return found


@pytest.mark.req("O-02")
@pytest.mark.parametrize(
    ("arguments", "place", "reason"),
    [
        (["halt", "--data-dir", "/b", "--reason", "x"], Place(data_dir=B), "x"),
        (["halt", "--nope", "--data-dir", "/b", "x"], Place(data_dir=B), "--nope x"),
        (["halt", "--data-dir=/b", "--nope", "x"], Place(data_dir=B), "--nope x"),
        (["halt", "--nope", "--nats-url", "nats://b", "--reason=x"], None, "--nope x"),
        (["--data-dir", "/b", "halt", "x"], Place(data_dir=B), "x"),
        (["--data-dir", "halt", "halt", "x"], Place(data_dir=Path("halt")), "x"),
        (["--json", "halt", "x"], Place(as_json=True), "x"),
        (["--nope", "halt", "x"], Place(), "--nope x"),
        (["halt", "x", "--keys-dir", "/b"], Place(keys_dir=B), "x"),
    ],
)
def test_a_halt_goes_to_the_system_that_is_named_before_or_after_it(
    asked: Asked, arguments: list[str], place: Place | None, reason: str
) -> None:
    assert cli.run([*arguments, "--operator", "kim"]) == 0
    assert asked == [(place or Place(nats_url="nats://b"), reason, "kim")]


@pytest.mark.req("O-02")
def test_a_halt_whose_system_has_no_name_halts_what_is_found_and_does_not_exit_0(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["halt", "x", "--operator=kim", "--data-dir"]) == Exit.BAD_INPUT
    assert "another one meant? cannot use --data-dir" in capsys.readouterr().err
    assert cli.run(["halt", "x", "--operator=kim", "--data-dri", "/b"]) == Exit.BAD_INPUT
    assert "another one meant? cannot use --data-dri" in capsys.readouterr().err
    assert asked == [(Place(), "x", "kim"), (Place(), "x --data-dri /b", "kim")]


@pytest.mark.req("O-02")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help", "halt"],
        ["--version", "halt"],
        ["explain", "halt"],
        ["--json", "status", "halt"],
        ["status", "--nope", "halt"],
    ],
)
def test_the_word_halt_elsewhere_halts_nothing(asked: Asked, arguments: list[str]) -> None:
    assert halt_in_front(arguments) == arguments
    cli.run(arguments)
    assert asked == []


@pytest.mark.req("O-02")
def test_bytes_that_are_no_text_come_as_words_into_a_halt_and_do_not_keep_it(
    asked: Asked,
) -> None:
    assert cli.run(["halt", LATIN, "jetzt", "--operator", LATIN]) == 0
    assert asked == [(Place(), "h\\xe4lt jetzt", "h\\xe4lt")]
    assert readable("\ud800x") == "\\ud800x"


@pytest.mark.req("O-02")
def test_the_user_of_the_machine_may_be_no_text(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", LATIN)
    assert cli.run(["halt"]) == 0
    assert asked == [(Place(), "", "h\\xe4lt")]


@pytest.mark.req("O-02")
def test_a_halt_leaves_even_where_its_words_cannot() -> None:
    assert halting._payload("why", "kim") == b'{"reason":"why","operator":"kim"}'
    assert halting._payload(LATIN, "kim") == b""


@pytest.mark.req("O-02")
def test_a_scope_is_kept_where_the_options_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    async def restrict(place: Place, request: RestrictionRequested) -> Exit:
        found.append((place, request.scope, request.reason))
        return Exit.OK

    monkeypatch.setattr(halting, "restrict", restrict)
    assert cli.run(["--scope", "symbol.sim.A", "--data-dir=/b", "halt", "--reason", "x"]) == 0
    assert found == [(Place(data_dir=B), "symbol.sim.A", "x")]


@pytest.mark.req("O-01")
def test_a_wrong_option_is_json_under_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", "--nope", "--json"]) == Exit.BAD_INPUT
    error = json.loads(capsys.readouterr().err)["error"]
    assert (error["code"], "--nope" in error["message"]) == ("SLU-103", True)


@pytest.mark.req("O-02")
def test_a_data_folder_that_is_named_is_above_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = RunningSystem(
        nats_url="nats://b:1",
        keys_dir=tmp_path / "keys",
        monitor_url="",
        data_dir=tmp_path,
        supervisor_pid=os.getpid(),
        started_ns=1,
        config=tmp_path / "sluice.toml",
    )
    (tmp_path / "keys").mkdir()
    (tmp_path / "other").mkdir()
    system_file(tmp_path).parent.mkdir()
    system_file(tmp_path).write_bytes(msgspec.json.encode(system, enc_hook=str))
    monkeypatch.setenv("SLUICE_BUS__URL", "nats://a:1")
    monkeypatch.setenv("SLUICE_BUS__KEYS_DIR", str(tmp_path / "other"))
    named, unnamed = locate(Place(data_dir=tmp_path)), locate(Place())
    assert (named.url, named.keys_dir) == ("nats://b:1", tmp_path / "keys")
    assert (unnamed.url, unnamed.keys_dir) == ("nats://a:1", tmp_path / "other")
