"""`sluice doctor` on a bus where somebody says what is no health report."""

import asyncio

import pytest

from schemas.base import BootId
from schemas.health import HealthReported
from schemas.subjects import SUBJECTS
from schemas.wire import encode
from services.cli import doctor
from services.cli.desk import Desk
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from tests.bus import run

pytestmark = pytest.mark.req("O-02", "S-14")


def test_what_nobody_can_read_is_a_finding_and_keeps_no_report_from_being_heard(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "LISTEN_S", 0.5)
    config = BusConfig(url=nats_url)
    subject = SUBJECTS[HealthReported]
    sound = HealthReported(
        at_ns=1, service="gate", boot_id=BootId("b"), pid=1, is_ready=True, uptime_s=1.0
    )

    async def main() -> tuple[set[str], list[str]]:
        ours, theirs = await connect("kim", config), await connect("gate", config)

        async def speak() -> None:
            while True:
                theirs.send(subject, b"no event")
                theirs.send(subject, encode(sound))
                await asyncio.sleep(0.01)

        speaking = asyncio.ensure_future(speak())
        heard, unreadable = await doctor._listen(Desk(ours, "kim", config))
        speaking.cancel()
        lost = ours.lost_because
        await ours.close()
        await theirs.close()
        assert lost == "", "our connection stands"
        return set(heard), unreadable

    heard, unreadable = run(main())
    assert heard == {"gate"}
    [finding] = doctor._unreadable(unreadable)
    assert (finding.what, finding.verdict) == ("health reports", doctor.BAD)
    assert finding.found.startswith(f"{len(unreadable)} that nobody can read; the last: SLU-120")
    assert "Traceback" not in capsys.readouterr().err
    assert list(doctor._unreadable([])) == []
