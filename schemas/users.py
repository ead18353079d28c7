"""Who is on the bus: one table for keys, rights and files."""

USERS = (
    "recorder",
    "venue",
    "feed",
    "strategy",
    "gate",
    "executor",
    "breaker",
    "console",
    "reports",
    "supervisor",
    "operator",
    "viewer",
)
"""Every user of the bus; `ops/nats/server.conf` says what each may do."""
