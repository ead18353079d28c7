"""Keeps the store beside the record: opened late, fed in batches, made anew when it must be."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.base import NS_PER_S, AccountId
from schemas.errors import FieldError, SluiceError
from schemas.reports import QueryAnswer, QueryRequest, ReportRequest, ReportWanted, StoreMarked
from services.recorder.chain import read_line
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.making import RECORD_FOLDER
from services.recorder.queries.results import Results
from services.recorder.queries.tail import RecordReplacedError, Tail
from services.recorder.reader import first_n, lines, segments
from services.reports.days import TradingDay, days_ended

if TYPE_CHECKING:
    from services.recorder.queries.store import Store

STORE_FOLDER = "query"
REBUILD = "rebuild"
"""A file of this name in the store's folder asks for a new store."""

BATCH_EVENTS, BATCHES_MAX = 20_000, 50
"""Events taken in together, and batches taken in before anything else gets its turn."""

OPEN_AT_BYTES = 32 * 1024 * 1024
"""The store is opened when somebody asks, or when so much waits that the first would wait long:
it takes more memory than all else in this process."""

RETRY_NS = 600 * NS_PER_S


class Keeper:
    """One store and what is looked up in it. `feed` and `due` are called from one thread.

    Attributes:
        is_wanted: whether the store is opened at the next feeding.
    """

    def __init__(self, data_dir: Path, config: ReportsConfig, account: AccountId) -> None:
        self._data_dir, self._config, self._account = data_dir, config, account
        self._folder = data_dir / STORE_FOLDER
        self.is_wanted = False
        self._store: Store | None = None
        self._tail: Tail | None = None
        self._begins_n = 1
        self._not_before_ns: dict[tuple[str, str], int] = {}
        self._newly_made: dict[tuple[str, str], None] = {}
        self._results = Results(data_dir)

    def feed(self, now_ns: int) -> StoreMarked:
        """Take in what was recorded since the last time; say how far it is, or why it is not."""
        n = 0
        try:
            if self._store is None and not self._is_due_to_open():
                self._results.follow()
                lag_bytes = _size_bytes(self._data_dir)
                return StoreMarked(at_ns=now_ns, recorded_count=0, lag_bytes=lag_bytes)
            store, tail = self._opened()
            for _ in range(BATCHES_MAX):
                if not self._feed_batch(store, tail):
                    break
            self._forget_retired(store)
            n = store.n
            self._results.look(store)
            return StoreMarked(at_ns=now_ns, recorded_count=n, lag_bytes=tail.lag_bytes)
        except RecordReplacedError as error:
            self._begin_anew()
            return StoreMarked(at_ns=now_ns, recorded_count=0, lag_bytes=0, detail=str(error))
        except (SluiceError, OSError) as error:
            self._tail = None
            return StoreMarked(at_ns=now_ns, recorded_count=n, lag_bytes=0, detail=str(error))
        except Exception as error:  # a fault of ours: what is half folded in goes, and is read anew
            self._tail = None
            with contextlib.suppress(Exception):
                self.close()
            detail = f"a fault of the store: {error!r}"
            return StoreMarked(at_ns=now_ns, recorded_count=n, lag_bytes=0, detail=detail)

    def follow_all(self, on_bytes: Callable[[int], None] = lambda _count: None) -> int:
        """Take in all there is; return the number of the last record.

        Args:
            on_bytes: told how many further bytes of the record are in.

        Raises:
            StateError: the record or the store cannot be read.
        """
        store, tail = self._opened()
        left_bytes = tail.lag_bytes
        try:
            while self._feed_batch(store, tail):
                on_bytes(left_bytes - tail.lag_bytes)
                left_bytes = tail.lag_bytes
        except RecordReplacedError:
            self._begin_anew()
            return self.follow_all(on_bytes)
        return store.n

    def ask(self, request: QueryRequest) -> QueryAnswer:
        """Return the answer to a question; one that comes before the store is open says so."""
        from services.recorder.queries.asking import ask

        store = self._store
        if store is None:
            wanted = "to be asked again in a moment"
            error = FieldError(path="query", found="the store is being opened", wanted=wanted)
            return QueryAnswer(error=error)
        return ask(store, request)

    def due(self, now_ns: int) -> list[ReportRequest]:
        """Return the scheduled reports of days past that were never made, oldest first."""
        days = self._days(now_ns)
        if not days:
            return []
        store, tail = self._store, self._tail
        if store is None or tail is None or tail.lag_bytes:
            self.is_wanted = True
            return []  # what is not read yet may say that they were made
        config, made = self._config, self._made(store)
        found: list[ReportRequest] = []
        for day in days:
            missing = [
                kind
                for kind in config.scheduled
                if (kind, day.name) not in made
                and self._not_before_ns.get((kind, day.name), 0) <= now_ns
            ]
            if missing and self._has_news(store, day.from_ns, day.until_ns):
                found += [
                    ReportRequest(operator="", kind=kind, day=day.name, account=self._account)
                    for kind in missing
                ]
        for request in found:
            self._not_before_ns[request.kind, request.day] = now_ns + RETRY_NS
        return found

    def _days(self, now_ns: int) -> list[TradingDay]:
        """Return the days past of which there may be a record and scheduled reports."""
        config = self._config
        first = next(iter(segments(self._data_dir / RECORD_FOLDER)), None)
        if first is None or not config.scheduled:
            return []
        begun_ns = next((read_line(line).recv_ns for line in lines(first)), now_ns)
        ended_ns = now_ns - config.delay_s * NS_PER_S
        days = days_ended(config.calendar, ended_ns, config.catch_up_days)
        return [day for day in days if day.until_ns > begun_ns]

    def on_made(self, wanted: ReportWanted) -> None:
        """Note that a scheduled report was made: the record says so only some moments later."""
        request = wanted.request
        if not wanted.request_id and request.account in ("", self._account):
            self._newly_made[request.kind, request.day] = None

    def on_session_end(self, session: str) -> None:
        """Write the results of a session that has just ended."""
        self._results.on_end(session, self._store)

    def close(self) -> None:
        """Let go of the store."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _is_due_to_open(self) -> bool:
        is_asked = self.is_wanted or (self._folder / REBUILD).exists()
        is_behind = self._folder.exists() and self._record_begins() > self._begins_n
        return is_asked or is_behind or _size_bytes(self._data_dir) > OPEN_AT_BYTES

    def _opened(self) -> "tuple[Store, Tail]":
        from services.recorder.queries.store import Store, remove

        marker = self._folder / REBUILD
        if marker.exists():
            self.close()
            self._tail = None
            remove(self._folder)
            marker.unlink(missing_ok=True)
        if self._store is None:
            config = self._config
            self._store = Store(
                self._folder,
                memory_mb=config.query_memory_mb,
                threads=config.query_threads,
                closed_orders_max=config.closed_orders_max,
            )
            self._tail = None
        if self._tail is None:
            self._tail = Tail(self._data_dir / RECORD_FOLDER, self._store.n, self._store.hash)
        return self._store, self._tail

    def _begin_anew(self) -> None:
        """Let a new store be made: what is in this one is not all of the record, nor only of it."""
        self.close()
        self._tail, self._begins_n, self._results = None, 1, Results(self._data_dir)
        if self._folder.exists():
            (self._folder / REBUILD).touch()

    def _feed_batch(self, store: "Store", tail: Tail) -> bool:
        """Return whether there may be more."""
        count = 0
        for record in tail.read():
            count += store.rows.add(record)
            if count >= BATCH_EVENTS:
                break
        if count:
            store.commit(tail.hash)
        return count >= BATCH_EVENTS

    def _forget_retired(self, store: "Store") -> None:
        """Remove what the record does not hold any more: its policy is for copies too (R-06)."""
        begins_n = self._record_begins()
        if begins_n > self._begins_n:
            store.forget(min(begins_n - 1, store.n))
            self._begins_n = begins_n

    def _record_begins(self) -> int:
        first = next(iter(segments(self._data_dir / RECORD_FOLDER)), None)
        return 1 if first is None else first_n(first)

    def _made(self, store: "Store") -> set[tuple[str, str]]:
        """Return the reports of whole days: one that somebody asked for earlier is of a part."""
        sql = (
            "SELECT json_extract_string(body, '$.kind'), json_extract_string(body, '$.day')"
            " FROM events WHERE type = 'ReportMade' AND account = ?"
            " AND (json_extract_string(body, '$.is_scheduled') IS NOT DISTINCT FROM 'true'"
            " OR at_ns - ? >= coalesce("
            "TRY_CAST(json_extract_string(body, '$.until_ns') AS BIGINT), 0))"
        )
        found = store.values(sql, self._account, self._config.delay_s * NS_PER_S)
        return {(str(kind), str(day)) for kind, day in found} | set(self._newly_made)

    def _has_news(self, store: "Store", from_ns: int, until_ns: int) -> bool:
        sql = "SELECT 1 FROM events WHERE account = ? AND at_ns >= ? AND at_ns < ? LIMIT 1"
        return bool(store.values(sql, self._account, from_ns, until_ns))


def _size_bytes(data_dir: Path) -> int:
    return sum(path.stat().st_size for path in segments(data_dir / RECORD_FOLDER))
