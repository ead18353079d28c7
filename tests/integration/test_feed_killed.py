"""A feed that is killed (SIGKILL) right after a halt says the halt first when it comes back."""

from pathlib import Path

import pytest

from schemas.market import InstrumentStatusChanged, QuoteReceived, Trading
from tests.builders import MS_NS, S_NS
from tests.bus import run
from tests.integration.feed_process import feed_process
from tests.integration.test_feed_live import settings, watcher

pytestmark = pytest.mark.req("G-05", "O-04")

T_NS = 1_700_000_000 * S_NS
HALT_MS = 200


def write_recording(folder: Path) -> Path:
    """Write quotes each 20 ms for a minute, and a halt that comes before any mark by the clock."""
    folder.mkdir()
    quotes = [f"{T_NS + n * 20 * MS_NS},nyse:IBM,99,5,100,5\n" for n in range(3_000)]
    header = "time,instrument,bid,bid_size,ask,ask_size\n"
    (folder / "quotes.csv").write_text(header + "".join(quotes))
    halt = f"{T_NS + HALT_MS * MS_NS},nyse:IBM,halted,news\n"
    (folder / "status.csv").write_text("time,instrument,trading,reason\n" + halt)
    return folder


def test_the_halt_is_what_it_says_first(tmp_path: Path, nats_url: str) -> None:
    source = f"replay:{write_recording(tmp_path / 'tape')}"
    config = settings(tmp_path, nats_url, source=source, speed="1x", waits_for_start=False)

    async def main() -> tuple[list[Trading], list[Trading]]:
        async with watcher(nats_url) as bus:

            def statuses() -> list[Trading]:
                found = bus.of_kind(InstrumentStatusChanged)
                return [each.trading for each in found if isinstance(each, InstrumentStatusChanged)]

            with feed_process(config) as first:
                await bus.until(InstrumentStatusChanged, 2)
                first.kill()
                first.wait(timeout=5)
            before = statuses()
            quote_count = len(bus.of_kind(QuoteReceived))
            with feed_process(config):
                await bus.until(InstrumentStatusChanged, 3)
                await bus.until(QuoteReceived, quote_count + 1)
        return before, statuses()[len(before) :]

    before, after = run(main())
    assert before == [Trading.OPEN, Trading.HALTED]
    assert set(after) == {Trading.HALTED}
