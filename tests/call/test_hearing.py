"""One-way audio and silence, as the call takes what its media server tells."""

from __future__ import annotations

from mediaserverd.call import events as on
from mediaserverd.call.commands import HangUp
from mediaserverd.protocol.negotiation import Side
from tests.call.script import Script, talking


def silent(script: Script, side: Side, server: str = "m1") -> None:
    script.tell(on.SideSilent(server, side, "no RTP for 2 s"), after=1.0)


def state(script: Script) -> str:
    return script.call.hearing.fault


def test_one_side_is_one_way_audio_and_both_are_silence_until_they_are_heard_again() -> None:
    script = talking(audio_path="always-in")
    seen = [state(script)]
    silent(script, Side.CALLED)
    seen.append(state(script))
    silent(script, Side.CALLER)
    seen.append(state(script))
    script.tell(on.SideHeard("m1", Side.CALLED))
    script.tell(on.SideHeard("m1", Side.CALLED))
    seen.append(state(script))
    script.tell(on.SideHeard("m1", Side.CALLER))
    assert [*seen, state(script)] == ["", "one-way-audio", "silence", "one-way-audio", ""]
    assert [line.text for line in script.call.story.lines][-4:] == [
        "one-way-audio: nothing is heard from the called side (no RTP for 2 s)",
        "silence: nothing is heard from the caller side (no RTP for 2 s)",
        "the called side is heard again",
        "the caller side is heard again",
    ]
    assert script.call.deadline is None


def test_what_another_media_server_tells_does_not_count() -> None:
    script = talking(audio_path="always-in")
    silent(script, Side.CALLED, server="m2")
    assert state(script) == ""


def test_a_call_whose_audio_stays_broken_is_hung_up_where_the_site_wants_that() -> None:
    script = talking(audio_path="always-in", hang_up_on_broken_rtp_s=10.0)
    silent(script, Side.CALLED)
    assert script.call.deadline == script.now + 10
    script.tell(on.SideHeard("m1", Side.CALLED), after=9.0)
    silent(script, Side.CALLER)
    assert not any(isinstance(each, HangUp) for each in script.tell(on.Woken(), after=9.0))
    ended = [each for each in script.tell(on.Woken(), after=1.0) if isinstance(each, HangUp)]
    assert len(ended) == 2
    assert ended[0].reason == "one-way-audio: a side has not been heard for too long"
