"""``mediaserverd sasf``: what somebody with a file, and perhaps a key, types and is told."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner, Result

from mediaserverd.__main__ import app
from mediaserverd.protocol.sasf.chunks import INDEX_ENTRY, MAX_INDEX_ENTRIES, Kind, chunk_at
from mediaserverd.protocol.sasf.contents import Event
from mediaserverd.protocol.sasf.excerpt import excerpt, write_contents
from mediaserverd.protocol.sasf.keys import PrivateKey, key_id
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.records import Packet
from mediaserverd.recorder.sealed import Cost, seal
from tests.protocol.sasf.files import CODECS, ESCROW, RECIPIENT, SIGNER, STRANGER, packets_of, talk, writer, written

PASSWORD = b"correct horse"
TONE = bytes(0x80 + place % 2 * 0x20 for place in range(160))  # mu-law, far from silence
TALK = [Packet(side, place * 160, 0, place, place * 160, side + 1, TONE) for place in range(500) for side in (0, 1)]


def run(*arguments: str | Path, input: str | None = None) -> Result:
    return CliRunner().invoke(app, ["sasf", *map(str, arguments)], input=input)


def said(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def pem(private: PrivateKey | Ed25519PrivateKey, password: bytes | None = None) -> bytes:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "talk.sasf").write_bytes(written("aes-256-gcm", TALK))
    (tmp_path / "key.pem").write_bytes(pem(RECIPIENT))
    (tmp_path / "locked.pem").write_bytes(pem(RECIPIENT, PASSWORD))
    (tmp_path / "stranger.pem").write_bytes(pem(STRANGER))
    (tmp_path / "signing.pem").write_bytes(pem(SIGNER))
    (tmp_path / "password").write_bytes(PASSWORD + b"\n")
    for name, private in (("signer.pub", SIGNER), ("escrow.pub", ESCROW)):
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / name).write_bytes(public)
    return tmp_path


def test_info_tells_without_a_key_whose_recording_it_is_and_with_one_how_good_it_is(place: Path) -> None:
    plain = said("info", place / "talk.sasf")
    assert "call a call" in plain
    assert key_id(RECIPIENT.public_key()) in plain
    assert "call-ended, 10.0 s" in plain
    assert "skew_ms" not in plain
    full = said("info", place / "talk.sasf", "--key", place / "key.pem")
    assert "PCMU/8000" in full
    assert "skew_ms" in full
    assert "received │ 500 │ 500" in full
    assert "calling 101" in full


def test_verify_says_in_one_line_what_is_proven(place: Path) -> None:
    file, signer = place / "talk.sasf", place / "signer.pub"
    result = run("verify", file, "--key", place / "key.pem", "--signer", signer)
    assert result.exit_code == 0
    [line] = result.output.splitlines()
    assert "trusted) wrote this file to its end and that not a byte was changed since; every record was read" in line
    unread = said("verify", file, "--signer", signer)
    assert "the audio was not looked at" in unread
    assert "nobody vouched" in said("verify", file)


def test_verify_names_the_place_of_a_change_and_fails(place: Path) -> None:
    data = bytearray((place / "talk.sasf").read_bytes())
    data[len(data) // 2] ^= 1
    (place / "changed.sasf").write_bytes(data)
    result = run("verify", place / "talk.sasf", place / "changed.sasf", "--key", place / "key.pem")
    assert result.exit_code == 1
    good, bad, *_ = result.output.splitlines()
    assert "talk.sasf: proves" in good
    assert "changed.sasf: does not prove what it should: tampered: chunk 1" in bad
    assert "s into the recording" in bad


def test_an_unknown_signer_proves_nothing(place: Path) -> None:
    (place / "other.pub").write_bytes(
        Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    result = run("verify", place / "talk.sasf", "--signer", place / "other.pub")
    assert result.exit_code == 1
    assert "signed by an unknown key" in result.output


def test_keys_are_read_as_a_vault_keeps_them_and_with_a_password(place: Path) -> None:
    der = RECIPIENT.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = RECIPIENT.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    sealed = seal(key_id(RECIPIENT.public_key()), "x25519", der, public, PASSWORD, Cost(time=1, memory_kib=64, lanes=1))
    (place / "vault.json").write_text(sealed.model_dump_json())
    for file in ("vault.json", "locked.pem"):
        with_file = run("info", place / "talk.sasf", "--key", place / file, "--password-file", place / "password")
        assert "skew_ms" in with_file.output, with_file.output
        asked = run("info", place / "talk.sasf", "--key", place / file, input=PASSWORD.decode() + "\n")
        assert "skew_ms" in asked.output
        wrong = run("info", place / "talk.sasf", "--key", place / file, input="wrong\n")
        assert wrong.exit_code == 78
        assert "password" in wrong.output


def test_cut_makes_a_recording_of_its_own_that_names_the_whole(place: Path) -> None:
    part = place / "part.sasf"
    told = said("cut", place / "talk.sasf", part, "--from", "2.5", "--to", "6", "--key", place / "key.pem",
                "--recipient", place / "escrow.pub", "--signing-key", place / "signing.pem")  # fmt: skip
    assert told.endswith("3.5 s")
    reader = SasfReader(part.read_bytes(), [ESCROW])
    contents = reader.contents()
    shifted = [packet for packet in TALK if 20000 <= packet.arrival < 48000]
    assert [packet.payload for packet in packets_of(contents)] == [packet.payload for packet in shifted]
    assert packets_of(contents)[0].arrival == shifted[0].arrival - 20000
    assert [event.body for event in contents.events] == [CODECS, CODECS]
    assert reader.header.source is not None
    assert reader.header.source["sha256"] == hashlib.sha256((place / "talk.sasf").read_bytes()).hexdigest()
    whole = SasfReader((place / "talk.sasf").read_bytes()).header
    assert reader.header.source["signer"] == base64.b64encode(whole.signer).decode()
    assert reader.header.created_ns == whole.created_ns + 2_500_000_000
    assert "proves" in said("verify", part, "--signer", place / "signer.pub")
    assert part.stat().st_mode & 0o777 == 0o600
    again = run("cut", place / "talk.sasf", part, "--key", place / "key.pem")
    assert again.exit_code == 78
    assert "--force" in again.output


def test_recover_seals_what_a_dead_writer_left(place: Path) -> None:
    (place / "torn.sasf").write_bytes(written("clear", talk(500), closed=False)[:-5])
    assert "recovered" in said("recover", place / "torn.sasf", "--signing-key", place / "signing.pem")
    assert "sealed it after its next start" in said("verify", place / "torn.sasf", "--signer", place / "signer.pub")


def test_export_makes_audio_of_the_whole_or_a_part(place: Path) -> None:
    told = said("export", place / "talk.sasf", place / "all.wav", "--key", place / "key.pem")
    assert "10.0 s at 8000 Hz" in told
    with wave.open(str(place / "all.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert np.abs(samples[8000:72000].astype(float)).mean(axis=0).min() > 1000
    said("export", place / "talk.sasf", place / "part.ogg", "--format", "ogg-opus", "--from", "1", "--to", "3",
         "--key", place / "key.pem")  # fmt: skip
    assert (place / "part.ogg").read_bytes().startswith(b"OggS")
    assert run("export", place / "talk.sasf", place / "x", "--format", "aiff").exit_code == 78


@pytest.mark.parametrize("command", [["info"], ["verify"], ["export", "OUT"], ["cut", "OUT"]])
def test_what_is_no_recording_is_a_sentence(place: Path, command: list[str]) -> None:
    (place / "empty").write_bytes(b"")
    for name, why in (("empty", "empty"), ("key.pem", "not a SASF file"), ("absent", "No such file")):
        outputs = [place / "out" for _ in command[1:]]
        result = run(command[0], place / name, *outputs)
        assert result.exit_code == (1 if command == ["verify"] else 78), result.output
        assert why in result.output
        assert not (place / "out").exists()


def test_a_file_that_cannot_be_read_does_not_hide_what_the_others_prove(place: Path) -> None:
    result = run("verify", place / "absent", place / "talk.sasf", "--signer", place / "signer.pub")
    assert (result.exit_code, "No such file" in result.output, "proves that" in result.output) == (1, True, True)


@pytest.mark.parametrize(("name", "beginning"), [("a.wav", b"RIFF"), ("a.OGG", b"OggS"), ("a.webm", b"\x1aE\xdf\xa3")])
def test_the_ending_of_the_output_says_what_is_made_of_a_recording(place: Path, name: str, beginning: bytes) -> None:
    said("export", place / "talk.sasf", place / name, "--to", "1", "--key", place / "key.pem")
    assert (place / name).read_bytes().startswith(beginning)


def test_an_output_that_cannot_be_is_named(place: Path) -> None:
    for output, why in ((place / "none" / "a.wav", "none/a.wav: No such file"), (place / "a.flac", "no audio format")):
        result = run("export", place / "talk.sasf", output, "--key", place / "key.pem")
        assert (result.exit_code, why in result.output.replace("\n", "")) == (78, True)


def test_recover_leaves_what_its_writer_closed_as_it_is(place: Path) -> None:
    before = (place / "talk.sasf").read_bytes()
    told = said("recover", place / "talk.sasf", "--signing-key", place / "signing.pem")
    assert "its writer closed it itself" in told
    assert (place / "talk.sasf").read_bytes() == before


def test_without_the_right_key_there_is_no_audio(place: Path) -> None:
    wrong: list[list[str | Path]] = [[], ["--key", place / "stranger.pem"]]
    for keys in wrong:
        result = run("export", place / "talk.sasf", place / "out.wav", *keys)
        assert result.exit_code == 78
        assert key_id(RECIPIENT.public_key()) in result.output
        assert not (place / "out.wav").exists()


def test_an_excerpt_begins_with_what_held_there() -> None:
    target = io.BytesIO()
    made = writer(target, "clear")
    for at, name in ((0, "pause"), (800, "resume"), (1600, "hold"), (2400, "pause"), (9000, "resume")):
        made.add_event(at, 0, {"event": name, "by": str(at)})
    made.close(16000, "stopped", {})
    part = excerpt(SasfReader(target.getvalue()).contents(), 8000, 12000)
    assert part.events == (
        Event(0, 0, {"event": "hold", "by": "1600"}),
        Event(0, 0, {"event": "pause", "by": "2400"}),
        Event(1000, 0, {"event": "resume", "by": "9000"}),
    )
    assert (part.duration, part.end) == (4000, Event(4000, 0, {"reason": "stopped"}))


def test_what_could_not_be_read_is_told_by_the_part_too() -> None:
    data = bytearray(written("clear", TALK))
    reader = SasfReader(bytes(data))
    data[reader.scan.chunks[10].body_at + 9] ^= 1
    broken = SasfReader(bytes(data)).contents()
    assert len(broken.unreadable) == 1
    target = io.BytesIO()
    write_contents(excerpt(broken, 800, 64000), writer(target, "clear", seed=3))
    [told] = [event for event in SasfReader(target.getvalue()).contents().events if event.name == "unreadable"]
    assert told.body["why"] == "tampered"
    assert told.at == broken.unreadable[0].start - 800


def test_a_part_of_the_look_back_has_the_codecs_that_are_told_only_behind_it() -> None:
    target = io.BytesIO()
    made = writer(target, "clear")
    made.add_packet(TALK[0])
    made.add_event(8000, 0, CODECS)
    made.close(16000, "stopped", {})
    contents = SasfReader(target.getvalue()).contents()
    assert excerpt(contents, 0, 4000).events == (Event(0, 0, CODECS),)
    assert excerpt(contents, 4000, 9000).events == (Event(4000, 0, CODECS),)


def test_audio_of_a_forged_recording_is_not_made_without_a_word(place: Path) -> None:
    """Its tags are as they should be, as anyone can make them in clear; its signatures are not."""
    data = written("clear", TALK)
    reader = SasfReader(data)
    chunk = reader.scan.chunks[3]
    body = bytearray(data[chunk.body_at : chunk.end - 16])
    body[-1] ^= 0xFF
    forged = reader.cipher.chunk(Kind.RECORDS, chunk.number, chunk.time_ms, bytes(body))
    (place / "forged.sasf").write_bytes(data[: chunk.offset] + forged + data[chunk.end :])
    result = run("export", place / "forged.sasf", place / "out.wav")
    assert result.exit_code == 0
    assert "does not prove what it should: the checkpoint does not hold" in result.output


def test_a_daemon_does_not_load_what_only_recording_files_need() -> None:
    seen = "import sys, mediaserverd.__main__; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, timeout=60).stdout == "False\n"


def test_a_part_of_a_recording_so_long_that_its_index_names_every_second_chunk_only(place: Path) -> None:
    """Seven and a half hours of a line on which somebody speaks now and then, in chunks of 400 ms."""
    target = io.BytesIO()
    made = writer(target, "aes-256-gcm")
    made.add_event(0, 0, CODECS)
    for chunk in range(MAX_INDEX_ENTRIES + 2_000):
        made.add_packet(Packet(0, chunk * 3200, 0, chunk & 0xFFFF, chunk * 3200, 1, chunk.to_bytes(4, "little")))
    made.close(chunk * 3200 + 160, "call-ended", {})
    data = target.getvalue()
    (place / "long.sasf").write_bytes(data)
    reader = SasfReader(data, [RECIPIENT])
    assert reader.seal is not None
    index = chunk_at(reader.view, reader.seal.index)
    assert index is not None
    assert (reader.seal.chunks, index.length // INDEX_ENTRY.size) == (chunk + 1, chunk // 2 + 1)
    for first in (0, 40_000, 40_001, chunk - 3):  # of those that are named and of those that are not
        found = packets_of(reader.contents(first * 400, (first + 3) * 400))
        assert [int.from_bytes(packet.payload, "little") for packet in found] == [first, first + 1, first + 2]
    span = "--from", "16000.4", "--to", "16001.6", "--key", place / "key.pem"
    said("cut", place / "long.sasf", place / "part.sasf", *span)
    cut = packets_of(SasfReader((place / "part.sasf").read_bytes(), [RECIPIENT]).contents())
    assert [int.from_bytes(packet.payload, "little") for packet in cut] == [40_001, 40_002, 40_003]
    assert "1.2 s at 8000 Hz" in said("export", place / "long.sasf", place / "part.wav", *span)
