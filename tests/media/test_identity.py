"""The media server's signing key: made once, private, and known to the recorder of the same host."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from mediaserverd.media.identity import ensure_identity, publish_identity
from mediaserverd.process.role import StartFault


def test_it_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "media-identity.pem"
    first = ensure_identity(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert ensure_identity(file).public_key() == first.public_key()
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_processes_that_make_it_at_the_same_moment_agree(tmp_path: Path) -> None:
    file = tmp_path / "identity.pem"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: ensure_identity(file).public_key().public_bytes_raw(), range(8)))
    assert len(set(keys)) == 1


def test_a_file_that_is_no_ed25519_key_is_told_by_name(tmp_path: Path) -> None:
    file = tmp_path / "identity.pem"
    locked = BestAvailableEncryption(b"secret")
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    sealed = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)
    for content in (b"", b"nonsense", other, sealed):
        file.write_bytes(content)
        with pytest.raises(StartFault, match=r"identity\.pem.*delete it"):
            ensure_identity(file)
        assert file.read_bytes() == content


def test_its_public_key_is_published_and_an_earlier_one_stays_trusted(tmp_path: Path) -> None:
    first, second = Ed25519PrivateKey.generate().public_key(), Ed25519PrivateKey.generate().public_key()
    for identity in (first, first, second, second):
        publish_identity(identity, tmp_path / "signers", "media")
    files = sorted((tmp_path / "signers").iterdir())
    assert [file.name[:11] for file in files] == ["media-until", "media.pem"]
    assert [load_pem_public_key(file.read_bytes()) for file in files] == [first, second]
    assert b"PRIVATE" not in b"".join(file.read_bytes() for file in files)
