"""What a recording can be asked to be: encrypted or not, WAV, with look-back, paused; over real calls."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mediaserverd.media.server import MediaServer
from mediaserverd.media.settings import MediaSettings, RecordingDefaults
from mediaserverd.protocol.sasf.contents import Event
from mediaserverd.protocol.sasf.faults import WrongKey
from mediaserverd.protocol.sasf.reader import SasfReader
from tests.kit.g711 import PCMA, PCMU
from tests.kit.judge import judge, judge_stereo
from tests.kit.speech import speech
from tests.kit.wav import read_wav
from tests.media.calls import (
    FRAME_SAMPLES,
    Controller,
    Phone,
    controller,
    fetcher,
    finished,
    heard,
    phones,
    recorded,
    running,
    set_up,
    settings,
)

SECONDS = 3
RATE = 8000
CALLER, CALLED = speech(1, SECONDS), speech(2, SECONDS)
CALLER_SAYS, CALLED_SAYS = PCMU.encode(CALLER), PCMA.encode(CALLED)


@dataclass(frozen=True, slots=True)
class Call:
    settings: MediaSettings
    server: MediaServer
    link: Controller
    store: httpx.AsyncClient
    caller: Phone
    called: Phone
    to_caller: str
    to_called: str

    async def speak(self, first: int = 0, last: int = SECONDS) -> None:
        """Both parties say their seconds ``first`` to ``last``."""
        part = slice(first * RATE, last * RATE)
        await asyncio.gather(
            self.caller.speak(self.to_caller, CALLER_SAYS[part]),
            self.called.speak(self.to_called, CALLED_SAYS[part], payload_type=8),
        )

    async def start(self, **keys: Any) -> str:
        reply = await self.link.ok("start recording", call_id="call-1", **keys)
        return str(reply["recording"]["file"])

    async def end(self, file: str) -> dict[str, Any]:
        await self.link.ok("delete", call_id="call-1")
        return await finished(self.store, file)


@pytest.fixture
async def call(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Call]:
    chosen = settings(tmp_path, **getattr(request, "param", {}))
    async with (
        running(chosen) as server,
        controller(chosen, server.ng_port) as link,
        fetcher(chosen, server.retrieval_port) as store,
        phones() as (caller, called),
    ):
        to_caller, to_called = await set_up(link, "call-1", caller, called)
        yield Call(chosen, server, link, store, caller, called, to_caller, to_called)


def on_disk(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def frames_found(disk: bytes, spoken: bytes) -> int:
    """How many of the packets' payloads lie somewhere on the disk. Silence is left out: it is everywhere."""
    frames = [spoken[at : at + FRAME_SAMPLES] for at in range(0, len(spoken), FRAME_SAMPLES)]
    return sum(frame in disk for frame in frames if len(set(frame)) > 16)


async def test_of_an_encrypted_recording_no_audio_is_on_the_disk_in_the_clear_while_it_runs_or_after(
    call: Call,
) -> None:
    file = await call.start(metadata={"Patient": "Dr. Secret"})
    disk = call.settings.spool_directory.parent
    speaking = asyncio.create_task(call.speak())
    for _ in range(10):
        await asyncio.sleep(SECONDS / 10)
        snapshot = on_disk(disk)
        assert frames_found(snapshot, CALLER_SAYS) == frames_found(snapshot, CALLED_SAYS) == 0
        assert b"Dr. Secret" not in snapshot
    await speaking
    running_size = (call.settings.spool_directory / file.replace(".sasf", ".spool")).stat().st_size
    assert running_size > 1.5 * SECONDS * RATE, "the audio was there to be found"
    await call.end(file)
    snapshot = on_disk(disk)
    assert frames_found(snapshot, CALLER_SAYS) == frames_found(snapshot, CALLED_SAYS) == 0
    assert b"Dr. Secret" not in snapshot
    assert judge_stereo(CALLER, CALLED, heard(await recorded(call.store, file))).faults(seconds=2) == []


async def test_a_recording_in_the_clear_is_found_by_the_same_search(call: Call) -> None:
    file = await call.start(encrypt="no")
    await call.speak()
    await call.end(file)
    assert frames_found(on_disk(call.settings.spool_directory), CALLER_SAYS) > 50
    assert judge_stereo(CALLER, CALLED, heard(await recorded(call.store, file))).faults(seconds=2) == []


