"""Run the feed: `python -m services.feed --config run/config.json`."""

from nats.errors import Error, NoRespondersError

from schemas.base import NS_PER_MS, NS_PER_S
from schemas.errors import UserError
from schemas.subjects import QUERY
from services.feed.config import FeedConfig
from services.feed.core import FeedCore, FeedPlan
from services.feed.opening import open_source
from services.feed.playback import Ask, Playback
from services.feed.scanner import Scanner
from services.feed.source import Source
from services.runtime.serve import Context, Service, serve

BARS_UNTIL_STALE = 3
"""Bars that may be missing before the instrument of a bar recording is stale."""


def build(context: Context) -> Service:
    """Return the feed service: its core, and the player of its source.

    Raises:
        UserError: the source cannot be opened.
    """
    config = context.settings.section("feed", FeedConfig)
    source = open_source(config.source, config)
    core = FeedCore(
        plan_of(config, source, _run(context)), Scanner(config.scanner, source.instruments())
    )
    playback = Playback(
        source,
        config,
        clock=context.clock,
        ask=_ask(context, config.sync_timeout_ms / 1_000),
        mark=lambda: core.mark,
    )
    return Service(core=core, adapter=playback)


def plan_of(config: FeedConfig, source: Source, run: str) -> FeedPlan:
    """Return what the core must know of its source.

    Raises:
        UserError: a file cannot be read, or does not say what is traded in it.
    """
    return FeedPlan(
        source=config.source,
        stale_after_ns=stale_after_ns(config, source),
        run=run,
        is_recording=source.is_recording,
        is_paced=config.factor is not None,
        instruments=tuple(each.id for each in source.instruments()),
    )


def stale_after_ns(config: FeedConfig, source: Source) -> int:
    """Return how long an instrument may be silent: as configured, or three bars if longer."""
    if config.factor is None:
        return config.stale_after_ms * NS_PER_MS
    silence_ns = min(source.silence_ns, config.silence_s_max * NS_PER_S)
    bars_ns = int(BARS_UNTIL_STALE * silence_ns / config.factor)
    return max(config.stale_after_ms * NS_PER_MS, bars_ns)


def _run(context: Context) -> str:
    """Return what names this run of the system: its configuration is written once a run."""
    file = context.settings.file
    try:
        return str(file.stat().st_mtime_ns)
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError("SLU-102", path=file, found=found, wanted="the configuration") from error


def _ask(context: Context, timeout_s: float) -> Ask:
    async def ask(service: str) -> bool:
        try:
            await context.connection.request(f"{QUERY}.{service}", b"", timeout=timeout_s)
        except NoRespondersError:
            return True  # nobody there to wait for
        except Error:
            return False
        return True

    return ask


def main() -> None:
    """Serve until told to stop."""
    serve("feed", build)


if __name__ == "__main__":
    main()
