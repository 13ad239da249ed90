"""ng requests in, replies out: what each command does to the calls and recordings of this server.

Not responsible for how requests arrive (``ng_door``), nor for ``offer`` and ``answer`` in detail (``offers``).

Commands of one call are carried out one after the other; only those that make a file wait for anything, and then only
for their own call. What is not supported is answered at once, as proxies take silence for a dead server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from mediaserverd.media import answers, metrics, report
from mediaserverd.media.controllers import Controllers, IntroductionRefused
from mediaserverd.media.engine import Engine
from mediaserverd.media.listening import Listening
from mediaserverd.media.load import Load
from mediaserverd.media.offers import CommandFault, Offers, required
from mediaserverd.media.sessions import NoRoom, Owner, Session, Sessions, Side
from mediaserverd.media.settings import RecordingDefaults
from mediaserverd.media.taps import PauseMode, Tap, Taps
from mediaserverd.media.terms import Terms
from mediaserverd.media.wanted import MAX_LOOK_BACK_MS, RecordingRefused, asked_by, wanted
from mediaserverd.protocol import ng
from mediaserverd.protocol.ng import Reason, Request, Value

MAX_EVENT_BYTES: Final = 4096
MAX_CODES: Final = 8  # that a controller waits for in a pause
_EVENTS_OF_OURS: Final = ("begin", "codecs", "pause", "resume")  # what else would say so would change what is heard
DEFAULT_LIST_LIMIT: Final = 32  # rtpengine's
_NOT_FOUND_WARNING: Final = "Call-ID not found or tags didn't match"
_NOT_RECORDED: Final = "This call is not being recorded"

Reply: TypeAlias = dict[str, Value]

log = structlog.get_logger()


class Commands:
    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        controllers: Controllers,
        taps: Taps,
        listening: Listening,
        *,
        server_name: str,
        retrieval_url: str,
        defaults: RecordingDefaults,
        load: Callable[[], Load],
    ) -> None:
        self.server_name = server_name
        self.retrieval_url = retrieval_url
        self.defaults = defaults
        self._engine = engine
        self._sessions = sessions
        self._controllers = controllers
        self._offers = Offers(engine, sessions)
        self._taps = taps
        self._listening = listening
        self._load = load
        self._began = time.monotonic()
        self._table: dict[str, Callable[[Request, Owner | None], Awaitable[Reply]]] = {
            "offer": self._offer,
            "answer": self._answer,
            "delete": self._delete,
            "query": self._query,
            "list": self._list,
            "statistics": self._statistics,
            "start recording": self._start_recording,
            "stop recording": self._stop_recording,
            "pause recording": self._pause_recording,
            "record event": self._record_event,
            "configure": self._configure,
            "drain": self._drain,
            "activate": self._activate,
        }

    async def execute(self, request: Request, owner: Owner | None = None) -> Reply:
        """The reply to any request. A bug costs its call an error reply, and nothing else."""
        reply = await self._carried_out(request, owner)
        known = request.command in self._table or request.command == "ping"
        metrics.NG_COMMANDS.labels(request.command if known else "other", reply["result"]).inc()
        return reply

    async def _carried_out(self, request: Request, owner: Owner | None) -> Reply:
        if request.command == "ping":
            return self._pong(owner)
        command = self._table.get(request.command)
        if command is None:
            return ng.error(Reason.UNKNOWN_COMMAND)
        try:
            return await command(request, owner)
        except NoRoom as fault:
            return ng.refusal(request, fault.reason)
        except (CommandFault, RecordingRefused, IntroductionRefused) as fault:
            log.info("ng_refused", command=request.command, call_id=request.text("call-id"), reason=str(fault))
            return ng.error(str(fault))
        except Exception:
            log.exception("ng_command_broke", command=request.command, call_id=request.text("call-id"))
            return ng.error("Internal error")

    # --- the server

    def _pong(self, owner: Owner | None) -> Reply:
        terms, load = self._controllers.terms(_name(owner)), self._load()
        described: dict[str, Value] = {
            "sessions": len(self._sessions),
            "max-sessions": min(self._sessions.limit, terms.parameters.session_limit),
            "own-sessions": self._sessions.count(terms.controller),
            "controllers": dict(self._sessions.counts()),
            "cpu-permille": load.cpu_permille,
            "draining": int(self._sessions.draining),
            "drained": str(self._sessions.drain.order or ""),
            "disk-free-bytes": load.disk_free_bytes,
            "refuses-sessions": self._sessions.refusal(terms) or "",
            "refuses-recordings": _disk_refusal(load, terms),
        }
        return {"result": "pong", "load": described}

    async def _configure(self, request: Request, owner: Owner | None) -> Reply:
        if owner is None:
            raise CommandFault("configure is for controllers, who come by WebSocket")
        terms = self._controllers.introduce(request, owner)
        return ng.ok(server=self.server_name, effective=list(terms.effective.described()))

    async def _drain(self, _: Request, owner: Owner | None) -> Reply:
        name = _name(owner)
        try:
            self._sessions.drain.begin(f"controller {name}" if name else "a client without a name")
        except OSError as fault:
            raise CommandFault(f"the order cannot be kept: {fault.strerror}") from fault
        return ng.ok(sessions=len(self._sessions))

    async def _activate(self, _: Request, __: Owner | None) -> Reply:
        try:
            self._sessions.drain.end()
        except OSError as fault:
            raise CommandFault(f"the order cannot be taken back: {fault.strerror}") from fault
        return ng.ok(sessions=len(self._sessions))

    # --- the call

    async def _offer(self, request: Request, owner: Owner | None) -> Reply:
        terms = self._controllers.terms(_name(owner))
        is_new = self._sessions.find(terms.controller, request.text("call-id") or "") is None
        session, description = self._offers.session_for_offer(request, owner, terms)
        async with session.lock:
            _still_there(session)
            try:
                sdp = self._offers.apply(request, session, description)
            except CommandFault:
                if is_new:
                    self._sessions.close(session, "offer-refused")
                raise
            self._set_look_back(request, session)
            return ng.ok(sdp=sdp, **await self._recording_as_offered(request, session))

    async def _answer(self, request: Request, owner: Owner | None) -> Reply:
        session, description = self._offers.session_for_answer(request, owner, _name(owner))
        async with session.lock:
            _still_there(session)
            sdp = self._offers.apply(request, session, description)
            self._set_look_back(request, session)
            return ng.ok(sdp=sdp, **await self._recording_as_offered(request, session))

    def _set_look_back(self, request: Request, session: Session) -> None:
        """Said nothing, it stays as it is."""
        if request.text("look-back-ms") is not None:
            milliseconds = max(0, min(MAX_LOOK_BACK_MS, request.number("look-back-ms", 0)))
            self._engine.set_look_back(session.number, milliseconds)

    async def _recording_as_offered(self, request: Request, session: Session) -> Reply:
        """``record call`` in an offer or answer. It never un-pauses, and a recording refused never costs the call."""
        self._listening.described(session)
        if session.tap is not None:
            self._taps.announce_codecs(session.tap, session.codecs)
        match request.says("record-call"):
            case True if session.tap is None:
                try:
                    await self._start(request, session)
                except RecordingRefused as fault:
                    return {"warning": str(fault)}
                return {"recordings": [self._uri(session.files[-1])]}
            case False if session.tap is not None:
                self._stop(request, session)
        return {}

    async def _delete(self, request: Request, owner: Owner | None) -> Reply:
        call_id = required(request, "call-id", Reason.NO_CALL_ID)
        session = self._sessions.find(_name(owner), call_id)
        if session is None or not _tags_match(session, request):
            return _not_found(request)
        async with session.lock:
            if session.ended:
                return _not_found(request)
            now = self._engine.statistics(session.number)
            answer = answers.queried(session, now)
            self._sessions.close(session, "call-ended", discard="discard-recording" in request.flags)
        self._sessions.tally.deleted += 1
        return ng.ok(**answer, recordings=[self._described(file) for file in session.files])

    async def _query(self, request: Request, owner: Owner | None) -> Reply:
        session = self._session(request, owner)
        return ng.ok(**answers.queried(session, self._engine.statistics(session.number)))

    async def _list(self, request: Request, owner: Owner | None) -> Reply:
        """Those of whoever asks, so that nobody takes another's calls for orphans."""
        sessions = self._sessions.of(_name(owner))
        calls = answers.listed(sessions, request.number("limit", DEFAULT_LIST_LIMIT))
        broken: list[Value] = [dict(each.broken.body) for each in sessions if each.broken]
        return ng.ok(calls=calls, notifications=broken) if broken else ng.ok(calls=calls)

    async def _statistics(self, _: Request, __: Owner | None) -> Reply:
        uptime_s = time.monotonic() - self._began
        return ng.ok(statistics=answers.statistics(self._sessions, self._engine.totals(), uptime_s))

    # --- its recording

    async def _start_recording(self, request: Request, owner: Owner | None) -> Reply:
        session = self._session(request, owner)
        session.owner = owner or session.owner
        async with session.lock:
            _still_there(session)
            tap = session.tap
            if tap is None:
                paused = _pause_mode(request) if request.text("pause-mode") else None
                tap = await self._start(request, session)
                if paused:
                    self._pause(tap, paused, request)
            elif (asked := request.text("recording-id")) is not None and not tap.file.startswith(asked + "-"):
                raise RecordingRefused("another recording of this call is running")
            else:
                self._taps.resume(tap, _resumed(request))
            return ng.ok(recording=self._described(tap.file))

    async def _start(self, request: Request, session: Session) -> Tap:
        terms = self._controllers.terms(session.controller)
        asked = wanted(request, self.defaults, terms.parameters.recording_mime_type_default)
        tap = await self._taps.start(session.number, session.call_id, asked, session.codecs, terms.disk_floor_bytes)
        session.files.append(tap.file)
        session.tap, session.broken = tap, None
        return tap

    async def _stop_recording(self, request: Request, owner: Owner | None) -> Reply:
        if request.says("pause"):
            return await self._pause_recording(request, owner)
        session = self._session(request, owner)
        async with session.lock:
            _still_there(session)
            if session.tap is None:
                return ng.ok(warning=_NOT_RECORDED)
            file = self._stop(request, session)
            return ng.ok(recording=self._described(file))

    def _stop(self, request: Request, session: Session) -> str:
        assert session.tap is not None
        tap, session.tap = session.tap, None
        self._taps.stop(tap, "stopped", discard="discard-recording" in request.flags)
        return tap.file

    async def _pause_recording(self, request: Request, owner: Owner | None) -> Reply:
        session = self._session(request, owner)
        async with session.lock:
            _still_there(session)
            if session.tap is None:
                raise CommandFault(_NOT_RECORDED)
            self._pause(session.tap, _pause_mode(request), request)
            return ng.ok(recording=self._described(session.tap.file))

    def _pause(self, tap: Tap, mode: PauseMode, request: Request) -> None:
        self._taps.pause(tap, mode, secure=request.says("secure") is True, by=asked_by(request))
        tap.codes = tuple(code for code in request.words("dtmf-codes") if code)[:MAX_CODES]

    async def _record_event(self, request: Request, owner: Owner | None) -> Reply:
        session = self._session(request, owner)
        side, event = _event(request)
        async with session.lock:
            _still_there(session)
            if session.tap is None:
                return ng.ok(warning=_NOT_RECORDED)
            self._taps.record_event(session.tap, side, event)
            return ng.ok()

    def _described(self, file: str) -> Value:
        recording_id, segment = report.parsed_stem(Path(file).stem) or ("", 0)
        return {"id": recording_id, "segment": segment, "file": file, "uri": self._uri(file)}

    def _uri(self, file: str) -> str:
        return f"{self.retrieval_url}/recordings/{file}"

    def _session(self, request: Request, owner: Owner | None) -> Session:
        session = self._sessions.find(_name(owner), required(request, "call-id", Reason.NO_CALL_ID))
        if session is None:
            raise CommandFault(Reason.UNKNOWN_CALL)
        return session


