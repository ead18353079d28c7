"""The table of checks, in the order they are made. It is the gate's documentation too."""

from services.gate.check import Check
from services.gate.checks import exposure, market, order, permission, rate

_CLOSED = "G-09, fail-closed gate"
_ACCESS = "G-07, market access controls (SEC 15c3-5, MiFID II RTS 6)"

CHECKS: tuple[Check, ...] = (
    Check(
        permission.session_named,
        "signal.session",
        "letters, digits, - and _ only",
        "",
        (),
        "the bus: a name becomes part of a subject",
    ),
    Check(
        permission.trading_permitted,
        "epoch, lease and link of the control guard",
        "an epoch started and not halted, its lease running, the control link up",
        "",
        (),
        "I1, I3, I6, " + _CLOSED,
    ),
    Check(
        permission.account_known,
        "signal.account",
        "the account has a row of limits",
        "",
        (),
        _CLOSED,
    ),
    Check(
        permission.exposure_known,
        "gaps, link losses, restarts",
        "nothing missing since the executor's last reconciled book",
        "",
        (),
        "I8, I11, " + _CLOSED,
    ),
    Check(
        permission.instrument_known,
        "signal.instrument",
        "the instrument is configured",
        "",
        (),
        _CLOSED,
    ),
    Check(
        permission.signal_in_time,
        "signal.expires_at_ns, now",
        "0 < expiry - now <= signal_life_ms_max",
        "ms",
        ("signal_life_ms_max",),
        "bus: what is late is not sent",
    ),
    Check(
        permission.signal_new,
        "id of the order: hash of account, session, signal, leg",
        "not decided before",
        "",
        (),
        "I2, " + _ACCESS,
    ),
    Check(
        market.instrument_open,
        "newest InstrumentStatusChanged",
        "open, or nothing said",
        "",
        (),
        "G-05",
    ),
    Check(
        market.market_fresh,
        "newest quote, and when this process received it",
        "now - received <= stale_after_ms",
        "ms",
        ("stale_after_ms",),
        _CLOSED,
    ),
    Check(
        market.market_sane,
        "newest quote",
        "0 < bid <= ask, both finite",
        "bid/ask",
        (),
        _CLOSED,
    ),
    Check(
        market.market_spread,
        "newest quote",
        "(ask - bid) / middle <= spread_bps_max",
        "bps",
        ("spread_bps_max",),
        _ACCESS,
    ),
    Check(
        order.quantity_valid,
        "signal.quantity",
        "quantity > 0, a multiple of the lot size",
        "units; limit is the lot",
        (),
        _ACCESS,
    ),
    Check(
        order.order_quantity,
        "signal.quantity",
        "quantity <= order_quantity_max",
        "units",
        ("order_quantity_max",),
        _ACCESS,
    ),
    Check(
        order.price_valid,
        "signal.order_type, limit_price, stop_price",
        "prices as the type wants them, > 0, multiples of the tick size",
        "price; limit is the tick",
        (),
        _ACCESS,
    ),
    Check(
        order.price_collar,
        "signal.limit_price; the touch, or the order's own stop price",
        "distance beyond the touch <= price_collar_bps",
        "bps",
        ("price_collar_bps",),
        _ACCESS,
    ),
    Check(
        order.order_notional,
        "signal.quantity; dearest of ask, limit and stop price",
        "quantity x multiplier x price x currency value <= order_notional_max",
        "account currency",
        ("order_notional_max", "currency_values"),
        _ACCESS,
    ),
    Check(
        order.replaces_own,
        "signal.replaces, open orders",
        "an open order of the same session and instrument",
        "",
        (),
        "G-11",
    ),
    Check(
        exposure.reduce_only,
        "signal.is_reduce_only, position, open orders",
        "quantity <= held - open orders that already reduce it",
        "units",
        (),
        "REDUCE by quantity, not by side alone",
    ),
    Check(
        exposure.position_quantity,
        "position, open orders of the side",
        "position + open + quantity <= position_quantity_max, per side",
        "units",
        ("position_quantity_max",),
        "G-01, I8",
    ),
    Check(
        exposure.position_notional,
        "position, open orders of the side; dearest of ask, limit and stop price",
        "(position + open + quantity) x multiplier x price x currency value"
        " <= position_notional_max, per side",
        "account currency",
        ("position_notional_max", "currency_values"),
        "G-01, I8",
    ),
    Check(
        exposure.gross_notional,
        "positions and open orders of the account, newest prices",
        "sum of worst cases <= gross_notional_max, or the order does not raise it",
        "account currency",
        ("gross_notional_max", "currency_values"),
        "G-02, I8",
    ),
    Check(
        rate.session_messages,
        "orders and cancels of the session in message_window_ms",
        "count + 1 <= session_messages_max",
        "messages",
        ("session_messages_max", "message_window_ms"),
        _ACCESS,
    ),
    Check(
        rate.account_messages,
        "orders and cancels of the account in message_window_ms",
        "count + 1 <= account_messages_max",
        "messages",
        ("account_messages_max", "message_window_ms"),
        _ACCESS,
    ),
)
"""Every check there is. A signal is approved when all pass; the first that does not decides."""

MEASURES_EXPOSURE = frozenset(
    {
        exposure.reduce_only.__name__,
        exposure.position_quantity.__name__,
        exposure.position_notional.__name__,
        exposure.gross_notional.__name__,
    }
)
"""The rules that an approval which got lost on its way can make deny."""
