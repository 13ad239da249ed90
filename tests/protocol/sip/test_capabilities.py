"""Requests that ask for more than there is are refused, with the headers that tell the sender what would do."""

from __future__ import annotations

import pytest

from mediaserverd.protocol.sip.capabilities import Capabilities
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.message import Request, parse_message
from tests.protocol.sip.rfc4475 import TORTURE

OURS = Capabilities(("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER"), ("timer", "replaces"))


def torture(section: str) -> Request:
    message = parse_message(next(case.wire for case in TORTURE if case.section == section))
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("section", "status", "headers"),
    [
        ("3.1.1.2", 501, (("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER"),)),
        ("3.1.1.5", 501, (("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER"),)),
        ("3.3.2", 416, ()),
        ("3.3.3", 416, ()),
        ("3.3.5", 420, (("Unsupported", "nothingSupportsThis, nothingSupportsThisEither"),)),
        ("3.3.6", 415, (("Accept", "application/sdp"),)),
        ("3.3.15", 406, ()),
    ],
)
def test_the_application_refuses_what_rfc_4475_3_3_says(
    section: str, status: int, headers: tuple[tuple[str, str], ...]
) -> None:
    request = torture(section)
    with pytest.raises(SipError) as caught:
        OURS.check(request)
    assert (caught.value.status, caught.value.headers) == (status, headers)
    assert caught.value.request is request


@pytest.mark.parametrize("section", ["3.1.1.1", "3.1.1.3", "3.1.1.4", "3.1.1.9", "3.3.11", "3.4.1"])
def test_what_is_understood_passes(section: str) -> None:
    OURS.check(torture(section))


def test_an_ack_and_a_cancel_are_not_held_to_require() -> None:
    request = torture("3.3.5")
    for method in ("ACK", "CANCEL"):
        OURS.check(Request(method, request.uri, request.headers))


def test_a_refused_ack_has_no_answer() -> None:
    request = torture("3.3.2")
    with pytest.raises(SipError) as caught:
        OURS.check(Request("ACK", request.uri, request.headers))
    assert caught.value.request is None


def test_a_body_that_may_be_ignored_is_no_reason_to_refuse() -> None:
    request = torture("3.3.6")
    optional = request.headers.with_("Content-Disposition", "render;handling=optional")
    OURS.check(Request("INVITE", request.uri, optional, request.body))


@pytest.mark.parametrize("accept", ["application/sdp;level=1", "text/plain, application / sdp", "*/*", "application/*"])
def test_an_accept_that_includes_sdp_is_enough(accept: str) -> None:
    request = torture("3.3.15")
    OURS.check(Request("INVITE", request.uri, request.headers.with_("Accept", accept), request.body))


def test_capabilities_are_told() -> None:
    assert dict(OURS.headers()) == {
        "Allow": "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER",
        "Supported": "timer, replaces",
        "Accept": "application/sdp",
    }