async def test_nobody_but_a_recipient_opens_it_and_each_file_has_a_key_of_its_own(call: Call) -> None:
    keyboxes = []
    for _ in range(2):
        file = await call.start()
        await call.speak(0, 1)
        await call.link.ok("stop recording", call_id="call-1")
        await finished(call.store, file)
        content = (await call.store.get(f"/recordings/{file}")).content
        with pytest.raises(WrongKey):
            SasfReader(content, [X25519PrivateKey.generate()]).contents()
        reader = await recorded(call.store, file)
        keyboxes.append((reader.header.file_id, reader.header.key_check))
    assert len(set(keyboxes)) == 2
    assert keyboxes[0][1] != keyboxes[1][1]


async def test_without_a_recipient_an_encrypted_recording_is_refused_with_what_to_do(call: Call) -> None:
    for key in call.settings.recipients_directory.iterdir():
        key.unlink()
    refused = await call.link.ask("start recording", call_id="call-1")
    assert refused["error-reason"].startswith("recording refused: nobody to encrypt for: put the public key")
    assert str(call.settings.recipients_directory) in refused["error-reason"]
    assert (await call.store.get("/recordings")).json()["recordings"] == []
    assert list(call.settings.spool_directory.iterdir()) == []
    await asyncio.sleep(1.5)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{call.server.status_port}") as status:
        answer = await status.get("/health/ready")
        assert (answer.status_code, list(answer.json()["missing"])) == (503, ["keys"])
    file = await call.start(encrypt=False)
    await call.end(file)


@pytest.mark.parametrize(
    ("keys", "said"),
    [({}, ("audio/opus", False)), ({"recording_mime_type": "audio/gsm"}, ("audio/GSM", True))],
    ids=["default", "asked"],
)
async def test_the_file_says_what_it_is_to_become_and_whether_that_was_asked_for(
    call: Call, keys: dict[str, str], said: tuple[str, bool]
) -> None:
    file = await call.start(**keys)
    await call.end(file)
    meta = (await recorded(call.store, file)).contents().meta
    assert (meta["encoding"], meta["encoding_asked"]) == said


@pytest.mark.parametrize("encoding", ["audio/L16", "audio/PCMU", "audio/PCMA"])
async def test_a_wav_recording_has_both_parties_and_leaves_no_other_file(call: Call, encoding: str) -> None:
    file = await call.start(recording_format="wav", recording_mime_type=encoding)
    await call.speak()
    report = await call.end(file)
    assert (report["file"], report["media_type"], report["encoding"]) == (file, "audio/wav", encoding)
    assert (file[-4:], report["channels"]) == (".wav", 2)
    assert [side["packets"] for side in report["quality"]["sides"]] == [SECONDS * 50] * 2
    assert report["quality"]["degraded"] is False
    heard_from, heard_to = report["quality"]["heard"]
    assert heard_from < 500 < 900 * SECONDS < heard_to <= report["duration_ms"], "as the packets say, which are gone"
    assert report["quality"]["look_back_ms"] == 0
    audio = await call.store.get(f"/recordings/{file}")
    assert audio.headers["content-type"] == "audio/wav"
    verdict = judge_stereo(CALLER, CALLED, read_wav(audio.content))
    assert verdict.faults(seconds=2, correlation=0.97, skew_ms=10) == []
    assert {path.suffix for path in call.settings.spool_directory.iterdir()} == {".wav", ".json"}


@pytest.mark.parametrize(("encoding", "tag"), [("audio/GSM", 0x31), ("audio/x-truespeech", 0x22)])
async def test_a_wav_recording_in_a_codec_of_one_channel_says_that_both_parties_are_mixed(
    call: Call, encoding: str, tag: int
) -> None:
    file = await call.start(recording_format="wav", recording_mime_type=encoding)
    await call.speak()
    report = await call.end(file)
    assert (report["file"][-4:], report["encoding"], report["channels"]) == (".wav", encoding, 1)
    content = (await call.store.get(f"/recordings/{file}")).content
    assert struct.unpack_from("<HH", content, 20) == (tag, 1)
    with av.open(io.BytesIO(content), "r") as container:
        mixed = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    for voice in (CALLER, CALLED):
        assert max(judge(voice, mixed).correlations) > 0.4


@pytest.mark.parametrize("call", [{"recording": RecordingDefaults(format="wav", encrypt=False)}], indirect=True)
async def test_what_is_not_asked_for_is_as_the_administrator_set_it(call: Call) -> None:
    file = await call.start()
    report = await call.end(file)
    assert (file[-4:], report["encrypted"], report["encoding"]) == (".wav", False, "audio/L16")


