"""What a user agent can do, and the refusal of a request that asks for more (RFC 3261 8.2.1 to 8.2.3, 20.1).

Not here: whether the request is well formed (``message``), and whether its sender may ask (authentication, routing).
"""

from __future__ import annotations

from dataclasses import dataclass

from mediaserverd.protocol.sip.grammar import SipError, split_list
from mediaserverd.protocol.sip.message import Request
from mediaserverd.protocol.sip.names import REASONS

_SDP = ("application/sdp", "application/*", "*/*")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``media_types`` are the bodies that are understood, in lower case; empty: any."""

    methods: tuple[str, ...]
    extensions: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ("application/sdp",)
    schemes: tuple[str, ...] = ("sip", "sips", "tel")

    def headers(self) -> tuple[tuple[str, str], ...]:
        """How they are told: in the answer to OPTIONS, in a 2xx, in an INVITE."""
        told = (("Allow", self.methods), ("Supported", self.extensions), ("Accept", self.media_types))
        return tuple((name, ", ".join(values)) for name, values in told if values)

    def check(self, request: Request) -> None:
        """Raises the SipError that refuses the request, if it asks for what is not there."""
        refusal = self._refusal(request)
        if refusal is not None:
            refusal.request = request if request.method != "ACK" else None
            raise refusal

    def _refusal(self, request: Request) -> SipError | None:
        if request.method not in self.methods:
            return SipError(501, REASONS[501], request.method, headers=(("Allow", ", ".join(self.methods)),))
        if request.uri.scheme not in self.schemes:
            return SipError(416, REASONS[416], str(request.uri))
        if request.method not in ("ACK", "CANCEL"):  # RFC 3261 8.2.2.3: these require nothing of their own
            known = {name.lower() for name in self.extensions}
            missing = ", ".join(name for name in request.tokens("Require") if name.lower() not in known)
            if missing:
                return SipError(420, REASONS[420], missing, headers=(("Unsupported", missing),))
        if request.body and not self._understands_body(request):
            accept = (("Accept", ", ".join(self.media_types)),)
            return SipError(415, REASONS[415], request.headers.get("Content-Type") or "", headers=accept)
        if request.method == "INVITE" and not _accepts_sdp(request):
            return SipError(406, REASONS[406], request.headers.get("Accept") or "")
        return None

    def _understands_body(self, request: Request) -> bool:
        if not self.media_types or "handling=optional" in (request.headers.get("Content-Disposition") or "").lower():
            return True
        media_type = request.content_type
        return media_type is not None and media_type.essence in self.media_types


def _accepts_sdp(request: Request) -> bool:
    """Without Accept, SDP is assumed (RFC 3261 20.1)."""
    ranges = [element for value in request.headers.get_all("Accept") for element in split_list(value)]
    return not ranges or any(one.partition(";")[0].replace(" ", "").lower() in _SDP for one in ranges)
