"""Offer and answer (RFC 3264): what two descriptions have in common, what one changed, and the o= line of a session
that we own although others write its content."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from mediaserverd.protocol.codec import Codec
from mediaserverd.protocol.sdp import MediaDescription, Origin, SessionDescription


class Side(Enum):
    """The two sides of a call, whoever offers. The value is the tag that the media server knows the side by."""

    CALLER = "caller"
    CALLED = "called"

    @property
    def other(self) -> Side:
        return Side.CALLED if self is Side.CALLER else Side.CALLER


class Change(Enum):
    """What a new description of the same phone means, against its last one."""

    HOLD = "hold"
    RESUME = "resume"
    CODECS = "codecs"
    ADDRESS = "address"
    STREAMS = "streams"


def is_hold(description: SessionDescription) -> bool:
    """Whether the sender listens to no stream. A description without a stream that is in use holds nothing."""
    used = [each for each in description.media if not each.refused]
    return bool(used) and not any(description.direction_of(each).receives for each in used)


def changes(old: SessionDescription, new: SessionDescription) -> frozenset[Change]:
    found = set()
    if is_hold(old) != is_hold(new):
        found.add(Change.HOLD if is_hold(new) else Change.RESUME)
    if [(each.media, each.refused) for each in old.media] != [(each.media, each.refused) for each in new.media]:
        found.add(Change.STREAMS)
    for before, after in zip(old.media, new.media, strict=False):
        if before.codecs != after.codecs:
            found.add(Change.CODECS)
        places = _place(old, before), _place(new, after)
        if None not in places and places[0] != places[1]:
            found.add(Change.ADDRESS)
    return frozenset(found)


def common_codecs(offer: MediaDescription, answer: MediaDescription) -> tuple[Codec, ...]:
    """In the answerer's order, under the answerer's numbers."""
    offered = {codec.identity for codec in offer.codecs}
    return tuple(codec for codec in answer.codecs if codec.identity in offered)


def voice_codec(answer: SessionDescription) -> Codec | None:
    """The codec that the first audio part of an answer leads to."""
    return next((codec for codec in answer.audio.codecs if codec.is_voice), None) if answer.audio else None


def refusal(offer: SessionDescription, origin: Origin) -> SessionDescription:
    """An answer that takes none of the streams (RFC 3264 6): every m= line again, with port 0."""
    parts = [MediaDescription(each.media, 0, each.protocol, each.formats) for each in offer.media]
    return SessionDescription(origin, media=tuple(parts))


@dataclass(frozen=True, slots=True)
class OwnedSession:
    """What one phone sees as our session: the o= line stays ours from the first description to the last, and its
    version grows by one whenever the rest differs from what was sent last (RFC 3264 8)."""

    origin: Origin
    last: SessionDescription | None = None

    def stamped(self, content: SessionDescription) -> tuple[OwnedSession, SessionDescription]:
        """``content`` under our o= line, and the session after it."""
        if self.last is None:
            origin = self.origin
        elif content.with_origin(self.origin) == self.last:
            return self, self.last
        else:
            origin = replace(self.origin, version=self.origin.version + 1)
        description = content.with_origin(origin)
        return OwnedSession(origin, description), description


def _place(description: SessionDescription, media: MediaDescription) -> tuple[object, ...] | None:
    connection = description.connection_of(media)
    if media.refused or (connection and connection.is_zero):
        return None  # nowhere: that is a change of direction or of the streams
    return connection, media.port, media.rtcp_port
