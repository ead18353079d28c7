"""`sluice up`: a whole system on this machine, until Ctrl-C; nothing is left running."""

import asyncio
import contextlib
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from schemas.errors import UserError
from schemas.health import ServiceView
from schemas.masking import masked
from services.cli.config_resolve import load_config
from services.cli.desk import Desk, at_desk
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.open_bus import ADVICE, lets_anybody_in
from services.cli.output import Output, to_json
from services.cli.streams import configured, mend
from services.cli.system import Run, prepare
from services.cli.up_start import noted, start_by_itself
from services.cli.up_view import (
    NEXT_COMMANDS,
    document_of,
    line_of,
    page_of,
    readiness,
    summary_of,
)
from services.cli.up_watch import UpWatch
from services.runtime.fastpath import BusConnection
from services.runtime.supervisor import Supervisor

SETTLE_TRIES, SETTLE_EVERY_S = 30, 0.1
"""After the end of a recording: how long the last orders may take to close."""

KNOWS_THE_END = "executor"
"""Asked for the account when all that could still order has ended: what it holds then, it holds."""

REFRESH_S = 1.0
DRAWS_PER_S = 4


def up(  # a parameter is an option here
    *,
    feed: Annotated[str | None, Parameter(help="simulated, or replay:PATH")] = None,
    speed: Annotated[str | None, Parameter(help="1x, 10x, any Nx, or max.")] = None,
    strategy: Annotated[str | None, Parameter(help="Of the session that is started.")] = None,
    symbols: Annotated[str | None, Parameter(help="Its instruments, with commas.")] = None,
    start: Annotated[bool, Parameter(negative="--no-start", help="Start the session.")] = True,
    for_s: Annotated[
        float | None, Parameter(name="--for", help="Stop so many seconds after all is ready.")
    ] = None,
    until_end: Annotated[
        bool, Parameter(negative=(), help="Stop at the end of the recording.")
    ] = False,
    fresh: Annotated[
        bool, Parameter(negative=(), help="A new account: its cash, no positions. Halts stay.")
    ] = False,
    accept_other_configuration: Annotated[
        bool,
        Parameter(negative=(), help="After a restore: not the account or limits of the backup."),
    ] = False,
    config: Annotated[Path | None, Parameter(help="The configuration file.")] = None,
    sets: Annotated[
        list[str] | None,
        Parameter(name="--set", negative=(), help="SECTION.FIELD=VALUE, as often as needed."),
    ] = None,
    place: Place | None = None,
) -> Exit:
    """Run the whole system here: bus, services, a market, and a session to trade it on paper.

    It boots HALTED; then a start is issued for the demo session, unless a halt is open.

    Raises:
        UserError: SLU-103 `--for` is no time.
    """
    if for_s is not None and not (math.isfinite(for_s) and for_s >= 0):
        raise UserError("SLU-103", path="--for", found=for_s, wanted="seconds, 0 or more")
    found = place or Place()
    options = _options(found, feed=feed, speed=speed, strategy=strategy, symbols=symbols)
    loaded = load_config(config, options, sets or ())
    run = prepare(loaded, is_fresh=fresh, accept_other=accept_other_configuration)
    session = _Up(run, Output(found.as_json), is_starting=start, for_s=for_s, until_end=until_end)
    return asyncio.run(session.run())


