"""Queries that have a name: what people ask every day."""

from typing import NamedTuple


class Named(NamedTuple):
    """One query."""

    about: str
    sql: str


def _worth(amount: str) -> str:
    """Return an amount of a holding in the account's currency."""
    return f"TRY(({amount}::DECIMAL(28,10) * rate)::DECIMAL(28,10))"


_HELD = f"""
    SELECT p.* REPLACE ({_worth("p.realized")} AS realized, {_worth("p.fees")} AS fees,
                        {_worth("p.cash")} AS cash),
           CASE WHEN p.quantity = 0 THEN 0
                ELSE TRY(((p.quantity * m.price)::DECIMAL(28,10) * p.multiplier)::DECIMAL(28,10)
                         * rate)
           END::DECIMAL(38,10) AS value
    FROM positions p LEFT JOIN prices m USING (instrument)
"""
"""Each product has twenty digits after the point, and 38 in all: one at a time, and what is too
large for it is not known."""


def _whole(amount: str) -> str:
    """Return a sum; of what is not all known it is not known."""
    return f"CASE WHEN count({amount}) = count(*) THEN round(sum({amount}), 4) END"


_PNL = f"""
    count(*) FILTER (quantity <> 0) AS holdings, sum(fill_count)::BIGINT AS fills,
    {_whole("realized")} AS realized, {_whole("fees")} AS fees,
    {_whole("cash + value")} AS profit
"""


_PNL_BY_DAY = f"""
    WITH traded AS (SELECT day, account, instrument, count(*) AS fills, sum(realized) AS realized,
                    sum(fee) AS fees, sum(notional) AS turnover FROM fills GROUP BY ALL),
    lacking AS (SELECT DISTINCT day, account, instrument, true AS is_lacking FROM fills
                WHERE realized IS NULL OR fee IS NULL OR notional IS NULL),
    rates AS (SELECT account, instrument, any_value(rate) AS told FROM positions GROUP BY ALL),
    rated AS (SELECT traded.*, CASE WHEN is_lacking IS NULL THEN told END AS rate FROM traded
              LEFT JOIN rates USING (account, instrument)
              LEFT JOIN lacking USING (day, account, instrument)),
    held AS (SELECT day, account, fills, {_worth("realized")} AS realized, {_worth("fees")} AS fees,
             {_worth("turnover")} AS turnover FROM rated)
    SELECT day, account, sum(fills)::BIGINT AS fills, {_whole("realized")} AS realized,
           {_whole("fees")} AS fees, {_whole("turnover")} AS turnover
    FROM held GROUP BY day, account ORDER BY day DESC, account
"""
"""Summed before it is converted: a product for every one of a million executions takes seconds."""


def _pnl(by: str, order: str = "profit DESC") -> str:
    return f"WITH held AS ({_HELD}) SELECT {by}, {_PNL} FROM held GROUP BY {by} ORDER BY {order}"


def _of_body(*names: str) -> str:
    """Return columns of fields of the body; a halt may be any bytes, and then has none."""
    return ", ".join(f"TRY(json_extract_string(body, '$.{name}')) AS {name}" for name in names)


def _latency(what: str, by: str) -> str:
    """Return the quantiles of what was counted; each at most 3 % too low."""
    return (
        f"WITH sized AS (SELECT {by}, bucket, sum(count) AS n FROM counts WHERE what = '{what}'"
        " GROUP BY ALL),"
        f" ranked AS (SELECT *, sum(n) OVER (PARTITION BY {by} ORDER BY bucket) AS upto,"
        f" sum(n) OVER (PARTITION BY {by}) AS whole FROM sized)"
        f" SELECT {by}, max(whole)::BIGINT AS count,"
        " min(bucket) FILTER (upto >= 0.5 * whole) AS p50_us,"
        " min(bucket) FILTER (upto >= 0.99 * whole) AS p99_us, max(bucket) AS max_us"
        f" FROM ranked GROUP BY {by} ORDER BY {by} DESC"
    )


