"""The key that JetStream encrypts its files with: made once, kept outside the data folder."""

import hashlib
import secrets
from pathlib import Path

from schemas.errors import UserError
from services.runtime.keys import FILE_MODE, FOLDER_MODE, refuse_readable, write_secret
from services.runtime.paths import is_there

MARK = "key.sha256"
"""In the store: which key it is encrypted with, so that another one is refused before harm."""

_KEY_BYTES, _MARK_CHARS = 32, 16


def ensure_store_key(path: Path, store_dir: Path) -> str:
    """Return the key of a store; it is made with a store that has none yet.

    Raises:
        UserError: it lies in the data folder, others can read it, or it is not this store's.
    """
    if path.resolve().is_relative_to(store_dir.parent.resolve()):
        wanted = "a file outside the data folder: who takes that must not have the key with it"
        raise UserError("SLU-100", path="bus.store_key_file", found=path, wanted=wanted)
    mark = store_dir / MARK
    wanted = f"the key that {store_dir} is encrypted with: bring it back, or move the store away"
    try:
        if is_there(mark) and not is_there(path):
            raise UserError("SLU-102", path=path, found="no such file", wanted=wanted)
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if not is_there(path):  # not a number, whatever its digits: the server would read one
            write_secret(path, b"k" + secrets.token_hex(_KEY_BYTES).encode())
        refuse_readable(path, FILE_MODE)
        key = path.read_text(encoding="ascii").strip()
        marked = hashlib.sha256(key.encode()).hexdigest()[:_MARK_CHARS]
        if is_there(mark) and mark.read_text() != marked:
            raise UserError("SLU-102", path=path, found="another key", wanted=wanted)
        if not is_there(mark):
            store_dir.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            mark.write_text(marked)
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise UserError("SLU-102", path=path, found=found, wanted=wanted) from error
    return key
