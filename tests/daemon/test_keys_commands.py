"""``mediaserverd keys`` as an administrator types it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import insert
from typer.testing import CliRunner

from mediaserverd.__main__ import app
from mediaserverd.config import load_config
from mediaserverd.protocol.sasf.keys import key_id
from mediaserverd.recorder.catalogue.database import open_engine
from mediaserverd.recorder.catalogue.tables import keyboxes, recordings, segments
from mediaserverd.recorder.keyfiles import public_pem

KEY = re.compile(r"\b[0-9a-f]{16}\b")


class CommandLine:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        assert CliRunner().invoke(app, ["init", "--directory", str(directory)]).exit_code == 0
        self.file = next(directory.glob("*.yaml"))

    def __call__(self, *words: str, answer: str = "", fails: bool = False) -> str:
        result = CliRunner().invoke(app, ["keys", *words, "--config", str(self.file)], input=answer)
        assert (result.exit_code != 0) == fails, result.output
        return " ".join(result.output.split())

    def key_of_new_recordings(self) -> str:
        (file,) = [each for each in self.recipients() if not each.startswith("escrow-")]
        return file.removesuffix(".pem")

    def recipients(self) -> list[str]:
        (directory,) = self.directory.rglob("recipients")
        return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def keys(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "site")


def test_a_new_site_has_one_key_and_lists_it(keys: CommandLine) -> None:
    assert f"{keys.key_of_new_recordings()} │ x25519" in keys("list")


def test_rotate_makes_a_new_key_and_destroy_asks_before_the_old_one_is_lost(keys: CommandLine) -> None:
    old = keys.key_of_new_recordings()
    assert "rotate" in keys("destroy", old, "--yes", fails=True)
    keys("rotate")
    new = keys.key_of_new_recordings()
    assert new != old
    assert "older ones only" in keys("list")
    keys("destroy", old, answer="n\n", fails=True)
    assert old in keys("list")
    keys("destroy", old, answer="y\n")
    assert old not in keys("list")
    assert "there is no private key" in keys("destroy", old, "--yes", fails=True)


def test_a_generated_key_is_used_only_when_it_is_rotated_to(keys: CommandLine) -> None:
    (made,) = KEY.findall(keys("generate"))
    assert keys.key_of_new_recordings() != made
    keys("rotate", made)
    assert keys.key_of_new_recordings() == made
    assert "there is no private key" in keys("rotate", "0" * 16, fails=True)


def test_import_seals_a_key_and_says_that_the_file_is_still_there(keys: CommandLine, tmp_path: Path) -> None:
    key = X25519PrivateKey.generate()
    file = tmp_path / "given.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "delete" in keys("import", str(file))
    assert key_id(key.public_key()) in keys("list")
    assert "cannot read" in keys("import", str(tmp_path / "absent.pem"), fails=True)


def test_import_tells_what_can_be_read_from_now_on(keys: CommandLine, tmp_path: Path) -> None:
    key = X25519PrivateKey.generate()
    file = tmp_path / "given.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    segment = {"recording_id": "ab" * 16, "number": 1}
    unread = {"state": "stored", "verification": "unread", "key_ids": key_id(key.public_key()), "stored_size": 1}
    with open_engine(load_config(keys.file).recorder.database_url).begin() as catalogue:
        values = {"kind": "policy", "state": "stored", "announced": True, "started_at": datetime.now(UTC)}
        catalogue.execute(insert(recordings).values(id="ab" * 16, **values))
        catalogue.execute(insert(segments).values(**segment, **unread))
        catalogue.execute(insert(keyboxes).values(**segment, file_id=b"", content=b""))
    assert "it opens 1 stored file(s) that nobody here could read until now" in keys("import", str(file))


def test_escrow_adds_and_removes_somebody_elses_public_key(keys: CommandLine, tmp_path: Path) -> None:
    public = X25519PrivateKey.generate().public_key()
    file = tmp_path / "auditor.pem"
    file.write_bytes(public_pem(public))
    keys("escrow", str(file))
    assert f"escrow-{key_id(public)}.pem" in keys.recipients()
    assert "│ escrow │" in keys("list")
    keys("escrow", "--remove", key_id(public))
    assert f"escrow-{key_id(public)}.pem" not in keys.recipients()
    assert "either" in keys("escrow", fails=True)


def test_recordings_are_listed_newest_first_with_who_spoke(keys: CommandLine) -> None:
    words = ["recording", "list", "--config", str(keys.file)]
    assert "there is no recording yet" in CliRunner().invoke(app, words).output
    known = {"kind": "policy", "announced": True, "called_number": "101", "reason": "missing", "duration_ms": 2500}
    with open_engine(load_config(keys.file).recorder.database_url).begin() as catalogue:
        for day, calling, state in ((1, "100", "stored"), (2, "+431", "failed")):
            facts = {"calling_number": calling, "state": state, "started_at": datetime(2026, 1, day, tzinfo=UTC)}
            catalogue.execute(insert(recordings).values(id=f"{day}" * 32, **known, **facts))
    assert CliRunner().invoke(app, words).output.splitlines() == [
        f"{'2' * 32}  2026-01-02 00:00:00  +431 -> 101, 2.5 s, failed: missing",
        f"{'1' * 32}  2026-01-01 00:00:00  100 -> 101, 2.5 s, stored",
    ]
    assert "2" * 32 not in CliRunner().invoke(app, [*words, "--number", "100"]).output


def test_the_quality_of_a_recording_that_there_is_not_is_told_as_that(keys: CommandLine) -> None:
    result = CliRunner().invoke(app, ["recording", "quality", "0" * 32, "--config", str(keys.file)])
    assert result.exit_code != 0
    assert "there is no recording" in result.output


def test_destroy_wants_a_key_or_a_recording(keys: CommandLine) -> None:
    assert "either" in keys("destroy", fails=True)
    assert "there is no recording" in keys("destroy", "--recording", "0" * 32, "--yes", fails=True)
