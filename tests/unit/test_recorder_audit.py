"""Whoever changes the record without its key is found, up to the last anchor (I13)."""

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schemas.errors import StateError, UserError
from services.recorder import audit
from services.recorder.chain import Damage, Head
from services.recorder.checkpoints import Signed, why_not_signed
from services.recorder.config import RecorderConfig
from services.recorder.journal import Journal
from services.recorder.key_file import ensure_record_key, read_public_keys
from services.recorder.witness import CHECKPOINTS, Witness, refuse_anchors_inside
from tests.tampering import (
    ANCHOR_AT,
    RECORDS,
    WAYS,
    Written,
    all_lines,
    claim_restore,
    claim_restore_unsigned,
    forge_restore,
    restoration,
    rewrite,
    truncate,
    write_lines,
)

pytestmark = pytest.mark.req("R-01", "I13")
TRIES, TRIES_LONG = 150, 1_000
ANCHORED = ANCHOR_AT[-1]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("written"))


@pytest.fixture(autouse=True, scope="module")
def _signatures_once() -> Iterator[None]:
    """Check each signature once: thousands of copies carry the same ones."""
    known: dict[Signed, str] = {}

    def cached(said: Signed, keys: Mapping[str, Ed25519PublicKey]) -> str:
        if said not in known:
            known[said] = why_not_signed(said, keys)
        return known[said]

    patch = pytest.MonkeyPatch()
    patch.setattr(audit, "why_not_signed", cached)
    yield
    patch.undo()


def tampered(
    written: Written, folder: Path, way: Callable[[Path, random.Random], int], seeds: range
) -> tuple[int, list[str]]:
    """Return how many changes were found, and what went unseen or was named wrongly."""
    found_count, wrong = 0, []
    for seed in seeds:
        copy = written.copy(folder / "copy")
        before = all_lines(copy)
        n = way(copy, random.Random(f"{way.__name__}:{seed}"))
        is_changed = all_lines(copy) != before
        damage = written.verdict(copy).damage
        if damage is not None:
            found_count += 1
            if damage.n > n:
                wrong.append(f"seed {seed}: record {n} was changed, {damage} was said")
        elif is_changed and n <= ANCHORED:
            wrong.append(f"seed {seed}: record {n} was changed and nobody saw it")
    return found_count, wrong


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_every_change_up_to_the_last_anchor_is_found(
    written: Written, tmp_path: Path, way: Callable[[Path, random.Random], int]
) -> None:
    found_count, wrong = tampered(written, tmp_path, way, range(TRIES))
    assert wrong == []
    assert found_count >= TRIES * 0.7


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_every_change_is_found_thousands_of_times(
    written: Written, tmp_path: Path, way: Callable[[Path, random.Random], int]
) -> None:
    assert tampered(written, tmp_path, way, range(TRIES, TRIES_LONG))[1] == []


@pytest.mark.parametrize("way", [claim_restore, claim_restore_unsigned])
def test_a_recorder_does_not_go_on_from_a_restore_that_its_key_did_not_sign(
    written: Written, tmp_path: Path, way: Callable[[Path, random.Random], int]
) -> None:
    for seed in range(20):
        copy = written.copy(tmp_path / "copy")
        n = way(copy, random.Random(seed))
        journal = Journal(copy, file_bytes_max=1 << 20)
        witness = Witness(copy, written.key, written.config)
        if n <= ANCHORED:
            with pytest.raises(StateError, match="SLU-140"):
                witness.check(journal.head)
        journal.close()


