"""What an event is found by: the fields that most of them have, read without the rest."""

import msgspec


class Inner(msgspec.Struct):
    """The same of an order that the event carries."""

    order_id: str = ""
    account: str = ""
    session: str | None = None
    instrument: str = ""


class Head(msgspec.Struct):
    """What events are found by."""

    type: str = ""
    at_ns: int = 0
    src: str = ""
    account: str = ""
    session: str | None = None
    instrument: str = ""
    order_id: str = ""
    order: Inner | None = None


class _Least(msgspec.Struct):
    type: str = ""
    at_ns: int = 0
    src: str = ""


_head = msgspec.json.Decoder(Head)
_least = msgspec.json.Decoder(_Least)


NO_ORDER = Inner()


def read_head(body: bytes) -> Head:
    """Return what an event can be found by; nothing where nobody can read it."""
    try:
        return _head.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        least = _least.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Head()
    return Head(least.type, least.at_ns, least.src)
