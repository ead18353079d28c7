"""`sluice explain`: what the system does, told from the tables it does it by."""

import textwrap
from collections.abc import Callable, Collection
from typing import Annotated

import msgspec
from cyclopts import Parameter

from schemas.errors import REGISTRY, UserError
from schemas.health import GateReported
from services.cli.config_types import did_you_mean
from services.cli.exits import MEANINGS, Exit
from services.cli.locate import Place
from services.cli.output import Output
from services.cli.quick_banner import quick_banner, quick_gate

TABLE_CHARS_MAX = 110
"""Widest table that is printed as one, in characters."""

Rows = tuple[tuple[str, ...], list[tuple[object, ...]]]


def explain(
    topic: Annotated[
        str | None,
        Parameter(help="gate, breaker, errors, exit-codes, subjects, streams, or an error's code."),
    ] = None,
    *,
    place: Place | None = None,
) -> Exit:
    """Explain one part of the system from the very table it works by.

    Raises:
        UserError: SLU-103 there is no such topic.
    """
    output = Output((place or Place()).as_json)
    quick_banner(place or Place(), output)
    if topic is None:
        output.data({"topics": list(TOPICS)})
        output.line("Topics: " + ", ".join(TOPICS) + ", or an error's code like SLU-100")
        return Exit.OK
    if topic.upper() in REGISTRY:
        return _one_error(topic.upper(), output)
    if topic not in TOPICS:
        hint = did_you_mean(topic, list(TOPICS)) or ", ".join(TOPICS)
        raise UserError("SLU-103", path="explain", found=topic, wanted=hint)
    title, text, make = TOPICS[topic]
    columns, rows = make(place or Place())
    output.data([dict(zip(columns, row, strict=True)) for row in rows])
    output.line(textwrap.fill(text, 100))
    if sum(max(len(str(row[at])) for row in rows) for at in range(len(columns))) > TABLE_CHARS_MAX:
        _print_paragraphs(title, columns, rows, output)
    else:
        output.table(title, columns, rows)
    return Exit.OK


def _print_paragraphs(
    title: str, columns: tuple[str, ...], rows: list[tuple[object, ...]], output: Output
) -> None:
    """Print each row as a paragraph: a table this wide would cut its words short."""
    output.line(f"\n{title}")
    for row in rows:
        output.line(f"\n{row[0]}")
        for column, value in zip(columns[1:], row[1:], strict=True):
            if value != "":
                head = f"  {column + ':':16} "
                indent = " " * len(head)
                output.line(textwrap.fill(head + str(value), 100, subsequent_indent=indent))


def _one_error(code: str, output: Output) -> Exit:
    entry = REGISTRY[code]
    output.data(entry)
    output.line(f"{entry.code}  {entry.message}")
    output.line(f"  component {entry.component}, severity {entry.severity}")
    output.line(f"  what to do: {entry.resolution}")
    return Exit.OK


def _gate(place: Place) -> Rows:
    from services.cli.config_resolve import load_config
    from services.gate.config import GateConfig
    from services.gate.explain import explain as explain_gate

    section = load_config(None, {}, ()).merged.values["gate"]
    config = msgspec.convert(section, GateConfig)
    gate = quick_gate(place)
    rows: list[tuple[object, ...]] = [
        (
            each.name,
            each.formula,
            each.reads,
            each.unit,
            "; ".join(f"{name}: {now}" for name, now in each.limits.items()),
            _live(each.name, each.limits, gate),
            each.source,
        )
        for each in explain_gate(config, tuple(config.instruments))
    ]
    return ("check", "what must hold", "reads", "unit", "limits", "now", "source"), rows


def _live(check: str, limits: Collection[str], gate: GateReported | None) -> str:
    """Return what the running gate says of a check's limits; empty where none runs here."""
    if gate is None:
        return ""
    found = [
        f"{view.name} of {view.instrument or view.account}: {view.value or 'per order'} of "
        f"{view.in_force}" + (f", {view.distance} left" if view.distance else "")
        for view in gate.in_force
        if view.name in limits
    ]
    denied = gate.rejected_by_rule.get(check, 0)
    return "; ".join([*found, *([f"denied {denied} so far"] if denied else [])])


def _breaker(_place: Place) -> Rows:
    from services.breaker.states import TRANSITIONS

    rows: list[tuple[object, ...]] = [
        (str(state), trigger.name.lower(), trigger.value, str(after))
        for (state, trigger), after in TRANSITIONS.items()
    ]
    return ("state", "trigger", "when", "next state"), rows


def _errors(_place: Place) -> Rows:
    columns = ("code", "component", "severity", "message", "resolution")
    rows: list[tuple[object, ...]] = [msgspec.structs.astuple(entry) for entry in REGISTRY.values()]
    return columns, rows


def _exit_codes(_place: Place) -> Rows:
    rows: list[tuple[object, ...]] = [
        (int(code), code.name.lower().replace("_", " "), meaning)
        for code, meaning in MEANINGS.items()
    ]
    return ("code", "name", "meaning"), rows


def _subjects(_place: Place) -> Rows:
    from schemas.subjects import SUBJECTS

    rows: list[tuple[object, ...]] = [
        (pattern, event.__name__, (event.__doc__ or "").splitlines()[0])
        for event, pattern in SUBJECTS.items()
        if not pattern.startswith("report.")
    ]
    return ("subject", "event", "what it says"), rows


def _streams(_place: Place) -> Rows:
    from schemas.streams import STREAMS

    rows: list[tuple[object, ...]] = [
        (s.name, "  ".join(s.subjects), "by age and size" if s.is_limited else "never")
        for s in STREAMS
    ]
    return ("stream", "captures", "forgets"), rows


TOPICS: dict[str, tuple[str, str, Callable[[Place], Rows]]] = {
    "gate": (
        "the checks, in the order they are made",
        "Between every signal and its order stands the gate. It makes all of these checks, and "
        "every decision carries each value read and its limit. A limit that is missing denies; "
        "any exception denies; there is no way around it.",
        _gate,
    ),
    "breaker": (
        "what changes the breaker's state word",
        "The state word says why trading is or is not possible. A halt by anyone, with any bytes, "
        "stands until a person resets it by number; a reset only permits, a start starts.",
        _breaker,
    ),
    "errors": (
        "every error there is",
        "CRITICAL goes to health and restarts the component; HIGH is retried three times with "
        "growing pauses; MEDIUM goes on with less; LOW is logged.",
        _errors,
    ),
    "exit-codes": (
        "what a command's exit code says",
        "Every command ends with one of these; scripts may rely on them.",
        _exit_codes,
    ),
    "subjects": (
        "every event on the bus",
        "The `nats` command line reads and writes all of it: `sluice nats-context` prepares it.",
        _subjects,
    ),
    "streams": (
        "what lasts",
        "JetStream captures these by itself, whoever publishes.",
        _streams,
    ),
}
