"""Payloads from a seed: what people and programs write, bent, cut, spliced and repeated."""

import random
from collections.abc import Iterator

SEEDS = (
    b'{"operator":"kim"}',
    b'{"operator":"kim","reason":"open","strategy":"ema_cross","symbols":["sim:ALPHA"]}',
    b'{"operator":"kim","initial_capital":"1000.50","share_class":"ETH","execution_mode":"AUTO"}',
    b'{"operator":"kim","config_overrides":{"fast":5},"risk_limits":{},"monitoring_enabled":false}',
    b'{"type":"HaltRequested","at_ns":1,"reason":"fire","operator":"kim","scope":"all"}',
    b'[{"reason":"a"},{"reason":"b"}]',
    b'{"halt":false}',
    b"null",
    b"",
)
TOKENS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"null", b"true",
    b"false", b"0", b"-1", b"1e999", b"NaN", b"Infinity", b"\x00", b"\xff", b"\xc3\x28",
    b"\xef\xbb\xbf",
    b'"operator":', b'"operator":7', b'"strategy":[]', b'"strateggy":"x"', b'"reset":1', b"\r\n",
    b'"operator":"  "', b'"symbols":"ALPHA"', b'"epoch":1', b'{"operator":"kim"}',
)  # fmt: skip
ROUNDS_MAX = 4
LENGTH_MAX = 4_096


def payloads(seed: int) -> Iterator[bytes]:
    """Yield payloads for ever; the same seed yields the same ones."""
    chance = random.Random(seed)
    while True:
        data = (
            chance.choice(SEEDS)
            if chance.random() < 0.9
            else chance.randbytes(chance.randrange(64))
        )
        for _ in range(1 + chance.randrange(ROUNDS_MAX)):
            data = _bent(chance, data)
        yield data[:LENGTH_MAX]


def _bent(chance: random.Random, data: bytes) -> bytes:
    at, to = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    match chance.randrange(6):
        case 0:
            return data[:at] + chance.choice(TOKENS) + data[at:]
        case 1:
            return data[:at] + chance.choice(TOKENS) + data[to:]
        case 2:
            return data[:at] + data[to:]
        case 3:
            return data[:to] + data[at:]
        case 4:
            return data[:at] + chance.choice(SEEDS)[at:]
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
