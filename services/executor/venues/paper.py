"""The paper exchange as a process of its own: it survives its executor, as a real venue does.

`python -m services.executor.venues.paper --config run/config.json`
"""

from services.executor.config import VenueConfig
from services.executor.venues.matching import VenueCore
from services.executor.venues.paper_server import PaperServer
from services.runtime.serve import Context, Service, serve
from services.venue_door import address_file


def build(context: Context) -> Service:
    """Return the paper exchange: its core, and the door the executor comes in by."""
    settings = context.settings
    config = settings.section("venue", VenueConfig)
    return Service(
        core=VenueCore(config, settings.instruments, settings.account.initial_cash),
        adapter=PaperServer(config, address_file(settings.data_dir)),
    )


def main() -> None:
    """Serve until told to stop."""
    serve("venue", build, niceness=5)


if __name__ == "__main__":
    main()
