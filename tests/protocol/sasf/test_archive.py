"""Segments of one recording as one: in an archive that somebody signed, or as single files; and what can be wrong."""

from __future__ import annotations

import io
import json
import tarfile
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import Result

from mediaserverd.protocol.sasf import archive, manifest
from mediaserverd.protocol.sasf.faults import SasfError
from mediaserverd.protocol.sasf.manifest import OUTAGE, Gap, Manifest, Missing, Segment
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.protocol.sasf.writer import SasfWriter
from tests.kit.speech import Samples
from tests.protocol.sasf.files import CODECS, META, RECIPIENT, SIGNER, header
from tests.protocol.sasf.test_commands import pem, run

RECORDER = Ed25519PrivateKey.from_private_bytes(bytes(range(7, 39)))
FIRST, SECOND = ("ab" * 16 + f"-{number}.sasf" for number in (1, 2))
GAP = Gap(1, 4000, 1000, "media-server-lost", 12)


BEGIN_NS = 1_750_000_000_000_000_000


def segment(number: int, seconds: int, begin_ms: int, seed: int = 0) -> bytes:
    """One tone on each side; packets of 20 ms, the first one at 20 ms."""
    target = io.BytesIO()
    its = header("aes-256-gcm", seed or number)
    its = replace(its, segment=number, created_ns=BEGIN_NS + begin_ms * 1_000_000)
    made = SasfWriter(target, its, SIGNER, bytes([number]) * 32, [RECIPIENT.public_key()])
    made.add_meta(META)
    for side in (0, 1):
        made.add_event(0, side, CODECS)
    for place in range(seconds * 50):
        for side in (0, 1):
            tone = bytes(0x80 + (at + number) % 2 * 0x20 for at in range(160))
            made.add_packet(Packet(side, (place + 1) * 160, 0, place, place * 160, side + 1, tone))
    made.close(seconds * 8000, "call-ended", {"tap_overflow": 0, "sides": [{}, {}]})
    return target.getvalue()


FILES = {FIRST: segment(1, 4, 0), SECOND: segment(2, 3, 4990)}
IDS = {name: SasfReader(content).header.file_id.hex() for name, content in FILES.items()}
TOLD = Manifest(
    recording_id="ab" * 16,
    call_id="a call",
    started_at="2026-01-02T03:04:05.000+00:00",
    duration_ms=8000,
    segments=(Segment(1, FIRST, IDS[FIRST], 0, 4000), Segment(2, SECOND, IDS[SECOND], 1000)),
    gaps=(GAP,),
    writer="recorder",
)


def archived(files: dict[str, bytes], told: Manifest = TOLD) -> bytes:
    members = [
        archive.member_header(name, len(body)) + body + archive.padding(len(body)) for name, body in files.items()
    ]
    return archive.beginning(told, RECORDER) + b"".join(members) + archive.END


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "call.sasf.tar").write_bytes(archived(FILES))
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "key.pem").write_bytes(pem(RECIPIENT))
    for name, key in (("media.pub", SIGNER), ("recorder.pub", RECORDER)):
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / name).write_bytes(public)
    return tmp_path


def proof(place: Path, *files: str | Path) -> tuple[int, list[str]]:
    signers = ("--signer", place / "media.pub", "--signer", place / "recorder.pub")
    result = run("verify", *(place / file for file in files), *signers, "--key", place / "key.pem")
    return result.exit_code, result.output.splitlines()


def samples(result: Result, file: Path) -> Samples:
    assert result.exit_code == 0, result.output
    with wave.open(str(file)) as heard:
        return np.frombuffer(heard.readframes(heard.getnframes()), np.int16).reshape(-1, 2)


