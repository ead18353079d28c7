"""Whether the bus lets in whoever has no key: then anybody who reaches it may trade."""

from schemas.errors import BusError
from services.runtime.config import BusConfig
from services.runtime.connect import connect

ANONYMOUS_TIMEOUT_S = 1.0
ADVICE = "use ops/nats/server.conf: whoever reaches this bus may trade"


async def lets_anybody_in(bus: BusConfig) -> bool:
    """Try to come in without a key, as nobody: it must fail."""
    try:
        connection = await connect("nobody", BusConfig(url=bus.url), timeout_s=ANONYMOUS_TIMEOUT_S)
    except BusError:
        return False
    await connection.close()
    return True