async def test_a_start_on_demand_includes_what_was_said_before(call: Call) -> None:
    keys = {"call_id": "call-1", "from_tag": "caller", "to_tag": "called", "sdp": call.caller.sdp()}
    await call.link.ok("offer", **keys, look_back_ms=60_000)
    await call.speak(0, 2)
    file = await call.start(pre_record_ms=10_000)
    await call.speak(2, 3)
    report = await call.end(file)
    reader = await recorded(call.store, file)
    verdict = judge_stereo(CALLER[: 2 * RATE], CALLED[: 2 * RATE], heard(reader))
    assert verdict.faults(seconds=1, correlation=0.97, skew_ms=10) == []
    [begin] = [event for event in reader.contents().events if event.name == "begin"]
    assert 1900 < begin.at / 8 < 2600
    assert report["duration_ms"] > 3000
    assert report["started_at"][:19] <= report["ended_at"][:19]


async def test_without_look_back_a_recording_begins_when_it_is_asked_for(call: Call) -> None:
    await call.speak(0, 2)
    file = await call.start(pre_record_ms=10_000)
    await call.speak(2, 3)
    report = await call.end(file)
    assert 900 < report["duration_ms"] < 1600


def said(reader: SasfReader, *names: str) -> list[dict[str, Any]]:
    def body(event: Event) -> dict[str, Any]:
        return dict(event.body)

    return [body(event) for event in reader.contents().events if event.name in names]


async def test_a_secure_pause_leaves_nothing_of_its_span_but_who_asked_for_it(call: Call) -> None:
    file = await call.start()
    speaking = asyncio.create_task(call.speak())
    await asyncio.sleep(1)
    await call.link.ok("pause recording", call_id="call-1", secure=True, by="agent 7", pause_mode="mask")
    await call.link.ok("record event", call_id="call-1", event={"event": "dtmf", "digits": "4111"})
    await call.link.ok("pause recording", call_id="call-1", by="somebody else")
    await asyncio.sleep(1)
    await call.link.ok("start recording", call_id="call-1", reason="time-is-up")
    await call.link.ok("record event", call_id="call-1", side="called", event={"event": "hold"})
    await speaking
    await call.end(file)
    reader = await recorded(call.store, file)
    assert said(reader, "pause", "resume", "hold", "dtmf") == [
        {"event": "pause", "mode": "mask", "secure": True, "by": "agent 7"},
        {"event": "resume", "reason": "time-is-up"},
        {"event": "hold"},
    ]
    contents = reader.contents()
    paused, resumed = (next(e.at for e in contents.events if e.name == name) for name in ("pause", "resume"))
    inside = (contents.packets.arrival > paused) & (contents.packets.arrival < resumed)
    assert 7000 < resumed - paused < 10_000
    assert not inside.any()
    left, right = heard(reader)
    for channel in (left, right):
        assert not channel[int(1.1 * RATE) : int(1.9 * RATE)].any()
        assert channel[: int(0.9 * RATE)].any()
        assert channel[int(2.2 * RATE) :].any()


async def test_an_omitted_pause_is_cut_out_and_marked(call: Call) -> None:
    file = await call.start(recording_format="wav", recording_mime_type="audio/L16")
    speaking = asyncio.create_task(call.speak())
    await asyncio.sleep(1)
    await call.link.ok("pause recording", call_id="call-1", pause_mode="omit")
    await asyncio.sleep(1)
    await call.link.ok("start recording", call_id="call-1", by="agent 7")
    await speaking
    report = await call.end(file)
    [(_, _, mode)] = report["quality"]["masked"]
    assert mode == "omit"
    left, _ = read_wav((await call.store.get(f"/recordings/{file}")).content)
    assert len(left) < 2.7 * RATE
    assert np.abs(left).max() > 1000
    assert judge(CALLER[:7200], left[:8800]).lag_ms < 200


@pytest.mark.parametrize(
    ("command", "keys", "text"),
    [
        ("pause recording", {"pause_mode": "blur"}, "pause-mode is mask or omit"),
        ("record event", {}, "event is an object"),
        ("record event", {"event": "dtmf"}, "event is an object"),
        ("record event", {"event": {"event": "resume"}}, "one that commands make"),
        ("record event", {"event": {"event": "x", "y": "z" * 5000}}, "more than 4096 bytes"),
        ("record event", {"event": {"event": "x"}, "side": "third"}, "side is caller or called"),
    ],
)
async def test_what_is_not_understood_is_told(call: Call, command: str, keys: dict[str, Any], text: str) -> None:
    await call.start()
    reply = await call.link.ask(command, call_id="call-1", **keys)
    assert (reply["result"], text in reply["error-reason"]) == ("error", True), reply


async def test_an_event_of_a_call_that_is_not_recorded_is_no_error(call: Call) -> None:
    reply = await call.link.ok("record event", call_id="call-1", event={"event": "hold"})
    assert reply["warning"] == "This call is not being recorded"
