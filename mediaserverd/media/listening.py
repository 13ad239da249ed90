"""What is heard of both sides of a call and told to its controller unasked: digits, and sides that have fallen silent.

The engine reads the digits and notes when packets come. Not responsible for calls that nobody hears any more at all
(``sessions``), nor for what is to be done about any of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import structlog

from mediaserverd.media import metrics
from mediaserverd.media.engine import DigitDialled, Engine
from mediaserverd.media.sessions import SIDES, Session, Sessions, Side

LOOK_S: Final = 0.4
SILENT_AFTER_S: Final = 2.0  # with the next look and the way to the controller, it knows within 3 s
SIDE_NAMES: Final = ("caller", "called")

log = structlog.get_logger()


class Listening:
    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        self._engine = engine
        self._sessions = sessions
        self._silent: dict[int, frozenset[Side]] = {}  # session number -> what its controller was told
        self._typed: dict[tuple[int, Side], str] = {}  # in a pause: the end of what was typed, as long as a code

    def described(self, session: Session) -> None:
        """The descriptions of its sides have changed."""
        for side, codecs in zip(SIDES, session.codecs, strict=True):
            self._engine.set_payload_kinds(
                session.number,
                side,
                telephone_events=_called(codecs, "telephone-event"),
                comfort_noise=_called(codecs, "cn"),
            )

    def digit(self, event: DigitDialled) -> None:
        """In a pause of the recording no digit leaves this server, but for the codes that its controller waits for."""
        session = next((each for each in self._sessions if each.number == event.session), None)
        if session is None or session.owner is None:
            return
        digits = event.digit
        if session.tap is not None and session.tap.paused:
            digits = self._code(session, event, session.tap.codes)
        if digits:
            self._sessions.notify(session, "dtmf", side=SIDE_NAMES[event.leg], digits=digits)

    def _code(self, session: Session, event: DigitDialled, codes: tuple[str, ...]) -> str:
        key = session.number, event.leg
        typed = self._typed.pop(key, "") + event.digit
        if found := next((code for code in codes if typed.endswith(code)), ""):
            return found
        self._typed[key] = typed[-max((len(code) for code in codes), default=1) :]
        return ""

    def look(self) -> None:
        """Who has fallen silent, or is heard again. Called every ``LOOK_S``."""
        now = time.monotonic()
        quiet = set(self._engine.silent_legs(SILENT_AFTER_S))
        running: set[int] = set()
        for session in self._sessions:
            running.add(session.number)
            expected = session.answered and not session.held and now - session.signalled >= SILENT_AFTER_S
            found = frozenset(side for side in SIDES if expected and (session.number, side) in quiet)
            if found != self._silent.get(session.number, frozenset()):
                self._tell(session, found)
        for number in self._silent.keys() - running:
            del self._silent[number]
        for key in [key for key in self._typed if key[0] not in running]:
            del self._typed[key]

    def _tell(self, session: Session, found: frozenset[Side]) -> None:
        known = self._silent.pop(session.number, frozenset())
        if found:
            self._silent[session.number] = found
        for side in sorted(known - found):
            self._sessions.notify(session, "audio-back", side=SIDE_NAMES[side])
        kind = "silence" if len(found) == len(SIDES) else "one-way-audio"
        for side in sorted(found - known):
            metrics.SILENT_SIDES.labels(kind).inc()
            log.warning("side_silent", call_id=session.call_id, side=SIDE_NAMES[side], kind=kind)
            self._sessions.notify(session, kind, side=SIDE_NAMES[side], reason=f"no RTP for {SILENT_AFTER_S:g} s")


def _called(codecs: Mapping[int, str], name: str) -> list[int]:
    return [number for number, codec in codecs.items() if codec.partition("/")[0].lower() == name]
