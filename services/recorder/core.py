"""The recorder as the others see it: how far it is, how durable, and when it must warn."""

from collections.abc import Sequence

from schemas.base import NS_PER_MS, NS_PER_S, BootId, Event
from schemas.control import HaltAcknowledged, HaltRequested
from schemas.health import AlertRaised, RecorderReported, Severity
from schemas.isolation import PartFailed
from schemas.recording import (
    AnchoringRead,
    DurabilityRead,
    Hole,
    HolesFound,
    RecordingChanged,
    RecordingLagged,
    RecordingMarked,
    RecordsMissed,
)
from schemas.restrictions import LockRequested
from services.core import NOTHING
from services.recorder.continuity import BEATS, BEATS_STREAM, Heard

SERVICE = "recorder"
STALLED_NS = 5 * NS_PER_S
"""Without a word of the shell for so long, which speaks each second, recording has stalled."""

STARTING = "the streams are being opened"
HOLES_NAMED_MAX = 3
"""In one alert; the record names them."""


class RecorderCore:
    """Turn what the shell saw into reports, alerts and, where the record is broken, a halt.

    The recording itself decides nothing and is done by the shell: every byte as it came.
    """

    hears: frozenset[type[Event]] = frozenset(
        {
            HaltRequested,
            RecordingMarked,
            RecordingLagged,
            RecordingChanged,
            RecordsMissed,
            DurabilityRead,
            AnchoringRead,
            HolesFound,
            PartFailed,
            *BEATS,
        }
    )
    keeps: frozenset[type[Event]] = frozenset()

    def __init__(self, boot_id: BootId) -> None:
        self.wake_at_ns: int | None = None
        self._boot_id = boot_id
        self._halts = 0
        self._progress = RecordingMarked(at_ns=0, recorded_count=0, chain_head="")
        self._recorded_ns = 0
        self._lag_count = 0
        self._stuck: dict[str, tuple[int, int]] = {}
        """By stream that is behind: how far it is recorded, and since when it is no further."""

        self._heard = Heard()
        self._is_unstored_told = False
        self._missing_count = 0
        self._state = RecordingChanged(at_ns=0, is_recording=False, detail=STARTING)
        self._anchoring = AnchoringRead(at_ns=0, signed_count=0)
        self._anchored_count = 0
        self._durability = DurabilityRead(at_ns=0, is_durable=False, detail="not checked yet")

    def why_not_ready(self, now_ns: int) -> str:
        """Return why nothing is being recorded; empty while everything is.

        A disk that hangs ends nothing and says nothing: so silence of our own shell is trouble. So
        is a shell that looks on while what is stored does not come to it, and a bus that stores no
        more: it tells no publisher.
        """
        if not self._state.is_recording:
            return self._state.detail
        silent_ns = now_ns - self._progress.at_ns
        if silent_ns > STALLED_NS:
            silent_ms = silent_ns // NS_PER_MS
            return f"nothing was synced or looked at for {silent_ms} ms: does a disk hang?"
        for stream, (_, since_ns) in self._stuck.items():
            if now_ns - since_ns > STALLED_NS:
                stuck_ms = (now_ns - since_ns) // NS_PER_MS
                lag = f"{self._lag_count} messages are stored"
                return f"{lag}, and none of {stream} was recorded for {stuck_ms} ms"
        return self._heard.why_not_stored(now_ns)

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take in what the shell saw; alert when it is worse than it was."""
        match event:
            case RecordingMarked():
                self._mark(event)
            case RecordingLagged():
                return self._lag(event, now_ns)
            case HaltRequested():
                return self._acknowledge(now_ns)
            case RecordingChanged():
                return self._change(event, now_ns)
            case RecordsMissed():
                return self._missed(event, now_ns)
            case DurabilityRead():
                return self._judge(event, now_ns)
            case AnchoringRead():
                return self._anchored(event, now_ns)
            case HolesFound():
                return self._find_holes(event, now_ns)
            case PartFailed(alert=alert):
                return [alert]
            case _ if type(event) in BEATS:
                self._heard.hear(event, now_ns)
        return NOTHING

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Nothing is ever due."""
        return NOTHING

    def restore(self, event: Event) -> None:
        """Nothing is kept: the chained journal is the state, and the shell's."""
        raise AssertionError("the recorder's core keeps no events")

    def describe(self, now_ns: int) -> RecorderReported:
        """Return how far the record goes, and whether it would survive a power cut."""
        why_not = self.why_not_ready(now_ns)
        durability = self._durability
        word = "durable" if durability.is_durable else "NOT DURABLE"
        detail = f"{word}: {durability.detail}"
        if self._missing_count:
            detail += f"; {self._missing_count} events did not reach the record (SLU-170)"
        if self._anchoring.trouble:
            detail += f"; NOT ANCHORED: {self._anchoring.trouble}"
        return RecorderReported(
            at_ns=now_ns,
            is_durable=durability.is_durable and not why_not,
            detail=f"NOT RECORDING: {why_not}; {detail}" if why_not else detail,
            recorded_count=self._progress.recorded_count,
            lag_count=self._lag_count,
            chain_head=self._progress.chain_head,
            last_recorded_ns=self._recorded_ns,
            anchored_count=self._anchored_count,
            anchoring_trouble=self._anchoring.trouble,
        )

    def _mark(self, marked: RecordingMarked) -> None:
        if marked.recorded_count != self._progress.recorded_count:
            self._recorded_ns = marked.at_ns
        self._progress = marked

    def _lag(self, lagged: RecordingLagged, now_ns: int) -> Sequence[Event]:
        """Note what does not move: that another stream is recorded is no help to this one."""
        self._lag_count = lagged.lag_count
        before, self._stuck = self._stuck, {}
        for stream, seq in lagged.behind.items():
            known_seq, since_ns = before.get(stream, (-1, 0))
            self._stuck[stream] = (seq, since_ns if seq == known_seq else lagged.at_ns)
        return self._compare(lagged, now_ns)

    def _compare(self, lagged: RecordingLagged, now_ns: int) -> Sequence[Event]:
        """Compare what was heard with what was stored; alert when it begins to be missing."""
        if (newest_seq := lagged.newest.get(BEATS_STREAM)) is not None:
            recorded_seq = lagged.behind.get(BEATS_STREAM, newest_seq)
            self._heard.look(
                lagged.kept, newest_seq=newest_seq, recorded_seq=recorded_seq, at_ns=lagged.at_ns
            )
        why_not = self._heard.why_not_stored(now_ns)
        was_told, self._is_unstored_told = self._is_unstored_told, bool(why_not)
        if not why_not or was_told:
            return NOTHING
        return [_alert(Severity.CRITICAL, "SLU-141", why_not, now_ns)]

    def _acknowledge(self, now_ns: int) -> list[Event]:
        self._halts += 1
        acknowledged = HaltAcknowledged(
            at_ns=now_ns, component=SERVICE, boot_id=self._boot_id, halts=self._halts, fence=0
        )
        return [acknowledged]

    def _change(self, changed: RecordingChanged, now_ns: int) -> list[Event]:
        """Alert once for each kind of trouble; a damaged journal halts: nobody can trust it."""
        previous, self._state = self._state, changed
        if changed.is_recording and not previous.is_recording:
            self._heard = Heard()  # before this there may have been no stream for it
        is_news = previous.is_recording or previous.code != changed.code
        if changed.is_recording or not is_news:
            return []
        alert = _alert(Severity.CRITICAL, changed.code, changed.detail, now_ns)
        return [*_halt(changed, now_ns), alert]

    def _missed(self, missed: RecordsMissed, now_ns: int) -> list[Event]:
        """Lock: a record with a hole in it, or one that tells two stories, proves nothing."""
        stream, expected, got = missed.stream, missed.expected_seq, missed.got_seq
        what = f"{stream} goes on at {got} where {expected} was due: it has lost its tail"
        if got > expected:
            what = f"messages {expected} to {got - 1} of {stream} are gone, and not recorded"
        alert = _alert(Severity.CRITICAL, "SLU-142", what, now_ns)
        return [*_lock("SLU-142", what, now_ns), alert]

    def _find_holes(self, found: HolesFound, now_ns: int) -> list[Event]:
        """Alert; trading goes on: a hole is seen late, and an outage has halted it before."""
        self._missing_count += found.unlisted_count + sum(h.missing_count for h in found.holes)
        return [_alert(Severity.WARNING, "SLU-170", _in_words(found), now_ns)]

    def _judge(self, read: DurabilityRead, now_ns: int) -> list[Event]:
        previous, self._durability = self._durability, read
        if read.is_durable or read.detail == previous.detail:
            return []
        return [_alert(Severity.INFO, "SLU-143", f"NOT DURABLE: {read.detail}", now_ns)]

    def _anchored(self, read: AnchoringRead, now_ns: int) -> list[Event]:
        """Alert when it begins to fail: only what stands elsewhere shows a cut end."""
        previous, self._anchoring = self._anchoring, read
        if not read.trouble:
            self._anchored_count = read.signed_count
        if not read.trouble or previous.trouble:
            return []
        return [_alert(Severity.WARNING, "SLU-144", read.trouble, now_ns)]


