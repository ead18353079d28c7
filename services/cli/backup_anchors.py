"""What anchors tell of a record that a backup holds the beginning of."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.recorder.checkpoints import Checkpoint, public_keys_of, why_not_signed
from services.recorder.key_file import PUBLIC
from services.recorder.reader import lines
from services.recorder.witness import ANCHORS
from services.runtime.paths import is_there


def anchored_ns(places: Sequence[Path], keys: Mapping[str, Ed25519PublicKey]) -> dict[str, int]:
    """Return the last record that each of the keys has anchored in any of the places; 0 if none."""
    return {
        name: max((_last_n(place / name, {name: key}) for place in places), default=0)
        for name, key in keys.items()
    }


def others_n(places: Sequence[Path], keys: Mapping[str, Ed25519PublicKey]) -> int:
    """Return the last record that any other key has anchored there; 0 if none.

    Of a life after an earlier restore, which the backup cannot know, or of another system.
    """
    folders = [each for place in places for each in _folders(place) if each.name not in keys]
    return max((_last_n(each, _keys_in(each)) for each in folders), default=0)


def _folders(place: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (each for each in sorted(place.iterdir()) if each.is_dir())


def _keys_in(folder: Path) -> dict[str, Ed25519PublicKey]:
    with contextlib.suppress(OSError, ValueError):
        return public_keys_of((folder / PUBLIC).read_bytes())
    return {}


def _last_n(folder: Path, keys: Mapping[str, Ed25519PublicKey]) -> int:
    """Return the highest record of a folder's anchors; what none of the keys signed is none."""
    path, found = folder / ANCHORS, 0
    if not is_there(path):
        return 0
    for line in lines(path):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            said = msgspec.json.decode(line, type=Checkpoint)
            if said.n > found and not why_not_signed(said, keys):
                found = said.n
    return found
