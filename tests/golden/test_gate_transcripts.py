"""Gate scenarios that a trader can read; `pytest --rewrite` writes them anew.

`> ` is what the bus said, `< ` what the gate answered. A decision is shown as its headline, then
every number it read beside its limit; everything else as it goes over the wire.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from schemas.base import BootId, Event
from schemas.orders import OrderApproved, SignalDecided, SignalRaised
from schemas.wire import decode_kept, encode
from services.control import ControlGuard
from services.core import tell
from services.gate.core import GateCore
from tests.gate_rig import INSTRUMENTS, config, in_auto

TRANSCRIPTS = sorted(Path(__file__).parent.glob("gate_*.txt"))


def shown(event: Event) -> Iterator[str]:
    """Yield the lines of one answer."""
    match event:
        case SignalDecided():
            wish = f"{event.side} {event.quantity} {event.instrument}"
            yield f"{event.outcome} by {event.rule}: {event.signal_id}, {wish}"
            if event.detail:
                yield f"  {event.detail}"
            for each in event.readings:
                if each.value or not each.is_ok:
                    mark = "ok" if each.is_ok else "NO"
                    limit = f", limit {each.limit}" if each.limit else ""
                    yield f"  {mark} {each.check}: {each.value}{limit}"
        case OrderApproved(order=order, epoch=epoch):
            yield f"order {order.order_id}, epoch {epoch}, not after {order.expires_at_ns}"
        case _:
            yield encode(event).decode()


class Player:
    """A guard and a gate that have just booted."""

    def __init__(self) -> None:
        self.guard = ControlGuard("gate", BootId("gate-1"), "limits-1")
        self.gate = GateCore(config(), INSTRUMENTS, self.guard)

    def play(self, line: str) -> list[str]:
        """Return what is said to one `> ` line."""
        event = decode_kept(line[2:], where="transcript")
        if isinstance(event, SignalRaised):
            in_auto(self.gate, event.session)
        said: list[Event] = []
        for core in (self.guard, self.gate):
            if type(event) in core.hears:
                answers: Sequence[Event] = tell(core, event, event.at_ns)
                said += answers
        return [f"< {line}" for event in said for line in shown(event)]


def play(transcript: str) -> str:
    """Return the transcript with what the gate says below each `> ` line."""
    player, lines = Player(), []
    for line in transcript.splitlines():
        if not line.startswith("<"):
            lines.append(line)
        if line.startswith("> "):
            lines += player.play(line)
    return "\n".join(lines) + "\n"


@pytest.mark.req("G-08")
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_gate_answers_as_written(path: Path, request: pytest.FixtureRequest) -> None:
    written = path.read_text()
    played = play(written)
    if request.config.getoption("--rewrite"):
        path.write_text(played)
    else:
        assert played == written


def test_there_are_gate_transcripts_to_play() -> None:
    assert len(TRANSCRIPTS) >= 6, "the glob found nothing: the suite would pass by testing nothing"
