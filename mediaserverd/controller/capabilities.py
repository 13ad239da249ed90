"""What this B2BUA speaks, as it tells others, and the refusal of what it does not."""

from __future__ import annotations

from dataclasses import replace

from mediaserverd.protocol.sip.capabilities import Capabilities
from mediaserverd.protocol.sip.grammar import SipError
from mediaserverd.protocol.sip.message import Request

PRODUCT = "mediaserverd"
CAPABILITIES = Capabilities(("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "UPDATE", "INFO"))
_ANY_BODY = replace(CAPABILITIES, media_types=())  # INFO is passed on, not read
_KNOWN_METHODS = frozenset({"SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "REFER", "PRACK"})


def check(request: Request) -> None:
    """Raises the SipError that refuses a request which asks for more than there is."""
    try:
        (CAPABILITIES if request.method in ("INVITE", "UPDATE") else _ANY_BODY).check(request)
    except SipError as error:
        if error.status == 501 and request.method in _KNOWN_METHODS:  # RFC 3261 8.2.1
            raise SipError(405, "Method Not Allowed", request.method, headers=error.headers) from None
        raise