def _name(owner: Owner | None) -> str:
    """Of the controller; empty for a local proxy, and for those who have not said it."""
    return "" if owner is None else owner.name


def _disk_refusal(load: Load, terms: Terms) -> str:
    below = load.disk_free_bytes < terms.disk_floor_bytes
    return f"less than {terms.parameters.disk_floor_mib} MiB are free for recordings" if below else ""


def _still_there(session: Session) -> None:
    """The call may have ended while a command waited for its turn."""
    if session.ended:
        raise CommandFault(Reason.UNKNOWN_CALL)


def _pause_mode(request: Request) -> PauseMode:
    match request.text("pause-mode"):
        case None | "mask":
            return "mask"
        case "omit":
            return "omit"
    raise CommandFault("pause-mode is mask or omit")


def _resumed(request: Request) -> dict[str, str]:
    by, reason = asked_by(request), request.text("reason")
    return {"by": by} if by else {"reason": reason} if reason else {}


def _event(request: Request) -> tuple[Side, dict[str, Value]]:
    event = request.fields.get("event")
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise CommandFault("event is an object with a text called event")
    try:
        size = len(json.dumps(event, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise CommandFault("event is not UTF-8") from None
    if size > MAX_EVENT_BYTES or event["event"] in _EVENTS_OF_OURS:
        raise CommandFault(f"event has more than {MAX_EVENT_BYTES} bytes, or is one that commands make")
    match request.text("side"):
        case None | "caller":
            return 0, event
        case "called":
            return 1, event
    raise CommandFault("side is caller or called")


def _tags_match(session: Session, request: Request) -> bool:
    tags = {party.tag for party in session.parties}
    given = request.text("from-tag")
    to_tag = request.text("to-tag") if "to-tag" in request.flags else None
    return (given is None or given in tags) and (to_tag is None or to_tag in tags)


def _not_found(request: Request) -> Reply:
    if "fatal" in request.flags:
        return ng.error(_NOT_FOUND_WARNING)
    return ng.ok(warning=_NOT_FOUND_WARNING)
