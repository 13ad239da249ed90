"""What a torture message is and what must happen to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parsed:
    """It parses. ``values``: dotted path of attributes, indices and keys -> what stands there.

    ``above`` says what a layer above the parser has to do about it, if anything.
    """

    values: Mapping[str, object]
    above: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """SipError with this status and a reason that has ``because`` in it; ``answerable``: a response can be sent."""

    status: int
    because: str
    answerable: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    section: str
    name: str
    wire: bytes
    outcome: Parsed | Refused


def wire(text: str) -> bytes:
    """Text as it stands in the RFC, in the bytes of the network; an empty first line is only ours."""
    return text.removeprefix("\n").replace("\n", "\r\n").encode()


def sdp(address: str, times: str = "0 0") -> str:
    """The session description that most of these messages carry."""
    return f"""\
v=0
o=mhandley 29739 7272939 IN IP4 {address}
s=-
c=IN IP4 {address}
t={times}
m=audio 49217 RTP/AVP 0 12
m=video 3227 RTP/AVP 31
a=rtpmap:31 LPC
"""
