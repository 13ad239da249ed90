"""Offer and answer (RFC 3264): what two descriptions have in common, what one changed, and the o= line of a session
that we own although others write its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from mediaserverd.protocol.codec import Codec
from mediaserverd.protocol.sdp import Attribute, MediaDescription, Origin, SessionDescription

_BESIDE_VOICE: Final = ("telephone-event", "cn")  # not red or rtx, whose parameters name other payload types
_BY_PAYLOAD_TYPE: Final = ("rtpmap", "fmtp", "rtcp-fb")


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


def narrowed(offer: SessionDescription, answer: SessionDescription) -> tuple[SessionDescription, SessionDescription]:
    """Both as if they had never spoken of more than is in use: the first voice codec that they share, what goes beside
    it, and the streams that both take. Under the offer's payload types: an answer may number differently (RFC 3264
    6.1), but when each becomes an offer to the other side, the two must not."""
    both = [*zip(offer.media, answer.media, strict=False)]
    gone = [ours.refused or theirs.refused for ours, theirs in both]
    pairs = [
        (_closed(ours), _closed(theirs)) if shut else (ours, theirs)
        for (ours, theirs), shut in zip(both, gone, strict=True)
    ]
    for index, (ours, theirs) in enumerate(pairs):
        if ours is offer.audio and theirs is answer.audio and (kept := _in_use(ours, theirs)):
            numbers = {mine.payload_type: mine.payload_type for mine, _ in kept}
            renumbered = {their.payload_type: mine.payload_type for mine, their in kept}
            pairs[index] = _with_only(ours, numbers), _with_only(theirs, renumbered)
    return offer.with_media([ours for ours, _ in pairs]), answer.with_media([theirs for _, theirs in pairs])


def beside(view: SessionDescription, own: SessionDescription) -> SessionDescription:
    """A media server's ``view`` of ``own``, with video and the like, which it does not carry, left to go between the
    phones. Not so a second audio stream: it would go past the recording."""
    kept = [
        theirs.with_connection(own.connection_of(theirs)) if _goes_beside(seen, theirs) else seen
        for seen, theirs in zip(view.media, own.media, strict=False)
    ]
    return view.with_media([*kept, *view.media[len(kept) :]])


def is_still_true(told: SessionDescription, now: SessionDescription) -> bool:
    """Whether whoever was told the one sends rightly although the other holds: to the same place, and a voice codec
    that is understood there."""
    old, new = told.audio, now.audio
    if old is None or new is None:
        return old is new
    places, codec = (_place(told, old), _place(now, new)), voice_codec(now)
    return (None in places or places[0] == places[1]) and (codec is None or codec in old.codecs)


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


def _goes_beside(seen: MediaDescription, theirs: MediaDescription) -> bool:
    return seen.refused and not theirs.refused and theirs.media != "audio"


def _closed(media: MediaDescription) -> MediaDescription:
    return MediaDescription(media.media, 0, media.protocol, media.formats)


def _in_use(offered: MediaDescription, answered: MediaDescription) -> list[tuple[Codec, Codec]]:
    """The same codec as each numbers it; empty where they share no voice."""
    ours = {codec.identity: codec for codec in reversed(offered.codecs)}
    shared = [(ours[codec.identity], codec) for codec in answered.codecs if codec.identity in ours]
    voice = next((pair for pair in shared if pair[0].is_voice), None)
    beside_it = [pair for pair in shared if pair[0].name.lower() in _BESIDE_VOICE]
    return [voice, *beside_it] if voice else []


def _with_only(media: MediaDescription, numbers: Mapping[int, int]) -> MediaDescription:
    """The payload types of ``numbers``, each under its new number."""
    found = {codec.payload_type: codec for codec in media.codecs}
    maps = tuple(Attribute("rtpmap", f"{new} {found[old]}") for old, new in numbers.items())
    rest = (_renumbered(each, numbers) for each in media.attributes if each.name != "rtpmap")
    return replace(
        media,
        formats=tuple(str(number) for number in numbers.values()),
        attributes=(*maps, *(each for each in rest if each)),
    )


def _renumbered(attribute: Attribute, numbers: Mapping[int, int]) -> Attribute | None:
    if attribute.name not in _BY_PAYLOAD_TYPE:
        return attribute
    number, space, rest = (attribute.value or "").partition(" ")
    if number == "*":
        return attribute
    known = number.isascii() and number.isdigit() and int(number) in numbers
    return Attribute(attribute.name, f"{numbers[int(number)]}{space}{rest}") if known else None


def _place(description: SessionDescription, media: MediaDescription) -> tuple[object, ...] | None:
    connection = description.connection_of(media)
    if media.refused or (connection and connection.is_zero):
        return None  # nowhere: that is a change of direction or of the streams
    return connection, media.port, media.rtcp_port
