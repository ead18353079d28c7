"""Follow the recorder's files as they grow, by place: what was read once is not read again."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from schemas.errors import StateError
from services.recorder.chain import Record, hash_of, read_line
from services.recorder.reader import files_after, lines, segments


class RecordReplacedError(StateError):
    """Another record lies where the one lay that was followed: an older copy was put there."""


class Tail:
    """Reads on from record `n`.

    Attributes:
        n: the last record handed out.
        hash: of that record; empty: not known.
    """

    def __init__(self, folder: Path, n: int, hash_: str = "") -> None:
        self.n, self.hash = n, hash_
        self._folder = folder
        self._newest_n = 0  # that was come upon, handed out or not
        self._is_same = not hash_  # as far as it was looked at since the last time at its end
        self._path: Path | None = None
        self._offset_bytes = 0

    def read(self) -> Iterator[Record]:
        """Yield the records that are there after `n`; stop where the recorder has not written.

        Only what was read at another time is compared: a link that is broken further on is damage,
        which a reading from the beginning meets as well, and `sluice audit verify` tells.

        Raises:
            RecordReplacedError: SLU-145 what lies there does not go on from record `n`.
            StateError: SLU-140 a line is no record; SLU-141 a file cannot be read.
        """
        try:
            if self._path is None or not self._path.exists():
                self._path, self._offset_bytes = (
                    next(iter(files_after(self._folder, self.n)), None),
                    0,
                )
                self._newest_n = 0
            while self._path is not None:
                # What follows is looked for first: only a file that is not written to any more is
                # read to its end.
                later = [path for path in segments(self._folder) if path > self._path]
                yield from self._read_file(self._path)
                if not later:
                    if 0 < self._newest_n < self.n:
                        raise self._replaced(f"it ends at record {self._newest_n}")
                    self._is_same = False
                    return
                self._path, self._offset_bytes = later[0], 0
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            wanted = "the file as it was written; `sluice audit verify` says more"
            path, record = self._path, self.n + 1
            raise StateError(
                "SLU-140", path=path, record=record, found=str(error), wanted=wanted
            ) from error
        except OSError as error:
            found = error.strerror or str(error)
            raise StateError("SLU-141", path=self._folder, found=found, wanted="to read") from error

    @property
    def lag_bytes(self) -> int:
        """Bytes of the record that were not read yet, as far as can be seen."""
        files = segments(self._folder)
        later = [path for path in files if self._path is None or path >= self._path]
        return max(0, sum(path.stat().st_size for path in later) - self._offset_bytes)

    def _read_file(self, path: Path) -> Iterator[Record]:
        for line in lines(path, self._offset_bytes):
            record = read_line(line)
            self._offset_bytes += len(line) + 1
            self._newest_n = max(self._newest_n, record.n)
            if record.n == self.n:
                self._compare(hash_of(line))
            elif record.n > self.n:
                if record.n == self.n + 1:
                    self._compare(record.prev_hash)
                self.n, self.hash = record.n, hash_of(line)
                yield record

    def _compare(self, found: str) -> None:
        """Refuse another record in the place of the last one that was handed out."""
        if self.hash and not self._is_same and found != self.hash:
            raise self._replaced(f"the hash of its record {self.n} is {found}, not {self.hash}")
        self._is_same = True

    def _replaced(self, found: str) -> RecordReplacedError:
        wanted = f"the record that was followed up to {self.n}: what follows is made anew"
        return RecordReplacedError("SLU-145", path=self._folder, found=found, wanted=wanted)
