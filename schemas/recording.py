"""What the recorder's shell tells the recorder's core. Never on the bus."""

from schemas.base import Event


class RecordingMarked(Event, frozen=True, kw_only=True):
    """Messages are on the disk, in the chained journal."""

    recorded_count: int
    """Records in the journal, since its beginning."""

    chain_head: str
    """Hash of the newest of them."""


class RecordingLagged(Event, frozen=True, kw_only=True):
    """How many messages the streams hold that are not in the journal yet."""

    lag_count: int
    behind: dict[str, int]
    """By stream that has any: number of the newest of its messages that is in the journal."""


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
