"""What phones send as a digit in an INFO."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserverd.protocol.dtmf import DIGITS, digit_of

RELAY = "application/dtmf-relay"


@pytest.mark.parametrize(
    ("content_type", "body", "digit"),
    [
        (RELAY, b"Signal=5\r\nDuration=160\r\n", "5"),
        (RELAY, b"Signal= 5\r\nDuration= 250", "5"),
        ("Application/DTMF-Relay; charset=utf-8", b"signal=*\n", "*"),
        (RELAY, b"Duration=100\r\nSignal=#\r\n", "#"),
        (RELAY, b"Signal=a\r\n", "A"),
        (RELAY, b"Signal=10\r\n", "*"),
        (RELAY, b"Signal=11\r\n", "#"),
        (RELAY, b"Signal=16\r\n", ""),  # the hook
        (RELAY, b"Signal=hf\r\n", ""),
        (RELAY, b"Signal=55\r\n", ""),
        ("application/dtmf", b"7\r\n", "7"),
        ("application/dtmf", b"", ""),
        ("text/plain", b"Signal=5\r\n", ""),
        ("", b"5", ""),
    ],
)
def test_a_digit_is_found_and_nothing_else_is_taken_for_one(content_type: str, body: bytes, digit: str) -> None:
    assert digit_of(content_type, body) == digit


@given(st.sampled_from([RELAY, "application/dtmf"]), st.binary(max_size=64))
def test_any_body_is_one_digit_or_none(content_type: str, body: bytes) -> None:
    assert digit_of(content_type, b"Signal=" + body) in DIGITS | {""}
