"""What phones do with their keys in a call: digits, feature codes, and the INFO of a phone that has a Record key.

Feature codes and Record keys are the site's own stations': who calls from outside controls nothing. Whether a wish may
be granted is decided in ``control``, as for everybody else. Of a pause, no digit is kept anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from mediaserverd.call import commands as do
from mediaserverd.call import events as on
from mediaserverd.call.control import RecordingControl
from mediaserverd.call.feature_codes import CodeReader, Typed
from mediaserverd.call.recordings import Recordings
from mediaserverd.call.responses import PHRASES
from mediaserverd.call.setup import CallSetup
from mediaserverd.policy.facts import Party
from mediaserverd.protocol.dtmf import digit_of
from mediaserverd.protocol.negotiation import Side

RECORD_HEADER: Final = "record"


@dataclass(frozen=True, slots=True)
class _Wish:
    """``leg`` not empty: its INFO waits for the answer."""

    by: str
    leg: on.LegId | None = None
    info: int = 0


class PhoneKeys:
    """``request`` takes a wish to where all wishes go; ``note`` writes an event into the running recording."""

    def __init__(
        self,
        setup: CallSetup,
        control: RecordingControl,
        recordings: Recordings,
        request: Callable[[on.ControlEvent], None],
        note: Callable[[Side, dict[str, str]], None],
        emit: Callable[[do.Command], None],
        tell: Callable[[str], None],
    ) -> None:
        self._codes = setup.codes
        self._control = control
        self._recordings = recordings
        self._request = request
        self._note = note
        self._emit = emit
        self._tell = tell
        self._readers = {side: CodeReader(setup.codes.all) for side in Side}
        self._secret: set[Side] = set()  # what this side's reader holds was typed in a pause
        self._wishes: dict[on.ControlRequest, _Wish] = {}
        self._numbers = 0

    @property
    def until(self) -> float | None:
        return min((reader.until for reader in self._readers.values() if reader.until is not None), default=None)

    def woken(self, now: float) -> None:
        for side, reader in self._readers.items():
            if reader.until is not None and now >= reader.until:
                self._keep(side, reader.let_go())

    def end(self) -> None:
        """The call ends: what could have become a code does not."""
        for side, reader in self._readers.items():
            self._keep(side, reader.let_go())

    def dialled(self, side: Side, party: Party, digits: str, fresh_id: str, now: float) -> None:
        for digit in digits:
            if self._control.pause:
                self._secret.add(side)
            typed = self._readers[side].typed(digit, now) if party.station else Typed(digit)
            self._keep(side, typed.digits)
            if typed.code:
                self._meant(typed.code, f"station {party.station}", fresh_id)

    def informed(self, side: Side, party: Party, event: on.Informed, now: float) -> bool:
        """Whether this INFO is for us, and not to be passed on."""
        asked = next((value for name, value in event.headers if name.lower() == RECORD_HEADER), None)
        if asked is None:
            self.dialled(side, party, digit_of(event.content_type, event.body), event.fresh_id, now)
            return False
        wanted = asked.strip().lower()
        if not party.station or wanted not in ("on", "off"):
            status = 403 if not party.station else 400
            self._emit(do.AnswerInfo(event.leg, event.info, status, PHRASES[status]))
        elif (wanted == "on") is (self._recordings.current is not None):
            self._emit(do.AnswerInfo(event.leg, event.info, 200, "OK"))
        else:
            wish = _Wish(f"station {party.station}", event.leg, event.info)
            self._start_or_stop(wish, event.fresh_id)
        return True

    def settle(self, out: list[do.Command]) -> Iterator[do.Command]:
        """The answers to the wishes of phones are told or sent here; everything else is passed on."""
        for command in out:
            wish = self._wishes.pop(command.request, None) if isinstance(command, do.Grant | do.Deny) else None
            if wish is None:
                yield command
                continue
            if isinstance(command, do.Deny):
                self._tell(f"{wish.by}: not now: {command.reason}")
            if wish.leg is not None:
                status = 403 if isinstance(command, do.Deny) else 200
                yield do.AnswerInfo(wish.leg, wish.info, status, PHRASES.get(status, "OK"))

    def _keep(self, side: Side, digits: str) -> None:
        secret = side in self._secret or self._control.pause  # also what was held back when the pause began
        for digit in "" if secret else digits:
            self._tell(f"{side.value} side: DTMF {digit}")
            if not self._control.pause:  # one that was held back as the beginning of a code, until a pause had begun
                self._note(side, {"event": "dtmf", "digits": digit})
        if self._readers[side].until is None:
            self._secret.discard(side)

    def _meant(self, code: str, by: str, fresh_id: str) -> None:
        wish = _Wish(by)
        current = self._recordings.current
        if code == self._codes.record:
            self._start_or_stop(wish, fresh_id)
        elif code == self._codes.pause and self._control.pause:
            self._request(on.ResumeRequested(self._number(wish), by))
        elif code == self._codes.pause:
            self._request(on.PauseRequested(self._number(wish), by))
        elif current and current.order.kind == "snippet":
            self._request(on.StopRequested(self._number(wish), by))
        else:
            self._request(on.StartRequested(self._number(wish), by, fresh_id, kind="snippet"))

    def _start_or_stop(self, wish: _Wish, fresh_id: str) -> None:
        number = self._number(wish)
        if self._recordings.current:
            self._request(on.StopRequested(number, wish.by))
        else:
            self._request(on.StartRequested(number, wish.by, fresh_id))

    def _number(self, wish: _Wish) -> on.ControlRequest:
        """Below zero: others count upwards."""
        self._numbers -= 1
        request = on.ControlRequest(self._numbers)
        self._wishes[request] = wish
        return request
