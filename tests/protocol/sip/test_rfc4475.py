"""RFC 4475: every message is read as the RFC says, or refused as it says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mediaserverd.protocol.sip.framing import StreamFramer
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.message import Headers, Response, parse_message
from tests.protocol.sip.rfc4475 import TORTURE, Case, Parsed, Refused

PARSED = [case for case in TORTURE if isinstance(case.outcome, Parsed)]
REFUSED = [case for case in TORTURE if isinstance(case.outcome, Refused)]


def name_of(case: Case) -> str:
    return f"{case.section}-{case.name.partition(':')[0]}"


def read(value: object, path: str) -> object:
    while path:
        step, _, path = path.partition(".") if not isinstance(value, Mapping | Headers) else (path, "", "")
        if step == "length":
            value = len(value)  # type: ignore[arg-type]
        elif isinstance(value, Mapping):
            value = value[step]
        elif isinstance(value, Headers):
            value = value.get(step)
        elif isinstance(value, tuple) and step.isdigit():
            value = value[int(step)]
        else:
            value = getattr(value, step)
    return value


def test_all_messages_of_the_rfc_are_here() -> None:
    sections = (
        [f"3.1.1.{n}" for n in range(1, 14)]
        + [f"3.1.2.{n}" for n in range(1, 20)]
        + ["3.2.1"]
        + [f"3.3.{n}" for n in range(1, 16)]
        + ["3.4.1"]
    )
    assert [case.section for case in TORTURE] == sections


@pytest.mark.parametrize("case", PARSED, ids=name_of)
def test_it_is_read_with_the_right_values(case: Case) -> None:
    message = parse_message(case.wire)
    assert isinstance(case.outcome, Parsed)
    assert {path: read(message, path) for path in case.outcome.values} == case.outcome.values


@pytest.mark.parametrize("case", PARSED, ids=name_of)
def test_what_was_read_prints_to_the_same_message(case: Case) -> None:
    message = parse_message(case.wire)
    assert parse_message(message.encode()) == message


@pytest.mark.parametrize("case", REFUSED, ids=name_of)
def test_it_is_refused_with_the_right_status(case: Case) -> None:
    assert isinstance(case.outcome, Refused)
    with pytest.raises(SipError, match=case.outcome.because) as caught:
        parse_message(case.wire)
    assert caught.value.status == case.outcome.status
    assert (caught.value.request is not None) == case.outcome.answerable


@pytest.mark.parametrize("case", [case for case in REFUSED if case.outcome.answerable], ids=name_of)  # type: ignore[union-attr]
def test_the_refusal_can_be_sent_and_carries_the_headers_of_the_request(case: Case) -> None:
    with pytest.raises(SipError) as caught:
        parse_message(case.wire)
    request = caught.value.request
    assert request is not None
    refusal = request.response(caught.value.status, caught.value.reason, to_tag="refused")
    assert refusal.headers.get_all("Via") == request.headers.get_all("Via")
    assert all(refusal.headers.get(name) == request.headers.get(name) for name in ("From", "Call-ID", "CSeq"))
    assert isinstance(refusal, Response)
    assert refusal.encode().startswith(f"SIP/2.0 {caught.value.status} ".encode())


@pytest.mark.parametrize("case", [case for case in TORTURE if case.section not in ("3.1.2.2", "3.3.8")], ids=name_of)
def test_a_stream_gives_the_same_messages_whatever_its_pieces(case: Case) -> None:
    def frames(size: int) -> tuple[list[bytes], str]:
        framer = StreamFramer()
        found: list[bytes] = []
        try:
            for at in range(0, len(case.wire), size):
                found += [frame for frame in framer.feed(case.wire[at : at + size]) if isinstance(frame, bytes)]
        except SipError as error:
            return found, str(error)
        return found, ""

    whole = frames(len(case.wire))
    assert frames(1) == whole
    assert frames(7) == whole
    if not whole[1]:
        assert case.wire.startswith(whole[0][0])
        assert case.section == "3.1.1.8" or whole[0] == [case.wire]
