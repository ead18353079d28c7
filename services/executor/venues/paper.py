"""The paper exchange as a process of its own: it survives its executor, as a real venue does.

`python -m services.executor.venues.paper --config PATH`
"""

import asyncio
import hmac
import secrets

import msgspec

from schemas import wire
from schemas.base import Event
from schemas.errors import SluiceError, VenueError, WireError
from services.executor.config import VenueConfig
from services.executor.venues.matching import REQUESTS, VenueCore
from services.executor.venues.protocol import (
    HELLO_BYTES_MAX,
    LINE_BYTES_MAX,
    Address,
    Hello,
    Lines,
    Post,
    Welcome,
    address_file,
    write_address,
)
from services.runtime.serve import Context, Service, serve
