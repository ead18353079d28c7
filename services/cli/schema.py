"""`sluice schema`: the vocabulary as an AsyncAPI 3 document or as JSON Schema."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from schemas import subjects
from schemas.control import ControlAnswered, ResetRequest, SessionRequest, StartRequest
from schemas.errors import UserError
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.output import Output, to_json
from services.cli.quick_banner import quick_banner

REF = "#/components/schemas/{name}"
REQUESTS: dict[str, type[msgspec.Struct]] = {
    subjects.START: StartRequest,
    subjects.RESET: ResetRequest,
    subjects.STOP: SessionRequest,
    subjects.PAUSE: SessionRequest,
    subjects.RESUME: SessionRequest,
}
"""What a person may ask by hand, and where."""


def schema(
    *,
    form: Annotated[
        Literal["asyncapi", "json-schema"], Parameter(name="--format", help="Which document.")
    ] = "asyncapi",
    output: Annotated[Path | None, Parameter(help="Write it to this file.")] = None,
    place: Place | None = None,
) -> Exit:
    """Print what is said on the bus, and where: always JSON.

    Raises:
        UserError: SLU-102 the file cannot be written.
    """
    found = place or Place()
    quick_banner(found, Output(is_json=True))
    document = asyncapi() if form == "asyncapi" else json_schema()
    text = to_json(document) + "\n"
    if output is None:
        sys.stdout.write(text)
        return Exit.OK
    try:
        output.write_text(text)
    except OSError as error:
        raise UserError(
            "SLU-102", path=output, found=error.strerror or error, wanted="a file to write"
        ) from error
    Output(found.as_json).line(f"wrote {output}")
    Output(found.as_json).data({"file": str(output)})
    return Exit.OK


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of every event on the bus and every request."""
    references, schemas = _components("#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sluice",
        "anyOf": references,
        "$defs": schemas,
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3 document: every channel, and the messages on it."""
    _, schemas = _components(REF)
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for kind, subject in _said():
        address, parameters = _address(subject)
        channel = channels.setdefault(
            _channel_id(subject), {"address": address, "messages": {}} | parameters
        )
        channel["messages"][kind.__name__] = {"$ref": f"#/components/messages/{kind.__name__}"}
    for subject in REQUESTS:
        operations[_channel_id(subject)] = _request_operation(subject)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Sluice", "version": "1", "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": _messages(), "schemas": schemas},
    }


_ABOUT = (
    "A frame is one event, or a JSON array of events of one subject. Money and quantities are "
    "decimal strings; times are ns since the epoch, in fields that end in _ns. Anything at all on "
    "control.halt, or below it, halts."
)


def _kinds() -> list[type[msgspec.Struct]]:
    requests = dict.fromkeys(REQUESTS.values())
    return [*subjects.SUBJECTS, *requests]


def _said() -> list[tuple[type[msgspec.Struct], str]]:
    """Return every message with its subject; reports are answers on the asker's inbox."""
    events: list[tuple[type[msgspec.Struct], str]] = [
        (event, subject)
        for event, subject in subjects.SUBJECTS.items()
        if not subject.startswith("report.")
    ]
    return [*events, *((kind, subject) for subject, kind in REQUESTS.items())]


def _components(template: str) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components(_kinds(), ref_template=template)


def _messages() -> dict[str, Any]:
    return {
        kind.__name__: {
            "name": kind.__name__,
            "summary": (kind.__doc__ or "").splitlines()[0],
            "payload": {"$ref": REF.format(name=kind.__name__)},
        }
        for kind in _kinds()
    }


def _address(subject: str) -> tuple[str, dict[str, Any]]:
    """Return the subject with its wildcards named, and the names as parameters."""
    tokens = subject.split(".")
    names = [f"token{index}" for index, token in enumerate(tokens) if token == "*"]
    given = iter(names)
    address = ".".join(f"{{{next(given)}}}" if token == "*" else token for token in tokens)
    return address, {"parameters": {name: {} for name in names}} if names else {}


def _channel_id(subject: str) -> str:
    return subject.replace("*", "any").replace(".", "_")


def _request_operation(subject: str) -> dict[str, Any]:
    kind = REQUESTS[subject]
    channel = f"#/channels/{_channel_id(subject)}"
    result = f"#/channels/{_channel_id(subjects.RESULT)}"
    return {
        "action": "receive",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{kind.__name__}"}],
        "reply": {
            "address": {"location": "$message.header#/replyTo"},
            "channel": {"$ref": result},
            "messages": [{"$ref": f"{result}/messages/{ControlAnswered.__name__}"}],
        },
    }
