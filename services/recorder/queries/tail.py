"""Follow the recorder's files as they grow, by place: what was read once is not read again."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from schemas.errors import StateError
from services.recorder.chain import Record, read_line
from services.recorder.reader import files_after, lines, segments


class Tail:
    """Reads on from record `n`.

    Attributes:
        n: the last record handed out.
    """

    def __init__(self, folder: Path, n: int) -> None:
        self.n = n
        self._folder = folder
        self._path: Path | None = None
        self._offset_bytes = 0

    def read(self) -> Iterator[Record]:
        """Yield the records that are there after `n`; stop where the recorder has not written.

        Raises:
            StateError: SLU-140 a line is no record; SLU-141 a file cannot be read.
        """
        try:
            if self._path is None or not self._path.exists():
                self._path, self._offset_bytes = (
                    next(iter(files_after(self._folder, self.n)), None),
                    0,
                )
            while self._path is not None:
                yield from self._read_file(self._path)
                later = [path for path in segments(self._folder) if path > self._path]
                if not later:
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
            if record.n > self.n:
                self.n = record.n
                yield record
