"""A record that was changed, dropped, swapped or cut off is noticed, and named (I13)."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recorder.chain import (
    GENESIS,
    Damage,
    Head,
    Message,
    hash_of,
    line_of,
    read_line,
    verify,
)

pytestmark = pytest.mark.req("R-01")


def message(seq: int = 1, data: bytes = b'{"a":1}', subject: str = "order.sim.paper") -> Message:
    return Message("ORDERS", seq, subject, 5, data, 7)


def chain_of(*messages: Message) -> list[bytes]:
    head, lines = Head(), []
    for each in messages:
        lines.append(line_of(head, each))
        head = Head(head.n + 1, hash_of(lines[-1]))
    return lines


LINES = chain_of(*(message(seq, b'{"seq":%d}' % seq) for seq in range(1, 6)))
END = Head(5, hash_of(LINES[-1]))


def test_a_record_is_one_line_that_people_can_read() -> None:
    assert line_of(Head(), message()) == (
        b'{"n":1,"prev_hash":"' + GENESIS.encode() + b'","recv_ns":7,'
        b'"subject":"order.sim.paper","stream":"ORDERS","stream_seq":1,"stored_ns":5,'
        b'"payload":{"a":1}}'
    )


def test_each_record_carries_the_hash_of_the_line_before() -> None:
    assert read_line(LINES[1]).prev_hash == hashlib.sha256(LINES[0]).hexdigest()


def test_a_chain_as_it_was_written_verifies_to_its_head() -> None:
    assert verify(LINES, after=Head(), until=END) == END


def test_a_chain_can_be_verified_in_parts() -> None:
    middle = verify(LINES[:2], after=Head())
    assert isinstance(middle, Head)
    assert verify(LINES[2:], after=middle, until=END) == END


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("bit", [1, 4, 64])
def test_a_flipped_bit_is_found_in_its_own_record(which: int, bit: int) -> None:
    lines = list(LINES)
    flipped = bytearray(lines[which])
    flipped[-3] ^= bit  # inside the payload
    lines[which] = bytes(flipped)
    damage = verify(lines, after=Head(), until=END)
    assert isinstance(damage, Damage)
    assert damage.n == which + 1


def test_a_dropped_record_is_named_with_what_stands_in_its_place() -> None:
    damage = verify([*LINES[:2], *LINES[3:]], after=Head(), until=END)
    assert damage == Damage(3, "record 4 stands in its place")


def test_two_swapped_records_are_noticed_at_the_first() -> None:
    swapped = [LINES[0], LINES[2], LINES[1], *LINES[3:]]
    assert verify(swapped, after=Head()) == Damage(2, "record 3 stands in its place")


def test_records_cut_off_at_the_end_are_missed_by_the_noted_head() -> None:
    damage = verify(LINES[:3], after=Head(), until=END)
    assert damage == Damage(4, "it is missing: records up to 5 had been written")


def test_a_last_record_written_anew_does_not_match_the_noted_head() -> None:
    other = line_of(Head(4, hash_of(LINES[3])), message(5, b'{"seq":999}'))
    damage = verify([*LINES[:4], other], after=Head(), until=END)
    assert isinstance(damage, Damage)
    assert (damage.n, END.hash in damage.why) == (5, True)


def test_a_line_that_is_no_record_is_named() -> None:
    damage = verify([LINES[0], b"\x00" * 20], after=Head())
    assert isinstance(damage, Damage)
    assert damage.why.startswith("it is no record: ")


def test_without_the_hash_in_the_next_record_a_change_goes_unseen() -> None:
    """The ablation: lines numbered but not chained, as a plain log is."""
    unchained = [
        msgspec.json.encode({**msgspec.json.decode(line), "prev_hash": ""}) for line in LINES
    ]
    changed = [line.replace(b'"seq":2', b'"seq":7') for line in unchained]
    numbers = [read_line(line).n for line in changed]
    assert numbers == [1, 2, 3, 4, 5]  # all that a numbered log could tell
    assert isinstance(verify(changed, after=Head()), Damage)


@given(st.binary(max_size=200))
def test_any_bytes_are_recorded_on_one_line_and_come_back_unchanged(data: bytes) -> None:
    line = line_of(Head(), message(data=data))
    assert b"\n" not in line
    assert line.decode()
    assert read_line(line).data == data


@given(st.recursive(st.none() | st.text() | st.floats(allow_nan=False), st.lists, max_leaves=9))
def test_any_json_is_recorded_as_the_bytes_it_was(value: object) -> None:
    data = msgspec.json.encode(value)
    assert read_line(line_of(Head(), message(data=data))).data == data


@pytest.mark.parametrize(
    "data",
    [b"", b" {}", b"{} ", b"{\n}", b"\xff", b'"\xff"', b"nul", b'{"a":1}x', b'"\\ud800"'],
)
def test_what_cannot_stand_in_a_line_is_kept_as_base64(data: bytes) -> None:
    record = read_line(line_of(Head(), message(data=data)))
    assert (bytes(record.payload), record.data) == (b"", data)


def test_a_subject_with_quotes_does_not_break_the_line() -> None:
    assert read_line(line_of(Head(), message(subject='a."b"'))).subject == 'a."b"'


@pytest.mark.req("R-01")
def test_a_byte_that_is_no_text_any_more_is_damage_like_any_other() -> None:
    message = Message("CONTROL", 1, "control.halt", 1, b'{"reason":"drill"}', 1)
    line = bytearray(line_of(Head(), message))
    line[line.index(b"control.halt")] ^= 0x80
    found = verify([bytes(line)], after=Head(), until=Head(1, hash_of(bytes(line))))
    assert isinstance(found, Damage)


def deep(count: int) -> bytes:
    return b"[" * count + b"]" * count


@pytest.mark.parametrize(
    ("data", "is_json"),
    [
        (deep(100), True),
        (deep(101), False),
        (b'{"a":%s}' % deep(99), True),
        (b'{"a":%s}' % deep(100), False),
        (b"[%s]" % b",".join([b'{"a":[]}'] * 500), True),
        (b'["%s",[]]' % (b'[\\"{' * 500), True),
        (b'["%s",%s]' % (b"]" * 500, deep(100)), False),
    ],
)
def test_a_message_that_is_too_deep_is_kept_as_bytes(data: bytes, is_json: bool) -> None:
    record = read_line(line_of(Head(), message(data=data)))
    assert (bool(bytes(record.payload)), record.data) == (is_json, data)


@pytest.mark.parametrize("count", [990, 5_000, 500_000])
def test_a_deep_message_that_an_older_release_wrote_as_it_was_can_be_read(count: int) -> None:
    first = line_of(Head(), message()).replace(b'{"a":1}', deep(count))
    head = Head(1, hash_of(first))
    lines = [first, line_of(head, message(2))]
    assert read_line(first).data == deep(count)
    assert verify(lines, after=Head()) == Head(2, hash_of(lines[1]))
    assert verify([first.replace(b'"recv_ns"', b'"prev_hash"')], after=Head()) != head


def test_what_is_deep_and_no_record_is_damage() -> None:
    found = verify([deep(5_000)], after=Head())
    assert isinstance(found, Damage)
    assert found.n == 1