NAMED: dict[str, Named] = {
    "pnl_by_session": Named(
        "Profit and loss of each session: realized, fees, and all with holdings at the last price;"
        " in the account's currency.",
        _pnl("session, strategy"),
    ),
    "pnl_by_strategy": Named("The same by strategy.", _pnl("strategy")),
    "pnl_by_book": Named("The same by account: a book.", _pnl("account")),
    "pnl_by_instrument": Named("The same by instrument.", _pnl("instrument")),
    "pnl_by_day": Named(
        "Realized profit, fees and turnover of each day, in the account's currency.",
        _PNL_BY_DAY,
    ),
    "equity_by_day": Named(
        "First, last, highest and lowest equity of each day, and the deepest drawdown.",
        "SELECT day, account, arg_min(equity, at_ns) AS first, arg_max(equity, at_ns) AS last,"
        " max(equity) AS high, min(equity) AS low, max(drawdown) AS drawdown"
        " FROM marks GROUP BY day, account ORDER BY day DESC, account",
    ),
    "sessions": Named(
        "The sessions and how they stand.",
        "SELECT session, strategy, account, state, initial_capital, share_class, execution_mode,"
        " operator, reason, make_timestamp_ns(created_ns) AS created FROM sessions"
        " ORDER BY created_ns DESC",
    ),
    "orders_by_status": Named(
        "How orders ended, by strategy.",
        "SELECT strategy, status, outcome, count(*) AS orders,"
        " sum(fill_count)::BIGINT AS fills FROM orders GROUP BY ALL ORDER BY orders DESC",
    ),
    "open_orders": Named(
        "Orders that have not ended.",
        "SELECT order_id, session, instrument, side, quantity, filled, limit_price, status,"
        " make_timestamp_ns(signal_ns) AS since FROM orders WHERE is_open AND status IS NOT NULL"
        " ORDER BY signal_ns",
    ),
    "last_fills": Named(
        "The last hundred executions.",
        "SELECT make_timestamp_ns(at_ns) AS at, session, instrument, side, quantity, price, fee,"
        " realized, order_id FROM fills ORDER BY record DESC LIMIT 100",
    ),
    "rejections": Named(
        "Signals that the gate denied, by the rule that did.",
        "SELECT rule, strategy, count(*) AS denied, any_value(detail) AS example FROM decisions"
        " WHERE outcome = 'rejected' GROUP BY ALL ORDER BY denied DESC",
    ),
    "decision_latency": Named(
        "How long the gate took for a decision, in microseconds, by day.",
        _latency("decide_us", "day"),
    ),
    "send_latency": Named(
        "Signal to the write to the venue, in microseconds, by venue.",
        _latency("send_us", "name"),
    ),
    "fill_latency": Named(
        "The write to the venue to the first execution, in microseconds, by venue.",
        _latency("fill_us", "name"),
    ),
    "slippage": Named(
        "Slippage against the middle of the market at the decision, by instrument and venue.",
        "SELECT instrument, any_value(venue) AS venue, count(*) AS orders,"
        " round(avg(slippage_bps::DOUBLE), 3) AS mean_bps,"
        " round(sum(slippage_bps::DOUBLE * filled::DOUBLE) / nullif(sum(filled::DOUBLE), 0), 3)"
        " AS weighted_bps, max(slippage_bps::DOUBLE) AS worst_bps FROM orders"
        " WHERE slippage_bps IS NOT NULL GROUP BY instrument ORDER BY weighted_bps DESC",
    ),
    "events": Named(
        "How many events of each kind, by component.",
        "SELECT coalesce(name, 'no event') AS type, component, sum(count)::BIGINT AS events"
        " FROM counts WHERE what = 'event' GROUP BY ALL ORDER BY events DESC",
    ),
    "alerts": Named(
        "Alerts by code and component, with the newest message.",
        "SELECT code, severity, component, count(*) AS alerts,"
        " make_timestamp_ns(max(at_ns)) AS newest, arg_max(message, at_ns) AS message FROM alerts"
        " GROUP BY code, severity, component ORDER BY newest DESC",
    ),
    "halts": Named(
        "Every halt and start of trading, newest first.",
        "SELECT make_timestamp_ns(at_ns) AS at, subject, component,"
        f" {_of_body('operator', 'reason')} FROM events"
        " WHERE stream = 'CONTROL' AND (subject = 'control.halt' OR subject LIKE 'control.halt.%'"
        " OR subject = 'control.record.epoch') ORDER BY record DESC LIMIT 1000",
    ),
    "reports": Named(
        "Reports that were made, newest first.",
        f"SELECT make_timestamp_ns(at_ns) AS at, {_of_body('kind', 'day', 'file', 'sha256')}"
        " FROM events WHERE type = 'ReportMade'"
        " ORDER BY record DESC LIMIT 1000",
    ),
}
"""By name."""
