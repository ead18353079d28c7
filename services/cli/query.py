"""`sluice query`: a SELECT over the record, or one that has a name."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from nats.errors import Error as NatsError

from schemas.base import AccountId
from schemas.errors import FieldError, UserError
from schemas.reports import QueryAnswer, QueryRequest
from schemas.subjects import QUERY_SQL
from services.cli.desk import at_desk, unanswered
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of, works_alone
from services.cli.output import Output
from services.recorder.queries.config import ReportsConfig

SPARE_S = 5.0
"""How much longer than the query's own limit its answer is waited for."""

WIDTH_MAX = 80
"""Longest text in a cell for people, in characters; programs get all of it."""


def query(
    sql: Annotated[str | None, Parameter(help="One SELECT; without: what there is.")] = None,
    *,
    named: Annotated[str | None, Parameter(help="A query that has a name.")] = None,
    rows: Annotated[int, Parameter(help="Most rows that are returned.")] = 1_000,
    timeout_ms: Annotated[int, Parameter(help="Longest time it may take.")] = 5_000,
    place: Place | None = None,
) -> Exit:
    """Ask the record: read-only, limited in time and rows; never in the way of recording.

    Tables: events, orders, fills, decisions, sessions, positions, marks, prices, alerts,
    instruments. Without a running system the store in the data folder is asked.
    """
    where = place or Place()
    output = Output(where.as_json)
    if sql is None and named is None:
        return _list(output)
    answer = answer_to(where, sql or "", named or "", rows, timeout_ms)
    output.data(answer)
    cells = [[_cell(each) for each in row] for row in answer.rows]
    if named:
        output.line(named)
    output.records(answer.columns, cells)
    more = f", cut at {len(answer.rows)}: see --rows" if answer.is_cut else ""
    output.line(
        f"{len(answer.rows)} rows{more}; {answer.took_ms:,.1f} ms over {answer.recorded_count:,} "
        "records"
    )
    return Exit.OK


def answer_to(where: Place, sql: str, named: str, rows: int, timeout_ms: int) -> QueryAnswer:
    """Return the answer of the running system, or of its store where none runs.

    Raises:
        UserError: SLU-103 the query is wrong, or asks for too much; the field says where.
        BusError: the bus does not let us ask.
        SilentError: the reports service does not answer.
    """
    fields = {"sql": sql, "named": named, "rows_count_max": rows, "timeout_ms": timeout_ms}
    try:
        request = msgspec.convert(fields, QueryRequest)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$.")
        option = {"rows_count_max": "--rows", "timeout_ms": "--timeout-ms"}.get(path.rstrip("`"))
        raise UserError("SLU-103", path=option or "query", found=said, wanted="less") from error
    if works_alone(where):
        answer = _from_files(data_dir_of(where), request)
    else:
        answer = asyncio.run(_from_bus(where, request))
    if answer.error is not None:
        raise refusal(answer.error)
    return answer


def refusal(error: FieldError) -> UserError:
    """Return what a person has to mend."""
    return UserError("SLU-103", path=error.path, found=error.found, wanted=error.wanted)


async def _from_bus(where: Place, request: QueryRequest) -> QueryAnswer:
    timeout_s = request.timeout_ms / 1_000 + SPARE_S
    async with at_desk(where) as desk:
        data = msgspec.json.encode(request)
        try:
            message = await desk.connection.request(QUERY_SQL, data, timeout=timeout_s)
        except NatsError as error:
            refusals = desk.connection.refusals
            raise unanswered(QUERY_SQL, "reports", error, refusals, timeout_s) from error
    return msgspec.json.decode(message.data, type=QueryAnswer)


def _from_files(data_dir: Path, request: QueryRequest) -> QueryAnswer:
    from services.recorder.queries.keeper import Keeper
    from services.recorder.queries.making import require_record

    require_record(data_dir)
    keeper = Keeper(data_dir, ReportsConfig(scheduled=()), AccountId(""))
    try:
        keeper.follow_all()
        return keeper.ask(request)
    finally:
        keeper.close()


def _list(output: Output) -> Exit:
    from services.recorder.queries.named import NAMED
    from services.recorder.queries.tables import ALL

    tables = {
        name: [each.name for each in ALL[name]] for name in ALL if name not in ("folds", "counts")
    }
    output.data({"named": {name: each.about for name, each in NAMED.items()}, "tables": tables})
    output.table("queries that have a name", ("name", "what"), _abouts(NAMED))
    columns = [(name, ", ".join(found)) for name, found in tables.items()]
    output.table("tables", ("table", "columns"), columns)
    output.next_step('sluice query "SELECT ..."', "sluice query --named pnl_by_session")
    return Exit.OK


def _abouts(named: Any) -> Sequence[Sequence[object]]:
    return [(name, each.about) for name, each in named.items()]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= WIDTH_MAX else f"{text[: WIDTH_MAX - 1]}…"
