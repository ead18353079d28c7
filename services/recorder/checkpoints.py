"""Signed checkpoints: what says that a chain of hashes is the one that was written (I13).

Anybody can compute a chain of hashes anew, or cut its end off. A checkpoint is a record's number
and hash, signed by a key that whoever changes the files does not hold; an anchor is a checkpoint
that stands somewhere else. A tombstone is signed too: it says which records retention took away;
and so is a restoration, which says that records were lost: else anybody could say so.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FINGERPRINT_CHARS = 16


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Record `n` had this hash at this time."""

    n: int
    hash: str
    at_ns: int
    key: str
    """Fingerprint of the key that signed."""

    signature: str = ""
    """Ed25519 over all the other fields, in base64."""


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """Records up to `last_n` were taken away by retention; the chain goes on at `last_hash`."""

    first_n: int
    last_n: int
    first_prev_hash: str
    """What record `first_n` carried in `prev_hash`."""

    last_hash: str
    """Hash of record `last_n`."""

    at_ns: int
    policy: str
    """The rule by which they went, in words."""

    key: str
    signature: str = ""


class Restoration(msgspec.Struct, frozen=True, kw_only=True):
    """What the record says of itself after a restore: payload of `record.restored`."""

    after_n: int
    """The last record that the backup held."""

    anchored_n: int
    """The last record that is known to have been written before; those between are lost."""

    at_ns: int
    epoch_floor: int
    """Epochs up to here may have been announced by what was lost."""

    backup: str
    """Name of the backup."""

    key: str = ""
    """Fingerprint of the key that signed. It takes back nothing that another key had signed."""

    vouched: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Public keys, in base64, that had signed what was restored, where this one is new: whoever
    trusts this key may trust those. Left out of what is signed where there are none."""

    signature: str = ""


Signed = Checkpoint | Tombstone | Restoration


class RecordKey:
    """The private half: signs what the recorder vouches for.

    Attributes:
        fingerprint: names the key.
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key()
        self.fingerprint = fingerprint_of(self.public)

    def checkpoint(self, n: int, hash_: str, at_ns: int) -> Checkpoint:
        """Return the signed word that record `n` has this hash."""
        said = Checkpoint(n=n, hash=hash_, at_ns=at_ns, key=self.fingerprint)
        return msgspec.structs.replace(said, signature=self._sign(said))

    def tombstone(self, said: Tombstone) -> Tombstone:
        """Return the tombstone, signed by this key."""
        said = msgspec.structs.replace(said, key=self.fingerprint, signature="")
        return msgspec.structs.replace(said, signature=self._sign(said))

    def restoration(self, said: Restoration) -> Restoration:
        """Return the word on a restore, signed by this key."""
        said = msgspec.structs.replace(said, key=self.fingerprint, signature="")
        return msgspec.structs.replace(said, signature=self._sign(said))

    def _sign(self, said: Signed) -> str:
        return base64.b64encode(self._private.sign(_signed_bytes(said))).decode()


def new_private_pem() -> bytes:
    """Return a fresh private key, as a PEM file holds it."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def key_of(pem: bytes) -> RecordKey:
    """Return the key in a PEM file.

    Raises:
        ValueError: there is no Ed25519 private key in it.
    """
    found = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(found, Ed25519PrivateKey):
        raise ValueError("a private key of another kind")
    return RecordKey(found)


def public_pem(public: Ed25519PublicKey) -> bytes:
    """Return a public key as a PEM file holds it."""
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def public_keys_of(pem: bytes) -> dict[str, Ed25519PublicKey]:
    """Return the public keys in a PEM file, by fingerprint.

    Raises:
        ValueError: one of them is no Ed25519 public key, or there is none.
    """
    end = b"-----END PUBLIC KEY-----"
    found: dict[str, Ed25519PublicKey] = {}
    for part in pem.split(end)[:-1]:
        key = serialization.load_pem_public_key(part.strip() + b"\n" + end + b"\n")
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("a public key of another kind")
        found[fingerprint_of(key)] = key
    if not found:
        raise ValueError("no public key in it")
    return found


def vouching_for(publics: Iterable[Ed25519PublicKey]) -> tuple[str, ...]:
    """Return public keys as a restoration holds them."""
    return tuple(base64.b64encode(each.public_bytes_raw()).decode() for each in publics)


def vouched_by(said: Restoration) -> dict[str, Ed25519PublicKey]:
    """Return the keys that a restoration vouches for; its own signature is not checked here.

    Raises:
        ValueError: one of them is no key.
    """
    texts = () if said.vouched is msgspec.UNSET else said.vouched
    raw = (base64.b64decode(each, validate=True) for each in texts)
    keys = [Ed25519PublicKey.from_public_bytes(each) for each in raw]
    return {fingerprint_of(each): each for each in keys}


def fingerprint_of(public: Ed25519PublicKey) -> str:
    """Return the name of a key: the beginning of the SHA-256 of its 32 bytes, in hexadecimal."""
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:FINGERPRINT_CHARS]


def why_not_signed(said: Signed, keys: Mapping[str, Ed25519PublicKey]) -> str:
    """Return what is wrong with a signature; empty if it is that of one of the keys."""
    public = keys.get(said.key)
    if public is None:
        return f"signed by key {said.key or 'nobody'}, which is none of {', '.join(sorted(keys))}"
    try:
        public.verify(base64.b64decode(said.signature, validate=True), _signed_bytes(said))
    except (InvalidSignature, ValueError):
        return f"its signature is not one of key {said.key}: it was changed, or made by another"
    return ""


def _signed_bytes(said: Signed) -> bytes:
    """Return what is signed: the kind, and every field but the signature, in order."""
    unsigned = msgspec.structs.replace(said, signature="")
    return type(said).__name__.encode() + b"\n" + msgspec.json.encode(unsigned)
