"""Run the recorder: `python -m services.recorder --config run/config.json`."""

from services.recorder.config import RecorderConfig
from services.recorder.core import RecorderCore
from services.recorder.recording import Recording
from services.runtime.config import BusConfig
from services.runtime.serve import Context, Service, serve


def build(context: Context) -> Service:
    """Return the recorder: its core, and the shell that records."""
    settings = context.settings
    core = RecorderCore(context.boot_id)
    recording = Recording(
        context.connect,
        clock=context.clock,
        config=settings.section("recorder", RecorderConfig),
        data_dir=settings.data_dir,
        monitor_url=settings.section("bus", BusConfig).monitor_url,
    )
    return Service(core=core, adapter=recording, why_not_ready=core.why_not_ready)


def main() -> None:
    """Serve until told to stop."""
    serve("recorder", build, niceness=5)


if __name__ == "__main__":
    main()
