"""Makes wrong input from right input, and runs a target on it. Seeded: the same seed makes the same inputs.

Not coverage-guided: parsers here are regular expressions over short text, where splicing and repeating pieces of real
messages gets deep soon.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.fuzz.registry import CORPUS, TARGETS

MAX_INPUT_BYTES = 70_000  # a little more than the longest message that may pass
CPU_LIMIT_S = (
    0.5  # for one input: a hundred times what the longest needs, so only a runaway is found, not a busy machine
)

_PIECES = (
    b"\r\n", b"\r", b"\n", b"\r\n ", b"\r\n\t", b"\r\n\r\n", b" ", b"\t", b"\0", b"\xff", b"\xc3\xa9", b"\xc3",
    b'"', b"\\", b'\\"', b"<", b">", b",", b";", b":", b"=", b"@", b"%", b"%00", b"%zz", b"?", b"[", b"]", b"[::1]",
    b"*", b"-1", b"0", b"255", b"256", b"2147483647", b"2147483648", b"9" * 30, b"4294967296", b"SIP/2.0", b"Via: ",
    b"v:", b"l: 0\r\n", b"Content-Length: ", b"Contact: *\r\n", b"sip:", b"sips:", b"tel:", b";lr", b";tag=",
    b";rport", b";branch=z9hG4bK", b"Digest ", b"a" * 300,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure:
    target: str
    data: bytes
    error: BaseException

    def __str__(self) -> str:
        oracle = (TARGETS[self.target].__doc__ or "").strip()
        return f"{self.target}: {type(self.error).__name__}: {self.error}\n  oracle: {oracle}\n  input:  {self.data!r}"


def mutations(corpus: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Endless."""
    dice = random.Random(seed)
    while True:
        data = bytearray(dice.choice(corpus))
        for _ in range(dice.choice((1, 1, 1, 2, 3, 5, 10))):
            _mutate(data, corpus, dice)
        yield bytes(data[:MAX_INPUT_BYTES])


def fuzz(name: str, seconds: float, seed: int) -> tuple[int, Failure | None]:
    """How many inputs were tried in so much processor time, and the first that broke the oracle, made small."""
    end = time.process_time() + seconds
    tried = 0
    for data in _inputs(name, seed):
        if time.process_time() > end:
            break
        tried += 1
        error = broken_by(name, data)
        if error is not None:
            return tried, _shrunk(Failure(name, data, error), end + 30)
    return tried, None


def broken_by(name: str, data: bytes) -> BaseException | None:
    started = time.process_time()
    try:
        TARGETS[name](data)
    except Exception as error:
        return error
    spent = time.process_time() - started
    return TimeoutError(f"{spent:.2f} s of CPU for one input") if spent > CPU_LIMIT_S else None


def _inputs(name: str, seed: int) -> Iterator[bytes]:
    yield from CORPUS[name]
    yield from mutations(CORPUS[name], seed)


def _mutate(data: bytearray, corpus: Sequence[bytes], dice: random.Random) -> None:
    at = dice.randrange(len(data) + 1)
    end = min(len(data), at + dice.choice((1, 1, 2, 4, 16, 64)))
    match dice.randrange(8):
        case 0:
            del data[at:end]
        case 1:
            data[at:at] = dice.choice(_PIECES)
        case 2:
            data[at:end] = dice.choice(_PIECES)
        case 3:
            data[at:at] = data[at:end] * dice.choice((1, 2, 10, 300))
        case 4:
            data[at:end] = bytes(dice.randrange(256) for _ in range(end - at))
        case 5:
            other = dice.choice(corpus)
            start = dice.randrange(len(other) + 1)
            data[at:end] = other[start : start + dice.choice((4, 30, 200))]
        case 6:
            _move_a_line(data, dice)
        case _:
            del data[at:]


def _move_a_line(data: bytearray, dice: random.Random) -> None:
    lines = bytes(data).split(b"\r\n")
    line = lines.pop(dice.randrange(len(lines)))
    for _ in range(dice.choice((0, 1, 1, 2))):
        lines.insert(dice.randrange(len(lines) + 1), line)
    data[:] = b"\r\n".join(lines)


def _shrunk(failure: Failure, end: float) -> Failure:
    """Cuts pieces out as long as it still fails in the same way."""
    size = len(failure.data) // 2
    while size:
        at = 0
        while at < len(failure.data) and time.process_time() < end:
            shorter = failure.data[:at] + failure.data[at + size :]
            error = broken_by(failure.target, shorter)
            if type(error) is type(failure.error) and error is not None:
                failure = Failure(failure.target, shorter, error)
            else:
                at += size
        size //= 2
    return failure