def test_an_archive_is_what_was_put_into_it_and_any_tar_opens_it() -> None:
    told = replace(TOLD, missing=(Missing(3, "missing"),))
    found = archive.read_archive(archived(FILES, told))
    assert (found.manifest, found.fault) == (told, "")
    assert found.signer == RECORDER.public_key().public_bytes_raw()
    assert {name: bytes(body) for name, body in found.files.items()} == FILES
    with tarfile.open(fileobj=io.BytesIO(archived(FILES))) as opened:
        assert opened.getnames() == [manifest.NAME, archive.SIGNATURE, FIRST, SECOND]


def test_an_archive_that_somebody_packed_anew_is_the_same() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archived(FILES))) as old, tarfile.open(fileobj=target, mode="w") as new:
        for member in reversed(old.getmembers()):
            content = old.extractfile(member)
            member.name = f"./some folder/{member.name}"
            new.addfile(member, content)
    found = archive.read_archive(target.getvalue())
    assert (found.fault, set(found.files)) == ("", set(FILES))


def test_a_size_beyond_8_gib_fits_into_a_header() -> None:
    big = tarfile.TarInfo.frombuf(archive.member_header(FIRST, 1 << 40), "utf-8", "strict")
    assert big.size == 1 << 40


def test_whatever_is_cut_off_of_an_archive_nothing_but_its_own_fault_is_told() -> None:
    whole = archived({FIRST: b"x" * 700, SECOND: b"y"})
    read, faults = 0, 0
    for cut in range(0, len(whole), 97):
        try:
            read += bool(archive.read_archive(whole[:cut]).manifest)
        except SasfError:
            faults += 1
    assert faults > 10
    assert read > 10, "what is not cut off can still be had"


@pytest.mark.parametrize("change", [{"gaps": [3]}, {"signer": 5}, {"signer": "AAAA"}, {"sasf_recording": 2}])
def test_a_manifest_that_says_nonsense_is_refused(change: dict[str, object]) -> None:
    body = json.dumps({**json.loads(TOLD.encode(bytes(32))), **change}).encode()
    with pytest.raises(SasfError, match=r"recording\.json lacks what it must say"):
        archive.read_archive(archive.member_header(manifest.NAME, len(body)) + body + archive.padding(len(body)))


def test_a_segment_may_begin_while_the_one_before_it_goes_on() -> None:
    told = replace(TOLD, segments=(TOLD.segments[0], replace(TOLD.segments[1], silence_before_ms=-40)))
    assert archive.read_archive(archived(FILES, told)).manifest == told


def test_one_line_says_what_all_segments_and_their_archive_prove(place: Path) -> None:
    status, lines = proof(place, "call.sasf.tar")
    assert status == 0
    [line] = lines
    assert line.count("not a byte was changed since; every record was read") == 2
    assert "1000 +-12 ms are missing after segment 1 (media-server-lost); so says recorder (key" in line
    assert line.endswith("trusted), and that there are no more")


def test_single_segments_are_one_recording_too_and_say_what_they_cannot_know(place: Path) -> None:
    status, lines = proof(place, SECOND, FIRST)
    assert (status, len(lines)) == (0, 1)
    assert "segment 1 proves" in lines[0]
    assert "1010 ms are missing after segment 1 (media-server-lost), by the clocks of those who wrote them" in lines[0]
    assert lines[0].endswith("whether more came behind segment 2 nothing here says")
    assert "segment 1 is not among" not in lines[0]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({FIRST: FILES[FIRST]}, "segment 2 was taken out of the archive"),
        ({FIRST: FILES[FIRST], SECOND: segment(2, 2, 4990)[:-3]}, "segment 2 does not prove what it should"),
        ({FIRST: FILES[FIRST], SECOND: segment(2, 3, 4990, seed=9)}, "segment 2 is another file"),
        ({FIRST: FILES[FIRST], SECOND: FILES[FIRST]}, "two of them are the same segment"),
    ],
)
def test_what_was_taken_out_or_put_in_is_told(place: Path, files: dict[str, bytes], why: str) -> None:
    (place / "changed.tar").write_bytes(archived(files))
    status, lines = proof(place, "changed.tar")
    assert status == 1
    assert any(why in line for line in lines), lines


