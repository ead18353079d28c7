"""A control link that ended by itself is closed like any other."""

import asyncio
import threading

import pytest

from schemas.base import BootId
from services.control import ControlGuard
from services.runtime.fastpath import BusConnection
from services.runtime.link import ControlLink


@pytest.mark.req("G-09", "O-04")
def test_a_link_whose_loop_has_just_ended_by_itself_is_closed() -> None:
    async def never() -> BusConnection:
        raise AssertionError("nobody opens it")

    link = ControlLink(
        ControlGuard("gate", BootId("b")),
        never,
        post=lambda event: None,
        clock=lambda: 0,
        lock=threading.Lock(),
    )
    ended = asyncio.new_event_loop()
    ended.close()
    is_over = threading.Event()
    link._loop, link._thread = ended, threading.Thread(target=is_over.wait)
    link._thread.start()
    threading.Timer(0.05, is_over.set).start()
    asyncio.run(link.close())
    assert not link._thread.is_alive()
