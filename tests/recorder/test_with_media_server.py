"""The recorder against the retrieval interface of the real media server, over HTTPS."""

from __future__ import annotations

import struct
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from mediaserverd.media.identity import ensure_identity
from mediaserverd.media.recipients import Recipients
from mediaserverd.media.recordings import Recordings
from mediaserverd.media.report import Report, stem_of
from mediaserverd.media.retrieval import application
from mediaserverd.media.sealing import Sealer
from mediaserverd.process.http import HttpServer
from mediaserverd.process.tls import ServerTls
from tests.kit.g711 import PCMU
from tests.kit.speech import speech
from tests.media.spools import RunningFile, identity_file, padded, stream
from tests.recorder.media_server import entry, whole_call
from tests.recorder.site import Site, link, make_site

ENDED, CUT, RUNNING = "ab" * 16, "cd" * 16, "ef" * 16
SPEECH = stream(0, PCMU.encode(padded(speech(1, 3))))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A media server that starts with two spools of an earlier run: one that ended, one that was cut off."""
    site = make_site(tmp_path)
    shelf = tmp_path / "spool"
    shelf.mkdir()
    for recording_id, end_ms in ((ENDED, 3000), (CUT, None)):
        left = RunningFile(SPEECH, end_ms, recording_id=recording_id, format="wav")
        (shelf / f"{stem_of(recording_id, 1)}.spool").write_bytes(left.encode())
    sealer = Sealer(identity_file(tmp_path))
    recordings = Recordings(shelf, sealer)
    await recordings.open()
    recordings.begin(
        Report(
            f"{stem_of(RUNNING, 1)}.wav", RUNNING, 1, "c", "running", "", "audio/wav", "audio/L16", False,
            "2026-01-02T00:00:00.000Z", {},
        )
    )  # fmt: skip
    tls = ServerTls(site.settings.certificate, site.settings.private_key, site.settings.certificate_authority)
    recipients = Recipients(tmp_path / "given")
    identity = ensure_identity(identity_file(tmp_path)).public_key()
    app = application(recordings, site.media.token, "media", identity, recipients)
    server = HttpServer(app, "127.0.0.1", 0, tls)
    await server.start()
    links = (link(site, url=f"https://127.0.0.1:{server.port}"),)
    site.settings = site.settings.model_copy(update={"media_servers": links})
    await site.start()
    yield site
    await site.stop()
    await server.stop()
    await recordings.close()
    await sealer.close()


async def test_finished_and_recovered_recordings_are_fetched_and_a_running_one_is_left(site: Site) -> None:
    await site.ledger(whole_call(1, ENDED))
    await site.ledger([entry(4, "expected", CUT), entry(5, "started", CUT)])
    await site.ledger([entry(6, "expected", RUNNING), entry(7, "started", RUNNING)])
    assert (await site.until_gone_from_source(ENDED))["reason"] == "stopped"
    assert (await site.until_gone_from_source(CUT))["reason"] == "recovered"
    assert (await site.detail(RUNNING))["state"] == "recording"
    assert [path.name for path in (site.directory / "spool").iterdir() if path.suffix in (".wav", ".spool")] == []
    answer = await site.api.get(f"/api/v1/recordings/{ENDED}/audio")
    (site.directory / "heard.wav").write_bytes(answer.content)
    with wave.open(str(site.directory / "heard.wav")) as heard:
        assert heard.getnchannels() == 2
        assert heard.getnframes() / heard.getframerate() == pytest.approx(3.0, abs=0.1)
        samples = struct.unpack(f"<{2 * heard.getnframes()}h", heard.readframes(heard.getnframes()))
    assert max(samples[::2]) > 1000, "the caller is on the left"
    assert max(samples[1::2]) == 0
    keys = site.settings.keys_directory
    given = {file.name: file.read_bytes() for file in (site.directory / "given").iterdir()}
    assert given == {file.name: file.read_bytes() for file in (keys / "recipients").iterdir()}
    identity = ensure_identity(identity_file(site.directory)).public_key()
    assert load_pem_public_key((keys / "signers" / "media.pem").read_bytes()) == identity
