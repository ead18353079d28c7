"""Control scenarios that an operator can read; `pytest --rewrite` writes them anew."""

from collections import deque
from pathlib import Path

import pytest

from schemas.base import Event
from schemas.wire import decode_kept, encode
from services.breaker.control_log import ControlLog
from services.core import tell
from tests.breaker_rig import only
from tests.control_rig import breaker_core

TRANSCRIPTS = sorted(Path(__file__).parent.glob("control_*.txt"))


class Player:
    """A breaker core and a control stream; what the stream answers is told at once."""

    def __init__(self) -> None:
        self.core = breaker_core(only("drawdown", ("0.10", "halt")))
        self.log = ControlLog()

    def play(self, line: str) -> list[str]:
        """Return what is said to one `> ` line."""
        first = decode_kept(line[2:], where="transcript")
        queue: deque[Event] = deque([first])
        lines: list[str] = []
        while queue:
            event = queue.popleft()
            if type(event) in self.log.hears:
                queue.extend(self.log.handle(event, first.at_ns))
            if type(event) in self.core.hears:
                for said in tell(self.core, event, first.at_ns):
                    lines.append(f"< {encode(said).decode()}")
                    if type(said) in self.log.hears:
                        queue.extend(self.log.handle(said, first.at_ns))
        return lines


def play(transcript: str) -> str:
    """Return the transcript with what the breaker service says below each `> ` line."""
    player, lines = Player(), []
    for line in transcript.splitlines():
        if not line.startswith("<"):
            lines.append(line)
        if line.startswith("> "):
            lines += player.play(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_breaker_service_answers_as_written(path: Path, request: pytest.FixtureRequest) -> None:
    written = path.read_text()
    played = play(written)
    if request.config.getoption("--rewrite"):
        path.write_text(played)
    else:
        assert played == written


def test_there_are_control_transcripts_to_play() -> None:
    assert len(TRANSCRIPTS) >= 3, "the glob found nothing: the suite would pass by testing nothing"
