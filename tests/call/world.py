"""The world around a call, for random tests: it owes the call the outcomes that ``events`` promises, and keeps
account of what the call owes the world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mediaserverd.call import commands as do
from mediaserverd.call import events as on
from mediaserverd.call.b2bua import Call
from mediaserverd.call.ledger import Ended, Expected, Failed, Started
from mediaserverd.call.setup import CallSetup
from mediaserverd.protocol.negotiation import Side
from tests.call.script import RECORDING_ID

Pick = Callable[[int], int]  # a number below the one given


@dataclass
class World:
    setup: CallSetup
    pick: Pick
    body: Callable[[], bytes]
    now: float = 0.0
    owed: list[do.Command] = field(default_factory=list)  # commands whose outcome the call waits for
    finished: int = 0
    caller: list[str] = field(default_factory=list)
    ended_legs: Counter[on.LegId] = field(default_factory=Counter)
    unacknowledged: Counter[on.LegId] = field(default_factory=Counter)  # 2xx told, ACK not seen
    unanswered: Counter[tuple[str, on.LegId]] = field(default_factory=Counter)  # re-INVITE, UPDATE, INFO told
    sessions: set[str] = field(default_factory=set)  # media servers that may have something of the call
    refused_servers: set[str] = field(default_factory=set)
    ledger: list[object] = field(default_factory=list)
    busy: list[on.LegId] = field(default_factory=list)  # asked although an offer is on its way there already
    paused: bool = False  # when what is carried out now was decided
    infos: int = 0
    wishes: int = 0
    unheard: Counter[on.ControlRequest] = field(default_factory=Counter)  # wishes without an answer

    def __post_init__(self) -> None:
        self.call = Call(self.setup)

    # --- telling

    def tell(self, event: on.Event) -> None:
        before = self.finished
        match event:
            case on.Answered(leg) | on.OfferAnswered(leg) if not self.ended_legs[leg] and not before:
                self.unacknowledged[leg] += 1
            case on.Offered(leg) if not before:
                self.unanswered["offer", leg] += 1
            case on.Informed(leg) if not before:
                self.unanswered["info", leg] += 1
            case on.StartRequested() | on.StopRequested() | on.PauseRequested() | on.ResumeRequested() if not before:
                self.unheard[event.request] += 1
            case on.HungUp(leg):
                self.ended_legs[leg] += 1
            case on.LegLost(leg):
                self.ended_legs[leg] += 1
                self.unacknowledged[leg] = 0  # there is no way to send an ACK
            case _:
                pass
        self.paused = self.call.control.pause is not None
        commands = self.call.handle(event, self.now)
        assert not (before and commands), "after Finished nothing comes"
        for command in commands:
            self.carry_out(command)
        while self.busy:
            self.tell(on.OfferRefused(self.busy.pop(), 491, "an INVITE is still running in this dialog"))

    def carry_out(self, command: do.Command) -> None:
        assert not self.finished, "Finished is the last command"
        match command:
            case do.Accept() | do.Refuse():
                self.caller.append(type(command).__name__)
                if isinstance(command, do.Accept):
                    self.owed.append(command)
            case do.Dial() | do.SendInfo() | do.FindMediaServers():
                self.owed.append(command)
            case do.MediaOffer(server=server):
                self.sessions.add(server)
                self.refused_servers.discard(server)
                self.owed.append(command)
            case do.MediaAnswer(server=server) | do.StartRecording(server=server):
                assert server in self.sessions, "a session that is gone has nothing to change"
                self.owed.append(command)
            case do.SendOffer(leg):
                assert not self.ended_legs[leg]
                asked = any(isinstance(each, do.SendOffer) and each.leg == leg for each in self.owed)
                if asked or self.unacknowledged[leg]:
                    self.busy.append(leg)
                else:
                    self.owed.append(command)
            case do.CancelDial(leg):
                assert any(isinstance(each, do.Dial) and each.leg == leg for each in self.owed)
            case do.Acknowledge(leg):
                assert self.unacknowledged[leg] == 1, "one ACK for one 2xx"
                self.unacknowledged[leg] -= 1
            case do.AnswerOffer(leg):
                self.unanswered["offer", leg] -= 1
                if command.status == 200:
                    self.owed.append(command)
            case do.AnswerInfo(leg):
                self.unanswered["info", leg] -= 1
            case do.HangUp(leg):
                assert not self.unacknowledged[leg], "a 2xx is acknowledged before its leg is hung up"
                self.ended_legs[leg] += 1
            case do.MediaDelete(server):
                assert server in self.sessions, "what is gone is not deleted again"
                self.sessions.discard(server)
            case do.WriteLedger(entry):
                self.ledger.append(entry)
            case do.StopRecording() | do.PauseRecording() | do.ResumeRecording():
                self.paused = self.paused or isinstance(command, do.PauseRecording)
                assert command.server in self.sessions, "a session that is gone has nothing to change"
                self.owed.append(command)
            case do.RecordEvent():
                assert command.server in self.sessions
                assert not self.paused or "digits" not in command.event
            case do.Grant(request) | do.Deny(request):
                self.unheard[request] -= 1
            case do.SendProgress():
                assert not self.caller, "no provisional response after a final one"
            case do.FailedOver():
                pass
            case do.Finished():
                self.finished += 1

    # --- what the world does

    def settle_one(self) -> None:
        """Gives the call one outcome that it waits for, good or bad."""
        if not self.owed:
            return
        command = self.owed.pop(self.pick(len(self.owed)))
        good = self.pick(8) > 0
        match command:
            case do.Dial(leg):
                self.tell(on.Answered(leg, self.body()) if good else on.Refused(leg, (486, 603)[self.pick(2)], "No"))
            case do.FindMediaServers(search):
                self.tell(on.MediaServersFound(search, self.setup.media_servers[self.pick(2) :]))
            case do.MediaOffer(request, server) | do.MediaAnswer(request, server):
                self._media_reply(request, server, good)
            case do.StartRecording(_, recording_id, segment):
                self.tell(
                    on.RecordingStarted(recording_id, segment, "f", "u")
                    if good
                    else on.RecordingRefused(recording_id, segment, "full")
                )
            case do.StopRecording(change) | do.PauseRecording(change) | do.ResumeRecording(change):
                self.tell(on.ChangeDone(change) if good else on.ChangeFailed(change, "no"))
            case do.Accept():
                self._ack(on.CALLER)
            case do.AnswerOffer(leg):
                self._ack(leg)
            case do.SendOffer(leg):
                if not self.ended_legs[leg]:  # after a BYE it is the dialog layer's
                    refused = on.OfferRefused(leg, (488, 491)[self.pick(2)], "No")
                    self.tell(on.OfferAnswered(leg, self.body()) if good else refused)
            case do.SendInfo(leg, info):
                self.tell(on.InfoAnswered(leg, info, 200 if good else 500, ""))
            case _:
                raise AssertionError(f"nobody waits for {command}")

    def _media_reply(self, request: on.MediaRequest, server: str, good: bool) -> None:
        if good:
            self.tell(on.MediaReplied(request, self.body()))
            return
        silent = self.pick(2) == 0
        first = server not in self.refused_servers and not self.caller
        if not silent and first and server in self.sessions:
            self.refused_servers.add(server)  # may be more than the first offer: then a delete still follows
        self.tell(on.MediaFailed(request, "no", silent=silent))

    def _ack(self, leg: on.LegId) -> None:
        if not self.ended_legs[leg]:
            self.tell(on.Acknowledged(leg, self.body()) if self.pick(20) else on.AckMissing(leg))

    def any_leg(self) -> on.LegId:
        legs = [on.CALLER, *(on.LegId(f"called-{number}") for number in (1, 2, 3))]
        return legs[self.pick(len(legs))]

    def surprise(self) -> None:
        """Something that nobody asked for, also at the wrong time."""
        leg, body = self.any_leg(), self.body()
        server = (*self.setup.media_servers, "other")[self.pick(len(self.setup.media_servers) + 1)]
        side = (Side.CALLER, Side.CALLED)[self.pick(2)]
        self.infos += 1
        self.wishes += 1
        wish, seconds = on.ControlRequest(self.wishes), (None, 0, 0.5, 60, 9999)[self.pick(5)]
        surprises: list[on.Event] = [
            on.Invited(body),
            on.Cancelled(),
            on.Progressed(leg, (180, 183, 199)[self.pick(3)], "Ringing", body),
            on.Acknowledged(on.CALLER, body),
            on.Acknowledged(leg, body),
            on.AckMissing(leg),
            on.Offered(leg, on.Method.INVITE, body),
            on.Offered(leg, on.Method.UPDATE, body),
            on.OfferRefused(leg, 491, ""),
            on.Informed(leg, self.infos, "text/plain", b""),
            on.Informed(leg, self.infos, "application/dtmf-relay", b"Signal=5"),
            on.Informed(
                leg, self.infos, "", b"", (("Record", ("on", "off", "?")[self.pick(3)]),), f"{self.wishes:032x}"
            ),
            on.DigitsDialled(side, "*2"[self.pick(2)], f"{self.wishes:032x}"),
            on.DigitsDialled(side, ("*1", "*2", "*3")[self.pick(3)], f"{self.wishes:032x}"),
            on.SideSilent(server, side, "2 s"),
            on.SideHeard(server, side),
            on.StartRequested(wish, "eve", f"{self.wishes:032x}"),
            on.StopRequested(wish, "eve"),
            on.PauseRequested(wish, "eve", secure=self.pick(2) == 0, seconds=seconds),
            on.ResumeRequested(wish, "eve"),
            on.ChangeDone(on.Change(self.pick(9))),
            on.ChangeFailed(on.Change(self.pick(9)), "late"),
            on.InfoAnswered(leg, self.pick(9), 481, ""),
            on.HungUp(leg),
            on.LegLost(leg, "gone"),
            on.MediaReplied(on.MediaRequest(self.pick(9)), body),
            on.RecordingBroken(RECORDING_ID, 1 + self.pick(3), "disk"),
            on.RecordingRefused(RECORDING_ID, self.pick(3), "late"),
            on.MediaServersFound(on.Search(self.pick(3)), (server,)),
            on.MediaTimedOut(server, "60 s"),
            on.MediaLost(server, "killed"),
            on.MediaUsable(server),
            on.EndRequested("shutdown", 418),
        ]
        event = surprises[self.pick(len(surprises))]
        if isinstance(event, on.HungUp | on.LegLost | on.Offered | on.Informed) and not self._has_dialog(leg):
            return  # the controller knows no such dialog
        self.tell(event)

    def trouble(self) -> None:
        """What people, phones and media servers do to a call that is up, so that its audio moves again and again."""
        leg, body = (on.CALLER, on.LegId("called-1"))[self.pick(2)], self.body()
        self.wishes += 1
        wish = on.ControlRequest(self.wishes)
        start = on.StartRequested(wish, "eve", f"{self.wishes:032x}")
        troubles: list[on.Event] = [
            *(start, on.StopRequested(wish, "eve")) * 4,
            on.Offered(leg, on.Method.INVITE, body),
            on.Offered(leg, on.Method.UPDATE, body),
            on.Offered(leg, on.Method.INVITE),
            on.PauseRequested(wish, "eve", secure=True, seconds=1.0),
            on.MediaLost(self.setup.media_servers[self.pick(len(self.setup.media_servers))], "killed"),
            on.MediaUsable(self.setup.media_servers[self.pick(len(self.setup.media_servers))]),
        ]
        event = troubles[self.pick(len(troubles))]
        if not isinstance(event, on.Offered) or self._has_dialog(leg):
            self.tell(event)

    def _has_dialog(self, leg: on.LegId) -> bool:
        if leg == on.CALLER:
            return not self.ended_legs[leg]
        answered = any(each.id == leg and each.is_up for each in self.call._fork.legs.values())
        return answered and not self.ended_legs[leg]

    def wait(self) -> None:
        """Until the deadline; ``Woken`` must then move it on."""
        at = self.call.deadline
        if at is None:
            return
        self.now = max(self.now, at)
        self.tell(on.Woken())
        after = self.call.deadline
        assert after is None or after > self.now, "a deadline that does not move is a busy loop"

    def end(self) -> None:
        """Somebody ends the call, and every outcome still owed comes, or never does."""
        self.tell(on.EndRequested("shutdown"))
        while self.owed and self.pick(8):
            self.settle_one()
        self.wait()

    # --- the account

    def check(self) -> None:
        assert self.finished == 1
        assert len(self.caller) == 1, "one final response to the caller"
        if self.caller == ["Accept"]:
            assert self.ended_legs[on.CALLER] == 1, "an answered caller is hung up exactly once"
        assert all(count <= 1 for leg, count in self.ended_legs.items()), "no leg is ended twice"
        assert not +self.unacknowledged, "every 2xx has its ACK"
        assert not any(self.unanswered.values()), "every request has its response"
        assert not any(self.unheard.values()), "every wish is answered once"
        assert self.sessions <= self.refused_servers, "every session is deleted"
        self._check_ledger()

    def _check_ledger(self) -> None:
        stories: dict[tuple[str, int], list[object]] = {}
        for entry in self.ledger:
            assert isinstance(entry, Expected | Started | Ended | Failed)
            stories.setdefault((entry.recording_id, entry.segment), []).append(type(entry))
        for kinds in stories.values():
            assert kinds in ([Expected, Failed], [Expected, Started, Ended]), "one announcement, one end"
