"""The Prometheus endpoint of one process, `http://HOST:PORT/metrics`, on a thread of its own.

A scrape asks the event loop, once, for what only it may look at; the text is made off the loop. A
loop that does not answer makes the scrape fail with 503: a stuck service is down, not fine.
"""

import asyncio
import contextlib
import io
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.base import Event
from schemas.errors import UserError
from services.runtime.config import MetricsConfig
from services.runtime.meter import Meter
from services.runtime.metric_families import info_family, process_families
from services.runtime.metric_reports import report_families

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.metrics_core import Metric

TARGETS_FOLDER = Path("run") / "metrics"
"""Below the data folder: one file a process, in the form of Prometheus' file_sd."""

ANY_PORT = 0
ANSWER_TIMEOUT_S = 2.0
IDLE_TIMEOUT_S = 10.0
"""How long a connection may say nothing before it is closed."""

HANDLERS_MAX = 16
"""Connections that are served at once; each has a thread, and one more is closed at once."""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What one scrape sees of a process, apart from its meter."""

    service: str
    boot_id: str
    counts: dict[str, int]
    """Name of a counter, without prefix and suffix -> its value since the start."""

    levels: dict[str, float]
    """Name of a gauge, without prefix -> its value now; what is not known is left out."""

    reports: tuple[Event, ...]
    """What the service says of itself: its health, and the answer to `query.<service>`."""


class Endpoint:
    """Serves the metrics of one process until closed.

    Args:
        service: its name; the label that Prometheus gives every series of this process.
        config: where to listen.
        data_dir: below it, where the address is written for Prometheus to find.
        look: called on the event loop for each scrape.
        meter: read as it stands.
        note: told, in words, what could not be done and costs nothing else.
    """

    def __init__(
        self,
        service: str,
        config: MetricsConfig,
        data_dir: Path,
        look: Callable[[], Sight],
        meter: Meter,
        note: Callable[[str], None],
    ) -> None:
        self._service, self._config, self._look, self._meter = service, config, look, meter
        self._note = note
        self._target_file = data_dir / TARGETS_FOLDER / f"{service}.json"
        self._server: WSGIServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = Lock()  # a close may meet the thread that opens
        self._is_closed = False

    @property
    def port(self) -> int | None:
        """The port it listens on; None before `open`, and where metrics are off."""
        return None if self._server is None else int(self._server.server_address[1])

    async def open(self) -> None:
        """Listen on the configured port; if that is taken, on any. Without metrics, do nothing.

        Raises:
            UserError: SLU-100 the host is no address of this machine.
        """
        if not self._config.is_on:
            return
        self._loop = loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        Thread(target=self._listen, args=(loop, opened), daemon=True).start()
        await opened

    async def serve(self) -> None:
        """Listen until cancelled.

        Raises:
            UserError: SLU-100 the host is no address of this machine.
        """
        try:
            await self.open()
            await asyncio.Event().wait()
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening; waits for nobody: a service that is told to stop has little time."""
        with self._lock:
            self._is_closed = True
            server, self._server = self._server, None
            if server is None:
                return  # what is still opening ends itself
            with contextlib.suppress(OSError):
                self._target_file.unlink(missing_ok=True)
        Thread(target=_end, args=(server,), daemon=True).start()

    def collect(self) -> Iterator["Metric"]:
        """Return all metrics as they stand; called by the client library, in a scrape's thread.

        Raises:
            TimeoutError: the event loop does not answer; the scrape fails.
            RuntimeError: the event loop has ended.
        """
        assert self._loop is not None
        seen: Future[Sight] = Future()
        self._loop.call_soon_threadsafe(self._see, seen)  # no coroutine, which an end would leave
        sight = seen.result(ANSWER_TIMEOUT_S)
        yield from info_family(sight.service, sight.boot_id)
        yield from process_families(sight.counts, sight.levels, self._meter)
        for report in sight.reports:
            yield from report_families(report)

    def _see(self, seen: "Future[Sight]") -> None:
        try:
            seen.set_result(self._look())
        except Exception as error:
            seen.set_exception(error)

    def _listen(self, loop: asyncio.AbstractEventLoop, opened: "asyncio.Future[None]") -> None:
        """Listen, on a thread that nobody waits for: the library brings a web server along."""
        try:
            self._take(self._listening())
        except Exception as error:
            _tell(loop, opened, error)
        else:
            _tell(loop, opened, None)

    def _take(self, server: "WSGIServer") -> None:
        """Keep and announce what listens now; end it if we were closed meanwhile."""
        with self._lock:
            if not self._is_closed:
                self._server = server
                self._announce()
                return
        _end(server)

    def _listening(self) -> "WSGIServer":
        import prometheus_client

        registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        registry.register(self)
        app = self._answering(prometheus_client.make_wsgi_app(registry))
        host, wanted = self._config.host, self._config.ports.get(self._service, ANY_PORT)
        for port in (wanted, ANY_PORT):
            try:
                server = _server(host, port, app)
            except OSError as error:
                found = error.strerror or str(error)
            else:
                Thread(target=server.serve_forever, daemon=True).start()
                return server
        raise UserError("SLU-100", path="metrics.host", found=f"{host}: {found}", wanted=_WANTED)

    def _answering(self, app: "WSGIApplication") -> "WSGIApplication":
        """Return `app`, which says in one line of the log and with 503 what it could not do."""

        def answer(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
            try:
                return app(environ, start)
            except Exception as error:  # whatever a report or the loop raised: the scrape fails
                self._note(f"a scrape failed: {error!r}")
                start("503 Service Unavailable", [("Content-Type", "text/plain")])
                return [b"this process does not answer\n"]

        return answer

    def _announce(self) -> None:
        """Write where we listen; a folder that cannot be written costs no more than that."""
        target = {
            "targets": [f"{self._config.host}:{self.port}"],
            "labels": {"service": self._service},
        }
        try:
            self._target_file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._target_file.with_suffix(".new")
            temporary.write_bytes(msgspec.json.encode([target]))
            os.replace(temporary, self._target_file)
        except OSError as error:
            self._note(f"no file for Prometheus at {self._target_file}: {error.strerror or error}")


_WANTED = "an address of this machine"


def _server(host: str, port: int, app: "WSGIApplication") -> "WSGIServer":
    """Return a web server that listens, and serves `HANDLERS_MAX` connections at once.

    Raises:
        OSError: the port is taken, or the host is no address of this machine.
    """
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIServer

    slots = BoundedSemaphore(HANDLERS_MAX)

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True
        address_family = socket.getaddrinfo(host, port, flags=socket.AI_PASSIVE)[0][0]

        def process_request(self, request: Any, client_address: Any) -> None:
            if not slots.acquire(blocking=False):
                self.shutdown_request(request)
                return
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # no thread is to be had
                slots.release()
                raise

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            try:
                super().process_request_thread(request, client_address)
            finally:
                slots.release()

        def handle_error(self, *_: object) -> None:
            """Say nothing of a client that was silent too long, or has gone."""

    server = Server((host, port), _handler())
    server.set_app(app)
    return server


def _handler() -> "type[WSGIRequestHandler]":
    """Return what serves one connection; made here, as a start has no time for the library."""
    from wsgiref.simple_server import WSGIRequestHandler

    class Handler(WSGIRequestHandler):
        timeout = IDLE_TIMEOUT_S

        def log_message(self, *_: object) -> None:
            """Say nothing of a scrape: there is one every few seconds."""

        def get_stderr(self) -> io.StringIO:
            """Return where the library tells of a client that does not read: nobody asks."""
            return io.StringIO()

    return Handler


def _tell(
    loop: asyncio.AbstractEventLoop, opened: "asyncio.Future[None]", error: Exception | None
) -> None:
    """Say from another thread how it went; a loop that has ended does not want to know."""

    def set_it() -> None:
        if not opened.done():
            opened.set_result(None) if error is None else opened.set_exception(error)

    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(set_it)


def _end(server: "WSGIServer") -> None:
    server.shutdown()
    server.server_close()
