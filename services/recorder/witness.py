"""Checkpoints and anchors on the disk: where the journal stood, signed, here and elsewhere."""

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schemas.base import NS_PER_S
from schemas.errors import StateError, UserError
from services.recorder.appending import append_line, cut_torn, unwritable
from services.recorder.chain import Head
from services.recorder.checkpoints import Checkpoint, RecordKey, Restoration, why_not_signed
from services.recorder.config import RecorderConfig
from services.recorder.key_file import PUBLIC, publish_key, read_public_keys
from services.recorder.own import RESTORATIONS
from services.recorder.reader import last_line, lines
from services.runtime.paths import is_there

CHECKPOINTS = "checkpoints.jsonl"
ANCHORS = "anchors.jsonl"
COMMAND_S_MAX = 10.0
NS_PER_MS = NS_PER_S // 1_000


class Witness:
    """Signs where the journal stands, as often as configured, and tells it to other places.

    Attributes:
        newest: the newest checkpoint; None before the first.
        set_back_s: how far the clock stood before the checkpoint before it when it was signed, in
            seconds; 0 if it did not.
        replaced: what is to be said where another key signed until now, and no restore says why.
    """

    def __init__(self, folder: Path, key: RecordKey, config: RecorderConfig) -> None:
        """Open the checkpoints of a journal's folder.

        Raises:
            StateError: SLU-140, the newest checkpoint is none; SLU-141, no reading or writing.
        """
        self._key, self._config = key, config
        self._path = folder / CHECKPOINTS
        publish_key(folder, key)
        self._places = tuple(Path(each).expanduser() for each in config.anchor_dirs)
        self._known = read_public_keys(folder / PUBLIC)
        self.newest = _newest(self._path)
        self.replaced = _replaced(self.newest, key)
        self.set_back_s = 0
        self._anchored_n = 0

    def check(self, head: Head) -> None:
        """Refuse a journal that ends before what was signed, here or elsewhere, had been written.

        By any key that ever signed it: to take the key away would make its anchors forgotten. Not
        where it was restored under a new one: the system whose key that was may still run.

        Raises:
            StateError: SLU-140, it does, or its last record is another one.
        """
        own, restorations = self._key.fingerprint, self._path.with_name(RESTORATIONS)
        restored_ns = _restored_ns(restorations, own, self._key.public)
        _refuse_older(self._path, _newest(self._path), head, restored_ns)
        for key, public in self._known.items():
            if key != own and restored_ns:
                continue
            since_ns = max(restored_ns, _restored_ns(restorations, key, public))
            for path in (place / key / ANCHORS for place in self._places):
                with contextlib.suppress(OSError):  # a place that is away is said at the writing
                    _refuse_older(path, _last(path), head, since_ns)

    def look(self, head: Head, now_ns: int, *, is_last: bool = False) -> bool:
        """Sign where the journal stands, if it is time to; return whether it was.

        Args:
            head: where it stands, on the disk.
            now_ns: in ns since the epoch.
            is_last: whether nothing comes after it: then it is time.

        Raises:
            StateError: SLU-141, the disk did not take it.
        """
        newest = self.newest
        n, at_ns = (0, 0) if newest is None else (newest.n, newest.at_ns)
        if head.n == n:
            return False
        is_set_back = now_ns < at_ns  # nobody knows how long ago that was
        is_due = is_set_back or now_ns - at_ns >= self._config.checkpoint_every_ms * NS_PER_MS
        if not (is_last or is_due or head.n - n >= self._config.checkpoint_every):
            return False
        made = self._key.checkpoint(head.n, head.hash, now_ns)
        append_line(self._path, msgspec.json.encode(made) + b"\n")
        self.newest = made
        self.set_back_s = -((now_ns - at_ns) // NS_PER_S) if is_set_back else 0
        return True

    def anchor(self) -> str:
        """Tell the newest checkpoint to every other place; return what went wrong, in words.

        Blocks, for as long as such a place may: call it off the event loop.
        """
        newest = self.newest
        if newest is None or newest.n == self._anchored_n:
            return ""
        line = msgspec.json.encode(newest) + b"\n"
        troubles = [self._anchor_in(place, line) for place in self._places]
        if self._config.anchor_command:
            troubles.append(_tell(self._config.anchor_command, line))
        trouble = "; ".join(each for each in troubles if each)
        if not trouble:
            self._anchored_n = newest.n
        return trouble

    def _anchor_in(self, place: Path, line: bytes) -> str:
        try:
            path = self._anchor_file(place)
            publish_key(path.parent, self._key)
            append_line(path, line)
        except StateError as error:
            return f"{error.fields['path']}: {error.fields['found']}"
        return ""

    def _anchor_file(self, place: Path) -> Path:
        return place / self._key.fingerprint / ANCHORS


def _replaced(newest: Checkpoint | None, key: RecordKey) -> str:
    if newest is None or newest.key == key.fingerprint:
        return ""
    before = f"the checkpoint of record {newest.n} is signed by {newest.key}"
    return f"{before}; from here on {key.fingerprint} signs: was record.pem lost, or taken away?"


def refuse_anchors_inside(data_dir: Path, config: RecorderConfig) -> None:
    """Refuse anchors where whoever changes the record changes them too.

    Raises:
        UserError: a folder is relative, or lies in the data folder.
    """
    for text in config.anchor_dirs:
        path = Path(text).expanduser()
        if not path.is_absolute() or path.resolve().is_relative_to(data_dir.resolve()):
            wanted = f"an absolute path outside {data_dir}, best on another disk or machine"
            raise UserError("SLU-100", path="recorder.anchor_dirs", found=text, wanted=wanted)


def _newest(path: Path) -> Checkpoint | None:
    """Return the newest checkpoint of our own file; the torn line of a crash is cut off.

    Raises:
        StateError: SLU-140, it is none; SLU-141, the file cannot be read.
    """
    try:
        if is_there(path):
            cut_torn(path)
        return _last(path)
    except OSError as error:
        raise unwritable(path, error) from error


def _last(path: Path) -> Checkpoint | None:
    """Return the last checkpoint of a file that was written to its end; None: there is none.

    Raises:
        OSError: the file cannot be read.
        StateError: SLU-140, it is none.
    """
    if not is_there(path):
        return None
    end = path.stat().st_size
    end -= len(last_line(path, end))
    line = last_line(path, end - 1) if end else b""
    try:
        return msgspec.json.decode(line, type=Checkpoint) if line else None
    except msgspec.MsgspecError as error:
        wanted = "a checkpoint: keep the file, and see `sluice audit verify`"
        raise StateError("SLU-140", path=path, found=error, wanted=wanted) from error


def _restored_ns(path: Path, key: str, public: Ed25519PublicKey) -> int:
    """Return when the record was last restored from a backup, which loses what came after it.

    What this key did not sign says nothing of what it did: whoever can write here could have cut
    the end off.
    """
    found = [0]
    for line in lines(path) if is_there(path) else ():
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            said = msgspec.json.decode(line, type=Restoration)
            if not why_not_signed(said, {key: public}):
                found.append(said.at_ns)
    return max(found)


def _refuse_older(path: Path, newest: Checkpoint | None, head: Head, restored_ns: int) -> None:
    if newest is None or newest.n < head.n or newest.at_ns < restored_ns:
        return
    if newest.n > head.n:
        found = f"it ends at record {head.n}; record {newest.n} was signed at {path}"
        raise StateError("SLU-140", record=head.n + 1, found=found, wanted=_WANTED)
    if newest.hash != head.hash:
        found = f"its hash is {head.hash}; {newest.hash} was signed at {path}"
        raise StateError("SLU-140", record=head.n, found=found, wanted=_WANTED)


_WANTED = "the journal as it was written: keep it; `sluice backup restore` if it is lost"


def _tell(command: Sequence[str], line: bytes) -> str:
    """Return what went wrong when a command was given a checkpoint on its standard input."""
    try:
        done = subprocess.run(
            command, input=line, capture_output=True, timeout=COMMAND_S_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    said = done.stderr.decode("utf-8", "replace").strip()[:200]
    return "" if done.returncode == 0 else f"{command[0]}: exit code {done.returncode} {said}"
