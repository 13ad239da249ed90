"""Keys of phones in a call: feature codes, Record keys, and what is kept of digits."""

from __future__ import annotations

import pytest

from mediaserverd.call import commands as do
from mediaserverd.call import events as on
from mediaserverd.call.commands import AnswerInfo, Command, PauseRecording, RecordEvent, ResumeRecording, StopRecording
from mediaserverd.call.feature_codes import CODE_GAP_S, CodeReader
from mediaserverd.call.setup import FeatureCodes, RecordingOrder
from mediaserverd.policy.facts import Party
from mediaserverd.protocol.negotiation import Side
from tests.call.moving import direct
from tests.call.script import B1, ORDER, Script, talking

CODES = FeatureCodes("*1", "*2", "*3")
FRESH = "f" * 32


def anchored(**changes: object) -> Script:
    return talking(**{"codes": CODES, "audio_path": "always-in", **changes})


def press(script: Script, digits: str, side: Side = Side.CALLER, after: float = 0.1) -> list[Command]:
    return [command for digit in digits for command in script.tell(on.DigitsDialled(side, digit, FRESH), after)]


def told(script: Script) -> list[str]:
    return [line.text for line in script.call.story.lines if "DTMF" in line.text or "not now" in line.text]


def started(commands: list[Command]) -> list[tuple[str, str, str]]:
    asked = [each.entry for each in commands if isinstance(each, do.WriteLedger)]
    return [(str(entry.document()["kind"]), entry.recording_id, str(entry.document()["initiation"])) for entry in asked]


# --- the reader


@pytest.mark.parametrize(
    ("keys", "digits", "codes"),
    [
        ("5", "5", []),
        ("*1", "", ["*1"]),
        ("**1", "*", ["*1"]),
        ("1*12", "12", ["*1"]),
        ("*9", "*9", []),
        ("*#*#4*2", "*#", ["*#4", "*2"]),
        ("*1*1", "", ["*1", "*1"]),
    ],
)
def test_codes_are_found_among_digits_and_everything_else_is_content(keys: str, digits: str, codes: list[str]) -> None:
    reader = CodeReader(["*1", "*2", "*#4", ""])
    found = [reader.typed(key, 0.5 * at) for at, key in enumerate(keys)]
    assert "".join(each.digits for each in found) == digits
    assert [each.code for each in found if each.code] == codes


def test_keys_far_apart_are_no_code_and_what_was_held_is_let_go() -> None:
    reader = CodeReader(["*1"])
    assert (reader.typed("*", 0.0).digits, reader.until) == ("", CODE_GAP_S)
    assert reader.typed("1", CODE_GAP_S).digits == "*1"
    reader.typed("*", 10.0)
    assert (reader.let_go(), reader.until, reader.let_go()) == ("*", None, "")


# --- feature codes


def test_the_record_code_starts_and_stops_and_is_no_content() -> None:
    script = anchored()
    assert started(press(script, "*1")) == [("on-demand", FRESH, "station alice")]
    script.tell(on.RecordingStarted(FRESH, 1, "f", "u"))
    [stop] = press(script, "*1", Side.CALLED)
    assert isinstance(stop, StopRecording)
    assert told(script) == []


def test_the_pause_code_pauses_and_resumes_also_when_told_as_a_whole() -> None:
    script = anchored(recording=ORDER)
    [pause] = press(script, "*2")
    assert isinstance(pause, PauseRecording)
    assert (pause.by, pause.codes) == ("station alice", ("*2",))
    script.tell(on.ChangeDone(pause.change))
    [resume] = script.tell(on.DigitsDialled(Side.CALLER, "*2"))
    assert isinstance(resume, ResumeRecording)


def test_the_snip_code_records_a_snippet_in_sasf_as_the_site_encrypts_them_and_ends_it() -> None:
    script = anchored(encrypt_snippets=False)
    commands = press(script, "*3")
    [start] = [each for each in commands if isinstance(each, do.StartRecording)]
    assert (start.form.format, start.form.encrypt, start.metadata["kind"]) == ("sasf", False, "snippet")
    assert script.call.recordings.all[-1].order.kind == "snippet"
    script.tell(on.RecordingStarted(FRESH, 1, "f", "u"))
    [stop] = press(script, "*3")
    assert isinstance(stop, StopRecording)


def test_a_code_that_cannot_be_obeyed_is_told_in_the_story_and_answered_to_nobody() -> None:
    script = anchored(barred_by="no works council")
    assert press(script, "*1") == []
    assert told(script) == ["station alice: not now: policy 'no works council' says that this call is not recorded"]


