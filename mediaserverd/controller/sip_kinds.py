"""What kind of SIP message some bytes are, for the metrics: never the sender's own words. Does not parse."""

from __future__ import annotations

from typing import Final

from mediaserverd.controller.capabilities import CAPABILITIES

_METHODS: Final = frozenset(method.encode() for method in CAPABILITIES.methods)


def kind_of(data: bytes) -> str:
    """The status of a response or the method of a request."""
    first, _, rest = data[:32].lstrip().partition(b" ")
    if first.upper().startswith(b"SIP/2.0"):
        return rest[:3].decode("ascii") if rest[:3].isdigit() and b"100" <= rest[:3] <= b"699" else "other"
    return first.decode("ascii") if first in _METHODS else "other"
