"""`results/<session>/events.csv`: all that was told of a session that has ended, whenever it came.

Beside each stands how far into the record it goes, so that nothing is missed over a restart, and
nothing is written twice. What is told of it later (what became of its last orders) makes it anew.
"""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from schemas.errors import StateError
from schemas.sessions import SessionState
from services.recorder.queries.events import parts
from services.recorder.queries.exporting import Wanted, csv_lines, exported
from services.recorder.queries.heads import NO_ORDER, read_head
from services.recorder.queries.making import RECORD_FOLDER, chain_records
from services.recorder.queries.order_rows import Row
from services.recorder.queries.tail import Tail

if TYPE_CHECKING:
    from services.recorder.queries.store import Store

RESULTS_FOLDER, RESULTS_FILE = "results", "events.csv"
UNTIL_FILE = ".events_until"
"""Holds the number of the newest record that the file beside it has; it stays when that goes by
its age, so that it is not written again."""

NAME_BYTES_MAX = 255
"""What file systems take."""

ENDED = (SessionState.STOPPED.value, SessionState.COMPLETED.value, SessionState.FAILED.value)
_CHANGED = "SessionStateChanged"
_NEWS = (
    "SELECT session, max(record) FROM events WHERE record > ? AND session IN"
    f" (SELECT session FROM sessions WHERE state IN {ENDED}) GROUP BY session ORDER BY session"
)
_FIRST = "SELECT min(record) FROM events WHERE session = ?"


class _Change(msgspec.Struct):
    """What a session came to."""

    state: str = ""


class Results:
    """Follows the record for what is told of sessions that have ended.

    `look` and `follow` are called from one thread, `on_end` from any.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._tail = Tail(data_dir / RECORD_FOLDER, 0)
        self._looked_n = 0
        self._begins: dict[str, int] = {}
        self._ended: dict[str, None] = {}
        self._writing = threading.Lock()

    def follow(self) -> None:
        """Look at what was recorded since the last time; for as long as there is no store.

        Raises:
            OSError: the disk did not take a file.
            StateError: the record cannot be read.
        """
        newest: dict[str, int] = {}
        for record in self._tail.read():
            for body in parts(record.data):
                self._note(record.n, body, newest)
        for session, n in newest.items():
            if session in self._ended and n > self._held_n(session):
                self._write(session, self._begins[session])
        self._looked_n = self._tail.n

    def look(self, store: "Store") -> None:
        """Look at what a store took in since the last time.

        Raises:
            OSError: the disk did not take a file.
            StateError: the record or the store cannot be read.
        """
        n = store.n
        if n < self._looked_n:
            self._looked_n = 0  # it was made anew
        if n == self._looked_n:
            return
        for session, newest_n in store.values(_NEWS, self._looked_n):
            if newest_n > self._held_n(session):
                [[first_n]] = store.values(_FIRST, session)
                self._write(session, first_n)
        self._looked_n = n

    def on_end(self, session: str, store: "Store | None") -> None:
        """Write the results of a session that has just ended, read from its beginning on.

        Raises:
            OSError: the disk did not take it.
            StateError: the record cannot be read.
        """
        first_n = self._begins.get(session)
        if first_n is None and store is not None:
            try:
                [[first_n]] = store.values(_FIRST, session)
            except StateError:
                first_n = None  # it is being made anew: the whole record has it, too
        self._write(session, first_n or 1)

    def _note(self, n: int, body: bytes, newest: dict[str, int]) -> None:
        head = read_head(body)
        session = head.session or (head.order or NO_ORDER).session
        if not session:
            return
        self._begins.setdefault(session, n)
        newest[session] = n
        if head.type == _CHANGED:
            self._ended.pop(session, None)
            if _state_of(body) in ENDED:
                self._ended[session] = None

    def _held_n(self, session: str) -> int:
        """Return the newest record that the session's file has, or had; 0 where nobody knows."""
        try:
            return int(results_file(self._data_dir, session).with_name(UNTIL_FILE).read_bytes())
        except (OSError, ValueError):
            return 0

    def _write(self, session: str, first_n: int) -> None:
        if not _is_name(session):
            return  # no session has it: nobody writes outside the folder, or stops others, by it
        with self._writing:
            write_results(self._data_dir, session, first_n=first_n)


def _is_name(session: str) -> bool:
    """Return whether a folder can have this name."""
    is_odd = session in ("", ".", "..") or "/" in session or "\0" in session
    return not is_odd and len(session.encode()) <= NAME_BYTES_MAX


def results_file(data_dir: Path, session: str) -> Path:
    """Return where the events of a session that has ended are."""
    return data_dir / RESULTS_FOLDER / session / RESULTS_FILE


def write_results(data_dir: Path, session: str, *, first_n: int = 1) -> None:
    """Write the events of a session as CSV, and how far they go.

    Args:
        data_dir: of the system.
        session: whose.
        first_n: the record that first tells of it: nothing before is read.

    Raises:
        OSError: the disk did not take it.
        StateError: the record cannot be read.
    """
    path = results_file(data_dir, session)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft, newest_n = path.with_name(f".{RESULTS_FILE}"), 0

    def noted(rows: Iterator[Row]) -> Iterator[Row]:
        nonlocal newest_n
        for row in rows:
            newest_n = max(newest_n, row[1])
            yield row

    records = chain_records(data_dir / RECORD_FOLDER, after_n=first_n - 1)
    rows = exported(records, Wanted("events", session=session))
    with draft.open("wb") as file:
        file.writelines(csv_lines("events", noted(rows)))
    shutil.move(draft, path)
    path.with_name(UNTIL_FILE).write_text(str(newest_n))


def _state_of(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Change).state
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
