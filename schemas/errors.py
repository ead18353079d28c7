"""The errors raised on purpose: one class per who must act, one code per thing that went wrong.

    SluiceError
      UserError        what a person typed or configured; they mend it        exit 2
      WireError        bytes on the bus are not one of our events; the sender's fault
      BusError         the bus refuses us or is away; the operator's          exit 3
      VenueError       the venue or its connection; retried or reconciled
      StateError       our own files are not what we wrote; an operator decides

A refused order is not an error: it is an event. A broken invariant is an `assert`.
"""

import enum

import msgspec
from msgspec.structs import force_setattr

from schemas.masking import masked


class ErrorSeverity(enum.StrEnum):
    """What the system does about an error (S-14)."""

    CRITICAL = "CRITICAL"
    """Goes to health, and the component is restarted."""

    HIGH = "HIGH"
    """Retried three times with exponential backoff."""

    MEDIUM = "MEDIUM"
    """The component goes on with less."""

    LOW = "LOW"
    """Logged."""


class ErrorEntry(msgspec.Struct, frozen=True):
    """One row of the registry."""

    code: str
    component: str
    severity: ErrorSeverity
    message: str
    resolution: str


_TABLE = """
LTS-001 | strategy | HIGH | execution failed | see the order's reason; it is never sent again
LTS-002 | strategy | HIGH | config slicing failed | mend the strategy's section
LTS-003 | strategy | CRITICAL | component creation failed | mend the strategy or its clients
LT-001 | control | HIGH | request validation failed | mend the fields named in the answer
LT-002 | control | HIGH | config creation failed | mend config_overrides in the request
LT-003 | strategy | CRITICAL | engine initialisation failed | see the cause; then start again
LT-004 | strategy | CRITICAL | session execution failed | mend the strategy; start a new session
LT-005 | strategy | MEDIUM | monitoring failed | the session goes on; look at the recorder
LT-006 | strategy | MEDIUM | stop failed | it is stopped; look at what it holds, or flatten
LT-007 | gate | HIGH | risk check failed | the signal was denied; see the decision
SLU-100 | config | HIGH | configuration is not valid | mend the field named; `sluice config check`
SLU-101 | config | HIGH | a name has characters the bus cannot carry | use letters, digits, - and _
SLU-102 | config | HIGH | a file is missing or cannot be read | check the path and its rights
SLU-103 | cli | LOW | a command was used wrongly | see --help
SLU-104 | cli | HIGH | no system is running here | start one with `sluice up`
SLU-110 | feed | HIGH | a recording cannot be read | check the file and line named
SLU-111 | feed | MEDIUM | the order book has a hole | nothing: the book is rebuilt by itself
SLU-112 | feed | MEDIUM | market data is stale | check the feed's source and connection
SLU-120 | bus | MEDIUM | a message could not be decoded | look at dead.letters; fix its sender
SLU-121 | bus | CRITICAL | the bus refused a right this service needs | check ops/nats and the keys
SLU-122 | bus | CRITICAL | the bus cannot be reached | start nats-server, or check --nats-url
SLU-123 | bus | HIGH | events of a publisher are missing | nothing: the component resynchronises
SLU-124 | bus | HIGH | a message is too large for the bus | send less, or raise max_payload
SLU-125 | bus | HIGH | the bus is there, a component does not answer | see `sluice status`, its log
SLU-130 | executor | HIGH | the venue cannot be reached | orders are held unknown until it can
SLU-131 | executor | CRITICAL | our book and the venue's differ | compare both; adopt or flatten
SLU-132 | executor | HIGH | an order's fate is unknown | nothing: it is queried until known
SLU-133 | executor | CRITICAL | the venue gave one id to two orders, or two to one | see both there
SLU-134 | executor | CRITICAL | not flat | close what is listed at the venue, or flatten again
SLU-135 | executor | CRITICAL | orders still rest at the venue | cancel them there by hand
SLU-136 | executor | HIGH | the venue contradicts itself | nothing: the books are compared first
SLU-137 | executor | MEDIUM | our book and the venue's differ within tolerance | adopt or ignore it
SLU-140 | state | CRITICAL | a journal is damaged | do not delete it; see the record named
SLU-141 | state | CRITICAL | state cannot be written | free the disk; trading stays halted
SLU-142 | recorder | CRITICAL | a stream does not go on where our record ends | look at its disk
SLU-143 | recorder | LOW | what is stored is not durable | set `sync_interval: always`, see status
SLU-144 | recorder | HIGH | a checkpoint is not outside the data folder | mend the place named
SLU-145 | reports | MEDIUM | a report or the query store failed | `sluice audit rebuild`
SLU-146 | recorder | MEDIUM | a clock may be wrong | set it, then restart the services
SLU-147 | recorder | HIGH | the record does not verify | keep it; compare it with a backup
SLU-148 | backup | HIGH | a backup cannot be used | see what is named; use another one
SLU-149 | export | MEDIUM | an export could not be made | see the value named, or use --csv
SLU-150 | breaker | CRITICAL | a breaker tripped | look at its inputs; then reset and start
SLU-151 | breaker | HIGH | a start was refused | mend what the answer names
SLU-152 | control | CRITICAL | a component did not acknowledge a halt | kill its process
SLU-153 | breaker | HIGH | an epoch ended by itself | see its reason; then `sluice start`
SLU-154 | control | CRITICAL | the control stream lost records | see its disk; then `sluice unlock`
SLU-155 | control | CRITICAL | the limits differ | restart with one config; then `sluice unlock`
SLU-156 | control | CRITICAL | a publisher counts backwards | see who it is; then `sluice unlock`
SLU-157 | control | MEDIUM | a person took a lock away | see who and why in the alert
SLU-158 | control | CRITICAL | everything is locked | look into its reason; then `sluice unlock`
SLU-160 | supervisor | CRITICAL | a service crashes again and again | see its log under var/log
SLU-162 | supervisor | HIGH | a service ended and is started again | if it repeats: see var/log
SLU-163 | supervisor | HIGH | a system runs on this data folder already | stop it, or use another
SLU-170 | recorder | MEDIUM | events did not reach the record | search it for record.hole
SLU-171 | recorder | HIGH | another key signs the record than before | see who took record.pem away
SLU-175 | gate | HIGH | a limit changed while running is left out | see the file; change it again
SLU-161 | runtime | CRITICAL | a service ended itself: a rule that must hold did not | see its log
SLU-180 | calendars | HIGH | a trading calendar does not reach that far | install a newer release
SLU-185 | gate | CRITICAL | a strategy executed too often and is stopped | look at it; then start
SLU-186 | gate | HIGH | an intraday margin deficit | deposit or reduce before it is due
SLU-187 | gate | MEDIUM | an order makes a wash sale | see the decision; the loss is deferred
SLU-188 | gate | HIGH | orders ended unseen and count at their worst | see them; end their sessions
SLU-200 | repository | HIGH | the repository cannot be used | see its file, or its database
SLU-201 | repository | MEDIUM | a newer release wrote the repository | install that release
SLU-202 | repository | HIGH | a record cannot be read | install the release that wrote it
SLU-210 | strategy | MEDIUM | a session reached a limit of its own | see which; then resume it
SLU-211 | strategy | HIGH | a session outgrew its memory and was ended | mend it; raise its limit
SLU-212 | strategy | HIGH | a session's process broke its rules and was ended | mend the strategy
SLU-213 | backtest | LOW | a process at work was ended from outside | run it again; a sweep goes on
SLU-190 | breaker | MEDIUM | a breaker warns | look at its inputs: `sluice explain breaker`
SLU-191 | breaker | MEDIUM | a person changed a breaker's levels | see who and why in the alert
"""