def _halt(changed: RecordingChanged, now_ns: int) -> list[Event]:
    if changed.code != "SLU-140":
        return []
    return _lock(changed.code, changed.detail, now_ns)


def _lock(code: str, why: str, now_ns: int) -> list[Event]:
    """Return the halt, and then the lock: only a person can say what to make of it."""
    return [
        HaltRequested(at_ns=now_ns, reason=why, operator=SERVICE),
        LockRequested(at_ns=now_ns, component=SERVICE, code=code, reason=why),
    ]


def _in_words(found: HolesFound) -> str:
    told = [
        f"{each.missing_count} of {each.publisher} on {each.subject} ({_place(each)})"
        for each in found.holes[:HOLES_NAMED_MAX]
    ]
    if left := len(found.holes) - len(told):
        told.append(f"and some on {left} other subjects")
    if found.unlisted_count:
        told.append(f"and {found.unlisted_count} beyond these")
    said = ", ".join(told)
    search = "`sluice audit search --subject record.hole`"
    return f"events did not reach the record: {said}; see {search}"


def _place(hole: Hole) -> str:
    first, last = hole.first_seq, hole.last_seq
    return f"{first}" if first == last else f"{first} to {last}"


def _alert(severity: Severity, code: str, message: str, now_ns: int) -> AlertRaised:
    return AlertRaised(
        at_ns=now_ns, severity=severity, component=SERVICE, code=code, message=message
    )