def test_a_manifest_that_was_changed_or_that_a_stranger_signed_proves_no_gaps(place: Path) -> None:
    changed = archived(FILES).replace(b'"duration_ms": 1000', b'"duration_ms": 2000')
    (place / "changed.tar").write_bytes(changed)
    status, [line] = proof(place, "changed.tar")
    assert (status, "the signature of recording.json does not hold" in line, "so says" in line) == (1, True, False)
    result = run("verify", place / "call.sasf.tar", "--signer", place / "media.pub")
    assert (result.exit_code, "put together by an unknown key" in result.output) == (1, True)


def test_info_shows_every_segment_and_what_is_missing_between_them(place: Path) -> None:
    told = run("info", place / "call.sasf.tar", "--key", place / "key.pem").output
    assert "2 segments" in told
    assert "1000 +-12 ms are missing after segment 1 (media-server-lost)" in told
    assert told.count("PCMU/8000") >= 2


def test_export_fills_the_gaps_with_silence(place: Path) -> None:
    key = ("--key", place / "key.pem")
    whole = samples(run("export", place / "call.sasf.tar", place / "whole.wav", *key), place / "whole.wav")
    assert len(whole) == 8 * 8000
    assert np.abs(whole[2000:30000]).min() > 500
    assert not whole[32000:40000].any()
    assert np.abs(whole[42000:62000]).min() > 500
    part = samples(
        run("export", place / "call.sasf.tar", place / "part.wav", "--from", "3", "--to", "6", *key), place / "part.wav"
    )
    assert len(part) == 3 * 8000
    assert np.abs(part[1000:7000]).min() > 500
    assert not part[8400:15600].any()
    single = samples(run("export", place / SECOND, place / FIRST, place / "two.wav", *key), place / "two.wav")
    assert abs(len(single) - (4 + 0.99 + 3) * 8000) <= 8
    nothing = run("export", place / "call.sasf.tar", place / "no.wav", "--from", "4.2", "--to", "4.8", *key)
    assert (nothing.exit_code, "the recording has 8.0 s" in nothing.output) == (78, True)


def test_a_cut_over_a_gap_is_an_archive_of_its_own_that_proves_itself(place: Path) -> None:
    key = ("--key", place / "key.pem")
    told = replace(TOLD, gaps=(GAP, Gap(2, 6000, 500, OUTAGE, 0)))
    (place / "call.sasf.tar").write_bytes(archived(FILES, told))
    cut = run("cut", place / "call.sasf.tar", place / "cut.tar", "--from", "3", "--to", "6.2", *key)
    assert "3.2 s, an archive of 2 segments" in " ".join(cut.output.split())
    result = run("verify", place / "cut.tar", *key)
    assert result.exit_code == 0, result.output
    assert "1000 +-12 ms are missing after segment 1 (media-server-lost)" in result.output
    assert "200 ms are missing within segment 2 (packets-lost)" in result.output
    found = archive.read_archive((place / "cut.tar").read_bytes())
    assert found.manifest.duration_ms == 3200
    assert found.manifest.gaps == (Gap(1, 1000, 1000, "media-server-lost", 12), Gap(2, 3000, 200, OUTAGE, 0))
    source = SasfReader(found.files[FIRST]).header.source
    assert source is not None
    assert source["file_id"] == IDS[FIRST]
    within = ("--from", "4.5", "--to", "6", *key)
    part = run("cut", place / "call.sasf.tar", place / "within.sasf", *within)
    assert "within.sasf: 1.0 s" in " ".join(part.output.split())  # lines end where the name of the folder has them end
    assert SasfReader((place / "within.sasf").read_bytes()).header.segment == 2


def test_files_of_several_recordings_are_not_taken_for_one(place: Path) -> None:
    result = run("export", place / FIRST, place / "call.sasf.tar", place / "no.wav", "--key", place / "key.pem")
    assert result.exit_code == 78
    assert "these are several recordings" in result.output
