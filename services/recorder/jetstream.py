"""The few requests to JetStream that the recorder makes, as the server's API defines them."""

import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, NamedTuple

import msgspec
from nats.aio.client import Client

from schemas.base import NS_PER_S
from schemas.errors import BusError
from schemas.streams import StreamSpec
from services.recorder import profile
from services.recorder.config import RecorderConfig
from services.recorder.profile import differences, stream_config, wanted_streams, weaknesses

REQUEST_S = 2.0
NOT_FOUND = 404
LOOK_S, MAX_STORE = 0.5, "max_storage"
STORE_PART_MAX = 0.9
"""Of what JetStream may hold. What comes when it is full is refused, and no publisher is told: it
publishes as on any subject, and waits for no answer."""

INACTIVE_NS = 30 * NS_PER_S
"""A consumer that nobody asks for so long is removed by the server."""

ACK_WAIT_NS = 60 * NS_PER_S
"""What was not acknowledged for so long is sent again, which opens everything anew."""


class Start(NamedTuple):
    """Where a consumer begins."""

    seq: int
    after_ns: int = 0
    """If not 0: with what was stored after this time instead, in ns since the epoch."""


class JetStreamError(BusError):
    """The server answered a request with an error.

    Attributes:
        status: the HTTP-like number it gave.
    """

    def __init__(self, subject: str, error: dict[str, Any]) -> None:
        self.status = int(error.get("code", 0))
        super().__init__(
            "SLU-122",
            subject=subject,
            found=f"{error.get('description', 'refused')} ({error.get('err_code', self.status)})",
        )