def _entry(line: str) -> ErrorEntry:
    code, component, severity, message, resolution = (part.strip() for part in line.split("|"))
    return ErrorEntry(code, component, ErrorSeverity(severity), message, resolution)


REGISTRY: dict[str, ErrorEntry] = {
    entry.code: entry for entry in map(_entry, _TABLE.strip().splitlines())
}
"""Every code there is."""


FIELD_CODES = (
    ("$.prerequisites", ""),
    ("$.config_overrides", "LT-002"),
    ("$", "LT-001"),
    ("sluice.toml: strategy.", "LTS-002"),
)
"""Which code a wrong field has follows from where it is; the first that fits counts.

Whoever asked is told at once, and nothing is tried again: the same bytes would be refused again.
"""


class FieldError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong with one field of a request or a file."""

    path: str
    """Where: `$.initial_capital`, or `sluice.toml: gate.price_collar_bps`."""

    found: str
    wanted: str
    code: str = ""
    """Of the registry; empty where the error around it has one."""

    def __post_init__(self) -> None:
        if not self.code:
            code = next((code for head, code in FIELD_CODES if self.path.startswith(head)), "")
            force_setattr(self, "code", code)


class SluiceError(Exception):
    """Root of every error raised on purpose.

    Attributes:
        code: a key of `REGISTRY`.
        fields: what was found, wanted, and where, by name; what has the form of a secret is masked,
            for an error is told to people, logged and published.
    """

    def __init__(self, code: str, **fields: object) -> None:
        assert code in REGISTRY, code
        self.code = code
        self.fields = {name: masked(str(value)) for name, value in fields.items()}
        said = ", ".join(f"{name}: {value}" for name, value in self.fields.items())
        super().__init__(f"{code} {REGISTRY[code].message}" + (f" ({said})" if said else ""))

    @property
    def entry(self) -> ErrorEntry:
        """The registry's row for this error."""
        return REGISTRY[self.code]


class UserError(SluiceError):
    """What a person typed or configured is wrong: they must mend it."""


class WireError(SluiceError):
    """Bytes on the bus are not one of our events: the sender's fault, not ours.

    The runtime parks the message and goes on; no core ever sees it.
    """


class BusError(SluiceError):
    """The bus refuses us, or is not there: the operator must act."""


class VenueError(SluiceError):
    """The venue, or the way to it, is at fault: the executor reconciles."""


class StateError(SluiceError):
    """Our own files are not what we wrote: an operator must decide."""
