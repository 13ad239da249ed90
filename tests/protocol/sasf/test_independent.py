"""The document, the independent reader and ours say the same of the same bytes."""

from __future__ import annotations

import ast
import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mediaserverd.protocol.sasf.chunks import Kind
from mediaserverd.protocol.sasf.header import Suite
from mediaserverd.protocol.sasf.keys import PrivateKey
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.protocol.sasf.recovery import seal_recovered
from tests.protocol.sasf import independent
from tests.protocol.sasf.files import (
    ESCROW,
    HSM,
    RECIPIENT,
    SIGNER,
    STRANGER,
    SUITES,
    packets_of,
    talk,
    writer,
    written,
)


def _equal(data: bytes, key: PrivateKey) -> independent.Recording:
    theirs, ours = independent.read(data, [key]), SasfReader(data, [key])
    contents = ours.contents()
    assert [dataclasses.astuple(packet) for packet in packets_of(contents)] == [tuple(each) for each in theirs.packets]
    assert theirs.faults == []
    assert theirs.seal is not None
    assert ours.seal is not None
    assert (theirs.seal["state"], theirs.seal["duration_ms"]) == (ours.seal.state, ours.seal.duration_ms)
    events = [(each.at, each.side) for each in theirs.others if each.kind == 2]
    assert events == [(event.at, event.side) for event in contents.events]
    return theirs


@pytest.mark.parametrize("suite", SUITES)
def test_both_readers_see_the_same(suite: Suite) -> None:
    packets = talk(3000)
    theirs = _equal(written(suite, packets), RECIPIENT)
    assert [tuple(each) for each in theirs.packets] == [dataclasses.astuple(packet) for packet in packets]
    records = [(number, time, at) for kind, number, time, at, _ in theirs.chunks if kind == Kind.RECORDS]
    assert theirs.index == records
    checkpoints = sum(kind == Kind.CHECKPOINT for kind, *_ in theirs.chunks)
    assert checkpoints == (0 if suite == "aes-256-gcm" else len(records) // 12)


@pytest.mark.parametrize("suite", SUITES)
def test_a_recovered_file_needs_no_other_reader(suite: Suite) -> None:
    file = io.BytesIO(written(suite, talk(500), closed=False)[:-7])
    seal_recovered(file, SIGNER)
    _equal(file.getvalue(), RECIPIENT)


@pytest.mark.parametrize("private", [ESCROW, HSM], ids=["x25519", "rsa"])
def test_keys_are_wrapped_as_the_rfcs_say(private: PrivateKey) -> None:
    target = io.BytesIO()
    made = writer(target, "aes-256-gcm", recipients=[STRANGER.public_key(), private.public_key()])
    made.add_packet(talk(1)[0])
    made.close(160, "stopped", {})
    assert len(_equal(target.getvalue(), private).packets) == 1


def test_the_independent_reader_is_short_and_independent() -> None:
    file = Path(independent.__file__)
    source = file.read_text()
    assert len(source.splitlines()) <= 300
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names - set(sys.stdlib_module_names) == {"cryptography"}


def test_the_independent_reader_runs_alone(tmp_path: Path) -> None:
    (tmp_path / "a.sasf").write_bytes(written("aes-256-gcm", talk(3)))
    pem = RECIPIENT.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    said = subprocess.run(
        [sys.executable, "-I", independent.__file__, "a.sasf", "key.pem"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True,
    ).stdout  # fmt: skip
    assert said.count("160 bytes") == 3
    assert "faults: []" in said
