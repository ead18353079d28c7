"""The log: one JSON object a line, and never a secret in it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import BusError, UserError
from schemas.masking import MASK, masked
from services.runtime.log import configure, file_logger, mask_secrets

SEED = "SUAKYRHVIOREXV7EUZTBHUHL7NUMHPMAS7QMDU3GTIUWEI5LDNOXD43IZY"


def lines_of(program: str, **environment: str) -> list[dict[str, Any]]:
    """Return what a process logs: the log is a property of a whole process."""
    head = "from services.runtime.log import configure, logger\nconfigure('gate', 'b1')\n"
    done = subprocess.run(
        [sys.executable, "-c", head + program],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b""
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.req("O-03")
def test_every_line_is_json_and_names_its_process() -> None:
    [line] = lines_of("logger().warning('it happened', found=3)")
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "it happened",
        "found": 3,
        "level": "warning",
        "service": "gate",
        "boot_id": "b1",
    }


def test_lines_of_libraries_and_of_threads_look_the_same() -> None:
    [library, thread] = lines_of(
        "import logging, threading\n"
        "logging.getLogger('nats').warning('slow %s', 'consumer')\n"
        "thread = threading.Thread(target=lambda: logger().info('from a thread'))\n"
        "thread.start(); thread.join()"
    )
    assert (library["event"], library["library"], library["service"]) == (
        "slow consumer",
        "nats",
        "gate",
    )
    assert (thread["event"], thread["service"]) == ("from a thread", "gate")


def test_a_failure_carries_its_traceback_in_the_same_line() -> None:
    [line] = lines_of("try:\n  1/0\nexcept Exception: logger().exception('broke')")
    assert (line["event"], line["level"]) == ("broke", "error")
    assert "ZeroDivisionError" in line["exception"]


@pytest.mark.parametrize("variable", ["SLUICE_LOG_LEVEL", "BASIS_LOG_LEVEL"])
@pytest.mark.req("S-12")
def test_the_environment_sets_the_level(variable: str) -> None:
    program = "logger().warning('no')\nlogger().error('yes')"
    assert [line["event"] for line in lines_of(program, **{variable: "error"})] == ["yes"]


@pytest.mark.req("O-03")
def test_a_logger_into_a_file_of_its_own_has_the_same_form(tmp_path: Path) -> None:
    path = tmp_path / "log" / "supervisor.log"
    log = file_logger("supervisor", "b1", path)
    log.debug("not shown")
    log.warning("gate ended", process="gate", found=f"at {SEED}")
    line = json.loads(path.read_bytes())
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "gate ended",
        "process": "gate",
        "found": f"at {MASK}",
        "level": "warning",
        "service": "supervisor",
        "boot_id": "b1",
    }


def test_an_unknown_level_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_LOG_LEVEL", "LOUD")
    with pytest.raises(UserError, match="SLUICE_LOG_LEVEL"):
        configure("gate", "b1")


@pytest.mark.req("A-05")
def test_what_looks_like_a_secret_is_masked_at_any_depth() -> None:
    line = {
        "event": f"key {SEED} read",
        "smtp_password": "hunter2",
        "password": "",
        "gate_token": 7,
        "url": "nats://kim:hunter2@host:4222",
        "fields": {"nkey_seed": SEED, "list": ["Bearer abc", 1, None]},
        "error": ValueError(SEED),
        "apikey": "hunter2",
        "passphrase": "hunter2",
        "token": "hunter2",
    }
    assert mask_secrets(None, "", line) == {
        "event": f"key {MASK} read",
        "smtp_password": MASK,
        "password": "",
        "gate_token": 7,
        "url": f"nats://{MASK}@host:4222",
        "fields": {"nkey_seed": MASK, "list": [f"Bearer {MASK}", 1, None]},
        "error": MASK,
        "apikey": MASK,
        "passphrase": MASK,
        "token": MASK,
    }


@pytest.mark.req("A-05")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nats://kim:p@ss@host:4222/x", f"nats://{MASK}@host:4222/x"),
        ("nats://token@host:4222", f"nats://{MASK}@host:4222"),
        ('{"a":"nats://host:4222","to":"kim@host"}', '{"a":"nats://host:4222","to":"kim@host"}'),
        ("-----BEGIN PRIVATE KEY-----\nMC4\n-----END PRIVATE KEY-----\n", f"{MASK}\n"),
        (f"key k{'0a' * 32}", f"key {MASK}"),
        ("AGE-SECRET-KEY-1QQ", MASK),
        (f"hash {'0a' * 32}", f"hash {'0a' * 32}"),
    ],
)
def test_every_form_of_secret_is_masked_and_nothing_else(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.req("A-05")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("login password=hunter2 as kim", f"login password={MASK} as kim"),
        ("(smtp_password=hunter2), again", f"(smtp_password={MASK}), again"),
        ("passphrase = 'hunter 2' read", f"passphrase = '{MASK}' read"),
        ("token=hunter2", f"token={MASK}"),
        ("apikey=hunter2; API_KEY=hunter2", f"apikey={MASK}; API_KEY={MASK}"),
        ("https://host/x?auth_token=hunter2&n=1", f"https://host/x?auth_token={MASK}&n=1"),
        (repr({"password": "hunter2", "n": 1}), repr({"password": MASK, "n": 1})),
        (r"{\"token\":\"hunter2\"}", rf"{{\"token\":\"{MASK}" + '"}'),
        ("Authorization: Basic a2ltOng=", f"Authorization: Basic {MASK}"),
        ("{'authorization': 'bearer hunter2'}", f"{{'authorization': 'bearer {MASK}'}}"),
        ("nats://kim:hun/ter2@host:4222/x", f"nats://{MASK}@host:4222/x"),
        ("nats://kim:p@ss/w@rd@host:4222", f"nats://{MASK}@host:4222"),
        ("postgres://kim:12/34@host", f"postgres://{MASK}@host"),
        ("nats://a:4222,nats://kim:x@b:4222", f"nats://a:4222,nats://{MASK}@b:4222"),
        (
            "https://hooks.slack.com/services/T0/B0/x1: 404",
            f"https://hooks.slack.com/services/{MASK}: 404",
        ),
        ("https://discord.com/api/webhooks/1/a-B_c", f"https://discord.com/api/webhooks/{MASK}"),
        ("discordapp.com/api/v10/webhooks/1/x", f"discordapp.com/api/v10/webhooks/{MASK}"),
    ],
)
def test_a_secret_that_something_before_it_names_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert mask_secrets(None, "", {"event": text}) == {"event": shown}


@pytest.mark.req("A-05")
@pytest.mark.parametrize(
    "text",
    [
        "token bucket",
        "pass: 3 of 4",
        "gate_token=7",
        "max_tokens=5",
        "token == other",
        "password: none is needed",
        "the password= of the mail server",
        "Authorization: pending",
        "https://host:8080/a@v2",
        "https://example.com/@kim:x@y",
        "nats://host:4222 for kim@host",
        "hooks.slack.com/services/",
    ],
)
def test_ordinary_text_that_resembles_a_secret_is_not_masked(text: str) -> None:
    assert masked(text) == text


@pytest.mark.req("A-05")
def test_an_error_masks_what_it_names() -> None:
    error = BusError("SLU-122", url="nats://kim:hunter2@host:4222", found=SEED)
    assert error.fields == {"url": f"nats://{MASK}@host:4222", "found": MASK}
    assert "hunter2" not in str(error)
