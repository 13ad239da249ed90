"""What must be known of a session to go on with it in another process, as plain values. Texts are as on the wire.

Responsible for: which facts those are, and the way from a dialog to them and back.
Not for: writing them down (JSON, a disk), nor for when a session can be left in the middle (``session``).
"""

from __future__ import annotations

from dataclasses import dataclass

from mediaserverd.protocol.sip.dialog import Dialog, SentMessage
from mediaserverd.protocol.sip.flow import Flow
from mediaserverd.protocol.sip.uri import NameAddress, Uri

__all__ = ["SKIPPED_CSEQS", "DialogSnapshot", "SessionSnapshot", "text_of", "wire_of"]

# Requests that may have gone out since the snapshot was taken. A repeated number would be refused with 500; one that
# was left out is no fault (RFC 3261 12.2.2).
SKIPPED_CSEQS = 100


@dataclass(frozen=True, slots=True)
class DialogSnapshot:
    """``local`` and ``remote`` carry the tags."""

    local: bytes
    remote: bytes
    remote_target: bytes
    routes: tuple[bytes, ...]
    contact: bytes
    local_cseq: int
    remote_cseq: int | None

    @classmethod
    def of(cls, dialog: Dialog) -> DialogSnapshot:
        return cls(
            local=_wire(dialog.local),
            remote=_wire(dialog.remote),
            remote_target=_wire(dialog.remote_target),
            routes=tuple(_wire(route) for route in dialog.routes),
            contact=_wire(dialog.contact),
            local_cseq=dialog.local_cseq,
            remote_cseq=dialog.remote_cseq,
        )

    def dialog(self, call_id: str) -> Dialog:
        """Raises SipError if this is no snapshot that ``of`` made."""
        return Dialog(
            call_id=call_id,
            local=NameAddress.parse(text_of(self.local)),
            remote=NameAddress.parse(text_of(self.remote)),
            remote_target=Uri.parse(text_of(self.remote_target)),
            routes=tuple(NameAddress.parse(text_of(route)) for route in self.routes),
            contact=text_of(self.contact),
            local_cseq=self.local_cseq + SKIPPED_CSEQS,
            remote_cseq=self.remote_cseq,
        )


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """A session whose dialog is confirmed. ``answer`` is our success, as long as its ACK has not come; ``ack`` is what
    their success gets each time that it comes again. The connection of a flow is gone with the process that had it."""

    call_id: bytes
    outgoing: bool
    flow: Flow
    behind_nat: bool
    dialog: DialogSnapshot
    answer: SentMessage | None = None
    ack: SentMessage | None = None


def wire_of(text: str) -> bytes:
    """As it came: bytes that are not UTF-8 are surrogates in our texts."""
    return text.encode("utf-8", "surrogateescape")


def text_of(wire: bytes) -> str:
    return wire.decode("utf-8", "surrogateescape")


def _wire(value: object) -> bytes:
    return wire_of(str(value))