class _Up:
    """One `sluice up`, from the first process to the last line."""

    def __init__(
        self, run: Run, output: Output, *, is_starting: bool, for_s: float | None, until_end: bool
    ) -> None:
        self._run, self._output = run, output
        self._is_starting, self._for_s, self._until_end = is_starting, for_s, until_end
        self._began_s = self._ready_s = time.monotonic()
        self._asked = asyncio.Event()
        self._code = Exit.OK
        self._is_stopping = False
        self._watch: UpWatch | None = None
        self._supervisor = Supervisor(run.plan, self._note, run.announce, self._mend)

    async def run(self) -> Exit:
        """Start, show, stop."""
        self._listen()
        self._say_what_starts()
        try:
            if not await self._until_asked(self._supervisor.start()):
                return Exit.OK
            self._ready_s = time.monotonic()
            self._output.line(readiness(self._ready_s - self._began_s, self._views()))
            await self._warn_of_an_open_bus()
            async with at_desk(Place(), self._run.plan.bus) as desk:
                await self._trade(desk)
        finally:
            self._say_stopping()
            await self._supervisor.stop()
            self._run.retire()
        self._say_goodbye()
        return self._code

    async def _warn_of_an_open_bus(self) -> None:
        """Say so where the server that was there before us asks nobody who he is."""
        bus = self._run.plan.bus
        if self._run.plan.server is None and await lets_anybody_in(bus):
            where = f"the bus at {masked(bus.url)} lets anybody in, without a key"
            self._note(f"WARNING: {where}: rights and roles do not hold there; {ADVICE}")

    async def _mend(self, connection: BusConnection) -> None:
        """Bring the streams of an earlier run to what is configured now."""
        for each in await mend(connection, configured(self._run.config.data_dir)):
            self._note(each)

    async def _trade(self, desk: Desk) -> None:
        self._watch = watch = UpWatch(desk)
        await watch.open(self._began_s)
        if self._is_starting:
            is_started, said = await start_by_itself(desk, self._run)
            if not is_started and (self._for_s is not None or self._until_end):
                self._code = Exit.REFUSED  # nobody sits there who could start it later
        else:
            said = ["not started, as asked. Next: sluice start --strategy NAME --symbols A,B ..."]
        for line in said:
            self._output.line(line)
        watch.notes.extend(noted(said))
        await self._show(watch)
        if self._code is Exit.REFUSED and watch.has_started:
            self._code = Exit.OK  # somebody started it all the same
        self._say_stopping()
        await watch.refresh()
        await self._supervisor.stop(after=KNOWS_THE_END)
        await watch.close()
        if watch.silent and self._code is Exit.OK:
            self._code = Exit.SILENT  # whoever reads the last lines must not take them for true

    async def _show(self, watch: UpWatch) -> None:
        """Draw until the end: asked for, in time, or of the recording."""
        is_table = sys.stdout.isatty() and not self._output.is_json
        with _screen(is_table) as screen:
            while True:
                await watch.refresh()
                views = self._views()
                if screen is not None:
                    screen.update(page_of(watch, views, self._title(), screen.console.size))
                elif self._output.is_json:
                    print(_one_line(document_of(watch, views)), flush=True)
                else:
                    for line in (line_of(watch, views), *(f"- {n}" for n in watch.unread())):
                        self._output.line(line)
                if await self._is_over(watch):
                    return

    async def _is_over(self, watch: UpWatch) -> bool:
        """Wait for the next second; return whether it was the last."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), REFRESH_S)
        if self._asked.is_set():
            return True
        if self._for_s is not None and time.monotonic() - self._ready_s >= self._for_s:
            return True
        if self._until_end and (watch.is_feed_ended or watch.feed_failure):
            if watch.feed_failure:
                print(f"sluice: feed: {masked(watch.feed_failure)}", file=sys.stderr, flush=True)
                self._code = Exit.FAILED
            await self._settle(watch)
            return True
        return False

    async def _settle(self, watch: UpWatch) -> None:
        for _ in range(SETTLE_TRIES):
            if watch.is_settled:
                return
            await asyncio.sleep(SETTLE_EVERY_S)

    async def _until_asked(self, work: Any) -> bool:
        """Run `work` to its end; return False if a person asked to stop before that."""
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._asked.wait())
        await asyncio.wait((task, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return False

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        """Stop in order; asked twice, at once: the processes end because we do."""
        if self._asked.is_set():
            os._exit(Exit.FAILED)
        self._asked.set()

    def _note(self, text: str) -> None:
        if self._watch is None:
            print(f"sluice: {text}", file=sys.stderr, flush=True)
        else:
            self._watch.note(text)

    def _views(self) -> tuple[ServiceView, ...]:
        return self._supervisor.report().services

    def _title(self) -> str:
        run = self._run
        return (
            f"sluice up   feed {run.config.feed.source} at {run.config.feed.speed}   "
            f"account {run.account['id']}   bus {masked(run.plan.bus.url)}   {self._elapsed()}"
        )

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began_s:.0f} s"

    def _say_what_starts(self) -> None:
        run, config = self._run, self._run.config
        own = "embedded nats-server" if run.plan.server else "the nats-server there"
        self._output.line(
            f"starting: {own} at {masked(run.plan.bus.url)}, data in {config.data_dir}"
        )
        self._output.line(
            f"feed {config.feed.source} at {config.feed.speed}: {len(run.instruments)} "
            f"instruments; account {run.account['id']} with "
            f"{run.account['initial_cash']} {run.account['currency']}"
        )

    def _say_stopping(self) -> None:
        """Say it once: when it begins, whatever made it."""
        if not self._is_stopping:
            self._is_stopping = True
            with contextlib.suppress(OSError):  # nobody reads it: no cause not to stop in order
                self._output.line("stopping: feed first, bus last")

    def _say_goodbye(self) -> None:
        if self._watch is None:
            return
        if self._output.is_json:
            document = document_of(self._watch, ()) | {"silent": self._watch.silent}
            print(_one_line({"summary": document}), flush=True)
        for line in summary_of(self._watch):
            self._output.line(line)
        if silent := ", ".join(self._watch.silent):
            said = f"no answer at the end from {silent}: what only they know is not in these lines"
            print(f"sluice: {said}", file=sys.stderr, flush=True)
        self._output.line(f"logs and journals are in {self._run.config.data_dir}")
        self._output.line("Next, while `sluice up` runs: " + "   ".join(NEXT_COMMANDS))


@contextlib.contextmanager
def _screen(is_table: bool) -> Any:
    if not is_table:
        yield None
        return
    from rich.live import Live

    with Live(refresh_per_second=DRAWS_PER_S, transient=False) as live:
        yield live


def _one_line(document: Any) -> str:
    return " ".join(to_json(document).split())


def _options(place: Place, **given: str | None) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Return the options that stand for a field of the configuration."""
    fields: dict[str, tuple[str, ...]] = {
        "feed": ("feed", "source"),
        "speed": ("feed", "speed"),
        "strategy": ("up", "strategy"),
        "symbols": ("up", "symbols"),
    }
    options: dict[str, tuple[tuple[str, ...], Any]] = {
        f"--{name}": (fields[name], value) for name, value in given.items() if value is not None
    }
    if "--symbols" in options:
        path, text = options["--symbols"]
        options["--symbols"] = (path, [each.strip() for each in text.split(",") if each.strip()])
    if place.data_dir is not None:
        options["--data-dir"] = (("paths", "data_dir"), str(place.data_dir))
    if place.nats_url is not None:
        options["--nats-url"] = (("bus", "url"), place.nats_url)
    if place.keys_dir is not None:
        options["--keys-dir"] = (("bus", "keys_dir"), str(place.keys_dir))
    return options