def test_without_the_signature_of_a_restore_a_cut_end_goes_unseen(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: the recorder goes on, signs what it goes on from, and all seems well."""

    def anyone(said: object, keys: object) -> str:
        return ""

    copy = written.copy(tmp_path / "copy")
    n = truncate(copy, random.Random(1))
    assert n <= ANCHORED
    said = msgspec.structs.replace(restoration(n - 1), key=written.key.fingerprint)
    forge_restore(copy, said)
    journal = Journal(copy, file_bytes_max=1 << 20)
    witness = Witness(copy, written.key, written.config)
    with pytest.raises(StateError, match="SLU-140"):
        witness.check(journal.head)
    monkeypatch.setattr("services.recorder.witness.why_not_signed", anyone)
    witness.check(journal.head)
    witness.look(journal.head, 10**18 + 1, is_last=True)
    journal.close()
    assert written.verdict(copy).damage is not None
    monkeypatch.setattr("services.recorder.audit.why_not_signed", anyone)
    assert written.verdict(copy).damage is None


def test_a_record_as_it_was_written_verifies_to_its_last_signature(written: Written) -> None:
    verdict = written.verdict(written.folder)
    head = Head(RECORDS, verdict.head.hash)
    assert verdict == audit.Verdict(head, None, RECORDS, ANCHORED, 13, 0, 0)


def test_without_anchors_a_cut_end_with_its_checkpoints_goes_unseen(
    written: Written, tmp_path: Path
) -> None:
    """The ablation: what stands beside the record can be cut off together with it."""
    copy = written.copy(tmp_path / "copy")
    truncate(copy, random.Random(3))
    assert audit.verify_record(copy, written.keys, []).damage is None
    damage = written.verdict(copy).damage
    assert damage is not None
    assert f"record {ANCHORED} was signed" in damage.why


def test_without_checkpoints_a_history_written_anew_goes_unseen(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: a chain of hashes alone can be computed by anybody."""
    copy = written.copy(tmp_path / "copy")
    n = rewrite(copy, random.Random(5))
    assert n <= ANCHORED
    assert written.verdict(copy).damage is not None
    monkeypatch.setattr(audit, "_all_noted", lambda *_: [])
    assert written.verdict(copy).damage is None


def test_a_changed_checkpoint_is_named_by_file_and_line(written: Written, tmp_path: Path) -> None:
    copy = written.copy(tmp_path / "copy")
    path = copy / CHECKPOINTS
    path.write_bytes(path.read_bytes().replace(b'"n":12,', b'"n":13,'))
    damage = written.verdict(copy).damage
    assert damage is not None
    assert (damage.n, "line 2: its signature is not one of key" in damage.why) == (7, True)


def test_a_journal_that_ends_before_what_was_signed_is_not_written_on(
    written: Written, tmp_path: Path
) -> None:
    copy = written.copy(tmp_path / "copy")
    truncate(copy, random.Random(3))  # only the anchors know of it
    key = ensure_record_key(written.folder.parent / "keys")
    config = RecorderConfig(anchor_dirs=(str(written.anchors),))
    journal = Journal(copy, file_bytes_max=1 << 20)
    with pytest.raises(StateError, match=f"record {ANCHORED} was signed at"):
        Witness(copy, key, config).check(journal.head)
    journal.close()


def test_the_end_is_signed_after_so_many_records_or_so_much_time(tmp_path: Path) -> None:
    config = RecorderConfig(checkpoint_every=10, checkpoint_every_ms=1_000)
    witness = Witness(tmp_path, ensure_record_key(tmp_path / "keys"), config)
    second = 10**9
    assert witness.look(Head(1, "a"), second)  # the first: nothing was signed for long
    assert not witness.look(Head(10, "b"), second)
    assert witness.look(Head(11, "c"), second)
    assert not witness.look(Head(12, "d"), 2 * second - 1)
    assert witness.look(Head(12, "d"), 2 * second)
    assert not witness.look(Head(12, "d"), 9 * second)
    assert witness.look(Head(13, "e"), 2 * second, is_last=True)


def test_an_anchor_inside_the_data_folder_is_refused(tmp_path: Path) -> None:
    for inside in (str(tmp_path / "anchors"), "anchors"):
        with pytest.raises(UserError, match="outside"):
            refuse_anchors_inside(tmp_path, RecorderConfig(anchor_dirs=(inside,)))
    refuse_anchors_inside(tmp_path / "var", RecorderConfig(anchor_dirs=(str(tmp_path),)))


def test_a_place_that_cannot_be_reached_is_said_and_the_others_get_theirs(tmp_path: Path) -> None:
    blocked, good = tmp_path / "file", tmp_path / "good"
    blocked.write_bytes(b"")
    config = RecorderConfig(
        anchor_dirs=(str(blocked), str(good)), anchor_command=("sh", "-c", "cat >&2; exit 3")
    )
    key = ensure_record_key(tmp_path / "keys")
    witness = Witness(tmp_path / "record", key, config)
    witness.look(Head(1, "a"), 10**9)
    trouble = witness.anchor()
    assert str(blocked) in trouble
    assert 'sh: exit code 3 {"n":1,' in trouble
    assert (good / key.fingerprint / "anchors.jsonl").read_bytes().count(b"\n") == 1
    assert list(read_public_keys(good / key.fingerprint / "record.pub")) == [key.fingerprint]


def test_a_signing_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    ensure_record_key(tmp_path / "keys")
    (tmp_path / "keys" / "record.pem").chmod(0o640)
    with pytest.raises(UserError, match="others can reach this secret"):
        ensure_record_key(tmp_path / "keys")


def test_the_first_bad_record_is_named_and_why(written: Written, tmp_path: Path) -> None:
    copy = written.copy(tmp_path / "copy")
    changed = all_lines(copy)
    changed[31] = changed[29].replace(b'"quantity":"32"', b'"quantity":"33"')
    write_lines(copy, changed)
    damage = written.verdict(copy).damage
    assert isinstance(damage, Damage)
    assert damage.n == 32
