"""Which challenges a phone is given, in which order."""

from __future__ import annotations

import pytest

from mediaserverd.controller.authentication import Authentication, Unproven
from mediaserverd.protocol.sip.digest import Algorithm
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.headers import Challenge
from mediaserverd.protocol.sip.message import Headers, Request
from mediaserverd.protocol.sip.uri import Uri

PHONE = Flow("udp", ("127.0.0.1", 5060), ("127.0.0.2", 5060))
REGISTER = Request("REGISTER", Uri.parse("sip:127.0.0.1"), Headers())


@pytest.mark.parametrize("order", [("SHA-256", "MD5"), ("MD5", "SHA-256"), ("MD5",)])
def test_algorithms_are_offered_in_the_configured_order(order: tuple[Algorithm, ...]) -> None:
    """SIPp 3.6 reads only the first challenge; baresip 1.0 gives up when one of them is SHA-256."""
    asked = Authentication("realm", (), (), order).station_of(REGISTER, PHONE)
    assert isinstance(asked, Unproven)
    assert [Challenge.parse(str(value)).algorithm for _, value in asked.headers] == list(order)