async def request(connection: Client, call: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one call of the JetStream API.

    Raises:
        JetStreamError: the server says no.
        nats.errors.Error: the server cannot be reached in time.
    """
    subject = f"$JS.API.{call}"
    message = await connection.request(subject, msgspec.json.encode(body), timeout=REQUEST_S)
    answer: dict[str, Any] = msgspec.json.decode(message.data)
    if "error" in answer:
        raise JetStreamError(subject, answer["error"])
    return answer


async def ensure_stream(connection: Client, spec: StreamSpec, config: RecorderConfig) -> list[str]:
    """Make the stream if it is missing; return in what it is weaker than it should be.

    It is not mended here: whoever records what is done must not be able to change what is kept.

    Raises:
        JetStreamError: it is missing and cannot be made.
        nats.errors.Error: the server cannot be reached in time.
    """
    wanted = stream_config(spec, config)
    found = await found_stream(connection, spec)
    if found is None:
        answer = await request(connection, f"STREAM.CREATE.{spec.name}", wanted)
        found = answer["config"]
    return weaknesses(found, wanted)


async def kept_longer(connection: Client, config: RecorderConfig) -> list[str]:
    """Return which streams keep messages beyond the age of their policy, in words.

    Those made by an older release know no age. They are no less durable, so nothing waits for it.

    Raises:
        JetStreamError: the server says no.
        nats.errors.Error: the server cannot be reached in time.
    """
    told: list[str] = []
    for spec in wanted_streams(config):
        found = await found_stream(connection, spec)
        if found is not None:
            told += profile.kept_longer(found, stream_config(spec, config))
    return told


async def found_stream(connection: Client, spec: StreamSpec) -> dict[str, Any] | None:
    """Return how the stream is configured; None if there is none.

    Raises:
        JetStreamError: the server says no.
        nats.errors.Error: the server cannot be reached in time.
    """
    try:
        answer = await request(connection, f"STREAM.INFO.{spec.name}", {})
    except JetStreamError as refused:
        if refused.status == NOT_FOUND:
            return None
        raise
    config: dict[str, Any] = answer["config"]
    return config


async def mend_stream(connection: Client, spec: StreamSpec, config: RecorderConfig) -> list[str]:
    """Bring a stream that exists to what is configured; return what stays otherwise.

    Raises:
        JetStreamError: the server says no to asking for it.
        nats.errors.Error: the server cannot be reached in time.
    """
    wanted = stream_config(spec, config)
    found = await found_stream(connection, spec)
    if found is None or not differences(found, wanted):
        return []
    strange = profile.others(found, wanted)
    refusals: dict[str, None] = {}
    # Some cannot be changed once a stream exists; that must not keep the rest from being changed.
    for reset in (strange, *([each] for each in strange), []):
        body = {name: value for name, value in found.items() if name not in reset} | wanted
        try:
            found = (await request(connection, f"STREAM.UPDATE.{spec.name}", body))["config"]
        except JetStreamError as refused:
            refusals[str(refused.fields["found"])] = None
        left = differences(found, wanted)
        if not left:
            return []
    return [*left, *refusals]


async def create_consumer(
    connection: Client, stream: str, name: str, start: Start, *, unacknowledged_max: int
) -> None:
    """Make a consumer that delivers everything from `start` on, in order, once.

    It is acknowledged what is synced to our own disk (one word for all up to there), and sends no
    more than `unacknowledged_max` beyond. Where to go on after a crash the journal says all the
    same, and a new consumer begins there: one that was remembered by the server would deliver
    what is new first, and what was on its way a while later.

    Raises:
        JetStreamError: the server says no.
        nats.errors.Error: the server cannot be reached in time.
    """
    config: dict[str, Any] = {
        "name": name,
        "ack_policy": "all",
        "ack_wait": ACK_WAIT_NS,
        "max_ack_pending": unacknowledged_max,
        "replay_policy": "instant",
        "inactive_threshold": INACTIVE_NS,
        "mem_storage": True,
        "num_replicas": 1,
    }
    if start.after_ns:
        second, nanosecond = divmod(start.after_ns + 1, NS_PER_S)
        moment = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        config |= {
            "deliver_policy": "by_start_time",
            "opt_start_time": f"{moment}.{nanosecond:09d}Z",
        }
    else:
        config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": start.seq}
    body = {"stream_name": stream, "config": config}
    await request(connection, f"CONSUMER.CREATE.{stream}.{name}", body)


async def stored_ns(connection: Client, stream: str, seq: int) -> int | None:
    """Return when the server stored a message, in ns since the epoch; None if it has none there.

    Raises:
        JetStreamError: the server says no.
        nats.errors.Error: the server cannot be reached in time.
    """
    try:
        found = await request(connection, f"STREAM.MSG.GET.{stream}", {"seq": seq})
    except JetStreamError as error:
        if error.status == NOT_FOUND:
            return None
        raise
    moment, _, fraction = found["message"]["time"].rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{moment}+00:00").timestamp())
    return seconds * NS_PER_S + int(fraction.ljust(9, "0"))


async def last_seq(connection: Client, stream: str) -> int:
    """Return the sequence of the newest message of a stream.

    Raises:
        JetStreamError: the server says no.
        nats.errors.Error: the server cannot be reached in time.
    """
    found = await request(connection, f"STREAM.INFO.{stream}", {})
    return int(found["state"]["last_seq"])


def read_servers(monitor_urls: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """Return, by address, what each server says of its own configuration; None: it did not say.

    Blocks for up to two seconds each: call it off the event loop.
    """
    return {each: read_varz(each) for each in monitor_urls}


def read_varz(monitor_url: str) -> dict[str, Any] | None:
    """Return what the server says of its own configuration; None if it cannot be asked.

    Blocks for up to two seconds: call it off the event loop.
    """
    return _read(monitor_url, "varz", REQUEST_S)


def why_full(monitor_urls: Sequence[str]) -> str:
    """Return why a server will soon store no more, in words; empty while none says so.

    Blocks for up to half a second each: call it off the event loop.
    """
    for each in monitor_urls:
        found = _read(each, "jsz", LOOK_S) or {}
        held_bytes, most_bytes = found.get("storage", 0), found.get("config", {}).get(MAX_STORE, 0)
        if held_bytes > STORE_PART_MAX * most_bytes > 0:
            return (
                f"the streams of the server at {each} hold {held_bytes} of {most_bytes} bytes, and "
                "beyond these what is published is lost: raise max_file_store, and restart it"
            )
    return ""


def _read(monitor_url: str, page: str, timeout_s: float) -> dict[str, Any] | None:
    if not monitor_url.startswith(("http://", "https://")):
        return None
    try:
        address = f"{monitor_url.rstrip('/')}/{page}"
        with urllib.request.urlopen(address, timeout=timeout_s) as answer:
            return msgspec.json.decode(answer.read(), type=dict[str, Any])
    except (OSError, HTTPException, ValueError, msgspec.MsgspecError):
        return None
