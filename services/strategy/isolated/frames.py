"""What goes over the socket between the session manager and a session's process.

A frame is four bytes of length and JSON. The process answers each frame with one frame.
"""

import struct
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId
from schemas.control import StartRequest
from schemas.errors import FieldError
from schemas.instruments import Instrument
from schemas.orders import CancelRequested, SignalRaised
from schemas.sessions import StateRemembered
from services.strategy.config import StrategyConfig

HEAD = struct.Struct("<I")
FRAME_BYTES_MAX = 16 << 20
"""Largest frame to a process: the history of a long session."""

ANSWER_BYTES_MAX = 1 << 20
"""Largest answer that is read; a longer one breaks the rules."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame: what the process is for."""

    config: StrategyConfig
    account: AccountId
    instruments: list[Instrument]
    memory_mb_max: int
    strategy: str
    request: StartRequest | None = None
    """To be checked; without it, and without a history, the strategy is only loaded."""

    history: tuple[str, ...] = ()
    """Of the session that is to run; empty where none is."""

    is_again: bool = False
    """Whether the session ran before, in another process."""

    now_ns: int = 0
    currency_values: dict[str, Decimal] | None = None
    """What one unit of each currency is worth in the account's; None: all are the account's."""

    is_confined: bool = True


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A frame to a running session."""

    now_ns: int
    hook: str
    is_trading: bool
    event_json: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a process that loaded a strategy, or checked a start."""

    wanted: tuple[str, ...] = ()
    parameters: dict[str, Any] | None = None
    version: str = ""
    errors: tuple[FieldError, ...] = ()


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a running session."""

    said: tuple[SignalRaised | CancelRequested, ...] = ()
    wake_at_ns: int | None = None
    remembered: tuple[StateRemembered, ...] = ()
    """What its strategy wants to be kept."""

    lacks: str = ""
    """What its strategy cannot go on without, after a restart."""

    error: str = ""
    """What its strategy raised; the session is over then."""

    where: str = ""


def framed(message: msgspec.Struct) -> bytes:
    """Return the message as one frame."""
    data = msgspec.json.encode(message)
    return HEAD.pack(len(data)) + data


class Reader:
    """Cuts what arrives into frames."""

    def __init__(self, bytes_max: int) -> None:
        self._held = bytearray()
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that are complete now.

        Raises:
            ValueError: a frame is larger than it may be.
        """
        self._held += data
        frames: list[bytes] = []
        while len(self._held) >= HEAD.size:
            [size] = HEAD.unpack_from(self._held)
            if size > self._bytes_max:
                raise ValueError(f"a frame of {size} bytes, at most {self._bytes_max}")
            end = HEAD.size + size
            if len(self._held) < end:
                break
            frames.append(bytes(self._held[HEAD.size : end]))
            del self._held[:end]
        return frames
