"""The commands of `sluice`. Each is imported when it is used: most must start at once."""

from cyclopts import App

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("up", "services.cli.up:up", "Run the whole system here until Ctrl-C."),
    ("status", "services.cli.status:status", "The whole system on one page."),
    ("halt", "services.cli.halt:halt", "Stop all trading now."),
    ("reduce", "services.cli.restrict:reduce", "Let only orders pass that reduce exposure."),
    ("flatten", "services.cli.flatten:flatten", "Close what is held, and verify at the venue."),
    ("venue-kill", "services.cli.venue_kill:venue_kill", "Cancel all at the venue, past all."),
    ("reset", "services.cli.control:reset", "Clear the newest halt; permits a start."),
    ("unlock", "services.cli.control:unlock", "Take a lock away, once it was looked into."),
    ("start", "services.cli.control:start", "Start trading."),
    ("stop", "services.cli.control:stop", "Stop a session for good."),
    ("pause", "services.cli.control:pause", "Pause a session."),
    ("resume", "services.cli.control:resume", "Let a paused session go on."),
    ("session", "services.cli.session_command:session_app", "One session: how it does."),
    ("parity", "services.cli.parity:parity", "A session decided again from its record."),
    ("awaiting", "services.cli.confirm:awaiting", "Signals that wait for a person."),
    ("confirm", "services.cli.confirm:confirm", "Let a signal that waits go, or drop it."),
    (
        "prerequisites",
        "services.cli.prerequisites:prerequisites",
        "What real money still needs.",
    ),
    ("sessions", "services.cli.books:sessions", "The sessions."),
    ("positions", "services.cli.books:positions", "What is held."),
    ("orders", "services.cli.books:orders", "Open orders and the last closed ones."),
    ("reconcile", "services.cli.reconcile:reconcile", "Our book and the venue's, side by side."),
    (
        "breaker",
        "services.cli.breaker_command:breaker_app",
        "Circuit breakers, and their distance.",
    ),
    ("limits", "services.cli.limits:limits_app", "The gate's limits, shown or changed."),
    ("audit", "services.cli.audit:audit_app", "The record: verify it, search it."),
    ("query", "services.cli.query:query", "Ask the record: SQL, or a query with a name."),
    ("figures", "services.cli.figures:figures", "How well it did, made from the record."),
    ("report", "services.cli.report:report_app", "Reports of a day, and whether one is genuine."),
    ("export", "services.cli.export:export", "The record as CSV or Parquet."),
    ("backup", "services.cli.backup:backup_app", "Back up, verify a backup, restore it."),
    ("watch", "services.cli.watch:watch", "Events as they happen, decoded."),
    ("logs", "services.cli.logs:logs", "Logs of all services and events of the bus, as one."),
    ("streams", "services.cli.streams:streams", "How the bus keeps what is said."),
    ("doctor", "services.cli.doctor:doctor", "Is everything as it must be?"),
    ("explain", "services.cli.explain:explain", "How one part of it works."),
    ("config", "services.cli.config_command:config_app", "Check or show the configuration."),
    ("schema", "services.cli.schema:schema", "The vocabulary, as AsyncAPI or JSON Schema."),
    ("service", "services.cli.processes:service", "Run one service in the foreground."),
    ("nats-context", "services.cli.natscontext:nats_context", "Prepare the nats command line."),
    ("backtest", "services.cli.backtest:backtest", "Try a strategy on recordings."),
    ("bench", "services.cli.campaigns:bench", "Measure it."),
    ("sim", "services.cli.campaigns:sim", "Try it on a bus that lies."),
)
"""Name, where its function is, and its help."""

ABOUT = """Sluice: a risk gate between what strategies want and what reaches a venue.

Exit codes: 0 done, 1 failed, 2 bad input, 3 not running, 4 refused, 5 a component is silent,
6 unhealthy, 7 not flat (`sluice explain exit-codes`). `--json` prints one JSON document.
"""


def make_app(asked: str = "") -> App:
    """Return the command line.

    Args:
        asked: the command that is run: its help is all that its function says of itself, which is
            more than the line it has among the others, and costs what it imports.
    """
    app = App(name="sluice", help=ABOUT, version=_version)
    for name, where, about in COMMANDS:
        if name == asked:
            app.command(where, name=name)
        else:
            app.command(where, name=name, help=about)
    return app


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("sluice")
    except metadata.PackageNotFoundError:
        return "unknown: not installed"
