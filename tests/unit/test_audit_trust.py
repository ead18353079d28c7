"""Whom `sluice audit verify` believes: never the folder that it judges. As a thief would try it."""

import json
import time
from pathlib import Path

import msgspec
import pytest

from services.cli.app import make_app
from services.recorder.chain import Head, Message, hash_of, line_of, read_line
from services.recorder.checkpoints import key_of, new_private_pem, public_pem
from services.recorder.key_file import PUBLIC
from services.recorder.reader import lines, segments
from services.recorder.witness import ANCHORS, CHECKPOINTS
from tests.tampering import Written

pytestmark = pytest.mark.req("R-01", "A-06")


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """A record in a data folder, and its anchors where nobody chose another place."""
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    made = Written(tmp_path / "var")
    (home / "sluice").mkdir(parents=True)
    made.anchors.rename(home / "sluice" / "anchors")
    return made


def verify(data_dir: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    command = ["audit", "verify", "--data-dir", str(data_dir), *more]
    code = int(make_app()(command, result_action="return_value"))
    return code, capsys.readouterr().out


def rewrite(written: Written) -> None:
    """Change an amount, chain all of it anew, and sign it by a key that lies beside it."""
    folder, key, head, made = written.folder, key_of(new_private_pem()), Head(), []
    for path in segments(folder):
        for line in lines(path):
            old = read_line(line)
            data = old.data.replace(b'"quantity":7}', b'"quantity":999}')
            said = (old.stream, old.stream_seq, old.subject, old.stored_ns, data, old.recv_ns)
            made.append(line_of(head, Message(*said)))
            head = Head(head.n + 1, hash_of(made[-1]))
        path.unlink()
    first = folder / "chain-000000000001.jsonl"
    first.write_bytes(b"".join(each + b"\n" for each in made))
    (folder / "head.json").unlink()
    signed = msgspec.json.encode(key.checkpoint(head.n, head.hash, time.time_ns())) + b"\n"
    (folder / CHECKPOINTS).write_bytes(signed)
    (folder / PUBLIC).write_bytes(public_pem(key.public))
    inside = folder.parent / "anchors" / key.fingerprint
    inside.mkdir(parents=True)
    (inside / ANCHORS).write_bytes(signed)
    (inside / PUBLIC).write_bytes(public_pem(key.public))
    run = folder.parent / "run"
    run.mkdir()
    told = {"recorder": {"anchor_dirs": [str(inside.parent)]}}
    (run / "config.json").write_text(json.dumps(told))


def test_a_record_with_its_own_anchors_is_whole(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = verify(written.folder.parent, capsys)
    assert (code, said.splitlines()[0]) == (0, "whole: records 1 to 60, each as written")
    assert written.key.fingerprint in said
    assert "home/sluice/anchors" in said


def test_a_record_that_a_thief_wrote_anew_is_vouched_for_by_nobody(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(written)
    code, said = verify(written.folder.parent, capsys)
    assert code == 6
    assert "whole" not in said
    assert "NOT ANCHORED" in said
    assert "The data folder itself names" in said
    code, said = verify(written.folder.parent, capsys, "--json")
    verdict = json.loads(said)
    assert (verdict["is_whole"], verdict["is_vouched"], verdict["anchored"]) == (None, False, 0)


def test_who_names_the_true_anchors_key_sees_the_damage(
    written: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(written)
    place = tmp_path / "home" / "sluice" / "anchors" / written.key.fingerprint
    code, said = verify(written.folder.parent, capsys, "--public-key", str(place / PUBLIC))
    assert code == 1
    assert said.startswith("DAMAGED: ")


def test_with_the_word_of_the_folder_believed_it_would_be_whole(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    """The safeguard taken out: the thief's own anchors, named by hand."""
    rewrite(written)
    inside = written.folder.parent / "anchors"
    code, said = verify(written.folder.parent, capsys, "--anchors", str(inside))
    assert (code, said.splitlines()[0]) == (0, "whole: records 1 to 60, each as written")
