"""What the recorder's shell tells the recorder's core. Never on the bus."""

import msgspec

from schemas.base import Event


class RecordingMarked(Event, frozen=True, kw_only=True):
    """Messages are on the disk, in the chained journal."""

    recorded_count: int
    """Records in the journal, since its beginning."""

    chain_head: str
    """Hash of the newest of them."""


class Kept(msgspec.Struct, frozen=True):
    """The newest event of one publisher on one subject that is in the journal."""

    publisher: str
    subject: str
    seq: int


class RecordingLagged(Event, frozen=True, kw_only=True):
    """How many messages the streams hold that are not in the journal yet."""

    lag_count: int
    behind: dict[str, int]
    """By stream that has any: number of the newest of its messages that is in the journal."""

    newest: dict[str, int] = {}
    """By stream: number of the newest message that it held."""

    kept: tuple[Kept, ...] = ()
    """The newest that is in the journal of what is said all the time."""


class RecordingChanged(Event, frozen=True, kw_only=True):
    """Recording goes on, or cannot."""

    is_recording: bool
    code: str = ""
    """From the error registry, if it cannot."""

    detail: str = ""


class RecordsMissed(Event, frozen=True, kw_only=True):
    """A stream does not go on where the journal ends: messages are gone, or numbers used again."""

    stream: str
    expected_seq: int
    got_seq: int


class DurabilityRead(Event, frozen=True, kw_only=True):
    """Whether streams and server have the durable profile."""

    is_durable: bool
    detail: str


class AnchoringRead(Event, frozen=True, kw_only=True):
    """The newest checkpoint of the journal was told to the places outside, or could not be."""

    signed_count: int
    """Records up to the newest that is signed."""

    trouble: str = ""
    """What keeps a place from having it; empty if all have."""


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one publisher on one subject that are not in the record."""

    publisher: str
    """Its process, as `src` names it."""

    subject: str
    first_seq: int
    """By the publisher's count: the first that is missing."""

    last_seq: int
    missing_count: int
    """From the first to the last, but for those in between that are there."""


class HolesFound(Event, frozen=True, kw_only=True):
    """Events did not reach the record, as the counts say: payload of `record.hole` too."""

    holes: tuple[Hole, ...]
    unlisted_count: int = 0
    """Events missing on subjects beyond those listed."""
