"""Files that leave this machine encrypted: age, to a public key, and never in the clear on a disk.

`writing(path, encrypt_to="age1...")` is what every export writes through: with a recipient the
bytes are encrypted as they come; without one it is a plain file. Either way the file is there whole
or not at all, and only its owner can read it.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from cyclopts import Parameter

from schemas.errors import UserError
from services.cli.private_files import PRIVATE_FILE, make_folder

EncryptTo = Annotated[
    str | None, Parameter(help="An age recipient, age1...: only its owner can read the file.")
]
"""The option of every command that exports."""

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""What a disk says that knows no second names, as a stick or a share: there a look must do."""

_AGE = b"age-encryption.org/v1"
_RECIPIENT = "an age recipient, age1... (make one: age-keygen)"


def recipient_of(text: str) -> Any:
    """Return the age recipient that a person named.

    Raises:
        UserError: it is none.
    """
    from pyrage import RecipientError, x25519

    try:
        return x25519.Recipient.from_str(text.strip())
    except RecipientError as error:
        raise UserError("SLU-103", path="--encrypt-to", found=text, wanted=_RECIPIENT) from error


@contextlib.contextmanager
def writing(path: Path, *, encrypt_to: str | None, is_replacing: bool = True) -> Iterator[BinaryIO]:
    """Yield a file to write to; when the block ends it stands at `path`, synced.

    When the block raises, nothing is left, and what stood at `path` is as it was.

    Args:
        path: where it will stand.
        encrypt_to: the age recipient; None writes it in the clear.
        is_replacing: whether what stands at `path`, now or at the end, may be replaced.

    Raises:
        UserError: the recipient is none, the file cannot be written, or another one stands there.
    """
    recipient = None if encrypt_to is None else recipient_of(encrypt_to)
    if not is_replacing and os.path.lexists(path):  # before the hours that it may take
        raise _taken(path)
    make_folder(path.parent)
    draft = path.with_name(f"{path.name}.{os.getpid()}.incomplete")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            with _encrypting(file, recipient) if recipient else contextlib.nullcontext(file) as to:
                yield to
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(draft, path, is_replacing=is_replacing)
    except OSError as error:
        _forget(draft)
        raise unwritable(path, error) from error
    except BaseException:
        _forget(draft)
        raise


def _put_in_place(draft: Path, path: Path, *, is_replacing: bool) -> None:
    """Give the draft its name; a name that somebody took meanwhile is his."""
    if is_replacing:
        draft.replace(path)
        return
    try:
        os.link(draft, path)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(path):
            raise _taken(path) from None
        draft.replace(path)
        return
    draft.unlink()


def _taken(path: Path) -> UserError:
    wanted = "a name that is free; or --replace, and what is there is lost"
    return UserError("SLU-103", path=path, found="a file that is there already", wanted=wanted)


def _forget(draft: Path) -> None:
    with contextlib.suppress(OSError):  # a disk that is read only refuses even to look for it
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def reading(path: Path, *, identity_file: Path | None) -> Iterator[BinaryIO]:
    """Yield what `writing` wrote, decrypted as it is read if it is encrypted.

    Raises:
        UserError: the file cannot be read, no identity was given that it needs, or the wrong one.
    """
    with _opened(path) as source:
        is_encrypted = source.read(len(_AGE)) == _AGE
        source.seek(0)
        if not is_encrypted:
            yield source
            return
        if identity_file is None:
            wanted = "--identity FILE: it is encrypted"
            raise UserError("SLU-103", path=path, found="no identity", wanted=wanted)
        with _decrypting(source, path, _identity(identity_file)) as plain:
            yield plain


@contextlib.contextmanager
def _decrypting(source: BinaryIO, path: Path, identity: Any) -> Iterator[BinaryIO]:
    """Yield a pipe that a thread decrypts `source` into."""
    from pyrage import DecryptError, decrypt_io

    read_end, write_end = os.pipe()
    failed: list[Exception] = []

    def work() -> None:
        try:
            with os.fdopen(write_end, "wb") as target:
                decrypt_io(source, target, [identity])
        except (DecryptError, OSError) as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="decrypting")
    thread.start()
    is_read = False
    try:
        with os.fdopen(read_end, "rb") as pipe:
            yield pipe
            is_read = True
    finally:
        thread.join()
        if failed and not (is_read and _is_closed(failed[0])):
            wanted = "a file encrypted to this identity, whole and unchanged"
            raise UserError("SLU-102", path=path, found=failed[0], wanted=wanted)


def _is_closed(error: Exception) -> bool:
    """Whether it only says that whoever read has read enough."""
    return "pipe" in str(error).lower()


@contextlib.contextmanager
def _encrypting(file: BinaryIO, recipient: Any) -> Iterator[BinaryIO]:
    """Yield a pipe whose other end is encrypted into `file` by a thread."""
    from pyrage import encrypt_io

    read_end, write_end = os.pipe()
    failed: list[BaseException] = []

    def work() -> None:
        with os.fdopen(read_end, "rb") as source:
            try:
                encrypt_io(source, file, [recipient])
            except BaseException as error:  # told to the one who writes: threads have no caller
                failed.append(error)

    thread = threading.Thread(target=work, name="encrypting")
    thread.start()
    try:
        with os.fdopen(write_end, "wb") as pipe:
            yield pipe
    finally:
        thread.join()
    if failed:
        raise failed[0] if isinstance(failed[0], OSError) else OSError(str(failed[0]))


def _identity(path: Path) -> Any:
    from pyrage import IdentityError, x25519

    with _opened(path) as file:
        texts = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    for text in texts:
        if text and not text.startswith("#"):
            with contextlib.suppress(IdentityError):
                return x25519.Identity.from_str(text)
    wanted = "an age identity, AGE-SECRET-KEY-1..., as age-keygen writes it"
    raise UserError("SLU-102", path=path, found="no identity in it", wanted=wanted)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError(
            "SLU-102", path=path, found=found, wanted="a file that can be read"
        ) from error


def unwritable(path: Path, error: OSError) -> UserError:
    """Return what a person has to mend where a file cannot be written."""
    return UserError(
        "SLU-102", path=path, found=error.strerror or str(error), wanted="a file to write"
    )