def test_who_is_outside_controls_nothing_and_codes_can_be_turned_off() -> None:
    script = anchored(calling=Party("+4930", line="carrier"), recording=ORDER)
    assert all(isinstance(each, RecordEvent) for each in press(script, "*2"))
    assert told(script) == ["caller side: DTMF *", "caller side: DTMF 2"]
    off = anchored(codes=FeatureCodes(pause="*2"))
    assert press(off, "*1*") == []
    assert told(off) == ["caller side: DTMF *", "caller side: DTMF 1"]


def test_digits_are_kept_with_the_recording_once_they_are_known_to_be_no_code() -> None:
    script = anchored(recording=ORDER)
    assert press(script, "*") == []
    assert script.call.deadline == script.now + CODE_GAP_S
    [kept] = script.tell(on.Woken(), after=CODE_GAP_S)
    assert kept == RecordEvent("m1", Side.CALLER, {"event": "dtmf", "digits": "*"})
    assert [each.event["digits"] for each in press(script, "12") if isinstance(each, RecordEvent)] == ["1", "2"]


def test_nothing_that_is_typed_in_a_pause_is_kept_even_if_it_is_known_to_be_no_code_only_later() -> None:
    script = anchored(recording=ORDER)
    [pause] = script.tell(on.PauseRequested(on.ControlRequest(1), "api"))
    assert isinstance(pause, PauseRecording)
    script.tell(on.ChangeDone(pause.change))
    assert press(script, "4111") == []
    assert press(script, "*") == []
    [resume] = script.tell(on.ResumeRequested(on.ControlRequest(2), "api"))
    assert isinstance(resume, ResumeRecording)
    script.tell(on.ChangeDone(resume.change))
    assert script.tell(on.Woken(), after=CODE_GAP_S) == []
    assert len(press(script, "7")) == 1
    assert told(script) == ["caller side: DTMF 7"]


# --- INFO


def info(number: int, record: str = "", digit: str = "", leg: on.LegId = on.CALLER) -> on.Informed:
    headers = (("Record", record),) if record else ()
    kind = "application/dtmf-relay" if digit else ""
    return on.Informed(leg, number, kind, f"Signal={digit}".encode() if digit else b"", headers, FRESH)


def test_a_record_key_starts_and_stops_and_is_answered_when_it_is_done() -> None:
    script = anchored()
    assert started(script.tell(info(1, "on"))) == [("on-demand", FRESH, "station alice")]
    assert AnswerInfo(on.CALLER, 1, 200, "OK") in script.tell(on.RecordingStarted(FRESH, 1, "f", "u"))
    assert script.tell(info(2, "on", leg=B1)) == [AnswerInfo(B1, 2, 200, "OK")], "it runs already"
    [stop] = script.tell(info(3, "Off", leg=B1))
    assert isinstance(stop, StopRecording)
    assert AnswerInfo(B1, 3, 200, "OK") in script.tell(on.ChangeDone(stop.change))
    assert script.tell(info(4, "off")) == [AnswerInfo(on.CALLER, 4, 200, "OK")]


@pytest.mark.parametrize(
    ("record", "changes", "status"),
    [
        ("maybe", {}, 400),
        ("on", {"barred_by": "never"}, 403),
        ("off", {"recording": RecordingOrder(ORDER.recording_id, "all", required=True)}, 403),
        ("on", {"calling": Party("+4930", line="carrier")}, 403),
    ],
)
def test_a_record_key_that_cannot_be_obeyed_is_refused_and_not_passed_on(
    record: str, changes: dict[str, object], status: int
) -> None:
    [answer] = anchored(**changes).tell(info(1, record))
    assert isinstance(answer, AnswerInfo)
    assert answer.status == status


def test_a_record_key_that_waits_when_the_call_ends_is_answered() -> None:
    script = anchored()
    script.tell(info(1, "on"))
    commands = script.tell(on.HungUp(B1))
    assert [each.status for each in commands if isinstance(each, AnswerInfo)] == [403]
    assert isinstance(script.tell(on.RecordingStarted(FRESH, 1, "f", "u"))[-1], do.Finished)


def test_a_code_typed_by_info_works_and_its_info_still_crosses() -> None:
    script = anchored()
    first, second = script.tell(info(1, digit="*")), script.tell(info(2, digit="1"))
    assert [type(each) for each in first] == [do.SendInfo]
    assert do.SendInfo in [type(each) for each in second]
    assert started(second) == [("on-demand", FRESH, "station alice")]


def test_a_record_key_brings_a_media_server_into_a_call_whose_phones_talk_directly() -> None:
    script = direct(codes=CODES)
    [find] = script.tell(info(1, "on"))
    assert isinstance(find, do.FindMediaServers)
    refused = script.tell(on.MediaServersFound(find.search, ()))
    assert refused == [AnswerInfo(on.CALLER, 1, 403, "Forbidden")]
    assert told(script) == [
        "station alice: not now: the audio cannot be recorded: no media server may be used now",
    ]
