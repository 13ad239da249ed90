"""What a description becomes when its audio runs through this server: our address and port in it, the rest as it was.

Pure. Only the first audio part is relayed; others are refused (port 0), because a part that went past the server would
go past the recording too. ICE is removed: we are the only candidate. ``o=`` is left to the controller, unless asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from mediaserverd.protocol.sdp import Connection, MediaDescription, SessionDescription

# Of the path between two phones, which now has us in its middle. RTCP goes to the port above (RFC 3550 section 11).
_OF_THE_PATH: Final = (
    "candidate", "end-of-candidates", "ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "ice-mismatch", "ice-pacing",
    "remote-candidates", "rtcp", "rtcp-mux", "rtcp-mux-only", "group",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Audio:
    """What the first audio part says of its sender. ``address`` None: nothing may be sent there now."""

    address: str | None
    port: int
    rtcp_port: int
    mux: bool
    two_way: bool
    protocol: str
    codecs: Mapping[int, str]
    clock_rates: Mapping[int, int]


def audio_of(description: SessionDescription) -> Audio | None:
    """None: it has no audio part at all. A refused one counts, as audio that goes nowhere."""
    media = description.audio or next((each for each in description.media if each.media == "audio"), None)
    if media is None:
        return None
    connection = description.connection_of(media)
    reachable = connection is not None and not connection.is_zero and not media.refused
    direction = description.direction_of(media)
    return Audio(
        address=connection.address if connection and reachable else None,
        port=media.port,
        rtcp_port=media.rtcp_port,
        mux=media.attribute("rtcp-mux") is not None,
        two_way=direction.sends and direction.receives and not media.refused,
        protocol=media.protocol,
        codecs={codec.payload_type: str(codec) for codec in media.codecs},
        clock_rates={codec.payload_type: codec.clock_rate for codec in media.codecs},
    )


def relayed(
    description: SessionDescription,
    address: str,
    port: int,
    *,
    mux: bool = False,
    replace_origin: bool = False,
    replace_zero_address: bool = False,
) -> SessionDescription:
    """``description`` with our endpoint in the place of its sender's."""
    ours = Connection(address, address_type=address_type(address))
    audio = description.audio
    media = [_relayed(each, port, mux) if each is audio else _refused(each) for each in description.media]
    theirs = description.connection_of(audio) if audio else None
    # RFC 3264 8.4: the zero address says "hold" in old phones, and must still say so to the other side.
    held = theirs is not None and theirs.is_zero and not replace_zero_address
    result = description.with_connection(theirs if held else ours).with_media(media).without_attribute(*_OF_THE_PATH)
    if replace_origin:
        origin = replace(description.origin, address=address, address_type=ours.address_type)
        return result.with_origin(origin)
    return result


def address_type(address: str) -> str:
    return "IP6" if ipaddress.ip_address(address).version == 6 else "IP4"


def _relayed(media: MediaDescription, port: int, mux: bool) -> MediaDescription:
    result = replace(media.without_attribute(*_OF_THE_PATH), port_count=1).with_port(port).with_connection(None)
    return result.with_attribute("rtcp-mux") if mux else result


def _refused(media: MediaDescription) -> MediaDescription:
    return replace(media, port=0, port_count=1, connection=None, attributes=(), lines=())
