"""Run the recorder: `python -m services.recorder --config run/config.json`."""

from services.recorder.config import RecorderConfig
from services.recorder.core import RecorderCore
from services.recorder.key_file import ensure_record_key
from services.recorder.recording import Recording
from services.recorder.witness import refuse_anchors_inside
from services.repository.config import RepositoryConfig
from services.runtime.config import BusConfig
from services.runtime.serve import Context, Service, serve


def build(context: Context) -> Service:
    """Return the recorder: its core, and the shell that records.

    Raises:
        UserError: the key that signs the record cannot be used, or an anchor lies where the
            record does.
    """
    settings = context.settings
    core = RecorderCore(context.boot_id)
    config = settings.section("recorder", RecorderConfig)
    refuse_anchors_inside(settings.data_dir, config)
    recording = Recording(
        context.connect,
        clock=context.clock,
        config=config,
        data_dir=settings.data_dir,
        key=ensure_record_key(context.keys or settings.data_dir / "keys"),
        monitor_urls=settings.section("bus", BusConfig).monitor_urls,
        repository=settings.section("repository", RepositoryConfig),
    )
    return Service(
        core=core,
        adapter=recording,
        why_not_ready=lambda: core.why_not_ready(context.clock()),
    )


def main() -> None:
    """Serve until told to stop."""
    serve("recorder", build, niceness=5)


if __name__ == "__main__":
    main()
