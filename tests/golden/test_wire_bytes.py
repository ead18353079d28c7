"""The wire is frozen: one line a kind of event. A changed byte is a decision, not an accident."""

import enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas import wire
from schemas.base import Event
from schemas.wire import decode_kept, encode

GOLDEN = Path(__file__).with_name("wire.jsonl")
BY_KIND: dict[type[Any], Any] = {
    msgspec.inspect.IntType: 7,
    msgspec.inspect.FloatType: 1.5,
    msgspec.inspect.StrType: "text",
    msgspec.inspect.BoolType: True,
    msgspec.inspect.DecimalType: "1.25",
    msgspec.inspect.AnyType: "any",
    msgspec.inspect.NoneType: None,
}


def sample(kind: Any) -> Any:
    """Return a value of the inspected type, with every field filled in."""
    if type(kind) in BY_KIND:
        return BY_KIND[type(kind)]
    if isinstance(kind, msgspec.inspect.StructType):
        filled = {f.encode_name: sample(f.type) for f in kind.fields}
        return filled | ({} if kind.tag is None else {"type": kind.tag})
    if isinstance(kind, msgspec.inspect.EnumType):
        member: enum.Enum = next(iter(kind.cls))
        return member.value
    if isinstance(kind, msgspec.inspect.UnionType):
        return sample(next(t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType)))
    if isinstance(kind, msgspec.inspect.DictType):
        return {"key": sample(kind.value_type)}
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return [sample(kind.item_type)]
    if isinstance(kind, msgspec.inspect.TupleType):
        return [sample(item) for item in kind.item_types]
    raise AssertionError(f"no sample for {kind}")


def line_of(event: type[Event]) -> str:
    made = msgspec.convert(sample(msgspec.inspect.type_info(event)), event)
    assert decode_kept(encode(made), where=event.__name__) == made
    return encode(made).decode()


def test_every_event_has_the_bytes_it_always_had(request: pytest.FixtureRequest) -> None:
    events = sorted(wire._ALL, key=lambda event: event.__name__)
    lines = "\n".join(line_of(event) for event in events) + "\n"
    if request.config.getoption("--rewrite"):
        GOLDEN.write_text(lines)
    assert lines == GOLDEN.read_text()
