"""A backtest as one page that needs nothing else: figures, pictures, and the list of trades."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources

import msgspec

from schemas.base import NS_PER_S
from services.backtest.run import Outcome, Plan
from services.cli.backtest_view import figure_rows, noted_rows, refused
from services.cli.output import shown, time_of
from services.performance.core import By
from services.performance.curve import Point
from services.performance.lines import Trip

DIV = "equity-and-drawdown"
BLUE, RED = "#0969da", "#cf222e"


def page_of(plan: Plan, outcome: Outcome) -> str:
    """Return the page; the same backtest gives the same bytes.

    Whatever comes from outside (names, parameters, reasons) is escaped.
    """
    import jinja2
    import markupsafe

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    file = resources.files("services.cli") / "backtest_page.html.j2"
    template = environment.from_string(file.read_text(encoding="utf-8"))
    result, figures = outcome.result, outcome.figures
    shares = outcome.attribution[By.SYMBOL].items()
    return template.render(
        strategy=plan.strategy,
        symbols=", ".join(plan.symbols),
        begin=time_of(result.from_ns),
        end=time_of(result.to_ns),
        data=", ".join(result.data),
        currency=plan.currency,
        failure=outcome.failure,
        figures=list(figure_rows(figures)),
        # our own numbers in plotly's own mark-up: nothing of it was typed by anybody
        picture=markupsafe.Markup(picture_of(outcome.points)),
        shares=[
            [name, *map(shown, (s.price, s.slippage, s.fees, s.funding, s.profit))]
            for name, s in shares
        ],
        noted=noted_rows(outcome),
        refused=list(refused(figures)),
        trips=[_trip_row(trip) for trip in reversed(outcome.trips)],
        left_out=figures.trade_count - len(outcome.trips),
        made_from=_made_from(plan, outcome),
    )


def picture_of(points: Sequence[Point]) -> str:
    """Return equity and drawdown over time, with the script that draws them, as HTML."""
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    times = [_moment(each.at_ns) for each in points]
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=(0.7, 0.3), vertical_spacing=0.06
    )
    equity = [float(each.equity) for each in points]
    figure.add_trace(Scatter(x=times, y=equity, name="equity", line={"color": BLUE}), row=1, col=1)
    falls = [-each.drawdown for each in points]
    figure.add_trace(
        Scatter(x=times, y=falls, name="drawdown", fill="tozeroy", line={"color": RED}),
        row=2,
        col=1,
    )
    figure.update_yaxes(title_text="equity", row=1, col=1)
    figure.update_yaxes(title_text="drawdown", tickformat=".3~%", row=2, col=1)
    figure.update_layout(
        template="plotly_white",
        height=520,
        showlegend=False,
        margin={"l": 70, "r": 20, "t": 10, "b": 40},
        hovermode="x unified",
    )
    made: str = figure.to_html(
        full_html=False, include_plotlyjs=True, div_id=DIV, config={"displaylogo": False}
    )
    return made


def _moment(at_ns: int) -> str:
    """Return a time to the microsecond, as the drawing script reads it."""
    return datetime.fromtimestamp(at_ns / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _trip_row(trip: Trip) -> list[str]:
    return [
        trip.instrument,
        "long" if trip.is_long else "short",
        time_of(trip.opened_ns),
        time_of(trip.closed_ns),
        *map(shown, (trip.quantity, trip.opened_at, trip.closed_at, trip.fees, trip.profit)),
    ]


def _made_from(plan: Plan, outcome: Outcome) -> list[tuple[str, str]]:
    result = outcome.result
    parameters = msgspec.json.encode(result.terms.parameters).decode()
    return [
        ("result", result.id),
        ("strategy version", result.terms.strategy_version),
        ("parameters", parameters),
        ("capital", f"{shown(plan.capital)} {plan.currency}"),
        ("data, sha256", result.data_hash),
        ("seed", str(result.seed)),
        ("events", str(outcome.event_count)),
        ("journal, sha256", outcome.journal_hash),
    ]
